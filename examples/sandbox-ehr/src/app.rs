//! What every request handler shares: settings, store, the server's own addresses, and what a test
//! changes while it runs. It routes and judges nothing.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{SandboxError, config::Config, faults::Faults, front::Upstream, store::Store};

/// The shared state, cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    /// The server it stands in front of.
    pub(crate) upstream: Option<Upstream>,
    /// `http://127.0.0.1:8765`
    pub(crate) origin: String,
    /// `http://127.0.0.1:8765/fhir`
    pub(crate) base: String,
    auto_approve: Mutex<Option<String>>,
    scope_ceiling: Mutex<Option<Vec<String>>>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(config: Config, store: Store, port: u16) -> Result<Self, SandboxError> {
        let origin = format!("http://127.0.0.1:{port}");
        let upstream = config.in_front_of.as_deref().map(Upstream::new).transpose()?;
        let path = upstream.as_ref().map_or("/fhir", Upstream::path);
        Ok(Self(Arc::new(Shared {
            base: format!("{origin}{path}"),
            origin,
            upstream,
            auto_approve: Mutex::new(config.auto_approve.clone()),
            scope_ceiling: Mutex::default(),
            faults: Faults::default(),
            config,
            store,
        })))
    }

    pub(crate) fn auto_approve(&self) -> Option<String> {
        self.auto_approve.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_auto_approve(&self, patient: Option<String>) {
        *self.auto_approve.lock().unwrap_or_else(PoisonError::into_inner) = patient;
    }

    pub(crate) fn scope_ceiling(&self) -> Option<Vec<String>> {
        self.scope_ceiling.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_scope_ceiling(&self, ceiling: Option<Vec<String>>) {
        *self.scope_ceiling.lock().unwrap_or_else(PoisonError::into_inner) = ceiling;
    }
}
