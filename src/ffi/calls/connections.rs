//! Connections: making, confirming and ending them, and what their receivers ask for.

use crate::ffi::CgmSubmitter;
use crate::ffi::error::CgmError;
use crate::ffi::records::ConnectionId;
use crate::ffi::records::connections::{AuthorizationRequest, Connection, Receiver, Revocation};
use crate::ffi::records::orders::Orders;

#[uniffi::export]
impl CgmSubmitter {
    /// Starts connecting: open the URL in the system's browser.
    pub async fn begin_connection(
        &self,
        receiver: Receiver,
    ) -> Result<AuthorizationRequest, CgmError> {
        Ok(self.submitter.begin_connection(receiver.try_into()?).await?.into())
    }

    /// Completes connecting with the URL the browser was redirected to, also in a new process.
    /// Nothing is sent before the person confirmed the patient. If the patient's name cannot be
    /// read for now it is left out, and `fetch_patient` reads it.
    pub async fn complete_connection(&self, redirect_url: String) -> Result<Connection, CgmError> {
        Ok(self.submitter.complete_connection(redirect_url).await?.into())
    }

    /// Reads the patient's name and birth date anew, to show them to the person. For a connection
    /// that came without them because the read failed: without both it cannot be confirmed.
    pub async fn fetch_patient(&self, connection: ConnectionId) -> Result<Connection, CgmError> {
        Ok(self.submitter.fetch_patient(connection.into()).await?.into())
    }

    /// The person said "this is me" to the connection's patient, whose name and birth date they
    /// saw.
    pub async fn confirm_patient(&self, connection: ConnectionId) -> Result<(), CgmError> {
        Ok(self.submitter.confirm_patient(connection.into()).await?)
    }

    /// Every connection and its state.
    pub async fn connections(&self) -> Result<Vec<Connection>, CgmError> {
        Ok(self.submitter.connections().await?.into_iter().map(Connection::from).collect())
    }

    /// Ends a connection: its tokens and what is queued for it go at once, and the token is given
    /// back if the receiver takes it.
    pub async fn disconnect(&self, connection: ConnectionId) -> Result<Revocation, CgmError> {
        Ok(self.submitter.disconnect(connection.into()).await?.into())
    }

    /// Reads the receiver's standing orders for the patient, and keeps them.
    pub async fn refresh_orders(&self, connection: ConnectionId) -> Result<Orders, CgmError> {
        Ok(self.submitter.refresh_orders(connection.into()).await?.into())
    }

    /// The standing orders as last read, and what of them is not followed.
    pub async fn orders(&self, connection: ConnectionId) -> Result<Orders, CgmError> {
        Ok(self.submitter.orders(connection.into()).await?.into())
    }
}
