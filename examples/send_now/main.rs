//! `cargo run --release --example send_now`: the main job in one command.
//!
//! Readings from a file, or 90 generated days, go through the store to a clinic's record: a sandbox
//! EHR started in this process, or any receiver named with `--receiver`.

#[macro_use]
#[path = "../shared/say.rs"]
mod say;

mod args;
mod clinic;
mod connecting;
mod demo;
#[path = "../shared/file.rs"]
mod file;
mod person;
mod private;
mod recorder;
#[path = "../shared/refused.rs"]
mod refused;
mod report;
#[path = "../shared/scale.rs"]
mod scale;
mod sending;
#[path = "../shared/zone.rs"]
mod zone;

use args::Args;
use cgm_submitter::environment::{
    Clock, Environment, FileLocks, NoLog, SystemClock, SystemEntropy, SystemTimer,
};
use cgm_submitter::errors::ImportError;
use cgm_submitter::outcome::SubmissionPreview;
use cgm_submitter::testing::FileVault;
use cgm_submitter::{
    Config, DateRange, Error, ImportChoices, SubmissionOutcome, SubmissionRequest, Submitter,
};
use clap::Parser;
use clinic::Clinic;
use connecting::{Connecting, Place};
use private::Output;
use recorder::Recorder;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

type Failure = Box<dyn std::error::Error>;

/// The exit status if something was refused or is left; 2 is the command line's own.
const INCOMPLETE: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(error) => {
            warn!("error: {error}");
            if let Some(error) = error.downcast_ref::<Error>().filter(|error| error.retryable()) {
                warn!("  {}", error.code().action());
            }
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
    // What is written later is tried before anything is sent.
    let recorder = Arc::new(Recorder::new(args.save_bundles.as_deref())?);
    let output =
        args.outcome.as_deref().map(|file| Output::open(file).map_err(at("--outcome", file)));
    let output = output.transpose()?;
    let cgm = open(&args, &database, Arc::clone(&recorder)).await?;
    let Taken { stored, whole } = take_in(&cgm, &args).await?;

    // The clinic.
    let (clinic, place) = if let Some(base) = &args.receiver {
        (None, Place { base: base.clone(), client_id: args.client_id.clone() })
    } else {
        let clinic = Clinic::open(&database).await?;
        let place = clinic.place();
        (Some(clinic), place)
    };
    let connecting =
        Connecting { cgm: &cgm, place: &place, clinic: clinic.as_ref(), read_back: args.verify };
    let known = connecting.known().await?;
    let is_known = known.is_some();
    let connection = match known {
        Some(connection) => connection.id,
        None => connecting.authorise().await?.id,
    };

    // What it asks for, and what would go.
    report::orders(&cgm.refresh_orders(connection).await?);
    let request = request(&cgm, &args, stored).await?;
    let preview = cgm.preview(connection, request).await?;
    report::preview(&preview);
    check_readings(&preview, &args, stored)?;

    let outcome = sending::send(&cgm, connection, request, &preview).await?;
    report::outcome(&outcome);
    let mut told = report::outcome_json(&outcome);
    let mut verified = true;
    if args.verify {
        let verification = verify(&cgm, &outcome, is_known, &connecting).await;
        verification.tell();
        verified = verification.is_complete();
        told["verified"] = verification.json();
    }
    if let (Some(output), Some(file)) = (output, &args.outcome) {
        let text = serde_json::to_string_pretty(&told)? + "\n";
        output.write(text.as_bytes()).map_err(at("--outcome", file))?;
    }
    if let Some(clinic) = clinic {
        clinic.say_where_to_look(&database, args.database.is_none())?;
        clinic.close().await;
    }
    match recorder.failure() {
        Some(failure) => Err(failure.into()),
        None => Ok(outcome.is_complete() && whole && verified),
    }
}

/// Asks what the clinic has; first for leave to look, if an earlier run did not.
async fn verify(
    cgm: &Submitter,
    outcome: &SubmissionOutcome,
    is_known: bool,
    connecting: &Connecting<'_>,
) -> sending::Verified {
    let all = sending::verify(cgm, outcome).await;
    if !is_known || !all.lacks_leave() {
        return all;
    }
    say!("An earlier run did not ask for leave to look: asking for it now");
    match connecting.authorise().await {
        Ok(_) => sending::verify(cgm, outcome).await,
        Err(error) => {
            say!("No leave to look: {error}");
            all
        }
    }
}

