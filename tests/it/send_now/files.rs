//! The files and folders a run is given: tried before anything is sent, and for their owner alone.

use super::{Ended, Folder, built, readings};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Imports a few readings over another place for the database.
async fn over(database: &str) -> Ended {
    let folder = Folder::new();
    let mut command = Command::new(built("send_now"));
    command.args(["--import", &folder.file("readings.csv", &readings(""))]);
    command.args(["--database", database]).stdin(Stdio::null()).kill_on_drop(true);
    Ended::of(command).await
}

#[tokio::test]
async fn a_database_that_cannot_be_names_its_option_and_its_place() {
    let folder = Folder::new();
    let nowhere = folder.path("nowhere/me.db");
    let missing = format!("--database {nowhere}: there is no folder");
    over(&nowhere).await.assert(1, &[&missing, "make it first"]);
    let itself = folder.path("");
    over(&itself).await.assert(1, &["--database", "it is a folder: name a file"]);
    let letter = folder.file("letter.txt", "Dear diary");
    over(&letter).await.assert(1, &[&format!("--database {letter}: the file is not a readable")]);
    let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().collect();
    assert!(left.len() <= 2, "the letter, and its locks: {left:?}");
}

#[tokio::test]
async fn what_is_written_later_is_tried_before_anything_is_sent() {
    let folder = Folder::new();
    let readings = folder.file("readings.csv", &readings(""));
    let in_the_way = folder.file("in-the-way", "");
    let (nowhere, itself) = (folder.path("nowhere/outcome.json"), folder.path(""));
    for (option, place, says) in [
        ("--outcome", &nowhere, "there is no folder"),
        ("--outcome", &itself, "it is a folder: name a file"),
        ("--save-bundles", &in_the_way, "exists"),
    ] {
        let ended = folder.run(&["--import", &readings, option, place]).await;
        ended.assert(1, &[&format!("error: {option} {place}: "), says]);
        assert!(!ended.said.contains("To send"), "{}", ended.said);
    }
    // What an earlier run wrote stays until this one has something to say.
    let earlier = folder.file("outcome.json", "earlier");
    let refused =
        ["--import", &readings, "--outcome", &earlier, "--window", "2023-01-01..2023-01-01"];
    folder.run(&refused).await.assert(1, &["there are no readings"]);
    assert_eq!(std::fs::read_to_string(earlier).unwrap(), "earlier");
}

#[tokio::test]
async fn a_bundle_that_cannot_be_saved_is_sent_and_told() {
    let folder = Folder::new();
    let readings = folder.file("readings.csv", &readings(""));
    let (bundles, outcome) = (folder.path("bundles"), folder.path("outcome.json"));
    std::fs::create_dir_all(Path::new(&bundles).join("bundle-0002.json")).unwrap();
    let run = ["--import", &readings, "--save-bundles", &bundles, "--outcome", &outcome];
    let ended = folder.run(&run).await;
    ended.assert(1, &["11 accepted", "error: --save-bundles", "bundle-0002.json: it is a folder"]);
    assert!(std::fs::read_to_string(outcome).unwrap().contains("\"accepted\": 11"));
}

#[cfg(unix)]
#[tokio::test]
async fn what_holds_a_persons_data_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let readings = folder.file("readings.csv", &readings(""));
    let (bundles, outcome) = (folder.path("bundles"), folder.file("outcome.json", "earlier"));
    let run = ["--import", &readings, "--save-bundles", &bundles, "--outcome", &outcome];
    folder.run(&run).await.assert(0, &["0 refused"]);
    let others = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o077;
    let saved = std::fs::read_dir(&bundles).unwrap().map(|entry| entry.unwrap().path());
    let mut private: Vec<_> = saved.collect();
    assert!(private.len() > 1, "{private:?}");
    private.push(bundles.into());
    private.push(outcome.into());
    private.push(folder.path("me.db").into());
    private.push(folder.path("me.db-vault").into());
    private.push(folder.path("me.db-clinic").into());
    for path in private {
        assert_eq!(others(&path), 0, "{}", path.display());
    }
}

#[tokio::test]
async fn a_path_with_blanks_is_shown_as_a_shell_takes_it() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("of mine")).unwrap();
    let database = folder.path("of mine/me.db");
    over(&database).await.assert(0, &[&format!("--database '{database}-clinic'")]);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_no_delivery() {
    let folder = Folder::new();
    let readings = folder.file("readings.csv", &readings(""));
    let outcome = folder.path("outcome.json");
    let mut command = folder.command(&["--import", &readings, "--outcome", &outcome]);
    let mut app = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((app.stdout.take(), app.stderr.take()));
    assert_eq!(app.wait().await.unwrap().code(), Some(0));
    assert!(std::fs::read_to_string(outcome).unwrap().contains("\"complete\": true"));
}
