//! The sandbox EHR in this process, its state and port kept beside the database.

use crate::connecting::Place;
use crate::{Failure, beside, person};
use cgm_submitter::HttpTransport;
use cgm_submitter::environment::Transport;
use sandbox_ehr::Sandbox;
use std::path::Path;

/// The patient the sandbox approves by itself.
const PATIENT: &str = "amy-shaw";

/// A running sandbox.
pub(crate) struct Clinic(Sandbox);

impl Clinic {
    /// Starts the clinic of this database: the same one, at the same address, as in earlier runs.
    pub(crate) async fn open(database: &Path) -> Result<Self, Failure> {
        let port_file = beside(database, "clinic-port");
        let port = std::fs::read_to_string(&port_file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0_u16);
        let sandbox = Sandbox::builder()
            .database(beside(database, "clinic"))
            .port(port)
            .auto_approve(PATIENT)
            .start()
            .await
            .map_err(|error| {
                format!(
                    "the sandbox clinic of this database does not start; does it run already? \
                    ({error})"
                )
            })?;
        std::fs::write(&port_file, sandbox.port().to_string())?;
        Ok(Self(sandbox))
    }

    /// Where it is, and as which client the app is known there.
    pub(crate) fn place(&self) -> Place {
        Place { base: self.0.base_url(), client_id: self.0.client_id() }
    }

    /// Follows the authorisation URL as a browser would; the sandbox approves by itself and
    /// redirects back.
    pub(crate) async fn approve(&self, url: &str) -> Result<String, Failure> {
        let request = http::Request::get(url).body(Vec::new())?;
        let response = HttpTransport::new()?.send(request).await?;
        let location = response.headers().get("location").ok_or("the clinic did not redirect")?;
        Ok(location.to_str()?.to_owned())
    }

    /// How to see what the clinic received.
    pub(crate) fn say_where_to_look(&self, database: &Path, fleeting: bool) -> Result<(), Failure> {
        if fleeting && !person::interactive() {
            say!("To look at what the clinic received, run again with --database FILE");
            return Ok(());
        }
        if person::interactive() {
            say!("What the clinic received: {}", self.0.clinic_url());
            person::ask("Press Enter to close the clinic ")?;
        } else {
            say!(
                "What the clinic received: cargo run --release -p sandbox-ehr -- --port {} \
                    --database {}, then {}",
                self.0.port(),
                quoted(&beside(database, "clinic")),
                self.0.clinic_url()
            );
        }
        Ok(())
    }

    /// Stops it; its state stays.
    pub(crate) async fn close(self) {
        // Its state is on disk already; a failure to stop changes nothing.
        let _ = self.0.stop().await;
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
