//! A running sandbox: start, stop, look inside and ask for trouble. This is the whole of what a
//! test can do to it apart from talking HTTP; it judges nothing.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    Endpoint, SandboxBuilder, SandboxError, SubmissionRecord,
    app::App,
    config::Config,
    faults::{Cut, Failure},
    http::router,
    listener::{CuttableListener, Scissors},
    store::{Store, StoredResource},
};

/// How long requests under way may take to finish when the sandbox stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A sandbox EHR that is serving. It stops when dropped; [`Sandbox::stop`] also waits until the
/// port is free.
///
/// ```no_run
/// # async fn example() -> Result<(), sandbox_ehr::SandboxError> {
/// let clinic = sandbox_ehr::Sandbox::builder().auto_approve("amy-shaw").start().await?;
/// println!("connect to {} as {}", clinic.base_url(), clinic.client_id());
/// # Ok(())
/// # }
/// ```
pub struct Sandbox {
    app: App,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("base_url", &self.app.base).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Settings for a new sandbox.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    pub(crate) async fn start(config: Config) -> Result<Self, SandboxError> {
        let store = Store::open(&config)?;
        let asked = config.port;
        let listen = |source| SandboxError::Listen { port: asked, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked)).await.map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let app = App::new(config, store, port)?;
        if let Some(patient) = app.auto_approve() {
            require_patient(&app, &patient)?;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let service = router(app.clone()).into_make_service_with_connect_info::<Scissors>();
        let serve =
            axum::serve(CuttableListener(listener), service).with_graceful_shutdown(async move {
                // A dropped sender means a dropped sandbox: stop as well.
                let _ = stopped.await;
            });
        let server = tokio::spawn(async move {
            // Serving ends only by the signal above.
            let _ = serve.await;
        });
        Ok(Self { app, port, stop: Some(stop), server: Some(server) })
    }

