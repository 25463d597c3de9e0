//! Verifies a finished submission: asks the receiver for what it accepted, and compares.
//!
//! Readings are looked for by date in large pages if the receiver offers that, everything else by
//! identifier. A search that does not find a thing proves little: an index may lag, a list may be
//! cut, what is there may be hidden. So what seems lacking is looked for twice, the second time a
//! moment later, by identifier and in small groups. It is sent again only if the search was seen to
//! find other things, or what is lacking is not at its address either; only to a receiver that
//! says, or has shown, that it looks before it creates; and only once (`store::read_back`).

mod lacking;
mod report;
mod search;

pub use report::{CannotVerify, Difference, NotVerified, Verification};

use super::assemble::{accepted_body, covered, dialect};
use super::{Delivery, Event};
use crate::environment::{Deadline, Environment, within};
use crate::error::Error;
use crate::fhir::{
    Addresses, Capability, EntryKind, Identifier, ResourceType, Written, parse_capability,
    sent_resources,
};
use crate::smart::GrantedScopes;
use crate::store::{
    ConnectionRecord, ConnectionState, ReadingKey, SentStatus, Store, SubmissionId, SubmissionState,
};
use crate::submission::{Part, Plan, Position};
use http::header;
use report::{Expected, as_json};
use search::{FoundUnder, PER_FORM, Search, Stop};
use std::collections::HashSet;
use std::time::Duration;
use url::Url;

/// Readings of one search by date: so much is held at once.
const PER_WINDOW: usize = 2_000;
/// Readings written at once.
const PER_BODY: usize = 500;
/// Misses after which they are looked for a second time, if the search finds others.
const LACKING_AT_ONCE: usize = 500;
/// Misses without a hit after which the search counts as broken.
const LACKING_AT_FIRST: usize = 20_000;

impl Delivery {
    /// Asks the receiver of a finished submission for what it accepted of it, compares, and marks
    /// what it lacks for sending again. All of it, with the waits that the receiver asks for, takes
    /// at most `patience`.
    ///
    /// # Errors
    /// [`Error`] if the receiver does not answer in time, the connection needs the person, or the
    /// store fails. What was marked stays so.
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        on_event: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<Verification, Error> {
        let Environment { clock, timer, .. } = &self.environment;
        let deadline = Deadline::after(clock.as_ref(), patience);
        let verified = Box::pin(self.verify_until(submission, deadline, on_event));
        within(timer.as_ref(), patience, verified).await.unwrap_or(Err(Error::TimedOut))
    }

    async fn verify_until(
        &self,
        submission: SubmissionId,
        deadline: Deadline,
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
        let dialect = dialect(&connection)?;
        let parts = dialect.stages().iter().copied();
        let parts = parts.filter(|part| submission.plan.wanted.has(*part));
        let mut verification = Verification::default();
        if submission.state == SubmissionState::Open {
            let why = CannotVerify::Unfinished;
            verification.not_verified = parts.map(|part| NotVerified { part, why }).collect();
            return Ok(verification);
        }
        let search = Search {
            delivery: self,
            base: Url::parse(&connection.base)
                .map_err(|_| Error::Assembly("the receiver's address is malformed"))?,
            connection,
            dialect,
            deadline,
            forms: true,
            on_event,
        };
        search.leave_alone().await?;
        let capability = self.capability(&search.connection).await?;
        let connection = &search.connection;
        let scopes = self.connector.access_token(connection.id).await?.scopes().clone();
        let looks_before_creating =
            capability.conditional_create || connection.receiver.finds_again;
        let mut verifier = Verifier {
            search,
            by_date: capability.observation_search_by_date,
            looks_before_creating,
            plan: submission.plan,
            submission: submission.id,
            found: 0,
            done: 0,
            total: 0,
            verification,
        };
        verifier.verify(parts, capability, &scopes).await?;
        let verification = verifier.verification;
        self.log_verified(submission.id, &verification);
        Ok(verification)
    }

