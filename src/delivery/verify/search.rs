//! Asks a receiver for what it has: by identifier, or by date in large pages. Every request goes
//! under the connection's lock; no lock is held while waiting.

use super::super::{Delivery, Event};
use super::report::CannotVerify;
use crate::connect::ConnectError;
use crate::environment::{Deadline, LogValue, TransportError};
use crate::error::Error;
use crate::fhir::{
    Dialect, Identifier, Paging, PatientId, SearchError, date_search_form, parse_found, search_form,
};
use crate::glucose::GlucoseUnit;
use crate::store::ConnectionRecord;
use crate::submission::{Part, RetryAfter};
use http::header::{self, HeaderName, HeaderValue};
use std::collections::{HashMap, HashSet};
use url::Url;

/// Identifiers of one request whose body is a form: URLs stay free of them, and of a length limit.
pub(super) const PER_FORM: usize = 100;
/// Identifiers of one request to a receiver that takes no forms.
pub(super) const PER_URL: usize = 20;
/// Resources asked for in one page of a search by date. A receiver may give fewer.
const PER_PAGE: usize = 1_000;
/// Bytes of what was found that are held to be compared: many times what is sent in one request.
const MAX_HELD: usize = 16 << 20;
/// Pages of one search by identifier.
const MAX_PAGES: usize = 20;
/// Pages of one search by date: there may be much that other apps sent.
const MAX_DATED_PAGES: usize = 40;

/// Why a search stopped.
pub(super) enum Stop {
    Cannot(CannotVerify),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What was found under each identifier, as text.
pub(super) type FoundUnder = HashMap<Identifier, Vec<String>>;

/// What a search is by.
enum By<'a> {
    Identifiers(&'a [Identifier]),
    Dates { unit: GlucoseUnit, first: i64, last: i64, wanted: &'a HashSet<Identifier> },
}

impl By<'_> {
    /// Whether what was found is meant; an error if it shows that the search was not honoured.
    fn takes(&self, identifier: Option<Identifier>) -> Result<Option<Identifier>, CannotVerify> {
        match (self, identifier) {
            (Self::Identifiers(_), None) => Err(CannotVerify::NotHonoured),
            // What other apps sent lies in the same dates.
            (_, identifier) => Ok(identifier),
        }
    }

    fn wants(&self, identifier: &Identifier) -> bool {
        match self {
            Self::Identifiers(asked) => asked.contains(identifier),
            Self::Dates { wanted, .. } => wanted.contains(identifier),
        }
    }

    const fn most_pages(&self) -> usize {
        match self {
            Self::Identifiers(_) => MAX_PAGES,
            Self::Dates { .. } => MAX_DATED_PAGES,
        }
    }
}

/// The searches of one verification.
pub(super) struct Search<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) base: Url,
    pub(super) connection: ConnectionRecord,
    pub(super) dialect: Dialect,
    /// The end of the patience.
    pub(super) deadline: Deadline,
    /// Whether the receiver takes searches as forms, as far as is known.
    pub(super) forms: bool,
    pub(super) on_event: &'a (dyn Fn(Event) + Send + Sync),
}

