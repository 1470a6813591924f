//! The tables of the log: their columns as the log announces them, and their rows as JSON.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_mapping::{Mapping, Row};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::pgoutput::{Cell, Column, OldTuple, Relation, Tuple};
use super::values::Kind;

/// A table as the log announced it last.
#[derive(Debug)]
pub(super) struct Table {
    /// The name, `schema.table`.
    pub(super) name: String,
    relation: Relation,
    kinds: Vec<Kind>,
    /// The columns that the mapping reads.
    read: BTreeSet<String>,
    /// The columns of `read` that the table does not have.
    pub(super) missing: Vec<String>,
}

/// The tables that the log announced.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<u32, Table>);

impl Tables {
    /// Returns a table.
    pub(super) fn get(&self, id: u32) -> Option<&Table> {
        self.0.get(&id)
    }

    /// Takes a table as the log announces it. Returns it, and which of the columns that the mapping reads are others
    /// than when it was announced before.
    pub(super) async fn announce(
        &mut self,
        relation: Relation,
        mapping: &Mapping,
        client: &Client,
    ) -> Result<(&Table, Vec<String>), tokio_postgres::Error> {
        let name = format!("{}.{}", relation.schema, relation.table);
        let kinds = kinds(&relation.columns, client).await?;
        let columns = mapping.rules_of(&name).flat_map(newsreel_mapping::Rule::columns);
        let read: BTreeSet<String> = columns.map(str::to_owned).collect();
        let has = |column: &&String| relation.columns.iter().any(|there| there.name == **column);
        let missing = read.iter().filter(|column| !has(column)).cloned().collect();
        let table = Table { name, kinds, read, missing, relation };
        let altered = self.0.values().find(|before| before.name == table.name);
        let altered = altered.map_or_else(Vec::new, |before| table.altered(before));
        // A table that was made anew under the same name has another number.
        self.0.retain(|_, before| before.name != table.name);
        let id = table.relation.id;
        Ok((self.0.entry(id).insert_entry(table).into_mut(), altered))
    }
}

impl Table {
    /// Returns which of the columns that the mapping reads are others than before.
    fn altered(&self, before: &Self) -> Vec<String> {
        let type_of = |table: &Self, name: &String| {
            table.relation.columns.iter().find(|column| column.name == *name).map(|column| column.type_id)
        };
        let alteration = |name: &String| match (type_of(before, name), type_of(self, name)) {
            (Some(_), None) => Some(format!("column {name:?} is gone")),
            (None, Some(_)) => Some(format!("column {name:?} is new")),
            (Some(before), Some(now)) if before != now => Some(format!("column {name:?} has another type")),
            (Some(_), Some(_)) | (None, None) => None,
        };
        self.read.iter().filter_map(alteration).collect()
    }

    /// Returns a row, without the large values that were not sent.
    pub(super) fn row(&self, tuple: &Tuple) -> Row {
        self.cells(tuple)
            .filter_map(|(column, kind, cell)| Some((column.name.clone(), value(kind, cell)?)))
            .collect()
    }

    /// Returns the row before a delete, as far as it was sent.
    pub(super) fn old_row(&self, old: &OldTuple) -> Row {
        let sent = self.cells(&old.tuple).filter(|(column, _, _)| !old.only_identity || column.is_identity);
        sent.filter_map(|(column, kind, cell)| Some((column.name.clone(), value(kind, cell)?))).collect()
    }

    /// Returns a row before and after an update, as far as both are known.
    ///
    /// Without an old row the columns of the identity did not change. A large value that was not sent did not
    /// change either: it is that of the old row, or is read from the table.
    pub(super) async fn update(
        &self,
        old: Option<&OldTuple>,
        new: &Tuple,
        client: &Client,
    ) -> Result<(Row, Row), tokio_postgres::Error> {
        let mut row = self.row(new);
        let old = old.map(|old| self.old_row(old));
        let unsent = self.unsent(new);
        let is_known = |name: &&str| old.as_ref().is_some_and(|old| old.contains_key(*name));
        let unknown: Vec<&str> = unsent.iter().copied().filter(|name| !is_known(name)).collect();
        let found =
            if unknown.is_empty() { Row::new() } else { self.read_unsent(new, &unknown, client).await? };
        let mut before = old.unwrap_or_else(|| {
            let identity = self.relation.columns.iter().filter(|column| column.is_identity);
            let value = |column: &Column| Some((column.name.clone(), row.get(&column.name)?.clone()));
            identity.filter_map(value).collect()
        });
        for name in unsent {
            if let Some(value) = before.get(name).or_else(|| found.get(name)).cloned() {
                row.insert(name.to_owned(), value.clone());
                before.insert(name.to_owned(), value);
            }
        }
        Ok((before, row))
    }

