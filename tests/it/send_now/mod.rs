//! The example apps as a person runs them: what they exit with, and what they say to do next.

mod files;
mod summary;

use cgm_submitter::HttpTransport;
use cgm_submitter::environment::Transport;
use sandbox_ehr::Sandbox;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// A person's folder: files to import, and a database.
struct Folder(tempfile::TempDir);

/// How the example ended.
struct Ended {
    status: i32,
    said: String,
}

/// An example, which `cargo test` and `cargo nextest run` build beside this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(example.exists(), "no example is built: run cargo build --example {name}");
    example
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command over this folder's database. It finds no browser to open.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built("send_now"));
        command.arg("--database").arg(self.path("me.db")).args(arguments);
        command.env("PATH", "").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs the example to its end, with a clinic of its own.
    async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments)).await
    }

    /// Runs the example to its end against this clinic, with a person who authorises it and says
    /// "this is me".
    async fn send_to(&self, clinic: &Sandbox, arguments: &[&str]) -> Ended {
        let (base, client) = (clinic.base_url(), clinic.client_id());
        let mut command = self.command(&["--receiver", &base, "--client-id", &client]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut app = command.spawn().unwrap();
        let mut person = app.stdin.take().unwrap();
        person.write_all(b"y\n").await.unwrap();
        let mut lines = BufReader::new(app.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("  http") {
                browse(line.trim()).await;
            }
            said = said + &line + "\n";
        }
        app.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        Ended { status: app.wait().await.unwrap().code().unwrap(), said }
    }
}

impl Ended {
    async fn of(mut command: Command) -> Self {
        let output = command.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        Self { status: output.status.code().unwrap(), said }
    }

    #[track_caller]
    fn assert(&self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.said);
        for part in parts {
            assert!(self.said.contains(part), "no {part:?} in: {}", self.said);
        }
    }
}

/// Opens a URL as a browser does, and follows the clinic back to the app.
async fn browse(url: &str) {
    let browser = HttpTransport::new().unwrap();
    let open = |url: &str| http::Request::get(url).body(Vec::new()).unwrap();
    let answer = browser.send(open(url)).await.unwrap();
    let back = answer.headers()["location"].to_str().unwrap().to_owned();
    browser.send(open(&back)).await.unwrap();
}

async fn clinic() -> Sandbox {
    Sandbox::builder().auto_approve("amy-shaw").start().await.unwrap()
}

/// A quarter of an hour of readings on 2024-05-01, and another row.
fn readings(another: &str) -> String {
    let rows = (0..3).map(|n| format!("2024-05-01T08:{n}5:00+02:00,10{n},mg/dL,acme,ok\n"));
    format!("time,value,unit,device,status\n{}{another}", rows.collect::<String>())
}

const CLARITY: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient \
    Info,Device Info,Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value \
    (grams),Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),Transmitter Time (Long \
    Integer),Transmitter ID\n";

/// A Clarity export: ten days two hours east of UTC, then three days an hour further east.
fn travelled() -> String {
    let start: chrono::NaiveDateTime = "2024-01-10T00:00:00".parse().unwrap();
    let row = |hour: i64| {
        let local = start + chrono::TimeDelta::hours(hour + if hour < 240 { 2 } else { 3 });
        let stamp = local.format("%Y-%m-%dT%H:%M:%S");
        format!("1,{stamp},EGV,,,,phone,110,,,,,{},TX\n", hour * 3_600)
    };
    CLARITY.to_owned() + &(0..312).map(row).collect::<String>()
}

#[tokio::test]
async fn what_the_clinic_took_whole_exits_0_and_again_sends_nothing() {
    let folder = Folder::new();
    let file = folder.file("readings.csv", &readings(""));
    folder.run(&["--import", &file, "--verify"]).await.assert(0, &["0 refused", "Verified:"]);
    folder.run(&["--import", &file]).await.assert(0, &["Nothing to send"]);
}

#[tokio::test]
async fn a_refused_row_exits_3_although_the_clinic_took_the_others() {
    let folder = Folder::new();
    let file = folder.file("readings.csv", &readings("yesterday,100,mg/dL,acme,ok\n"));
    folder.run(&["--import", &file]).await.assert(3, &["refused, row 5", "0 refused"]);
}

#[tokio::test]
async fn a_refused_entry_exits_3_in_this_run_and_in_the_next() {
    let (folder, clinic) = (Folder::new(), clinic().await);
    let file = folder.file("readings.csv", &readings(""));
    clinic.set_refusal("Device", Some(422)).unwrap();
    let first = folder.send_to(&clinic, &["--import", &file]).await;
    first.assert(3, &["1 refused", "refused device"]);
    clinic.set_refusal("Device", None).unwrap();
    let second = folder.send_to(&clinic, &["--import", &file]).await;
    second.assert(3, &["were refused, also earlier"]);
}

#[tokio::test]
async fn what_the_clinic_puts_off_until_tomorrow_exits_3() {
    let (folder, clinic) = (Folder::new(), clinic().await);
    let file = folder.file("readings.csv", &readings(""));
    clinic.fail_next(1_000, 503, Some("86400")).unwrap();
    let put_off = folder.send_to(&clinic, &["--import", &file]).await;
    put_off.assert(3, &["The rest waits until", "run again"]);
}

