//! The orders of a connection as its receiver gave them: the resources, unread, followed or not.
//!
//! What hangs on an order (when it was run, what of it the person approved) outlives the search
//! that found it: an order is updated in its row, and one that is gone is marked and kept.

use super::{ConnectionId, Store, StoreError};
use rusqlite::{Row, params};

/// The orders' table.
pub(super) const TABLES: &str = "
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        order_key TEXT NOT NULL,
        version INTEGER NOT NULL,
        json TEXT NOT NULL,
        fetched_at INTEGER NOT NULL,
        gone_at INTEGER,
        UNIQUE (connection, order_key)
    ) STRICT;
";

/// What `json` holds: the R4 resource as it came.
const VERSION: i64 = 1;

/// An order's row in this database: what is known of it hangs on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderRow(pub(super) i64);

/// An order as a search found it.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchedOrder {
    /// What it is known by: its id at the receiver, or something else that stays the same.
    pub key: String,
    /// The resource as it came.
    pub json: String,
}

impl std::fmt::Debug for FetchedOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FetchedOrder(…)")
    }
}

/// An order as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// Its row.
    pub row: OrderRow,
    /// What it is known by.
    pub key: String,
    /// The resource as it came; `None` if this version cannot read the row.
    pub json: Option<String>,
    /// Unix second of the search that found it last.
    pub fetched_at: i64,
    /// Unix second of the first search that no longer found it.
    pub gone_at: Option<i64>,
}

impl std::fmt::Debug for StoredOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredOrder")
            .field("row", &self.row)
            .field("fetched_at", &self.fetched_at)
            .field("gone_at", &self.gone_at)
            .finish_non_exhaustive()
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredOrder> {
    let known = row.get::<_, i64>("version")? == VERSION;
    // A row that cannot be read is told as that one order, and hides no other.
    let json = row.get_ref("json")?.as_str().ok().filter(|_| known).map(str::to_owned);
    Ok(StoredOrder {
        row: OrderRow(row.get("id")?),
        key: row.get_ref("order_key")?.as_str().unwrap_or_default().to_owned(),
        json,
        fetched_at: row.get("fetched_at")?,
        gone_at: row.get("gone_at")?,
    })
}

impl Store {
    /// Keeps the orders a search of a connection found at `now`, a unix second: each in its row,
    /// and those it did not find marked as gone. Of several with one key the last stands.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is changed then.
    pub fn save_orders(
        &mut self,
        connection: ConnectionId,
        orders: &[FetchedOrder],
        now: i64,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        tx.execute(
            "UPDATE orders SET gone_at = ifnull(gone_at, ?) WHERE connection = ?",
            params![now, connection.0],
        )?;
        for order in orders {
            tx.prepare_cached(
                "INSERT INTO orders (connection, order_key, version, json, fetched_at)
                 VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (connection, order_key) DO UPDATE SET version = excluded.version,
                     json = excluded.json, fetched_at = excluded.fetched_at, gone_at = NULL",
            )?
            .execute(params![connection.0, order.key, VERSION, order.json, now])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The orders of a connection, those that are gone too, in the order they were first found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn orders(&self, connection: ConnectionId) -> Result<Vec<StoredOrder>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM orders WHERE connection = ? ORDER BY id")?;
        let rows = statement.query_map([connection.0], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    fn order(key: &str, json: &str) -> FetchedOrder {
        FetchedOrder { key: key.into(), json: json.into() }
    }

    /// Key, resource, and since when it is gone.
    fn kept(store: &Store, connection: ConnectionId) -> Vec<(String, String, Option<i64>)> {
        let orders = store.orders(connection).unwrap();
        orders.into_iter().map(|one| (one.key, one.json.unwrap(), one.gone_at)).collect()
    }

    fn said(key: &str, json: &str, gone_at: Option<i64>) -> (String, String, Option<i64>) {
        (key.into(), json.into(), gone_at)
    }

    #[test]
    fn an_order_that_is_gone_is_marked_and_one_that_returns_has_its_row_again() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let store = &mut scratch.store;
        store.save_orders(a, &[order("2", "{}"), order("1", "[]")], 5).unwrap();
        store.save_orders(b, &[order("1", "{}")], 5).unwrap();
        assert_eq!(kept(store, a), [said("2", "{}", None), said("1", "[]", None)]);
        let row = store.orders(a).unwrap()[1].row;

        store.save_orders(a, &[order("2", "{ }")], 6).unwrap();
        store.save_orders(a, &[order("2", "{ }")], 7).unwrap();
        assert_eq!(kept(store, a), [said("2", "{ }", None), said("1", "[]", Some(6))]);
        assert_eq!(kept(store, b), [said("1", "{}", None)], "another receiver's");

        store.save_orders(a, &[order("1", "x"), order("1", "y")], 8).unwrap();
        assert_eq!(kept(store, a), [said("2", "{ }", Some(8)), said("1", "y", None)]);
        let again = &store.orders(a).unwrap()[1];
        assert_eq!((again.row, again.fetched_at), (row, 8));
    }

    #[test]
    fn orders_go_with_their_connection() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        for connection in [a, b] {
            scratch.store.save_orders(connection, &[order("1", "{}")], 5).unwrap();
        }
        scratch.store.remove_connection(a).unwrap();
        assert_eq!(scratch.store.orders(a).unwrap(), []);
        assert_eq!(scratch.store.orders(b).unwrap().len(), 1);
    }

    #[test]
    fn a_row_that_cannot_be_read_hides_no_other() {
        let mut scratch = Scratch::new();
        let a = scratch.connect("https://a.example");
        let all = ["1", "2", "3"].map(|key| order(key, "{}"));
        scratch.store.save_orders(a, &all, 5).unwrap();
        let change = |sql| scratch.store.db.execute(sql, []).unwrap();
        change("UPDATE orders SET version = 2 WHERE order_key = '1'");
        change("UPDATE orders SET json = CAST(x'ff' AS TEXT) WHERE order_key = '2'");
        let read: Vec<_> =
            scratch.store.orders(a).unwrap().into_iter().map(|one| one.json).collect();
        assert_eq!(read, [None, None, Some("{}".to_owned())]);
        scratch.store.save_orders(a, &all, 6).unwrap();
        assert!(scratch.store.orders(a).unwrap().iter().all(|one| one.json.is_some()));
    }
}
