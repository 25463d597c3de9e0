//! The codes this receiver accepts, as one table: LOINC code, what it is, and the unit its value
//! must have. From the HL7 CGM guide STU1 1.0.0; a code that is not here is refused.

pub(crate) const LOINC: &str = "http://loinc.org";
pub(crate) const UCUM: &str = "http://unitsofmeasure.org";
pub(crate) const SUMMARY: &str = "107931-8";
pub(crate) const TIMES_IN_RANGES: &str = "106793-3";

/// A unit as the guide's pattern fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) unit: &'static str,
    pub(crate) code: &'static str,
}

const MASS: Unit = Unit { unit: "mg/dl", code: "mg/dL" };
const MOLAR: Unit = Unit { unit: "mmol/l", code: "mmol/L" };
pub(crate) const PERCENT: Unit = Unit { unit: "%", code: "%" };
const DAYS: Unit = Unit { unit: "days", code: "d" };

/// What an Observation's code makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObservationKind {
    /// One glucose reading at an instant.
    Reading(Unit),
    /// The summary that holds members together.
    Summary,
    /// The five percentages of time.
    TimesInRanges,
    /// A summary member with one value over a period; the flag says whether a value is required.
    Statistic { unit: Unit, required: bool },
}

/// One Observation code the guide defines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObservationCode {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: ObservationKind,
}

pub(crate) const OBSERVATIONS: [ObservationCode; 10] = [
    ObservationCode {
        code: "99504-3",
        name: "sensor reading (mg/dL)",
        kind: ObservationKind::Reading(MASS),
    },
    ObservationCode {
        code: "105272-9",
        name: "sensor reading (mmol/L)",
        kind: ObservationKind::Reading(MOLAR),
    },
    ObservationCode { code: SUMMARY, name: "CGM summary", kind: ObservationKind::Summary },
    ObservationCode {
        code: "97507-8",
        name: "mean glucose (mg/dL)",
        kind: ObservationKind::Statistic { unit: MASS, required: false },
    },
    ObservationCode {
        code: "105273-7",
        name: "mean glucose (mmol/L)",
        kind: ObservationKind::Statistic { unit: MOLAR, required: false },
    },
    ObservationCode {
        code: TIMES_IN_RANGES,
        name: "times in ranges",
        kind: ObservationKind::TimesInRanges,
    },
    ObservationCode {
        code: "97506-0",
        name: "GMI",
        kind: ObservationKind::Statistic { unit: PERCENT, required: true },
    },
    ObservationCode {
        code: "104638-2",
        name: "coefficient of variation",
        kind: ObservationKind::Statistic { unit: PERCENT, required: true },
    },
    ObservationCode {
        code: "104636-6",
        name: "days of wear",
        kind: ObservationKind::Statistic { unit: DAYS, required: true },
    },
    ObservationCode {
        code: "104637-4",
        name: "sensor active",
        kind: ObservationKind::Statistic { unit: PERCENT, required: true },
    },
];

/// The five bands of times in ranges, lowest first.
pub(crate) const RANGES: [(&str, &str); 5] = [
    ("104642-4", "very low"),
    ("104641-6", "low"),
    ("97510-2", "in target"),
    ("104640-8", "high"),
    ("104639-0", "very high"),
];

/// Members a summary must have, once each.
pub(crate) const REQUIRED_MEMBERS: [&str; 5] =
    [TIMES_IN_RANGES, "97506-0", "104638-2", "104636-6", "104637-4"];

/// Members of which a summary must have at least one, and each at most once.
pub(crate) const MEAN_MEMBERS: [&str; 2] = ["97507-8", "105273-7"];

pub(crate) fn observation_code(code: &str) -> Option<&'static ObservationCode> {
    OBSERVATIONS.iter().find(|known| known.code == code)
}
