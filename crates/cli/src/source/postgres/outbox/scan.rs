//! The rows of the outbox, read in pages of one snapshot, and the transactions that they make up.
//!
//! A snapshot has a transaction as a whole or not at all, so every transaction in it is complete. A transaction that
//! changes a row which another one changed has waited for that one to end: its last note is the later one, and a
//! snapshot that has it has the other too. Transactions in the order of their last notes, snapshot after snapshot, are
//! therefore in the order of their commits wherever the order shows. The next snapshot is read for the transactions that
//! the last one did not have, however old they are: one that commits late is not missed, and one that stays open holds up
//! none of the others.

use std::collections::BTreeMap;

use newsreel_mapping::{Batch, Limits, Row};
use postgres_protocol::escape::escape_literal;
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::SimpleQueryRow;

use crate::source::postgres::rows::Rows;
use crate::source::postgres::values::Kind;

/// How many rows the first page has. The others have as many as fit into `PAGE_BYTES`.
pub(super) const FIRST_PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;
const PAGE_BYTES: usize = 2 << 20;
/// Returns the statements that begin a snapshot and read what it is, the columns of the tables, and the first page: of
/// transactions that an earlier snapshot, which was read to its end, did not have. The planner knows nothing of a table
/// that is empty most of the time, so the indexes are all that is left to it.
pub(super) fn begin(seen: Option<&str>) -> String {
    let unseen = seen.map_or_else(String::new, |seen| {
        format!("WHERE NOT pg_visible_in_snapshot(o.xid, {}::pg_snapshot)", escape_literal(seen))
    });
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
        SELECT id, pg_current_snapshot() FROM newsreel.history;
        SELECT m.source, a.attname, a.atttypid FROM newsreel.mapped m
            JOIN pg_namespace n ON n.nspname = m.schema_name
            JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = m.table_name AND c.relkind IN ('r', 'p')
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE EXISTS (SELECT FROM newsreel.outbox);
        DECLARE noted NO SCROLL CURSOR FOR SELECT o.seq, o.xid, floor(extract(epoch FROM o.at) * 1000)::bigint,
            o.source, o.operation, o.before, o.after,
            o.seq = (SELECT max(l.seq) FROM newsreel.outbox l WHERE l.xid = o.xid)
            FROM newsreel.outbox o {unseen} ORDER BY o.seq;
        FETCH {FIRST_PAGE} FROM noted"
    )
}

/// Returns the statement that reads the next page.
pub(super) fn fetch(rows: usize) -> String {
    format!("FETCH {rows} FROM noted")
}

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
    /// The id of the outbox, and the snapshot. The first page has them.
    pub(super) of: Option<(String, String)>,
    /// The tables with their columns and the types of those. The first page has them.
    pub(super) columns: Vec<(String, String, u32)>,
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
        let text = |column| row.get(column).unwrap_or_default().to_owned();
        if row.len() == 2 {
            page.of = Some((text(0), text(1)));
            continue;
        }
        if row.len() == 3 {
            page.columns.push((text(0), text(1), text(2).parse().unwrap_or_default()));
            continue;
        }
        let unreadable = || ScanError::Unreadable(text(0));
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
            Page { notes: vec![note], bytes, ..Page::default() }.next()
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
