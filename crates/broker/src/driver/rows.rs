//! The log in the object's SQLite: the rows that a publish writes and a replay reads. Decides nothing.
//!
//! `log` has the rows that are in no segment yet, `past` the segments, the fold and the hashes, `keys` the idempotency
//! keys and the replicas, `dead` the letters of hooks. Every statement is a file of `rows/sql`.

use std::cell::Cell;
use std::fmt::Display;
use std::str::FromStr;

use newsreel_core::follow::hub::{AckRequest, HubWrite, Persisted};
use newsreel_core::log::maintenance::StorageStats;
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::{Epoch, Hash, Position, UnixMillis, Version};
use newsreel_sqlite_rows::{Database, SeriesTables};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use worker::{Result, SqlStorageValue, State};

use crate::js::{self, Storage};

mod dead;
mod keys;
mod log;
mod past;
#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

pub(crate) use log::PAGE_ROWS;
pub(crate) use newsreel_sqlite_rows::OpenError;

/// SQLite here makes no string above 2 MB, so a page that a large row would make longer ends before it.
const PAGE_BYTES: u32 = 1_950_000;

/// Each migration makes the next schema of the one before it, the first of nothing. A released migration
/// is never changed: `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &[include_str!("rows/sql/schema_1.sql")];

/// The names of the table `meta`.
const EPOCH: &str = "epoch";
const FOLDED: &str = "folded";
const ASKED: &str = "asked";

/// The rows of one catalog.
pub(crate) struct Rows {
    database: Database,
    storage: Storage,
    /// Bytes of rows in no segment, and of segments: counted once, then kept up.
    active_bytes: Cell<u64>,
    sealed_bytes: Cell<u64>,
    /// Bytes of rows that were appended since they were last asked for.
    appended_bytes: Cell<u64>,
    /// When the last row was appended.
    appended_at: Cell<Option<UnixMillis>>,
}

/// The end of the log, as far as one table has it.
#[derive(Deserialize)]
struct HeadRow {
    version: Version,
    hash: Hash,
}

/// A moment, which is NULL where an aggregate found none.
#[derive(Deserialize)]
struct MomentRow {
    at: Option<UnixMillis>,
}

#[derive(Deserialize)]
struct BytesRow {
    active: u64,
    sealed: u64,
}

impl Rows {
    /// Opens the rows, bringing them to the schema of this build and making a first epoch where there is none.
    pub(crate) fn open(state: &State) -> std::result::Result<Self, OpenError> {
        Self::open_as(state, MIGRATIONS)
    }

    fn open_as(state: &State, migrations: &[&str]) -> std::result::Result<Self, OpenError> {
        let rows = Self {
            database: Database::open(state, migrations)?,
            storage: AsRef::<JsValue>::as_ref(state.storage().as_raw()).clone().unchecked_into(),
            active_bytes: Cell::new(0),
            sealed_bytes: Cell::new(0),
            appended_bytes: Cell::new(0),
            appended_at: Cell::new(None),
        };
        rows.series().create()?;
        let epoch = Epoch::new(newsreel_gate::now(), js::random());
        rows.database.run(include_str!("rows/sql/first_epoch.sql"), vec![epoch.as_str().into()])?;
        rows.count()?;
        Ok(rows)
    }

    /// Counts the bytes anew: on opening, and after a transaction that was undone.
    pub(crate) fn count(&self) -> Result<()> {
        let row: Option<BytesRow> = self.database.first(include_str!("rows/sql/count_bytes.sql"), vec![])?;
        let BytesRow { active, sealed } = row.ok_or("an aggregate has one row")?;
        self.active_bytes.set(active);
        self.sealed_bytes.set(sealed);
        Ok(())
    }

    /// Returns the part of a hub that the rows keep.
    pub(crate) fn persisted(&self) -> Result<Persisted> {
        let epoch: Epoch = parsed(self.database.meta(EPOCH)?.ok_or("the rows have no epoch")?)?;
        let folded = self.folded()?.unwrap_or_else(|| Position::genesis(epoch));
        let log = Log::new(self.head(epoch)?.unwrap_or(folded), folded);
        let ack_requested: Option<AckRequest> =
            self.database.meta(ASKED)?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(Persisted { log, last_ack_request: ack_requested })
    }

    fn folded(&self) -> Result<Option<Position>> {
        self.database.meta(FOLDED)?.map(parsed).transpose()
    }

