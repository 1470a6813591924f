//! The log in the object's SQLite: what a publish writes, what a replay reads. Decides nothing.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use js_sys::{JsString, Reflect};
use newsreel_core::follow::hub::{Asked, Kept, Remembered, Write};
use newsreel_core::log::maintenance::{REMEMBER_FOR, StorageStats};
use newsreel_core::log::schema;
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::frame::FRAME_BYTES;
use newsreel_core::wire::publish::digest_of_key;
use newsreel_core::wire::{Epoch, Hash, Position, Problem, UnixMillis, Version};
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

use crate::js::{self, Storage};

pub(crate) mod past;
#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

/// How long a replica that does not connect is still counted as offline: 30 days.
const KNOWN_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How many keys one step forgets.
const FORGET_AT_ONCE: u32 = 5_000;
/// The most rows that one part of a replay is picked from: nearly a frame of the smallest rows (about 60 bytes).
pub(crate) const PAGE_ROWS: u32 = 4_000;
/// SQLite here makes no string above 2 MB, so a page that a large row would make longer ends before it.
const PAGE_BYTES: u32 = 1_950_000;

/// Where the schema is said, in every schema.
const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";
/// Each makes the next schema of the one before it, the first of nothing. What was released is never changed: `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &["CREATE TABLE IF NOT EXISTS log ( \
       version INTEGER PRIMARY KEY, hash TEXT NOT NULL, text TEXT NOT NULL); \
     CREATE TABLE IF NOT EXISTS segments ( \
       last INTEGER PRIMARY KEY, first INTEGER NOT NULL, hash TEXT NOT NULL, bytes INTEGER NOT NULL, \
       rows TEXT NOT NULL); \
     CREATE TABLE IF NOT EXISTS hashes ( \
       last INTEGER PRIMARY KEY, first INTEGER NOT NULL, at INTEGER NOT NULL, hashes BLOB NOT NULL); \
     CREATE TABLE IF NOT EXISTS folded ( \
       place TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL) WITHOUT ROWID; \
     CREATE INDEX IF NOT EXISTS folded_order ON folded (version, place, length(text)); \
     CREATE TABLE IF NOT EXISTS keys ( \
       digest BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, at INTEGER NOT NULL, epoch TEXT NOT NULL, \
       version INTEGER NOT NULL, hash BLOB NOT NULL, changes INTEGER NOT NULL) WITHOUT ROWID; \
     CREATE INDEX IF NOT EXISTS keys_at ON keys (at); \
     CREATE TABLE IF NOT EXISTS replicas (name TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;"];

/// Why rows were not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// They are not this build's to use: whoever asks is told so.
    Refused(Problem),
    /// They could not be read: the next event may try again.
    Failed(worker::Error),
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<worker::Error> for OpenError {
    fn from(error: worker::Error) -> Self {
        Self::Failed(error)
    }
}

/// The rows of one catalog.
pub(crate) struct Rows {
    sql: SqlStorage,
    storage: Storage,
    /// Bytes of rows in no segment, and of segments: counted once, then kept up.
    active_bytes: Cell<u64>,
    sealed_bytes: Cell<u64>,
}

/// A run of versions, ready to be sent.
pub(crate) struct PageRows {
    /// The position after its last version.
    pub(crate) to: Position,
    /// JSON rows separated by commas; a JavaScript string, so that it is sent without crossing into wasm.
    pub(crate) rows: JsString,
}

impl Rows {
    /// Opens the rows, bringing them to the schema of this build and making a first epoch where there is none.
    pub(crate) fn open(state: &State) -> Result<Self, OpenError> {
        Self::open_as(state, MIGRATIONS)
    }

    fn open_as(state: &State, migrations: &[&str]) -> Result<Self, OpenError> {
        let storage = state.storage();
        let raw = AsRef::<JsValue>::as_ref(storage.as_raw()).clone().unchecked_into();
        let (active_bytes, sealed_bytes) = (Cell::new(0), Cell::new(0));
        let rows = Self { sql: storage.sql(), storage: raw, active_bytes, sealed_bytes };
        rows.migrate(migrations)?;
        let epoch = Epoch::new(js::now(), js::random());
        rows.sql.exec("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", vec![epoch.as_str().into()])?;
        rows.count()?;
        Ok(rows)
    }

    fn migrate(&self, migrations: &[&str]) -> Result<(), OpenError> {
        self.sql.exec(META, None)?;
        for (schema, statements) in schema::pending(self.meta("schema")?.as_deref(), migrations)? {
            self.transaction(|| {
                self.sql.exec(statements, None)?;
                self.set_meta("schema", &schema.to_string())
            })?;
        }
        Ok(())
    }

    /// Counts the bytes anew, after something was written that then was not.
    pub(crate) fn count(&self) -> worker::Result<()> {
        let hot = self.first("SELECT coalesce(sum(length(text) + 1), 0) AS value FROM log", vec![])?;
        let sealed = self.first("SELECT coalesce(sum(bytes), 0) AS value FROM segments", vec![])?;
        let counted = |row: Option<JsValue>| -> worker::Result<u64> {
            row.map_or(Ok(0), |row| Ok(whole(&field(&row, "value")?)))
        };
        self.active_bytes.set(counted(hot)?);
        self.sealed_bytes.set(counted(sealed)?);
        Ok(())
    }

    /// Returns what is kept of a hub.
    pub(crate) fn kept(&self) -> worker::Result<Kept> {
        let epoch: Epoch = parsed(self.meta("epoch")?.ok_or("the rows have no epoch")?)?;
        let folded = self.meta("folded")?.map(parsed).transpose()?;
        let log = Log::new(self.head(epoch)?, folded.unwrap_or_else(|| Position::genesis(epoch)));
        let asked: Option<Asked> = self.meta("asked")?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(Kept { log, asked })
    }

    fn head(&self, epoch: Epoch) -> worker::Result<Position> {
        for query in [
            "SELECT version, hash FROM log ORDER BY version DESC LIMIT 1",
            "SELECT last AS version, hash FROM segments ORDER BY last DESC LIMIT 1",
        ] {
            if let Some(row) = self.first(query, vec![])? {
                let hash = parsed(string(&row, "hash")?)?;
                return Ok(Position { epoch, version: version(&field(&row, "version")?)?, hash });
            }
        }
        // Everything may be folded, or nothing was ever published.
        let folded = self.meta("folded")?.map(parsed).transpose()?;
        Ok(folded.unwrap_or_else(|| Position::genesis(epoch)))
    }

    /// Returns what there is to seal, to fold and to forget.
    pub(crate) fn stock(&self, log: &Log) -> worker::Result<StorageStats> {
        let moment = |row: Option<JsValue>| -> worker::Result<Option<UnixMillis>> {
            let value = row.map(|row| field(&row, "value")).transpose()?;
            Ok(value.filter(|value| !value.is_null()).map(|value| UnixMillis(whole(&value))))
        };
        let folded = self.first(
            "SELECT at AS value FROM hashes WHERE last <= ? ORDER BY last LIMIT 1",
            vec![number(log.folded().version)],
        )?;
        let key = self.first("SELECT min(at) AS value FROM keys", vec![])?;
        Ok(StorageStats {
            active_bytes: self.active_bytes.get(),
            sealed_bytes: self.sealed_bytes.get(),
            oldest_folded: moment(folded)?,
            oldest_key: moment(key)?,
        })
    }

    /// Returns how many bytes of rows are in no segment.
    pub(crate) fn active_bytes(&self) -> u64 {
        self.active_bytes.get()
    }

    /// Returns the size of the database in bytes, without what is free. (The crate's own ends at 4 GiB.)
    pub(crate) fn size(&self) -> worker::Result<u64> {
        Ok(whole(&field(&field(&self.storage, "sql")?, "databaseSize")?))
    }

    /// Returns the log's hash at a version; none where it is not known, or not any more.
    pub(crate) fn hash_at(&self, log: &Log, at: Version) -> worker::Result<Option<Hash>> {
        if at == log.folded().version {
            return Ok(Some(log.folded().hash));
        }
        if at == log.head().version {
            return Ok(Some(log.head().hash));
        }
        if at == Version::ZERO {
            // The beginning can be resumed from as long as nothing after it is forgotten.
            let oldest = self.first("SELECT first FROM hashes ORDER BY last LIMIT 1", vec![])?;
            let first = oldest.map(|row| field(&row, "first")).transpose()?;
            return Ok(first.filter(|first| whole(first) == 1).map(|_| Hash::genesis(&log.head().epoch)));
        }
        let hot = self.text("SELECT hash AS value FROM log WHERE version = ?", vec![number(at)])?;
        hot.map_or_else(|| self.hash_in_block(at), |hash| parsed(hash).map(Some))
    }

    /// Empties the log, which goes on from `head`. Keys are remembered: what a publish did, it did once.
    pub(crate) fn begin_epoch(&self, head: &Position) -> worker::Result<()> {
        for statement in [
            "DELETE FROM log",
            "DELETE FROM segments",
            "DELETE FROM hashes",
            "DELETE FROM folded",
            "DELETE FROM meta WHERE name IN ('folded', 'asked')",
        ] {
            self.sql.exec(statement, None)?;
        }
        self.active_bytes.set(0);
        self.sealed_bytes.set(0);
        self.set_meta("epoch", head.epoch.as_str())
    }

    /// Notes what every follower was asked last.
    pub(crate) fn note_asked(&self, asked: &Asked) -> worker::Result<()> {
        self.set_meta("asked", &serde_json::to_string(asked)?)
    }

    /// Sets the object's alarm.
    pub(crate) fn set_alarm(&self, at: UnixMillis) -> worker::Result<()> {
        // Far below 2^53.
        self.storage.set_alarm(at.0 as f64)?;
        Ok(())
    }

    /// Seals the oldest rows into a segment of about this size.
    pub(crate) fn seal_oldest(&self, size: u64) -> worker::Result<()> {
        let mut bytes = 0;
        self.transaction(|| {
            bytes = self.seal(size)?;
            Ok(())
        })?;
        self.active_bytes.set(self.active_bytes.get().saturating_sub(bytes));
        self.sealed_bytes.set(self.sealed_bytes.get() + bytes);
        Ok(())
    }

    /// Folds the oldest segment; returns the position that everything is folded up to.
    pub(crate) fn fold_oldest(&self, head: &Position) -> worker::Result<Option<Position>> {
        let mut folded = None;
        self.transaction(|| {
            folded = self.fold(head)?;
            Ok(())
        })?;
        Ok(folded.map(|(to, bytes)| {
            self.sealed_bytes.set(self.sealed_bytes.get().saturating_sub(bytes));
            to
        }))
    }

    /// Returns the versions after `after`: a frame's worth, and at most `limit`. `None` when there are none.
    ///
    /// A segment is a page as it is; of other rows one statement makes it: no row crosses into wasm.
    pub(crate) fn page(
        &self,
        head: &Position,
        after: Version,
        limit: u32,
    ) -> worker::Result<Option<PageRows>> {
        if let Some(page) = self.segment_page(head, after, limit)? {
            return Ok(Some(page));
        }
        let row = self.first(
            "WITH page AS ( \
               SELECT version, hash, text, sum(length(text) + 1) OVER (ORDER BY version) AS bytes \
               FROM (SELECT * FROM log WHERE version > ?1 ORDER BY version LIMIT ?2)), \
             kept AS ( \
               SELECT * FROM page \
               WHERE version = ?1 + 1 OR (bytes - length(text) <= ?3 AND bytes <= ?4)) \
             SELECT max(version) AS version, hash, count(*) AS n, group_concat(text, ',' ORDER BY version) AS rows \
             FROM kept",
            vec![
                number(after),
                f64::from(limit).into(),
                f64::from(u32::try_from(FRAME_BYTES).unwrap_or(u32::MAX)).into(),
                f64::from(PAGE_BYTES).into(),
            ],
        )?;
        let Some(row) = row else { return Ok(None) };
        let last = field(&row, "version")?;
        if last.is_null() {
            return Ok(None);
        }
        let to = version(&last)?;
        if after.number() + whole(&field(&row, "n")?) != to.number() {
            return Err(format!("versions are missing after {after}").into());
        }
        let hash = parsed(string(&row, "hash")?)?;
        let to = Position { epoch: head.epoch, version: to, hash };
        Ok(Some(PageRows { to, rows: field(&row, "rows")?.unchecked_into() }))
    }

    /// Runs `writes` as one transaction: all of them are written or none.
    pub(crate) fn transaction(&self, writes: impl FnMut() -> worker::Result<()>) -> worker::Result<()> {
        // A panic in `writes` undoes the transaction and leaves the object in doubt, which its next step heals.
        let mut writes = AssertUnwindSafe(writes);
        self.storage.transaction(&mut move || {
            let writes = &mut writes;
            (writes.0)().map(|()| JsValue::UNDEFINED).map_err(JsValue::from)
        })?;
        Ok(())
    }

    /// EntryTags out a write.
    pub(crate) fn write(&self, write: &Write) -> worker::Result<()> {
        match write {
            Write::Append(row) => self.append(row),
            Write::Remember { publisher, key, remembered } => self.remember(publisher, key, remembered),
            Write::BeginEpoch(head) => self.begin_epoch(head),
            Write::NoteAsked(asked) => self.note_asked(asked),
        }
    }

    /// Writes a row.
    pub(crate) fn append(&self, row: &Row) -> worker::Result<()> {
        let Position { version, hash, .. } = row.position;
        self.sql.exec(
            "INSERT INTO log (version, hash, text) VALUES (?, ?, ?)",
            vec![number(version), hash.to_string().into(), row.text.as_str().into()],
        )?;
        self.active_bytes.set(self.active_bytes.get() + row.text.len() as u64 + 1);
        Ok(())
    }

    /// Remembers what a key was used for and answered: in 130 bytes, so that a day of them has room.
    pub(crate) fn remember(&self, publisher: &str, key: &str, remembered: &Remembered) -> worker::Result<()> {
        let Remembered { fingerprint, position: Position { epoch, version, hash }, at, changes } = remembered;
        self.sql.exec(
            "INSERT OR REPLACE INTO keys (digest, fingerprint, at, epoch, version, hash, changes) \
             VALUES (unhex(?), unhex(?), ?, ?, ?, unhex(?), ?)",
            vec![
                digest_of_key(publisher, key).into(),
                fingerprint.as_str().into(),
                integer(at.0),
                epoch.as_str().into(),
                number(*version),
                hash.to_string().into(),
                integer(*changes as u64),
            ],
        )?;
        Ok(())
    }

    /// Forgets keys that were used before `before`.
    pub(crate) fn forget_keys(&self, before: UnixMillis) -> worker::Result<()> {
        self.sql.exec(
            "DELETE FROM keys WHERE digest IN (SELECT digest FROM keys WHERE at <= ? ORDER BY at LIMIT ?)",
            vec![integer(before.0), f64::from(FORGET_AT_ONCE).into()],
        )?;
        Ok(())
    }

    /// Returns what is remembered of a key.
    pub(crate) fn remembered(
        &self,
        publisher: &str,
        key: &str,
        now: UnixMillis,
    ) -> worker::Result<Option<Remembered>> {
        let row = self.first(
            "SELECT lower(hex(fingerprint)) AS fingerprint, at, changes, \
               epoch || ':' || version || ':' || lower(hex(hash)) AS position \
             FROM keys WHERE digest = unhex(?) AND at >= ?",
            vec![digest_of_key(publisher, key).into(), integer(now.minus(REMEMBER_FOR).0)],
        )?;
        row.map(|row| {
            Ok(Remembered {
                fingerprint: string(&row, "fingerprint")?,
                position: parsed(string(&row, "position")?)?,
                at: UnixMillis(whole(&field(&row, "at")?)),
                // At most 1,000.
                changes: usize::try_from(whole(&field(&row, "changes")?)).unwrap_or_default(),
            })
        })
        .transpose()
    }

    /// Notes that a replica connected, and forgets those that have not for a month.
    pub(crate) fn saw_replica(&self, name: &str, now: UnixMillis) -> worker::Result<()> {
        self.sql.exec(
            "INSERT OR REPLACE INTO replicas (name, seen) VALUES (?, ?)",
            vec![name.into(), integer(now.0)],
        )?;
        let oldest = integer(now.0.saturating_sub(KNOWN_MS));
        self.sql.exec("DELETE FROM replicas WHERE seen < ?", vec![oldest])?;
        Ok(())
    }

    /// Returns the names of the replicas that connected in the last month.
    pub(crate) fn known_replicas(&self) -> worker::Result<Vec<String>> {
        let rows = self.sql.exec("SELECT name FROM replicas ORDER BY name", None)?;
        rows.map(|row| string(&row?, "name")).collect()
    }

    fn meta(&self, name: &str) -> worker::Result<Option<String>> {
        self.text("SELECT value FROM meta WHERE name = ?", vec![name.into()])
    }

    fn set_meta(&self, name: &str, value: &str) -> worker::Result<()> {
        self.sql.exec("INSERT OR REPLACE INTO meta VALUES (?, ?)", vec![name.into(), value.into()])?;
        Ok(())
    }

    fn first(&self, query: &str, bindings: Vec<SqlStorageValue>) -> worker::Result<Option<JsValue>> {
        let mut cursor = self.sql.exec(query, bindings)?;
        Iterator::next(&mut cursor).transpose()
    }

    /// Returns the column `value` of the first row.
    fn text(&self, query: &str, bindings: Vec<SqlStorageValue>) -> worker::Result<Option<String>> {
        self.first(query, bindings)?.map(|row| string(&row, "value")).transpose()
    }
}

fn field(row: &JsValue, name: &str) -> worker::Result<JsValue> {
    Ok(Reflect::get(row, &name.into())?)
}

fn string(row: &JsValue, name: &str) -> worker::Result<String> {
    field(row, name)?.as_string().ok_or_else(|| format!("column {name} is not a text").into())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: String) -> worker::Result<T> {
    text.parse().map_err(|why: T::Err| format!("a stored {text:?}: {why}").into())
}

/// Binds a version. Below 2^53 a double holds it exactly.
fn number(version: Version) -> SqlStorageValue {
    integer(version.number())
}

fn integer(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Returns a whole number; 0 for what is none.
fn whole(value: &JsValue) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a double saturates"
    )]
    value.as_f64().map_or(0, |number| number as u64)
}

fn version(value: &JsValue) -> worker::Result<Version> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    let version = number.and_then(|number| format!("{number}").parse().ok());
    version.ok_or_else(|| "a stored version is not a whole number".into())
}
