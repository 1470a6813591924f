//! The outbox in the database: the SQL that makes it, and whether it is there as the mapping needs it.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_mapping::Mapping;
use postgres_protocol::escape::escape_literal;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// The schema, its tables and functions. The calls for the mapped tables and the end of the transaction follow.
const SCHEMA: &str = include_str!("install.sql");
/// Takes everything out: the triggers depend on the functions of the schema.
pub(super) const UNINSTALL: &str = "DROP SCHEMA IF EXISTS newsreel CASCADE;\n";
/// The format of the outbox, as the SQL notes it.
const FORMAT: i32 = 1;
/// The rights that the reading role needs.
const GRANTS: &str = "GRANT USAGE ON SCHEMA newsreel TO …; GRANT SELECT, DELETE ON newsreel.outbox TO …; \
     GRANT SELECT, UPDATE ON newsreel.history TO …; GRANT SELECT ON newsreel.mapped TO …;";

/// Why the outbox cannot be read. Each text says what to run.
#[derive(Debug, thiserror::Error)]
pub(in crate::source::postgres) enum OutboxError {
    /// The question failed.
    #[error("{}", crate::exit::innermost(.0))]
    Client(tokio_postgres::Error),
    /// There is none.
    #[error(
        "the database has no outbox: give --create, or run `newsreel source postgres install --map … --run`"
    )]
    Missing,
    /// The outbox was made by another version of this command.
    #[error(
        "the outbox has format {0}, and this version of newsreel reads {FORMAT}: give --create, or run `newsreel source postgres install --map … --run`"
    )]
    OfAnotherFormat(i32),
    /// The triggers are not those of the mapping.
    #[error(
        "the outbox is not that of the mapping: give --create, or run `newsreel source postgres install --map … --run`\n  {}",
        .0.join("\n  ")
    )]
    OfAnotherMapping(Vec<String>),
    /// The role has not the rights.
    #[error("{0}: as the owner of the outbox run\n  {GRANTS}")]
    Forbidden(String),
}

impl From<tokio_postgres::Error> for OutboxError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Self::Forbidden(crate::exit::innermost(&error)),
            _ => Self::Client(error),
        }
    }
}

impl OutboxError {
    /// Says whether the outbox only has to be installed.
    pub(super) fn is_mended_by_install(&self) -> bool {
        matches!(self, Self::Missing | Self::OfAnotherFormat(_) | Self::OfAnotherMapping(_))
    }
}

/// The needs of the rules of one table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted<'a> {
    columns: BTreeSet<&'a str>,
    /// Those of `columns` that name something.
    naming: BTreeSet<&'a str>,
    /// Whether some rule publishes an update that changes none of the columns.
    needs_every_update: bool,
}

/// Returns the SQL that makes the outbox of a mapping, and makes one that is there fit.
pub(super) fn sql(mapping: &Mapping) -> String {
    let wanted = wanted(mapping);
    let list = |texts: &mut dyn Iterator<Item = &str>| {
        let texts: Vec<String> = texts.map(escape_literal).collect();
        format!("ARRAY[{}]::text[]", texts.join(", "))
    };
    let mut sql = SCHEMA.to_owned();
    for (from, wanted) in &wanted {
        let (schema, table) = from.split_once('.').unwrap_or_default();
        let (name, schema, table) = (escape_literal(from), escape_literal(schema), escape_literal(table));
        let columns = list(&mut wanted.columns.iter().copied());
        let compared = list(&mut wanted.columns.difference(&wanted.naming).copied());
        let skips = !wanted.needs_every_update;
        sql +=
            &format!("SELECT newsreel.attach({name}, {schema}, {table}, {columns}, {compared}, {skips});\n");
    }
    let kept = list(&mut wanted.keys().map(String::as_str));
    sql += &format!("SELECT newsreel.detach_all_but({kept});\nCOMMIT;\n\n");
    sql + "-- The role that reads needs: " + GRANTS + "\n"
}

/// Returns the mapped tables, for a message.
pub(super) fn names(mapping: &Mapping) -> String {
    wanted(mapping).into_keys().collect::<Vec<_>>().join(", ")
}

/// Makes the outbox, or makes one that is there fit.
pub(super) async fn make(client: &Client, mapping: &Mapping) -> Result<(), OutboxError> {
    Ok(client.batch_execute(&sql(mapping)).await?)
}

