//! The rows of a dump in CSV (RFC 4180): the first line has the names of the columns.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use newsreel_mapping::Row;
use serde_json::Value;

use super::{DumpError, DumpRow};

/// Reads every row. The separator is the one of comma, semicolon and tab that the first line has most of.
pub(super) fn read<E>(
    mut from: impl BufRead,
    take: &mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
) -> Result<(), DumpError<E>> {
    let first = from.fill_buf().map_err(|why| DumpError::Read { line: 0, why })?;
    let delimiter = delimiter(first.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let end = End::default();
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(Watched { from, end: &end });
    let names = reader.headers().map_err(|error| wrong(&error, 1))?.clone();
    check(&names)?;
    let (mut record, mut line, mut open) = (StringRecord::new(), 1, false);
    while reader.read_record(&mut record).map_err(|error| wrong(&error, line))? {
        line = record.position().map_or(line, csv::Position::line);
        open = record.iter().next_back().is_some_and(|last| last.contains('\n'));
        let row = names.iter().map(str::to_owned).zip(record.iter().map(value)).collect::<Row>();
        take(DumpRow { row, text: None, line }).map_err(DumpError::Taker)?;
    }
    // A quote that is never closed swallows the rest of the file.
    if end.quotes.get() % 2 == 1 && (open || end.last.get() != b'\n') {
        let why = "a quote is not closed: the dump is cut off here".to_owned();
        return Err(DumpError::Malformed { line, why });
    }
    Ok(())
}

/// Returns the separator of a line.
fn delimiter(line: &[u8]) -> u8 {
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    // Of equally many the last one is taken.
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// Checks the names of the columns.
fn check<E>(names: &StringRecord) -> Result<(), DumpError<E>> {
    let malformed = |why: String| Err(DumpError::Malformed { line: 1, why });
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return malformed(format!(
                "column {} has no name: the first line has the names of the columns",
                index + 1
            ));
        }
        if names.iter().take(index).any(|other| other == name) {
            return malformed(format!("two columns are named {name:?}"));
        }
    }
    Ok(())
}

/// Returns the value of a field: nothing is null, a list or an object of JSON is what it is, the rest is text.
fn value(field: &str) -> Value {
    if field.is_empty() {
        return Value::Null;
    }
    let is_json = field.starts_with(['[', '{']);
    let json = is_json.then(|| serde_json::from_str(field).ok()).flatten();
    json.unwrap_or_else(|| Value::from(field))
}

fn wrong<E>(error: &csv::Error, last: u64) -> DumpError<E> {
    let line = error.position().map_or(last, csv::Position::line);
    if let ErrorKind::Io(why) = error.kind() {
        return DumpError::Read { line: last, why: io::Error::new(why.kind(), why.to_string()) };
    }
    let mut why = error.to_string();
    if let ErrorKind::Utf8 { err, .. } = error.kind() {
        why = format!("not UTF-8: {err}");
    }
    if let ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        why =
            format!("the row has {len} fields, and the first line {expected_len}: is the dump cut off here?");
    }
    DumpError::Malformed { line, why }
}

/// What is known of the end of a file.
#[derive(Default)]
struct End {
    quotes: Cell<u64>,
    last: Cell<u8>,
}

/// Counts quotes, and notes the last byte.
struct Watched<'a, R> {
    from: R,
    end: &'a End,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        let read = into.get(..count).unwrap_or_default();
        let quotes = read.iter().filter(|byte| **byte == b'"').count();
        self.end.quotes.set(self.end.quotes.get() + quotes as u64);
        self.end.last.set(read.last().copied().unwrap_or(self.end.last.get()));
        Ok(count)
    }
}
