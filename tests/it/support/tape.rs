//! The network between app and clinic: it writes down what is sent, and a test can tell it to hang,
//! hold, lose or answer.

use super::world::{MASS, MOLAR, SUMMARY};
use cgm_submitter::environment::{BoxFuture, Redirects, Transport, TransportError};
use cgm_submitter::transport::HttpTransport;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// A request as it left.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) origin: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) gzip: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) token: Option<String>,
    /// Whether it carries a bundle: nothing else is posted as FHIR.
    pub(crate) is_bundle: bool,
}

impl Sent {
    fn of(request: &http::Request<Vec<u8>>) -> Self {
        let header =
            |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Self {
            origin: format!("http://{}", request.uri().authority().unwrap()),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            gzip: header("content-encoding").as_deref() == Some("gzip"),
            body: request.body().clone(),
            token: header("authorization"),
            is_bundle: header("content-type").as_deref() == Some("application/fhir+json"),
        }
    }

    /// The bundle as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.gzip {
            GzDecoder::new(self.body.as_slice()).read_to_string(&mut text).unwrap();
            text
        } else {
            String::from_utf8(self.body.clone()).unwrap()
        }
    }

    /// The resources of the bundle.
    pub(crate) fn resources(&self) -> Vec<Value> {
        let bundle: Value = serde_json::from_str(&self.text()).unwrap();
        bundle["entry"].as_array().unwrap().iter().map(|entry| entry["resource"].clone()).collect()
    }
}

fn is_member(resource: &Value) -> bool {
    let code = resource["code"]["coding"][0]["code"].as_str();
    code.is_some_and(|code| ![MASS, MOLAR, SUMMARY].contains(&code))
}

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Fate {
    Pass,
    /// It never leaves, and nobody says so.
    HangUnsent,
    /// It arrives and is answered; the answer never comes.
    HangAnswered,
    /// It arrives and is answered; the connection breaks under the answer.
    LoseAnswer,
    /// It waits here until the gate opens.
    Hold(Arc<Gate>),
    /// The network answers in the clinic's place.
    Answer(u16, String),
}

/// Holds requests until it is opened.
pub(crate) struct Gate {
    reached: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { reached: Semaphore::new(0), open: Semaphore::new(0) })
    }

    /// Waits until a request is held.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Lets everything held go, and what comes later.
    pub(crate) fn open(&self) {
        self.open.close();
    }

    async fn hold(&self) {
        self.reached.add_permits(1);
        // An error says that the gate is open for good.
        let _ = self.open.acquire().await;
    }
}

type Rule = Box<dyn FnMut(&Sent) -> Fate + Send>;

/// What all the app's processes sent, and what becomes of what they send next.
#[derive(Default)]
pub(crate) struct Tape {
    sent: Mutex<Vec<Sent>>,
    rule: Mutex<Option<Rule>>,
    hung: Mutex<Option<Arc<Semaphore>>>,
}

impl Tape {
    /// From now on this decides.
    pub(crate) fn rule(&self, rule: impl FnMut(&Sent) -> Fate + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// From now on everything passes.
    pub(crate) fn no_rule(&self) {
        *self.rule.lock().unwrap() = None;
    }

    /// This happens to the `n`th bundle from now (from 1), everything else passes.
    pub(crate) fn at_bundle(&self, n: usize, fate: Fate) {
        let mut seen = 0;
        self.rule(move |sent| {
            seen += usize::from(sent.is_bundle);
            if seen == n && sent.is_bundle { fate.clone() } else { Fate::Pass }
        });
    }

    /// The network answers everything sent to a path that ends like this, and the rest passes.
    pub(crate) fn answer_at(&self, end: &'static str, status: u16, body: String) {
        self.rule(move |sent| {
            if sent.path.ends_with(end) { Fate::Answer(status, body.clone()) } else { Fate::Pass }
        });
    }

    /// Gets a permit for each request that hangs from now on.
    pub(crate) fn hung(&self) -> Arc<Semaphore> {
        let hung = Arc::new(Semaphore::new(0));
        *self.hung.lock().unwrap() = Some(Arc::clone(&hung));
        hung
    }

    /// Everything sent so far.
    pub(crate) fn requests(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Everything sent so far, in order.
    pub(crate) fn requests_sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Every request that carried a bundle, in order.
    pub(crate) fn bundles(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.is_bundle).cloned().collect()
    }

    /// Requests to a path that ends like this.
    pub(crate) fn sent_to(&self, end: &str) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.path.ends_with(end)).cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.sent.lock().unwrap().clear();
    }

    /// That no reading, device or summary was sent twice but in the very same bytes again. (A new
    /// summary brings all its members, also those whose figure did not change.)
    pub(crate) fn assert_only_same_bytes_again(&self) {
        let mut seen = HashSet::new();
        let mut bundle_of: BTreeMap<String, usize> = BTreeMap::new();
        for (number, sent) in self.bundles().iter().enumerate() {
            if !seen.insert(sent.text()) {
                continue;
            }
            for resource in sent.resources().iter().filter(|resource| !is_member(resource)) {
                let identifier = resource["identifier"][0]["value"].as_str().unwrap().to_owned();
                if let Some(earlier) = bundle_of.insert(identifier, number) {
                    panic!(
                        "bundle {number} sends again, in other bytes, what bundle {earlier} sent"
                    );
                }
            }
        }
    }

    fn fate(&self, request: &http::Request<Vec<u8>>) -> Fate {
        let sent = Sent::of(request);
        let fate = self.rule.lock().unwrap().as_mut().map_or(Fate::Pass, |rule| rule(&sent));
        self.sent.lock().unwrap().push(sent);
        fate
    }

    async fn hang(&self) -> ! {
        if let Some(hung) = self.hung.lock().unwrap().as_ref() {
            hung.add_permits(1);
        }
        std::future::pending().await
    }
}

/// One process's way to the network.
pub(crate) struct Wire {
    tape: Arc<Tape>,
    network: HttpTransport,
}

impl Wire {
    pub(crate) fn new(tape: &Arc<Tape>) -> Self {
        Self { tape: Arc::clone(tape), network: HttpTransport::new().unwrap() }
    }
}

impl Transport for Wire {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(async move {
            match self.tape.fate(&request) {
                Fate::Pass => self.network.send(request).await,
                Fate::HangUnsent => self.tape.hang().await,
                Fate::HangAnswered => {
                    let _lost = self.network.send(request).await;
                    self.tape.hang().await
                }
                Fate::LoseAnswer => {
                    let _lost = self.network.send(request).await;
                    Err(TransportError::Broken)
                }
                Fate::Hold(gate) => {
                    gate.hold().await;
                    self.network.send(request).await
                }
                Fate::Answer(status, body) => {
                    let response = http::Response::builder()
                        .status(status)
                        .header("content-type", "application/json");
                    Ok(response.body(body.into_bytes()).unwrap())
                }
            }
        })
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}
