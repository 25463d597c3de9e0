//! Summaries: a figure that did not change stays the one it was, and one that was refused is sent
//! when somebody says so.

use super::receiver::{Record, identifiers};
use super::virtual_time::{End, Phone, no_search, zone};
use cgm_submitter::glucose::{DateRange, GlucoseUnit};
use cgm_submitter::submission::{Origin, Plan, Wanted};
use chrono::TimeDelta;
use serde_json::{Value, json};

const MASS: GlucoseUnit = GlucoseUnit::MgPerDl;
const MOLAR: GlucoseUnit = GlucoseUnit::MmolPerL;
const GMI: &str = "97506-0";

/// A phone whose receiver is known to take, or not to take, conditional creates.
fn phone(conditional: bool) -> Phone {
    let mut phone = Phone::new(600, "plain");
    phone
        .store
        .change_receiver(phone.connection, |receiver| {
            receiver.conditional_create = Some(conditional);
        })
        .unwrap();
    phone
}

/// Sends the summary of the same dates, if there is anything to send.
fn send_summary(
    phone: &mut Phone,
    unit: GlucoseUnit,
    mut receive: impl FnMut(&[u8]) -> (u16, String),
) {
    let wanted = Wanted { devices: false, summary: true, readings: false, unit };
    let dates: DateRange = "2024-05-01..2024-05-14".parse().unwrap();
    let window = dates.window(&zone()).unwrap();
    let plan = Plan { wanted, dates, window, day_under_way: None };
    phone.store.open_submission(phone.connection, Origin::Person, &plan, phone.now).unwrap();
    let end = phone.run(TimeDelta::days(1), |sent| receive(&sent.body).into(), no_search);
    assert_eq!(end, End::Idle);
}

fn entries(body: &[u8]) -> Vec<Value> {
    let bundle: Value = serde_json::from_slice(body).unwrap();
    bundle["entry"].as_array().unwrap().clone()
}

#[test]
fn a_figure_that_did_not_change_is_not_written_twice_where_nothing_is_conditional() {
    let mut phone = phone(false);
    let mut record = Record::default();
    send_summary(&mut phone, MASS, |body| record.take(body));
    phone.ingest(600, 610);
    send_summary(&mut phone, MASS, |body| record.take(body));
    send_summary(&mut phone, MOLAR, |body| record.take(body));
    record.assert_single();

    let sizes: Vec<usize> = phone.sent.iter().map(|sent| entries(&sent.body).len()).collect();
    assert_eq!((sizes.len(), sizes[0]), (3, 7));
    assert!(sizes[1] < 7, "the days of wear are what they were: {sizes:?}");
    assert_eq!(sizes[2], 2, "the mean in the other unit, and what holds all together");
    for sent in &phone.sent {
        let entries = entries(&sent.body);
        let inside: Vec<&Value> = entries.iter().map(|entry| &entry["fullUrl"]).collect();
        let members = entries.last().unwrap()["resource"]["hasMember"].as_array().unwrap();
        assert_eq!(members.len(), 6);
        for member in members {
            let reference = member["reference"].as_str().unwrap();
            let there = reference.strip_prefix("Observation/");
            let there = there.is_some_and(|id| record.has(&format!("urn:uuid:{id}")));
            assert!(there || inside.contains(&&member["reference"]), "{reference}");
        }
    }
}

#[test]
fn a_refused_figure_goes_again_once_it_is_retried() {
    for conditional in [true, false] {
        let mut phone = phone(conditional);
        let mut record = Record::looking_first();
        let mut gmi = None;
        send_summary(&mut phone, MASS, |body| {
            let (status, answer) = record.take(body);
            let mut answer: Value = serde_json::from_str(&answer).unwrap();
            let is_gmi = |entry: &Value| {
                entry["resource"]["code"]["coding"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|c| c["code"] == GMI)
            };
            let place = entries(body).iter().position(is_gmi).unwrap();
            gmi = identifiers(body).get(place).cloned();
            answer["entry"][place] = json!({"response": {"status": "422"}});
            (status, answer.to_string())
        });
        send_summary(&mut phone, MASS, |body| record.take(body));
        assert_eq!(phone.sent.len(), 1, "a refusal stands");
        assert_eq!(phone.store.retry_refused(phone.connection).unwrap(), 7, "all of its unit");
        send_summary(&mut phone, MASS, |body| record.take(body));
        assert_eq!(phone.sent.len(), 2);
        let again = identifiers(&phone.sent[1].body);
        assert!(again.contains(&gmi.unwrap()));
        assert_eq!(again.len(), if conditional { 7 } else { 1 }, "nothing else is doubled");
        send_summary(&mut phone, MASS, |body| record.take(body));
        assert_eq!(phone.sent.len(), 2);
    }
}
