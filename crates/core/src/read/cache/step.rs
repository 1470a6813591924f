//! The events that go into a read, and the steps and answers that come out of it.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Envelope;
use crate::read::floors::FloorKind;
use crate::read::sync::{FloorLookup, MinVersion};
use crate::wire::position::Version;

/// Where an entry may be found, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The memory of this isolate, which serves this isolate's readers only.
    Memory,
    /// Workers KV, which all locations share and which is eventually consistent.
    Kv,
    /// The R2 bucket, which all locations share and which is strongly consistent.
    R2,
    /// The origin, which has the value itself. Its answer is the fill.
    Origin,
}

/// How recent an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Nothing newer was acknowledged longer ago than the class's bound.
    Fresh,
    /// The entry has expired or is below a soft floor, and its value is fetched anew.
    Revalidating,
    /// The entry may be older than the class promises, and the answer is marked so.
    Stale,
}

/// The outcome of asking one tier, as notes and counters show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierResult {
    /// An entry that could be served.
    Hit,
    /// The tier has no entry for the key.
    Miss,
    /// An entry of another epoch.
    OtherEpoch,
    /// An entry past its time.
    Expired,
    /// An entry below a soft floor.
    Soft,
    /// An entry below a hard floor.
    Below(FloorKind),
    /// An entry older than the floors that are remembered here, when a sync did not bring its floors either.
    Unknown,
    /// An entry that could be served, but for a newer entry of the same quorum that differs from it.
    Outvoted,
    /// The tier gave no answer that can be used.
    Failed,
}

/// The answer of one tier to one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Entry(Rc<Envelope>),
    Nothing,
    Failed,
}

/// Something that happened since the last step. The shell hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The read begins, for a request or as a prefetch.
    Begin,
    /// A sync with the replica ended.
    Synced {
        /// Whether the replica gave the proof that was asked for.
        proved: bool,
    },
    /// The tier has no entry for the key.
    Missed(Tier),
    /// The tier gave this entry. The origin's entry is the fill.
    Held(Tier, Rc<Envelope>),
    /// The tier did not answer.
    Failed(Tier),
    /// The answer waited for other reads of the same request, so the entry that it serves is judged anew.
    Delayed,
}

/// The next thing that the shell must do for a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sync with the replica, then hand in [`Event::Synced`].
    Sync {
        /// The greatest age of the replica's proof. Zero asks for a proof that begins after the question.
        max_age: Duration,
        /// The version that the replica must have heard before it answers.
        at_least: Option<MinVersion>,
        /// The targets whose floors the replica must tell, since they are not remembered here.
        look: FloorLookup,
    },
    /// Ask these tiers, all at once, and KV under the key's generation. Hand in one event for each tier.
    Ask {
        /// The tiers to ask: one, or all tiers of a quorum read.
        tiers: &'static [Tier],
        /// The key's own hard floor, or 0.
        generation: Version,
    },
    /// Hand in the next answer of the tiers that were asked.
    Listen,
    /// Give this answer. An answer that has to wait for other reads is judged anew by [`Event::Delayed`].
    Answer(Answer),
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The entry that a tier gave.
    Serve {
        /// The tier that gave the entry.
        from: Tier,
        /// How recent the entry is proved to be.
        freshness: Freshness,
        /// Whether to fetch the value anew behind the answer.
        refresh: bool,
        /// The tiers to put the entry into, unchanged.
        fill: Vec<Tier>,
    },
    /// The log says that the key was removed, so no entry is served.
    Removed {
        /// The version of the removal.
        at: Version,
        /// How recent the reader's knowledge of the log is proved to be.
        freshness: Freshness,
    },
    /// The read cannot be answered within the promise of its class.
    Fail(ReadFailure),
}

/// Why a read fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFailure {
    /// The reader knows nothing yet or cannot keep the lag bound, and a marked answer is not allowed.
    BoundNotKept,
    /// The version that the caller asks for has not been heard, or changes overtook every fill for it.
    MinVersion,
    /// The origin gave no answer that may be served, and no entry may stand in for it.
    Origin,
    /// A change was published since the lease of the value that a caller hands in: the value is not stored.
    Overtaken,
}
