//! The person in front of it: a browser, questions, answers.

use std::io::{IsTerminal, Write};

/// Waits for the browser to come back, on a loopback port of the system's choosing (RFC 8252,
/// section 7.3).
pub(crate) struct Listener {
    redirect_uri: String,
    redirects: tokio::sync::mpsc::Receiver<String>,
}

/// Starts listening.
pub(crate) async fn listen() -> Result<Listener, crate::Failure> {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://127.0.0.1:{}", socket.local_addr()?.port());
    let redirect_uri = format!("{base}/callback");
    let (sender, redirects) = tokio::sync::mpsc::channel(1);
    let callback = move |uri: axum::http::Uri| async move {
        // Full when the browser asks twice: the first one counts.
        let _ = sender.try_send(format!("{base}{uri}"));
        "Done. You can close this page."
    };
    let app = axum::Router::new().route("/callback", axum::routing::get(callback));
    tokio::spawn(async move { axum::serve(socket, app).await });
    Ok(Listener { redirect_uri, redirects })
}

impl Listener {
    /// Where the browser is to be sent back to.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The URL the browser was sent back to.
    pub(crate) async fn redirect(mut self) -> Result<String, crate::Failure> {
        self.redirects.recv().await.ok_or_else(|| "the browser never came back".into())
    }
}

/// Opens the system's browser, if there is one.
pub(crate) fn open_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ =
        std::process::Command::new(program).arg(url).stderr(std::process::Stdio::null()).spawn();
}

/// A yes or no from the person.
pub(crate) fn ask(question: &str) -> std::io::Result<bool> {
    let mut shown = std::io::stdout();
    shown.write_all(question.as_bytes())?;
    shown.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Whether a person sits in front of it.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
