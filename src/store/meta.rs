//! Small things the database must remember about itself, by name: the installation it belongs to,
//! for example.

use super::{Store, StoreError};
use rusqlite::OptionalExtension;

/// The table of named texts.
pub(super) const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

impl Store {
    /// The text under a name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Puts a text under a name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_meta(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name)
                 DO UPDATE SET value = excluded.value",
            )?
            .execute([name, value])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::testing::Scratch;

    #[test]
    fn a_name_keeps_its_last_text_across_reopening() {
        let mut scratch = Scratch::new();
        assert_eq!(scratch.store.meta("installation").unwrap(), None);
        scratch.store.set_meta("installation", "a").unwrap();
        scratch.store.set_meta("installation", "b").unwrap();
        scratch.reopen();
        assert_eq!(scratch.store.meta("installation").unwrap().as_deref(), Some("b"));
    }
}
