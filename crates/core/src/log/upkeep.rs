//! The upkeep of a log: when rows are sealed into segments, segments folded, and the past forgotten.
//!
//! Each chore is one bounded step, written in one transaction, so that whatever interrupts it leaves the log as
//! it was before. Knows nothing of storage: it is told what there is and says what to do next.

use std::time::Duration;

use crate::wire::frame::FRAME_BYTES;
use crate::wire::position::UnixMillis;

/// How much of a log is kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows are sealed when there are this many bytes of them, so many at a time, or a frame's worth if that is less.
    pub segment_bytes: u64,
    /// The most bytes of sealed segments that are kept in full; older ones are folded.
    pub keep_bytes: u64,
    /// How long a folded position can still be resumed from. Longer than any entry lives anywhere.
    pub forget_after: Duration,
}

/// How long an idempotency key is remembered: 24 h.
pub const REMEMBER_FOR: Duration = Duration::from_secs(24 * 3_600);

impl Default for Limits {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3_600);
        Self {
            segment_bytes: FRAME_BYTES as u64,
            // 100,000 missed single-change versions are 8 MB: whoever missed so many still gets each of them.
            keep_bytes: 16 << 20,
            forget_after: 15 * day,
        }
    }
}

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    /// Bytes of rows that are in no segment.
    pub hot_bytes: u64,
    /// Bytes of segments that are not folded.
    pub sealed_bytes: u64,
    /// When the newest version of the oldest folded segment was made, as long as it is not forgotten.
    pub oldest_folded: Option<UnixMillis>,
    /// When the oldest idempotency key was used.
    pub oldest_key: Option<UnixMillis>,
}

/// One bounded step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Put the oldest rows into a segment.
    Seal {
        /// Up to the first past this size, or past a frame's if that is less.
        bytes: u64,
    },
    /// Fold the oldest segment.
    Fold,
    /// Forget the oldest folded segment's positions, and what was folded at or below them.
    Forget,
    /// Forget idempotency keys that are old enough.
    ForgetKeys,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This.
    Now(Chore),
    /// Nothing before this moment.
    At(UnixMillis),
    /// Nothing until something is published.
    Idle,
}

impl Limits {
    /// Returns what to do next. What makes a replay slow comes first.
    #[must_use]
    pub fn next(&self, now: UnixMillis, stock: &Stock) -> Next {
        let forget = stock.oldest_folded.map(|made| (made.plus(self.forget_after), Chore::Forget));
        let keys = stock.oldest_key.map(|used| (used.plus(REMEMBER_FOR), Chore::ForgetKeys));
        let due = forget.into_iter().chain(keys).min_by_key(|(due, _)| *due);
        match due {
            _ if stock.hot_bytes >= self.segment_bytes => {
                Next::Now(Chore::Seal { bytes: self.segment_bytes })
            }
            _ if stock.sealed_bytes > self.keep_bytes => Next::Now(Chore::Fold),
            Some((due, chore)) if due <= now => Next::Now(chore),
            Some((due, _)) => Next::At(due),
            None => Next::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn next(now: UnixMillis, stock: &Stock) -> Next {
        Limits::default().next(now, stock)
    }

    #[test]
    fn nothing_is_done_without_need() {
        assert_eq!(next(UnixMillis(0), &Stock::default()), Next::Idle);
        let small = Stock { hot_bytes: 1_000, sealed_bytes: 16 << 20, ..Stock::default() };
        assert_eq!(next(UnixMillis(0), &small), Next::Idle);
    }

    #[test]
    fn rows_are_sealed_before_segments_are_folded_before_the_past_is_forgotten() {
        let all = Stock {
            hot_bytes: 256 << 10,
            sealed_bytes: (16 << 20) + 1,
            oldest_folded: Some(UnixMillis(0)),
            oldest_key: None,
        };
        let late = UnixMillis(0).plus(15 * 24 * HOUR);
        assert_eq!(next(late, &all), Next::Now(Chore::Seal { bytes: 256 << 10 }));
        assert_eq!(next(late, &Stock { hot_bytes: 0, ..all }), Next::Now(Chore::Fold));
        let quiet = Stock { hot_bytes: 0, sealed_bytes: 0, ..all };
        assert_eq!(next(late, &quiet), Next::Now(Chore::Forget));
        assert_eq!(next(UnixMillis(late.0 - 1), &quiet), Next::At(late), "not a moment before the horizon");
    }

    #[test]
    fn d3_a_key_is_remembered_for_24_hours() {
        let stock = Stock { oldest_key: Some(UnixMillis(5)), ..Stock::default() };
        let due = UnixMillis(5).plus(24 * HOUR);
        assert_eq!(next(UnixMillis(due.0 - 1), &stock), Next::At(due));
        assert_eq!(next(due, &stock), Next::Now(Chore::ForgetKeys));
    }

    #[test]
    fn what_is_due_first_wakes_first() {
        let stock =
            Stock { oldest_folded: Some(UnixMillis(0)), oldest_key: Some(UnixMillis(0)), ..Stock::default() };
        assert_eq!(next(UnixMillis(0), &stock), Next::At(UnixMillis(0).plus(24 * HOUR)));
    }
}
