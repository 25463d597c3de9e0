//! Verifies a finished submission: asks the receiver for what it accepted, by identifier, and
//! compares.
//!
//! A search that does not find a thing proves little: an index may lag, a list may be cut, what is
//! there may be hidden. So what seems lacking is looked for twice, the second time a moment later
//! and in small groups. It is sent again only where the search was seen to find other things, or
//! what is lacking is not at its address either; only to a receiver that says, or has shown, that
//! it looks before it creates; and only once (`store::read_back`).

use super::assemble::{accepted_body, covered};
use super::{Delivery, Event};
use crate::error::Error;
use crate::fhir::{
    Addresses, Capability, EntryKind, Identifier, Kept, SearchError, compare, parse_capability,
    parse_found, search_form, sent_resources,
};
use crate::smart::{GrantedScopes, ResourceType, SearchToken};
use crate::store::{
    ConnectionRecord, ConnectionState, ReadingKey, SentStatus, SubmissionId, SubmissionState,
};
use crate::submission::{Backoff, Item, Part, Plan, Position, RetryAfter, WaitReason};
use chrono::{DateTime, Utc};
use http::header;
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

/// Identifiers of one request whose body is a form: URLs stay free of them, and of a length limit.
const PER_FORM: usize = 100;
/// Identifiers of one request where the receiver takes no forms.
const PER_URL: usize = 20;
/// Identifiers of one request at the second look: no receiver cuts so short a list.
const PER_SECOND_LOOK: usize = 10;
/// The moment between the two looks, for an index that lags.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// So many things are looked for a second time at once, where the search finds others.
const LACKING_AT_ONCE: usize = 500;
/// So many are not found before anything is, and the search does not work.
const LACKING_AT_FIRST: usize = 20_000;
/// Bytes of what was found that are held to be compared: many times what is sent in one request.
const MAX_HELD: usize = 16 << 20;
/// Pages of one search.
const MAX_PAGES: usize = 20;
/// Differences that are told one by one; more are counted.
const MAX_NAMED: usize = 100;

/// What a receiver has of a submission, as far as it lets itself be asked. The counts are of
/// entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// It has these as they were sent.
    pub confirmed: u64,
    /// It does not have these, though it had accepted them: the next submission sends them again.
    pub to_send_again: u64,
    /// It was not found to have these, and they are not sent again: they were before, or it might
    /// then have them twice.
    pub missing: u64,
    /// It has these, and they say something else.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// What cannot be verified, and why.
    pub not_verified: Vec<NotVerified>,
}

impl Verification {
    /// Whether the receiver has everything it accepted, as it was sent.
    pub fn is_complete(&self) -> bool {
        self.not_verified.is_empty()
            && self.to_send_again == 0
            && self.missing == 0
            && self.different == 0
    }
}

/// Something that stands otherwise at the receiver than it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: EntryKind,
    /// When it was measured, for a reading.
    pub time: Option<DateTime<Utc>>,
    /// The element that differs, `valueQuantity.value`; none where the clinic marked the whole as
    /// entered in error.
    pub element: Option<String>,
}

/// Hides the time: it is the person's.
impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Difference")
            .field("what", &self.what)
            .field("element", &self.element)
            .finish_non_exhaustive()
    }
}

/// A part of a submission that cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotVerified {
    /// Which part.
    pub part: Part,
    /// Why.
    pub why: CannotVerify,
}

/// Why a receiver cannot be asked for what it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotVerify {
    /// The submission is not done: verify it when it is.
    Unfinished,
    /// The authorisation does not cover searching: connect with read-back.
    NotGranted,
    /// Readings came in since it was sent, and what would be sent now says something else: submit
    /// again, then verify that.
    Changed,
    /// The receiver does not search by identifier.
    NotOffered,
    /// The receiver answers its searches with something else than was asked for.
    NotHonoured,
    /// The search finds nothing at all of what was accepted: more likely it does not work than
    /// everything is lost.
    NothingFound,
}

/// In words for a person.
impl std::fmt::Display for CannotVerify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "the submission is not done yet",
            Self::NotGranted => {
                "there is no permission to look: it is asked for when connecting with read-back"
            }
            Self::Changed => "it has changed since: submit again",
            Self::NotOffered => "the receiver offers no search by identifier",
            Self::NotHonoured => "the receiver's search answers with something else",
            Self::NothingFound => "the receiver's search finds nothing of what it accepted",
        })
    }
}

