//! When an address is asked next: the interval with jitter, and back-off after failures.

use std::time::Duration;

use newsreel_core::follow::follower::backoff_ceiling;
use newsreel_mapping::Feed;

/// The ceiling of the wait after the first failure. The ceiling doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The highest ceiling of the wait after a failure.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// Returns the time until the next round, after a good one. `random` is from 0 to 1.
pub(super) fn after_success(feed: &Feed, random: f64) -> Duration {
    let share = f64::from(feed.jitter) / 100.0;
    feed.every.mul_f64(1.0 + share * (2.0 * random - 1.0))
}

/// Returns the time until the next attempt, after so many failures in a row. A server that asks for patience has it.
pub(super) fn after_failure(failures: u32, asked: Option<Duration>, random: f64) -> Duration {
    let ceiling = backoff_ceiling(FIRST_WAIT, MOST_WAIT, failures.saturating_sub(1));
    // Half of the wait is certain, so that no server is asked again at once.
    let wait = ceiling.mul_f64(0.5 + 0.5 * random);
    asked.map_or(wait, |asked| asked + FIRST_WAIT.mul_f64(random)).max(wait)
}

#[cfg(test)]
mod tests {
    use super::super::example::feed;
    use super::*;

    #[test]
    fn rounds_are_an_interval_apart_with_jitter() {
        let feed = feed("kind = \"etag\"\nurl = \"http://h\"\nevery = \"100 s\"\njitter = \"20%\"");
        let seconds = |random| after_success(&feed, random).as_secs();
        assert_eq!((seconds(0.0), seconds(0.5), seconds(1.0)), (80, 100, 120));
    }

    #[test]
    fn failures_are_further_and_further_apart_and_patience_is_kept() {
        let seconds = |failures, asked: Option<u64>| {
            after_failure(failures, asked.map(Duration::from_secs), 1.0).as_secs_f64()
        };
        assert_eq!([seconds(1, None), seconds(2, None), seconds(4, None)], [1.0, 2.0, 8.0]);
        assert_eq!(seconds(1_000, None), 600.0);
        assert_eq!(after_failure(1, None, 0.0), Duration::from_millis(500));
        assert_eq!((seconds(1, Some(120)), seconds(9, Some(3))), (121.0, 256.0));
    }
}
