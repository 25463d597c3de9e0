//! What one call delivered, for whichever submission, and how much it has to deliver in all.

use super::preview::entries_to_send;
use crate::error::Error;
use crate::store::{ConnectionId, Store, SubmissionId};
use crate::submission::{Plan, Tally};

/// The account of one call, opened at its begin.
#[derive(Debug)]
pub(super) struct Account {
    asked: Vec<SubmissionId>,
    /// Every submission that may be gone on with, and where it stood.
    before: Vec<(SubmissionId, Tally)>,
    expected: u64,
}

/// What was delivered since the account was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) all: Tally,
    /// Of submissions that were not asked for.
    pub(super) others: Tally,
}

impl Account {
    /// The account of a call that was asked to deliver these; none named are all.
    pub(super) fn open(
        store: &Store,
        connection: ConnectionId,
        asked: Vec<SubmissionId>,
    ) -> Result<Self, Error> {
        let record = store.connection(connection)?;
        let open = store.open_submissions(connection)?;
        let plans: Vec<Plan> = open.iter().map(|submission| submission.plan).collect();
        let expected = entries_to_send(store, &record, &plans)?;
        let before = open.iter().map(|one| (one.id, one.progress.tally)).collect();
        Ok(Self { asked, before, expected })
    }

    /// The submissions that were asked for.
    pub(super) fn asked(&self) -> &[SubmissionId] {
        &self.asked
    }

    /// How many entries there were to deliver at its begin.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// What was delivered since.
    pub(super) fn count(&self, store: &Store) -> Counted {
        let mut counted = Counted::default();
        for (id, before) in &self.before {
            // Gone with its connection.
            let Ok(submission) = store.submission(*id) else { continue };
            let since = submission.progress.tally.since(before);
            counted.all.add(&since);
            if !self.asked.contains(id) {
                counted.others.add(&since);
            }
        }
        counted
    }
}