/// Checks that the outbox and its triggers are there. Returns the tables of which a partition does not note a TRUNCATE
/// of it alone.
pub(super) async fn check(client: &Client, mapping: &Mapping) -> Result<Vec<String>, OutboxError> {
    let there = client.query_one("SELECT to_regclass('newsreel.mapped') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        return Err(OutboxError::Missing);
    }
    let format = client.query_one("SELECT format FROM newsreel.history", &[]).await?.get(0);
    if format != FORMAT {
        return Err(OutboxError::OfAnotherFormat(format));
    }
    let sql = "SELECT m.source, m.columns, m.skips_unchanged, c.oid IS NULL, missing.rows, missing.truncate, m.compared
        FROM newsreel.mapped m
        LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'p'))
            ON n.nspname = m.schema_name AND c.relname = m.table_name
        CROSS JOIN LATERAL (
            SELECT coalesce(bool_or(t.rows IS NULL), false) AS rows, coalesce(bool_or(t.truncate IS NULL), false) AS truncate
            FROM (SELECT c.oid AS id UNION SELECT relid::oid FROM pg_partition_tree(c.oid)) part
            CROSS JOIN LATERAL (
                SELECT max(tgname) FILTER (WHERE tgname = 'newsreel_rows') AS rows,
                    max(tgname) FILTER (WHERE tgname = 'newsreel_truncate') AS truncate
                FROM pg_trigger WHERE tgrelid = part.id AND tgenabled IN ('O', 'A')) t) missing";
    let rows = client.query(sql, &[]).await?;
    let mut wanted = wanted(mapping);
    let (mut mistakes, mut partial) = (Vec::new(), Vec::new());
    for row in rows {
        let (from, columns, skips): (String, Vec<String>, bool) = (row.get(0), row.get(1), row.get(2));
        let Some(wanted) = wanted.remove(&from) else { continue };
        let compared: Vec<String> = row.get(6);
        let is_brief = |column: &str| wanted.naming.contains(column) && compared.iter().any(|c| c == column);
        let lacks = |column: &&str| !columns.iter().any(|c| c == column) || is_brief(column);
        let lacking: Vec<&str> = wanted.columns.iter().copied().filter(lacks).collect();
        if row.get(3) {
            mistakes.push(format!("there is no table {from:?}"));
        } else if row.get(4) {
            mistakes.push(format!("{from} has no trigger, or one that is switched off"));
        } else if !lacking.is_empty() {
            mistakes.push(format!("the trigger of {from} does not note {}", lacking.join(", ")));
        } else if skips && wanted.needs_every_update {
            mistakes.push(format!("the trigger of {from} does not note every update"));
        } else if row.get(5) {
            partial.push(from);
        }
    }
    mistakes.extend(wanted.into_keys().map(|from| format!("{from} has no trigger")));
    if mistakes.is_empty() { Ok(partial) } else { Err(OutboxError::OfAnotherMapping(mistakes)) }
}

/// Returns what the rules of each table need, by the table's full name.
fn wanted(mapping: &Mapping) -> BTreeMap<String, Wanted<'_>> {
    let mut tables: BTreeMap<String, Wanted<'_>> = BTreeMap::new();
    for rule in &mapping.rules {
        let wanted = tables.entry(rule.from().to_owned()).or_default();
        wanted.columns.extend(rule.columns());
        wanted.naming.extend(rule.old_columns());
        wanted.naming.extend(rule.tag_columns());
        wanted.needs_every_update |= rule.only_if_changed().is_empty();
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_attached_with_the_columns_of_all_its_rules() {
        let mapping = Mapping::parse(
            "[[map]]\nfrom = \"public.it's\"\nkey = \"a:{id}\"\nonly_if_changed = [\"name\"]\n\
             [[map]]\nfrom = \"public.it's\"\nkey = \"b:{other}\"\nonly_if_changed = [\"name\"]\n\
             [[map]]\nfrom = \"Shop.Titles\"\nkey = \"t:{Id}\"\n",
        );
        let sql = sql(&mapping.unwrap());
        let calls: Vec<&str> = sql.lines().filter(|line| line.starts_with("SELECT newsreel.")).collect();
        assert_eq!(
            calls,
            [
                "SELECT newsreel.attach('Shop.Titles', 'Shop', 'Titles', ARRAY['Id']::text[], ARRAY[]::text[], false);",
                "SELECT newsreel.attach('public.it''s', 'public', 'it''s', ARRAY['id', 'name', 'other']::text[], ARRAY['name']::text[], true);",
                "SELECT newsreel.detach_all_but(ARRAY['Shop.Titles', 'public.it''s']::text[]);",
            ]
        );
    }
}
