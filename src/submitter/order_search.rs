//! Asks a receiver for a patient's standing orders, page by page, keeps them as they came, and
//! reads what is kept.

use super::Parts;
use super::types::Orders;
use crate::error::Error;
use crate::fhir::{Dialect, OrderVocabulary, Paging, PatientId, SearchError};
use crate::orders::{
    OrderError, OrderId, OrderSource, ReadOrder, RefusedOrder, parse_order_search, read_order,
};
use crate::store::{ConnectionId, ConnectionRecord, FetchedOrder, Store, StoredOrder};
use crate::submission::RetryAfter;
use chrono::{DateTime, NaiveDate, Utc};
use url::Url;

/// Pages that are read: nobody has more orders.
const MAX_PAGES: usize = 20;

/// Reads the standing orders a receiver has now, keeps them, and tells which run on `today`.
///
/// A receiver that is to be left alone is not asked, and one that asks for it here is left alone by
/// everything.
pub(super) async fn refresh_orders(
    Parts { store, connector, delivery }: &Parts,
    connection: ConnectionId,
    (now, today): (DateTime<Utc>, NaiveDate),
) -> Result<Orders, Error> {
    let record = store.read(move |store| store.connection(connection)).await?;
    let (base, patient) = of_connection(&record)?;
    let Some(words) = words_of(&record) else {
        return store.read(move |store| stored_orders(store, &record, today)).await;
    };
    let mut next = Some(first_page(&base, &patient, words)?);
    let mut paging = Paging::of_at_most(MAX_PAGES);
    let mut sources: Vec<OrderSource> = Vec::new();
    while let Some(page) = next {
        let request = http::Request::get(page.as_str())
            .header(http::header::ACCEPT, "application/fhir+json")
            .body(Vec::new())
            .map_err(|_| unreadable("its next page is elsewhere"))?;
        delivery.refuse_while_it_waits(connection).await?;
        let response = connector.ask(connection, &request).await?;
        let (status, asked) = (response.status().as_u16(), RetryAfter::of(response.headers()));
        if matches!(status, 429 | 503) || (asked.is_some() && is_temporary(status)) {
            delivery.leave_alone(connection, 1, asked).await?;
            delivery.refuse_while_it_waits(connection).await?;
        }
        if status != 200 {
            return Err(Error::Answer { what: "orders", status });
        }
        let found =
            parse_order_search(response.body(), &words, &base, &patient).map_err(search_failed)?;
        // What a search that failed did not find is not gone.
        if found.failed {
            return Err(unreadable("the receiver says that its search failed"));
        }
        sources.extend(found.sources);
        next = paging.follow(found.next).map_err(search_failed)?;
    }
    let fetched: Vec<FetchedOrder> = sources
        .into_iter()
        .map(|source| FetchedOrder { key: source.key(), json: source.json })
        .collect();
    store
        .call(move |store| {
            store.save_orders(connection, &fetched, now.timestamp())?;
            stored_orders(store, &record, today)
        })
        .await
}

/// Whether a status says that the same request can succeed later.
const fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// The orders as last read, and which of them run on `today`.
pub(super) fn stored_orders(
    store: &Store,
    connection: &ConnectionRecord,
    today: NaiveDate,
) -> Result<Orders, Error> {
    let (base, patient) = of_connection(connection)?;
    let mut orders = Orders { active: Vec::new(), refused: Vec::new() };
    let Some(words) = words_of(connection) else { return Ok(orders) };
    for stored in store.orders(connection.id)? {
        if stored.gone_at.is_none() {
            orders.add(read_stored(&stored, &words, &base, &patient), today);
        }
    }
    Ok(orders)
}

fn read_stored(
    stored: &StoredOrder,
    words: &OrderVocabulary,
    base: &Url,
    patient: &PatientId,
) -> ReadOrder {
    let read = stored.json.as_deref().and_then(|json| read_order(json, words, base, patient));
    read.unwrap_or_else(|| {
        let id = OrderId::new(stored.key.as_str()).ok();
        let refused =
            RefusedOrder { id: id.clone(), schedule: None, reason: OrderError::Unreadable };
        ReadOrder { id, order: None, refused: vec![refused] }
    })
}

impl Orders {
    /// Adds an order: to those that run on `today`, or to those that do not.
    fn add(&mut self, read: ReadOrder, today: NaiveDate) {
        let explained = read.refused.len();
        self.refused.extend(read.refused);
        let Some(order) = read.order else { return };
        match order.check_on(today) {
            Ok(()) => self.active.push(order),
            Err(reason) => {
                let is_timing = matches!(reason, OrderError::Over | OrderError::NotYet);
                if is_timing || explained == 0 {
                    self.refused.push(RefusedOrder { id: Some(order.id), schedule: None, reason });
                }
            }
        }
    }
}

/// The search by what every receiver promises; everything else is looked at here.
fn first_page(base: &Url, patient: &PatientId, words: OrderVocabulary) -> Result<Url, Error> {
    let mut page = base.clone();
    page.path_segments_mut()
        .map_err(|()| unreadable("its address is malformed"))?
        .pop_if_empty()
        .push("ServiceRequest");
    page.query_pairs_mut()
        .append_pair("patient", patient.as_str())
        .append_pair("code", &format!("{}|{}", words.system, words.standing));
    Ok(page)
}

/// The words of its orders; `None` if they come out of band.
fn words_of(record: &ConnectionRecord) -> Option<OrderVocabulary> {
    let dialect = record.details.dialect.as_deref().and_then(Dialect::from_code);
    dialect.unwrap_or_default().orders()
}

fn of_connection(record: &ConnectionRecord) -> Result<(Url, PatientId), Error> {
    let base = Url::parse(&record.base).map_err(|_| unreadable("its address is malformed"))?;
    let patient = PatientId::new(record.patient.as_str())
        .map_err(|_| unreadable("the patient id is malformed"))?;
    Ok((base, patient))
}

fn unreadable(why: &'static str) -> Error {
    Error::Unreadable { what: "orders", why: why.to_owned() }
}

fn search_failed(error: SearchError) -> Error {
    Error::Unreadable { what: "orders", why: error.to_string() }
}
