//! The rows of the outbox, read in pages of one snapshot, and the transactions that they make up.
//!
//! A snapshot has a transaction as a whole or not at all, so every transaction in it is complete. A transaction that
//! changes a row which another one changed has waited for that one to end: its last note is the later one, and a
//! snapshot that has it has the other too. Transactions in the order of their last notes, snapshot after snapshot, are
//! therefore in the order of their commits wherever the order shows. No snapshot stands for what it did not see: a
//! transaction that commits late is in the next one, and one that stays open holds up none of the others.

use std::collections::BTreeMap;

use newsreel_mapping::{Batch, Limits, Row};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::SimpleQueryRow;

use crate::source::postgres::rows::Rows;
use crate::source::postgres::values::Kind;

/// How many rows the first page has. The others have as many as fit into `PAGE_BYTES`.
pub(super) const FIRST_PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;
const PAGE_BYTES: usize = 2 << 20;
/// Begins a snapshot and reads the id of the outbox and the first page. The planner knows nothing of a table that is
/// empty most of the time, so the indexes are all that is left to it.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SELECT id FROM newsreel.history; \
     DECLARE noted NO SCROLL CURSOR FOR SELECT o.seq, o.xid, floor(extract(epoch FROM o.at) * 1000)::bigint, \
         o.source, o.operation, o.before, o.after, \
         o.seq = (SELECT max(l.seq) FROM newsreel.outbox l WHERE l.xid = o.xid) \
         FROM newsreel.outbox o ORDER BY o.seq; \
     FETCH 50 FROM noted";
/// Ends the snapshot.
pub(super) const END: &str = "COMMIT";

/// Why the outbox cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(in crate::source::postgres) enum ScanError {
    /// Another source reads it.
    #[error("another source reads the outbox of this database")]
    Busy,
    /// The outbox is not the one that the session began with.
    #[error("the outbox was emptied, or has other tables or triggers")]
    Changed,
    /// Triggers are missing, which the next session makes.
    #[error("{0}")]
    Unfit(String),
    /// A row is none of a trigger's.
    #[error(
        "row {0} of newsreel.outbox was not written by a trigger of this version: delete it, or install again"
    )]
    Unreadable(String),
}

/// A page of the outbox.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The id of the outbox, which the first page has.
    pub(super) id: Option<String>,
    pub(super) notes: Vec<Note>,
    bytes: usize,
}

impl Page {
    /// Returns how many rows the next page is to have, so that long rows do not fill the memory.
    pub(super) fn next(&self) -> usize {
        let each = self.bytes / self.notes.len().max(1);
        (PAGE_BYTES / each.max(1)).clamp(1, LONGEST_PAGE)
    }
}

/// One row of the outbox.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) xid: u64,
    /// The time at which it was written, in Unix milliseconds.
    pub(super) at: i64,
    /// The table, as the mapping names it.
    pub(super) source: String,
    pub(super) operation: Noted,
    /// Whether it is the last one of its transaction.
    pub(super) is_last: bool,
}

/// A change of a table, each column as PostgreSQL's text.
#[derive(Debug)]
pub(super) enum Noted {
    Insert { new: Row },
    Update { old: Row, new: Row },
    Delete { old: Row },
    Truncate,
}

/// The transactions of a snapshot whose last note has not been read yet.
#[derive(Debug)]
pub(super) struct Transactions {
    limits: Limits,
    open: BTreeMap<u64, Transaction>,
}

/// The targets of a transaction, and how many notes it has.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) batch: Batch,
    /// How many rows of the outbox it has.
    pub(super) rows: u64,
    /// The rows that it changed.
    pub(super) changed: Rows,
}

impl Transactions {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: BTreeMap::new() }
    }

    /// Returns a transaction, which begins with its first note.
    pub(super) fn of(&mut self, xid: u64) -> &mut Transaction {
        self.open.entry(xid).or_insert_with(|| Transaction {
            batch: Batch::new(self.limits),
            rows: 0,
            changed: Rows::default(),
        })
    }

    /// Takes a transaction out.
    pub(super) fn take(&mut self, xid: u64) -> Option<Transaction> {
        self.open.remove(&xid)
    }
}

/// Reads a page.
pub(super) fn read(answer: Vec<SimpleQueryMessage>) -> Result<Page, ScanError> {
    let mut page = Page::default();
    for message in answer {
        let SimpleQueryMessage::Row(row) = message else { continue };
        if row.len() == 1 {
            page.id = row.get(0).map(str::to_owned);
            continue;
        }
        let unreadable = || ScanError::Unreadable(row.get(0).unwrap_or_default().to_owned());
        page.notes.push(note(&row).ok_or_else(unreadable)?);
        page.bytes += (0..row.len()).filter_map(|column| row.get(column)).map(str::len).sum::<usize>();
    }
    Ok(page)
}

fn note(row: &SimpleQueryRow) -> Option<Note> {
    let image = |column: usize| serde_json::from_str::<Row>(row.get(column)?).ok();
    let operation = match row.get(4)? {
        "I" => Noted::Insert { new: image(6)? },
        "U" => Noted::Update { old: image(5)?, new: image(6)? },
        "D" => Noted::Delete { old: image(5)? },
        "T" => Noted::Truncate,
        _ => return None,
    };
    Some(Note {
        xid: row.get(1)?.parse().ok()?,
        at: row.get(2)?.parse().ok()?,
        source: row.get(3)?.to_owned(),
        operation,
        is_last: row.get(7)? == "t",
    })
}

/// Returns a row with its values as what they are.
pub(super) fn typed(row: Row, kinds: &BTreeMap<String, Kind>) -> Row {
    let value = |column: &str, noted: Value| match noted.as_str() {
        Some(text) => kinds.get(column).unwrap_or(&Kind::Text).read(text),
        None => noted,
    };
    row.into_iter().map(|(column, noted)| (column.clone(), value(&column, noted))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_after_long_rows_has_few() {
        let page = |bytes| {
            let note =
                Note { xid: 1, at: 0, source: String::new(), operation: Noted::Truncate, is_last: true };
            Page { id: None, notes: vec![note], bytes }.next()
        };
        assert_eq!([0, 100, 100 << 10, 8 << 20].map(page), [1_000, 1_000, 20, 1]);
    }

    #[test]
    fn a_row_has_its_values_by_the_types_of_its_columns() {
        let Value::Object(row) = json!({"id": "7", "name": "7", "gone": "7", "none": null}) else { panic!() };
        let kinds = [("id", Kind::Number), ("name", Kind::Text), ("none", Kind::Number)];
        let kinds = kinds.map(|(column, kind)| (column.to_owned(), kind)).into();
        assert_eq!(
            Value::Object(typed(row, &kinds)),
            json!({"id": 7, "name": "7", "gone": "7", "none": null})
        );
    }
}