    fn log_verified(&self, submission: SubmissionId, verification: &Verification) {
        self.environment.log.info(
            "verified",
            &[
                ("submission", submission.into()),
                ("confirmed", verification.confirmed.into()),
                ("to-send-again", verification.to_send_again.into()),
                ("missing", verification.missing.into()),
                ("different", verification.different.into()),
                ("parts-not-verified", verification.not_verified.len().into()),
            ],
        );
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

/// Whether what a part writes can be searched for by identifier.
fn searchable(
    written: Written,
    capability: Capability,
    scopes: &GrantedScopes,
) -> Result<(), CannotVerify> {
    let offered = match written.resource {
        ResourceType::Device => capability.device_search_by_identifier,
        ResourceType::Observation => capability.observation_search_by_identifier,
        _ => false,
    };
    if !scopes.may_search(written.resource, written.category) {
        Err(CannotVerify::NotGranted)
    } else if !offered {
        Err(CannotVerify::NotOffered)
    } else {
        Ok(())
    }
}

/// Entries of a part that the receiver accepted.
fn accepted_entries(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
    part: Part,
) -> Result<u64, Error> {
    if part == Part::Readings {
        return Ok(store.accepted_count(connection.id, plan.wanted.unit, plan.window)?);
    }
    let body = accepted_body(store, connection, plan, Position::of(part), PER_BODY)?;
    Ok(body.map_or(0, |body| body.manifest.len()) as u64)
}

/// A verification under way.
struct Verifier<'a> {
    search: Search<'a>,
    /// Whether readings are looked for by date: until the first answer that is in doubt.
    by_date: bool,
    /// Whether the receiver is known to honour conditional create.
    looks_before_creating: bool,
    plan: Plan,
    submission: SubmissionId,
    /// How much of the part was found, as it was sent or otherwise.
    found: u64,
    /// Entries that were looked for, of all parts.
    done: u64,
    /// Entries to look for.
    total: u64,
    verification: Verification,
}

impl Verifier<'_> {
    async fn verify(
        &mut self,
        parts: impl Iterator<Item = Part>,
        capability: Capability,
        scopes: &GrantedScopes,
    ) -> Result<(), Error> {
        let mut offered = Vec::new();
        for part in parts {
            match searchable(self.search.dialect.writes(part), capability, scopes) {
                Ok(()) => offered.push(part),
                Err(why) => self.verification.not_verified.push(NotVerified { part, why }),
            }
        }
        self.total = self.count(offered.clone()).await?;
        for part in offered {
            match self.part(part).await {
                Ok(()) => {}
                Err(Stop::Cannot(why)) => {
                    self.verification.not_verified.push(NotVerified { part, why });
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    async fn count(&self, parts: Vec<Part>) -> Result<u64, Error> {
        let (connection, plan) = (self.search.connection.clone(), self.plan);
        let entries = move |store: &mut Store| {
            parts.iter().map(|part| accepted_entries(store, &connection, &plan, *part)).sum()
        };
        self.search.delivery.store.call(entries).await
    }

    /// Tells that `more` entries have an answer.
    fn tell(&mut self, more: usize) {
        self.done += more as u64;
        // A correction that comes in meanwhile is one more than was counted.
        self.total = self.total.max(self.done);
        let (done, total) = (self.done, self.total);
        (self.search.on_event)(Event::Verifying { submission: self.submission, done, total });
    }

    async fn part(&mut self, part: Part) -> Result<(), Stop> {
        let mut next = Some(Position::of(part));
        self.found = 0;
        let mut lacking = Vec::new();
        while let Some(position) = next {
            let (expected, after) = self.expected(part, position).await?;
            if expected.is_empty() {
                if part == Part::Summary {
                    self.summary_unchanged().await?;
                }
                break;
            }
            lacking.extend(self.first_look(part, expected).await?);
            if lacking.len() >= if self.found > 0 { LACKING_AT_ONCE } else { LACKING_AT_FIRST } {
                self.second_look(part, std::mem::take(&mut lacking)).await?;
            }
            next = after;
        }
        self.second_look(part, lacking).await
    }

    /// What is looked for next, from `position` on, and where it goes on.
    async fn expected(
        &self,
        part: Part,
        mut position: Position,
    ) -> Result<(Vec<Expected>, Option<Position>), Stop> {
        let by_date = self.by_date && part == Part::Readings;
        let (limit, most) = if by_date { (PER_BODY, PER_WINDOW) } else { (PER_FORM, PER_FORM) };
        let mut all: Vec<Expected> = Vec::new();
        while all.len() < most {
            let (connection, plan) = (self.search.connection.clone(), self.plan);
            let body =
                move |store: &mut Store| accepted_body(store, &connection, &plan, position, limit);
            let Some(body) = self.search.delivery.store.call(body).await? else {
                return Ok((all, None));
            };
            let entries = sent_resources(&body.json).into_iter().zip(body.manifest);
            let entries = entries.map(|((identifier, json), listed)| Expected {
                identifier,
                json: json.get().to_owned(),
                item: listed.item,
            });
            if part != Part::Readings {
                return Ok((entries.collect(), None));
            }
            position = body.position_after;
            for one in entries {
                let sensor = |one: &Expected| one.key().map(ReadingKey::sensor);
                let last = all.last();
                // The dates of two sensors may lie years apart.
                if by_date && last.is_some_and(|last| sensor(last) != sensor(&one)) {
                    let until = last.and_then(Expected::key).map(ReadingKey::packed);
                    return Ok((all, Some(Position::Readings(until))));
                }
                all.push(one);
            }
        }
        Ok((all, Some(position)))
    }

    /// Looks for these by date if that is worth it and can be believed, else by identifier.
    async fn first_look(
        &mut self,
        part: Part,
        expected: Vec<Expected>,
    ) -> Result<Vec<Expected>, Stop> {
        if self.by_date && part == Part::Readings && expected.len() > PER_FORM {
            match self.dated(&expected).await? {
                Some(found) => return Ok(self.compare(expected, &found)),
                None => self.by_date = false,
            }
        }
        let per_request = self.search.per_request();
        self.look(part, expected, per_request).await
    }

    /// What a search by date finds of these; `None` if its answer is in doubt: it fails, has no
    /// end, or finds fewer than half of what was accepted.
    async fn dated(&mut self, expected: &[Expected]) -> Result<Option<FoundUnder>, Stop> {
        let wanted: HashSet<Identifier> = expected.iter().map(|one| one.identifier).collect();
        let seconds = expected.iter().filter_map(Expected::key).map(ReadingKey::seconds);
        let Some(span) = seconds.clone().min().zip(seconds.max()) else { return Ok(None) };
        match self.search.dated(self.plan.wanted.unit, span, &wanted).await {
            Ok(found) => Ok((found.len() * 2 >= wanted.len()).then_some(found)),
            Err(Stop::Cannot(_)) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Looks for these by identifier, counts what is found, and returns what is not.
    async fn look(
        &mut self,
        part: Part,
        mut expected: Vec<Expected>,
        per_request: usize,
    ) -> Result<Vec<Expected>, Stop> {
        let mut lacking = Vec::new();
        while !expected.is_empty() {
            let rest = expected.split_off(per_request.min(expected.len()));
            let asked: Vec<Identifier> = expected.iter().map(|one| one.identifier).collect();
            let found = self.search.identified(part, &asked).await?;
            lacking.extend(self.compare(expected, &found));
            expected = rest;
        }
        Ok(lacking)
    }

    /// Compares what was found, counts it, and returns what was not found.
    fn compare(&mut self, expected: Vec<Expected>, found: &FoundUnder) -> Vec<Expected> {
        let mut addresses = Addresses::at(&self.search.base);
        for (identifier, all) in found {
            if let Some(first) = all.first().and_then(|first| as_json(first)) {
                addresses.note(*identifier, first);
            }
        }
        let (mut lacking, mut checked) = (Vec::new(), 0);
        for one in expected {
            if let Some(all) = found.get(&one.identifier) {
                checked += 1;
                self.verification.count(&one, all, &addresses);
            } else {
                lacking.push(one);
            }
        }
        self.found += checked as u64;
        self.tell(checked);
        lacking
    }

    /// Fails with `Changed` if a summary was delivered: today's differs.
    async fn summary_unchanged(&self) -> Result<(), Stop> {
        let (id, covered) = (self.search.connection.id, covered(&self.plan));
        let of_dates = move |store: &mut Store| store.resources_over(id, covered.dates);
        let sent = self.search.delivery.store.call(of_dates).await?;
        let delivered = sent.iter().any(|sent| {
            sent.kind == EntryKind::Summary
                && sent.covered == Some(covered)
                && sent.status == SentStatus::Delivered
        });
        if delivered { Err(Stop::Cannot(CannotVerify::Changed)) } else { Ok(()) }
    }
}
