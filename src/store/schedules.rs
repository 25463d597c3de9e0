//! What hangs on an order: when each of its schedules was run, and what of it the person approved.
//!
//! A schedule is known by the fingerprint of what it asks for, not by its place in the order: an
//! order that is fetched again, or whose schedules change places, loses nothing. What a fingerprint
//! stands for, and whether an order asks for more than was approved, is decided elsewhere.

use super::{OrderRow, Store, StoreError};
use rusqlite::{OptionalExtension, params};

/// The tables of schedules and approvals.
pub(super) const TABLES: &str = "
    CREATE TABLE schedules (
        order_row INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
        fingerprint TEXT NOT NULL,
        first_run INTEGER NOT NULL,
        last_run INTEGER,
        PRIMARY KEY (order_row, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE approvals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        order_row INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
        fingerprint TEXT NOT NULL,
        version INTEGER NOT NULL,
        asked TEXT NOT NULL,
        approved_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX approvals_of_an_order ON approvals (order_row, id);
";

/// What `asked` holds: the order's schedules as JSON.
const VERSION: i64 = 1;

/// When a schedule of an order is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// What it asks for.
    pub fingerprint: String,
    /// Unix second of its first run, from which all others are counted.
    pub first_run: i64,
    /// Unix second of the last run that ended; `None` before the first.
    pub last_run: Option<i64>,
}

/// What the person approved of an order.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    /// What the whole order asked for then.
    pub fingerprint: String,
    /// The same in a form that can be compared; `None` if this version cannot read it, and then
    /// nothing counts as approved.
    pub asked: Option<String>,
    /// Unix second.
    pub approved_at: i64,
}

/// Hides what was asked for.
impl std::fmt::Debug for Approval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approval").field("approved_at", &self.approved_at).finish_non_exhaustive()
    }
}

