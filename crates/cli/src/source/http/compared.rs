//! A whole file, read and compared with the one before.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use newsreel_mapping::feed::BodyFormat;
use newsreel_mapping::{Feed, Row};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::page::{self, BodyError};
use super::xml::{XmlError, XmlRows};
use crate::source::dump::{self, DumpError, DumpRow, Format};
use crate::source::snapshot::{Comparison, GuardError, Initial, SnapshotError, Snapshots};

/// Why a file was not taken. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WholeError {
    /// The file is cut off or malformed.
    #[error("the file is cut off or malformed: {0}")]
    Dump(#[from] DumpError<SnapshotError>),
    /// The file is no XML, or is cut off.
    #[error("the file is {0}")]
    Xml(#[from] XmlError),
    /// The file is no JSON with rows at the place that the feed names.
    #[error("the file: {0}")]
    Body(#[from] BodyError),
    /// The file cannot be read.
    #[error("the file: {0}")]
    Read(#[from] std::io::Error),
    /// Too many rows are gone.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The state failed, or two rows have one key.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The thread that compared has ended early.
    #[error("the comparison broke off")]
    BrokenOff,
}

/// Compares a file in a thread of its own. A process that ends meanwhile leaves the state as it is.
pub(super) async fn compared(
    mut snapshots: Snapshots,
    feed: Feed,
    path: PathBuf,
) -> Result<(Snapshots, Result<Comparison, WholeError>), WholeError> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        let compared = compare(&mut snapshots, &feed, &path);
        if compared.is_err() {
            snapshots.refuse();
        }
        // Nobody waits any more when the command ends.
        let _ = done.send((snapshots, compared));
    });
    result.await.map_err(|_| WholeError::BrokenOff)
}

fn compare(snapshots: &mut Snapshots, feed: &Feed, path: &Path) -> Result<Comparison, WholeError> {
    let mut staging = snapshots.stage(std::slice::from_ref(&feed.name))?;
    let file = File::open(path)?;
    let mut add = |row: Value, line: u64| {
        let row = match row {
            Value::Object(row) => row,
            value
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Row::from_iter([("value".to_owned(), value)])
            }
        };
        staging.add(&feed.name, row, None, line)
    };
    match feed.format {
        BodyFormat::Xml => {
            let decoded = BufReader::new(dump::decoded(BufReader::new(file))?);
            let mut rows = XmlRows::new(decoded, feed.items.segments());
            while let Some((line, row)) = rows.next_row()? {
                add(row, line as u64)?;
            }
        }
        BodyFormat::Json if !feed.items.segments().is_empty() => {
            let mut body = Vec::new();
            dump::decoded(BufReader::new(file))?.read_to_end(&mut body)?;
            for (number, row) in page::read(feed, None, None, &body)?.items.into_iter().enumerate() {
                add(row, number as u64 + 1)?;
            }
        }
        BodyFormat::Json => rows(file, Format::Json, &mut add)?,
        BodyFormat::Ndjson => rows(file, Format::Ndjson, &mut add)?,
        BodyFormat::Csv => rows(file, Format::Csv, &mut add)?,
    }
    Ok(staging.compare(Initial::Wide, 0)?)
}

fn rows(
    file: File,
    format: Format,
    add: &mut dyn FnMut(Value, u64) -> Result<(), SnapshotError>,
) -> Result<(), WholeError> {
    dump::read(file, format, &mut |DumpRow { row, line, .. }| add(json!(row), line))?;
    Ok(())
}
