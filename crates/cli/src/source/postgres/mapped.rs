//! The tables of the mapping in the database: whether they have what the mapping needs.

use std::collections::BTreeSet;

use newsreel_mapping::{Mapping, Rule};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::slot::SetupError;

/// The first version whose publications may have lists of columns.
pub(super) const COLUMN_LISTS: i32 = 150_000;

/// A table of the mapping in the database.
pub(super) struct Mapped<'a> {
    pub(super) rule: &'a Rule,
    pub(super) schema: String,
    pub(super) table: String,
    columns: BTreeSet<String>,
    /// The columns that PostgreSQL logs of a row that changes.
    identity: BTreeSet<String>,
    identity_kind: String,
}

impl Mapped<'_> {
    fn name(&self) -> String {
        format!("{}.{}", escape_identifier(&self.schema), escape_identifier(&self.table))
    }

    /// Returns what the mapping asks of the table and it has not.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let (name, from) = (self.name(), self.rule.from());
        if self.columns.is_empty() {
            return vec![format!("there is no table {from:?}: write from = \"schema.table\"")];
        }
        let unknown = self.rule.columns().into_iter().filter(|column| !self.columns.contains(*column));
        let mut mistakes: Vec<String> =
            unknown.map(|column| format!("{from} has no column {column:?}: the mapping reads it")).collect();
        let lacking: Vec<&str> =
            self.rule.old_columns().into_iter().filter(|column| !self.identity.contains(*column)).collect();
        if self.identity.is_empty() {
            mistakes.push(format!(
                "{from} has no replica identity, so its rows could not be updated once it is published: \
                 give it a primary key, or run `ALTER TABLE {name} REPLICA IDENTITY FULL;`"
            ));
        } else if !lacking.is_empty() && !self.rule.is_widened() {
            mistakes.push(format!(
                "{from} does not log the old value of {}, which names what a changed row leaves: run \
                 `ALTER TABLE {name} REPLICA IDENTITY FULL;`, or write widen = {{ prefix = \"…\" }} into its [[map]]",
                lacking.join(", ")
            ));
        }
        mistakes
    }

    /// Returns the table as a publication names it.
    pub(super) fn published(&self, version: i32, of_table: &BTreeSet<&str>) -> String {
        let name = self.name();
        if version < COLUMN_LISTS || self.identity_kind == "f" {
            return name;
        }
        let columns = self.identity.iter().map(String::as_str).chain(of_table.iter().copied());
        let columns: BTreeSet<String> = columns.map(escape_identifier).collect();
        format!("{name} ({})", columns.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// Looks the tables of the mapping up.
pub(super) async fn tables<'a>(client: &Client, mapping: &'a Mapping) -> Result<Vec<Mapped<'a>>, SetupError> {
    let sql = "SELECT a.attname::text, c.relreplident::text,
            c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
                AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
                AND a.attnum = ANY (i.indkey))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') ORDER BY a.attnum";
    let mut tables = Vec::new();
    for rule in &mapping.rules {
        let (schema, table) = rule.from().split_once('.').unwrap_or(("public", rule.from()));
        let rows = client.query(sql, &[&schema, &table]).await?;
        let identity = rows.iter().filter(|row| row.get(2)).map(|row| row.get(0)).collect();
        tables.push(Mapped {
            rule,
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns: rows.iter().map(|row| row.get(0)).collect(),
            identity,
            identity_kind: rows.first().map(|row| row.get(1)).unwrap_or_default(),
        });
    }
    Ok(tables)
}
