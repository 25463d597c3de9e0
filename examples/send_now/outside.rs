//! What a phone would provide: secure storage, a browser, and here also a record of what was sent.

use cgm_submitter::HttpTransport;
use cgm_submitter::environment::{
    BoxFuture, Redirects, Transport, TransportError, Vault, VaultError,
};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A vault in a file only its owner can read: for a laptop's demo. An app gives the platform's
/// Keychain or Keystore.
pub(crate) struct FileVault(PathBuf);

impl FileVault {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn read(&self) -> Result<BTreeMap<String, String>, VaultError> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| VaultError::Failed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(_) => Err(VaultError::Failed),
        }
    }

    fn write(&self, entries: &BTreeMap<String, String>) -> Result<(), VaultError> {
        let folder =
            self.0.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A named temporary file is made with mode 0600, and renaming it is atomic.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|_| VaultError::Failed)?;
        let bytes = serde_json::to_vec(entries).map_err(|_| VaultError::Failed)?;
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|_| VaultError::Failed)?;
        file.persist(&self.0).map(drop).map_err(|_| VaultError::Failed)
    }
}

impl Vault for FileVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        Ok(self.read()?.remove(name).map(SecretString::from))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        let mut entries = self.read()?;
        entries.insert(name.to_owned(), value.expose_secret().to_owned());
        self.write(&entries)
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        let mut entries = self.read()?;
        entries.remove(name);
        self.write(&entries)
    }
}

/// The built-in transport, which also saves each bundle it sends.
pub(crate) struct Recorder {
    transport: HttpTransport,
    folder: Option<PathBuf>,
    saved: AtomicU32,
}

impl Recorder {
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, crate::Failure> {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self {
            transport: HttpTransport::new()?,
            folder: folder.map(Path::to_owned),
            saved: AtomicU32::new(0),
        })
    }

    fn save(&self, request: &http::Request<Vec<u8>>) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if request
            .headers()
            .get("content-type")
            .is_none_or(|value| value != "application/fhir+json")
        {
            return Ok(());
        }
        let mut body = request.body().clone();
        if request.headers().contains_key("content-encoding") {
            body.clear();
            flate2::read::GzDecoder::new(request.body().as_slice()).read_to_end(&mut body)?;
        }
        let number = self.saved.fetch_add(1, Ordering::Relaxed) + 1;
        std::fs::write(folder.join(format!("bundle-{number:04}.json")), body)
    }
}

impl Transport for Recorder {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        if self.save(&request).is_err() {
            return Box::pin(async { Err(TransportError::Request) });
        }
        self.transport.send(request)
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

/// Waits for the browser to come back, on a loopback port of the system's choosing (RFC 8252 §7.3).
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
    print!("{question}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Whether a person sits in front of it.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