impl Store {
    /// Notes that a schedule of an order has its first run at `first_run`, a unix second. A
    /// schedule that is known keeps the one it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn start_schedule(
        &mut self,
        order: OrderRow,
        fingerprint: &str,
        first_run: i64,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO schedules (order_row, fingerprint, first_run)
                     VALUES (?, ?, ?)",
            )?
            .execute(params![order.0, fingerprint, first_run])?;
        Ok(())
    }

    /// Notes that a run of a schedule ended at `at`, a unix second. A run that ended earlier does
    /// not take the place of a later one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if that schedule was never started.
    pub fn record_run(
        &mut self,
        order: OrderRow,
        fingerprint: &str,
        at: i64,
    ) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE schedules SET last_run = max(?, ifnull(last_run, ?1))
                 WHERE order_row = ? AND fingerprint = ?",
            )?
            .execute(params![at, order.0, fingerprint])?;
        if changed == 0 { Err(StoreError::Missing("schedule")) } else { Ok(()) }
    }

    /// The schedules of an order that were started, also those it no longer has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn schedules(&self, order: OrderRow) -> Result<Vec<ScheduleRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT fingerprint, first_run, last_run FROM schedules
             WHERE order_row = ? ORDER BY first_run, fingerprint",
        )?;
        let rows = statement.query_map([order.0], |row| {
            Ok(ScheduleRecord {
                fingerprint: row.get(0)?,
                first_run: row.get(1)?,
                last_run: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that the person approved what an order asks for: `fingerprint` stands for it, `asked`
    /// is it as JSON. Earlier approvals are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approve_order(
        &mut self,
        order: OrderRow,
        fingerprint: &str,
        asked: &str,
        approved_at: i64,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO approvals (order_row, fingerprint, version, asked, approved_at)
                 VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![order.0, fingerprint, VERSION, asked, approved_at])?;
        Ok(())
    }

    /// What the person approved last of an order; `None` if nothing was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approval(&self, order: OrderRow) -> Result<Option<Approval>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT fingerprint, version, asked, approved_at FROM approvals
             WHERE order_row = ? ORDER BY id DESC LIMIT 1",
        )?;
        let approval = statement.query_row([order.0], |row| {
            let known = row.get::<_, i64>(1)? == VERSION;
            let asked = row.get_ref(2)?.as_str().ok().filter(|_| known).map(str::to_owned);
            Ok(Approval { fingerprint: row.get(0)?, asked, approved_at: row.get(3)? })
        });
        Ok(approval.optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;
    use crate::store::{ConnectionId, FetchedOrder};

    fn with_orders(keys: &[&str]) -> (Scratch, ConnectionId, Vec<OrderRow>) {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        fetch(&mut scratch, connection, keys, 1);
        let rows = scratch.store.orders(connection).unwrap().iter().map(|one| one.row).collect();
        (scratch, connection, rows)
    }

    fn fetch(scratch: &mut Scratch, connection: ConnectionId, keys: &[&str], now: i64) {
        let orders: Vec<_> = keys
            .iter()
            .map(|key| FetchedOrder { key: (*key).to_owned(), json: now.to_string() })
            .collect();
        scratch.store.save_orders(connection, &orders, now).unwrap();
    }

    fn runs(store: &Store, order: OrderRow) -> Vec<(String, i64, Option<i64>)> {
        let all = store.schedules(order).unwrap();
        all.into_iter().map(|one| (one.fingerprint, one.first_run, one.last_run)).collect()
    }

    #[test]
    fn a_schedule_keeps_its_first_run_and_its_last_through_every_search() {
        let (mut scratch, connection, orders) = with_orders(&["a", "b"]);
        let (a, b) = (orders[0], orders[1]);
        scratch.store.start_schedule(a, "weekly", 100).unwrap();
        scratch.store.start_schedule(a, "daily", 50).unwrap();
        scratch.store.record_run(a, "weekly", 100).unwrap();
        scratch.store.record_run(a, "weekly", 700).unwrap();
        scratch.store.record_run(a, "weekly", 400).unwrap();
        scratch.store.start_schedule(a, "weekly", 9_000).unwrap();
        fetch(&mut scratch, connection, &["b"], 2);
        fetch(&mut scratch, connection, &["a", "b"], 3);
        let store = &mut scratch.store;
        assert_eq!(
            runs(store, a),
            [("daily".to_owned(), 50, None), ("weekly".to_owned(), 100, Some(700))]
        );
        assert_eq!(runs(store, b), []);
        let never = store.record_run(b, "weekly", 1).unwrap_err();
        assert!(matches!(never, StoreError::Missing("schedule")), "{never}");
    }

    #[test]
    fn the_last_approval_counts_and_the_earlier_ones_are_kept() {
        let (mut scratch, connection, orders) = with_orders(&["a", "b"]);
        let (a, b) = (orders[0], orders[1]);
        scratch.store.approve_order(a, "one", "[1]", 10).unwrap();
        // A clock that was set back does not bring an earlier approval to life.
        scratch.store.approve_order(a, "two", "[2]", 5).unwrap();
        fetch(&mut scratch, connection, &["a", "b"], 2);
        let store = &mut scratch.store;
        let approval = store.approval(a).unwrap().unwrap();
        assert_eq!((approval.fingerprint.as_str(), approval.approved_at), ("two", 5));
        assert_eq!(approval.asked.as_deref(), Some("[2]"));
        assert_eq!(store.approval(b).unwrap(), None);
        assert!(!format!("{approval:?}").contains("[2]"));

        store.db.execute("UPDATE approvals SET version = 2", []).unwrap();
        let approval = store.approval(a).unwrap().unwrap();
        assert_eq!(approval.asked, None, "what cannot be read is not approved");
        let kept: i64 =
            store.db.query_row("SELECT count(*) FROM approvals", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 2);
    }

    #[test]
    fn what_hangs_on_an_order_goes_with_its_connection() {
        let (mut scratch, connection, orders) = with_orders(&["a"]);
        scratch.store.start_schedule(orders[0], "weekly", 1).unwrap();
        scratch.store.approve_order(orders[0], "one", "[]", 1).unwrap();
        scratch.store.remove_connection(connection).unwrap();
        assert_eq!(runs(&scratch.store, orders[0]), []);
        assert_eq!(scratch.store.approval(orders[0]).unwrap(), None);
    }
}
