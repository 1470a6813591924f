//! The streams of events that are open at once, and how the permits of readers that are gone come back.
//!
//! The platform says that a reader is gone only when something is written to it. So when every permit is taken, each
//! stream is asked to write a comment.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::wire::UnixMillis;
use newsreel_gate::now;

use crate::driver::notify::Notify;
use crate::follow::permits::{Permit, Permits};

/// How long a new stream waits for the permit of a reader that is gone. The platform notices within milliseconds that a
/// comment cannot be written, and on a machine that is busy within a few seconds for hundreds of streams.
const PERMIT_WAIT: Duration = Duration::from_secs(5);
/// How often streams are asked at the most.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The open streams of one catalog.
pub(crate) struct Streams {
    permits: Permits,
    /// The streams wait for this: the head has moved, or they are asked to write.
    pub(crate) moved: Rc<Notify>,
    probes: Cell<u32>,
    probed_at: Cell<UnixMillis>,
}

impl Streams {
    pub(crate) fn new(moved: Rc<Notify>) -> Self {
        Self { permits: Permits::default(), moved, probes: Cell::default(), probed_at: Cell::default() }
    }

    /// Returns a permit, unless `most` are taken by readers that are still there.
    pub(crate) async fn permit(&self, most: u32) -> Option<Permit> {
        let until = now().plus(PERMIT_WAIT);
        loop {
            let permit = self.permits.take(most);
            if permit.is_some() || now() >= until {
                return permit;
            }
            self.probe(now());
            self.permits.given_back(PROBE_EVERY).await;
        }
    }

    /// Returns how many streams are open.
    pub(crate) fn taken(&self) -> u32 {
        self.permits.taken()
    }

    /// Returns how often the streams were asked to write something.
    pub(crate) fn probes(&self) -> u32 {
        self.probes.get()
    }

    /// Asks every stream to write something, unless that was done a moment ago.
    fn probe(&self, now: UnixMillis) {
        let probed_at = self.probed_at.get();
        if !(probed_at..probed_at.plus(PROBE_EVERY)).contains(&now) {
            self.probed_at.set(now);
            self.probes.set(self.probes.get().wrapping_add(1));
            self.moved.notify();
        }
    }
}
