//! A dump while it is read: its rows in a table beside the state, each by its key, so that nothing of it is in memory.

use newsreel_mapping::Row;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::compare::{Comparing, Comparison, Initial, compare};
use super::form::{Form, HASH_BYTES, KEYLESS, Keep, hex};
use super::state::{SnapshotError, Snapshots};

/// The table. A crash may spoil the file, so it is made anew for every dump.
const TABLE: &str = "
    PRAGMA staging.journal_mode = OFF; PRAGMA staging.synchronous = OFF; PRAGMA staging.cache_size = -65536;
    CREATE TABLE staging.staged (
        source INTEGER NOT NULL, key TEXT NOT NULL, hash BLOB NOT NULL, naming TEXT NOT NULL, old TEXT NOT NULL,
        row TEXT, line INTEGER NOT NULL, PRIMARY KEY (source, key)) WITHOUT ROWID;
    BEGIN";

/// A dump that is being read.
pub(crate) struct Staging<'a> {
    of: &'a mut Snapshots,
    /// The forms of the names that the dump has all rows of, each with its number in the state.
    forms: Vec<(i64, Form)>,
    content: Sha256,
    rows: u64,
}

impl<'a> Staging<'a> {
    fn begin(of: &'a mut Snapshots, forms: Vec<Form>) -> Result<Self, SnapshotError> {
        let forms = of.attach().and_then(|()| of.numbered(forms)).map_err(|why| of.failed(why))?;
        Ok(Self { of, forms, content: Sha256::new(), rows: 0 })
    }

    /// Takes in a row of a name, with the line that it begins in and, if it is kept to be served, its text. A row of a
    /// name that the dump does not cover, or that names nothing, is left out.
    ///
    /// # Errors
    /// If the dump has another row with the same key, or the disk fails.
    pub(crate) fn add(
        &mut self,
        name: &str,
        mut row: Row,
        text: Option<&str>,
        line: u64,
    ) -> Result<(), SnapshotError> {
        let Some((source, form)) = self.forms.iter().find(|(_, form)| form.name() == name) else {
            return Ok(());
        };
        let own = (self.of.keep == Keep::Rows && text.is_none()).then(|| serde_json::json!(row).to_string());
        let Some(named) = form.named(&mut row, self.of.keep, &mut self.of.skips) else { return Ok(()) };
        let text = text.or(own.as_deref()).filter(|_| self.of.keep == Keep::Rows);
        let at = i64::try_from(line).unwrap_or(i64::MAX);
        let sql = "INSERT INTO staging.staged VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let insert = self.of.db.prepare_cached(sql).and_then(|mut insert| {
            insert.execute(params![source, named.key, named.hash, named.naming, named.old, text, at])
        });
        if insert.map_err(|why| self.of.failed(why))? == 0 {
            // Two rows without a key that are the same are one.
            return if named.key.starts_with(KEYLESS) {
                Ok(())
            } else {
                Err(self.twice(*source, named.key, line))
            };
        }
        self.content.update(named.key.as_bytes());
        self.content.update(&named.hash);
        self.rows += 1;
        Ok(())
    }

    /// Returns how many rows were taken in.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Compares the dump, which is whole, with what is kept of the one before. Up to `samples` differences of each kind
    /// are named.
    pub(crate) fn compare(self, initial: Initial, samples: usize) -> Result<Comparison, SnapshotError> {
        let digest = hex(&self.content.clone().finalize(), HASH_BYTES / 2);
        let compared = self.of.db.execute_batch("COMMIT");
        let Snapshots { keep, wide_above, .. } = *self.of;
        let how = Comparing { initial, samples, keep, wide_above, digest };
        let compared = compared.and_then(|()| compare(&self.of.db, &self.forms, how));
        compared.map_err(|why| self.of.failed(why))
    }

    fn twice(&self, source: i64, key: String, line: u64) -> SnapshotError {
        let sql = "SELECT line FROM staging.staged WHERE source = ? AND key = ?";
        match self.of.db.query_row(sql, params![source, key], |row| row.get::<_, i64>(0)) {
            Ok(first) => SnapshotError::Twice { key, first: first.unsigned_abs(), line },
            Err(why) => self.of.failed(why),
        }
    }
}

impl Snapshots {
    /// Begins to read a dump that has all rows of these names. What was staged of an earlier one is forgotten.
    pub(crate) fn stage(&mut self, names: &[String]) -> Result<Staging<'_>, SnapshotError> {
        let covered = |form: &&Form| names.iter().any(|name| name == form.name());
        let forms = self.forms.iter().filter(covered).cloned().collect();
        Staging::begin(self, forms)
    }

    /// Makes an empty staging table.
    fn attach(&self) -> rusqlite::Result<()> {
        self.detach();
        let path = self.staging_path();
        self.db.execute("ATTACH DATABASE ? AS staging", [path.to_string_lossy()])?;
        self.db.execute_batch(TABLE)
    }

    /// Removes the staging table, if there is one.
    pub(super) fn detach(&self) {
        // There is nothing to end, or nothing attached, after a dump that was taken as a whole.
        let _ = self.db.execute_batch("ROLLBACK");
        self.db.flush_prepared_statement_cache();
        let _ = self.db.execute_batch("DETACH DATABASE staging");
        let _ = std::fs::remove_file(self.staging_path());
    }

    fn staging_path(&self) -> std::path::PathBuf {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".staging");
        beside.into()
    }

    /// Gives each form its number: that of the state, or the next one.
    pub(super) fn numbered(&self, forms: Vec<Form>) -> rusqlite::Result<Vec<(i64, Form)>> {
        let sql = "SELECT coalesce(max(id), 0) + 1 FROM sources";
        let mut next: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
        let number = |form: Form| {
            let sql = "SELECT id FROM sources WHERE name = ?";
            let known: Option<i64> = self.db.query_row(sql, [form.name()], |row| row.get(0)).optional()?;
            let id = known.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            Ok((id, form))
        };
        forms.into_iter().map(number).collect()
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.detach();
    }
}
