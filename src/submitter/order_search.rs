//! Asks a receiver for a patient's standing orders, page by page.

use super::content;
use super::types::Orders;
use crate::connect::Connector;
use crate::environment::Environment;
use crate::error::Error;
use crate::fhir::{CGM_CODE_SYSTEM, PatientId, STANDING_ORDER};
use crate::orders::{StandingOrder, parse_order_search};
use crate::store::{ConnectionId, StoreHandle};
use url::Url;

/// Pages that are read: nobody has more orders.
const MAX_PAGES: usize = 20;

/// Reads the standing orders and keeps them.
pub(super) async fn refresh_orders(
    store: &StoreHandle,
    environment: &Environment,
    connector: &Connector,
    connection: ConnectionId,
) -> Result<Orders, Error> {
    let record = store.call(move |store| store.connection(connection)).await?;
    let unreadable = |why: &'static str| Error::Unreadable { what: "orders", why: why.to_owned() };
    let base = Url::parse(&record.base).map_err(|_| unreadable("its address is malformed"))?;
    let patient =
        PatientId::new(record.patient).map_err(|_| unreadable("the patient id is malformed"))?;
    let mut page = base.clone();
    page.path_segments_mut()
        .map_err(|()| unreadable("its address is malformed"))?
        .pop_if_empty()
        .push("ServiceRequest");
    // What every receiver promises to search by; everything else is looked at here.
    page.query_pairs_mut()
        .append_pair("patient", patient.as_str())
        .append_pair("code", &format!("{CGM_CODE_SYSTEM}|{STANDING_ORDER}"));

    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..MAX_PAGES {
        let request = http::Request::get(page.as_str())
            .header(http::header::ACCEPT, "application/fhir+json")
            .body(Vec::new())
            .map_err(|_| unreadable("its next page is elsewhere"))?;
        let response = connector.ask(connection, &request).await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(Error::Answer { what: "orders", status });
        }
        let search = parse_order_search(response.body(), &base, &patient)
            .map_err(|error| Error::Unreadable { what: "orders", why: error.to_string() })?;
        found.extend(search.orders);
        refused.extend(search.refused);
        match search.next {
            Some(next) => page = next,
            None => break,
        }
    }
    let now = environment.clock.now();
    let active = found.iter().filter(|order: &&StandingOrder| order.runs()).cloned().collect();
    store.call(move |store| content::save_orders(store, connection, &found, now)).await?;
    Ok(Orders { active, refused })
}
