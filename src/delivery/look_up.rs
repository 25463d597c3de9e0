//! Looks up, by identifier, what was sent with unknown outcome. A value one steps: it makes
//! requests and reads answers, and sends nothing itself.

use super::assemble::dialect;
use crate::error::Error;
use crate::fhir::{Identifier, ResourceType, parse_found, search_form, sent_resources};
use crate::smart::GrantedScopes;
use crate::store::{BatchId, BatchRecord, ConnectionRecord};
use crate::submission::{LookedUp, NoAnswer, Part, Places, Policy, RetryAfter};
use http::header;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

/// Identifiers of one request: no receiver cuts so short a list. Fewer if its answer took longer
/// than the time there was.
const PER_REQUEST: usize = 10;
/// Pages of one search.
const MAX_PAGES: usize = 20;

/// The search for one batch's entries.
pub struct LookUp {
    /// The batch.
    pub batch: BatchId,
    base: Url,
    resources: String,
    wanted: Vec<Identifier>,
    found: HashMap<Identifier, String>,
    /// How many of `wanted` were asked for and answered.
    answered: usize,
    /// How many are asked for at once.
    per_request: usize,
    /// Whether the receiver takes searches as forms, as far as is known.
    forms: bool,
    next_page: Option<Url>,
    pages: usize,
}

/// Hides identifiers.
impl std::fmt::Debug for LookUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookUp").field("batch", &self.batch).finish_non_exhaustive()
    }
}

/// Whether a part's resources can be searched for: the receiver offers it, and granted it.
pub(super) fn is_searchable(connection: &ConnectionRecord, part: Part) -> bool {
    let Ok(dialect) = dialect(connection) else { return false };
    let written = dialect.writes(part);
    let offered = match written.resource {
        ResourceType::Device => connection.receiver.searches_devices,
        ResourceType::Observation => connection.receiver.searches_observations,
        _ => false,
    };
    let scopes = GrantedScopes::parse(&connection.details.scopes);
    offered && scopes.may_search(written.resource, written.category)
}

impl LookUp {
    /// The search for the entries of a batch that was sent as `json`; it goes on where an earlier
    /// one ran out of time.
    pub(super) fn of(
        connection: &ConnectionRecord,
        batch: &BatchRecord,
        json: &[u8],
    ) -> Result<Self, Error> {
        let part = batch.content.part;
        let wanted: Vec<Identifier> =
            sent_resources(json).into_iter().map(|(identifier, _)| identifier).collect();
        let Places(before) = &batch.content.looked_up;
        let before = if before.len() < wanted.len() { before.as_slice() } else { &[] };
        let placed = wanted.iter().zip(before);
        let found = placed.filter_map(|(one, place)| Some((*one, place.clone()?))).collect();
        let base = Url::parse(&connection.base)
            .map_err(|_| Error::Assembly("the receiver's address is malformed"))?;
        Ok(Self {
            batch: batch.id,
            resources: format!(
                "{}/{}",
                connection.base,
                dialect(connection)?.writes(part).resource.name()
            ),
            base,
            answered: before.len(),
            per_request: (PER_REQUEST >> batch.content.attempts.stuck_lookups.min(8)).max(1),
            wanted,
            found,
            forms: true,
            next_page: None,
            pages: 0,
        })
    }

    /// The next request, without a token.
    ///
    /// # Errors
    /// [`Error::Assembly`] if the receiver's address is malformed.
    pub fn request(&self) -> Result<http::Request<Vec<u8>>, Error> {
        let query = search_form(self.asked());
        let request = match &self.next_page {
            Some(next) => http::Request::get(next.as_str()).body(Vec::new()),
            None if self.forms => http::Request::post(format!("{}/_search", self.resources))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(query.into_bytes()),
            None => http::Request::get(format!("{}?{query}", self.resources)).body(Vec::new()),
        };
        let mut request =
            request.map_err(|_| Error::Assembly("the receiver's address is malformed"))?;
        for (name, value) in [
            (header::ACCEPT, "application/fhir+json"),
            // Some receivers answer a repeated search from memory.
            (header::CACHE_CONTROL, "no-cache"),
            // Better no answer than one that passes over the identifiers.
            (header::HeaderName::from_static("prefer"), "handling=strict"),
        ] {
            request.headers_mut().insert(name, header::HeaderValue::from_static(value));
        }
        Ok(request)
    }

