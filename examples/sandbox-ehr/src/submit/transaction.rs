//! A whole Bundle in one database transaction: conditions against what is stored, references among
//! entries and to stored resources with refusals that cascade, storing, and the answer entry by
//! entry. It accepts a part when a part is good.

use std::collections::HashMap;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::entry::{Candidate, examine};
use crate::{
    SandboxError,
    app::App,
    clock::{instant_text, now_millis},
    fhir::{
        bundle::SubmissionBundle,
        codes::{MEAN_MEMBERS, REQUIRED_MEMBERS, SUMMARY},
        outcome::{Refusal, status_line},
        raw::stored_text,
        references::{FoundReference, Pointer, point},
    },
    oauth::scopes::GrantedScopes,
    store::{
        AccessToken, NewResource, NewSubmission, StoredResource, codes_of, find, insert, next_id,
        with_identifier,
    },
};

/// Where a good entry ends up.
struct Placed<'a> {
    candidate: Candidate<'a>,
    /// What was there already, by the entry's condition.
    existing: Option<StoredResource>,
    /// Each reference with what it resolved to.
    targets: Vec<(FoundReference, Target)>,
}

/// A reference that resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Entry(usize),
    Stored { kind: String, codes: Vec<String> },
}

type Judged<'a> = Result<Placed<'a>, Refusal>;

/// Runs the Bundle and gives the text of the `transaction-response`.
pub(super) fn run(
    app: &App,
    token: &AccessToken,
    scopes: &GrantedScopes,
    bundle: &SubmissionBundle<'_>,
    record: &mut NewSubmission,
) -> Result<String, SandboxError> {
    let refused_codes = app.faults.refused_codes();
    let alone: Vec<Result<Candidate<'_>, Refusal>> = bundle
        .entries
        .iter()
        .map(|entry| {
            let candidate = examine(entry, &token.patient, scopes, app.config.conditional_create)?;
            match refused_codes.get(candidate.valid.code.unwrap_or(&candidate.kind)) {
                Some(status) => {
                    Err(Refusal::new(*status, "business-rule", "this refusal was asked for"))
                }
                None => Ok(candidate),
            }
        })
        .collect();
    let full_urls: HashMap<&str, usize> = bundle
        .entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| Some((entry.full_url.as_deref()?, index)))
        .collect();
    let answer = app.store.write(|connection| {
        let mut judged = Vec::with_capacity(alone.len());
        for (entry, candidate) in bundle.entries.iter().zip(alone) {
            let resolve = |reference: &str| {
                point(reference, entry.full_url.as_deref(), &full_urls, &app.base)
            };
            judged.push(match candidate {
                Ok(candidate) => place(connection, candidate, &token.patient, resolve)?,
                Err(refusal) => Err(refusal),
            });
        }
        refuse_what_depends_on_refused(&mut judged);
        let entries = store_and_answer(connection, &judged, &token.patient, record)?;
        record.status = 200;
        record.insert(connection)?;
        Ok(entries)
    })?;
    Ok(json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": answer })
        .to_string())
}

/// Looks up an entry's condition and its references.
fn place<'a>(
    connection: &Connection,
    candidate: Candidate<'a>,
    patient: &str,
    resolve: impl Fn(&str) -> Pointer,
) -> Result<Judged<'a>, SandboxError> {
    let mut existing = None;
    if let Some(key) = &candidate.condition {
        let mut matches = with_identifier(connection, &candidate.kind, &key.system, &key.value)?;
        let refusal =
            |text: &str| Refusal::new(412, "conflict", text).at("entry.request.ifNoneExist");
        if matches.len() > 1 {
            return Ok(Err(refusal("several resources match ifNoneExist")));
        }
        existing = matches.pop();
        if existing.as_ref().is_some_and(|found| found.patient != patient) {
            return Ok(Err(refusal("ifNoneExist matches a resource of another patient")));
        }
    }
    let mut targets = Vec::with_capacity(candidate.references.len());
    for reference in &candidate.references {
        match look_up(connection, reference, patient, resolve(&reference.text))? {
            Ok(target) => targets.push((reference.clone(), target)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(Placed { candidate, existing, targets }))
}

fn look_up(
    connection: &Connection,
    reference: &FoundReference,
    patient: &str,
    pointer: Pointer,
) -> Result<Result<Target, Refusal>, SandboxError> {
    let element = &reference.element;
    let unresolved = || {
        let text = format!(
            "the reference in {element} resolves neither in the Bundle nor to a stored resource"
        );
        Ok(Err(Refusal::new(422, "not-found", text).at(element.as_str())))
    };
    match pointer {
        Pointer::Entry(index) => Ok(Ok(Target::Entry(index))),
        Pointer::Unresolvable => unresolved(),
        Pointer::Stored { kind, id } => match find(connection, &kind, &id)? {
            None => unresolved(),
            Some(found) if found.patient != patient => {
                let text = format!("the reference in {element} is to another patient's resource");
                Ok(Err(Refusal::forbidden(text).at(element.as_str())))
            }
            Some(found) => Ok(Ok(Target::Stored { codes: codes_of(connection, found.seq)?, kind })),
        },
    }
}

/// Refuses entries until every reference of an accepted one is to something accepted and of the
/// right kind.
fn refuse_what_depends_on_refused(judged: &mut [Judged<'_>]) {
    loop {
        let refusals: Vec<(usize, Refusal)> = judged
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                Some((index, check_targets(entry.as_ref().ok()?, judged).err()?))
            })
            .collect();
        if refusals.is_empty() {
            return;
        }
        for (index, refusal) in refusals {
            judged[index] = Err(refusal);
        }
    }
}

