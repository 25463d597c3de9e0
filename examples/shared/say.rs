//! Lines for a person. If nobody reads them any more, as after `| head -1`, the work goes on.

/// Prints a line to standard output.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        // `println!` would panic: a delivery does not end because its listener left.
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// Prints a line to standard error.
macro_rules! warn {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}
