//! One dump that was found: read, and compared with the one before it. Knows no broker and decides nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indicatif::{HumanCount, ProgressBar};
use newsreel_mapping::Row;
use tokio::sync::oneshot;

use super::options::DumpOptions;
use super::place::{Found, Stamp};
use super::{DumpError, DumpRow, Format, read};
use crate::exit::Failure;
use crate::input::{open_with_bar, with_bar};
use crate::source::snapshot::{Comparison, Initial, SnapshotError, Snapshots};

/// After how many rows the bar is told of them.
const TELL_EVERY: u64 = 4_096;

/// Why a dump was not compared. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(Failure),
    /// The dump is cut off, malformed or has a row that cannot be taken.
    #[error("{file}: {why}")]
    Dump {
        /// The file.
        file: String,
        /// The reason, with its line.
        why: DumpError<RowError>,
    },
    /// The state failed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file was written while it was read.
    #[error("{0}: the file was written while it was read")]
    Written(String),
    /// The reading came to no end.
    #[error("{0}: the reading was broken off")]
    BrokenOff(String),
}

impl TakeError {
    /// Says whether the state failed, and not the dump.
    pub(crate) fn is_of_state(&self) -> bool {
        match self {
            Self::Snapshot(error) | Self::Dump { why: DumpError::Taker(RowError::Snapshot(error)), .. } => {
                !matches!(error, SnapshotError::Twice { .. })
            }
            Self::BrokenOff(_) => true,
            Self::Open(_) | Self::Dump { .. } | Self::Written(_) => false,
        }
    }
}

/// Why a row was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// The row does not say what it is of.
    #[error("line {line}: the row has no text {field:?}, which names what it is of")]
    Nameless {
        /// The line of the row.
        line: u64,
        /// The field.
        field: String,
    },
    /// Another row has the same key, or the state failed.
    #[error(transparent)]
    Snapshot(SnapshotError),
}

/// How a dump is read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The field of each row that names what it is of, if there is one.
    from_field: Option<String>,
    format: Format,
    initial: Initial,
    /// How many differences of each kind are named.
    samples: usize,
}

impl Reading {
    /// Reads dumps as the flags say, and names so many differences of each kind.
    pub(crate) fn of(options: &DumpOptions, samples: usize) -> Self {
        let DumpOptions { from_field, format, initial, .. } = options.clone();
        Self { from_field, format, initial, samples }
    }
}

/// Reads and compares a dump in a thread of its own. A process that ends meanwhile leaves the state as it is.
///
/// # Errors
/// [`TakeError`] says whether the dump, the file or the state is wrong.
pub(crate) async fn compared(
    mut snapshots: Snapshots,
    found: &Found,
    reading: &Reading,
) -> (Option<Snapshots>, Result<Comparison, TakeError>) {
    let (done, result) = oneshot::channel();
    let (found, reading) = (found.clone(), reading.clone());
    let name = found.label.clone();
    std::thread::spawn(move || {
        let compared = compare(&mut snapshots, &found, &reading);
        // Nobody waits any more when the command ends.
        let _ = done.send((snapshots, compared));
    });
    match result.await {
        Ok((snapshots, compared)) => (Some(snapshots), compared),
        Err(_) => (None, Err(TakeError::BrokenOff(name))),
    }
}

fn compare(snapshots: &mut Snapshots, found: &Found, reading: &Reading) -> Result<Comparison, TakeError> {
    if found.path == Path::new("-") {
        let (from, bar) = open_with_bar(&found.path).map_err(TakeError::Open)?;
        return staged(snapshots, from, found, reading, &bar);
    }
    let wrong = |why: io::Error| TakeError::Open(Failure::Input(format!("{}: {why}", found.label)));
    let file = File::open(&found.path).map_err(wrong)?;
    // Another file that is put in its place meanwhile is the next dump.
    let is_as_found = || Stamp::of_open(&file).map(|stamp| stamp == found.stamp).map_err(wrong);
    if !is_as_found()? {
        return Err(TakeError::Written(found.label.clone()));
    }
    let (from, bar) = with_bar(&file, found.stamp.bytes());
    let compared = staged(snapshots, from, found, reading, &bar);
    bar.finish_and_clear();
    if is_as_found()? { compared } else { Err(TakeError::Written(found.label.clone())) }
}

fn staged(
    snapshots: &mut Snapshots,
    from: impl Read,
    found: &Found,
    reading: &Reading,
    bar: &ProgressBar,
) -> Result<Comparison, TakeError> {
    let mut staging = snapshots.stage(&found.names)?;
    let only = found.names.first().cloned().unwrap_or_default();
    let taken = read(from, reading.format, &mut |DumpRow { row, text, line }| {
        let name = match &reading.from_field {
            Some(field) => name_of(&row, field, line)?,
            None => only.clone(),
        };
        staging.add(&name, row, text, line).map_err(RowError::Snapshot)?;
        if staging.rows() % TELL_EVERY == 0 {
            bar.set_message(format!("{} rows", HumanCount(staging.rows())));
        }
        Ok(())
    });
    taken.map_err(|why| TakeError::Dump { file: found.label.clone(), why })?;
    bar.set_message("comparing");
    Ok(staging.compare(reading.initial, reading.samples)?)
}

/// Returns the name that a row says it is of.
fn name_of(row: &Row, field: &str, line: u64) -> Result<String, RowError> {
    let name = row.get(field).and_then(serde_json::Value::as_str);
    name.map(str::to_owned).ok_or_else(|| RowError::Nameless { line, field: field.to_owned() })
}

/// Returns the stamp of a dump that comes once.
///
/// # Errors
/// If the folder of this process is gone.
pub(crate) fn stdin(names: Vec<String>) -> io::Result<Found> {
    Ok(Found { path: "-".into(), label: "stdin".to_owned(), stamp: Stamp::of(Path::new("."))?, names })
}