    /// Returns the columns that the mapping reads and whose large values were not sent.
    fn unsent<'a>(&'a self, tuple: &'a Tuple) -> Vec<&'a str> {
        let unchanged = self.cells(tuple).filter(|(_, _, cell)| **cell == Cell::Unchanged);
        unchanged
            .map(|(column, _, _)| column.name.as_str())
            .filter(|name| self.read.contains(*name))
            .collect()
    }

    /// Reads large values that were not sent, by the identity of their row. A row that is gone has none: the
    /// transaction that deleted it follows.
    async fn read_unsent(
        &self,
        tuple: &Tuple,
        unsent: &[&str],
        client: &Client,
    ) -> Result<Row, tokio_postgres::Error> {
        let mut found = Row::new();
        let conditions: Vec<String> = self
            .cells(tuple)
            .filter(|(column, _, _)| column.is_identity)
            .filter_map(|(column, _, cell)| match cell {
                Cell::Text(text) => {
                    let literal = escape_literal(&String::from_utf8_lossy(text));
                    Some(format!("{} = {}", escape_identifier(&column.name), literal.trim_start()))
                }
                Cell::Null | Cell::Unchanged => None,
            })
            .collect();
        if conditions.is_empty() {
            return Ok(found);
        }
        let columns: Vec<String> = unsent.iter().map(|name| escape_identifier(name)).collect();
        let (schema, table) =
            (escape_identifier(&self.relation.schema), escape_identifier(&self.relation.table));
        let (columns, conditions) = (columns.join(", "), conditions.join(" AND "));
        let sql = format!("SELECT {columns} FROM {schema}.{table} WHERE {conditions}");
        for message in client.simple_query(&sql).await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            for (number, name) in unsent.iter().enumerate() {
                let kind = self.kind(name);
                let value = row.get(number).map_or(Value::Null, |text| kind.read(text));
                found.insert((*name).to_owned(), value);
            }
        }
        Ok(found)
    }

    fn kind(&self, name: &str) -> &Kind {
        let columns = self.relation.columns.iter().zip(&self.kinds);
        columns.into_iter().find(|(column, _)| column.name == name).map_or(&Kind::Text, |(_, kind)| kind)
    }

    fn cells<'a>(&'a self, tuple: &'a Tuple) -> impl Iterator<Item = (&'a Column, &'a Kind, &'a Cell)> {
        let columns = self.relation.columns.iter().zip(&self.kinds).zip(tuple);
        columns.map(|((column, kind), cell)| (column, kind, cell))
    }
}

fn value(kind: &Kind, cell: &Cell) -> Option<Value> {
    match cell {
        Cell::Null => Some(Value::Null),
        Cell::Unchanged => None,
        Cell::Text(text) => Some(kind.read(&String::from_utf8_lossy(text))),
    }
}

async fn kinds(columns: &[Column], client: &Client) -> Result<Vec<Kind>, tokio_postgres::Error> {
    let mut kinds = Vec::with_capacity(columns.len());
    for column in columns {
        kinds.push(kind_of(column.type_id, client).await?);
    }
    Ok(kinds)
}

/// Returns how the values of a type are read. Of a type that is not built in, the database says whether it is an
/// array, or a domain over another type.
pub(super) async fn kind_of(type_id: u32, client: &Client) -> Result<Kind, tokio_postgres::Error> {
    if let Some(kind) = Kind::built_in(type_id) {
        return Ok(kind);
    }
    let sql = "WITH RECURSIVE base AS (
            SELECT oid, typtype, typbasetype, typcategory, typelem FROM pg_type WHERE oid = $1
            UNION ALL
            SELECT t.oid, t.typtype, t.typbasetype, t.typcategory, t.typelem
            FROM pg_type t JOIN base b ON b.typtype = 'd' AND t.oid = b.typbasetype)
        SELECT oid, typcategory::text, typelem FROM base WHERE typtype <> 'd'";
    let Some(row) = client.query_opt(sql, &[&type_id]).await? else { return Ok(Kind::Text) };
    let (base, category, element): (u32, &str, u32) = (row.get(0), row.get(1), row.get(2));
    Ok(match (category, Kind::built_in(base)) {
        (_, Some(kind)) => kind,
        ("A", None) => Kind::Array(Box::new(Kind::built_in(element).unwrap_or(Kind::Text))),
        (_, None) => Kind::Text,
    })
}
