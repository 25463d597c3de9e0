//! What the store does for a batch: frozen, claimed, settled, each in a transaction of its own.

use crate::{Data, connection, dates, filled, now, row, timed, zone};
use cgm_submitter::delivery::next_body;
use cgm_submitter::fhir::Dialect;
use cgm_submitter::glucose::GlucoseUnit;
use cgm_submitter::store::{NewBatch, Pending, Store};
use cgm_submitter::submission::{
    Attempts, EntryRecord, Item, NextState, Origin, Part, Places, Plan, SentBatch, Settlement,
    Wait, Wanted,
};
use chrono::TimeDelta;
use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::{Connection, params};
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// Batches that are sent, one after the other.
const BATCHES: usize = 30;

/// As bare as three transactions can be: the body and its readings' keys in, the state changed, all
/// out again and one interval of keys in.
struct Bare(Connection);

impl Bare {
    fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        db.pragma_update(None, "synchronous", "FULL").unwrap();
        db.execute_batch(
            "CREATE TABLE batch (id INTEGER PRIMARY KEY, state INTEGER, body BLOB);
             CREATE TABLE frozen (key INTEGER PRIMARY KEY);
             CREATE TABLE ledger (first INTEGER PRIMARY KEY, last INTEGER)",
        )
        .unwrap();
        Self(db)
    }

    fn send(&mut self, body: &[u8], keys: &[i64]) {
        let tx = self.0.transaction().unwrap();
        tx.execute("INSERT INTO batch VALUES (1, 0, ?)", [body]).unwrap();
        {
            let mut freeze = tx.prepare_cached("INSERT INTO frozen VALUES (?)").unwrap();
            for key in keys {
                freeze.execute([key]).unwrap();
            }
        }
        tx.commit().unwrap();
        self.0.execute("UPDATE batch SET state = 1 WHERE id = 1", []).unwrap();
        let tx = self.0.transaction().unwrap();
        tx.execute_batch("DELETE FROM batch; DELETE FROM frozen").unwrap();
        let ends = params![keys.first(), keys.last()];
        tx.execute("INSERT INTO ledger VALUES (?, ?)", ends).unwrap();
        tx.commit().unwrap();
    }
}

fn gzip(json: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json).unwrap();
    encoder.finish().unwrap()
}

/// Everything delivered.
fn delivered(pending: &Pending) -> Settlement {
    let entries = pending.batch.content.manifest.len();
    Settlement {
        next: NextState::Done(vec![EntryRecord::Delivered { location: None }; entries]),
        attempts: pending.batch.content.attempts,
        looked_up: Places::default(),
        progress: pending.submission.progress.clone(),
        receiver: pending.connection.receiver.clone(),
        block: None,
        refresh: false,
        outcome: "answered",
        status: Some(200),
        at: now().timestamp(),
    }
}

fn keys(batch: &NewBatch) -> Vec<i64> {
    let key = |item: &Item| match item {
        Item::Reading(key, ..) => Some(*key),
        Item::Resource(..) => None,
    };
    batch.content.manifest.iter().filter_map(|entry| key(&entry.item)).collect()
}

/// Batches of 500 readings, from assembled to settled. The bare rows keep no manifest of what was
/// sent, no history, and look at no reading.
pub(crate) fn a_batch(data: &Data) {
    let (folder, bare_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store: Store = filled(&folder, data);
    let mut bare = Bare::open(&bare_folder.path().join("bare.db"));
    let to = connection(&mut store);
    let dates = dates(data);
    let wanted =
        Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
    let plan = Plan { wanted, dates, window: dates.window(&zone()).unwrap(), day_under_way: None };
    let submission = store.open_submission(to.id, Origin::Person, &plan, now()).unwrap();
    let record = store.submission(submission).unwrap();
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let data_version = store.data_version().unwrap();
        let body = next_body(&store, &to, &record, now()).unwrap().unwrap();
        let batch = NewBatch {
            data_version,
            submission,
            url: "https://ehr.example.org/fhir".to_owned(),
            bytes: body.json.len(),
            body: gzip(&body.json),
            content: SentBatch {
                manifest: body.manifest,
                part: Part::Readings,
                dialect: Dialect::Hl7Cgm,
                conditional: true,
                position_after: body.position_after,
                attempts: Attempts::default(),
                looked_up: Places::default(),
                wait: Wait::NONE,
            },
        };
        let keys = keys(&batch);
        let lease = Wait::after(now(), TimeDelta::seconds(70));
        let send = || {
            let id = store.freeze(to.id, &batch).unwrap().unwrap();
            store.claim(to.id, id, now(), lease).unwrap();
            store.settle(to.id, id, delivered).unwrap();
        };
        ours.push(timed(send).0);
        limit.push(timed(|| bare.send(&batch.body, &keys)).0);
    }
    row("freeze, claim and settle 500 readings | bare SQLite", &ours, &limit, 10.0);
}
