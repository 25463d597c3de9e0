//! The page a clinician would look at: what arrived, per patient. Plain HTML without scripts; the
//! template escapes all text. It only shows, and shows values exactly as they were sent.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, value::RawValue};

use crate::{
    SandboxError,
    app::App,
    fhir::{
        codes::{OBSERVATIONS, ObservationKind, RANGES, SUMMARY, observation_code},
        dates::day_text,
        raw::RawObject,
        validate::decode_base64,
    },
    http::server_error_page,
    store::{ResourceQuery, StoredResource, SubmissionRecord},
};

/// How many of the newest readings, summaries and submissions the page lists.
const LAST: usize = 10;

pub(crate) const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f5f7f9; margin: 0 }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; background: #fff }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #dde3e9;
  vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
fieldset { border: 1px solid #cbd4dc; background: #fff; margin: 1rem 0 }
label { display: block; padding: .2rem 0 }
button { font: inherit; padding: .5rem 1.2rem; border: 0; border-radius: .3rem;
  background: #0b5cad; color: #fff }
button.quiet { background: #e3e8ee; color: #1c2733 } code { font-size: .8rem; color: #52606d }
.none { color: #52606d } a { color: #0b5cad }";

/// `GET /` and `GET /clinic`: everybody, and the latest submissions.
pub(crate) async fn overview(State(app): State<App>) -> Response {
    match overview_page(&app) {
        Ok(page) => html_answer(StatusCode::OK, &page),
        Err(error) => server_error_page(&error),
    }
}

/// `GET /clinic/{patient}`.
pub(crate) async fn patient(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.store.resource("Patient", &id) {
        Ok(Some(patient)) => match patient_page(&app, &patient) {
            Ok(page) => html_answer(StatusCode::OK, &page),
            Err(error) => server_error_page(&error),
        },
        Ok(None) => html_answer(
            StatusCode::NOT_FOUND,
            &page("No such patient", &html! { p { a href="/clinic" { "All patients" } } }),
        ),
        Err(error) => server_error_page(&error),
    }
}

/// `GET /clinic/{patient}/{type}/{id}`: the PDF of a report, the stored text of anything else.
pub(crate) async fn resource(
    State(app): State<App>,
    Path((patient, kind, id)): Path<(String, String, String)>,
) -> Response {
    let found = match app.store.resource(&kind, &id) {
        Ok(found) => found.filter(|resource| resource.patient == patient),
        Err(error) => return server_error_page(&error),
    };
    let Some(found) = found else {
        return html_answer(
            StatusCode::NOT_FOUND,
            &page("No such resource", &html! { p { a href="/clinic" { "All patients" } } }),
        );
    };
    let pdf = found
        .json()
        .ok()
        .and_then(|resource| decode_base64(resource["presentedForm"][0]["data"].as_str()?));
    let headers =
        |kind| [(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    match pdf {
        Some(pdf) => (headers("application/pdf"), pdf).into_response(),
        None => (headers("application/json; charset=utf-8"), found.body).into_response(),
    }
}

fn overview_page(app: &App) -> Result<Markup, SandboxError> {
    let patients = app.store.patients()?;
    let submissions = app.store.submissions(None)?;
    let mut rows = Vec::new();
    for patient in &patients {
        let readings = readings(app, &patient.id)?.iter().map(|code| code.count).sum::<u32>();
        let latest = submissions.iter().rev().find(|submission| submission.patient == patient.id);
        rows.push((patient, patient.json()?, readings, latest));
    }
    Ok(page(
        "Sandbox clinic",
        &html! {
            p { "FHIR base: " code { (app.base) } ". The people here are invented." }
            table {
                thead { tr {
                    th { "Patient" } th { "Born" } th.n { "Readings" } th { "Last submission" }
                } }
                tbody {
                    @for (patient, resource, readings, latest) in &rows {
                        tr {
                            td {
                                a href=(format!("/clinic/{}", patient.id)) {
                                    (display_name(resource))
                                }
                            }
                            td { (resource["birthDate"].as_str().unwrap_or_default()) }
                            td.n { (readings) }
                            td {
                                (latest.map_or("none yet", |sent| sent.received.as_str()))
                            }
                        }
                    }
                }
            }
            h2 { "Latest submissions" }
            (submission_table(&submissions))
        },
    ))
}

fn patient_page(app: &App, patient: &StoredResource) -> Result<Markup, SandboxError> {
    let resource = patient.json()?;
    let mut summaries = Vec::new();
    for summary in newest(app, patient, "Observation", Some(SUMMARY))? {
        summaries.push((summary.id.clone(), summary.json()?, members(app, &summary)?));
    }
    let readings = readings(app, &patient.id)?;
    let mut last = Vec::new();
    for code in readings.iter().filter(|code| code.count > 0) {
        last.push((code.name, newest(app, patient, "Observation", Some(code.code))?));
    }
    let reports = newest(app, patient, "DiagnosticReport", None)?;
    let devices = newest(app, patient, "Device", None)?;
    let submissions = app.store.submissions(Some(&patient.id))?;
    Ok(page(
        &display_name(&resource),
        &html! {
            p {
                "Born " (resource["birthDate"].as_str().unwrap_or("unknown")) ". "
                a href="/clinic" { "All patients" }
            }
            h2 { "Summaries" }
            @if summaries.is_empty() { p.none { "None yet." } }
            @for (id, summary, members) in &summaries {
                h3 {
                    a href=(format!("/clinic/{}/Observation/{id}", patient.id)) {
                        (period_text(summary))
                    }
                }
                table { @for (name, value) in members { tr { td { (name) } td.n { (value) } } } }
            }
            h2 { "Readings" }
            (readings_table(&readings))
            @for (name, newest) in &last { (latest_table(&patient.id, name, newest)) }
            h2 { "Reports" }
            @if reports.is_empty() { p.none { "None yet." } }
            ul { @for report in &reports {
                li { a href=(format!("/clinic/{}/DiagnosticReport/{}", patient.id, report.id)) {
                    "PDF " (period_text(&report.json().unwrap_or_default()))
                } }
            } }
            h2 { "Devices" }
            @if devices.is_empty() { p.none { "None yet." } }
            ul { @for device in &devices {
                li { (device_text(&device.json().unwrap_or_default())) }
            } }
            h2 { "Submissions" }
            (submission_table(&submissions))
        },
    ))
}

/// The last resources of a kind.
fn newest(
    app: &App,
    patient: &StoredResource,
    kind: &str,
    code: Option<&str>,
) -> Result<Vec<StoredResource>, SandboxError> {
    let codings = code.map(|code| vec![("code", None, code.to_owned())]).into_iter().collect();
    let query = ResourceQuery {
        kind,
        patient: &patient.id,
        codings,
        newest_first: true,
        count: Some(LAST),
        ..ResourceQuery::default()
    };
    Ok(app.store.search(&query)?.0)
}

fn readings_table(readings: &[ReadingCount]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Kind" } th.n { "Number" } th { "First day" } th { "Last day" }
            } }
            tbody { @for code in readings {
                tr {
                    td { (code.name) } td.n { (code.count) }
                    td { (code.first) } td { (code.last) }
                }
            } }
        }
    }
}

fn latest_table(patient: &str, name: &str, newest: &[StoredResource]) -> Markup {
    html! {
        h3 { "Latest: " (name) }
        table { @for reading in newest {
            tr {
                td {
                    a href=(format!("/clinic/{}/Observation/{}", patient, reading.id)) {
                        (field_text(&reading.body, "effectiveDateTime"))
                    }
                }
                td.n { (value_text(&reading.body)) }
            }
        } }
    }
}

/// One row of the readings table.
struct ReadingCount {
    code: &'static str,
    name: &'static str,
    count: u32,
    first: String,
    last: String,
}

fn readings(app: &App, patient: &str) -> Result<Vec<ReadingCount>, SandboxError> {
    OBSERVATIONS
        .iter()
        .filter(|code| matches!(code.kind, ObservationKind::Reading(_)))
        .map(|code| {
            let (count, first, last) = app.store.count_by_code(patient, code.code)?;
            let day = |millis: Option<i64>| millis.map(day_text).unwrap_or_default();
            Ok(ReadingCount {
                code: code.code,
                name: code.name,
                count,
                first: day(first),
                last: day(last),
            })
        })
        .collect()
}

/// The values of a summary's members, by name.
fn members(app: &App, summary: &StoredResource) -> Result<Vec<(String, String)>, SandboxError> {
    let mut values = Vec::new();
    for member in summary.json()?["hasMember"].as_array().into_iter().flatten() {
        let reference = member["reference"].as_str().unwrap_or_default();
        let mut parts = reference.trim_start_matches(&app.base).trim_start_matches('/').split('/');
        let (Some(kind), Some(id)) = (parts.next(), parts.next()) else { continue };
        let Some(found) = app.store.resource(kind, id)? else { continue };
        let resource = found.json()?;
        let code = resource["code"]["coding"][0]["code"].as_str().unwrap_or_default();
        let name = observation_code(code).map_or(code, |known| known.name);
        let components = raw_items(&found.body, "component");
        if components.is_empty() {
            values.push((name.to_owned(), value_text(&found.body)));
        }
        for (component, raw) in
            resource["component"].as_array().into_iter().flatten().zip(&components)
        {
            let code = component["code"]["coding"][0]["code"].as_str().unwrap_or_default();
            let range =
                RANGES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name);
            values.push((format!("time {range}"), value_text(raw)));
        }
    }
    Ok(values)
}

/// `100.10 mg/dl`, with the digits as sent.
fn value_text(body: &str) -> String {
    let quantity = raw_field(body, "valueQuantity").unwrap_or_default();
    match raw_field(&quantity, "value") {
        Some(number) => format!(
            "{} {number} {}",
            field_text(&quantity, "comparator"),
            field_text(&quantity, "unit")
        )
        .trim()
        .to_owned(),
        None => "no value".to_owned(),
    }
}

fn raw_field(json: &str, name: &str) -> Option<String> {
    serde_json::from_str::<RawObject<'_>>(json).ok()?.get(name).map(|value| value.get().to_owned())
}

fn raw_items(json: &str, name: &str) -> Vec<String> {
    let items = raw_field(json, name)
        .and_then(|items| serde_json::from_str::<Vec<Box<RawValue>>>(&items).ok());
    items.unwrap_or_default().iter().map(|item| item.get().to_owned()).collect()
}

fn field_text(json: &str, name: &str) -> String {
    raw_field(json, name).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn period_text(resource: &Value) -> String {
    let edge = |name: &str| resource["effectivePeriod"][name].as_str().unwrap_or("?").to_owned();
    format!("{} to {}", edge("start"), edge("end"))
}

fn device_text(device: &Value) -> String {
    let name = device["deviceName"][0]["name"].as_str().unwrap_or("unnamed");
    match device["serialNumber"].as_str() {
        Some(serial) => format!("{name}, serial number {serial}"),
        None => name.to_owned(),
    }
}

/// `Amy Shaw`.
pub(crate) fn display_name(patient: &Value) -> String {
    let name = &patient["name"][0];
    let given = name["given"].as_array().into_iter().flatten().filter_map(Value::as_str);
    given.chain(name["family"].as_str()).collect::<Vec<_>>().join(" ")
}

fn submission_table(submissions: &[SubmissionRecord]) -> Markup {
    html! {
        @if submissions.is_empty() { p.none { "None yet." } } @else {
            table {
                thead { tr {
                    th { "Received" } th { "Patient" } th { "App" }
                    th.n { "Status" } th.n { "Bytes" } th.n { "Entries" }
                    th.n { "Created" } th.n { "Already there" } th.n { "Refused" }
                } }
                tbody { @for submission in submissions.iter().rev().take(LAST) {
                    tr {
                        td { (submission.received) } td { (submission.patient) }
                        td { (submission.client) }
                        td.n { (submission.status) } td.n { (submission.bytes) }
                        td.n { (submission.entries) }
                        td.n { (submission.created) } td.n { (submission.already) }
                        td.n { (submission.refused) }
                    }
                } }
            }
        }
    }
}

fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – sandbox EHR" }
                style { (STYLE) }
            }
            body { main { h1 { (title) } (body) } }
        }
    }
}

fn html_answer(status: StatusCode, page: &Markup) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(page.clone().into_string())).into_response()
}
