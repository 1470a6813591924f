//! A monotonic clock, made of one that may be set back.
//!
//! A reader's lag is the time since the reader asked for a proof. If the machine's clock is set back in
//! between, that time looks too short, and an answer past its bound looks fresh. Every reading is therefore
//! corrected by the steps back so far.

use std::time::Duration;

use crate::wire::position::UnixMillis;

/// A machine's clock, corrected so that no reading is before an earlier one.
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock {
    last: UnixMillis,
    /// The sum of all steps back.
    behind: Duration,
}

impl MonotonicClock {
    /// Returns a clock that was not read yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: UnixMillis(0), behind: Duration::ZERO }
    }

    /// Takes what the machine's clock says and returns a moment that is not before the last one returned.
    ///
    /// The time between the last reading and a step back is unknown and counts as nothing, so read the clock
    /// often.
    pub fn read(&mut self, machine: UnixMillis) -> UnixMillis {
        let now = machine.plus(self.behind);
        self.behind += self.last.since(now);
        self.last = self.last.max(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn s1_a_clock_that_is_set_back_goes_on_from_where_it_was() {
        let mut clock = MonotonicClock::new();
        let mut read = |machine| clock.read(UnixMillis(machine)).0;
        assert_eq!(read(10_000), 10_000);
        assert_eq!(read(10_500), 10_500);
        assert_eq!(read(4_000), 10_500, "set back by more than 6 s");
        assert_eq!(read(4_700), 11_200, "and time goes on");
        assert_eq!(read(90_000), 96_500, "set forward it is late at worst: more is proved anew");
        assert_eq!(read(80_000), 96_500);
        assert_eq!(read(80_001), 96_501);
    }
}
