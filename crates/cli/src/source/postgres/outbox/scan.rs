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

/// How many rows a page has.
pub(super) const PAGE: usize = 500;
/// Begins a snapshot and reads the id of the outbox and the first page. The planner knows nothing of a table that is
/// empty most of the time, so the indexes are all that is left to it.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SELECT id FROM newsreel.history; \
     DECLARE noted NO SCROLL CURSOR FOR SELECT o.seq, o.xid, floor(extract(epoch FROM o.at) * 1000)::bigint, \
         o.source, o.operation, o.before, o.after, \
         o.seq = (SELECT max(l.seq) FROM newsreel.outbox l WHERE l.xid = o.xid) \
         FROM newsreel.outbox o ORDER BY o.seq; \
     FETCH 500 FROM noted";
/// Reads the next page.
pub(super) const FETCH: &str = "FETCH 500 FROM noted";
/// Ends the snapshot.
pub(super) const END: &str = "COMMIT";

/// Why the outbox cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(in crate::source::postgres) enum ScanError {
    /// Another source reads it.
    #[error("another source reads the outbox of this database")]
    Busy,
    /// The outbox is not the one that the session began with.
    #[error("the outbox was emptied or made anew, or has further tables")]
    Changed,
    /// A row is none of a trigger's.
    #[error(
        "row {0} of newsreel.outbox was not written by a trigger of this version: delete it, or install again"
    )]
    Unreadable(String),
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

/// Returns the id of the outbox if the answer has it, and the notes.
pub(super) fn read(answer: Vec<SimpleQueryMessage>) -> Result<(Option<String>, Vec<Note>), ScanError> {
    let (mut id, mut notes) = (None, Vec::new());
    for message in answer {
        let SimpleQueryMessage::Row(row) = message else { continue };
        match row.len() {
            1 => id = row.get(0).map(str::to_owned),
            _ => notes.push(
                note(&row).ok_or_else(|| ScanError::Unreadable(row.get(0).unwrap_or_default().to_owned()))?,
            ),
        }
    }
    Ok((id, notes))
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
