//! Waits that a receiver asks for in answer to a search: they bind everything that is sent to it.

use super::Delivery;
use crate::error::Error;
use crate::store::{ConnectionId, Store};
use crate::submission::{Backoff, RetryAfter, Wait, WaitReason};
use chrono::{DateTime, Utc};

impl Delivery {
    /// Until when a receiver is to be left alone, and why; `None` if it may be asked.
    pub(crate) async fn standing_wait(
        &self,
        connection: ConnectionId,
    ) -> Result<Option<(DateTime<Utc>, WaitReason)>, Error> {
        let record = self.store.call(move |store| store.connection(connection)).await?;
        Ok(record.receiver.waits(self.environment.clock.now()))
    }

    /// Fails if a receiver is to be left alone.
    pub(crate) async fn refuse_while_it_waits(
        &self,
        connection: ConnectionId,
    ) -> Result<(), Error> {
        match self.standing_wait(connection).await? {
            Some((until, reason)) => Err(Error::Waiting { until, reason }),
            None => Ok(()),
        }
    }

    /// Leaves a receiver alone that answered a search for the `attempt`th time in a row that it is
    /// busy: as long as it asked, or as our own back-off says.
    pub(crate) async fn leave_alone(
        &self,
        connection: ConnectionId,
        attempt: u32,
        asked: Option<RetryAfter>,
    ) -> Result<(), Error> {
        let (now, jitter) = (self.environment.clock.now(), self.jitter()?);
        let wait = Wait::after(now, Backoff::default().delay(attempt, jitter, asked, now));
        let reason = asked.map_or(WaitReason::ReceiverBusy, |_| WaitReason::ReceiverAsked);
        let note = move |store: &mut Store| {
            store.change_receiver(connection, |receiver| receiver.leave_alone(now, wait, reason))
        };
        self.store.call(note).await?;
        Ok(())
    }
}
