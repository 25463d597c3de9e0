//! The token flow as decisions: what to do when an access token is needed, and what an answer of
//! the token endpoint changes. `connect` asks, sends and writes down.
//!
//! A refresh is: take the connection's lock, read the vault again, mark the entry, ask, persist,
//! and only then use. The mark tells a refresh whose answer was never recorded: killed, or cut off.
//! The same refresh token is then sent again, for the same refresh: if the first request never
//! arrived, or the receiver allows for lost answers, the connection lives on; if the token was
//! replaced, the receiver answers `invalid_grant` (and may end the whole family, whose newest token
//! nobody has any more), and the person authorises again, told so. Not asking would log a person
//! out on every lost answer and save nothing. After an answer was recorded, its predecessor is
//! never sent again.

use super::{FailureReason, Failures, Pause, Secret, TokenResponse, TokenState};
use crate::backoff::RetryAfter;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The longest pause of our own choosing after a failure of a token endpoint.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// What the vault holds for a connection.
#[derive(Clone, Debug)]
pub enum Held {
    /// These tokens.
    Tokens(TokenState),
    /// Nothing.
    Absent,
    /// It is locked for now, as before the first unlock of a phone.
    Locked,
}

/// Why the person has to authorise again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReauthorisationCause {
    /// No tokens are kept: a restored phone, or an authorisation that never ended.
    NoToken,
    /// The access token ended, and the receiver gave no refresh token.
    NoRefreshToken,
    /// The receiver no longer takes the refresh token.
    Refused,
    /// A refresh was cut off before its answer was recorded, and the receiver no longer takes the
    /// token it was made with.
    Interrupted,
}

/// What is recorded of a connection's tokens beside the tokens themselves. A new authorisation
/// begins with an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenHistory {
    /// Failures of the token endpoint.
    pub failures: Failures,
    /// The receiver ended the access: no refresh is tried any more.
    pub ended: Option<ReauthorisationCause>,
}

/// What to do when an access token is needed.
#[derive(Debug)]
pub enum TokenStep {
    /// Use the access token in the vault.
    Use,
    /// Ask the token endpoint.
    Refresh(Refresh),
    /// Leave the token endpoint alone until then.
    Pause(Pause),
    /// Wait for the vault; never authorise anew for that.
    WaitForVault,
    /// The person has to authorise again.
    Reauthorise(ReauthorisationCause),
}

/// What to do about an access token of a connection whose vault entry is `held`, after the receiver
/// answered 401 to the access token `rejected`, if any.
pub fn token_step(
    held: &Held,
    history: &TokenHistory,
    rejected: Option<&Secret>,
    now: DateTime<Utc>,
) -> TokenStep {
    if let Some(cause) = history.ended {
        return TokenStep::Reauthorise(cause);
    }
    let state = match held {
        Held::Tokens(state) => state,
        Held::Absent => return TokenStep::Reauthorise(ReauthorisationCause::NoToken),
        Held::Locked => return TokenStep::WaitForVault,
    };
    let refused = rejected.is_some_and(|rejected| state.access().matches(rejected.expose()));
    if !refused && !state.is_refreshing() && !state.needs_refresh(now) {
        return TokenStep::Use;
    }
    let usable = !refused && !state.is_expired(now);
    let Some(token) = state.refresh().cloned() else {
        return if usable {
            TokenStep::Use
        } else {
            TokenStep::Reauthorise(ReauthorisationCause::NoRefreshToken)
        };
    };
    match history.failures.pause(now) {
        Some(_) if usable => TokenStep::Use,
        Some(pause) => TokenStep::Pause(pause),
        None => TokenStep::Refresh(Refresh {
            token,
            state: state.clone(),
            history: *history,
            usable,
            asked_at: now,
        }),
    }
}

/// A refresh to be made.
#[derive(Debug)]
pub struct Refresh {
    token: Secret,
    state: TokenState,
    history: TokenHistory,
    usable: bool,
    asked_at: DateTime<Utc>,
}

/// What a token endpoint answered to a refresh.
#[derive(Debug)]
pub enum RefreshAnswer {
    /// New tokens.
    Granted(TokenResponse),
    /// The authorisation ended, said in OAuth's terms.
    Ended,
    /// The app is not accepted, said in OAuth's terms.
    AppRefused,
    /// Anything else.
    Failed {
        /// Why.
        reason: FailureReason,
        /// What it asks for.
        retry_after: Option<RetryAfter>,
    },
}

