//! The statements of a mapping on a database: checked at the start, and run for each key.

use std::collections::BTreeSet;

use anyhow::Context as _;
use newsreel_core::wire::{Key, Tag};
use newsreel_mapping::{Mapping, Read, Row, Rule, Skips};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::parameter::Parameter;
use super::plan::scanned_tables;
use super::pool::{Connection, Pool, PoolError};
use crate::exit::{Failure, note};
use crate::origin::store::Value;

/// The media type of a row.
const JSON: &str = "application/json";

/// The reason that a key has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The database gives no connection, or no answer in time.
    #[error("the database is away: {0}")]
    Away(String),
    /// The statement failed, or its answer is no value.
    #[error("{form}: {why}")]
    Statement {
        /// The form of the key.
        form: String,
        /// The reason.
        why: String,
    },
}

/// The statements of a mapping, and the pool of connections to their database.
pub(super) struct Statements {
    pool: Pool,
    mapping: Mapping,
    /// The statement of each read as it is prepared.
    sql: Vec<String>,
}

impl Statements {
    pub(super) fn new(pool: Pool, mapping: Mapping) -> Self {
        let sql = mapping.reads.iter().map(|read| match read.content_type() {
            None => format!("SELECT to_json(value)::text FROM (\n{}\n) AS value", without_end(read.sql())),
            Some(_) => without_end(read.sql()).to_owned(),
        });
        let sql = sql.collect();
        Self { pool, mapping, sql }
    }

    /// Checks every statement: its parameters, its columns, and that it finds the row of a key by an index.
    ///
    /// # Errors
    /// When the database is away; and [`Failure::Input`] with everything that is wrong, each with what to write.
    pub(super) async fn check(&self, allow_scans: bool) -> Result<(), Failure> {
        let client = self.pool.get().await.map_err(|error| unreachable(&error))?;
        let mut wrong = Vec::new();
        for read in &self.mapping.reads {
            wrong.extend(self.wrong_with(&client, read, allow_scans).await?);
        }
        if let Some(hot) = &self.mapping.hot
            && let Err(error) = client.prepare(&hot_sql(hot)).await
        {
            wrong.push(format!("hot: {}", told(&error)));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Input(wrong.join("\n"))) }
    }

    async fn wrong_with(
        &self,
        client: &Connection,
        read: &Read,
        allow_scans: bool,
    ) -> Result<Vec<String>, Failure> {
        let form = read.key().to_string();
        let sql = without_end(read.sql());
        let statement = match client.prepare(sql).await {
            Ok(statement) => statement,
            Err(error) => return Ok(vec![format!("{form}: {}", told(&error))]),
        };
        let mut wrong = Vec::new();
        let (places, parameters) = (read.key().columns().count(), statement.params().len());
        if places != parameters {
            wrong.push(format!(
                "{form}: the key has {places} places and the statement {parameters} parameters: each place is one, in their order"
            ));
        }
        let columns: BTreeSet<&str> = statement.columns().iter().map(|column| column.name()).collect();
        if let Some(content_type) = read.content_type() {
            let is_bytes = matches!(statement.columns(), [column] if is_bytes(column.type_()));
            if !is_bytes {
                wrong.push(format!(
                    "{form}: a value of {content_type} is one column of bytea or text: select one, or cast it"
                ));
            }
        } else if let Some(rule) = self.rule_of(read) {
            let missing: BTreeSet<&str> =
                rule.tag_columns().filter(|column| !columns.contains(column)).collect();
            for column in missing {
                wrong.push(format!(
                    "{form}: the row has no column {column}, of which the tags of {} are made: select it",
                    rule.from()
                ));
            }
        }
        if wrong.is_empty() && !allow_scans {
            let scanned = scanned_tables(client, sql, parameters).await.context("asking for a plan")?;
            wrong.extend(scanned.iter().map(|table| {
                format!("{form}: the statement reads all of {table} for each key: create an index for its WHERE, or give --allow-scans")
            }));
        }
        Ok(wrong)
    }

    /// Returns the rule that says the tags of what a read gives: the one with the same form of keys.
    fn rule_of(&self, read: &Read) -> Option<&Rule> {
        self.mapping.rules.iter().find(|rule| rule.key() == Some(read.key()))
    }

    /// Returns the value of a key; `None` if there is none.
    ///
    /// # Errors
    /// When the database is away, or the statement fails.
    pub(super) async fn value(&self, key: &Key) -> Result<Option<Value>, ReadError> {
        let reads = self.mapping.reads.iter().zip(&self.sql);
        let found = reads.filter_map(|(read, sql)| Some((read, sql, read.parameters(key)?))).next();
        let Some((read, sql, parameters)) = found else { return Ok(None) };
        let rows = match self.rows(sql, &parameters).await {
            Ok(rows) => rows,
            // A part of the key that is none of the statement's type is the key of no row.
            Err(Failed::Statement(error)) if is_no_value_of_its_type(&error) => return Ok(None),
            Err(Failed::Statement(error)) if is_away(&error) => return Err(ReadError::Away(told(&error))),
            Err(Failed::Statement(error)) => return Err(statement_error(read, told(&error))),
            Err(Failed::Pool(why)) => return Err(ReadError::Away(why)),
        };
        match rows.as_slice() {
            [] => Ok(None),
            [row] => self.value_of(read, row),
            _ => Err(statement_error(read, "the statement gives several rows for one key".to_owned())),
        }
    }

    fn value_of(&self, read: &Read, row: &tokio_postgres::Row) -> Result<Option<Value>, ReadError> {
        let bytes = match row.columns() {
            [column] if *column.type_() == Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(0),
            _ => row.try_get::<_, Option<String>>(0).map(|text| text.map(String::into_bytes)),
        };
        let Some(body) = bytes.map_err(|error| statement_error(read, told(&error)))? else { return Ok(None) };
        let (content_type, tags) = match read.content_type() {
            Some(content_type) => (content_type, Vec::new()),
            None => (JSON, self.tags(read, &body)),
        };
        Ok(Some(Value { content_type: content_type.to_owned(), tags, body }))
    }

    fn tags(&self, read: &Read, json: &[u8]) -> Vec<Tag> {
        let row: Option<Row> = serde_json::from_slice(json).ok();
        let (rule, row) = (self.rule_of(read), row.unwrap_or_default());
        rule.map(|rule| rule.tags(&row, &mut Skips::default())).unwrap_or_default()
    }

    /// Returns the keys that are read most and how often, the hottest first; `None` if the mapping has no `hot`.
    ///
    /// # Errors
    /// When the database is away, or the statement fails.
    pub(super) async fn hottest(&self, most: u32) -> Result<Option<Vec<(String, i64)>>, ReadError> {
        let Some(hot) = &self.mapping.hot else { return Ok(None) };
        let rows = match self.rows(&hot_sql(hot), &[&most.to_string()]).await {
            Ok(rows) => rows,
            Err(Failed::Pool(why)) => return Err(ReadError::Away(why)),
            Err(Failed::Statement(error)) if is_away(&error) => return Err(ReadError::Away(told(&error))),
            Err(Failed::Statement(error)) => {
                return Err(ReadError::Statement { form: "hot".to_owned(), why: told(&error) });
            }
        };
        Ok(Some(rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect()))
    }

    /// Says whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn ping(&self) -> Result<(), ReadError> {
        match self.rows("SELECT 1", &[]).await {
            Ok(_) => Ok(()),
            Err(Failed::Pool(why)) => Err(ReadError::Away(why)),
            Err(Failed::Statement(error)) => Err(ReadError::Away(told(&error))),
        }
    }

    async fn rows(&self, sql: &str, parameters: &[&str]) -> Result<Vec<tokio_postgres::Row>, Failed> {
        let client = self.pool.get().await.map_err(|error| Failed::Pool(error.to_string()))?;
        let statement = client.prepare_cached(sql).await?;
        let bound: Vec<Parameter<'_>> = parameters.iter().copied().map(Parameter).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
        Ok(client.query(&statement, &bound).await?)
    }
}

