//! The codes and units of what we write against the guide's own `StructureDefinition`s.

use super::*;

fn definition(name: &str) -> Value {
    let folder =
        std::env::var("CGM_IG_DIR").unwrap_or_else(|_| "../shared/ig/hl7.fhir.uv.cgm-1.0.0".into());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(format!("StructureDefinition-{name}.json"));
    serde_json::from_slice(
        &std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())),
    )
    .unwrap()
}

/// What the profile fixes on an element, by the element's id.
fn fixed(profile: &Value, element: &str) -> Value {
    let elements = profile["differential"]["element"].as_array().unwrap();
    let element =
        elements.iter().find(|e| e["id"] == element).unwrap_or_else(|| panic!("{element}"));
    let pattern = element.as_object().unwrap().iter().find(|(key, _)| key.starts_with("pattern"));
    pattern.unwrap_or_else(|| panic!("no pattern")).1.clone()
}

/// Whether everything the pattern says stands in `found`.
fn matches(pattern: &Value, found: &Value) -> bool {
    match (pattern, found) {
        (Value::Object(pattern), Value::Object(found)) => {
            pattern.iter().all(|(key, value)| found.get(key).is_some_and(|f| matches(value, f)))
        }
        (Value::Array(pattern), Value::Array(found)) => {
            pattern.iter().all(|value| found.iter().any(|f| matches(value, f)))
        }
        _ => pattern == found,
    }
}

fn assert_fixed(profile: &Value, element: &str, found: &Value) {
    let pattern = fixed(profile, element);
    assert!(matches(&pattern, found), "{element}: {pattern} is not in {found}");
}

#[test]
fn readings_have_the_profiles_codes_and_units() {
    for (name, unit) in
        [("cgm-sensor-reading-mass-per-volume", MG), ("cgm-sensor-reading-moles-per-volume", MMOL)]
    {
        let example = Example::new();
        let mut bundle = writer();
        let reading = example.reading(value("6.7", MMOL), unit);
        assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Added));
        let resource = &parsed(bundle)["entry"][0]["resource"];
        let profile = definition(name);
        assert_fixed(&profile, "Observation.code", &resource["code"]);
        assert_fixed(&profile, "Observation.value[x]", &resource["valueQuantity"]);
    }
}

#[test]
fn summaries_have_the_profiles_codes_and_units() {
    let (subject, facts) = (subject(), facts());
    for unit in [MG, MMOL] {
        let summary = SummaryEntry::new(&subject, &facts, unit).unwrap();
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
        let bundle = bundle.finish().unwrap();
        let json: Value = serde_json::from_slice(&bundle.json).unwrap();
        for (index, entry) in bundle.entries.iter().enumerate() {
            let resource = &json["entry"][index]["resource"];
            let EntryKind::SummaryMember(member) = entry.kind else {
                assert_fixed(&definition("cgm-summary"), "Observation.code", &resource["code"]);
                continue;
            };
            let profile = definition(member.profile());
            assert_fixed(&profile, "Observation.code", &resource["code"]);
            match member {
                SummaryMember::TimesInRanges => {
                    let slices = ["VeryLow", "Low", "Target", "High", "VeryHigh"];
                    for (component, slice) in
                        resource["component"].as_array().unwrap().iter().zip(slices)
                    {
                        let at = format!("Observation.component:timeIn{slice}");
                        assert_fixed(&profile, &format!("{at}.code"), &component["code"]);
                        assert_fixed(
                            &profile,
                            &format!("{at}.value[x]"),
                            &component["valueQuantity"],
                        );
                    }
                }
                SummaryMember::DaysOfWear => {
                    assert_fixed(
                        &profile,
                        "Observation.value[x]:valueQuantity",
                        &resource["valueQuantity"],
                    );
                }
                _ => assert_fixed(&profile, "Observation.value[x]", &resource["valueQuantity"]),
            }
        }
    }
}

#[test]
fn every_member_is_referred_to_by_its_full_url() {
    let (subject, facts) = (subject(), facts());
    let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
    let json = parsed(bundle);
    let entries = json["entry"].as_array().unwrap();
    let urls: Vec<&Value> = entries[..6].iter().map(|entry| &entry["fullUrl"]).collect();
    let members = entries[6]["resource"]["hasMember"].as_array().unwrap();
    assert_eq!(members.iter().map(|member| &member["reference"]).collect::<Vec<_>>(), urls);
}

#[test]
fn the_bundle_and_the_device_are_as_the_profiles_fix_them() {
    let example = Example::new();
    let device = Device::new("Dexcom G6", Some("82AJ0D")).unwrap();
    let entry = DeviceEntry { subject: &example.subject, device: &device, sensor: &example.sensor };
    let mut bundle = writer();
    assert_eq!(bundle.try_unit(|unit| unit.device(&entry).map(drop)), Ok(Fit::Added));
    let json = parsed(bundle);
    assert_fixed(&definition("cgm-data-submission-bundle"), "Bundle.type", &json["type"]);
    let name = &json["entry"][0]["resource"]["deviceName"][0];
    assert_fixed(&definition("cgm-device"), "Device.deviceName:cgmDeviceName.type", &name["type"]);
    assert_eq!(json["timestamp"], "2024-05-15T06:00:00.000Z");
}
