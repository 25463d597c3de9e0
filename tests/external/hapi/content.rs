//! Everything a person has is found again at the server, digit for digit, and nothing besides; and
//! is not sent twice.

use crate::case::{Case, MASS, MAY, MOLAR, request, submit_all};
use crate::facts::{Fact, every_five_minutes, ordinary};
use crate::world::SUMMARY_ENTRIES;
use cgm_submitter::glucose::GlucoseUnit::{MgPerDl, MmolPerL};
use chrono_tz::Tz;

/// What the summary's figures look like, by code.
const FIGURES: [(&str, &str, usize); 10] = [
    ("97507-8", "mg/dL", 1),
    ("97506-0", "%", 2),
    ("104638-2", "%", 2),
    ("104636-6", "d", 0),
    ("104637-4", "%", 2),
    ("104642-4", "%", 2),
    ("104641-6", "%", 2),
    ("97510-2", "%", 2),
    ("104640-8", "%", 2),
    ("104639-0", "%", 2),
];

/// Values of every form, digits that a float would lose among them.
fn in_mg_dl(n: usize) -> String {
    match n % 97 {
        3 => "<40".to_owned(),
        5 => ">400".to_owned(),
        7 => "100.10".to_owned(),
        11 => "100.1".to_owned(),
        13 => "99.000001".to_owned(),
        17 => "error".to_owned(),
        19 => "unknown".to_owned(),
        23 => "not-performed".to_owned(),
        29 => "masked".to_owned(),
        rest => (60 + rest * 3).to_string(),
    }
}

fn in_mmol_l(n: usize) -> String {
    match n % 41 {
        3 => "<2.2".to_owned(),
        5 => ">22.2".to_owned(),
        7 => "6.70".to_owned(),
        11 => "7".to_owned(),
        rest => format!("{}.{}", 4 + rest % 9, n % 10),
    }
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn six_days_over_a_dst_change_are_found_digit_for_digit_and_a_new_phone_doubles_none() {
    const READINGS: u64 = 1_700;
    let facts = every_five_minutes(Tz::Europe__Berlin, (2024, 10, 24), 1_700, in_mg_dl);
    assert!(facts.contains(&Fact::new("2024-10-27T02:00:00+02:00", in_mg_dl(888))));
    assert!(
        facts.contains(&Fact::new("2024-10-27T02:00:00+01:00", in_mg_dl(900))),
        "that hour comes twice"
    );
    let case = Case::new().await.living_in(Tz::Europe__Berlin, "2024-11-01T08:00:00Z");
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    let request = request("2024-10-24..2024-10-29", MgPerDl);
    let outcome = submit_all(&app, connection, request).await;
    assert!(outcome.is_complete() && outcome.left_out.is_empty());
    assert_eq!(outcome.tally.readings.accepted, READINGS);
    assert_eq!(outcome.tally.entries.accepted, READINGS + 1 + SUMMARY_ENTRIES);
    assert_eq!(outcome.tally.requests, 6, "device, summary, and readings 500 at a time");
    let sent = case.world.tape.bundles();
    assert!(
        sent.iter()
            .all(|bundle| bundle.gzip
                && format!("{}{}", case.server.base, "").ends_with(&bundle.path))
    );
    case.world.tape.assert_only_same_bytes_again();

    let record = case.assert_holds(MASS, &facts).await;
    let summary = &record.summaries[0];
    assert_eq!(
        (&summary.dates, &summary.replaces),
        (&["2024-10-24", "2024-10-29"].map(str::to_owned), &None)
    );
    let statistics = app.summary("2024-10-24..2024-10-29".parse().unwrap()).await.unwrap();
    let figure = |code: &str| summary.figures[code].split(' ').next().unwrap().to_owned();
    assert_eq!(figure("97507-8"), format!("{:.1}", statistics.mean_mg_dl()));
    assert_eq!(figure("97506-0"), format!("{:.2}", statistics.gmi_percent()));
    assert_eq!(figure("104636-6"), "6");
    assert_eq!(summary.figures.len(), FIGURES.len());
    for (code, unit, decimals) in FIGURES {
        let (number, found) = summary.figures[code].split_once(' ').unwrap();
        let written = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        assert_eq!((found, written), (unit, decimals), "{code}: {number}");
    }

    assert_eq!(submit_all(&app, connection, request).await.tally.requests, 0, "nothing is left");
    let (new_phone, connection) = case.phone("new.db", &facts, MgPerDl).await;
    let all = submit_all(&new_phone, connection, request).await.tally.entries;
    assert_eq!(
        (all.accepted, all.already_there, all.refused),
        (0, READINGS + 1 + SUMMARY_ENTRIES, 0)
    );
    case.assert_holds(MASS, &facts).await;
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn mmol_per_litre_over_the_start_of_summer_time_goes_plain_where_gzip_is_not_read() {
    let facts = every_five_minutes(Tz::Europe__Berlin, (2024, 3, 31), 200, in_mmol_l);
    assert!(
        facts.contains(&Fact::new("2024-03-31T03:00:00+02:00", in_mmol_l(24))),
        "there is no hour from two to three"
    );
    let case = Case::with(|front| front.accepts_gzip(false))
        .await
        .living_in(Tz::Europe__Berlin, "2024-05-01T08:00:00Z");
    let (app, connection) = case.phone("me.db", &facts, MmolPerL).await;
    let outcome = submit_all(&app, connection, request("2024-03-31..2024-03-31", MmolPerL)).await;
    assert!(outcome.is_complete());
    assert_eq!(outcome.tally.readings.accepted, 200);
    let compressed: Vec<bool> = case.world.tape.bundles().iter().map(|sent| sent.gzip).collect();
    assert_eq!(compressed, [true, false, false, false], "refused once, and remembered");
    let record = case.assert_holds(MOLAR, &facts).await;
    assert!(record.facts(MASS).is_empty());
    assert!(record.summaries[0].figures["105273-7"].ends_with(" mmol/L"));
}

/// mg/dL as mmol/L with one decimal, half up: 18.01559 mg/dL are 1 mmol/L.
fn converted(said: &str) -> String {
    let tenths = (2 * said.parse::<u64>().unwrap() * 1_000_000 + 1_801_559) / (2 * 1_801_559);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn readings_sent_in_both_units_are_there_in_both() {
    let facts = ordinary(40);
    let case = Case::new().await;
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    for unit in [MgPerDl, MmolPerL] {
        let outcome = submit_all(&app, connection, request(MAY, unit)).await;
        assert!(outcome.is_complete());
        assert_eq!(outcome.tally.readings.accepted, 40, "{unit}");
    }
    let record = case.record().await;
    assert_eq!(record.facts(MASS), facts);
    assert_eq!(
        record.facts(MOLAR),
        facts.iter().map(|fact| fact.saying(&converted(&fact.said))).collect::<Vec<_>>()
    );
    assert_eq!((record.devices.len(), record.summaries.len()), (1, 2));
}