/// Why a statement gave no rows.
enum Failed {
    Pool(String),
    Statement(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

fn hot_sql(sql: &str) -> String {
    format!(
        "SELECT hot.key::text, hot.reads::bigint FROM (\n{}\n) AS hot(key, reads) LIMIT $1",
        without_end(sql)
    )
}

/// Returns a statement without the semicolon that may end it.
fn without_end(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim_end()
}

fn is_bytes(type_: &Type) -> bool {
    [Type::BYTEA, Type::TEXT, Type::VARCHAR, Type::BPCHAR].contains(type_)
}

fn is_no_value_of_its_type(error: &tokio_postgres::Error) -> bool {
    let states = [
        SqlState::INVALID_TEXT_REPRESENTATION,
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        SqlState::INVALID_DATETIME_FORMAT,
        SqlState::DATETIME_FIELD_OVERFLOW,
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        SqlState::UNTRANSLATABLE_CHARACTER,
    ];
    error.code().is_some_and(|code| states.contains(code))
}

/// Says whether the database is away or busy, so that the same read may succeed later.
fn is_away(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    // Connections, resources, and what an operator does, such as a shutdown or a statement's time that is over.
    ["08", "53", "57"].iter().any(|class| code.code().starts_with(class))
}

/// Returns what PostgreSQL says, which the error itself leaves out.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("PostgreSQL says: {} (SQLSTATE {})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

fn statement_error(read: &Read, why: String) -> ReadError {
    let form = read.key().to_string();
    note!("origin: {form}: {why}");
    ReadError::Statement { form, why }
}

fn unreachable(error: &PoolError) -> Failure {
    let why = match error {
        PoolError::Backend(why) => why.to_string(),
        PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => error.to_string(),
    };
    Failure::Unreachable { what: "PostgreSQL".to_owned(), why }
}
