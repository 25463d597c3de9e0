//! What a schedule asks for, in a form that can be kept and compared: the person approves that, and
//! not a resource that may change.

use super::content::Content;
use super::order::{Schedule, StandingOrder};
use super::period::UcumPeriod;
use crate::fhir::SummaryMember;
use crate::sorting::sort;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;

/// Stands for what one schedule asks for: its content, how often and how far back. Two schedules
/// that ask for the same have the same, in whatever sequence or unit of time they say it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
    }

    /// It as text, 43 letters, digits, `-` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells nothing of what is asked for.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// What a schedule asks for, as a fingerprint.
pub fn schedule_fingerprint(schedule: &Schedule) -> Fingerprint {
    let mut content = schedule.content.clone();
    sort(&mut content);
    let mut text = format!("{}|", schedule.period.canonical());
    text.extend(schedule.lookback.map(UcumPeriod::canonical));
    for one in content {
        text.push('|');
        text.push_str(one.profile());
    }
    Fingerprint::of(&text)
}

/// What an order's schedules ask for together, as a fingerprint.
pub fn order_fingerprint(order: &StandingOrder) -> Fingerprint {
    let mut each: Vec<Fingerprint> = order.schedules.iter().map(schedule_fingerprint).collect();
    sort(&mut each);
    each.dedup();
    let text: Vec<&str> = each.iter().map(Fingerprint::as_str).collect();
    Fingerprint::of(&text.join("|"))
}

/// Whether an order that has the schedules `now` asks for more than one with the schedules
/// `approved`: for other content, more often, or further back. Less is not more: it applies at
/// once.
///
/// The unit of readings makes no difference, and a figure of the summary is part of the summary.
pub fn asks_for_more(approved: &[Schedule], now: &[Schedule]) -> bool {
    let is_approved = |schedule: &Schedule, content: Content| {
        approved.iter().any(|approved| covers(approved, schedule, content))
    };
    now.iter()
        .any(|schedule| schedule.content.iter().any(|content| !is_approved(schedule, *content)))
}

/// Whether what `approved` asks for has all that `now` asks for of `content`.
fn covers(approved: &Schedule, now: &Schedule, content: Content) -> bool {
    approved.content.iter().any(|one| includes(*one, content))
        && approved.period.is_at_most(now.period)
        && match (approved.lookback, now.lookback) {
            // From run to run without a gap: how often decides how far back.
            (None, None) => true,
            _ => reach(now, content).is_at_most(reach(approved, content)),
        }
}

/// How far back a schedule reaches for `content`.
fn reach(schedule: &Schedule, content: Content) -> UcumPeriod {
    schedule.lookback.unwrap_or_else(|| Schedule::usual_lookback(schedule.period, content))
}

const fn includes(approved: Content, asked: Content) -> bool {
    match (approved, asked) {
        (Content::Readings(_), Content::Readings(_))
        | (Content::Summary, Content::Summary | Content::SummaryMember(_))
        | (Content::SummaryPdf, Content::SummaryPdf)
        | (Content::Device, Content::Device) => true,
        (Content::SummaryMember(approved), Content::SummaryMember(asked)) => {
            same_figure(approved, asked)
        }
        _ => false,
    }
}