    /// The FHIR base URL, `http://127.0.0.1:PORT/fhir`.
    pub fn base_url(&self) -> String {
        self.app.base.clone()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The id of the first registered app.
    pub fn client_id(&self) -> String {
        self.app.config.clients.first().map(|client| client.id.clone()).unwrap_or_default()
    }

    /// The page for people.
    pub fn clinic_url(&self) -> String {
        format!("{}/clinic", self.app.origin)
    }

    /// Stops serving, lets requests under way finish for two seconds, and frees the port. State in
    /// a database file is there for the next start.
    ///
    /// # Errors
    /// When the server had ended before.
    pub async fn stop(mut self) -> Result<(), SandboxError> {
        drop(self.stop.take());
        let Some(mut server) = self.server.take() else { return Err(SandboxError::ServerGone) };
        match tokio::time::timeout(STOP_PATIENCE, &mut server).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SandboxError::ServerGone),
            Err(_) => {
                server.abort();
                Ok(())
            }
        }
    }

    /// What the clinic holds of a patient, in the order it came: by resource type (`Observation`)
    /// or code (`99504-3`). Numbers go through `f64`; use [`Sandbox::resource_texts`] to see
    /// their digits.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn resources(&self, patient: &str, type_or_code: &str) -> Result<Vec<Value>, SandboxError> {
        self.app
            .store
            .of_type_or_code(patient, type_or_code)?
            .iter()
            .map(StoredResource::json)
            .collect()
    }

    /// The same as [`Sandbox::resources`], as the text that is stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn resource_texts(
        &self,
        patient: &str,
        type_or_code: &str,
    ) -> Result<Vec<String>, SandboxError> {
        Ok(self
            .app
            .store
            .of_type_or_code(patient, type_or_code)?
            .into_iter()
            .map(|resource| resource.body)
            .collect())
    }

    /// Rewrites what the clinic holds of a patient, as a restored backup or a clerk would: `change`
    /// gets each resource of this type or code, and gives what is to stand in its place, or
    /// nothing to remove it. How it is found stays as it was.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn rewrite(
        &self,
        patient: &str,
        type_or_code: &str,
        change: impl FnMut(Value) -> Option<Value>,
    ) -> Result<(), SandboxError> {
        self.app.store.rewrite(patient, type_or_code, change)
    }

    /// All submissions that carried a valid token, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn submissions(&self) -> Result<Vec<SubmissionRecord>, SandboxError> {
        self.app.store.submissions(None)
    }

    /// From now on approves every authorisation request as this patient; `None` asks on the page.
    ///
    /// # Errors
    /// When there is no such patient.
    pub fn set_auto_approve(&self, patient: Option<&str>) -> Result<(), SandboxError> {
        if let Some(patient) = patient {
            require_patient(&self.app, patient)?;
        }
        self.app.set_auto_approve(patient.map(str::to_owned));
        Ok(())
    }

    /// From now on grants no scope but these, word for word; `None` lifts the restriction.
    pub fn set_scope_ceiling(&self, scopes: Option<&[&str]>) {
        self.app.set_scope_ceiling(
            scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        );
    }

    /// Replaces all orders of a patient. Each must be a `ServiceRequest`; ids are given where
    /// absent, the subject is set.
    ///
    /// # Errors
    /// When there is no such patient or something is not a `ServiceRequest`; then nothing is
    /// replaced.
    pub fn set_orders(&self, patient: &str, orders: &[Value]) -> Result<(), SandboxError> {
        self.app.store.set_orders(patient, orders)
    }

    /// Fails the next `times` submissions with this status (400 to 599) and `Retry-After`, if any.
    ///
    /// # Errors
    /// When the status is not an error status.
    pub fn fail_next(
        &self,
        times: usize,
        status: u16,
        retry_after: Option<&str>,
    ) -> Result<(), SandboxError> {
        self.fail_next_at(Endpoint::Submit, times, status, retry_after)
    }

    /// Like [`Sandbox::fail_next`], at another endpoint. Failures asked for add up.
    ///
    /// # Errors
    /// When the status is not an error status.
    pub fn fail_next_at(
        &self,
        endpoint: Endpoint,
        times: usize,
        status: u16,
        retry_after: Option<&str>,
    ) -> Result<(), SandboxError> {
        if !(400..600).contains(&status) {
            return Err(SandboxError::NotAnErrorStatus(status));
        }
        self.app.faults.fail(
            endpoint,
            times,
            &Failure { status, retry_after: retry_after.map(str::to_owned) },
        );
        Ok(())
    }

    /// From now on refuses every entry with this LOINC code (or `Device`) with this status (400 to
    /// 599), as a receiver with rules of its own does; `None` takes such entries again.
    ///
    /// # Errors
    /// When the status is not an error status.
    pub fn set_refusal(&self, code: &str, status: Option<u16>) -> Result<(), SandboxError> {
        match status {
            Some(status) if !(400..600).contains(&status) => {
                Err(SandboxError::NotAnErrorStatus(status))
            }
            status => {
                self.app.faults.set_refusal(code, status);
                Ok(())
            }
        }
    }

    /// Processes and stores the next submission, then cuts the connection instead of answering.
    pub fn drop_response_next(&self) {
        self.app.faults.cut(Cut::AfterCommit);
    }

    /// Lets this many submissions through before the next thing that is asked of a submission by
    /// `drop_…_next`.
    pub fn pass_next(&self, submissions: usize) {
        for _ in 0..submissions {
            self.app.faults.cut(Cut::Never);
        }
    }

    /// Cuts the connection of the next submission without processing it.
    pub fn drop_request_next(&self) {
        self.app.faults.cut(Cut::BeforeProcessing);
    }

    /// Lets every submission wait this long before it is judged.
    pub fn set_submission_delay(&self, delay: Duration) {
        self.app.faults.set_delay(delay);
    }

    /// The most submissions that were under way at the same time.
    pub fn peak_concurrent_submissions(&self) -> usize {
        self.app.faults.peak()
    }

    /// Ends every authorisation: access tokens, refresh tokens, codes.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn revoke_all_tokens(&self) -> Result<(), SandboxError> {
        self.app.store.revoke_all()
    }

    /// Lets every access token expire now; refresh tokens stay good.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn expire_access_tokens(&self) -> Result<(), SandboxError> {
        self.app.store.expire_access_tokens()
    }
}

/// In front of a server only that server knows its people: it is asked at the login.
fn require_patient(app: &App, patient: &str) -> Result<(), SandboxError> {
    if app.upstream.is_some() {
        return Ok(());
    }
    match app.store.resource("Patient", patient)? {
        Some(_) => Ok(()),
        None => Err(SandboxError::UnknownPatient(patient.to_owned())),
    }
}
