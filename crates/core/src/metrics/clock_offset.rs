//! How far a replica's clock is from its broker's, estimated from pings and versions.
//!
//! No message of the broker tells its time but a version, which carries the moment of its commit. Two things bound the
//! difference, which is the replica's clock minus the broker's:
//! - a version arrives after its commit: the difference is at most *arrival - commit*;
//! - a pong that does not tell of a version was given before that version's commit, and its ping was sent earlier still: the
//!   difference is at least *ping sent - commit*.
//!
//! The fastest version took no longer than the fastest ping there and back, as a rule, so the difference is also taken to be at least
//! the upper bound less that round trip. The estimate is the middle. What delays every version alike, such as a disk, is
//! not told apart from the clocks; half of the distance between the bounds is the error that is shown.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::position::{UnixMillis, Version};

/// How long a bound counts. Clocks drift, so older ones are forgotten.
const PERIOD: Duration = Duration::from_secs(600);
/// How many unanswered pings, and how many pongs without a later version, are remembered.
const REMEMBERED: usize = 16;

/// An estimate: milliseconds that the replica's clock is ahead of the broker's, and how wrong that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The replica's clock minus the broker's, in milliseconds.
    pub ahead_ms: i64,
    /// Half of the distance between the bounds, in milliseconds.
    pub within_ms: u64,
}

/// The bounds that were seen lately.
#[derive(Debug, Default)]
pub struct ClockOffset {
    /// When each ping that has no pong was sent, oldest first.
    pinged: VecDeque<UnixMillis>,
    /// When the ping of each pong was sent, and the version that the pong told, oldest first.
    ponged: VecDeque<(UnixMillis, Version)>,
    /// The bounds of this period, and of the one before.
    bounds: [Bounds; 2],
    turned_at: UnixMillis,
}

#[derive(Debug, Default, Clone, Copy)]
struct Bounds {
    most: Option<i64>,
    least: Option<i64>,
    fastest_ping: Option<i64>,
}

impl ClockOffset {
    /// Forgets the pings of a connection that ended.
    pub fn disconnected(&mut self) {
        self.pinged.clear();
        self.ponged.clear();
    }

    /// A ping is sent.
    pub fn pinged(&mut self, now: UnixMillis) {
        remember(&mut self.pinged, now);
    }

    /// A pong tells the version of the head.
    pub fn ponged(&mut self, now: UnixMillis, head: Version) {
        let Some(sent) = self.pinged.pop_front() else { return };
        let fastest = &mut self.bounds_at(now).fastest_ping;
        *fastest = least(*fastest, difference(now, sent));
        remember(&mut self.ponged, (sent, head));
    }

    /// A version arrives that was committed at `at`, by the broker's clock.
    pub fn arrived(&mut self, now: UnixMillis, version: Version, at: UnixMillis) {
        let most = &mut self.bounds_at(now).most;
        *most = least(*most, difference(now, at));
        while let Some((sent, _)) = self.ponged.front().copied().filter(|(_, head)| *head < version) {
            self.ponged.pop_front();
            let bound = &mut self.bounds_at(now).least;
            let ahead = difference(sent, at);
            *bound = Some(bound.map_or(ahead, |known| known.max(ahead)));
        }
    }

    /// Returns the estimate; `None` before a version has arrived.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        let [now, before] = &self.bounds;
        let most = [now.most, before.most].into_iter().flatten().min()?;
        let by_ping =
            [now.fastest_ping, before.fastest_ping].into_iter().flatten().min().map(|ping| most - ping);
        let proved = [now.least, before.least].into_iter().flatten().max();
        let at_least = proved.max(by_ping).unwrap_or(most).min(most);
        Some(Estimate {
            ahead_ms: at_least + (most - at_least) / 2,
            within_ms: (most - at_least).unsigned_abs().div_ceil(2),
        })
    }

    /// Returns how long ago something happened at the broker at `at`, by the estimate; never less than nothing.
    #[must_use]
    pub fn age(&self, now: UnixMillis, at: UnixMillis) -> Duration {
        let ahead = self.estimate().map_or(0, |estimate| estimate.ahead_ms);
        Duration::from_millis(u64::try_from(difference(now, at) - ahead).unwrap_or(0))
    }

    fn bounds_at(&mut self, now: UnixMillis) -> &mut Bounds {
        if now.since(self.turned_at) > PERIOD {
            let [current, _] = self.bounds;
            self.bounds = [Bounds::default(), current];
            self.turned_at = now;
        }
        let [current, _] = &mut self.bounds;
        current
    }
}

