//! From a receiver's address to a connection that the person confirmed.

use crate::clinic::Clinic;
use crate::{Failure, person};
use cgm_submitter::{Connection, ConnectionState, Receiver, Submitter};

/// Where to, and as which client.
pub(crate) struct Place {
    pub(crate) base: String,
    pub(crate) client_id: String,
}

/// How a connection is made: to where, and whether with leave to look afterwards.
pub(crate) struct Connecting<'a> {
    pub(crate) cgm: &'a Submitter,
    pub(crate) place: &'a Place,
    /// The sandbox, if it is that: it approves by itself.
    pub(crate) clinic: Option<&'a Clinic>,
    pub(crate) read_back: bool,
}

impl Connecting<'_> {
    /// The connection of an earlier run, if there is one that can send.
    pub(crate) async fn known(&self) -> Result<Option<Connection>, Failure> {
        let base = self.place.base.trim_end_matches('/');
        let mut all = self.cgm.connections().await?.into_iter();
        let known = all.find(|c| c.base == base && c.state == ConnectionState::Active);
        if let Some(connection) = &known {
            say!("Connected to {} since an earlier run", connection.base);
        }
        Ok(known)
    }

    /// Authorises in the browser, and lets the person confirm whose record it is. There may be a
    /// connection already: it gets the new leave.
    pub(crate) async fn authorise(&self) -> Result<Connection, Failure> {
        let listener = person::listen().await?;
        let mut receiver =
            Receiver::new(&self.place.base, &self.place.client_id, listener.redirect_uri())?;
        if self.read_back {
            receiver = receiver.with_read_back();
        }
        let request = self.cgm.begin_connection(receiver).await?;
        let redirect = if let Some(clinic) = self.clinic {
            clinic.approve(&request.url).await?
        } else {
            say!("Open this in your browser:\n\n  {}\n", request.url);
            say!("Waiting for it to come back; Ctrl-C gives up");
            person::open_browser(&request.url);
            listener.redirect().await?
        };
        let connection = self.cgm.complete_connection(redirect).await?;
        self.confirm(connection).await
    }

    async fn confirm(&self, mut connection: Connection) -> Result<Connection, Failure> {
        if connection.patient.name.is_none() && connection.patient.birth_date.is_none() {
            // Nobody can say "this is me" to nobody.
            connection = self.cgm.fetch_patient(connection.id).await?;
        }
        let patient = &connection.patient;
        say!(
            "Connected to {}: patient {}, born {}",
            connection.base,
            patient.name.as_deref().unwrap_or("without a name"),
            patient.birth_date.as_deref().unwrap_or("on an unknown date")
        );
        if connection.state == ConnectionState::Unconfirmed {
            if self.clinic.is_none() && !person::ask("Is this you? [y/N] ")? {
                self.cgm.disconnect(connection.id).await?;
                return Err("not confirmed: nothing was sent, the connection is gone".into());
            }
            self.cgm.confirm_patient(connection.id).await?;
            say!("Confirmed: this is me");
        }
        Ok(connection)
    }
}
