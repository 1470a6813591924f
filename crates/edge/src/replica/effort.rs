//! What the replica itself is asked and does, for its costs, and how late versions come to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use newsreel_core::metrics::clock_offset::ClockOffset;
use newsreel_core::metrics::counts::{Count, Counts};
use newsreel_core::read::policy::OTHER;
use newsreel_core::wire::frame::{Frame, PING, PONG_PREFIX, VersionRow};
use newsreel_core::wire::series::ClockAhead;
use newsreel_core::wire::{Target, UnixMillis};

use crate::clock::now;

/// The longest time without an event in which the object counts as in memory: longer ones are of an object that was evicted.
const AWAKE: Duration = Duration::from_secs(60);

/// What a replica was asked and did since it last told.
#[derive(Default)]
pub(crate) struct Effort {
    requests: Cell<u64>,
    messages: Cell<u64>,
    pub(crate) kv_deletes: Cell<u64>,
    /// When the object last told, or woke.
    told_at: Cell<UnixMillis>,
    clock: RefCell<ClockOffset>,
    /// Since when the replica follows without having chosen to stop.
    following_since: Cell<UnixMillis>,
}

impl Effort {
    pub(crate) fn wake() -> Self {
        Self { told_at: Cell::new(now()), ..Self::default() }
    }

    /// Counts a request.
    pub(crate) fn requested(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Counts a message of a socket.
    pub(crate) fn heard(&self) {
        self.messages.set(self.messages.get() + 1);
    }

    /// Hands over what was counted; `kv_todo` is how many entries wait to be deleted.
    pub(crate) fn take(&self, kv_todo: u64) -> [(Count, u64); 5] {
        let now = now();
        let awake = now.since(self.told_at.replace(now)).min(AWAKE);
        [
            (Count::DoRequests, self.requests.take()),
            (Count::DoMessages, self.messages.take()),
            (Count::DoMs, u64::try_from(awake.as_millis()).unwrap_or(u64::MAX)),
            (Count::KvDeletes, self.kv_deletes.take()),
            (Count::KvTodo, kv_todo),
        ]
    }

    /// The replica begins to follow, after it had chosen not to.
    pub(crate) fn follows(&self) {
        self.following_since.set(now());
    }

    /// The connection to the broker begins anew.
    pub(crate) fn dials(&self) {
        self.clock.borrow_mut().disconnected();
    }

    /// A text is sent to the broker.
    pub(crate) fn sends(&self, text: &str) {
        if text == PING {
            self.clock.borrow_mut().pinged(now());
        }
    }

    /// A text came from the broker.
    pub(crate) fn hears(&self, text: &str) {
        self.heard();
        if text.starts_with(PONG_PREFIX)
            && let Ok(Frame::Pong(head)) = Frame::parse(text)
        {
            self.clock.borrow_mut().ponged(now(), head.version);
        }
    }

    /// Returns the counts of versions that were applied, if there is one that was committed while the replica followed: each
    /// counts once for a class of its changes, and a change that names no key for `other`.
    pub(crate) fn applied(&self, versions: &[VersionRow]) -> Option<Counts> {
        let (now, mut clock, mut counts) = (now(), self.clock.borrow_mut(), Counts::default());
        for row in versions {
            clock.arrived(now, row.version, row.at);
            let age = clock.age(now, row.at);
            if now.minus(age) < self.following_since.get() {
                continue;
            }
            let class = |target: &Target| match target {
                Target::Key(key) => key.class().to_owned(),
                Target::Tag(_) | Target::Prefix(_) | Target::All => OTHER.to_owned(),
            };
            let classes: BTreeSet<String> = row.changes.iter().map(|change| class(&change.target)).collect();
            classes.iter().for_each(|class| counts.propagated(class, age));
        }
        (!counts.is_empty()).then_some(counts)
    }

    /// Returns how far this clock is from the broker's.
    pub(crate) fn clock(&self) -> Option<ClockAhead> {
        let estimate = self.clock.borrow().estimate()?;
        Some(ClockAhead { ahead_ms: estimate.ahead_ms, within_ms: estimate.within_ms })
    }
}