#[tokio::test]
async fn what_cannot_be_done_exits_1_and_names_the_option_that_helps() {
    let folder = Folder::new();
    let clarity = folder.file("clarity.csv", &travelled());
    let low = folder.file("low.csv", &readings("2024-05-01T08:55:00+02:00,,mg/dL,acme,low\n"));
    let fine = folder.file("readings.csv", &readings(""));
    let run = async |arguments: &[&str], says: &str| {
        folder.run(arguments).await.assert(1, &["error: ", says]);
    };
    run(&["--import", "nowhere.csv"], "nowhere.csv: ").await;
    run(&["--import", &clarity], "--time-zone").await;
    run(&["--import", &low], "--scale").await;
    run(&["--import", &fine, "--window", "2023-01-01..2023-01-02"], "--window").await;
    run(&["--import", &fine, "--receiver", "http://ehr.example.org/fhir"], "https").await;
    // Nothing listens there.
    run(&["--receiver", "http://127.0.0.1:1/fhir"], "Try again when the network is back").await;
}

#[tokio::test]
async fn what_the_clinic_asks_for_and_nobody_has_is_no_matter_of_the_window() {
    let folder = Folder::new();
    let fine = folder.file("readings.csv", &readings(""));
    let ended = folder.run(&["--import", &fine, "--ordered"]).await;
    ended.assert(1, &["there are no readings in", "2024-05-01..2024-05-01", "without --ordered"]);
    assert!(!ended.said.contains("--window"), "{}", ended.said);
}

#[tokio::test]
async fn a_connection_without_leave_to_look_is_asked_for_it_when_it_is_needed() {
    let folder = Folder::new();
    let fine = folder.file("readings.csv", &readings(""));
    folder.run(&["--import", &fine]).await.assert(0, &["3 readings new"]);
    let asked = folder.run(&["--verify"]).await;
    asked.assert(0, &["did not ask for leave to look", "Verified: the clinic has 11 entries"]);
    assert!(!asked.said.contains("Cannot verify"), "{}", asked.said);
    let again = folder.run(&["--verify"]).await;
    again.assert(0, &["since an earlier run", "Verified: the clinic has 11 entries"]);
    assert!(!again.said.contains("leave to look"), "{}", again.said);
}

#[tokio::test]
async fn the_time_zone_says_where_days_begin_with_and_without_a_file() {
    let folder = Folder::new();
    let file = folder.file("readings.csv", &readings(""));
    folder
        .run(&["--import", &file, "--time-zone", "Europe/Berlin"])
        .await
        .assert(0, &["2024-05-01..2024-05-01"]);
    // 20:05 of the day before.
    let west = folder.run(&["--time-zone", "Pacific/Honolulu"]).await;
    west.assert(0, &["2024-04-30..2024-04-30"]);
}

#[tokio::test]
async fn wrong_arguments_exit_2_and_say_how_to_write_them() {
    let folder = Folder::new();
    for (arguments, says) in [
        (&["--window", "May"][..], "2024-05-01..2024-05-14"),
        (&["--scale", "400..40mg/dL"], "--scale"),
        (&["--scale", "40"], "40..400mg/dL"),
        (&["--clock", "2024-06-08=3"], "2024-06-08T03:10:00=+03:00"),
        (&["--time-zone", "Europe/Bucarest"], "Europe/Bucharest"),
        (&["--ordered", "--unit", "mg/dL"], "--unit"),
        (&["--replace"], "--import"),
        (&["--scale", "40..400mg/dL"], "--import"),
        (&["--clock", "2024-06-08T03:10:00=+03:00"], "--import"),
        (&["--client-id", "my-app"], "--receiver"),
    ] {
        folder.run(arguments).await.assert(2, &[says]);
    }
}

#[tokio::test]
async fn the_options_that_a_run_names_are_taken() {
    let folder = Folder::new();
    let low = folder.file("low.csv", &readings("2024-05-01T08:55:00+02:00,,mg/dL,acme,low\n"));
    folder
        .run(&["--import", &low, "--scale", "40..400 mg/dL"])
        .await
        .assert(0, &["4 readings new"]);

    let folder = Folder::new();
    let clarity = folder.file("clarity.csv", &travelled());
    let zone = ["--import", &clarity, "--time-zone", "Africa/Tripoli"];
    let noted = folder.run(&zone).await;
    noted.assert(0, &["moved by +1 h on 2024-01-20", "--clock 2024-01-20T03:00:00="]);
    let option = noted.said.split("--clock ").nth(1).unwrap().lines().next().unwrap();
    let answer = ["--clock", option.trim()];
    folder.run(&[&zone[..], &answer].concat()).await.assert(0, &["as you said", "corrected"]);

    let folder = Folder::new();
    let rows = "1,2024-01-10T08:00:00,EGV,,,,phone,110,,,,,,\n\
        1,2024-01-10T09:00:00,EGV,,,,phone,120,,,,,,\n";
    let file = folder.file("uncounted.csv", &(CLARITY.to_owned() + rows));
    folder
        .run(&["--import", &file, "--time-zone", "Europe/Berlin"])
        .await
        .assert(0, &["2 readings"]);
    let elsewhere = ["--import", &file, "--time-zone", "Asia/Tokyo"];
    folder.run(&elsewhere).await.assert(1, &["already imported", "--replace"]);
    folder.run(&[&elsewhere[..], &["--replace"]].concat()).await.assert(0, &["2 corrected"]);
}