/// What a refresh changes.
#[derive(Debug)]
pub enum Settled {
    /// New tokens: into the vault first, then into use. Failures are forgotten.
    Keep(TokenState),
    /// A token for another patient: block the connection, keep none of its tokens, give this one
    /// back.
    GiveBack(Secret),
    /// Nothing is known to be lost: remember the failure.
    Later {
        /// What to record.
        history: TokenHistory,
        /// The vault entry without its mark: the refresh token was certainly not used.
        unmarked: Option<TokenState>,
        /// Use the access token meanwhile.
        usable: bool,
        /// The receiver refuses for so long that somebody has to look.
        misconfigured: bool,
    },
    /// The receiver does not accept the app any more. Nothing is thrown away.
    AppRefused {
        /// The vault entry without its mark.
        unmarked: Option<TokenState>,
    },
    /// The tokens are worthless: record this, then delete them.
    Ended(TokenHistory),
}

impl Refresh {
    /// The refresh token to send.
    pub fn refresh_token(&self) -> &Secret {
        &self.token
    }

    /// What the vault must hold before the request is sent; `None` if it does: an earlier request
    /// with this token was cut off.
    pub fn mark(&self) -> Option<TokenState> {
        (!self.repeats()).then(|| self.state.clone().with_refreshing(true))
    }

    fn repeats(&self) -> bool {
        self.state.is_refreshing()
    }

    fn unmarked(&self, unused: bool) -> Option<TokenState> {
        (unused && !self.repeats()).then(|| self.state.clone().with_refreshing(false))
    }

