//! Rate limits: so many calls a second for each token or address, in bounded memory.
//!
//! Knows neither tokens nor addresses, only the keys that callers make of them.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};

/// The most keys for which a rate is remembered.
pub const MAX_RATE_KEYS: usize = 4_096;

/// The most unknown tokens that an address may show in a second before it has to wait.
pub const FAILURES_PER_SECOND: u32 = 100;

/// The bearer of a token, or an address, as the limiter tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateKey([u8; 8]);

impl RateKey {
    /// Returns the key of a text: a part of its hash, so that no caller can choose a text with the key of
    /// another.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text);
        Self(std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default()))
    }
}

/// A token bucket for each key: so many calls a second, and a second's worth at once (GCRA).
#[derive(Debug, Clone, Default)]
pub struct RateLimiter {
    /// Until when the calls of each key are accounted for, in microseconds. An absent key has made no call
    /// lately.
    ahead: BTreeMap<RateKey, u64>,
}

impl RateLimiter {
    /// Counts one call of `per_second`, where 0 is no limit.
    ///
    /// # Errors
    /// The time to wait, when the key has no call left.
    pub fn acquire(&mut self, now: UnixMillis, key: RateKey, per_second: u32) -> Result<(), Duration> {
        if let Some(next) = self.next(now, key, per_second)? {
            self.remember(now, key, next);
        }
        Ok(())
    }

    /// Says whether a call could be counted, without counting it.
    ///
    /// # Errors
    /// The time to wait, when the key has no call left.
    pub fn peek(&self, now: UnixMillis, key: RateKey, per_second: u32) -> Result<(), Duration> {
        self.next(now, key, per_second).map(|_| ())
    }

    /// Returns until when the calls of a key are accounted for after one more; `None` without a limit.
    fn next(&self, now: UnixMillis, key: RateKey, per_second: u32) -> Result<Option<u64>, Duration> {
        if per_second == 0 {
            return Ok(None);
        }
        let now = micros(now);
        let apart = u64::from(1_000_000 / per_second);
        let burst = apart * u64::from(per_second);
        // A clock that went back makes no caller wait for longer than the burst.
        let ahead = self.ahead.get(&key).map_or(now, |ahead| (*ahead).clamp(now, now + burst));
        let next = ahead + apart;
        if next > now + burst {
            return Err(Duration::from_millis((next - now - burst).div_ceil(1_000)));
        }
        Ok(Some(next))
    }

    fn remember(&mut self, now: UnixMillis, key: RateKey, next: u64) {
        if self.ahead.len() >= MAX_RATE_KEYS && !self.ahead.contains_key(&key) {
            // A key that is accounted for up to now is as good as absent.
            self.ahead.retain(|_, ahead| *ahead > micros(now));
            if self.ahead.len() >= MAX_RATE_KEYS {
                self.forget_least();
            }
        }
        self.ahead.insert(key, next);
    }

    /// Forgets the key that has taken the least ahead.
    fn forget_least(&mut self) {
        let least = self.ahead.iter().min_by_key(|(_, ahead)| **ahead).map(|(key, _)| *key);
        if let Some(least) = least {
            self.ahead.remove(&least);
        }
    }
}

fn micros(at: UnixMillis) -> u64 {
    at.0.saturating_mul(1_000)
}

/// Returns the problem of a caller that has to wait.
#[must_use]
pub fn limited(wait: Duration) -> Problem {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Problem::new(Code::RateLimited, "more than this token, or this address, may in a second")
        .with("retry_after_ms", wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn many(limiter: &mut RateLimiter, now: u64, who: &str, per_second: u32) -> usize {
        let mut acquire = || limiter.acquire(UnixMillis(now), RateKey::of(who), per_second).is_ok();
        (0..10_000).take_while(|_| acquire()).count()
    }

    #[test]
    fn a_seconds_worth_at_once_and_then_at_the_rate() {
        let mut limiter = RateLimiter::default();
        assert_eq!(many(&mut limiter, 1_000, "a", 4), 4);
        assert_eq!(limiter.acquire(UnixMillis(1_000), RateKey::of("a"), 4), Err(Duration::from_millis(250)));
        assert_eq!(many(&mut limiter, 1_249, "a", 4), 0);
        assert_eq!(many(&mut limiter, 1_250, "a", 4), 1);
        assert_eq!(many(&mut limiter, 1_750, "a", 4), 2);
        assert_eq!(many(&mut limiter, 60_000, "a", 4), 4, "what was not taken is not saved up");
    }

    #[test]
    fn each_key_has_its_own_limit_and_without_a_limit_no_caller_waits() {
        let mut limiter = RateLimiter::default();
        assert_eq!(many(&mut limiter, 0, "a", 3), 3);
        assert_eq!(many(&mut limiter, 0, "b", 3), 3);
        assert_eq!(many(&mut limiter, 0, "a", 0), 10_000);
        assert_eq!(many(&mut limiter, 0, "c", u32::MAX), 10_000, "as good as none");
    }

    #[test]
    fn a_peek_counts_no_call() {
        let mut limiter = RateLimiter::default();
        let peek = |limiter: &RateLimiter, now| limiter.peek(UnixMillis(now), RateKey::of("a"), 1);
        assert_eq!((peek(&limiter, 0), peek(&limiter, 0)), (Ok(()), Ok(())));
        assert_eq!(many(&mut limiter, 0, "a", 1), 1);
        assert_eq!((peek(&limiter, 400), peek(&limiter, 1_000)), (Err(Duration::from_millis(600)), Ok(())));
    }

    #[test]
    fn a_clock_that_goes_back_delays_no_caller_for_longer_than_a_second() {
        let mut limiter = RateLimiter::default();
        assert_eq!(many(&mut limiter, 3_600_000, "a", 2), 2);
        assert_eq!(limiter.acquire(UnixMillis(0), RateKey::of("a"), 2), Err(Duration::from_millis(500)));
    }

    #[test]
    fn of_many_keys_the_one_that_took_the_least_is_forgotten_first() {
        let mut limiter = RateLimiter::default();
        assert_eq!(many(&mut limiter, 0, "much", 2), 2);
        for n in 0..MAX_RATE_KEYS + 10 {
            limiter.acquire(UnixMillis(0), RateKey::of(&format!("other {n}")), 2).unwrap();
        }
        assert_eq!(limiter.ahead.len(), MAX_RATE_KEYS);
        assert_eq!(many(&mut limiter, 0, "much", 2), 0, "its debt is not paid by others' coming");
        limiter.acquire(UnixMillis(10_000), RateKey::of("late"), 2).unwrap();
        assert_eq!(limiter.ahead.len(), 1, "a key without a call lately takes no room");
    }

    #[test]
    fn a_caller_that_waits_is_told_for_how_long_in_whole_seconds_too() {
        for (ms, header) in [(1, "1"), (999, "1"), (1_000, "1"), (1_001, "2")] {
            let problem = limited(Duration::from_millis(ms));
            assert!(problem.to_json().contains(&format!("\"retry_after_ms\":{ms}")));
            assert!(problem.headers().contains(&("Retry-After", header.to_owned())), "{ms}");
        }
        let mut limiter = RateLimiter::default();
        assert_eq!(many(&mut limiter, 0, "a", 1_000_000), 10_000);
        assert_eq!(many(&mut limiter, 0, "b", 3_000), 3_000);
        let wait = limiter.acquire(UnixMillis(0), RateKey::of("b"), 3_000);
        assert_eq!(wait, Err(Duration::from_millis(1)), "a part of a millisecond is one");
    }
}
