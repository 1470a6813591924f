//! Numbers over time: counted in buckets of 10 s, rolled up to a minute and to 10 minutes, kept in bounded space.
//!
//! Knows nothing of SQLite. [`SeriesRows`] is what an object keeps; a row is one bucket of all classes. In reading order:
//! - [`measures`]: the names, units and histograms of the numbers that a reader, or a broker, counts;
//! - [`bucket`]: the numbers of one step by class, and their packed form, whose size is bounded;
//! - [`recorder`]: counts into the open bucket, writes it when a later one begins, rolls up and forgets;
//! - [`chart`]: reads the buckets of a span into an answer;
//! - [`log_numbers`]: the numbers of a broker, before they are in a bucket.

pub mod bucket;
pub mod chart;
pub mod log_numbers;
pub mod measures;
pub mod recorder;

pub use bucket::Bucket;
pub use measures::{BROKER, LogCount, Measures, READER};
pub use recorder::{Recorder, SeriesRows};

#[cfg(test)]
mod tests;
