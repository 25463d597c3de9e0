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
