//! The log's numbers over time: what is published, and how soon replicas acknowledge it.
//!
//! Counting is adding to numbers in memory. A bucket is written when a later one begins, on an alarm that comes anyway, or
//! once nothing was counted for [`QUIET`]: a second in memory costs less than an alarm.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use newsreel_core::follow::hub::PublishOutcome;
use newsreel_core::metrics::series::chart::{self, ChartError};
use newsreel_core::metrics::series::log_numbers::LogNumbers;
use newsreel_core::metrics::series::{BROKER, LogCount, Recorder};
use newsreel_core::wire::series::{SeriesPage, SeriesQuery};
use newsreel_core::wire::{Catalog, UnixMillis, Version};
use newsreel_sqlite_rows::SeriesTables;
use worker::Result;

/// How long nothing was counted when a bucket is written that no later one closes.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// The numbers of one log.
pub(crate) struct LogSeries {
    recorder: RefCell<Recorder>,
    numbers: RefCell<LogNumbers>,
    /// When something was last counted that is worth a row.
    pub(super) counted_at: Cell<UnixMillis>,
    /// Whether a timer waits to write it.
    pub(super) is_waiting: Cell<bool>,
}

impl Default for LogSeries {
    fn default() -> Self {
        let (recorder, numbers) = (Recorder::new(&BROKER).into(), RefCell::default());
        Self { recorder, numbers, counted_at: Cell::default(), is_waiting: Cell::new(false) }
    }
}

impl LogSeries {
    /// Counts a request to the object.
    pub(crate) fn requested(&self) {
        self.numbers.borrow_mut().add(LogCount::Requests, 1);
    }

    /// Counts a message of a socket.
    pub(crate) fn heard(&self) {
        self.numbers.borrow_mut().add(LogCount::Messages, 1);
    }

    /// Counts the publishes of one commit.
    pub(crate) fn published<'a>(
        &self,
        outcomes: impl Iterator<Item = &'a PublishOutcome>,
        bytes: u64,
        followers: usize,
    ) {
        self.numbers.borrow_mut().published(outcomes, bytes, followers);
    }

    /// Counts that a replica has acknowledged the versions after `before` up to `after`.
    pub(crate) fn applied(&self, before: Version, after: Version, now: UnixMillis) {
        self.numbers.borrow_mut().applied(before, after, now);
    }

    /// Counts how long publishes of one sender took, from their arrival to their commit.
    pub(crate) fn publish_took(&self, publishes: usize, took: Duration) {
        self.numbers.borrow_mut().publish_took(publishes as u64, took);
    }

    /// Returns the page of `GET series` that a query asks for.
    pub(crate) fn answer(
        &self,
        rows: &SeriesTables<'_>,
        catalog: &Catalog,
        query: &SeriesQuery,
        now: UnixMillis,
    ) -> std::result::Result<SeriesPage, ChartError<worker::Error>> {
        chart::answer(&self.recorder.borrow(), rows, query, (catalog, None), now)
    }

    /// Moves what was counted into the bucket of this time, and with `all` writes the bucket too.
    pub(super) fn write(&self, rows: &SeriesTables<'_>, now: UnixMillis, all: bool) -> Result<()> {
        let counted = self.numbers.borrow_mut().take();
        if let Some(counted) = counted {
            self.recorder.borrow_mut().count(rows, now, &counted)?;
        }
        if all { self.recorder.borrow_mut().keep(rows) } else { Ok(()) }
    }
}