/// One entry as it would be sent now.
struct Expected {
    identifier: Identifier,
    json: String,
    item: Item,
}

impl Expected {
    fn what(&self) -> (EntryKind, Option<DateTime<Utc>>) {
        match &self.item {
            Item::Reading(key, ..) => {
                let seconds = ReadingKey::from_packed(*key).map(ReadingKey::seconds);
                let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
                (EntryKind::Reading, time)
            }
            Item::Resource(_, kind, _) => (*kind, None),
        }
    }
}

/// Why a search stopped.
enum Stop {
    Cannot(CannotVerify),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Delivery {
    /// Asks the receiver of a finished submission for what it accepted of it, compares, and marks
    /// what it lacks for sending again. Waits that the receiver asks for are waited out up to
    /// `patience` in all.
    ///
    /// # Errors
    /// [`Error`] where the receiver does not answer, the connection needs the person, or the store
    /// fails. What was marked stays so.
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        on_event: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<Verification, Error> {
        let (submission, connection) = self
            .store
            .call(move |store| {
                let submission = store.submission(submission)?;
                let connection = store.connection(submission.connection)?;
                Ok::<_, Error>((submission, connection))
            })
            .await?;
        if connection.state != ConnectionState::Active {
            return Err(Error::Blocked(connection.state));
        }
        let wanted = submission.plan.wanted;
        let parts = [
            (wanted.devices, Part::Devices),
            (wanted.summary, Part::Summary),
            (wanted.readings, Part::Readings),
        ];
        let parts = parts.into_iter().filter_map(|(wanted, part)| wanted.then_some(part));
        let mut verification = Verification::default();
        if submission.state == SubmissionState::Open {
            let why = CannotVerify::Unfinished;
            verification.not_verified = parts.map(|part| NotVerified { part, why }).collect();
            return Ok(verification);
        }
        let capability = self.capability(&connection).await?;
        let scopes = self.connector.access_token(connection.id).await?.scopes().clone();
        let mut search = Search {
            delivery: self,
            base: Url::parse(&connection.base)
                .map_err(|_| Error::Assembly("the receiver's address is malformed"))?,
            looks_before_creating: capability.conditional_create || connection.receiver.finds_again,
            left: patience,
            connection,
            plan: submission.plan,
            submission: submission.id,
            forms: true,
            found: 0,
            verification,
            on_event,
        };
        for part in parts {
            let outcome = match searchable(part, capability, &scopes) {
                Ok(()) => search.part(part).await,
                Err(why) => Err(Stop::Cannot(why)),
            };
            match outcome {
                Ok(()) => {}
                Err(Stop::Cannot(why)) => {
                    search.verification.not_verified.push(NotVerified { part, why });
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(search.verification)
    }

    async fn capability(&self, connection: &ConnectionRecord) -> Result<Capability, Error> {
        let unreadable = |why: String| Error::Unreadable { what: "capability statement", why };
        let request = http::Request::get(format!("{}/metadata", connection.base))
            .header(header::ACCEPT, "application/fhir+json")
            .body(Vec::new())
            .map_err(|_| unreadable("its address is malformed".to_owned()))?;
        let response = self.environment.transport.send(request).await?;
        match response.status().as_u16() {
            200 => parse_capability(response.body()).map_err(|error| unreadable(error.to_string())),
            status => Err(Error::Answer { what: "its capability statement", status }),
        }
    }
}

/// The type a part's resources have.
const fn resource_type(part: Part) -> ResourceType {
    match part {
        Part::Devices => ResourceType::Device,
        Part::Summary | Part::Readings => ResourceType::Observation,
    }
}

/// Whether a part's resources can be searched for by identifier.
fn searchable(
    part: Part,
    capability: Capability,
    scopes: &GrantedScopes,
) -> Result<(), CannotVerify> {
    let (offered, category) = match part {
        Part::Devices => (capability.device_search_by_identifier, None),
        Part::Summary | Part::Readings => {
            (capability.observation_search_by_identifier, Some(SearchToken::LABORATORY))
        }
    };
    if !scopes.may_search(resource_type(part), category) {
        Err(CannotVerify::NotGranted)
    } else if !offered {
        Err(CannotVerify::NotOffered)
    } else {
        Ok(())
    }
}

/// A verification under way.
struct Search<'a> {
    delivery: &'a Delivery,
    base: Url,
    connection: ConnectionRecord,
    /// Whether the receiver is known to honour conditional create.
    looks_before_creating: bool,
    /// What is left of the patience.
    left: Duration,
    plan: Plan,
    submission: SubmissionId,
    /// Whether the receiver takes searches as forms, as far as is known.
    forms: bool,
    /// How much was found, as it was sent or otherwise.
    found: u64,
    verification: Verification,
    on_event: &'a (dyn Fn(Event) + Send + Sync),
}

impl Search<'_> {
    async fn part(&mut self, part: Part) -> Result<(), Stop> {
        let mut position = match part {
            Part::Devices => Position::Devices,
            Part::Summary => Position::Summary,
            Part::Readings => Position::Readings(None),
        };
        self.found = 0;
        let mut lacking = Vec::new();
        loop {
            let (connection, plan) = (self.connection.clone(), self.plan);
            let body = self
                .delivery
                .store
                .call(move |store| accepted_body(store, &connection, &plan, position, PER_FORM))
                .await?;
            let Some(body) = body else {
                if part == Part::Summary {
                    self.summary_unchanged().await?;
                }
                break;
            };
            let resources = sent_resources(&body.json);
            let expected =
                resources.into_iter().zip(body.manifest).map(|((identifier, json), listed)| {
                    Expected { identifier, json: json.get().to_owned(), item: listed.item }
                });
            let per_request = if self.forms { PER_FORM } else { PER_URL };
            lacking.extend(self.look(part, expected.collect(), per_request).await?);
            if lacking.len() >= if self.found > 0 { LACKING_AT_ONCE } else { LACKING_AT_FIRST } {
                self.second_look(part, std::mem::take(&mut lacking)).await?;
            }
            match body.position_after {
                after @ Position::Readings(_) if part == Part::Readings => position = after,
                _ => break,
            }
        }
        self.second_look(part, lacking).await
    }

    /// That no summary of these dates was delivered: what is written now is not it, and cannot be
    /// compared.
    async fn summary_unchanged(&self) -> Result<(), Stop> {
        let (id, covered) = (self.connection.id, covered(&self.plan));
        let sent =
            self.delivery.store.call(move |store| store.resources_over(id, covered.dates)).await?;
        let delivered = sent.iter().any(|sent| {
            sent.kind == EntryKind::Summary
                && sent.covered == Some(covered)
                && sent.status == SentStatus::Delivered
        });
        if delivered { Err(Stop::Cannot(CannotVerify::Changed)) } else { Ok(()) }
    }

    /// Looks for these, counts what is found, and returns what is not.
    async fn look(
        &mut self,
        part: Part,
        mut expected: Vec<Expected>,
        per_request: usize,
    ) -> Result<Vec<Expected>, Stop> {
        let mut lacking = Vec::new();
        while !expected.is_empty() {
            let rest = expected.split_off(per_request.min(expected.len()));
            lacking.extend(self.look_for(part, expected).await?);
            expected = rest;
        }
        Ok(lacking)
    }

    /// The same by one request.
    async fn look_for(
        &mut self,
        part: Part,
        expected: Vec<Expected>,
    ) -> Result<Vec<Expected>, Stop> {
        let mut found: HashMap<Identifier, Vec<String>> = HashMap::new();
        let identifiers: Vec<Identifier> = expected.iter().map(|one| one.identifier).collect();
        self.ask(part, &identifiers, &mut found).await?;
        let mut addresses = Addresses::at(&self.base);
        for (identifier, all) in &found {
            if let Some(first) = all.first().and_then(|first| as_json(first)) {
                addresses.note(*identifier, first);
            }
        }
        let mut lacking = Vec::new();
        let mut checked = 0;
        for one in expected {
            let Some(all) = found.get(&one.identifier) else {
                lacking.push(one);
                continue;
            };
            checked += 1;
            self.count(&one, all, &addresses);
        }
        self.found += checked as u64;
        (self.on_event)(Event::Verified { submission: self.submission, entries: checked });
        Ok(lacking)
    }

    /// Counts one that was found, several times where the receiver has twins of it.
    fn count(&mut self, one: &Expected, all: &[String], addresses: &Addresses) {
        let mut otherwise = None;
        for found in all {
            let kept = as_json(&one.json)
                .zip(as_json(found))
                .map(|(sent, found)| compare(sent, found, addresses));
            match kept {
                Some(Kept::AsSent) => {
                    self.verification.confirmed += 1;
                    return;
                }
                Some(Kept::Differently(element)) => otherwise = Some(element),
                Some(Kept::Withdrawn) | None => {}
            }
        }
        self.verification.different += 1;
        if self.verification.differences.len() < MAX_NAMED {
            let (what, time) = one.what();
            self.verification.differences.push(Difference { what, time, element: otherwise });
        }
    }

    /// Looks again for what was not found, and marks what is still not for sending again.
    async fn second_look(&mut self, part: Part, lacking: Vec<Expected>) -> Result<(), Stop> {
        if lacking.is_empty() {
            return Ok(());
        }
        self.delivery.environment.timer.sleep(SECOND_LOOK).await;
        let lacking = self.look(part, lacking, PER_SECOND_LOOK).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        if self.found == 0 && !self.are_gone(&lacking).await? {
            self.verification.missing += lacking.len() as u64;
            return Err(Stop::Cannot(CannotVerify::NothingFound));
        }
        let marked = self.mark(part, &lacking).await?;
        self.verification.to_send_again += marked;
        self.verification.missing += lacking.len() as u64 - marked;
        Ok(())
    }

    /// Whether these are not where the receiver had put them: then it is not the search that fails.
    /// No when that is not known of one.
    async fn are_gone(&self, lacking: &[Expected]) -> Result<bool, Stop> {
        for one in lacking {
            let Item::Resource(identifier, ..) = &one.item else { return Ok(false) };
            let (id, identifier) = (self.connection.id, identifier.clone());
            let sent =
                self.delivery.store.call(move |store| store.resource(id, &identifier)).await?;
            let Some(location) = sent.and_then(|sent| sent.location) else { return Ok(false) };
            let request =
                http::Request::get(format!("{}/{location}", self.connection.base)).body(Vec::new());
            let request = request.map_err(|_| Error::Assembly("a location is malformed"))?;
            let response = self.ask_alone(&request).await?;
            if !matches!(response.status().as_u16(), 404 | 410) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Marks these for sending again where that is safe; how many were.
    async fn mark(&self, part: Part, lacking: &[Expected]) -> Result<u64, Error> {
        let (id, code) = (self.connection.id, self.plan.wanted.unit);
        let (mut readings, mut resources) = (Vec::new(), Vec::new());
        for one in lacking {
            match &one.item {
                Item::Reading(key, version, _) => {
                    readings.extend(ReadingKey::from_packed(*key).map(|key| (key, *version)));
                }
                Item::Resource(identifier, ..) => resources.push(identifier.clone()),
            }
        }
        let connection = self.connection.clone();
        let (plan, count, looks_before_creating) =
            (self.plan, lacking.len(), self.looks_before_creating);
        self.delivery
            .store
            .call(move |store| {
                let known = store.connection(id)?.receiver;
                // What is sent once more to a receiver that creates whatever it is sent might stand
                // there twice.
                if !looks_before_creating
                    || known.conditional_create == Some(false)
                    || known.keeps_no_copies
                {
                    return Ok(0);
                }
                if part == Part::Summary {
                    // A summary stays together with its figures: all of it goes again, and the
                    // receiver keeps what it has.
                    let unit = accepted_body(store, &connection, &plan, Position::Summary, 1)?;
                    let summary = unit.and_then(|unit| unit.manifest.into_iter().next_back());
                    return match summary.map(|listed| listed.item) {
                        Some(Item::Resource(identifier, ..))
                            if store.send_resource_again(id, &identifier)? =>
                        {
                            Ok(count as u64)
                        }
                        _ => Ok(0),
                    };
                }
                let mut marked = store.send_again(id, code, &readings)? as u64;
                for identifier in &resources {
                    marked += u64::from(store.send_resource_again(id, identifier)?);
                }
                Ok::<_, Error>(marked)
            })
            .await
    }

    /// Asks for these, and adds what is found.
    async fn ask(
        &mut self,
        part: Part,
        asked: &[Identifier],
        found: &mut HashMap<Identifier, Vec<String>>,
    ) -> Result<(), Stop> {
        if self.forms {
            match self.pages(part, asked, found, true).await {
                Err(Stop::Cannot(CannotVerify::NotOffered)) => self.forms = false,
                outcome => return outcome,
            }
        }
        for asked in asked.chunks(PER_URL) {
            self.pages(part, asked, found, false).await?;
        }
        Ok(())
    }

    /// Asks once, by form or by URL, and follows the pages.
    async fn pages(
        &mut self,
        part: Part,
        asked: &[Identifier],
        found: &mut HashMap<Identifier, Vec<String>>,
        form: bool,
    ) -> Result<(), Stop> {
        let malformed = || Error::Assembly("the receiver's address is malformed");
        let mut held = 0;
        let resources = format!("{}/{}", self.connection.base, resource_type(part).name());
        let query = search_form(asked);
        let mut request = if form {
            http::Request::post(format!("{resources}/_search"))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(query.into_bytes())
        } else {
            http::Request::get(format!("{resources}?{query}")).body(Vec::new())
        };
        for _ in 0..MAX_PAGES {
            let mut asking = request.map_err(|_| malformed())?;
            for (name, value) in [
                (header::ACCEPT, "application/fhir+json"),
                // Some receivers answer a repeated search from memory.
                (header::CACHE_CONTROL, "no-cache"),
                // Better no answer than one that passes over the identifiers.
                (header::HeaderName::from_static("prefer"), "handling=strict"),
            ] {
                asking.headers_mut().insert(name, header::HeaderValue::from_static(value));
            }
            let response = self.answer(&asking).await?;
            let page = parse_found(response.body(), &self.base).map_err(|error| match error {
                SearchError::NextElsewhere | SearchError::TooMany => {
                    Stop::Cannot(CannotVerify::NotHonoured)
                }
                error => Stop::Failed(Error::Unreadable {
                    what: "search result",
                    why: error.to_string(),
                }),
            })?;
            for (identifiers, resource) in page.resources {
                // Something nobody asked for: then what was not found says nothing.
                let ours = identifiers.into_iter().find(|identifier| asked.contains(identifier));
                let ours = ours.ok_or(Stop::Cannot(CannotVerify::NotHonoured))?;
                held += resource.get().len();
                if held > MAX_HELD {
                    return Err(Stop::Cannot(CannotVerify::NotHonoured));
                }
                found.entry(ours).or_default().push(resource.get().to_owned());
            }
            match page.next {
                Some(next) => request = http::Request::get(next.as_str()).body(Vec::new()),
                None => return Ok(()),
            }
        }
        Err(Stop::Cannot(CannotVerify::NotHonoured))
    }

    /// One request of a connection at a time, be it to send or to look.
    async fn ask_alone(
        &self,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Stop> {
        let _lock = self.delivery.lock(self.connection.id).await?;
        Ok(self.delivery.connector.ask(self.connection.id, request).await?)
    }

    /// The answer to a search, waited for where the receiver asks for that.
    async fn answer(
        &mut self,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Stop> {
        let backoff = Backoff::default();
        let mut attempt = 0;
        loop {
            let response = self.ask_alone(request).await?;
            match response.status().as_u16() {
                200 => return Ok(response),
                401 | 403 => return Err(Stop::Cannot(CannotVerify::NotGranted)),
                status @ (408 | 425 | 429 | 500 | 502..=504) => {
                    attempt += 1;
                    let now = self.delivery.environment.clock.now();
                    let asked = response
                        .headers()
                        .get(header::RETRY_AFTER)
                        .and_then(|value| value.to_str().ok());
                    let wait = backoff.delay(attempt, 0, asked.and_then(RetryAfter::parse), now);
                    let pause = wait.to_std().unwrap_or_default();
                    let Some(left) = self.left.checked_sub(pause) else {
                        return Err(Error::Answer { what: "what it accepted", status }.into());
                    };
                    self.left = left;
                    let reason = if asked.is_some() {
                        WaitReason::ReceiverAsked
                    } else {
                        WaitReason::ReceiverBusy
                    };
                    (self.on_event)(Event::Waiting { until: now + wait, reason });
                    self.delivery.environment.timer.sleep(pause).await;
                }
                400 | 404 | 405 | 406 | 410 | 414 | 415 | 422 | 501 => {
                    return Err(Stop::Cannot(CannotVerify::NotOffered));
                }
                status => return Err(Error::Answer { what: "what it accepted", status }.into()),
            }
        }
    }
}

fn as_json(text: &str) -> Option<&serde_json::value::RawValue> {
    serde_json::from_str(text).ok()
}
