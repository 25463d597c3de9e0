//! What is done about accepted entries that a first look does not find: a second look, and then
//! they are marked for sending again if that is safe.

use super::super::assemble::accepted_body;
use super::Verifier;
use super::report::{CannotVerify, Expected};
use super::search::Stop;
use crate::error::Error;
use crate::store::ReadingKey;
use crate::submission::Item;
use crate::submission::{Part, Position};
use std::time::Duration;

/// Identifiers of one request at the second look: no receiver cuts so short a list.
const PER_SECOND_LOOK: usize = 10;
/// The moment between the two looks, for an index that lags.
const SECOND_LOOK: Duration = Duration::from_secs(2);

impl Verifier<'_> {
    /// Looks again for what was not found, and marks what is still not for sending again.
    pub(super) async fn second_look(
        &mut self,
        part: Part,
        lacking: Vec<Expected>,
    ) -> Result<(), Stop> {
        if lacking.is_empty() {
            return Ok(());
        }
        self.search.delivery.environment.timer.sleep(SECOND_LOOK).await;
        let lacking = self.look(part, lacking, PER_SECOND_LOOK).await?;
        self.tell(lacking.len());
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
    /// `false` if any location is unknown.
    async fn are_gone(&self, lacking: &[Expected]) -> Result<bool, Stop> {
        for one in lacking {
            let Item::Resource(identifier, ..) = &one.item else { return Ok(false) };
            let (id, identifier) = (self.search.connection.id, identifier.clone());
            let sent = self
                .search
                .delivery
                .store
                .call(move |store| store.resource(id, &identifier))
                .await?;
            let Some(location) = sent.and_then(|sent| sent.location) else { return Ok(false) };
            let request = http::Request::get(format!("{}/{location}", self.search.connection.base))
                .body(Vec::new());
            let request = request.map_err(|_| Error::Assembly("a location is malformed"))?;
            let response = self.search.ask_alone(&request).await?;
            if !matches!(response.status().as_u16(), 404 | 410) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Marks these for sending again if that is safe; returns how many were.
    async fn mark(&self, part: Part, lacking: &[Expected]) -> Result<u64, Error> {
        let (id, code) = (self.search.connection.id, self.plan.wanted.unit);
        let (mut readings, mut resources) = (Vec::new(), Vec::new());
        for one in lacking {
            match &one.item {
                Item::Reading(key, version, _) => {
                    readings.extend(ReadingKey::from_packed(*key).map(|key| (key, *version)));
                }
                Item::Resource(identifier, ..) => resources.push(identifier.clone()),
            }
        }
        let connection = self.search.connection.clone();
        let (plan, count, looks_before_creating) =
            (self.plan, lacking.len(), self.looks_before_creating);
        self.search
            .delivery
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
}
