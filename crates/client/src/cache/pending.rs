//! A read under way: its options, its next step, and what it is shown. Knows no state of a cache.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::read::cache::{Envelope, Freshness, ReadFailure};
use newsreel_core::read::drive::{HasEnvelope, Local, ReadTask};
use newsreel_core::read::sync::{Knowledge, MinVersion};
use newsreel_core::wire::Key;
use serde::{Serialize, Serializer};

use super::entry_index::EntryIndex;
use super::options::BeyondBound;

/// The next step of a read: something that JavaScript is to do, or the answer. JavaScript reads it as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub(super) enum NextStep {
    /// Wait for a proof, and for the version that the caller asked for.
    Prove {
        /// The greatest age of the proof.
        #[serde(rename = "maxAgeMs", serialize_with = "as_millis")]
        max_age: Duration,
    },
    /// Wait for a flight.
    Fetch,
    /// Answer with a value.
    Serve {
        /// The holder of the value.
        from: Source,
        /// The freshness of the answer.
        freshness: Freshness,
        /// Whether to keep the value.
        keep: bool,
        /// The work that follows the answer.
        #[serde(flatten)]
        behind: Behind,
    },
    /// Answer that the key was removed, as the log says.
    Removed {
        /// The freshness of the answer.
        freshness: Freshness,
    },
    /// Fail the read: the origin failed, or no answer keeps the bound or the wanted version.
    Fail {
        /// The reason, which JavaScript reads as the code of an error.
        #[serde(serialize_with = "as_code")]
        failure: ReadFailure,
    },
}

/// The holder of the value that a read serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// The cache has kept the value.
    Memory,
    /// A flight has brought the value.
    Origin,
}

/// The work that follows an answer: no caller waits for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Behind {
    /// Whether to fetch the key again.
    pub(super) refresh: bool,
    /// Whether to ask for a proof, which the next reads will need.
    pub(super) prove: bool,
}

fn as_millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn as_code<S: Serializer>(failure: &ReadFailure, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match failure {
        ReadFailure::BoundNotKept => "bound-not-kept",
        ReadFailure::MinVersion => "min-version",
        // Only a deployment's edge takes values that its callers fetched.
        ReadFailure::Origin | ReadFailure::Overtaken => "origin",
    })
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
    pub(super) step: NextStep,
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
    pub(super) envelope: Rc<Envelope>,
    /// The slot of the entry; none for the value of a flight.
    pub(super) slot: Option<u32>,
}

impl HasEnvelope for Given {
    fn envelope(&self) -> &Rc<Envelope> {
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
        let entries = self.entries?;
        let slot = entries.slot(key.as_str())?;
        Some(Given { envelope: entries.get(slot)?.envelope.clone(), slot: Some(slot) })
    }
}
