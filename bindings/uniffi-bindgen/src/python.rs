//! What UniFFI's Python module lacks: a record of it prints its fields by `str` and nothing by
//! `repr`, which is what a list, a debugger and the interpreter's prompt show.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Added to the module. A record that hides a person's data hides it in `str`, and so here.
const SAME_IN_EVERY_FORM: &str = r#"

def _repr_as_str(of):
    """Makes `repr` of these records, and of the cases of enums among them, what `str` is."""
    for record in list(of.values()):
        if isinstance(record, type) and record.__module__ == __name__:
            if hasattr(record, "__dataclass_fields__"):
                record.__repr__ = lambda self: str(self)
            else:
                _repr_as_str({k: v for k, v in vars(record).items() if not k.startswith("_")})


_repr_as_str(globals())
"#;

/// Completes the module in `file`.
pub(crate) fn complete(file: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(file)?.write_all(SAME_IN_EVERY_FORM.as_bytes())
}