/// Whether two figures are one, in whatever unit.
const fn same_figure(one: SummaryMember, other: SummaryMember) -> bool {
    use SummaryMember::{
        CoefficientOfVariation, DaysOfWear, Gmi, Mean, SensorActive, TimesInRanges,
    };
    matches!(
        (one, other),
        (Mean(_), Mean(_))
            | (TimesInRanges, TimesInRanges)
            | (Gmi, Gmi)
            | (CoefficientOfVariation, CoefficientOfVariation)
            | (DaysOfWear, DaysOfWear)
            | (SensorActive, SensorActive)
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Occurrence, OrderId, OrderStatus};
    use super::*;
    use crate::glucose::GlucoseUnit::{MgPerDl, MmolPerL};

    const MASS: Content = Content::Readings(MgPerDl);
    const MOLAR: Content = Content::Readings(MmolPerL);

    fn schedule(period: &str, lookback: &str, content: &[Content]) -> Schedule {
        Schedule {
            period: period.parse().unwrap(),
            lookback: (!lookback.is_empty()).then(|| lookback.parse().unwrap()),
            content: content.to_vec(),
            unknown_profiles: Vec::new(),
        }
    }

    #[test]
    fn the_same_wish_has_one_fingerprint_and_another_wish_another() {
        let all = [Content::Summary, MASS];
        let print = |schedule: Schedule| schedule_fingerprint(&schedule).as_str().to_owned();
        let first = print(schedule("2 wk", "30 d", &all));
        assert_eq!(first.len(), 43);
        for same in [
            schedule("14 d", "720 h", &[MASS, Content::Summary]),
            schedule("2.0 wk", "30 d", &all),
            Schedule { unknown_profiles: vec!["x".into()], ..schedule("2 wk", "30 d", &all) },
        ] {
            assert_eq!(print(same), first);
        }
        for other in [
            schedule("1 wk", "30 d", &all),
            schedule("2 wk", "", &all),
            schedule("2 wk", "1 mo", &all),
            schedule("30 d", "2 wk", &all),
            schedule("2 wk", "30 d", &[MASS]),
            schedule("2 wk", "30 d", &[Content::Summary, MOLAR]),
        ] {
            assert_ne!(print(other), first);
        }
        assert_eq!(print(schedule("1 a", "", &all)), print(schedule("12 mo", "", &all)));
        let order = |schedules: &[Schedule]| StandingOrder {
            id: OrderId::new("o").unwrap(),
            status: OrderStatus::Active,
            occurrence: Occurrence::ALWAYS,
            schedules: schedules.to_vec(),
        };
        let (weekly, daily) = (schedule("1 wk", "", &all), schedule("1 d", "", &all));
        let both = order_fingerprint(&order(&[weekly.clone(), daily.clone()]));
        assert_eq!(order_fingerprint(&order(&[daily.clone(), weekly, daily.clone()])), both);
        assert_ne!(order_fingerprint(&order(&[daily])), both);
        // Stored for years: it must not change by itself.
        assert_eq!(
            print(schedule("2 wk", "", &[MASS])),
            "zCEIMcF_cNeeffITc1waqOpHtVGBw7s8MMl0WoePv4s"
        );
    }

    #[test]
    fn more_waits_for_approval_and_less_applies_at_once() {
        let one = |period, lookback, content: &[Content]| vec![schedule(period, lookback, content)];
        let mean = Content::SummaryMember(SummaryMember::Mean(MgPerDl));
        let gmi = Content::SummaryMember(SummaryMember::Gmi);
        let cases = [
            (one("2 wk", "", &[MASS]), one("2 wk", "", &[MASS]), false, "the same"),
            (one("2 wk", "", &[MASS]), one("14 d", "", &[MOLAR]), false, "the other unit"),
            (one("2 wk", "", &[MASS]), one("1 wk", "", &[MASS]), true, "more often"),
            (one("1 wk", "", &[MASS]), one("2 wk", "", &[MASS]), false, "less often"),
            (one("1 wk", "", &[MASS]), one("1 wk", "8 d", &[MASS]), true, "further back"),
            (one("1 wk", "", &[MASS]), one("1 wk", "7 d", &[MASS]), false, "said, as before"),
            (one("1 d", "1 mo", &[MASS]), one("1 d", "", &[MASS]), false, "less far"),
            (
                one("1 d", "7 d", &[Content::Summary]),
                one("1 d", "", &[Content::Summary]),
                true,
                "14",
            ),
            (
                one("1 d", "", &[Content::Summary]),
                one("1 d", "14 d", &[Content::Summary]),
                false,
                "14",
            ),
            (one("1 mo", "", &[MASS]), one("30 d", "", &[MASS]), true, "30 days are less"),
            (one("1 wk", "", &[MASS]), one("1 wk", "", &[MASS, Content::Device]), true, "a device"),
            (one("1 wk", "", &[Content::Summary]), one("1 wk", "", &[MASS]), true, "readings"),
            (one("1 wk", "", &[Content::Summary]), one("1 wk", "", &[mean, gmi]), false, "figures"),
            (one("1 wk", "", &[gmi]), one("1 wk", "", &[mean]), true, "another figure"),
            (one("1 wk", "", &[gmi]), one("1 wk", "", &[Content::Summary]), true, "all figures"),
            (one("1 wk", "", &[MASS]), vec![], false, "nothing"),
            (vec![], one("1 wk", "", &[MASS]), true, "anything"),
            (vec![], one("1 wk", "", &[]), false, "nothing that is known"),
        ];
        for (approved, now, more, what) in cases {
            assert_eq!(asks_for_more(&approved, &now), more, "{what}");
        }
        let two = vec![schedule("1 d", "", &[MASS]), schedule("2 wk", "", &[Content::Summary])];
        assert!(!asks_for_more(&two, &two));
        let summary_daily = vec![schedule("1 d", "", &[Content::Summary])];
        assert!(asks_for_more(&two, &summary_daily), "daily was approved for readings only");
    }
}