impl Search<'_> {
    /// Identifiers that are asked for at once.
    pub(super) const fn per_request(&self) -> usize {
        if self.forms { PER_FORM } else { PER_URL }
    }

    /// Asks for these identifiers.
    pub(super) async fn identified(
        &mut self,
        part: Part,
        asked: &[Identifier],
    ) -> Result<FoundUnder, Stop> {
        let mut found = FoundUnder::new();
        if self.forms {
            match self.pages(part, &By::Identifiers(asked), &mut found).await {
                Err(Stop::Cannot(CannotVerify::NotOffered)) => self.forms = false,
                outcome => return outcome.map(|()| found),
            }
        }
        for asked in asked.chunks(PER_URL) {
            self.pages(part, &By::Identifiers(asked), &mut found).await?;
        }
        Ok(found)
    }

    /// Asks for the readings in a unit from one unix second to another, both included, and keeps
    /// those that are `wanted`.
    pub(super) async fn dated(
        &mut self,
        unit: GlucoseUnit,
        (first, last): (i64, i64),
        wanted: &HashSet<Identifier>,
    ) -> Result<FoundUnder, Stop> {
        let by = By::Dates { unit, first, last, wanted };
        let mut found = FoundUnder::new();
        let mut outcome = self.pages(Part::Readings, &by, &mut found).await;
        if self.forms && matches!(outcome, Err(Stop::Cannot(CannotVerify::NotOffered))) {
            self.forms = false;
            found.clear();
            outcome = self.pages(Part::Readings, &by, &mut found).await;
        }
        match outcome {
            // A page of many resources may be larger than is read.
            Err(Stop::Failed(error)) if is_too_large(&error) => {
                Err(Stop::Cannot(CannotVerify::NotHonoured))
            }
            Err(Stop::Failed(Error::Unreadable { .. })) => {
                Err(Stop::Cannot(CannotVerify::NotHonoured))
            }
            outcome => outcome.map(|()| found),
        }
    }

    /// Asks once, by form or by URL, and follows the pages.
    async fn pages(&mut self, part: Part, by: &By<'_>, found: &mut FoundUnder) -> Result<(), Stop> {
        let mut request = self.first_request(part, by)?;
        let mut paging = Paging::of_at_most(by.most_pages());
        let mut held = 0;
        loop {
            for (name, value) in [
                (header::ACCEPT, "application/fhir+json"),
                // Some receivers answer a repeated search from memory.
                (header::CACHE_CONTROL, "no-cache"),
                // Better no answer than one that passes over what was asked for.
                (HeaderName::from_static("prefer"), "handling=strict"),
            ] {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            let response = self.answer(&request).await?;
            let page = parse_found(response.body(), &self.base).map_err(unusable)?;
            if page.failed {
                return Err(Stop::Cannot(CannotVerify::NotHonoured));
            }
            for (identifiers, resource) in page.resources {
                let ours = identifiers.into_iter().find(|identifier| by.wants(identifier));
                let Some(ours) = by.takes(ours).map_err(Stop::Cannot)? else { continue };
                held += resource.get().len();
                if held > MAX_HELD {
                    return Err(Stop::Cannot(CannotVerify::NotHonoured));
                }
                found.entry(ours).or_default().push(resource.get().to_owned());
            }
            match paging.follow(page.next).map_err(unusable)? {
                Some(next) => {
                    let next = http::Request::get(next.as_str()).body(Vec::new());
                    request = next.map_err(|_| malformed())?;
                }
                None => return Ok(()),
            }
        }
    }

    fn first_request(&self, part: Part, by: &By<'_>) -> Result<http::Request<Vec<u8>>, Error> {
        let query = match by {
            By::Identifiers(asked) => search_form(asked),
            By::Dates { unit, first, last, .. } => {
                let patient = PatientId::new(self.connection.patient.as_str());
                let patient = patient.map_err(|_| malformed())?;
                date_search_form(&patient, *unit, (*first, *last), PER_PAGE)
                    .ok_or_else(malformed)?
            }
        };
        let resources =
            format!("{}/{}", self.connection.base, self.dialect.writes(part).resource.name());
        let request = if self.forms {
            http::Request::post(format!("{resources}/_search"))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(query.into_bytes())
        } else {
            http::Request::get(format!("{resources}?{query}")).body(Vec::new())
        };
        request.map_err(|_| malformed())
    }

    /// Sends one request, and no other of this connection beside it, be it to send or to look.
    pub(super) async fn ask_alone(
        &self,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Stop> {
        let _lock = self.delivery.lock(self.connection.id).await?;
        Ok(self.delivery.connector.ask(self.connection.id, request).await?)
    }

    /// Waits as long as the receiver is to be left alone, whatever it said so to; fails if that is
    /// longer than the patience left.
    pub(super) async fn leave_alone(&self) -> Result<(), Error> {
        let environment = &self.delivery.environment;
        loop {
            let wait = self.delivery.standing_wait(self.connection.id).await?;
            let Some((until, reason)) = wait else { return Ok(()) };
            let now = environment.clock.now();
            let pause = (until - now).to_std().unwrap_or_default();
            if !self.deadline.allows(environment.clock.monotonic(), pause) {
                return Err(Error::Waiting { until, reason });
            }
            (self.on_event)(Event::Waiting { until, reason });
            environment.timer.sleep(pause).await;
        }
    }

    /// The answer to a search; waits as long as the receiver asks for.
    async fn answer(
        &mut self,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Stop> {
        let mut attempt = 0;
        loop {
            self.leave_alone().await?;
            let response = self.ask_alone(request).await?;
            let status = LogValue::Status(response.status().as_u16());
            let fields = [("connection", self.connection.id.into()), ("status", status)];
            self.delivery.environment.log.debug("verifying", &fields);
            match response.status().as_u16() {
                200 => return Ok(response),
                403 => return Err(Stop::Cannot(CannotVerify::NotGranted)),
                408 | 425 | 429 | 500 | 502..=504 => {
                    attempt += 1;
                    let asked = RetryAfter::of(response.headers());
                    self.delivery.leave_alone(self.connection.id, attempt, asked).await?;
                }
                400 | 404 | 405 | 406 | 410 | 414 | 415 | 422 | 501 => {
                    return Err(Stop::Cannot(CannotVerify::NotOffered));
                }
                status => return Err(Error::Answer { what: "what it accepted", status }.into()),
            }
        }
    }
}

fn unusable(error: SearchError) -> Stop {
    match error {
        SearchError::NextElsewhere | SearchError::TooMany | SearchError::TooManyPages(_) => {
            Stop::Cannot(CannotVerify::NotHonoured)
        }
        error => Stop::Failed(Error::Unreadable { what: "search result", why: error.to_string() }),
    }
}

const fn malformed() -> Error {
    Error::Assembly("the receiver's address is malformed")
}

const fn is_too_large(error: &Error) -> bool {
    matches!(
        error,
        Error::Transport(TransportError::TooLarge { .. })
            | Error::Connect(ConnectError::Transport {
                error: TransportError::TooLarge { .. },
                ..
            })
    )
}
