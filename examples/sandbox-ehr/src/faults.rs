//! Trouble on request: failures and cut connections that a test asks for, handed out in order. It
//! decides nothing on its own and knows nothing of what the failing request carries.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Where a failure asked for should happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /fhir/$submit-cgm-bundle`; in front of a server every POST but a search.
    Submit,
    /// `POST /oauth/token`.
    Token,
    /// `POST /oauth/revoke`.
    Revocation,
    /// Reads and searches under `/fhir`, metadata and discovery included.
    Read,
}

/// How a connection is cut in the middle of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not at all.
    Never,
    /// Nothing is processed.
    BeforeProcessing,
    /// Everything is stored; the answer is lost.
    AfterCommit,
}

#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    failures: Mutex<HashMap<Endpoint, VecDeque<Failure>>>,
    cuts: Mutex<VecDeque<Cut>>,
    /// Status with which entries of a code (a LOINC code, or `Device`) are refused.
    refused_codes: Mutex<HashMap<String, u16>>,
    delay: Mutex<Duration>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
}

impl Faults {
    pub(crate) fn fail(&self, endpoint: Endpoint, times: usize, failure: &Failure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.entry(endpoint).or_default().extend(std::iter::repeat_n(failure.clone(), times));
    }

    pub(crate) fn next_failure(&self, endpoint: Endpoint) -> Option<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&endpoint)?.pop_front()
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).push_back(cut);
    }

    pub(crate) fn next_cut(&self) -> Option<Cut> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn set_refusal(&self, code: &str, status: Option<u16>) {
        let mut refused = self.refused_codes.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => refused.insert(code.to_owned(), status),
            None => refused.remove(code),
        };
    }

    pub(crate) fn refused_codes(&self) -> HashMap<String, u16> {
        self.refused_codes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    pub(crate) fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a submission as in flight until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        InFlight(self)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

pub(crate) struct InFlight<'a>(&'a Faults);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