fn remember<T>(queue: &mut VecDeque<T>, one: T) {
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(one);
}

fn least(known: Option<i64>, other: i64) -> Option<i64> {
    Some(known.map_or(other, |known| known.min(other)))
}

/// Returns the milliseconds from one moment to another, which may be of another clock.
fn difference(later: UnixMillis, earlier: UnixMillis) -> i64 {
    let moment = |at: UnixMillis| i64::try_from(at.0).unwrap_or(i64::MAX);
    moment(later).saturating_sub(moment(earlier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    #[test]
    fn nothing_is_estimated_before_a_version_arrives() {
        let mut offset = ClockOffset::default();
        offset.pinged(UnixMillis(5));
        offset.ponged(UnixMillis(9), version(1));
        assert_eq!(offset.estimate(), None);
        assert_eq!(
            offset.age(UnixMillis(100), UnixMillis(40)),
            Duration::from_millis(60),
            "as the clocks say"
        );
    }

    #[test]
    fn a_version_bounds_the_difference_from_above_and_a_ping_from_below() {
        let mut offset = ClockOffset::default();
        offset.arrived(UnixMillis(1_100), version(1), UnixMillis(1_000));
        assert_eq!(offset.estimate(), Some(Estimate { ahead_ms: 100, within_ms: 0 }));
        offset.pinged(UnixMillis(2_000));
        offset.ponged(UnixMillis(2_040), version(1));
        assert_eq!(offset.estimate(), Some(Estimate { ahead_ms: 80, within_ms: 20 }), "the round trip");
        offset.arrived(UnixMillis(2_030), version(2), UnixMillis(1_910));
        assert_eq!(
            offset.estimate(),
            Some(Estimate { ahead_ms: 95, within_ms: 5 }),
            "the pong did not tell of it"
        );
        assert_eq!(offset.age(UnixMillis(3_000), UnixMillis(2_900)), Duration::from_millis(5));
        assert_eq!(offset.age(UnixMillis(3_000), UnixMillis(3_000)), Duration::ZERO);
    }

    #[test]
    fn bounds_are_forgotten_in_time_for_clocks_drift() {
        let mut offset = ClockOffset::default();
        let mut now = UnixMillis(1_000_000);
        offset.arrived(now, version(1), now.minus(Duration::from_millis(10)));
        for number in 2..5 {
            now = now.plus(PERIOD + Duration::from_secs(1));
            offset.arrived(now, version(number), now.minus(Duration::from_millis(70)));
        }
        assert_eq!(offset.estimate(), Some(Estimate { ahead_ms: 70, within_ms: 0 }));
    }

    /// A replica and a broker with clocks that differ, and a line that takes from `FASTEST` to ten times as long each way.
    #[test]
    fn the_estimate_is_as_near_as_it_says_however_the_clocks_differ() {
        const FASTEST: u64 = 8;
        for (seed, ahead) in [(1, 0_i64), (2, 500), (3, -40_000), (4, 3), (5, -1)] {
            let mut rng = SplitMix64::new(seed);
            let mut way = || FASTEST + rng.next() % (FASTEST * 9);
            let mut offset = ClockOffset::default();
            let by_replica =
                |broker: u64| UnixMillis((100_000 + i64::try_from(broker).unwrap() + ahead) as u64);
            let by_broker = |broker: u64| UnixMillis(100_000 + broker);
            let mut time = 0;
            for number in 1..400 {
                // A ping is answered before the next version is committed; both are slow or fast as the line will have it.
                let (there, back, down) = (way(), way(), way());
                offset.pinged(by_replica(time));
                offset.ponged(by_replica(time + there + back), version(number));
                let commit = time + there + 1;
                let arrives = (commit + down).max(time + there + back);
                offset.arrived(by_replica(arrives), version(number + 1), by_broker(commit));
                time = arrives + 100;
            }
            let Estimate { ahead_ms, within_ms } = offset.estimate().unwrap();
            assert!(within_ms <= FASTEST * 2, "{ahead}: within {within_ms}");
            assert!(ahead_ms.abs_diff(ahead) <= within_ms + 1, "{ahead}: {ahead_ms} within {within_ms}");
        }
    }
}
