//! How late a source is, as it tells the deployment's board of alerts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::delay::since;

/// The delays and waits of a source since its last report.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// How long changes took to be durable.
    durable: Histogram<u64>,
    /// When the oldest change happened that was read and is not durable, in Unix milliseconds by the other side's clock.
    oldest: Option<i64>,
    /// The moment up to which every change is durable, by the same clock, where the other side tells of changes that are not.
    behind: Option<i64>,
    /// The parts of the other side, and the broker, that do not answer, and since when.
    away: BTreeMap<String, Instant>,
}

/// How late a source is, in one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    /// The most that is known.
    pub(crate) by: Duration,
    /// How many publishes became durable.
    pub(crate) publishes: u64,
}

impl Lateness {
    /// Returns a source that has published nothing and reached everything.
    pub(crate) fn new() -> Self {
        let durable = Histogram::new(3).expect("three digits are within what the histogram takes");
        Self { durable, oldest: None, behind: None, away: BTreeMap::new() }
    }

    /// Counts a version that became durable so long after its change.
    pub(crate) fn durable(&mut self, after: Duration) {
        self.durable.saturating_record(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    }

    /// Notes when the oldest change happened that waits, if any does.
    pub(crate) fn waits(&mut self, oldest: Option<i64>) {
        self.oldest = oldest;
    }

    /// Notes the moment up to which every change is durable, where the other side tells of changes that are not.
    pub(crate) fn behind(&mut self, durable_up_to: Option<i64>) {
        self.behind = durable_up_to;
    }

    /// Notes whether a side, or a part of one, answers.
    pub(crate) fn answers(&mut self, part: &str, answers: bool) {
        if answers {
            self.away.remove(part);
        } else if !self.away.contains_key(part) {
            self.away.insert(part.to_owned(), Instant::now());
        }
    }

    /// Returns how late the source is when it is `now` by the other side's clock, and begins a new report.
    pub(crate) fn take(&mut self, now: i64) -> Late {
        let durable = Duration::from_millis(self.durable.value_at_quantile(0.99));
        let waits =
            self.oldest.into_iter().chain(self.behind).map(|at| since(at, now)).max().unwrap_or_default();
        let away = self.away.values().map(Instant::elapsed).max().unwrap_or_default();
        let publishes = self.durable.len();
        self.durable.reset();
        Late { by: durable.max(waits).max(away), publishes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    #[tokio::test(start_paused = true)]
    async fn a_source_is_as_late_as_its_latest_part() {
        let mut lateness = Lateness::new();
        let seconds = Duration::from_secs;
        assert_eq!(lateness.take(NOW), Late { by: Duration::ZERO, publishes: 0 });
        (0..99).for_each(|_| lateness.durable(seconds(1)));
        lateness.durable(seconds(50));
        let Late { by, publishes } = lateness.take(NOW);
        assert_eq!((by.as_secs(), publishes), (1, 100), "99 of 100 took a second");
        lateness.waits(Some(NOW - 70_000));
        assert_eq!(lateness.take(NOW).by, seconds(70));
        lateness.behind(Some(NOW - 80_000));
        assert_eq!(lateness.take(NOW).by, seconds(80));
        lateness.behind(None);
        lateness.answers("films", false);
        tokio::time::advance(seconds(90)).await;
        lateness.answers("films", false);
        lateness.answers("other", true);
        assert_eq!(lateness.take(NOW).by, seconds(90), "since it did not answer first");
        lateness.answers("films", true);
        lateness.waits(None);
        assert_eq!(lateness.take(NOW).by, Duration::ZERO);
    }
}
