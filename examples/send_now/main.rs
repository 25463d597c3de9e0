//! `cargo run --release --example send_now`: the main job in one command.
//!
//! Readings from a file, or 90 generated days, go through the store to a clinic's record: a sandbox
//! EHR started in this process, or any receiver named with `--receiver`.

mod args;
mod clinic;
mod demo;
mod outside;
mod report;
#[path = "../shared/zone.rs"]
mod zone;

use args::Args;
use cgm_submitter::environment::{
    Clock, Environment, FileLocks, SystemClock, SystemEntropy, SystemTimer,
};
use cgm_submitter::{
    Config, Connection, ConnectionState, Event, Receiver, SubmissionRequest, Submitter,
};
use clap::Parser;
use clinic::Clinic;
use indicatif::{ProgressBar, ProgressStyle};
use outside::{FileVault, Recorder};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use zone::Zone;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A file beside the database: `x.db` and `vault` give `x.db-vault`.
fn beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-");
    name.push(what);
    name.into()
}

async fn run(args: Args) -> Result<bool, Failure> {
    let scratch = tempfile::Builder::new().prefix("cgm-send-now-").tempdir()?;
    let database = args.database.clone().unwrap_or_else(|| scratch.path().join("me.db"));
    let zone = args.zone();
    let now = SystemClock.now();

    let recorder = Arc::new(Recorder::new(args.save_bundles.as_deref())?);
    let environment = Environment {
        clock: Arc::new(SystemClock),
        timer: Arc::new(SystemTimer),
        entropy: Arc::new(SystemEntropy),
        local_time: Arc::new(zone),
        transport: recorder.clone(),
        vault: Arc::new(FileVault::new(beside(&database, "vault"))),
        locks: Arc::new(FileLocks),
    };
    let cgm = Submitter::new(Config::new(&database), environment);

    // Readings in.
    let mut whole = true;
    let mut dates = cgm.dates().await?;
    if let Some(file) = &args.import {
        let given = args.time_zone.map(|tz| Zone(tz).whole(now)).transpose()?;
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let report = cgm.import(bytes, given).await?;
        report::import(file, &report);
        whole = report.rejected.is_empty();
        dates = Some(report.dates.ok_or("no row of the file was taken: nothing was sent")?);
    } else if dates.is_none() && args.receiver.is_none() {
        let (sensor, readings) = demo::readings(now, zone)?;
        cgm.register_sensor(sensor).await?;
        println!("90 generated days: {} readings", cgm.ingest(readings).await?.stored);
        dates = cgm.dates().await?;
    }
    let stored = dates.ok_or("there is no reading to send: give a file with --import")?;
    let dates = args.window.unwrap_or(stored);

    // The clinic.
    let (clinic, place) = if let Some(base) = &args.receiver {
        (None, Place { base: base.clone(), client_id: args.client_id.clone() })
    } else {
        let clinic = Clinic::open(&database).await?;
        let place = clinic.place();
        (Some(clinic), place)
    };
    let connection = connect(&cgm, &place, clinic.as_ref(), args.verify).await?;

    // What it asks for, and what would go.
    let orders = cgm.refresh_orders(connection.id).await?;
    report::orders(&orders);
    let unit = args.unit;
    let ordered = args.import.is_none()
        && args.window.is_none()
        && unit.is_none()
        && !orders.active.is_empty();
    let request = if ordered {
        SubmissionRequest::Ordered
    } else {
        let own = cgm.own_unit().await?;
        SubmissionRequest::Own { dates, unit: unit.unwrap_or(own) }
    };
    let preview = cgm.preview(connection.id, request).await?;
    report::preview(&preview);
    if preview.parts.iter().all(|part| part.readings == 0) {
        return Err(format!("there are no readings in {dates}: the database has {stored}").into());
    }

    // Send.
    let bar = ProgressBar::new(preview.parts.iter().map(|part| part.entries_to_send).sum());
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {elapsed}")?);
    let shown = bar.clone();
    let outcome =
        cgm.submit_now(connection.id, request, BUDGET, move |event| show(&shown, event)).await?;
    bar.finish_and_clear();

    report::outcome(&outcome);
    let mut told = report::outcome_json(&outcome);
    if args.verify {
        let mut verified = Vec::new();
        for submission in &outcome.submissions {
            match cgm.verify(*submission, PATIENCE, |_| ()).await {
                Ok(verification) => {
                    report::verification(&verification);
                    whole &= verification.is_complete();
                    verified.push(report::verification_json(&verification));
                }
                Err(error) => {
                    println!("Not verified: {error}");
                    whole = false;
                }
            }
        }
        told["verified"] = verified.into();
    }
    if let Some(file) = &args.outcome {
        std::fs::write(file, serde_json::to_string_pretty(&told)?)?;
    }
    if let Some(clinic) = clinic {
        clinic.say_where_to_look(&database, args.database.is_none())?;
        clinic.close().await;
    }
    Ok(outcome.is_complete() && whole)
}

/// Shows how far it has come, and why it waits.
fn show(bar: &ProgressBar, event: Event) {
    match event {
        Event::Progress { tally, total, .. } => {
            bar.set_length(total);
            bar.set_position(tally.entries.total());
        }
        Event::Waiting { until, reason } => {
            let line = format!("Waiting until {until}: {reason}");
            // The bar prints nothing if it is not on a terminal.
            if bar.is_hidden() { println!("{line}") } else { bar.println(line) }
        }
        Event::Sending { .. } | Event::Verified { .. } => {}
    }
}

/// How long a submission may take in all: ten years of readings to a slow receiver.
const BUDGET: Duration = Duration::from_hours(2);
/// How long the receiver may make us wait for its answers to a verification.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where to, and as which client.
struct Place {
    base: String,
    client_id: String,
}

/// The connection to this receiver: the one there is, or a new one, confirmed by the person.
async fn connect(
    cgm: &Submitter,
    place: &Place,
    clinic: Option<&Clinic>,
    read_back: bool,
) -> Result<Connection, Failure> {
    let known =
        cgm.connections().await?.into_iter().find(|c| c.base == place.base.trim_end_matches('/'));
    if let Some(connection) = known
        && connection.state == ConnectionState::Active
    {
        println!("Connected to {} since an earlier run", connection.base);
        return Ok(connection);
    }
    let listener = outside::listen().await?;
    let mut receiver = Receiver::new(&place.base, &place.client_id, listener.redirect_uri())?;
    if read_back {
        receiver = receiver.with_read_back();
    }
    let request = cgm.begin_connection(receiver).await?;
    let redirect = if let Some(clinic) = clinic {
        clinic.approve(&request.url).await?
    } else {
        println!("Open this in your browser:\n\n  {}\n", request.url);
        println!("Waiting for it to come back; Ctrl-C gives up");
        outside::open_browser(&request.url);
        listener.redirect().await?
    };
    let connection = cgm.complete_connection(redirect).await?;
    let patient = &connection.patient;
    println!(
        "Connected to {}: patient {}, born {}",
        connection.base,
        patient.name.as_deref().unwrap_or("without a name"),
        patient.birth_date.as_deref().unwrap_or("on an unknown date")
    );
    if connection.state == ConnectionState::Unconfirmed {
        if clinic.is_none() && !outside::ask("Is this you? [y/N] ")? {
            cgm.disconnect(connection.id).await?;
            return Err("not confirmed: nothing was sent, the connection is gone".into());
        }
        cgm.confirm_patient(connection.id).await?;
        println!("Confirmed: this is me");
    }
    Ok(connection)
}
