//! Reads one resource that a receiver holds for a patient, and tells what of it is followed.
//!
//! Requests that are no orders for glucose data (laboratory orders, referrals) are none of our
//! business and pass without a word. Whatever looks like one and is not followed is refused with
//! its reason, never passed over.

use super::error::{MAX_SCHEDULES, OrderError, OrderStatus};
use super::order::{OrderId, RefusedOrder, Schedule, StandingOrder};
use super::period::{PeriodError, TimeUnit, UcumPeriod};
use super::request::{Extension, InnerExtension, Kind, ServiceRequest, read_profiles, single};
use crate::fhir::{Json, OrderVocabulary, PatientId};
use serde::Deserialize;
use url::Url;

const UCUM: &str = "http://unitsofmeasure.org";

/// What became of one resource that looks like an order for glucose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOrder {
    /// Its id at the receiver; `None` if it has no valid one.
    pub id: Option<OrderId>,
    /// The order, whatever its status; `None` if the whole of it is refused.
    pub order: Option<StandingOrder>,
    /// What of it is not followed, and why. Whether today is a day on which it applies is not
    /// looked at: see [`StandingOrder::check_on`].
    pub refused: Vec<RefusedOrder>,
}

#[derive(Deserialize)]
struct Quantity<'a> {
    #[serde(default, borrow)]
    value: Option<Json<'a>>,
    #[serde(default, borrow)]
    comparator: Option<Json<'a>>,
    #[serde(default, borrow)]
    system: Option<Json<'a>>,
    #[serde(default, borrow)]
    code: Option<Json<'a>>,
}

impl ReadOrder {
    fn refused_as_a_whole(id: Option<OrderId>, reason: OrderError) -> Self {
        let refused = vec![RefusedOrder { id: id.clone(), schedule: None, reason }];
        Self { id, order: None, refused }
    }
}

/// Reads a resource of the receiver whose FHIR base is `base` and whose orders have these words, as
/// it came; `None` if it has nothing to do with glucose data.
pub fn read_order(
    resource: &str,
    words: &OrderVocabulary,
    base: &Url,
    patient: &PatientId,
) -> Option<ReadOrder> {
    let Ok(request) = serde_json::from_str::<ServiceRequest<'_>>(resource) else {
        return Some(ReadOrder::refused_as_a_whole(None, OrderError::Unreadable));
    };
    let id = request.id();
    let read = match request.kind(words) {
        Kind::Other => return None,
        Kind::Alike(reason) => Err(reason),
        Kind::Standing => request
            .check(base, patient)
            .and_then(|()| id.clone().ok_or(OrderError::Id))
            .and_then(|id| read_standing(&request, id, words)),
    };
    Some(read.unwrap_or_else(|reason| ReadOrder::refused_as_a_whole(id, reason)))
}

fn read_standing(
    request: &ServiceRequest<'_>,
    id: OrderId,
    words: &OrderVocabulary,
) -> Result<ReadOrder, OrderError> {
    let status = OrderStatus::from_code(&request.status);
    let occurrence = request.occurrence()?;
    let stated = request.extensions(words.schedule.extension)?;
    if stated.len() > MAX_SCHEDULES {
        return Err(OrderError::TooMany);
    }
    let (mut schedules, mut refused) = (Vec::new(), Vec::new());
    let mut refuse =
        |schedule, reason| refused.push(RefusedOrder { id: Some(id.clone()), schedule, reason });
    if status != OrderStatus::Active {
        refuse(None, OrderError::NotActive(status));
    } else if stated.is_empty() {
        refuse(None, OrderError::NoSchedule);
    }
    for (index, extension) in stated.iter().enumerate() {
        match read_schedule(extension, words) {
            Ok(schedule) => schedules.push(schedule),
            // Nobody needs to know what is wrong with an order that is over.
            Err(_) if status != OrderStatus::Active => {}
            Err(reason) => refuse(Some(index), reason),
        }
    }
    let order = StandingOrder { id: id.clone(), status, occurrence, schedules };
    Ok(ReadOrder { id: Some(id), order: Some(order), refused })
}

fn read_schedule(
    extension: &Extension<'_>,
    words: &OrderVocabulary,
) -> Result<Schedule, OrderError> {
    if !extension.is_of(words) {
        return Err(OrderError::OtherGuide);
    }
    let parts = extension.parts()?;
    let quantity = |part: &InnerExtension<'_>| read_period(part.value_quantity);
    let period = single(&parts, words.schedule.period)?
        .map_or(Err(PeriodError::Missing), quantity)
        .map_err(OrderError::Period)?;
    let lookback = single(&parts, words.schedule.lookback)?
        .map(quantity)
        .transpose()
        .map_err(OrderError::Lookback)?;
    let (content, unknown_profiles) = read_profiles(&parts, words)?;
    Ok(Schedule { period, lookback, content, unknown_profiles })
}

fn read_period(quantity: Option<Json<'_>>) -> Result<UcumPeriod, PeriodError> {
    let quantity = quantity.ok_or(PeriodError::Missing)?;
    let quantity: Quantity<'_> =
        serde_json::from_str(quantity.get()).map_err(|_| PeriodError::Missing)?;
    let value = quantity.value.ok_or(PeriodError::Missing)?;
    if quantity.comparator.is_some() {
        return Err(PeriodError::Unreadable);
    }
    let text = |raw: Json<'_>| serde_json::from_str::<String>(raw.get()).ok();
    // A code without a system is read as UCUM's, as it can be no other; a system that is something
    // else is not.
    if quantity.system.is_some_and(|system| text(system).as_deref() != Some(UCUM)) {
        return Err(PeriodError::Unit);
    }
    let unit = quantity.code.and_then(text).and_then(|code| TimeUnit::from_ucum(&code));
    UcumPeriod::new(value.get(), unit.ok_or(PeriodError::Unit)?)
}