    /// Returns the newest version that is kept in full; none when everything is compacted, or nothing was published.
    fn head(&self, epoch: Epoch) -> Result<Option<Position>> {
        let hot: Option<HeadRow> = self.database.first(include_str!("rows/sql/active_head.sql"), vec![])?;
        let row = match hot {
            Some(row) => Some(row),
            None => self.database.first(include_str!("rows/sql/sealed_head.sql"), vec![])?,
        };
        Ok(row.map(|HeadRow { version, hash }| Position { epoch, version, hash }))
    }

    /// Returns the amounts by which maintenance decides what to seal, to compact and to forget.
    pub(crate) fn stock(&self, log: &Log) -> Result<StorageStats> {
        let moment = |query: &str, bindings: Vec<SqlStorageValue>| -> Result<Option<UnixMillis>> {
            let row: Option<MomentRow> = self.database.first(query, bindings)?;
            Ok(row.and_then(|row| row.at))
        };
        let folded = vec![number(log.folded().version)];
        Ok(StorageStats {
            active_bytes: self.active_bytes.get(),
            sealed_bytes: self.sealed_bytes.get(),
            appended_at: self.appended_at.get(),
            oldest_folded: moment(include_str!("rows/sql/oldest_folded.sql"), folded)?,
            oldest_key: moment(include_str!("rows/sql/oldest_key.sql"), vec![])?,
        })
    }

    /// Returns how many bytes of rows are in no segment.
    pub(crate) fn active_bytes(&self) -> u64 {
        self.active_bytes.get()
    }

    /// Returns how many bytes of rows were appended since the last call.
    pub(crate) fn take_appended_bytes(&self) -> u64 {
        self.appended_bytes.take()
    }

    /// Returns the log's numbers over time.
    pub(crate) const fn series(&self) -> SeriesTables<'_> {
        SeriesTables::of(&self.database)
    }

    /// Returns the size of the database in bytes, without free pages.
    pub(crate) fn size(&self) -> u64 {
        self.database.bytes()
    }

    /// Carries out writes in one transaction: all of them are written or none.
    pub(crate) fn write(&self, writes: &[HubWrite]) -> Result<()> {
        // One statement is done or not done as it is, and most commits of one publish are one.
        if let [HubWrite::Append(row)] = writes {
            return self.append(&[row]);
        }
        // Rows are appended together, but none before an epoch that begins ahead of them: that empties the log.
        let mut epochs = writes.split_inclusive(|write| matches!(write, HubWrite::BeginEpoch(_)));
        self.database.transaction(|| {
            epochs.try_for_each(|writes| {
                self.append(&writes.iter().filter_map(appended).collect::<Vec<_>>())?;
                writes.iter().try_for_each(|write| self.write_one(write))
            })
        })
    }

    fn write_one(&self, write: &HubWrite) -> Result<()> {
        match write {
            // Appended with the others already.
            HubWrite::Append(_) => Ok(()),
            HubWrite::Remember { publisher, key, remembered } => self.remember(publisher, key, remembered),
            HubWrite::BeginEpoch(head) => self.begin_epoch(head),
            HubWrite::NoteAckRequest(ack_requested) => {
                self.database.set_meta(ASKED, &serde_json::to_string(ack_requested)?)
            }
            HubWrite::SawReplica { name, at } => self.saw_replica(name, *at),
        }
    }

    /// Empties the log, which goes on from `head`. The idempotency keys stay, so that a publish sent again
    /// is not done twice.
    fn begin_epoch(&self, head: &Position) -> Result<()> {
        self.database.run_all(include_str!("rows/sql/begin_epoch.sql"))?;
        self.active_bytes.set(0);
        self.sealed_bytes.set(0);
        self.database.set_meta(EPOCH, head.epoch.as_str())
    }

    /// Sets the object's alarm.
    pub(crate) fn set_alarm(&self, at: UnixMillis) -> Result<()> {
        // A moment is far below 2^53, so a double holds it exactly.
        self.storage.set_alarm(at.0 as f64)?;
        Ok(())
    }
}

fn appended(write: &HubWrite) -> Option<&Row> {
    if let HubWrite::Append(row) = write { Some(row) } else { None }
}

fn parsed<T: FromStr<Err: Display>>(text: String) -> Result<T> {
    text.parse().map_err(|why: T::Err| format!("a stored {text:?}: {why}").into())
}

/// Binds a version. Below 2^53 a double holds it exactly.
fn number(version: Version) -> SqlStorageValue {
    newsreel_sqlite_rows::integer(version.number())
}
