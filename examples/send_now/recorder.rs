//! The network, and a record of what was sent.

use cgm_submitter::HttpTransport;
use cgm_submitter::environment::{BoxFuture, Redirects, Transport, TransportError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

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
