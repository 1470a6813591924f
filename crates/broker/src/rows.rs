//! The log in the object's SQLite: what a publish writes, what a replay reads. Decides nothing.

use std::panic::AssertUnwindSafe;

use js_sys::{JsString, Reflect};
use newsreel_core::hub::Remembered;
use newsreel_core::log::Row;
use newsreel_core::wire::frame::FRAME_BYTES;
use newsreel_core::wire::{Hash, Position, UnixMillis, Version};
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

use crate::convert::{self, Transactions};

/// How long an idempotency key is remembered: 24 h.
const REMEMBERED_MS: u64 = 24 * 3_600 * 1_000;
/// How long a replica that does not connect is still counted as offline: 30 days.
const KNOWN_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How many forgotten keys one commit clears away.
const FORGET_AT_ONCE: u32 = 100;
/// The most rows a page is picked from; a page of the smallest rows (about 70 bytes) has fewer.
pub(crate) const PAGE_ROWS: u32 = 4_000;
/// SQLite here makes no string above 2 MB, so a page that a large row would make longer ends before it.
const PAGE_BYTES: u32 = 1_950_000;

/// The rows of one catalog.
pub(crate) struct Rows {
    sql: SqlStorage,
    transactions: Transactions,
}

/// A run of versions, ready to be sent.
pub(crate) struct PageRows {
    /// The position after its last version.
    pub(crate) to: Position,
    /// JSON rows separated by commas; a JavaScript string, so that it is sent without crossing into wasm.
    pub(crate) rows: JsString,
}

