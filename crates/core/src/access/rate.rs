//! How often each may: so many a second, of bounded memory. Knows neither tokens nor addresses, only who is who.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};

/// Of how many it is remembered how much they took.
pub const MOST_KNOWN: usize = 4_096;

/// How many tokens that are not known an address may show in a second, before it has to wait.
pub const FAILURES_PER_SECOND: u32 = 100;

/// Who takes, without what it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who([u8; 8]);

impl Who {
    /// Returns who is known by this text. Nobody can choose a text that is somebody else.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text);
        Self(std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default()))
    }
}

/// Lets each do so many a second, and a second's worth at once (GCRA).
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Until when each has taken ahead, in microseconds. Who is not here has taken nothing.
    ahead: Vec<(Who, u64)>,
}

impl Rates {
    /// Takes one of `per_second`, where 0 is no limit; or says how long there is none.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&mut self, now: UnixMillis, who: Who, per_second: u32) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let now = now.0.saturating_mul(1_000);
        let apart = u64::from(1_000_000 / per_second);
        let burst = apart * u64::from(per_second);
        let known = self.ahead.iter().position(|(one, _)| *one == who);
        // A clock that went back makes nobody wait for longer than the burst.
        let ahead = known
            .and_then(|at| self.ahead.get(at))
            .map_or(now, |(_, ahead)| (*ahead).clamp(now, now + burst));
        let next = ahead + apart;
        if next > now + burst {
            return Err(Duration::from_millis((next - now - burst).div_ceil(1_000)));
        }
        match known.and_then(|at| self.ahead.get_mut(at)) {
            Some((_, ahead)) => *ahead = next,
            None => self.remember(now, who, next),
        }
        Ok(())
    }

    /// Says how long there is none for somebody, without taking one.
    ///
    /// # Errors
    /// How long to wait.
    pub fn look(&self, now: UnixMillis, who: Who, per_second: u32) -> Result<(), Duration> {
        let known = self.ahead.iter().copied().filter(|(one, _)| *one == who).collect();
        Self { ahead: known }.take(now, who, per_second)
    }

    fn remember(&mut self, now: u64, who: Who, next: u64) {
        if self.ahead.len() >= MOST_KNOWN {
            // Who has nothing taken ahead is as good as not here.
            self.ahead.retain(|(_, ahead)| *ahead > now);
        }
        if self.ahead.len() >= MOST_KNOWN {
            // Whoever took the least is forgiven.
            let least = self.ahead.iter().enumerate().min_by_key(|(_, (_, ahead))| *ahead).map(|(at, _)| at);
            self.ahead.swap_remove(least.unwrap_or_default());
        }
        self.ahead.push((who, next));
    }
}

/// Returns what is said to who has to wait.
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

    fn many(rates: &mut Rates, now: u64, who: &str, per_second: u32) -> usize {
        let mut take = || rates.take(UnixMillis(now), Who::of(who), per_second).is_ok();
        (0..10_000).take_while(|_| take()).count()
    }

    #[test]
    fn a_seconds_worth_at_once_and_then_at_the_rate() {
        let mut rates = Rates::default();
        assert_eq!(many(&mut rates, 1_000, "a", 4), 4);
        assert_eq!(rates.take(UnixMillis(1_000), Who::of("a"), 4), Err(Duration::from_millis(250)));
        assert_eq!(many(&mut rates, 1_249, "a", 4), 0);
        assert_eq!(many(&mut rates, 1_250, "a", 4), 1);
        assert_eq!(many(&mut rates, 1_750, "a", 4), 2);
        assert_eq!(many(&mut rates, 60_000, "a", 4), 4, "what was not taken is not saved up");
    }

    #[test]
    fn each_has_its_own_and_without_a_limit_nobody_waits() {
        let mut rates = Rates::default();
        assert_eq!(many(&mut rates, 0, "a", 3), 3);
        assert_eq!(many(&mut rates, 0, "b", 3), 3);
        assert_eq!(many(&mut rates, 0, "a", 0), 10_000);
        assert_eq!(many(&mut rates, 0, "c", u32::MAX), 10_000, "as good as none");
    }

    #[test]
    fn to_look_takes_nothing() {
        let mut rates = Rates::default();
        let look = |rates: &Rates, now| rates.look(UnixMillis(now), Who::of("a"), 1);
        assert_eq!((look(&rates, 0), look(&rates, 0)), (Ok(()), Ok(())));
        assert_eq!(many(&mut rates, 0, "a", 1), 1);
        assert_eq!((look(&rates, 400), look(&rates, 1_000)), (Err(Duration::from_millis(600)), Ok(())));
    }

    #[test]
    fn a_clock_that_goes_back_keeps_nobody_away_for_longer_than_a_second() {
        let mut rates = Rates::default();
        assert_eq!(many(&mut rates, 3_600_000, "a", 2), 2);
        assert_eq!(rates.take(UnixMillis(0), Who::of("a"), 2), Err(Duration::from_millis(500)));
    }

    #[test]
    fn of_many_who_took_the_least_is_forgotten_first() {
        let mut rates = Rates::default();
        assert_eq!(many(&mut rates, 0, "much", 2), 2);
        for n in 0..MOST_KNOWN + 10 {
            rates.take(UnixMillis(0), Who::of(&format!("other {n}")), 2).unwrap();
        }
        assert_eq!(rates.ahead.len(), MOST_KNOWN);
        assert_eq!(many(&mut rates, 0, "much", 2), 0, "its debt is not paid by others' coming");
        rates.take(UnixMillis(10_000), Who::of("late"), 2).unwrap();
        assert_eq!(rates.ahead.len(), 1, "who took nothing lately takes no room");
    }

    #[test]
    fn whoever_waits_is_told_for_how_long_in_whole_seconds_too() {
        for (ms, header) in [(1, "1"), (999, "1"), (1_000, "1"), (1_001, "2")] {
            let problem = limited(Duration::from_millis(ms));
            assert!(problem.to_json().contains(&format!("\"retry_after_ms\":{ms}")));
            assert!(problem.headers().contains(&("Retry-After", header.to_owned())), "{ms}");
        }
        let mut rates = Rates::default();
        assert_eq!(many(&mut rates, 0, "a", 1_000_000), 10_000);
        assert_eq!(many(&mut rates, 0, "b", 3_000), 3_000);
        let wait = rates.take(UnixMillis(0), Who::of("b"), 3_000);
        assert_eq!(wait, Err(Duration::from_millis(1)), "a part of a millisecond is one");
    }
}
