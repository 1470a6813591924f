//! Dumps: all rows of a catalogue in one file, read row by row, whatever form the file has.
//!
//! [`decode`] undoes gzip and zstd, which the first bytes tell. [`rows`] reads lines of JSON, a JSON array or CSV, which
//! the first character tells. A dump that is cut off or malformed is an error with its line. [`place`] finds dumps,
//! [`options`] are the flags about them, and [`take`] compares one with the one before it.

mod csv;
mod decode;
pub(crate) mod options;
pub(crate) mod place;
mod rows;
pub(crate) mod take;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read};

use newsreel_mapping::Row;

pub(crate) use decode::decoded;
pub(crate) use rows::Format;

/// The longest row.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Why a dump cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError<E> {
    /// The file cannot be read, or its compressed form is cut off or broken.
    #[error("after line {line}: {why}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// The reason.
        #[source]
        why: io::Error,
    },
    /// A row is malformed, or the dump is cut off.
    #[error("line {line}: {why}")]
    Malformed {
        /// The line that the row begins in, or the one that is wrong.
        line: u64,
        /// The reason, and what is expected.
        why: String,
    },
    /// The dump has nothing in it.
    #[error("the dump is empty")]
    Empty,
    /// The taker of the rows did not take one.
    #[error(transparent)]
    Taker(E),
}

/// A row of a dump.
#[derive(Debug)]
pub(crate) struct DumpRow<'a> {
    /// The row.
    pub(crate) row: Row,
    /// The text of the row, where it stands in the dump as JSON on a line of its own.
    pub(crate) text: Option<&'a str>,
    /// The line that it begins in, from 1.
    pub(crate) line: u64,
}

/// Reads every row of a dump, and hands each to `take`.
///
/// # Errors
/// The first thing that is wrong, with its line. Rows before it have been handed over.
pub(crate) fn read<E>(
    from: impl Read,
    format: Format,
    take: &mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
) -> Result<(), DumpError<E>> {
    let read = |why| DumpError::Read { line: 0, why };
    let decoded = decoded(BufReader::with_capacity(1 << 16, from)).map_err(read)?;
    let mut decoded = BufReader::with_capacity(1 << 16, decoded);
    if decoded.fill_buf().map_err(read)?.is_empty() {
        return Err(DumpError::Empty);
    }
    rows::read(decoded, format, take)
}
