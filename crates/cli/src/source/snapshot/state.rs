//! The state of the dumps of a mapping: a database that one process at a time uses.

use std::fs::File;
use std::path::{Path, PathBuf};

use newsreel_core::wire::Problem;
use newsreel_mapping::{Mapping, Skips};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::form::{Form, Keep};
use crate::schema::{MigrateError, migrate};

/// Each makes the next schema of the one before it. A released migration is never changed: `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &["
    -- What is known of the rows of one `from`. `wide` covers all that its rules ever named.
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, form TEXT NOT NULL, wide TEXT NOT NULL,
        rows INTEGER NOT NULL);
    CREATE TABLE rows (
        source INTEGER NOT NULL, key TEXT NOT NULL, hash BLOB NOT NULL, kept TEXT NOT NULL,
        PRIMARY KEY (source, key)) WITHOUT ROWID;
    -- The values that an origin serves.
    CREATE TABLE entries (
        key TEXT PRIMARY KEY, source INTEGER NOT NULL, row TEXT NOT NULL, tags TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, snapshot INTEGER NOT NULL, part INTEGER NOT NULL,
        at INTEGER NOT NULL, targets INTEGER NOT NULL, line TEXT NOT NULL);"];

/// Settings of a connection: 32 MiB of pages in memory, and the staging table in a file that a crash may spoil.
const PAGES: &str =
    "PRAGMA cache_size = -32768; PRAGMA temp_store = FILE; PRAGMA main.wal_autocheckpoint = 4000";

/// Why a dump was not taken, or a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// The file is no database, or its disk failed.
    #[error("{path}: the state failed: {why}")]
    Database {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        why: rusqlite::Error,
    },
    /// A newer build has written the state.
    #[error("{path}: {}", .problem.detail())]
    Newer {
        /// The file.
        path: String,
        /// The reason.
        problem: Problem,
    },
    /// Another process uses the state.
    #[error("{0}: another process uses this state: give each source a --state of its own")]
    InUse(String),
    /// The lock beside the state cannot be made.
    #[error("{path}: {why}")]
    Lock {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        why: std::io::Error,
    },
    /// Two rows of the dump have one key.
    #[error(
        "line {line}: {key} is there twice, first in line {first}: a row has a key of its own; rows that share a target \
         name it with also = [ … ]"
    )]
    Twice {
        /// The key.
        key: String,
        /// The line of the first row.
        first: u64,
        /// The line of the other.
        line: u64,
    },
}

/// The state of the dumps of one mapping.
pub(crate) struct Snapshots {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pub(super) forms: Vec<Form>,
    pub(super) wide_above: usize,
    pub(super) keep: Keep,
    pub(super) skips: Skips,
    /// Held for as long as the state is used.
    _lock: File,
}

/// A dump that was accepted last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Last {
    /// The number of the snapshot, from 1.
    pub(crate) snapshot: u64,
    /// When it was accepted, in Unix milliseconds.
    pub(crate) at: i64,
    /// What it was read from.
    pub(crate) dump: String,
    /// 16 hex digits of its content.
    pub(crate) digest: String,
}

impl Snapshots {
    /// Opens the state of a mapping's dumps, making it where there is none.
    ///
    /// # Errors
    /// [`SnapshotError`] says whether the file, another process or a newer build is in the way.
    pub(crate) fn open(path: &Path, mapping: &Mapping, keep: Keep) -> Result<Self, SnapshotError> {
        let lock = locked(path)?;
        let wrong = |why| SnapshotError::Database { path: path.display().to_string(), why };
        let mut db = Connection::open(path).map_err(wrong)?;
        migrate(&mut db, MIGRATIONS).map_err(|error| match error {
            MigrateError::Database(why) => wrong(why),
            MigrateError::Newer(problem) => {
                SnapshotError::Newer { path: path.display().to_string(), problem }
            }
        })?;
        db.execute_batch(PAGES).map_err(wrong)?;
        let mut opened = Self {
            db,
            path: path.to_owned(),
            forms: Form::all(mapping),
            wide_above: mapping.wide_above,
            keep,
            skips: Skips::default(),
            _lock: lock,
        };
        opened.identify().map_err(|why| opened.failed(why))?;
        Ok(opened)
    }

    /// Returns what templates named nothing, counted.
    pub(crate) fn skips(&mut self) -> &mut Skips {
        &mut self.skips
    }

    /// Returns what was accepted last.
    pub(crate) fn last(&self) -> Result<Option<Last>, SnapshotError> {
        last(&self.db).map_err(|why| self.failed(why))
    }

    /// Gives the state an identity that the idempotency keys of its publishes carry.
    fn identify(&mut self) -> rusqlite::Result<()> {
        let sql = "INSERT OR IGNORE INTO meta VALUES ('state', lower(hex(randomblob(8))))";
        self.db.execute(sql, []).map(drop)
    }

    pub(super) fn failed(&self, why: rusqlite::Error) -> SnapshotError {
        SnapshotError::Database { path: self.path.display().to_string(), why }
    }
}

/// Returns what was accepted last, as a state says.
pub(crate) fn last(db: &Connection) -> rusqlite::Result<Option<Last>> {
    let sql = "SELECT value FROM meta WHERE name = 'last'";
    let text: Option<String> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    let read = |text: String| {
        let parts: Vec<&str> = text.splitn(4, ' ').collect();
        let [snapshot, at, digest, dump] = parts.as_slice() else { return None };
        let (snapshot, at) = (snapshot.parse().ok()?, at.parse().ok()?);
        Some(Last { snapshot, at, dump: (*dump).to_owned(), digest: (*digest).to_owned() })
    };
    Ok(text.and_then(read))
}

/// Writes what was accepted last.
pub(super) fn set_last(db: &Connection, last: &Last) -> rusqlite::Result<()> {
    let Last { snapshot, at, dump, digest } = last;
    let text = format!("{snapshot} {at} {digest} {dump}");
    db.execute("INSERT OR REPLACE INTO meta VALUES ('last', ?)", params![text]).map(drop)
}

/// Returns the lock of a state, which a process that ends lets go.
fn locked(path: &Path) -> Result<File, SnapshotError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let wrong = |why| SnapshotError::Lock { path: path.display().to_string(), why };
    let file = File::options().create(true).truncate(false).write(true).open(&beside).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SnapshotError::InUse(path.display().to_string())),
        Err(std::fs::TryLockError::Error(why)) => Err(wrong(why)),
    }
}
