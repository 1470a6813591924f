//! Callers that fetch a value themselves: one takes a lease, reads the origin, and hands the value in at any isolate.

use newsreel_core::read::cache::{Answer, Freshness, ReadFailure};
use newsreel_core::read::drive::ReadDriver;
use newsreel_core::read::lease::Lease;

use super::Answered;
use crate::event::Event;
use crate::faults::Fault;
use crate::model::{Check, broken};
use crate::reader::For;
use crate::tiers::Entry;
use crate::world::World;

impl World {
    /// A caller takes a lease at an isolate, and asks the origin.
    pub(super) fn take_lease(&mut self, isolate: u64, key: usize) {
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(position) = at.known.position() else { return };
        let lease = Lease { position, began_at: at.clock.read(now) };
        let slow = if self.faults.strikes(Fault::OriginSlow) { self.net.between(500, 6_000) } else { 0 };
        let way = self.net.between(1, 25) + slow;
        self.schedule(way, Event::LeaseReads { key, lease });
    }

    /// The origin reads its value for the caller.
    pub(crate) fn lease_reads(&mut self, key: usize, lease: Lease) {
        if self.now < self.origin.away_until || self.faults.strikes(Fault::OriginFails) {
            return;
        }
        let value = &self.origin.values[key];
        let (content_type, etag) = ("text/plain".to_owned(), format!("\"{}\"", value.index));
        let (found, tags, index) = (value.found, value.tags.clone(), value.index);
        let read = self.read_of(key, None);
        let envelope = read.filled(lease.position, lease.began_at, found, tags, content_type, etag);
        let slow = self.faults.strikes(Fault::OriginSlow);
        let way = if slow { self.net.between(500, 6_000) } else { self.net.between(1, 200) };
        let entry = Entry { envelope: envelope.into(), index };
        self.schedule(way, Event::LeaseLands { key, lease, entry });
    }

    /// The caller hands the value in, wherever its request comes to.
    pub(crate) fn lease_lands(&mut self, key: usize, lease: Lease, entry: Entry) {
        let isolate = self.slots[self.net.index(self.slots.len())];
        let (now, read) = (self.now, self.read_of(key, Some(lease.at_least())));
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let driver = ReadDriver::land(read, entry, local, at);
        self.admit(isolate, driver, vec![key], For::Caller);
    }

    /// Checks that a value that was taken is one that a read could be served.
    pub(super) fn check_landing(&mut self, isolate: u64, answered: &Answered<'_>) -> Check {
        match answered.answer {
            Answer::Serve { freshness: Freshness::Stale, fill, .. } if !fill.is_empty() => {
                broken("S2", "a value was taken whose floors were not proved".to_owned())
            }
            Answer::Serve { .. } => {
                self.tally.landed += 1;
                self.check_answer(isolate, answered)
            }
            Answer::Fail(ReadFailure::Overtaken) => {
                self.tally.overtaken += 1;
                Ok(())
            }
            Answer::Removed { .. } | Answer::Fail(_) => Ok(()),
        }
    }
}
