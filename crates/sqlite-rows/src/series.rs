//! The tables of an object's series: packed buckets, a table for each resolution.
//!
//! The tables belong to no schema: a build that does not know them leaves them alone, so they are no reason to refuse
//! rolling back. Each is written at its end and forgotten from its beginning, so its pages stay full.

use std::fmt;

use newsreel_core::metrics::series::SeriesRows;
use newsreel_core::wire::series::Resolution;
use serde::de::{Deserialize, Deserializer, Visitor};
use worker::Result;

use crate::database::{Database, integer};

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

/// The series of one object.
#[derive(Debug, Clone, Copy)]
pub struct SeriesTables<'a>(&'a Database);

#[derive(serde::Deserialize)]
struct Row {
    at: u64,
    packed: Bytes,
}

#[derive(serde::Deserialize)]
struct Newest {
    at: Option<u64>,
}

impl<'a> SeriesTables<'a> {
    /// Returns the tables of a database. [`Self::create`] must have been called once.
    #[must_use]
    pub const fn of(database: &'a Database) -> Self {
        Self(database)
    }

    /// Creates the tables that are missing.
    ///
    /// # Errors
    /// When SQLite cannot write.
    pub fn create(self) -> Result<()> {
        self.0.run_all(include_str!("sql/series.sql"))
    }
}

const fn table(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::TenSeconds => "series_10",
        Resolution::Minute => "series_60",
        Resolution::TenMinutes => "series_600",
    }
}

impl SeriesRows for SeriesTables<'_> {
    type Error = worker::Error;

    fn newest(&self, resolution: Resolution) -> Result<Option<u64>> {
        let row: Option<Newest> =
            self.0.first(&format!("SELECT max(at) AS at FROM {}", table(resolution)), vec![])?;
        Ok(row.and_then(|row| row.at))
    }

    fn read(&self, resolution: Resolution, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let query =
            format!("SELECT at, packed FROM {} WHERE at >= ? AND at < ? ORDER BY at", table(resolution));
        let rows: Vec<Row> = self.0.rows(&query, vec![integer(first), integer(end)])?;
        Ok(rows.into_iter().map(|row| (row.at, row.packed.0)).collect())
    }

    fn write(&self, resolution: Resolution, number: u64, packed: &[u8]) -> Result<()> {
        let statement = format!("INSERT OR REPLACE INTO {} VALUES (?, ?)", table(resolution));
        self.0.run(&statement, vec![integer(number), packed.to_vec().into()])
    }

    fn forget(&self, resolution: Resolution, first: u64) -> Result<()> {
        self.0.run(&format!("DELETE FROM {} WHERE at < ?", table(resolution)), vec![integer(first)])
    }
}

/// Bytes of a column, which JavaScript has as an `ArrayBuffer`.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<Bytes, E> {
        Ok(Bytes(bytes))
    }
}
