//! The command line.

use crate::scale::scale;
use crate::zone;
use cgm_submitter::environment::NamedZone;
use cgm_submitter::import::ClockAnswer;
use cgm_submitter::{DateRange, GlucoseUnit, Scale, UtcOffset};
use chrono::FixedOffset;
use clap::Parser;
use std::path::PathBuf;

/// Sends glucose readings to a clinic's record: those of a file, or those the database holds.
/// Without arguments: 90 generated days, to a sandbox clinic in this process.
///
/// Exit status 0: the clinic has everything of these dates, verified if asked for; 1: it could not
/// be done, or a bundle was sent and could not be saved; 2: the arguments are wrong; 3: something
/// of these dates, or of the file, was refused, is still open, or is not verified.
#[derive(Parser)]
pub(crate) struct Args {
    /// A file of readings: Dexcom Clarity CSV, or CSV or NDJSON with time, value and unit.
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,
    /// The person's time zone, for example Europe/Bucharest: when their days begin, and what places
    /// the local times of a Dexcom Clarity file, which requires it. Default: this device's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<NamedZone>,
    /// The lowest and highest value the device shows. Required for a file in which a device of no
    /// known model says Low or High.
    #[arg(long, value_name = "40..400mg/dL", value_parser = scale, requires = "import")]
    pub(crate) scale: Option<Scale>,
    /// What the device's clock was, if a note about it is wrong: the note's local time, and the UTC
    /// offset the clock then had. May be given more than once; answers are kept.
    #[arg(
        long,
        value_name = "2024-06-08T03:10:00=+03:00",
        value_parser = clock,
        requires = "import"
    )]
    pub(crate) clock: Vec<ClockAnswer>,
    /// Moves rows that are stored by the clock of another time zone to where this one puts them.
    #[arg(long, requires = "import")]
    pub(crate) replace: bool,
    /// The FHIR base URL of a real receiver.
    #[arg(long, value_name = "URL")]
    pub(crate) receiver: Option<String>,
    /// The client id registered at the receiver.
    #[arg(long, value_name = "ID", default_value = "cgm-demo", requires = "receiver")]
    pub(crate) client_id: String,
    /// The person's database. The vault (FILE-vault) and the sandbox's state and port
    /// (FILE-clinic, FILE-clinic-port) are kept beside it. Default: a new one for each run.
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,
    /// The unit to send in: mg/dL or mmol/L. Default: the unit of the readings.
    #[arg(long)]
    pub(crate) unit: Option<GlucoseUnit>,
    /// Local dates to send, both included: 2024-05-01..2024-05-14. Default: all there are.
    #[arg(long, value_name = "DATES")]
    pub(crate) window: Option<DateRange>,
    /// Sends what the clinic's standing orders ask for, and nothing else.
    #[arg(long, conflicts_with_all = ["window", "unit"])]
    pub(crate) ordered: bool,
    /// Afterwards asks the receiver for what it accepted, compares, and marks what it lacks for the
    /// next run. Asks the person for leave to look, when connecting or if a connection lacks it.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Saves each request body, as sent and before compression, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) save_bundles: Option<PathBuf>,
    /// Writes the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) outcome: Option<PathBuf>,
}

impl Args {
    /// The person's time zone.
    pub(crate) fn zone(&self) -> NamedZone {
        zone::of_person(self.time_zone)
    }
}

/// Reads `2024-06-08T03:10:00=+03:00`.
fn clock(text: &str) -> Result<ClockAnswer, String> {
    let form = || "write it like 2024-06-08T03:10:00=+03:00".to_owned();
    let (at, offset) = text.split_once('=').ok_or_else(form)?;
    let offset: FixedOffset = offset.parse().map_err(|_| form())?;
    let offset = UtcOffset::from_minutes(offset.local_minus_utc() / 60);
    Ok(ClockAnswer {
        at: at.parse().map_err(|_| form())?,
        offset: offset.map_err(|error| error.to_string())?,
    })
}
