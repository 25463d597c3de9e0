//! The `sandbox-ehr` program: reads the command line, starts a sandbox, says where it is, and stops
//! on a signal. All it does can be done through the library; it must not know more than its command
//! line.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use sandbox_ehr::{Limits, Sandbox, SandboxError};

const ABOUT: &str = "A small, strict receiver of glucose data (HL7 CGM STU1, SMART App Launch) for \
    tests and demos.";

const DETAILS: &str = "\
PATIENTS
  amy-shaw     Amy Shaw, born 1987-02-20; asks for readings in mg/dL, summary and device
               every 2 weeks
  ben-okafor   Ben Okafor, born 2011-09-03; asks for readings in mmol/L and summary
               every 2 weeks

HOW TO CONNECT
  FHIR base    http://127.0.0.1:PORT/fhir (printed at the start)
  client id    cgm-demo (public client, PKCE S256)
  redirect     any http loopback address with any port, or a scheme with a dot such as
               com.example.app:/callback
  scopes       launch/patient offline_access patient/Patient.r
               patient/ServiceRequest.rs?code=cgm-data-submission-standing-order
               patient/Observation.cu?category=laboratory patient/DiagnosticReport.cu?category=LAB
               patient/Device.cu
  Android      `adb reverse tcp:PORT tcp:PORT`, then the same address on the device

ENDPOINTS
  GET  /                                          what the clinic received, for people (also
                                                  /clinic); not in front of a server
  GET  /fhir/.well-known/smart-configuration      discovery
  GET  /fhir/metadata                             CapabilityStatement
  GET  /oauth/authorize                           approval page; answers at once with --auto-approve
  POST /oauth/token, /oauth/revoke                tokens (refresh tokens rotate and work once)
  GET  /fhir/Patient/{id}                         who the token is for
  GET  /fhir/ServiceRequest?patient=&code=        what the clinic asks for; paged
  POST /fhir/$submit-cgm-bundle                   the submission; every entry gets its own status
  GET  /fhir/{type}?patient=&code=&category=&identifier=&date=&_count=&_offset=
  GET  /fhir/{type}/{id}                          reading back, for tokens with r or s

It listens on 127.0.0.1 only. Its people are invented; do not keep anybody's health data in it.";

#[derive(Parser)]
#[command(version, about = ABOUT, after_help = DETAILS)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// Database file that keeps everything, created when absent; without it the state is in memory
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Approve every authorisation request at once as this patient
    #[arg(long, value_name = "PATIENT")]
    auto_approve: Option<String>,
    /// Seconds an access token works
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    token_lifetime: u64,
    /// Largest request body in bytes, before and after inflating
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_body_bytes)]
    max_body: usize,
    /// Most entries in one Bundle
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().max_entries)]
    max_entries: usize,
    /// Client id to register, repeatable; replaces cgm-demo
    #[arg(long, value_name = "ID")]
    client: Vec<String>,
    /// Refuse entries with ifNoneExist, as a receiver without conditional create does
    #[arg(long)]
    no_conditional_create: bool,
    /// Stand in front of the FHIR server with this base URL, on this machine: log in here, and
    /// pass everything on
    #[arg(long, value_name = "URL")]
    in_front_of: Option<String>,
    /// Do not write a line per request to stderr
    #[arg(long)]
    quiet: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox-ehr: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), SandboxError> {
    let mut builder = Sandbox::builder()
        .port(arguments.port)
        .token_lifetime(Duration::from_secs(arguments.token_lifetime))
        .limits(Limits {
            max_body_bytes: arguments.max_body,
            max_entries: arguments.max_entries,
            ..Limits::default()
        })
        .supports_conditional_create(!arguments.no_conditional_create)
        .log_requests(!arguments.quiet);
    if let Some(path) = arguments.database {
        builder = builder.database(path);
    }
    if let Some(patient) = arguments.auto_approve {
        builder = builder.auto_approve(patient);
    }
    for client in arguments.client {
        builder = builder.client(client);
    }
    let passes_on = arguments.in_front_of.is_some();
    if let Some(base) = arguments.in_front_of {
        builder = builder.in_front_of(base);
    }
    let sandbox = builder.start().await?;
    // Programs that start this one read the line to learn the port; if nobody reads, serving goes
    // on.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "sandbox EHR at {}", sandbox.base_url()).and_then(|()| stdout.flush());
    if !arguments.quiet && !passes_on {
        let _ = writeln!(std::io::stderr(), "what the clinic received: {}", sandbox.clinic_url());
    }
    stop_signal().await;
    sandbox.stop().await
}

/// Waits for ctrl-c, or SIGTERM if there is one.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
