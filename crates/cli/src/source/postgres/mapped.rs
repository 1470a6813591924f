//! The tables of the mapping in the database: whether they have what the mapping needs.

use std::collections::BTreeSet;

use newsreel_mapping::{Mapping, Rule};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

/// The first version whose publications may have lists of columns.
pub(super) const COLUMN_LISTS: i32 = 150_000;

/// A table of the mapping in the database.
pub(super) struct Mapped<'a> {
    pub(super) rule: &'a Rule,
    pub(super) schema: String,
    pub(super) table: String,
    columns: BTreeSet<String>,
    pub(super) is_partitioned: bool,
    /// The table, and its partitions that hold rows. Each logs by an identity of its own.
    logged: Vec<Logged>,
}

/// A table or a partition, and what is logged of its rows.
struct Logged {
    /// The name, as SQL has it.
    name: String,
    identity_kind: String,
    /// The columns that PostgreSQL logs of a row that changes.
    identity: BTreeSet<String>,
}

impl Mapped<'_> {
    fn name(&self) -> String {
        format!("{}.{}", escape_identifier(&self.schema), escape_identifier(&self.table))
    }

    /// Says whether there is such a table.
    pub(super) fn is_there(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Returns the columns that the mapping reads and the table has.
    pub(super) fn read(&self) -> BTreeSet<&str> {
        let has = |column: &&str| self.columns.contains(*column);
        self.rule.columns().into_iter().filter(has).collect()
    }

    /// Returns what the mapping asks of the table and it has not.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let from = self.rule.from();
        if self.columns.is_empty() {
            return vec![format!("there is no table {from:?}: write from = \"schema.table\"")];
        }
        let unknown = self.rule.columns().into_iter().filter(|column| !self.columns.contains(*column));
        let mut mistakes: Vec<String> =
            unknown.map(|column| format!("{from} has no column {column:?}: the mapping reads it")).collect();
        let whole = self.logged.first();
        mistakes.extend(self.logged.iter().filter_map(|leaf| self.identity_mistake(leaf, whole)));
        mistakes
    }

    fn identity_mistake(&self, leaf: &Logged, whole: Option<&Logged>) -> Option<String> {
        let from = self.rule.from();
        let whole = whole.filter(|whole| whole.name != leaf.name);
        let part = whole.map_or_else(String::new, |_| format!(" in its partition {}", leaf.name));
        let full = format!("`ALTER TABLE {} REPLICA IDENTITY FULL;`", leaf.name);
        if leaf.identity.is_empty() {
            return Some(format!(
                "{from} has no replica identity{part}, so its rows could not be updated once it is published: \
                 give it a primary key, or run {full}"
            ));
        }
        // The log would hand on the columns that the partition does not log as nulls.
        if leaf.identity_kind != "f" && whole.is_some_and(|whole| whole.identity_kind == "f") {
            return Some(format!("{from} has REPLICA IDENTITY FULL, and not{part}: run {full}"));
        }
        let lacks = |column: &&str| !leaf.identity.contains(*column);
        let lacking: Vec<&str> = self.rule.old_columns().into_iter().filter(lacks).collect();
        (!lacking.is_empty() && !self.rule.is_widened()).then(|| {
            format!(
                "{from} does not log the old value of {}{part}, which names what a changed row leaves: run {full}, or \
                 write widen = {{ prefix = \"…\" }} into its [[map]]",
                lacking.join(", ")
            )
        })
    }

    /// Returns the table as a publication names it.
    pub(super) fn published(&self, version: i32, of_table: &BTreeSet<&str>) -> String {
        let name = self.name();
        if version < COLUMN_LISTS || self.logged.iter().any(|leaf| leaf.identity_kind == "f") {
            return name;
        }
        let identity = self.logged.iter().flat_map(|leaf| &leaf.identity).map(String::as_str);
        let columns = identity.chain(of_table.iter().copied());
        let columns: BTreeSet<String> = columns.map(escape_identifier).collect();
        format!("{name} ({})", columns.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// Looks the tables of the mapping up.
pub(super) async fn tables<'a>(
    client: &Client,
    mapping: &'a Mapping,
) -> Result<Vec<Mapped<'a>>, tokio_postgres::Error> {
    let sql = "SELECT a.attname::text, c.relkind = 'p'
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') ORDER BY a.attnum";
    let mut tables = Vec::new();
    for rule in &mapping.rules {
        let (schema, table) = rule.from().split_once('.').unwrap_or_default();
        let rows = client.query(sql, &[&schema, &table]).await?;
        tables.push(Mapped {
            rule,
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns: rows.iter().map(|row| row.get(0)).collect(),
            is_partitioned: rows.first().is_some_and(|row| row.get(1)),
            logged: logged(client, schema, table).await?,
        });
    }
    Ok(tables)
}

/// Looks up what is logged of a table, and of its partitions.
async fn logged(client: &Client, schema: &str, table: &str) -> Result<Vec<Logged>, tokio_postgres::Error> {
    let sql = "SELECT n.nspname::text, c.relname::text, c.relreplident::text, ARRAY(
            SELECT a.attname::text FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
                    AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
                    AND a.attnum = ANY (i.indkey))))
        FROM pg_class root JOIN pg_namespace of_root ON of_root.oid = root.relnamespace
            JOIN pg_class c ON c.oid = root.oid OR root.relkind = 'p' AND c.relkind = 'r'
                AND c.oid IN (SELECT relid FROM pg_partition_tree(root.oid))
            JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE of_root.nspname = $1 AND root.relname = $2 AND root.relkind IN ('r', 'p')
        ORDER BY c.oid <> root.oid, 1, 2";
    let rows = client.query(sql, &[&schema, &table]).await?;
    let logged = |row: &tokio_postgres::Row| Logged {
        name: format!("{}.{}", escape_identifier(row.get(0)), escape_identifier(row.get(1))),
        identity_kind: row.get(2),
        identity: row.get::<_, Vec<String>>(3).into_iter().collect(),
    };
    Ok(rows.iter().map(logged).collect())
}
