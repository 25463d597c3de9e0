//! Limits, units and twins.

use super::*;

fn filled(limits: BundleLimits, count: i64) -> (BundleWriter, i64) {
    let example = Example::new();
    let mut bundle = BundleWriter::new(DateTime::UNIX_EPOCH, limits);
    for number in 0..count {
        let reading = ReadingEntry { seconds: number, ..example.reading(value("121", MG), MG) };
        if bundle.try_unit(|unit| unit.reading(&reading).map(drop)).unwrap() == Fit::Full {
            return (bundle, number);
        }
    }
    (bundle, count)
}

#[test]
fn a_bundle_takes_up_to_500_entries() {
    let (bundle, taken) = filled(BundleLimits::default(), 600);
    assert_eq!(taken, 500);
    let bundle = bundle.finish().unwrap();
    let json: Value = serde_json::from_slice(&bundle.json).unwrap();
    assert_eq!((bundle.entries.len(), json["entry"].as_array().unwrap().len()), (500, 500));
    assert_eq!(bundle.entries.last().unwrap().unit, 499);
}

#[test]
fn a_bundle_is_never_larger_than_its_limit_by_a_single_byte() {
    let (exact, _) = filled(BundleLimits::default(), 3);
    let bytes = exact.finish().unwrap().json.len();
    let within = |max_bytes| filled(BundleLimits { max_entries: 500, max_bytes }, 3).1;
    assert_eq!((within(bytes), within(bytes - 1)), (3, 2));
}

#[test]
fn a_unit_that_does_not_fit_leaves_no_trace() {
    let (subject, facts) = (subject(), facts());
    let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
    let limits = BundleLimits { max_entries: 8, ..BundleLimits::default() };
    let (mut bundle, _) = filled(limits, 2);
    assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Full));
    let (untouched, _) = filled(limits, 2);
    assert_eq!(bundle.finish(), untouched.finish());
    // One fewer, and it fits.
    let (mut bundle, _) = filled(limits, 1);
    assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
    let entries = bundle.finish().unwrap().entries;
    assert_eq!(
        entries.iter().map(|entry| entry.unit).collect::<Vec<_>>(),
        [0, 1, 1, 1, 1, 1, 1, 1]
    );
}

#[test]
fn a_unit_larger_than_the_limits_goes_alone() {
    let (subject, facts) = (subject(), facts());
    let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
    let mut bundle =
        BundleWriter::new(DateTime::UNIX_EPOCH, BundleLimits { max_entries: 1, max_bytes: 100 });
    assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
    let example = Example::new();
    let reading = example.reading(value("121", MG), MG);
    assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Full));
    assert_eq!(bundle.finish().unwrap().entries.len(), 7);
}

#[test]
fn twins_are_refused_and_what_else_the_unit_had_is_undone() {
    let example = Example::new();
    let (one, other) =
        (example.reading(value("121", MG), MG), example.reading(value("122", MG), MG));
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|unit| unit.reading(&one).map(drop)), Ok(Fit::Added));
    let twin = bundle.try_unit(|unit| {
        unit.reading(&other)?;
        unit.reading(&one).map(drop)
    });
    assert_eq!(twin, Err(BundleError::Twin(one.identifier())));
    assert_eq!(bundle.len(), 1);
    assert_eq!(
        bundle.try_unit(|unit| unit.reading(&other).map(drop)),
        Ok(Fit::Added),
        "it was undone"
    );
    assert_eq!(
        bundle.try_unit(|unit| unit.reading(&one).map(drop)),
        Err(BundleError::Twin(one.identifier()))
    );
    assert_eq!(parsed(bundle)["entry"].as_array().unwrap().len(), 2);
}

#[test]
fn an_impossible_time_is_an_error_and_an_empty_bundle_is_none() {
    let example = Example::new();
    let reading = ReadingEntry { seconds: i64::MAX, ..example.reading(value("121", MG), MG) };
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Err(BundleError::Time));
    let good = example.reading(value("121", MG), MG);
    let both = bundle.try_unit(|unit| {
        let _ = unit.reading(&reading);
        unit.reading(&good)?;
        let _ = unit.reading(&reading);
        Ok(())
    });
    assert_eq!(
        (both, parsed(bundle)["entry"].as_array().unwrap().len()),
        (Ok(Fit::Added), 1),
        "the good part goes on"
    );
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|_| Ok(())), Ok(Fit::Added));
    assert!(bundle.is_empty());
    assert_eq!(bundle.finish(), None);
}

#[test]
fn two_installations_write_the_same_bytes() {
    let bytes = || filled(BundleLimits::default(), 20).0.finish().unwrap().json;
    assert_eq!(bytes(), bytes());
}

#[test]
fn debug_output_shows_no_value_and_no_identifier() {
    let example = Example::new();
    let reading = example.reading(value("121", MG), MG);
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Added));
    let twin = bundle.try_unit(|unit| unit.reading(&reading).map(drop)).unwrap_err();
    let urn = reading.identifier().urn();
    let writer = format!("{bundle:?}");
    let bundle = bundle.finish().unwrap();
    let shown = format!("{reading:?} {writer} {twin:?} {twin} {bundle:?} {:?}", bundle.entries);
    assert!(
        !shown.contains("121") && !shown.contains(&urn[9..17]) && !shown.contains("p-1"),
        "{shown}"
    );
}
