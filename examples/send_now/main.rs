//! `cargo run --release --example send_now`: the main job in one command.
//!
//! Readings from a file, or 90 generated days, go through the store to a clinic's record: a sandbox
//! EHR started in this process, or any receiver named with `--receiver`.

mod args;
mod clinic;
mod demo;
mod person;
mod recorder;
mod report;
#[path = "../shared/scale.rs"]
mod scale;

use args::Args;
use cgm_submitter::environment::{
    Clock, Environment, FileLocks, NoLog, SystemClock, SystemEntropy, SystemTimer,
};
use cgm_submitter::errors::ImportError;
use cgm_submitter::outcome::{SubmissionPreview, Verification};
use cgm_submitter::testing::FileVault;
use cgm_submitter::{
    Config, Connection, ConnectionId, ConnectionState, DateRange, Error, Event, ImportChoices,
    Receiver, SubmissionOutcome, SubmissionRequest, Submitter,
};
use clap::Parser;
use clinic::Clinic;
use indicatif::{ProgressBar, ProgressStyle};
use recorder::Recorder;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// The exit status if something was refused or is left; 2 is the command line's own.
const INCOMPLETE: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
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
    let cgm = open(&args, &database)?;
    let Taken { stored, whole } = take_in(&cgm, &args).await?;
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
    report::orders(&cgm.refresh_orders(connection.id).await?);
    let request = if args.ordered {
        SubmissionRequest::Ordered
    } else {
        let unit = match args.unit {
            Some(unit) => unit,
            None => cgm.own_unit().await?,
        };
        SubmissionRequest::Own { dates, unit }
    };
    let preview = cgm.preview(connection.id, request).await?;
    report::preview(&preview);
    if preview.parts.iter().all(|part| part.readings == 0) {
        let asked: Vec<String> =
            preview.parts.iter().map(|part| part.plan.dates.to_string()).collect();
        let asked = asked.join(", ");
        let more = format!("those in the database are from {stored}: choose some with --window");
        return Err(format!("there are no readings in {asked}; {more}").into());
    }

    let outcome = send(&cgm, connection.id, request, &preview).await?;
    report::outcome(&outcome);
    let mut told = report::outcome_json(&outcome);
    let mut verified = true;
    if args.verify {
        let all = verify(&cgm, &outcome).await;
        verified = all.iter().all(|one| one.as_ref().is_some_and(Verification::is_complete));
        let all: Vec<_> = all.iter().flatten().map(report::verification_json).collect();
        told["verified"] = all.into();
    }
    if let Some(file) = &args.outcome {
        std::fs::write(file, serde_json::to_string_pretty(&told)?).map_err(at(file))?;
    }
    if let Some(clinic) = clinic {
        clinic.say_where_to_look(&database, args.database.is_none())?;
        clinic.close().await;
    }
    Ok(outcome.is_complete() && whole && verified)
}

/// Names the file in an error about it.
fn at(file: &Path) -> impl FnOnce(std::io::Error) -> String {
    let file = file.display().to_string();
    move |error| format!("{file}: {error}")
}

/// The person's submitter over this database.
fn open(args: &Args, database: &Path) -> Result<Submitter, Failure> {
    let environment = Environment {
        clock: Arc::new(SystemClock),
        timer: Arc::new(SystemTimer),
        entropy: Arc::new(SystemEntropy),
        local_time: Arc::new(args.zone()),
        transport: Arc::new(Recorder::new(args.save_bundles.as_deref())?),
        vault: Arc::new(FileVault::new(beside(database, "vault"))),
        locks: Arc::new(FileLocks),
        log: Arc::new(NoLog),
    };
    Ok(Submitter::new(Config::new(database), environment))
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
    let Some(file) = &args.import else {
        if cgm.dates().await?.is_none() && args.receiver.is_none() {
            let (sensor, readings) = demo::readings(now, args.zone())?;
            cgm.register_sensor(sensor).await?;
            println!("90 generated days: {} readings", cgm.ingest(readings).await?.stored);
        }
        return Ok(Taken { stored: cgm.dates().await?.ok_or(nothing)?, whole: true });
    };
    let zone = args.time_zone.map(|zone| zone.whole(now)).transpose()?;
    let bytes = std::fs::read(file).map_err(at(file))?;
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
        format!("{}: {error}{option}", file.display())
    })?;
    report::import(file, &report);
    let stored = report.dates.ok_or("no row of the file was taken: nothing was sent")?;
    Ok(Taken { stored, whole: report.rejected.is_empty() })
}

/// A bar on a terminal, nothing elsewhere.
fn bar(length: u64) -> Result<ProgressBar, Failure> {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {elapsed}")?);
    Ok(bar)
}

/// Says something above the bar, or on a line of its own where there is none.
fn say(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() {
        println!("{text}");
    } else {
        bar.println(text);
    }
}

async fn send(
    cgm: &Submitter,
    connection: ConnectionId,
    request: SubmissionRequest,
    preview: &SubmissionPreview,
) -> Result<SubmissionOutcome, Failure> {
    let bar = bar(preview.parts.iter().map(|part| part.entries_to_send).sum())?;
    let shown = bar.clone();
    let outcome = cgm
        .submit_now(connection, request, BUDGET, move |event| match event {
            Event::Progress { tally, total, .. } => {
                shown.set_length(total);
                shown.set_position(tally.entries.total());
            }
            Event::Waiting { until, reason } => {
                say(&shown, &format!("waiting until {until}: {reason}"));
            }
            _ => {}
        })
        .await?;
    bar.finish_and_clear();
    Ok(outcome)
}

/// What the clinic has of each submission; nothing if it could not be asked.
async fn verify(cgm: &Submitter, outcome: &SubmissionOutcome) -> Vec<Option<Verification>> {
    let mut all = Vec::new();
    for submission in &outcome.submissions {
        let Ok(bar) = bar(outcome.tally.entries.total()) else { continue };
        let shown = bar.clone();
        let tell = move |event| match event {
            Event::Verifying { done, total, .. } => {
                shown.set_length(total);
                shown.set_position(done);
            }
            Event::Waiting { until, reason } => {
                say(&shown, &format!("waiting until {until}: {reason}"));
            }
            _ => {}
        };
        let verified = cgm.verify(*submission, PATIENCE, tell).await;
        bar.finish_and_clear();
        match &verified {
            Ok(verification) => report::verification(verification),
            Err(error) => println!("Not verified: {error}"),
        }
        all.push(verified.ok());
    }
    all
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
    let listener = person::listen().await?;
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
        person::open_browser(&request.url);
        listener.redirect().await?
    };
    let mut connection = cgm.complete_connection(redirect).await?;
    if connection.patient.name.is_none() && connection.patient.birth_date.is_none() {
        // Nobody can say "this is me" to nobody.
        connection = cgm.fetch_patient(connection.id).await?;
    }
    let patient = &connection.patient;
    println!(
        "Connected to {}: patient {}, born {}",
        connection.base,
        patient.name.as_deref().unwrap_or("without a name"),
        patient.birth_date.as_deref().unwrap_or("on an unknown date")
    );
    if connection.state == ConnectionState::Unconfirmed {
        if clinic.is_none() && !person::ask("Is this you? [y/N] ")? {
            cgm.disconnect(connection.id).await?;
            return Err("not confirmed: nothing was sent, the connection is gone".into());
        }
        cgm.confirm_patient(connection.id).await?;
        println!("Confirmed: this is me");
    }
    Ok(connection)
}
