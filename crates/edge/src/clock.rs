//! This machine's clock, which never goes back.

use std::cell::Cell;

use newsreel_core::clock::MonotonicClock;
use newsreel_core::wire::UnixMillis;

thread_local! {
    static CLOCK: Cell<MonotonicClock> = const { Cell::new(MonotonicClock::new()) };
}

/// Returns this machine's time, which never goes back, even when the machine's clock is set back.
pub(crate) fn now() -> UnixMillis {
    let mut clock = CLOCK.get();
    let now = clock.read(newsreel_gate::now());
    CLOCK.set(clock);
    now
}
