//! The wait between two attempts: at random below a ceiling that doubles, and longer where the broker asks
//! for it.

use std::time::Duration;

use super::io::FollowerConfig;
use crate::rng::SplitMix64;
use crate::wire::position::UnixMillis;

/// The longest time that a follower stays away because the broker asked for it.
pub const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// Returns the ceiling of the wait after so many failures: `base`, doubled with each further failure, up to
/// `cap`.
#[must_use]
pub fn backoff_ceiling(base: Duration, cap: Duration, failures: u32) -> Duration {
    base.saturating_mul(1 << failures.min(16)).min(cap)
}

/// The attempts of one follower since it was last live.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    /// The wait that the broker asked for.
    requested: Option<Duration>,
    random: SplitMix64,
}

impl Backoff {
    pub(super) fn new(config: &FollowerConfig, seed: u64) -> Self {
        let FollowerConfig { backoff_base: base, backoff_cap: cap, .. } = *config;
        Self { base, cap, failures: 0, requested: None, random: SplitMix64::new(seed) }
    }

    /// Sets or forgets the wait that the broker asks for before the next attempt.
    pub(super) fn request(&mut self, least: Option<Duration>) {
        self.requested = least.map(|least| least.min(LONGEST_RETRY));
    }

    /// Forgets the failed attempts, since the follower is live.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Returns when the next attempt begins, and counts this one as failed.
    ///
    /// The wait is anything up to a ceiling that doubles (full jitter), so that a fleet which lost its broker
    /// does not come back in step.
    pub(super) fn until(&mut self, now: UnixMillis) -> UnixMillis {
        let spread = backoff_ceiling(self.base, self.cap, self.failures).mul_f64(self.unit());
        let least = self.requested.take().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        now.plus(least).plus(spread)
    }

    /// Returns the next random number in [0, 1).
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.random.next() >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_jitter_of_a_seed_is_splitmix64() {
        let mut backoff = Backoff::new(&FollowerConfig::default(), 7);
        // The upper halves of the first numbers of seed 7.
        for expected in [1_674_306_020_u32, 72_105_175, 3_868_737_664] {
            assert_eq!((backoff.unit() * 4_294_967_296.0).to_bits(), f64::from(expected).to_bits());
        }
    }
}