impl Rows {
    /// Opens the rows, making the tables and a first epoch where there are none.
    pub(crate) fn open(state: &State) -> worker::Result<Self> {
        let storage = state.storage();
        let transactions = AsRef::<JsValue>::as_ref(storage.as_raw()).clone().unchecked_into();
        let rows = Self { sql: storage.sql(), transactions };
        rows.sql.exec(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS log (
               version INTEGER PRIMARY KEY, hash TEXT NOT NULL, text TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS idempotency (
               publisher TEXT, key TEXT, at INTEGER NOT NULL, fingerprint TEXT NOT NULL, receipt TEXT NOT NULL,
               PRIMARY KEY (publisher, key)) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS idempotency_at ON idempotency (at);
             CREATE TABLE IF NOT EXISTS replicas (name TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;",
            None,
        )?;
        let epoch = convert::new_epoch(None);
        rows.sql.exec(
            "INSERT OR IGNORE INTO meta VALUES ('schema', '1'), ('epoch', ?)",
            vec![epoch.as_str().into()],
        )?;
        Ok(rows)
    }

    /// Returns the newest position.
    pub(crate) fn head(&self) -> worker::Result<Position> {
        let epoch = self.text("SELECT value FROM meta WHERE name = 'epoch'", vec![])?;
        let epoch = parsed(epoch.ok_or("the rows have no epoch")?)?;
        let last = self.first("SELECT version, hash FROM log ORDER BY version DESC LIMIT 1", vec![])?;
        let Some(row) = last else { return Ok(Position::genesis(epoch)) };
        Ok(Position {
            epoch,
            version: version(&field(&row, "version")?)?,
            hash: parsed(string(&row, "hash")?)?,
        })
    }

    /// Returns the log's hash at a version; none where there is no such row.
    pub(crate) fn hash_at(&self, head: &Position, at: Version) -> worker::Result<Option<Hash>> {
        if at == Version::ZERO {
            return Ok(Some(Hash::genesis(&head.epoch)));
        }
        self.text("SELECT hash AS value FROM log WHERE version = ?", vec![number(at)])?
            .map(parsed)
            .transpose()
    }

    /// Returns the versions after `after`: a frame's worth, and at most `limit`. `None` when there are none.
    ///
    /// One statement makes the whole page, so no row crosses into wasm.
    pub(crate) fn page(
        &self,
        head: &Position,
        after: Version,
        limit: u32,
    ) -> worker::Result<Option<PageRows>> {
        let row = self.first(
            "WITH page AS (
               SELECT version, hash, text, sum(length(text) + 1) OVER (ORDER BY version) AS bytes
               FROM (SELECT * FROM log WHERE version > ?1 ORDER BY version LIMIT ?2)),
             kept AS (
               SELECT * FROM page
               WHERE version = ?1 + 1 OR (bytes - length(text) <= ?3 AND bytes <= ?4))
             SELECT max(version) AS version, hash, group_concat(text, ',' ORDER BY version) AS rows FROM kept",
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
        let hash = parsed(string(&row, "hash")?)?;
        let to = Position { epoch: head.epoch, version: version(&last)?, hash };
        Ok(Some(PageRows { to, rows: field(&row, "rows")?.unchecked_into() }))
    }

    /// Runs `writes` as one transaction: all of them are written or none.
    pub(crate) fn transaction(&self, writes: impl FnMut() -> worker::Result<()>) -> worker::Result<()> {
        // A panic in `writes` undoes the transaction and leaves the object in doubt, which its next step heals.
        let mut writes = AssertUnwindSafe(writes);
        self.transactions.run(&mut move || {
            let writes = &mut writes;
            (writes.0)().map(|()| JsValue::UNDEFINED).map_err(JsValue::from)
        })?;
        Ok(())
    }

    /// Writes a row.
    pub(crate) fn append(&self, row: &Row) -> worker::Result<()> {
        let Position { version, hash, .. } = row.position;
        self.sql.exec(
            "INSERT INTO log (version, hash, text) VALUES (?, ?, ?)",
            vec![number(version), hash.to_string().into(), row.text.as_str().into()],
        )?;
        Ok(())
    }

    /// Remembers what a key was answered, and clears away some that are old enough to forget.
    pub(crate) fn remember(
        &self,
        publisher: &str,
        key: &str,
        at: UnixMillis,
        remembered: &Remembered,
    ) -> worker::Result<()> {
        self.sql.exec(
            "INSERT OR REPLACE INTO idempotency (publisher, key, at, fingerprint, receipt) VALUES (?, ?, ?, ?, ?)",
            vec![
                publisher.into(),
                key.into(),
                millis(at.0),
                remembered.fingerprint.as_str().into(),
                remembered.receipt.as_str().into(),
            ],
        )?;
        self.sql.exec(
            "DELETE FROM idempotency WHERE (publisher, key) IN
               (SELECT publisher, key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?)",
            vec![millis(at.0.saturating_sub(REMEMBERED_MS)), f64::from(FORGET_AT_ONCE).into()],
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
            "SELECT fingerprint, receipt FROM idempotency WHERE publisher = ? AND key = ? AND at >= ?",
            vec![publisher.into(), key.into(), millis(now.0.saturating_sub(REMEMBERED_MS))],
        )?;
        row.map(|row| {
            Ok(Remembered { fingerprint: string(&row, "fingerprint")?, receipt: string(&row, "receipt")? })
        })
        .transpose()
    }

    /// Notes that a replica connected, and forgets those that have not for a month.
    pub(crate) fn saw_replica(&self, name: &str, now: UnixMillis) -> worker::Result<()> {
        self.sql.exec(
            "INSERT OR REPLACE INTO replicas (name, seen) VALUES (?, ?)",
            vec![name.into(), millis(now.0)],
        )?;
        let oldest = millis(now.0.saturating_sub(KNOWN_MS));
        self.sql.exec("DELETE FROM replicas WHERE seen < ?", vec![oldest])?;
        Ok(())
    }

    /// Returns the names of the replicas that connected in the last month.
    pub(crate) fn known_replicas(&self) -> worker::Result<Vec<String>> {
        let rows = self.sql.exec("SELECT name FROM replicas ORDER BY name", None)?;
        rows.map(|row| string(&row?, "name")).collect()
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
    millis(version.number())
}

fn millis(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn version(value: &JsValue) -> worker::Result<Version> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    let version = number.and_then(|number| format!("{number}").parse().ok());
    version.ok_or_else(|| "a stored version is not a whole number".into())
}
