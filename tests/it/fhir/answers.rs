//! What receivers answer, and what is no answer.

use super::*;

fn answer(entries: &[Value]) -> Vec<u8> {
    json!({"resourceType": "Bundle", "type": "transaction-response", "x": {"y": [1]},
        "entry": entries})
    .to_string()
    .into_bytes()
}

#[test]
fn each_entry_has_its_own_outcome() {
    let refused = json!({"resourceType": "OperationOutcome", "issue": [
        {"severity": "warning", "code": "informational", "diagnostics": "slow today"},
        {"severity": "error", "code": "invalid", "details": {"text": "unit\u{202e} not\nallowed"},
         "diagnostics": "see guide", "expression": ["Observation.value"]},
    ]});
    let body = answer(&[
        json!({"response": {"status": "201 Created", "location": "Observation/12/_history/1",
            "etag": "W/\"1\""}}),
        json!({"fullUrl": "x", "response": {"status": "200",
            "location": "https://a.example/fhir/Device/b.7"}}),
        json!({"response": {"status": 200}}),
        json!({"response": {"status": "400 Bad Request", "outcome": refused}}),
        json!({"response": {"status": "412", "location": "",
            "outcome": {"resourceType": "Patient"}}}),
    ]);
    let outcomes = parse_response(&body, 5).unwrap();
    assert_eq!(
        outcomes.iter().map(|one| one.status).collect::<Vec<_>>(),
        [201, 200, 200, 400, 412]
    );
    let references: Vec<_> = outcomes.iter().map(|one| one.reference()).collect();
    assert_eq!(references, [Some("Observation/12"), Some("Device/b.7"), None, None, None]);
    let said = outcomes[3].outcome.as_ref().unwrap();
    assert_eq!(said.text(), "error: unit not allowed - see guide (Observation.value)");
    assert_eq!(said.code(), Some("invalid"));
    assert!(!format!("{outcomes:?} {said:?}").contains("unit"));
    assert_eq!((&outcomes[4].location, &outcomes[4].outcome), (&None, &None));
}

#[test]
fn two_entries_created_at_one_place_are_no_answer() {
    let at = |status: &str, place: &str| json!({"response": {"status": status, "location": place}});
    let created = at("201 Created", "Observation/12/_history/1");
    let again = [at("201", "Observation/13"), created.clone(), at("201", "Observation/12")];
    assert_eq!(parse_response(&answer(&again), 3), Err(ResponseError::SamePlace(2)));
    // What was there, or is no place of a resource, says nothing.
    let fine = [at("200", "Observation/12"), at("201", "Observation"), at("201", "Observation")];
    assert_eq!(parse_response(&answer(&fine), 3).unwrap().len(), 3);
}

#[test]
fn what_is_no_answer_is_refused() {
    let ok = json!({"response": {"status": "201"}});
    let bundle = |kind: &str| {
        json!({"resourceType": "Bundle", "type": kind, "entry": [ok]}).to_string().into_bytes()
    };
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(Vec<u8>, usize, ResponseError); 13] = [
        (b"<html>".to_vec(), 1, ResponseError::Unparsable),
        (Vec::new(), 1, ResponseError::Unparsable),
        (b"[]".to_vec(), 1, ResponseError::NotABundle),
        (nested.into_bytes(), 1, ResponseError::NotABundle),
        (br#"{"resourceType":"OperationOutcome"}"#.to_vec(), 1, ResponseError::NotABundle),
        (bundle("transaction"), 1, ResponseError::WrongType),
        (bundle("batch-response"), 2, ResponseError::WrongLength { expected: 2, found: 1 }),
        (answer(&[]), 1, ResponseError::WrongLength { expected: 1, found: 0 }),
        (answer(&[ok.clone(), json!({})]), 2, ResponseError::MissingStatus(1)),
        (answer(&[ok.clone(), json!(null)]), 2, ResponseError::MissingStatus(1)),
        (answer(&[json!({"response": {"status": "OK"}})]), 1, ResponseError::MissingStatus(0)),
        (answer(&[json!({"response": {"status": "2010"}})]), 1, ResponseError::MissingStatus(0)),
        (vec![b' '; (16 << 20) + 1], 1, ResponseError::TooLarge),
    ];
    for (body, expected, error) in cases {
        assert_eq!(parse_response(&body, expected), Err(error));
    }
}

#[test]
fn a_list_of_millions_is_counted_and_not_kept() {
    let body = format!(
        r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[0{}]}}"#,
        ",0".repeat(7_999_999)
    );
    let expected = ResponseError::WrongLength { expected: 1, found: 8_000_000 };
    assert_eq!(parse_response(body.as_bytes(), 1), Err(expected));
}

#[test]
fn a_receivers_words_are_cut_to_1000_characters() {
    let long = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error",
        "code": "invalid", "diagnostics": "é".repeat(5000)}]});
    let said = parse_outcome(long.to_string().as_bytes()).unwrap();
    assert_eq!(said.text().chars().count(), 1000);
    assert!(said.text().ends_with('…'));
    let bare = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "fatal",
        "code": "throttled"}, 7]});
    assert_eq!(parse_outcome(bare.to_string().as_bytes()).unwrap().text(), "fatal: throttled");
    // Letters of four bytes, in more than one issue: as many letters all the same.
    let issue = json!({"severity": "error", "diagnostics": "𝄞".repeat(100)});
    let wide = json!({"resourceType": "OperationOutcome", "issue": vec![issue; 20]});
    let said = parse_outcome(wide.to_string().as_bytes()).unwrap();
    assert_eq!(said.text().chars().count(), 1000);
    assert_eq!(parse_outcome(b"{}"), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_response(&bytes, 1);
        let _ = parse_outcome(&bytes);
        let _ = parse_capability(&bytes);
        let _ = parse_patient(&bytes, &PatientId::new("p").unwrap());
    }

    #[test]
    fn a_damaged_answer_never_panics_and_never_grows(at in 0_usize..150, byte in any::<u8>()) {
        let mut body = answer(&[json!({"response": {"status": "201 Created",
            "location": "Observation/12"}})]);
        let at = at % body.len();
        body[at] = byte;
        if let Ok(outcomes) = parse_response(&body, 1) {
            prop_assert_eq!(outcomes.len(), 1);
        }
    }

    #[test]
    fn outcomes_stay_in_the_order_of_the_entries(
        statuses in proptest::collection::vec(200_u16..600, 0..50)
    ) {
        let entry = |s: &u16| json!({"response": {"status": format!("{s} Some words")}});
        let entries: Vec<_> = statuses.iter().map(entry).collect();
        let outcomes = parse_response(&answer(&entries), statuses.len()).unwrap();
        prop_assert_eq!(outcomes.iter().map(|one| one.status).collect::<Vec<_>>(), statuses);
    }
}