fn check_targets(entry: &Placed<'_>, judged: &[Judged<'_>]) -> Result<(), Refusal> {
    let mut member_codes: Vec<&str> = Vec::new();
    for (reference, target) in &entry.targets {
        let (kind, codes): (&str, Vec<&str>) = match target {
            Target::Stored { kind, codes } => (kind, codes.iter().map(String::as_str).collect()),
            Target::Entry(index) => {
                let Ok(target) = &judged[*index] else {
                    let text = format!(
                        "{} refers to entry {index} (counted from 0), which was refused",
                        reference.element
                    );
                    return Err(
                        Refusal::new(422, "processing", text).at(reference.element.as_str())
                    );
                };
                (&target.candidate.kind, target.candidate.valid.code.into_iter().collect())
            }
        };
        let fits = match reference.element.as_str() {
            "hasMember" => kind == "Observation",
            "result" => kind == "Observation" && codes.contains(&SUMMARY),
            "device" => kind == "Device",
            _ => true,
        };
        if !fits {
            let text =
                format!("the reference in {} is to the wrong kind of resource", reference.element);
            return Err(Refusal::rule(&reference.element, text));
        }
        if reference.element == "hasMember" {
            member_codes.extend(codes);
        }
    }
    if entry.candidate.kind == "Observation" && entry.candidate.valid.code == Some(SUMMARY) {
        check_members(&member_codes)?;
    }
    Ok(())
}

fn check_members(codes: &[&str]) -> Result<(), Refusal> {
    let times = |code: &str| codes.iter().filter(|member| **member == code).count();
    for code in REQUIRED_MEMBERS {
        if times(code) != 1 {
            return Err(Refusal::rule(
                "Observation.hasMember",
                format!("a summary has exactly one member with code {code}"),
            ));
        }
    }
    let means = MEAN_MEMBERS.map(times);
    if means.iter().sum::<usize>() == 0 || means.iter().any(|count| *count > 1) {
        let text = format!(
            "a summary has a member with code {}, each at most once",
            MEAN_MEMBERS.join(" or ")
        );
        return Err(Refusal::rule("Observation.hasMember", text));
    }
    Ok(())
}

fn store_and_answer(
    connection: &Connection,
    judged: &[Judged<'_>],
    patient: &str,
    record: &mut NewSubmission,
) -> Result<Vec<Value>, SandboxError> {
    let updated = now_millis();
    let mut next = next_id(connection)?;
    let ids: Vec<Option<String>> = judged
        .iter()
        .map(|entry| {
            let entry = entry.as_ref().ok()?;
            if let Some(existing) = &entry.existing {
                return Some(existing.id.clone());
            }
            next += 1;
            Some((next - 1).to_string())
        })
        .collect();
    let mut answers = Vec::with_capacity(judged.len());
    for (entry, id) in judged.iter().zip(&ids) {
        let (placed, id) = match (entry, id) {
            (Ok(placed), Some(id)) => (placed, id),
            (Err(refusal), _) => {
                record.refused += 1;
                answers.push(json!({ "response": { "status": status_line(refusal.status),
                        "outcome": refusal.outcome() } }));
                continue;
            }
            (Ok(_), None) => continue,
        };
        let (status, modified) = if let Some(existing) = &placed.existing {
            record.already += 1;
            (200, existing.updated)
        } else {
            record.created += 1;
            let locations = locations(placed, judged, &ids);
            insert_new(connection, placed, id, patient, updated, &locations)?;
            (201, updated)
        };
        answers.push(json!({ "response": {
            "status": status_line(status),
            "location": format!("{}/{id}/_history/1", placed.candidate.kind),
            "etag": "W/\"1\"",
            "lastModified": instant_text(modified),
        } }));
    }
    Ok(answers)
}

/// What the references of an entry to other entries become.
fn locations(
    placed: &Placed<'_>,
    judged: &[Judged<'_>],
    ids: &[Option<String>],
) -> HashMap<String, String> {
    placed
        .targets
        .iter()
        .filter_map(|(reference, target)| match target {
            Target::Entry(index) => {
                let kind = &judged[*index].as_ref().ok()?.candidate.kind;
                Some((reference.text.clone(), format!("{kind}/{}", ids[*index].as_ref()?)))
            }
            Target::Stored { .. } => None,
        })
        .collect()
}

fn insert_new(
    connection: &Connection,
    placed: &Placed<'_>,
    id: &str,
    patient: &str,
    updated: i64,
    locations: &HashMap<String, String>,
) -> Result<(), SandboxError> {
    let candidate = &placed.candidate;
    let body = stored_text(&candidate.raw, &candidate.kind, id, &instant_text(updated), locations);
    insert(
        connection,
        &NewResource {
            kind: &candidate.kind,
            id,
            patient,
            body: &body,
            codings: &candidate.valid.codings,
            identifiers: &candidate.valid.identifiers,
            effective: candidate.valid.effective,
            updated,
        },
    )
}