    /// What `answer` changes. `jitter` is drawn before the request, so that an answer is never lost
    /// for lack of randomness.
    pub fn settle(self, answer: RefreshAnswer, jitter: u32, now: DateTime<Utc>) -> Settled {
        match answer {
            RefreshAnswer::Granted(response) => {
                let revocable = response.revocable().clone();
                // The lifetime counts from the question: the answer may have taken its time.
                match self.state.refreshed(response, self.asked_at) {
                    Ok(fresh) => Settled::Keep(fresh),
                    Err(_) => Settled::GiveBack(revocable),
                }
            }
            RefreshAnswer::Ended => Settled::Ended(TokenHistory {
                failures: Failures::default(),
                ended: Some(if self.repeats() {
                    ReauthorisationCause::Interrupted
                } else {
                    ReauthorisationCause::Refused
                }),
            }),
            RefreshAnswer::AppRefused => Settled::AppRefused { unmarked: self.unmarked(true) },
            RefreshAnswer::Failed { reason, retry_after } => {
                let failures =
                    self.history.failures.and(reason, retry_after, LONGEST_PAUSE, jitter, now);
                Settled::Later {
                    history: TokenHistory { failures, ended: None },
                    unmarked: self.unmarked(reason.proves_unused()),
                    usable: self.usable,
                    misconfigured: failures.refuse_for_good(now),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2024-05-01T08:00:00Z".parse().unwrap()
    }

    fn later(seconds: i64) -> DateTime<Utc> {
        now() + TimeDelta::seconds(seconds)
    }

    fn response(extra: &str) -> TokenResponse {
        let text = format!(r#"{{"access_token":"a2","token_type":"bearer"{extra}}}"#);
        TokenResponse::parse(text.as_bytes()).unwrap()
    }

    /// Good for an hour.
    fn tokens(refresh: bool) -> TokenState {
        let extra = if refresh { r#","refresh_token":"r1""# } else { "" };
        let text = format!(
            r#"{{"access_token":"a1","token_type":"bearer","expires_in":3600,
            "patient":"p1"{extra}}}"#
        );
        let response = TokenResponse::parse(text.as_bytes()).unwrap();
        TokenState::granted(response, "patient/*.cu", now()).unwrap()
    }

    fn waiting(at: i64, seconds: i64) -> TokenHistory {
        let asked = Some(RetryAfter::Seconds(seconds));
        let reason = FailureReason::Broken;
        let failures = Failures::default().and(reason, asked, LONGEST_PAUSE, 0, later(at));
        TokenHistory { failures, ended: None }
    }

    fn word(step: &TokenStep) -> &'static str {
        match step {
            TokenStep::Use => "use",
            TokenStep::Refresh(refresh) if refresh.mark().is_some() => "refresh",
            TokenStep::Refresh(_) => "repeat",
            TokenStep::Pause(_) => "pause",
            TokenStep::WaitForVault => "vault",
            TokenStep::Reauthorise(ReauthorisationCause::NoToken) => "no token",
            TokenStep::Reauthorise(ReauthorisationCause::NoRefreshToken) => "no refresh token",
            TokenStep::Reauthorise(ReauthorisationCause::Refused) => "refused",
            TokenStep::Reauthorise(ReauthorisationCause::Interrupted) => "interrupted",
        }
    }

    #[test]
    fn what_to_do_about_a_token_follows_from_vault_record_and_clock() {
        let (with, without) = (Held::Tokens(tokens(true)), Held::Tokens(tokens(false)));
        let marked = Held::Tokens(tokens(true).with_refreshing(true));
        let none = TokenHistory::default();
        let ended = |cause| TokenHistory { ended: Some(cause), ..none };
        let (a1, a0) = (Secret::new("a1"), Secret::new("a0"));
        let cases: [(&Held, TokenHistory, Option<&Secret>, i64, &str); 23] = [
            (&with, none, None, 0, "use"),
            (&with, none, None, 3479, "use"),
            (&with, none, None, 3480, "refresh"),
            (&with, none, None, 7200, "refresh"),
            (&with, none, Some(&a1), 0, "refresh"),
            (&with, none, Some(&a0), 0, "use"),
            (&marked, none, None, 0, "repeat"),
            (&without, none, None, 3500, "use"),
            (&without, none, None, 3600, "no refresh token"),
            (&without, none, Some(&a1), 0, "no refresh token"),
            (&Held::Absent, none, None, 0, "no token"),
            (&Held::Locked, none, None, 0, "vault"),
            (&Held::Locked, waiting(0, 60), None, 10, "vault"),
            // A pause that is on is kept, unless the access token is good meanwhile.
            (&with, waiting(3590, 60), None, 3595, "use"),
            (&with, waiting(3590, 60), None, 3600, "pause"),
            (&with, waiting(3590, 60), Some(&a1), 3595, "pause"),
            (&with, waiting(3590, 60), None, 3650, "refresh"),
            (&marked, waiting(3600, 60), None, 3659, "pause"),
            // The clock was set back by an hour: the pause ends further ahead than it was long.
            (&with, waiting(7200, 60), None, 3600, "refresh"),
            // What the receiver ended stays ended, whatever is left in the vault.
            (&with, ended(ReauthorisationCause::Refused), None, 0, "refused"),
            (&Held::Absent, ended(ReauthorisationCause::Refused), None, 0, "refused"),
            (&Held::Absent, ended(ReauthorisationCause::Interrupted), None, 0, "interrupted"),
            (&Held::Locked, ended(ReauthorisationCause::Refused), None, 0, "refused"),
        ];
        for (number, (held, history, rejected, at, expected)) in cases.into_iter().enumerate() {
            let step = token_step(held, &history, rejected, later(at));
            assert_eq!(word(&step), expected, "case {number}");
        }
    }

    fn settled(state: TokenState, history: TokenHistory, answer: RefreshAnswer) -> Settled {
        let at = later(3600);
        let TokenStep::Refresh(refresh) = token_step(&Held::Tokens(state), &history, None, at)
        else {
            panic!("a refresh is due")
        };
        refresh.settle(answer, u32::MAX, at)
    }

    #[test]
    fn an_answer_says_what_is_written_down() {
        let answer = |extra: &str| RefreshAnswer::Granted(response(extra));
        let none = TokenHistory::default();
        match settled(tokens(true), none, answer(r#","refresh_token":"r2""#)) {
            Settled::Keep(fresh) => {
                assert_eq!(fresh.refresh().unwrap().expose(), "r2");
                assert!(!fresh.is_refreshing());
            }
            other => panic!("{other:?}"),
        }
        match settled(tokens(true), none, answer(r#","refresh_token":"r2","patient":"p2""#)) {
            Settled::GiveBack(token) => assert_eq!(token.expose(), "r2"),
            other => panic!("{other:?}"),
        }
        for (interrupted, expected) in
            [(false, ReauthorisationCause::Refused), (true, ReauthorisationCause::Interrupted)]
        {
            let state = tokens(true).with_refreshing(interrupted);
            match settled(state, waiting(0, 10), RefreshAnswer::Ended) {
                Settled::Ended(history) => {
                    assert_eq!(history.ended, Some(expected));
                    assert_eq!(history.failures, Failures::default());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_mark_goes_only_if_the_refresh_token_was_certainly_not_used() {
        for (reason, unused) in [
            (FailureReason::Unreachable, true),
            (FailureReason::Untrusted, true),
            (FailureReason::Request, true),
            (FailureReason::Broken, false),
            (FailureReason::Unreadable, false),
            (FailureReason::Status(429), true),
            (FailureReason::Status(503), true),
            (FailureReason::Status(500), false),
            (FailureReason::Status(400), false),
        ] {
            for repeats in [false, true] {
                let answer = RefreshAnswer::Failed { reason, retry_after: None };
                let state = tokens(true).with_refreshing(repeats);
                match settled(state, TokenHistory::default(), answer) {
                    Settled::Later { unmarked, misconfigured, .. } => {
                        let unmarked = unmarked.is_some_and(|state| !state.is_refreshing());
                        assert_eq!(unmarked, unused && !repeats, "{reason:?} {repeats}");
                        assert!(!misconfigured);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_an_empty_one_is_none() {
        let text = serde_json::to_string(&waiting(0, 60)).unwrap();
        assert_eq!(serde_json::from_str::<TokenHistory>(&text).unwrap(), waiting(0, 60));
        let empty: TokenHistory = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, TokenHistory::default());
    }
}
