//! A token bucket: so much at once, and one more every so often.

use std::time::Duration;

use crate::wire::position::UnixMillis;

/// Holds at most `MAX`; one comes back every `REFILL_MS` milliseconds. Full when made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenBucket<const MAX: u32, const REFILL_MS: u64> {
    left: u32,
    at: UnixMillis,
}

impl<const MAX: u32, const REFILL_MS: u64> TokenBucket<MAX, REFILL_MS> {
    /// Takes one token; says whether there was one.
    pub(super) fn take(&mut self, now: UnixMillis) -> bool {
        // Without this a clock that went back would give no token until it has caught up.
        self.at = self.at.min(now);
        let earned = now.since(self.at).as_millis() / Duration::from_millis(REFILL_MS).as_millis();
        if earned > 0 {
            self.left = self.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(MAX);
            self.at = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

impl<const MAX: u32, const REFILL_MS: u64> Default for TokenBucket<MAX, REFILL_MS> {
    fn default() -> Self {
        Self { left: MAX, at: UnixMillis(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn so_much_at_once_and_one_more_every_so_often() {
        let mut token_bucket = TokenBucket::<2, 50>::default();
        let mut take = |at| token_bucket.take(UnixMillis(at));
        assert_eq!([take(1_000), take(1_000), take(1_000)], [true, true, false]);
        assert_eq!([take(1_049), take(1_050), take(1_050)], [false, true, false]);
        assert_eq!([take(9_000), take(9_000), take(9_000)], [true, true, false], "it never holds more");
        assert!(!take(8_000), "a clock that goes back earns nothing");
        assert!(take(8_050), "and goes on from there");
    }
}
