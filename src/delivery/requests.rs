//! The requests of a delivery: a claimed batch is sent, an unknown outcome is looked up, and what
//! came back is given to the machine.

use super::batch::Outgoing;
use super::driver::{Delivery, Work};
use super::event::Event;
use super::look_up::LookUp;
use super::machine::Decision;
use crate::connect::AccessToken;
use crate::environment::{Lock, LogValue, TransportError, within};
use crate::error::Error;
use crate::store::BatchId;
use crate::submission::{Answer, NoAnswer, Response, RetryAfter};
use chrono::TimeDelta;
use http::header;
use std::sync::Arc;
use std::time::Duration;

impl Delivery {
    /// Sends a request with `token`, and reads the answer within `timeout`.
    async fn exchange(
        &self,
        token: &AccessToken,
        request: http::Request<Vec<u8>>,
        timeout: Duration,
    ) -> Answer {
        let Ok(request) = token.authorised_request(request) else {
            return Answer::None(NoAnswer::NotMade);
        };
        let clock = &self.environment.clock;
        let begun = clock.monotonic();
        let sent = self.environment.transport.send(request);
        match within(self.environment.timer.as_ref(), timeout, sent).await {
            Some(Ok(response)) => {
                let took = clock.monotonic().saturating_sub(begun);
                Answer::Response(Response {
                    status: response.status().as_u16(),
                    retry_after: RetryAfter::of(response.headers()),
                    body: response.into_body(),
                    took: TimeDelta::from_std(took).unwrap_or(TimeDelta::MAX),
                })
            }
            Some(Err(error)) => Answer::None(no_answer(error)),
            None => Answer::None(NoAnswer::Lost),
        }
    }
}

impl Work<'_> {
    /// Sends a claimed batch, and writes down what came of it.
    pub(super) async fn send(&mut self, lock: &Arc<Lock>, outgoing: Outgoing) -> Result<(), Error> {
        let (batch, submission) = (outgoing.batch, outgoing.submission);
        // Drawn before the send: an answer is never lost for lack of randomness.
        let jitter = self.delivery.jitter()?;
        (self.on_event)(Event::Sending { submission, entries: outgoing.entries });
        self.log().info(
            "sending",
            &[
                ("connection", self.connection.into()),
                ("submission", submission.into()),
                ("batch", LogValue::Id(batch.0)),
                ("entries", outgoing.entries.into()),
                ("bytes", outgoing.body.len().into()),
                ("compressed", outgoing.gzip.into()),
            ],
        );
        let timeout = outgoing.timeout;
        let answer = match (request(outgoing), &self.token) {
            (Ok(request), Some(token)) => self.delivery.exchange(token, request, timeout).await,
            _ => Answer::None(NoAnswer::NotMade),
        };
        self.log_answer(batch, &answer);
        let now = self.delivery.environment.clock.now();
        let (mut machine, held) = (self.machine.clone(), Arc::clone(lock));
        let account = Arc::clone(&self.account);
        let applied = self.delivery.store.call(move |store| {
            let applied = machine.apply(store, now, jitter, batch, &answer);
            drop(held);
            Ok::<_, Error>((machine, applied?, account.count(store)))
        });
        let (machine, decision, counted) = applied.await?;
        self.machine = machine;
        self.log_decision(batch, decision);
        let total = self.account.expected().max(counted.all.entries.total());
        self.told = Some((submission, total));
        (self.on_event)(Event::Progress { submission, tally: counted.all, total });
        Ok(())
    }

    /// Searches for what was sent with unknown outcome.
    pub(super) async fn look_up(
        &mut self,
        lock: &Arc<Lock>,
        mut look_up: LookUp,
    ) -> Result<(), Error> {
        let (batch, jitter) = (look_up.batch, self.delivery.jitter()?);
        let clock = Arc::clone(&self.delivery.environment.clock);
        self.log().info(
            "looking-up",
            &[("connection", self.connection.into()), ("batch", LogValue::Id(batch.0))],
        );
        let looked_up = loop {
            let left = || self.deadline.left(clock.monotonic());
            let Some(timeout) = LookUp::timeout(left()) else { break look_up.out_of_time() };
            let request = look_up.request()?;
            let answer = match &self.token {
                Some(token) => self.delivery.exchange(token, request, timeout).await,
                None => Answer::None(NoAnswer::NotArrived),
            };
            let answer = match answer {
                Answer::Response(response) => response,
                Answer::None(why) => break look_up.unanswered(why, left()),
            };
            let Response { status, retry_after, body, .. } = answer;
            if let Some(looked_up) = look_up.answer(status, retry_after, &body) {
                break looked_up;
            }
        };
        let now = clock.now();
        let (mut machine, held) = (self.machine.clone(), Arc::clone(lock));
        let written = self.delivery.store.call(move |store| {
            let written = machine.looked_up(store, now, jitter, batch, &looked_up);
            drop(held);
            written.map(|decision| (machine, decision))
        });
        let (machine, decision) = written.await?;
        self.machine = machine;
        self.log_decision(batch, decision);
        Ok(())
    }

    fn log_answer(&self, batch: BatchId, answer: &Answer) {
        let which = ("batch", LogValue::Id(batch.0));
        match answer {
            Answer::Response(response) => self.log().info(
                "answered",
                &[
                    which,
                    ("status", LogValue::Status(response.status)),
                    ("bytes", response.body.len().into()),
                    ("took", response.took.to_std().unwrap_or_default().into()),
                ],
            ),
            Answer::None(why) => {
                self.log().warn("no-answer", &[which, ("because", why.code().into())]);
            }
        }
    }

    fn log_decision(&self, batch: BatchId, decision: Decision) {
        let Decision { outcome, next } = decision;
        let fields =
            [("batch", LogValue::Id(batch.0)), ("outcome", outcome.into()), ("next", next.into())];
        self.log().info("settled", &fields);
    }
}

const fn no_answer(error: TransportError) -> NoAnswer {
    match error {
        TransportError::Unreachable | TransportError::Untrusted => NoAnswer::NotArrived,
        TransportError::Broken => NoAnswer::Lost,
        TransportError::Redirected => NoAnswer::Redirected,
        TransportError::TooLarge { .. } => NoAnswer::TooLarge,
        TransportError::Request => NoAnswer::NotMade,
    }
}

fn request(outgoing: Outgoing) -> Result<http::Request<Vec<u8>>, http::Error> {
    let mut request = http::Request::post(&outgoing.url)
        .header(header::CONTENT_TYPE, "application/fhir+json")
        .header(header::ACCEPT, "application/fhir+json");
    if outgoing.gzip {
        request = request.header(header::CONTENT_ENCODING, "gzip");
    }
    request.body(outgoing.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_that_was_followed_is_no_answer_that_got_lost() {
        assert_eq!(no_answer(TransportError::Redirected), NoAnswer::Redirected);
        assert_eq!(no_answer(TransportError::Broken), NoAnswer::Lost);
    }
}
