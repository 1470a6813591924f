//! A read under way: its options, its next step, and what it is shown. Knows no state of a cache.

use std::time::Duration;

use newsreel_core::read::cache::{Envelope, Freshness, ReadFailure, Tier};
use newsreel_core::read::drive::{HasEnvelope, Local, ReadTask};
use newsreel_core::read::sync::{Knowledge, MinVersion};
use newsreel_core::wire::Key;

use super::entry_index::EntryIndex;
use super::options::BeyondBound;

/// The next step of a read: something that JavaScript is to do, or the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Wait for a proof, and for the version that the caller asked for.
    Prove {
        /// The greatest age of the proof.
        max_age: Duration,
    },
    /// Wait for a flight.
    Fetch,
    /// Answer with the kept value, or with the value of the flight.
    Serve {
        /// The tier of the value: memory or origin.
        from: Tier,
        /// The freshness of the answer.
        freshness: Freshness,
        /// Whether to fetch the key again behind the answer.
        refresh: bool,
        /// Whether to keep the value.
        keep: bool,
        /// Whether to ask for a proof behind the answer.
        behind: bool,
    },
    /// Answer that the key was removed, as the log says.
    Removed {
        /// The freshness of the answer.
        freshness: Freshness,
    },
    /// Fail the read: the origin failed, or no answer keeps the bound or the wanted version.
    Failed(ReadFailure),
}

/// The options of one read, beyond the policy of its class.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadOptions {
    pub(super) bound: Option<Duration>,
    pub(super) beyond_bound: Option<BeyondBound>,
    pub(super) at_least: Option<MinVersion>,
    /// Whether to ask the origin even if an entry is kept.
    pub(super) anew: bool,
}

/// A read under way.
#[derive(Debug)]
pub(super) struct PendingRead {
    pub(super) key: Key,
    pub(super) options: ReadOptions,
    pub(super) task: ReadTask<Given>,
    pub(super) turn: NextStep,
    /// The turn of the event loop in which the read began.
    pub(super) tick: u32,
    pub(super) era: u32,
    /// Whether a proof came that this read asked for.
    pub(super) proved: bool,
    /// Whether the read takes only a value that is fetched after the read began.
    pub(super) anew: bool,
    /// Whether the session hears no changes of the key: the origin's value is passed on and not kept.
    pub(super) pass: bool,
    /// Whether a flight brought a value.
    pub(super) found: bool,
}

/// An entry that memory or a flight gave a read.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) envelope: Envelope,
    /// The number of the fill in memory.
    pub(super) number: Option<u64>,
}

impl HasEnvelope for Given {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// The view of a read: the knowledge and the entries of the cache.
pub(super) struct Shown<'a> {
    pub(super) known: &'a Knowledge,
    /// None for a read that must ask the origin.
    pub(super) entries: Option<&'a EntryIndex>,
}

impl Local for Shown<'_> {
    type Entry = Given;

    fn known(&self) -> &Knowledge {
        self.known
    }

    fn recall(&mut self, key: &Key) -> Option<Given> {
        let held = self.entries.and_then(|entries| entries.get(entries.slot(key.as_str())?))?;
        Some(Given { envelope: held.envelope.clone(), number: Some(held.number) })
    }
}
