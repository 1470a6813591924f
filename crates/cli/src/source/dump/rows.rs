//! The rows of a dump: lines of JSON, the elements of a JSON array, or CSV.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, Read};

use newsreel_core::wire::bom::without_bom;
use newsreel_mapping::Row;
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};

use super::{DumpError, DumpRow, MAX_ROW_BYTES, csv};

/// The form of a dump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// What its first character says: `[` is a JSON array, `{` is lines of JSON, anything else is CSV.
    #[default]
    Auto,
    /// A JSON object on each line.
    Ndjson,
    /// A JSON array of objects.
    Json,
    /// Values between commas, semicolons or tabs, with the columns' names in the first line.
    Csv,
}

/// Reads every row of a dump that is not compressed any more.
pub(super) fn read<E>(
    mut from: impl BufRead,
    format: Format,
    take: &mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
) -> Result<(), DumpError<E>> {
    let first = from.fill_buf().map_err(|why| DumpError::Read { line: 0, why })?;
    let marked = first.len() - without_bom(first).len();
    let character = without_bom(first).iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let told = match character {
        Some(b'[') => Format::Json,
        Some(b'{') => Format::Ndjson,
        Some(_) | None => Format::Csv,
    };
    from.consume(marked);
    match if format == Format::Auto { told } else { format } {
        Format::Json => array(from, take),
        Format::Csv => csv::read(from, take),
        Format::Ndjson | Format::Auto => lines(from, take),
    }
}

fn lines<E>(
    mut from: impl BufRead,
    take: &mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
) -> Result<(), DumpError<E>> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    loop {
        bytes.clear();
        let most = MAX_ROW_BYTES as u64 + 1;
        let count = from.by_ref().take(most).read_until(b'\n', &mut bytes);
        if count.map_err(|why| DumpError::Read { line, why })? == 0 {
            return Ok(());
        }
        line += 1;
        let malformed = |why| DumpError::Malformed { line, why };
        if bytes.len() > MAX_ROW_BYTES {
            return Err(malformed(format!("a row has at most {} MiB", MAX_ROW_BYTES >> 20)));
        }
        let text = std::str::from_utf8(&bytes).map_err(|why| malformed(format!("not UTF-8: {why}")))?.trim();
        if text.is_empty() {
            continue;
        }
        let row = serde_json::from_str::<Row>(text).map_err(|why| malformed(wrong(&why, text)))?;
        take(DumpRow { row, text: Some(text), line }).map_err(DumpError::Taker)?;
    }
}

/// Returns what is wrong with a line, without the number of the line within itself.
fn wrong(error: &serde_json::Error, text: &str) -> String {
    let cut = if error.is_eof() { "; the dump is cut off here" } else { "" };
    if !text.starts_with('{') {
        return "a row is one JSON object on a line".to_owned();
    }
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or_default();
    format!("column {}: {why}: a row is one JSON object on a line{cut}", error.column())
}

/// Counts the lines that were read.
struct Lines<'a, R> {
    from: R,
    count: &'a Cell<u64>,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for Lines<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(into);
        self.failed.set(read.is_err());
        let count = read?;
        let ends = into.iter().take(count).filter(|byte| **byte == b'\n').count();
        self.count.set(self.count.get() + ends as u64);
        Ok(count)
    }
}

fn array<E>(
    from: impl BufRead,
    take: &mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
) -> Result<(), DumpError<E>> {
    let (line, failed) = (Cell::new(1), Cell::new(false));
    let mut refused = None;
    // The reader of JSON takes a byte at a time, so the count is that of the element that is read.
    let mut json = serde_json::Deserializer::from_reader(Lines { from, count: &line, failed: &failed });
    let read = json.deserialize_seq(Elements { take, line: &line, refused: &mut refused });
    let read = read.and_then(|()| json.end());
    match (read, refused) {
        (_, Some(error)) => Err(DumpError::Taker(error)),
        (Ok(()), None) => Ok(()),
        (Err(error), None) if failed.get() => Err(DumpError::Read { line: line.get(), why: error.into() }),
        (Err(error), None) => {
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            let cut = if error.is_eof() { "; the dump is cut off here" } else { "" };
            let line = if error.line() == 0 { line.get() } else { error.line() as u64 };
            Err(DumpError::Malformed { line, why: format!("{why}: a dump is an array of JSON objects{cut}") })
        }
    }
}

/// The elements of an array, each handed over before the next one is read.
struct Elements<'a, E> {
    take: &'a mut dyn FnMut(DumpRow<'_>) -> Result<(), E>,
    line: &'a Cell<u64>,
    refused: &'a mut Option<E>,
}

impl<'de, E> Visitor<'de> for Elements<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            let Some(row) = elements.next_element::<Row>()? else { return Ok(()) };
            let taken = (self.take)(DumpRow { row, text: None, line: self.line.get() });
            if let Err(error) = taken {
                *self.refused = Some(error);
                return Err(A::Error::custom("not taken"));
            }
        }
    }
}
