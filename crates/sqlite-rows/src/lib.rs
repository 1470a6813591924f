//! The SQLite of a Durable Object: its schema, transactions, and typed rows.
//!
//! [`Database`] opens the storage of an object, brings it to the schema of this build, and runs statements. The
//! statements are the callers' own, in `.sql` files. This crate knows the table `meta`, names and values, among them
//! the number of the schema, and the tables of [`SeriesTables`], which every object keeps alike.
//!
//! *Architecture invariant:* nothing here knows what the rows mean; broker and edge are not known here.

mod database;
mod series;

pub use database::{Database, OpenError, integer};
pub use series::SeriesTables;
