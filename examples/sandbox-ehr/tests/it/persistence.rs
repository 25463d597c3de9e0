//! What survives: a restart on the same database and port, and a kill of the program.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use reqwest::StatusCode;
use sandbox_ehr::{Sandbox, SandboxError};
use serde_json::json;

use crate::{app::*, bundles::*};

#[tokio::test]
async fn a_restart_on_the_same_database_and_port_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("sandbox.db");
    let start =
        |port| Sandbox::builder().database(&database).port(port).auto_approve("amy-shaw").start();
    let clinic = start(0).await.unwrap();
    let (port, base) = (clinic.port(), clinic.base_url());
    let order = json!({ "resourceType": "ServiceRequest", "id": "mine", "status": "on-hold",
        "intent": "order", "code": {
        "coding": [{ "system": "http://hl7.org/fhir/uv/cgm/CodeSystem/cgm",
        "code": "cgm-data-submission-standing-order" }] } });
    clinic.set_orders("amy-shaw", &[order]).unwrap();
    let token = connect(&clinic, GUIDE_SCOPES).await;
    let access = text(&token, "access_token");
    let submission = bundle(vec![conditional("one", reading(0))]);
    submit_entries(&clinic, &access, &submission).await;
    clinic.stop().await.unwrap();
    assert!(http().get(format!("{base}/metadata")).send().await.is_err());

    let clinic = start(port).await.unwrap();
    assert_eq!(clinic.base_url(), base);
    assert_eq!(statuses(&submit_entries(&clinic, &access, &submission).await), ["200"]);
    assert_eq!(clinic.submissions().unwrap().len(), 2);
    let orders = clinic.resources("amy-shaw", "ServiceRequest").unwrap();
    assert_eq!((orders.len(), orders[0]["id"].as_str()), (1, Some("mine")));
    let again = refresh(&clinic, &text(&token, "refresh_token")).await;
    assert_eq!(again.status(), StatusCode::OK);
    let next = submit_entries(&clinic, &access, &bundle(vec![entry(reading(5))])).await;
    assert_eq!(statuses(&next), ["201"]);
}

#[tokio::test]
async fn starting_says_what_is_wrong() {
    let first = amys_clinic().await;
    let taken = Sandbox::builder().port(first.port()).start().await.unwrap_err();
    assert!(matches!(taken, SandboxError::Listen { .. }), "{taken}");
    let nobody = Sandbox::builder().auto_approve("nobody").start().await.unwrap_err();
    assert!(matches!(nobody, SandboxError::UnknownPatient(_)), "{nobody}");
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "Dear diary").unwrap();
    let unreadable = Sandbox::builder().database(&letter).start().await.unwrap_err();
    assert!(unreadable.to_string().contains("letter.txt"), "{unreadable}");
    assert!(first.set_orders("nobody", &[]).is_err());
    assert!(matches!(
        first.set_orders("amy-shaw", &[device()]),
        Err(SandboxError::NotAnOrder { index: 0 })
    ));
    assert_eq!(first.resources("amy-shaw", "ServiceRequest").unwrap().len(), 1);
}

#[cfg(unix)]
fn run(database: &std::path::Path, port: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox-ehr"))
        .args(["--port", port, "--auto-approve", "amy-shaw", "--database"])
        .arg(database)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let base =
        line.trim().strip_prefix("sandbox EHR at ").unwrap_or_else(|| panic!("{line}")).to_owned();
    (child, base)
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_says_where_it_is_loses_nothing_when_killed_and_logs_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("sandbox.db");
    let (mut program, base) = run(&database, "0");
    let origin = base.strip_suffix("/fhir").unwrap().to_owned();
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let authorization = http().get(format!("{origin}/oauth/authorize")).query(&[
        ("response_type", "code"),
        ("client_id", "cgm-demo"),
        ("redirect_uri", REDIRECT),
        ("scope", GUIDE_SCOPES),
        ("state", "s"),
        ("aud", &base),
        ("code_challenge", &challenge(VERIFIER)),
        ("code_challenge_method", "S256"),
    ]);
    let code = callback(&authorization.send().await.unwrap())["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("client_id", "cgm-demo"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let token =
        json(http().post(format!("{origin}/oauth/token")).form(&form).send().await.unwrap()).await;
    let access = text(&token, "access_token");
    let submit = || {
        let request = http().post(format!("{base}/$submit-cgm-bundle")).bearer_auth(&access);
        let body = bundle(vec![conditional("one", reading(0))]).to_string();
        request.header("content-type", "application/json").body(body).send()
    };
    assert_eq!(submit().await.unwrap().status(), StatusCode::OK);
    program.kill().unwrap();
    let log = std::io::read_to_string(program.stderr.take().unwrap()).unwrap();
    program.wait().unwrap();
    assert!(log.contains("POST /fhir/$submit-cgm-bundle 200"), "{log}");
    for secret in [access.as_str(), &code, "amy", "Shaw", "100"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }

    let (mut program, again) = run(&database, &port);
    assert_eq!(again, base);
    let answer = json(submit().await.unwrap()).await;
    assert_eq!(answer["entry"][0]["response"]["status"], "200 OK");
    let terminated = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(terminated.success() && program.wait().unwrap().success());
}

#[test]
fn help_says_how_to_connect() {
    let help = Command::new(env!("CARGO_BIN_EXE_sandbox-ehr")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in [
        "amy-shaw",
        "ben-okafor",
        "cgm-demo",
        "$submit-cgm-bundle",
        "--token-lifetime",
        "--max-entries",
        "adb reverse",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