/// Names the option and its file in an error about it.
fn at(option: &str, file: &Path) -> impl FnOnce(std::io::Error) -> String {
    let file = format!("{option} {}", file.display());
    move |error| format!("{file}: {error}")
}

/// The person's submitter over this database, which can be opened.
async fn open(args: &Args, database: &Path, recorder: Arc<Recorder>) -> Result<Submitter, Failure> {
    let named = |why: &dyn std::fmt::Display| format!("--database {}: {why}", database.display());
    private::folder_of(database).map_err(|error| named(&error))?;
    let environment = Environment {
        clock: Arc::new(SystemClock),
        timer: Arc::new(SystemTimer),
        entropy: Arc::new(SystemEntropy),
        local_time: Arc::new(args.zone()),
        transport: recorder,
        vault: Arc::new(FileVault::new(beside(database, "vault"))),
        locks: Arc::new(FileLocks),
        log: Arc::new(NoLog),
    };
    let cgm = Submitter::new(Config::new(database), environment);
    // The first call opens it.
    cgm.dates().await.map_err(|error| named(&error))?;
    Ok(cgm)
}

/// What there is to send.
struct Taken {
    /// The dates of the file, or else of the database.
    stored: DateRange,
    /// Whether every row of the file was taken.
    whole: bool,
}

/// Stores the readings of the file, or generated ones if there is none and nothing is stored.
async fn take_in(cgm: &Submitter, args: &Args) -> Result<Taken, Failure> {
    let now = SystemClock.now();
    let nothing = "there is no reading to send: give a file with --import";
    let Some(path) = &args.import else {
        if cgm.dates().await?.is_none() && args.receiver.is_none() {
            let (sensor, readings) = demo::readings(now, args.zone())?;
            cgm.register_sensor(sensor).await?;
            say!("90 generated days: {} readings", cgm.ingest(readings).await?.stored);
        }
        return Ok(Taken { stored: cgm.dates().await?.ok_or(nothing)?, whole: true });
    };
    let zone = args.time_zone.map(|zone| zone.whole(now)).transpose()?;
    let bytes = file::read(path)?;
    let choices = ImportChoices {
        zone,
        scale: args.scale,
        clock_answers: args.clock.clone(),
        replace: args.replace,
    };
    let report = cgm.import(bytes, choices).await.map_err(|error| {
        let option = match &error {
            Error::Import(ImportError::TimeZoneRequired) => ", with --time-zone Europe/Bucharest",
            Error::Import(ImportError::ScaleRequired { .. }) => ", with --scale 40..400mg/dL",
            _ => "",
        };
        format!("--import {}: {error}{option}", path.display())
    })?;
    report::import(path, &report);
    let stored = report.dates.ok_or("no row of the file was taken: nothing was sent")?;
    Ok(Taken { stored, whole: report.rejected.is_empty() })
}

/// What is to be sent.
async fn request(
    cgm: &Submitter,
    args: &Args,
    stored: DateRange,
) -> Result<SubmissionRequest, Failure> {
    if args.ordered {
        return Ok(SubmissionRequest::Ordered);
    }
    let unit = match args.unit {
        Some(unit) => unit,
        None => cgm.own_unit().await?,
    };
    Ok(SubmissionRequest::Own { dates: args.window.unwrap_or(stored), unit })
}

/// Fails if there is nothing to send, and says what there is.
fn check_readings(
    preview: &SubmissionPreview,
    args: &Args,
    stored: DateRange,
) -> Result<(), Failure> {
    if preview.parts.iter().any(|part| part.readings > 0) {
        return Ok(());
    }
    let dates: Vec<String> = preview.parts.iter().map(|part| part.plan.dates.to_string()).collect();
    let dates = dates.join(", ");
    Err(match (args.ordered, preview.parts.is_empty()) {
        (_, true) => "nothing of what the clinic asks for can be sent".to_owned(),
        (true, false) => format!(
            "there are no readings in {dates}, which the clinic asks for; those in the database \
            are from {stored}: they are sent without --ordered"
        ),
        (false, false) => format!(
            "there are no readings in {dates}; those in the database are from {stored}: choose \
            some with --window"
        ),
    }
    .into())
}
