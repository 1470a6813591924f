//! The rows that a transaction changed, for people to look at: counted, and the first of them one by one.

use std::collections::BTreeMap;

use newsreel_core::wire::Change;
use newsreel_mapping::{Mapping, Row, Rule};
use serde::Serialize;

/// How many rows of a transaction are kept one by one.
const FIRST_ROWS: usize = 20;

/// The kind of change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RowKind {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// How many rows of a table a transaction changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    insert: u64,
    update: u64,
    delete: u64,
    truncate: u64,
}

/// A changed row: its table, the columns that name it, and what it published.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RowNote {
    pub(super) table: String,
    pub(super) change: RowKind,
    pub(super) columns: Row,
    pub(super) targets: Vec<Change>,
}

/// The rows that a transaction changed: how many of each table, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Rows {
    pub(super) tables: BTreeMap<String, Counts>,
    first: Vec<RowNote>,
}

impl Counts {
    /// Returns each kind with its count.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { insert, update, delete, truncate } = *self;
        [("insert", insert), ("update", update), ("delete", delete), ("truncate", truncate)].into_iter()
    }
}

impl Rows {
    /// Counts a row.
    pub(super) fn count(&mut self, table: &str, change: RowKind) {
        if !self.tables.contains_key(table) {
            self.tables.insert(table.to_owned(), Counts::default());
        }
        let Some(counts) = self.tables.get_mut(table) else { return };
        *match change {
            RowKind::Insert => &mut counts.insert,
            RowKind::Update => &mut counts.update,
            RowKind::Delete => &mut counts.delete,
            RowKind::Truncate => &mut counts.truncate,
        } += 1;
    }

    /// Counts a row, and keeps what there is to say of it if it is one of the first.
    pub(super) fn add(&mut self, table: &str, change: RowKind, note: impl FnOnce() -> (Row, Vec<Change>)) {
        self.count(table, change);
        if self.first.len() < FIRST_ROWS {
            let (columns, targets) = note();
            self.first.push(RowNote { table: table.to_owned(), change, columns, targets });
        }
    }

    /// Adds the rows of another part of the transaction.
    pub(super) fn append(&mut self, other: Self) {
        for (table, more) in other.tables {
            let counts = self.tables.entry(table).or_default();
            counts.insert += more.insert;
            counts.update += more.update;
            counts.delete += more.delete;
            counts.truncate += more.truncate;
        }
        let room = FIRST_ROWS.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Returns how many rows there are.
    pub(super) fn total(&self) -> u64 {
        self.tables.values().flat_map(Counts::each).map(|(_, count)| count).sum()
    }
}

/// Returns the columns of a row that the mapping names it by.
pub(super) fn naming(mapping: &Mapping, table: &str, row: &Row) -> Row {
    let columns = mapping.rules_of(table).flat_map(Rule::old_columns);
    columns.filter_map(|column| Some((column.to_owned(), row.get(column)?.clone()))).collect()
}
