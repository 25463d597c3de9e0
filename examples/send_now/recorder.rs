//! The network, and a record of what was sent.

use crate::private::{Output, make_folder};
use cgm_submitter::HttpTransport;
use cgm_submitter::environment::{BoxFuture, Redirects, Transport, TransportError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The built-in transport, which also saves each bundle it sends.
pub(crate) struct Recorder {
    transport: HttpTransport,
    folder: Option<PathBuf>,
    saved: AtomicU32,
    failure: Mutex<Option<String>>,
}

impl Recorder {
    /// Saves into `folder`, which is made if it is not there.
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, crate::Failure> {
        if let Some(folder) = folder {
            make_folder(folder)
                .and_then(|()| Output::open(&bundle(folder, 1)))
                .map_err(|error| format!("--save-bundles {}: {error}", folder.display()))?;
        }
        Ok(Self {
            transport: HttpTransport::new()?,
            folder: folder.map(Path::to_owned),
            saved: AtomicU32::new(0),
            failure: Mutex::new(None),
        })
    }

    /// Why a bundle was sent and not saved, if one was.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn save(&self, folder: &Path, request: &http::Request<Vec<u8>>) {
        let is = |name: &str, value: &str| {
            request.headers().get(name).is_some_and(|found| found == value)
        };
        if !is("content-type", "application/fhir+json") {
            return;
        }
        let file = bundle(folder, self.saved.fetch_add(1, Ordering::Relaxed) + 1);
        let write = || {
            let mut inflated = Vec::new();
            if is("content-encoding", "gzip") {
                flate2::read::GzDecoder::new(request.body().as_slice())
                    .read_to_end(&mut inflated)?;
            } else {
                inflated.clone_from(request.body());
            }
            Output::open(&file)?.write(&inflated)
        };
        if let Err(error) = write() {
            let failed = format!("--save-bundles {}: {error}", file.display());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failed);
        }
    }
}

fn bundle(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("bundle-{number:04}.json"))
}

impl Transport for Recorder {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        // A bundle that cannot be saved is sent all the same: to the delivery it would look like a
        // receiver that fails.
        if let Some(folder) = &self.folder {
            self.save(folder, &request);
        }
        self.transport.send(request)
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}
