//! What goes into a read and comes out of it: events, steps, answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Envelope;
use crate::read::floors::FloorKind;
use crate::read::sync::{AtLeast, Look};
use crate::wire::position::Version;

/// Where an entry may be found, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// This isolate's memory.
    Memory,
    /// Workers KV.
    Kv,
    /// R2.
    R2,
    /// The origin.
    Origin,
}

/// How recent an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Nothing newer was acknowledged longer ago than the class's bound.
    Fresh,
    /// Expired, or below a soft floor: it is being fetched.
    Revalidating,
    /// Older than promised, and said so.
    Stale,
}

/// What a tier had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// An entry that could be served.
    Hit,
    /// Nothing.
    Miss,
    /// An entry of another epoch.
    OtherEpoch,
    /// An entry past its time.
    Expired,
    /// An entry below a soft floor.
    Soft,
    /// An entry below a hard floor.
    Below(FloorKind),
    /// An entry so old that its floors are not remembered here, and nobody could be asked.
    Unknown,
    /// An entry that could be served, but for a newer one of the same quorum that says otherwise.
    Outvoted,
    /// No answer.
    Failed,
}

/// What a tier answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Entry(Envelope),
    Nothing,
    Failed,
}

/// What happened since the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The request came.
    Begin,
    /// A sync ended. `proved` says whether the replica gave the proof that was asked for.
    Synced {
        /// Whether it did.
        proved: bool,
    },
    /// A tier had nothing.
    Missed(Tier),
    /// A tier had this; from the origin it is the fill.
    Held(Tier, Envelope),
    /// The tier did not answer.
    Failed(Tier),
    /// The answer could not be given at once: others were waited for. What it serves is judged anew.
    Delayed,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sync with the replica; its proof may be so old.
    Sync {
        /// At most.
        max_age: Duration,
        /// And it must have heard this.
        at_least: Option<AtLeast>,
        /// And tell these floors, which are not remembered here.
        look: Look,
    },
    /// Ask these tiers, all at once; KV under the key's generation. Each answers with an event.
    Ask {
        /// Which.
        tiers: &'static [Tier],
        /// The key's own hard floor, or 0.
        generation: Version,
    },
    /// Hand in the next answer of the tiers that were asked.
    Listen,
    /// Answer.
    Answer(Answer),
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The entry that a tier gave.
    Serve {
        /// Which tier's.
        from: Tier,
        /// How recent.
        freshness: Freshness,
        /// Whether to fetch it anew behind the answer.
        refresh: bool,
        /// Which tiers to put it into, unchanged.
        fill: Vec<Tier>,
    },
    /// The log says it was removed; nothing was asked.
    Removed {
        /// At which version.
        at: Version,
        /// How recent.
        freshness: Freshness,
    },
    /// It cannot be answered within the promise.
    Fail(Failure),
}

/// Why a read fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is known, or it cannot be proved recent enough, and the class fails then.
    BoundNotKept,
    /// The version asked for has not been heard.
    MinVersion,
    /// The origin did not answer, and nothing may be served in its place.
    Origin,
}
