//! The trace file: of each version the rows it came from, and when it was durable and applied.
//!
//! Lines of JSON in two files, of which the older goes when the newer is half of what may be kept. Nothing depends
//! on them but `newsreel trace`, so they are not synced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use newsreel_core::wire::Traceparent;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::outgoing::{Durable, Origin};
use super::rows::Rows;
use crate::source::watch::Applied;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// A version that became durable.
    Version(Version),
    /// The answer to whether a version is applied.
    Applied(Applied),
}

/// A version, and the part of a transaction that it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Version {
    /// The xid of the transaction; none for a wide change of the source's own.
    pub(crate) xid: Option<u64>,
    /// The LSN of the commit, where the source knows one.
    pub(crate) lsn: Option<String>,
    /// The end of the commit in the log, with the last version of a transaction.
    pub(crate) end: Option<String>,
    /// The commit, in Unix milliseconds by the database's clock, as all times that have no other.
    pub(crate) committed_at: i64,
    /// The number of the version within the transaction, from 0.
    pub(crate) part: usize,
    /// The version.
    pub(crate) version: u64,
    /// Its position.
    pub(crate) position: String,
    /// When the broker committed it, by the broker's clock.
    pub(crate) at: i64,
    /// When the answer of the broker arrived.
    pub(crate) durable_at: i64,
    /// The rows of the transaction, with its first version.
    pub(crate) rows: Option<TracedRows>,
    /// The publish as it was sent.
    pub(crate) publish: TracedPublish,
}

/// The rows of a transaction, as they are read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracedRows {
    /// How many rows of each table, by the kind of change.
    pub(crate) tables: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first of them.
    pub(crate) first: Vec<TracedRow>,
}

/// A row, as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracedRow {
    /// The table.
    pub(crate) table: String,
    /// The kind of change.
    pub(crate) change: String,
    /// The columns that name the row.
    pub(crate) columns: Value,
    /// The changes that it published.
    pub(crate) targets: Vec<Value>,
}

/// A publish, as it is read back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct TracedPublish {
    /// The changes.
    pub(crate) changes: Vec<Value>,
    /// The idempotency key.
    pub(crate) idempotency_key: String,
    /// The trace that the transaction is part of.
    pub(crate) traceparent: Option<Traceparent>,
}

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The size at which another file begins.
    half: u64,
}

impl Journal {
    /// Opens the file beside a state file, to be continued.
    pub(super) fn open(state: &Path, most_bytes: u64) -> io::Result<Self> {
        let path = path(state);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, half: most_bytes / 2 })
    }

    /// Writes versions that have become durable.
    pub(super) fn durable(&mut self, durable: &[Durable], now: i64) -> io::Result<()> {
        let lines: String = durable.iter().map(|durable| version_line(durable, now) + "\n").collect();
        self.write(&lines)
    }

    /// Writes an answer to whether a version is applied.
    pub(super) fn applied(&mut self, applied: &Applied) -> io::Result<()> {
        self.write(&(serde_json::json!(applied).to_string() + "\n"))
    }

    fn write(&mut self, lines: &str) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.half {
            std::fs::rename(&self.path, older(&self.path))?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.bytes = 0;
        }
        self.file.write_all(lines.as_bytes())?;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

fn version_line(Durable { of, text, receipt }: &Durable, now: i64) -> String {
    #[derive(Serialize)]
    struct Written<'a> {
        xid: Option<u64>,
        lsn: Option<String>,
        end: Option<String>,
        committed_at: i64,
        part: usize,
        version: newsreel_core::wire::Version,
        position: String,
        at: newsreel_core::wire::UnixMillis,
        durable_at: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<&'a Rows>,
        publish: Option<&'a RawValue>,
    }
    let Origin { xid, lsn, committed_at, part, rows, end } = of;
    let written = Written {
        xid: *xid,
        lsn: lsn.map(|lsn| lsn.to_string()),
        end: end.map(|end| end.to_string()),
        committed_at: *committed_at,
        part: *part,
        version: receipt.version,
        position: receipt.position.to_string(),
        at: receipt.at,
        durable_at: now,
        rows: (*part == 0).then_some(rows),
        publish: serde_json::from_str(text).ok(),
    };
    serde_json::to_string(&written).expect("texts and numbers are JSON")
}

/// Returns the trace file beside a state file.
pub(crate) fn path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".trace");
    name.into()
}

fn older(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Reads both files, the older first. A line that was cut off by a crash is left out.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Line>> {
    let earlier = match std::fs::read_to_string(older(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let text = std::fs::read_to_string(path)?;
    let lines = earlier.lines().chain(text.lines());
    Ok(lines.filter_map(|line| serde_json::from_str(line).ok()).collect())
}
