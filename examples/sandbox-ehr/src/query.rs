//! Reading what the clinic holds through FHIR: discovery, metadata, read and search. Everything but
//! the first two is limited to the token's patient and scopes. Search is strict: a parameter it
//! does not know is an error.

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::{
    app::App,
    capability::capability_statement,
    faults::Endpoint,
    fhir::{dates::covered_range, outcome::Refusal, validate::all_codings},
    http::{authorise, failure_answer, fhir_answer, refusal_answer},
    oauth::{discovery, scopes::GrantedScopes},
    store::{AccessToken, Comparison, DateColumn, ResourceQuery, StoredResource},
};

/// Largest page a search gives, whatever `_count` says.
const MAX_PAGE: usize = 1_000;

/// `GET /fhir/.well-known/smart-configuration`.
pub(crate) async fn smart_configuration(State(app): State<App>) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Read) {
        return failure_answer(&failure);
    }
    let document = discovery::smart_configuration(&app.config, &app.origin, &app.base);
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// `GET /fhir/metadata`.
pub(crate) async fn metadata(State(app): State<App>) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Read) {
        return failure_answer(&failure);
    }
    fhir_answer(200, capability_statement(&app.config, &app.origin, &app.base).to_string())
}

/// `GET /fhir/{type}/{id}`.
pub(crate) async fn read(
    State(app): State<App>,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Read) {
        return failure_answer(&failure);
    }
    let token = match authorise(&app, &headers) {
        Ok(token) => token,
        Err(unauthorised) => return unauthorised.into_response(),
    };
    match readable(&app, &token, &kind, &id) {
        Ok(resource) => {
            let mut response = fhir_answer(200, resource.body);
            response
                .headers_mut()
                .insert(header::ETAG, header::HeaderValue::from_static("W/\"1\""));
            response
        }
        Err(refusal) => refusal_answer(&refusal),
    }
}

/// `GET /fhir/{type}/{id}/_history/1`: nothing is ever changed, so there is one version.
pub(crate) async fn read_version(
    state: State<App>,
    Path((kind, id, version)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    if version != "1" {
        return refusal_answer(&Refusal::not_found("there is only version 1"));
    }
    read(state, Path((kind, id)), headers).await
}

fn readable(
    app: &App,
    token: &AccessToken,
    kind: &str,
    id: &str,
) -> Result<StoredResource, Refusal> {
    let scopes = GrantedScopes::parse(&token.scope);
    if scopes.with(kind, 'r').next().is_none() {
        return Err(Refusal::forbidden("the access token has no scope to read this type"));
    }
    let found = app.store.resource(kind, id).map_err(|_| Refusal::internal())?;
    // Another patient's resource is as absent as one that never was.
    let found = found
        .filter(|resource| resource.patient == token.patient)
        .ok_or_else(|| Refusal::not_found("no such resource of this patient"))?;
    let codings = all_codings(&found.json().map_err(|_| Refusal::internal())?);
    if scopes.allow(kind, 'r', &codings) {
        Ok(found)
    } else {
        Err(Refusal::forbidden("outside the access token's scopes"))
    }
}

/// `GET /fhir/{type}?…`.
pub(crate) async fn search(
    State(app): State<App>,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Read) {
        return failure_answer(&failure);
    }
    let token = match authorise(&app, &headers) {
        Ok(token) => token,
        Err(unauthorised) => return unauthorised.into_response(),
    };
    match searched(&app, &token, &kind, &query.unwrap_or_default()) {
        Ok(text) => fhir_answer(200, text),
        Err(refusal) => refusal_answer(&refusal),
    }
}

