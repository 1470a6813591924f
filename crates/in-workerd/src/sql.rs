//! The SQLite of an object, as a test of upgrades reads and changes it: past the code under test.

use serde::Deserialize;
use worker::{Result, State};

/// Runs SQL statements, of which nothing is read.
///
/// # Errors
/// When SQLite refuses a statement.
pub fn run(state: &State, statements: &str) -> Result<()> {
    state.storage().sql().exec(statements, None).map(|_| ())
}

/// Returns the column `one` of a query's rows.
///
/// # Panics
/// When SQLite refuses the query, or the column is not of texts.
#[must_use]
pub fn texts(state: &State, query: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct One {
        one: String,
    }
    let rows = state.storage().sql().exec(query, None).expect("the query is right");
    let rows: Vec<One> = rows.to_array().expect("the column `one` is of texts");
    rows.into_iter().map(|row| row.one).collect()
}

/// Returns the statements that made the tables and indexes, without differences in white space and without
/// `IF NOT EXISTS`.
#[must_use]
pub fn tables(state: &State) -> Vec<String> {
    let made = texts(
        state,
        "SELECT sql AS one FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name",
    );
    let words = |sql: &String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
    made.iter().map(|sql| words(sql).replace("IF NOT EXISTS ", "")).collect()
}

/// Returns the version of the schema, as the row `schema` of `meta` says it.
#[must_use]
pub fn schema(state: &State) -> Vec<String> {
    texts(state, "SELECT value AS one FROM meta WHERE name = 'schema'")
}
