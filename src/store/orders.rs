//! The orders of a connection as its receiver last gave them, unread.

use super::{ConnectionId, Store, StoreError};
use rusqlite::params;

/// The orders' table.
pub(super) const TABLES: &str = "
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        order_id TEXT NOT NULL,
        json TEXT NOT NULL,
        fetched_at INTEGER NOT NULL,
        UNIQUE (connection, order_id)
    ) STRICT;
";

/// An order as it was fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// Its id at the receiver.
    pub id: String,
    /// The resource as it came.
    pub json: String,
    /// Unix second of the fetch.
    pub fetched_at: i64,
}

impl std::fmt::Debug for StoredOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredOrder").field("fetched_at", &self.fetched_at).finish_non_exhaustive()
    }
}

impl Store {
    /// Replaces all orders of a connection. Of several with one id the last stands.
    ///
    /// # Errors
    /// [`StoreError`]; the earlier ones stay then.
    pub fn save_orders(
        &mut self,
        connection: ConnectionId,
        orders: &[StoredOrder],
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        tx.execute("DELETE FROM orders WHERE connection = ?", [connection.0])?;
        for order in orders {
            tx.prepare_cached(
                "INSERT INTO orders (connection, order_id, json, fetched_at) VALUES (?, ?, ?, ?)
                 ON CONFLICT (connection, order_id) DO UPDATE SET json = excluded.json, fetched_at = excluded.fetched_at",
            )?
            .execute(params![connection.0, order.id, order.json, order.fetched_at])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The orders of a connection, in the order given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn orders(&self, connection: ConnectionId) -> Result<Vec<StoredOrder>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT order_id, json, fetched_at FROM orders WHERE connection = ? ORDER BY id",
        )?;
        let rows = statement.query_map([connection.0], |row| {
            Ok(StoredOrder { id: row.get(0)?, json: row.get(1)?, fetched_at: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    #[test]
    fn orders_are_replaced_as_a_whole_and_go_with_their_connection() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let order = |id: &str| StoredOrder { id: id.into(), json: "{}".into(), fetched_at: 5 };
        scratch.store.save_orders(a, &[order("2"), order("1")]).unwrap();
        scratch.store.save_orders(b, &[order("1")]).unwrap();
        assert_eq!(scratch.store.orders(a).unwrap(), [order("2"), order("1")]);
        scratch.store.save_orders(a, &[order("3")]).unwrap();
        assert_eq!(scratch.store.orders(a).unwrap(), [order("3")]);
        scratch.store.remove_connection(a).unwrap();
        assert_eq!(scratch.store.orders(a).unwrap(), []);
        assert_eq!(scratch.store.orders(b).unwrap(), [order("1")]);
    }
}