    /// How long the next answer is waited for, if so much time is `left`; `None` if it does not
    /// suffice for a request: then it is [out of time](Self::out_of_time).
    pub fn timeout(left: Duration) -> Option<Duration> {
        let policy = Policy::default();
        let longest = policy.request_timeout.to_std().unwrap_or_default();
        let least = policy.least_request.to_std().unwrap_or_default();
        (left >= least).then(|| left.min(longest))
    }

    /// The search ends here for lack of time, and goes on another time.
    pub fn out_of_time(&self) -> LookedUp {
        LookedUp::OutOfTime(self.places())
    }

    /// No answer came, and so much time is `left`: the end of ours is no failure of the receiver.
    pub fn unanswered(&self, why: NoAnswer, left: Duration) -> LookedUp {
        match why {
            NoAnswer::NotMade => LookedUp::Impossible,
            NoAnswer::Redirected => LookedUp::Redirected,
            NoAnswer::Lost if Self::timeout(left).is_none() => self.out_of_time(),
            _ => self.failed(None),
        }
    }

    fn failed(&self, asked: Option<RetryAfter>) -> LookedUp {
        LookedUp::Failed(asked, self.places())
    }

    fn asked(&self) -> &[Identifier] {
        let end = self.wanted.len().min(self.answered + self.per_request);
        self.wanted.get(self.answered..end).unwrap_or_default()
    }

    /// Reads an answer. `None` if there is another request to make.
    pub fn answer(
        &mut self,
        status: u16,
        retry_after: Option<RetryAfter>,
        body: &[u8],
    ) -> Option<LookedUp> {
        match status {
            200 => self.page(body),
            401 => Some(LookedUp::TokenRefused),
            400 | 404 | 405 | 406 | 410 | 414 | 415 | 422 | 501 if self.forms => {
                self.forms = false;
                self.next_page = None;
                None
            }
            300..=399 | 408 | 425 | 429 | 500 | 502..=599 => Some(self.failed(retry_after)),
            _ => Some(LookedUp::Impossible),
        }
    }

    fn page(&mut self, body: &[u8]) -> Option<LookedUp> {
        // A network's sign-in page, or an error behind a 200: another time it may be an answer.
        let Ok(page) = parse_found(body, &self.base) else { return Some(self.failed(None)) };
        // Then what was not found may be there all the same.
        if page.failed {
            return Some(self.failed(None));
        }
        for (identifiers, resource) in page.resources {
            // Something nobody asked for: then what was not found says nothing.
            let ours = identifiers.into_iter().find(|identifier| self.asked().contains(identifier));
            let Some(ours) = ours else { return Some(LookedUp::Impossible) };
            let location = location(resource.get()).unwrap_or_default();
            self.found.entry(ours).or_insert(location);
        }
        self.pages += 1;
        self.next_page = page.next;
        if self.next_page.is_some() {
            return (self.pages >= MAX_PAGES).then_some(LookedUp::Impossible);
        }
        self.pages = 0;
        self.answered += self.asked().len();
        (self.answered >= self.wanted.len()).then(|| LookedUp::Searched(self.places()))
    }

    /// Where each entry is that was asked for and answered, from the first one on.
    fn places(&self) -> Places {
        let place = |identifier| self.found.get(identifier).cloned();
        Places(self.wanted.iter().take(self.answered).map(place).collect())
    }
}

/// `Type/id` of a resource.
fn location(resource: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Resource {
        resource_type: String,
        id: String,
    }
    let resource: Resource = serde_json::from_str(resource).ok()?;
    crate::fhir::PatientId::new(&resource.id).ok()?;
    Some(format!("{}/{}", resource.resource_type, resource.id))
}
