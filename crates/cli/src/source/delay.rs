//! Delays from the change on: their spread for the reports, and the clock of the other side.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How long an estimate of the other clock stands against a worse one.
const CLOCK_KEPT_MILLIS: i64 = 30_000;

/// Returns the time from a change at `at` until `now`, both in Unix milliseconds by one clock.
pub(crate) fn since(at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - at).unwrap_or_default())
}

/// The events since the last report.
#[derive(Debug)]
pub(crate) struct Delays {
    /// The plural of what the other side has its changes in, such as transactions.
    units: &'static str,
    count: u64,
    rows: u64,
    versions: u64,
    durable: Histogram<u64>,
    applied: Histogram<u64>,
}

impl Delays {
    /// Returns a report of nothing.
    pub(crate) fn new(units: &'static str) -> Self {
        let times = || Histogram::new(3).expect("three digits are within what the histogram takes");
        Self { units, count: 0, rows: 0, versions: 0, durable: times(), applied: times() }
    }

    /// Counts one unit and its rows.
    pub(crate) fn read(&mut self, rows: u64) {
        self.count += 1;
        self.rows += rows;
    }

    /// Counts a version that became durable so long after its change.
    pub(crate) fn durable(&mut self, after: Duration) {
        self.versions += 1;
        self.durable.saturating_record(millis(after));
    }

    /// Counts a version that was applied everywhere so long after its change.
    pub(crate) fn applied(&mut self, after: Duration) {
        self.applied.saturating_record(millis(after));
    }

    /// Returns what happened in a time, if anything did, and begins anew.
    pub(crate) fn take_report(&mut self, over: Duration) -> Option<String> {
        let Self { units, count, rows, versions, .. } = *self;
        let (durable, applied) = (spread(&self.durable), spread(&self.applied));
        let asked = self.applied.len();
        if count + versions + asked == 0 {
            return None;
        }
        *self = Self::new(units);
        let seconds = over.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let rate = count as f64 / seconds;
        let mut report =
            format!("{seconds:.0} s: {count} {units} ({rate:.1} a second), {rows} rows, {versions} versions");
        if let Some(durable) = durable {
            report += &format!("; change to durable {durable}");
        }
        if let Some(applied) = applied {
            report += &format!("; change to applied {applied}, of {asked} that were asked for");
        }
        Some(report)
    }
}

fn spread(times: &Histogram<u64>) -> Option<String> {
    let at = |part| times.value_at_quantile(part);
    (!times.is_empty()).then(|| format!("p50 {} ms, p99 {} ms", at(0.5), at(0.99)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of the other side, as seen from here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherClock {
    /// How far the other clock is ahead.
    ahead_millis: i64,
    /// How long the question took that told so: it is wrong by half of that at most.
    round_trip_millis: i64,
    asked_at: Option<i64>,
}

impl OtherClock {
    /// Takes what the other clock said to a question that was asked and answered at these times.
    pub(crate) fn told(&mut self, asked: i64, answered: i64, other: i64) {
        let round_trip = (answered - asked).max(0);
        let stands = self.asked_at.is_some_and(|at| asked - at < CLOCK_KEPT_MILLIS);
        if !stands || round_trip <= self.round_trip_millis {
            *self = Self {
                ahead_millis: other - (asked + round_trip / 2),
                round_trip_millis: round_trip,
                asked_at: Some(asked),
            };
        }
    }

    /// Returns the time of the other clock when it is `now` here.
    pub(crate) fn at(self, now: i64) -> i64 {
        now + self.ahead_millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_rates_and_both_delays_and_silence_has_none() {
        let mut delays = Delays::new("transactions");
        assert_eq!(delays.take_report(Duration::from_secs(60)), None);
        for n in 1..=100 {
            delays.read(2);
            delays.durable(Duration::from_millis(n));
        }
        delays.applied(Duration::from_millis(7));
        assert_eq!(
            delays.take_report(Duration::from_secs(50)).as_deref(),
            Some(
                "50 s: 100 transactions (2.0 a second), 200 rows, 100 versions; change to durable p50 50 ms, p99 99 ms; \
                 change to applied p50 7 ms, p99 7 ms, of 1 that were asked for"
            )
        );
        assert_eq!(delays.take_report(Duration::from_secs(60)), None);
    }

    #[test]
    fn the_answer_that_took_least_tells_the_other_clock() {
        let mut clock = OtherClock::default();
        assert_eq!(clock.at(5), 5);
        clock.told(1_000, 1_010, 3_005);
        assert_eq!(clock.at(1_000), 3_000);
        clock.told(2_000, 2_200, 4_000);
        assert_eq!(clock.at(2_000), 4_000, "a slower answer says less");
        clock.told(40_000, 40_100, 40_050);
        assert_eq!(clock.at(40_000), 40_000, "an old one does not stand for ever");
    }
}