fn searched(app: &App, token: &AccessToken, kind: &str, query: &str) -> Result<String, Refusal> {
    let known: &[&str] = match kind {
        "ServiceRequest" => &["patient", "code"],
        "Observation" | "DiagnosticReport" => {
            &["patient", "code", "category", "identifier", "date"]
        }
        "Device" => &["patient", "identifier"],
        _ => return Err(Refusal::not_found("this type cannot be searched")),
    };
    let scopes = GrantedScopes::parse(&token.scope);
    let allowed: Vec<_> = scopes.with(kind, 's').collect();
    if allowed.is_empty() {
        return Err(Refusal::forbidden("the access token has no scope to search this type"));
    }
    let parameters: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut wanted = ResourceQuery { kind, patient: &token.patient, ..ResourceQuery::default() };
    if allowed.iter().all(|scope| scope.restriction.is_some()) {
        let alternatives = allowed.iter().filter_map(|scope| scope.restriction.as_ref());
        wanted.codings.push(
            alternatives
                .map(|rule| (rule.element, rule.system.clone(), rule.code.clone()))
                .collect(),
        );
    }
    let mut page = app.config.page_size;
    for (name, value) in &parameters {
        match name.as_str() {
            "_count" => page = number(name, value)?.clamp(1, MAX_PAGE),
            "_offset" => wanted.offset = number(name, value)?,
            "patient" if known.contains(&"patient") => check_patient(value, &token.patient)?,
            "code" if known.contains(&"code") => wanted.codings.push(tokens("code", value)),
            "category" if known.contains(&"category") => {
                wanted.codings.push(tokens("category", value));
            }
            "identifier" if known.contains(&"identifier") => {
                wanted.identifiers.extend(value.split(',').map(token_parts));
            }
            "date" if known.contains(&"date") => wanted.dates.extend(date_conditions(value)?),
            _ => {
                let text = format!("the search parameter {name:.40} is not supported for {kind}");
                return Err(Refusal::new(400, "not-supported", text));
            }
        }
    }
    wanted.count = Some(page);
    let (found, total) = app.store.search(&wanted).map_err(|_| Refusal::internal())?;
    searchset(app, kind, &parameters, &found, total, wanted.offset, page)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SearchSet<'a> {
    resource_type: &'static str,
    r#type: &'static str,
    total: usize,
    link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Link {
    relation: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    full_url: String,
    resource: &'a RawValue,
    search: Mode,
}

#[derive(Serialize)]
struct Mode {
    mode: &'static str,
}

fn searchset(
    app: &App,
    kind: &str,
    parameters: &[(String, String)],
    found: &[StoredResource],
    total: usize,
    offset: usize,
    page: usize,
) -> Result<String, Refusal> {
    let link = |relation, offset: usize| {
        let filters =
            parameters.iter().filter(|(name, _)| !["_offset", "_count"].contains(&name.as_str()));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(filters)
            .append_pair("_count", &page.to_string())
            .append_pair("_offset", &offset.to_string())
            .finish();
        Link { relation, url: format!("{}/{kind}?{query}", app.base) }
    };
    let mut links = vec![link("self", offset)];
    if offset + found.len() < total {
        links.push(link("next", offset + page));
    }
    let entry = found
        .iter()
        .map(|resource| {
            Ok(Entry {
                full_url: format!("{}/{kind}/{}", app.base, resource.id),
                resource: serde_json::from_str(&resource.body)?,
                search: Mode { mode: "match" },
            })
        })
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|_| Refusal::internal())?;
    let set = SearchSet { resource_type: "Bundle", r#type: "searchset", total, link: links, entry };
    serde_json::to_string(&set).map_err(|_| Refusal::internal())
}

fn check_patient(value: &str, patient: &str) -> Result<(), Refusal> {
    if value.strip_prefix("Patient/").unwrap_or(value) == patient {
        Ok(())
    } else {
        Err(Refusal::forbidden("the access token is for another patient"))
    }
}

/// `code`, `system|code` or `|code`, several separated by commas.
fn tokens<'a>(element: &'a str, value: &str) -> Vec<(&'a str, Option<String>, String)> {
    let parts = value.split(',').map(token_parts);
    parts.map(|(system, code)| (element, system, code)).collect()
}

fn token_parts(token: &str) -> (Option<String>, String) {
    match token.split_once('|') {
        Some((system, code)) => (Some(system.to_owned()), code.to_owned()),
        None => (None, token.to_owned()),
    }
}

fn number(name: &str, value: &str) -> Result<usize, Refusal> {
    value.parse().map_err(|_| Refusal::new(400, "value", format!("{name} must be a whole number")))
}

/// FHIR's date search: the resource's time overlaps (no prefix, `eq`), is after (`gt`, `ge`) or
/// before (`lt`, `le`).
fn date_conditions(value: &str) -> Result<Vec<(DateColumn, Comparison, i64)>, Refusal> {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};
    use DateColumn::{Ends, Starts};
    let (prefix, date) = match value.get(..2) {
        Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            (prefix, &value[2..])
        }
        _ => ("eq", value),
    };
    let range = covered_range(date)
        .ok_or_else(|| Refusal::new(400, "value", "date must be a FHIR date or instant"))?;
    match prefix {
        "eq" => Ok(vec![(Starts, GreaterOrEqual, range.starts), (Ends, LessOrEqual, range.ends)]),
        "gt" => Ok(vec![(Ends, Greater, range.ends)]),
        "ge" => Ok(vec![(Ends, Greater, range.starts)]),
        "lt" => Ok(vec![(Starts, Less, range.starts)]),
        "le" => Ok(vec![(Starts, Less, range.ends)]),
        _ => {
            Err(Refusal::new(400, "not-supported", "date takes the prefixes eq, gt, ge, lt and le"))
        }
    }
}
