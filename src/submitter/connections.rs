//! Connections: making, confirming and ending them, and what their receivers ask for.

use super::{Connection, Orders, Submitter, order_search};
use crate::connect::{AuthorizationRequest, Receiver, Revocation};
use crate::error::Error;
use crate::store::{ConnectionId, Store};
use crate::submission::Policy;

impl Submitter {
    /// Starts connecting to a receiver: open the URL in the system's browser, then pass the
    /// redirect to [`Submitter::complete_connection`], also in a new process.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let receiver = clinic.receiver();
    /// let request = cgm.begin_connection(receiver).await?;
    /// println!("open {}", request.url);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the receiver cannot be reached or is no SMART server, or the vault fails.
    pub async fn begin_connection(
        &self,
        receiver: Receiver,
    ) -> Result<AuthorizationRequest, Error> {
        self.run("begin-connection", |inner| async move {
            Ok(inner.parts().await?.connector.begin(&receiver).await?)
        })
        .await
    }

    /// Completes connecting with the URL the browser was redirected to. Nothing is sent before the
    /// person confirmed the patient.
    ///
    /// The connection is made also if the patient's name cannot be read for now: it is left out
    /// then, and [`Submitter::fetch_patient`] reads it.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let request = cgm.begin_connection(clinic.receiver()).await?;
    /// # let redirect = clinic.browser(&request.url).await;
    /// let connection = cgm.complete_connection(redirect).await?;
    /// let patient = connection.patient;
    /// println!("Is this you? {:?}, born {:?}", patient.name, patient.birth_date);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the redirect is not the one asked for, was denied, or brings a token for
    /// another patient.
    pub async fn complete_connection(&self, redirect_url: String) -> Result<Connection, Error> {
        self.run("complete-connection", |inner| async move {
            let parts = inner.parts().await?;
            let record = parts.connector.complete(&redirect_url).await?;
            Ok(Connection::of(record))
        })
        .await
    }

    /// Reads the patient's name and birth date anew, to show them to the person. For a connection
    /// that came without them because the read failed: without both it cannot be confirmed.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let request = cgm.begin_connection(clinic.receiver()).await?;
    /// # let redirect = clinic.browser(&request.url).await;
    /// let mut connection = cgm.complete_connection(redirect).await?;
    /// if connection.patient.name.is_none() {
    ///     connection = cgm.fetch_patient(connection.id).await?;
    /// }
    /// # connection = cgm.fetch_patient(connection.id).await?;
    /// assert_eq!(connection.patient.name.as_deref(), Some("Amy Shaw"));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the receiver does not answer or shows another patient, there is no such
    /// connection, or it needs the person to authorise again.
    pub async fn fetch_patient(&self, connection: ConnectionId) -> Result<Connection, Error> {
        let limit = Policy::default().call;
        self.run_within("fetch-patient", limit, move |inner| async move {
            let parts = inner.parts().await?;
            parts.delivery.refuse_while_it_waits(connection).await?;
            let record = parts.connector.fetch_patient(connection).await?;
            Ok(Connection::of(record))
        })
        .await
    }

    /// The person said "this is me" to the connection's patient, whose name and birth date they
    /// saw.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let request = cgm.begin_connection(clinic.receiver()).await?;
    /// # let redirect = clinic.browser(&request.url).await;
    /// # let connection = cgm.complete_connection(redirect).await?;
    /// use cgm_submitter::ConnectionState;
    ///
    /// assert_eq!(connection.state, ConnectionState::Unconfirmed);
    /// cgm.confirm_patient(connection.id).await?;
    /// assert_eq!(cgm.connections().await?[0].state, ConnectionState::Active);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if name or birth date are not known, so that nobody can have seen them
    /// ([`ErrorCode::PatientUnknown`](crate::ErrorCode::PatientUnknown): call
    /// [`Submitter::fetch_patient`] and show both first), the connection is for another patient, or
    /// there is no such connection.
    pub async fn confirm_patient(&self, connection: ConnectionId) -> Result<(), Error> {
        self.run("confirm-patient", |inner| async move {
            inner.parts().await?.connector.confirm(connection).await?;
            Ok(())
        })
        .await
    }

    /// Every connection and its state.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.connect(&cgm).await;
    /// for connection in cgm.connections().await? {
    ///     println!("{}: {:?}", connection.base, connection.state);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn connections(&self) -> Result<Vec<Connection>, Error> {
        self.run("connections", |inner| async move {
            let records = inner.parts().await?.store.read(Store::connections).await?;
            Ok(records.into_iter().map(Connection::of).collect())
        })
        .await
    }

    /// Ends a connection: its tokens and what is queued for it go at once, and the token is revoked
    /// if the receiver can.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// cgm.disconnect(connection.id).await?;
    /// assert!(cgm.connections().await?.is_empty());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database or the vault fails.
    pub async fn disconnect(&self, connection: ConnectionId) -> Result<Revocation, Error> {
        self.run("disconnect", |inner| async move {
            Ok(inner.parts().await?.connector.disconnect(connection).await?)
        })
        .await
    }

    /// Reads the receiver's standing orders for the patient, and keeps them as they came, also
    /// those that are not followed. One that the receiver no longer has runs no more.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// let orders = cgm.refresh_orders(connection.id).await?;
    /// assert_eq!(orders.active.len(), 1);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the receiver does not answer, or not with all of them, or the connection needs
    /// the person. While the receiver is to be left alone, whatever it said so to, it is not asked,
    /// and [`Error::retry_at`] says until when. The orders that were read before stay.
    pub async fn refresh_orders(&self, connection: ConnectionId) -> Result<Orders, Error> {
        let limit = Policy::default().call;
        self.run_within("refresh-orders", limit, move |inner| async move {
            let (today, now) = (inner.today().await?, inner.now());
            let parts = inner.parts().await?;
            let when = (now, today);
            let orders = order_search::refresh_orders(&parts, connection, when).await?;
            inner.environment.log.info(
                "orders-read",
                &[
                    ("connection", connection.into()),
                    ("active", orders.active.len().into()),
                    ("not-followed", orders.refused.len().into()),
                ],
            );
            Ok(orders)
        })
        .await
    }

    /// The standing orders as last read, and what of them is not followed, and why.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// # cgm.refresh_orders(connection.id).await?;
    /// for order in cgm.orders(connection.id).await?.refused {
    ///     println!("not followed: {}", order.reason);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the host cannot tell the time zone, or the database fails.
    pub async fn orders(&self, connection: ConnectionId) -> Result<Orders, Error> {
        self.run("orders", |inner| async move {
            let today = inner.today().await?;
            let parts = inner.parts().await?;
            parts
                .store
                .read(move |store| {
                    let connection = store.connection(connection)?;
                    order_search::stored_orders(store, &connection, today)
                })
                .await
        })
        .await
    }
}
