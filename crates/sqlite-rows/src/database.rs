//! Opens an object's SQLite at the schema of this build, and runs statements in it.

use std::panic::AssertUnwindSafe;

use newsreel_core::log::schema;
use newsreel_core::wire::Problem;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use worker::{Result, SqlStorage, SqlStorageValue, State};

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

/// The table of names and values that every schema has.
const META: &str = include_str!("sql/meta.sql");

#[wasm_bindgen]
extern "C" {
    /// The part of an object's storage that crate `worker` does not wrap.
    #[derive(Debug)]
    type Transactions;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn run(
        this: &Transactions,
        body: &mut dyn FnMut() -> std::result::Result<JsValue, JsValue>,
    ) -> std::result::Result<JsValue, JsValue>;

    /// The size of a database, which crate `worker` cuts off at 4 GiB.
    type Size;

    #[wasm_bindgen(method, getter, js_name = databaseSize)]
    fn bytes(this: &Size) -> f64;
}

/// The reason that a database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer build wrote the rows, or none: nothing may be written to them, and every caller is told so.
    #[error("{}", .0.detail())]
    Refused(Problem),
    /// The platform could not read the rows: the next event may try again.
    #[error(transparent)]
    Failed(#[from] worker::Error),
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The SQLite of one object.
#[derive(Debug)]
pub struct Database {
    sql: SqlStorage,
    transactions: Transactions,
}

impl Database {
    /// Opens the database of an object and applies the migrations that it still needs, each in one transaction.
    ///
    /// `migrations` makes the next schema of the one before it, the first of nothing. A released migration is
    /// never changed (see `docs/upgrades.md`).
    ///
    /// # Errors
    /// [`OpenError::Refused`] when the schema is not one that `migrations` leads to.
    pub fn open(state: &State, migrations: &[&str]) -> std::result::Result<Self, OpenError> {
        let storage = state.storage();
        let transactions = AsRef::<JsValue>::as_ref(storage.as_raw()).clone().unchecked_into();
        let database = Self { sql: storage.sql(), transactions };
        database.migrate(migrations)?;
        Ok(database)
    }

    fn migrate(&self, migrations: &[&str]) -> std::result::Result<(), OpenError> {
        self.run(META, vec![])?;
        for (schema, statements) in schema::pending(self.meta("schema")?.as_deref(), migrations)? {
            self.transaction(|| {
                self.run_all(statements)?;
                self.set_meta("schema", &schema.to_string())
            })?;
        }
        Ok(())
    }

    /// Runs one statement, and reads none of its rows.
    ///
    /// # Errors
    /// When SQLite refuses it, or the disk is full.
    pub fn run(&self, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<()> {
        self.sql.exec(statement, bindings).map(|_| ())
    }

    /// Runs several statements, which take no bindings.
    ///
    /// # Errors
    /// When SQLite refuses one; those before it are done.
    pub fn run_all(&self, statements: &str) -> Result<()> {
        self.sql.exec(statements, None).map(|_| ())
    }

    /// Returns the rows of a query, each read by the names of its columns.
    ///
    /// # Errors
    /// When SQLite refuses the query, or a column is of another kind than `T` says.
    pub fn rows<T: DeserializeOwned>(&self, query: &str, bindings: Vec<SqlStorageValue>) -> Result<Vec<T>> {
        self.sql.exec(query, bindings)?.next().collect()
    }

    /// Returns the first row of a query, read by the names of its columns.
    ///
    /// # Errors
    /// When SQLite refuses the query, or a column is of another kind than `T` says.
    pub fn first<T: DeserializeOwned>(
        &self,
        query: &str,
        bindings: Vec<SqlStorageValue>,
    ) -> Result<Option<T>> {
        self.sql.exec(query, bindings)?.next().next().transpose()
    }

    /// Returns the first row of a query as JavaScript has it, for texts that never cross into wasm.
    ///
    /// # Errors
    /// When SQLite refuses the query.
    pub fn first_raw(&self, query: &str, bindings: Vec<SqlStorageValue>) -> Result<Option<JsValue>> {
        let mut cursor = self.sql.exec(query, bindings)?;
        Iterator::next(&mut cursor).transpose()
    }

    /// Returns a value of the table `meta`.
    ///
    /// # Errors
    /// When SQLite cannot read it.
    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        #[derive(serde::Deserialize)]
        struct Row {
            value: String,
        }
        let row: Option<Row> = self.first("SELECT value FROM meta WHERE name = ?", vec![name.into()])?;
        Ok(row.map(|row| row.value))
    }

    /// Sets a value of the table `meta`.
    ///
    /// # Errors
    /// When SQLite cannot write it.
    pub fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", vec![name.into(), value.into()])
    }

    /// Removes a value of the table `meta`.
    ///
    /// # Errors
    /// When SQLite cannot write.
    pub fn remove_meta(&self, name: &str) -> Result<()> {
        self.run("DELETE FROM meta WHERE name = ?", vec![name.into()])
    }

    /// Runs `writes` in one transaction: an error or a panic in it undoes all of it.
    ///
    /// # Errors
    /// The error of `writes`.
    pub fn transaction(&self, writes: impl FnMut() -> Result<()>) -> Result<()> {
        // After a panic in `writes` the rows are as before. The caller must distrust its own state in memory.
        let mut writes = AssertUnwindSafe(writes);
        self.transactions.run(&mut move || {
            let writes = &mut writes;
            (writes.0)().map(|()| JsValue::UNDEFINED).map_err(JsValue::from)
        })?;
        Ok(())
    }

    /// Returns how many bytes the database takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size is a whole number below 2^53"
        )]
        let bytes = AsRef::<JsValue>::as_ref(&self.sql).unchecked_ref::<Size>().bytes() as u64;
        bytes
    }
}

/// Binds a whole number. A number above 2^63 is bound as the largest that SQLite has.
#[must_use]
pub fn integer(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
