//! The example that prints a file's statistics.

use super::{Ended, Folder, built, readings};
use std::process::Stdio;
use tokio::process::Command;

fn command(file: &str) -> Command {
    let mut command = Command::new(built("summary"));
    command.args(["--import", file]).stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn thousands_of_refused_rows_are_a_line_for_each_reason() {
    let folder = Folder::new();
    let rows = |cells: &str| format!("2024-05-01T09:00:00Z,{cells},acme,ok\n").repeat(2_000);
    let refused = rows("much,mg/dL") + &rows("100,pounds");
    let file = folder.file("readings.csv", &readings(&refused));
    let ended = Ended::of(command(&file)).await;
    ended.assert(0, &["refused, row 5, 6, 7, 8, 9 and 1995 more: ", "3 readings, 2024-05-01"]);
    assert_eq!(ended.said.matches("refused, row").count(), 2, "{}", ended.said);
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_failure() {
    let folder = Folder::new();
    let file = folder.file("readings.csv", &readings("yesterday,100,mg/dL,acme,ok\n"));
    for json in [&[][..], &["--json"]] {
        let mut command = command(&file);
        command.args(json).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut summary = command.spawn().unwrap();
        drop((summary.stdout.take(), summary.stderr.take()));
        assert_eq!(summary.wait().await.unwrap().code(), Some(0));
    }
}

/// The dates that the first line with such a beginning names.
fn dates_after(said: &str, mark: &str) -> String {
    let line = said.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{said}"));
    let dates = line.split([' ', ',', ':']).find(|word| word.contains(".."));
    dates.unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[tokio::test]
async fn both_examples_name_the_same_dates_whatever_offsets_the_times_have() {
    let folder = Folder::new();
    let row = |at: &str, value: u32| format!("{at},{value},mg/dL,acme,ok\n");
    let rows = [
        row("2024-05-01T03:00:00+09:00", 100),
        row("2024-05-03T12:00:00Z", 101),
        row("2024-05-05T23:30:00-09:00", 102),
    ];
    let file =
        folder.file("r.csv", &("time,value,unit,device,status\n".to_owned() + &rows.concat()));
    for zone in [&[][..], &["--time-zone", "Asia/Tokyo"]] {
        let sent = folder.run(&[&["--import", &file], zone].concat()).await;
        let mut summary = command(&file);
        summary.args(zone);
        let told = Ended::of(summary).await;
        let dates = dates_after(&told.said, "readings, ");
        assert_eq!(dates, dates_after(&sent.said, "To send, "), "{}{}", told.said, sent.said);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_refused_at_once_with_its_path() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, says) in [
        (pipe.as_str(), "it is a pipe or a device"),
        ("/dev/zero", "it is a pipe or a device"),
        (&folder.path(""), "it is a folder"),
        (&folder.path("nowhere.csv"), "No such file"),
    ] {
        let named = format!("--import {path}: ");
        Ended::of(command(path)).await.assert(1, &[&named, says]);
        folder.run(&["--import", path]).await.assert(1, &[&named, says]);
    }
}

#[tokio::test]
async fn dates_without_readings_are_answered_with_those_that_have_some() {
    let folder = Folder::new();
    let file = folder.file("readings.csv", &readings(""));
    let mut command = command(&file);
    command.args(["--window", "2023-01-01..2023-01-02"]);
    Ended::of(command)
        .await
        .assert(1, &["in 2023-01-01..2023-01-02", "from 2024-05-01..2024-05-01"]);
}
