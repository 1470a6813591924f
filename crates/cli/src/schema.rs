//! The schema of a command's own database: brought to that of this build when it is opened.

use newsreel_core::log::schema;
use newsreel_core::wire::Problem;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

/// FULL: an answered write survives a power cut, not only a crash of this process.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
/// The table of the schema's number, the same in every schema. The first release lacks the table, and has
/// schema 1.
const META: &str = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";

/// Why a database cannot be brought to the schema of this build.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// The file is no database, or cannot be written.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// A newer build has written the database.
    #[error("{}", .0.detail())]
    Newer(Problem),
}

/// Brings a database to the schema of this build.
pub(crate) fn migrate(database: &mut Connection, migrations: &[&str]) -> Result<(), MigrateError> {
    database.execute_batch(SETTINGS)?;
    // Two processes may be started on one file; the schema is read when it is locked.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(META)?;
    let stored: Option<String> = transaction
        .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| row.get(0))
        .optional()?;
    let pending = schema::pending(stored.as_deref(), migrations);
    for (schema, statements) in pending.map_err(MigrateError::Newer)? {
        transaction.execute_batch(statements)?;
        transaction.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", [schema.to_string()])?;
    }
    Ok(transaction.commit()?)
}
