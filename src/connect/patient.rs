//! Whose record it is: the patient's name and birth date, which the person confirms.

use super::in_time::InTime;
use super::receiver::request;
use super::{AccessToken, ConnectError, Connector, Inner};
use crate::environment::{Deadline, Transport as _};
use crate::fhir::{PatientId, PatientIdentity, parse_patient};
use crate::smart::ReceiverBase;
use crate::store::{ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState, Store};

impl Connector {
    /// The person saw the patient's name and birth date and said "this is me". What an unconfirmed
    /// connection waits for.
    ///
    /// If name or birth date are missing, nobody can have seen them: this fails until
    /// [`fetch_patient`](Self::fetch_patient) brought both, and reads nothing by itself.
    ///
    /// # Errors
    /// [`ConnectError::PatientUnknown`] before both were read, [`ConnectError::OtherPatient`] on a
    /// blocked connection, [`ConnectError::Token`] if there is no such connection.
    pub async fn confirm(&self, id: ConnectionId) -> Result<ConnectionRecord, ConnectError> {
        // Nobody changes the patient's data or the state between the look at them and the change.
        let confirm = move |store: &mut Store| {
            let mut refused = None;
            let record = store.edit_connection(id, |record| {
                if let Err(error) = refuse_blocked(record) {
                    refused = Some(error);
                } else if !is_known(&record.details) {
                    refused = Some(ConnectError::PatientUnknown);
                } else {
                    record.details.confirmed = true;
                    if record.state == ConnectionState::Unconfirmed {
                        record.state = ConnectionState::Active;
                    }
                }
            })?;
            refused.map_or(Ok(record), Err)
        };
        let record = self.0.store.call(confirm).await?;
        self.0.environment.log.info("patient-confirmed", &[("connection", id.into())]);
        Ok(record)
    }

    /// Reads the patient's name and birth date anew: what [`confirm`](Self::confirm) needs if an
    /// earlier read failed. What the receiver does not say is left out.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn fetch_patient(&self, id: ConnectionId) -> Result<ConnectionRecord, ConnectError> {
        let (record, base) = self.0.receiver_of(id).await?;
        let patient =
            PatientId::new(record.patient).map_err(|_| ConnectError::Unreadable("patient"))?;
        let response = self.ask(id, &patient_request(&base, &patient)?).await?;
        let found = identity(&base, &response, &patient)?;
        let note = move |store: &mut Store| {
            let noted = store.edit_connection(id, |record| record.details.describe(found));
            noted.map_err(ConnectError::from)
        };
        let record = self.0.store.call(note).await?;
        let complete = is_known(&record.details).into();
        let fields = [("connection", id.into()), ("complete", complete)];
        self.0.environment.log.info("patient-read", &fields);
        Ok(record)
    }
}

impl ConnectionDetails {
    /// Takes over who the receiver says the patient is.
    pub(super) fn describe(&mut self, person: PatientIdentity) {
        self.patient_name = person.name;
        self.birth_date = person.birth_date;
    }
}

/// Whether there is something to confirm.
fn is_known(details: &ConnectionDetails) -> bool {
    details.patient_name.is_some() && details.birth_date.is_some()
}

fn refuse_blocked(record: &ConnectionRecord) -> Result<(), ConnectError> {
    match record.state {
        ConnectionState::OtherPatient => Err(ConnectError::OtherPatient),
        _ => Ok(()),
    }
}

fn patient_request(
    base: &ReceiverBase,
    patient: &PatientId,
) -> Result<http::Request<Vec<u8>>, ConnectError> {
    request(&base.at(&format!("Patient/{}", patient.as_str())), "application/fhir+json")
}

fn identity(
    base: &ReceiverBase,
    response: &http::Response<Vec<u8>>,
    patient: &PatientId,
) -> Result<PatientIdentity, ConnectError> {
    let host = base.host();
    match response.status().as_u16() {
        200 => parse_patient(response.body(), patient)
            .map_err(|error| ConnectError::Patient { host, error }),
        status => Err(ConnectError::Status { host, what: "patient", status }),
    }
}

impl Inner {
    pub(super) async fn record(&self, id: ConnectionId) -> Result<ConnectionRecord, ConnectError> {
        self.store.call(move |store| store.connection(id).map_err(ConnectError::from)).await
    }

    /// Reads the patient of a token that is not kept yet.
    pub(super) async fn read_patient(
        &self,
        token: &AccessToken,
        patient: &PatientId,
        deadline: Deadline,
    ) -> Result<PatientIdentity, ConnectError> {
        let base = token.base();
        let request = token
            .authorised_request(patient_request(base, patient)?)
            .map_err(|_| ConnectError::Unreadable("base URL"))?;
        let sent = InTime::new(&self.environment, deadline).send(request).await;
        let response =
            sent.map_err(|error| ConnectError::Transport { host: base.host(), error })?;
        identity(base, &response, patient)
    }
}
