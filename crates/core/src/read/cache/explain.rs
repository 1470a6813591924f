//! How a read came to its answer, for people: the notes it took, and their JSON.

use serde_json::{Value, json};

use super::{Answer, Envelope, Freshness, ReadFailure, Tier, TierResult};
use crate::read::floors::{Consulted, Floor, FloorKind};
use crate::read::sync::Knowledge;
use crate::wire::position::{Position, UnixMillis};

/// One step of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The replica was asked.
    Synced {
        /// Whether the replica gave the proof that was asked for.
        proved: bool,
        /// The newest position that the reader has heard; `None` before the first whole reply.
        position: Option<Position>,
        /// The age in milliseconds of the latest proof that the reader had heard everything.
        lag_ms: Option<u128>,
    },
    /// A tier had no entry.
    Said {
        /// The tier that was asked.
        tier: Tier,
        /// The outcome: a miss or a failure.
        visit: TierResult,
    },
    /// A tier had an entry.
    Judged {
        /// The tier that gave the entry.
        tier: Tier,
        /// The judgement of the entry.
        visit: TierResult,
        /// The envelope of the entry, as the tier gave it.
        entry: Envelope,
        /// The floors by which the entry was judged.
        floors: Vec<Consulted>,
    },
}

impl Note {
    pub(super) fn synced(now: UnixMillis, known: &Knowledge, proved: bool) -> Self {
        let lag_ms = known.lag(now).map(|lag| lag.as_millis());
        Self::Synced { proved, position: known.position(), lag_ms }
    }

    /// Returns the note as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Synced { proved, position, lag_ms } => {
                let lag_ms = lag_ms.and_then(|lag| u64::try_from(lag).ok());
                json!({ "step": "sync", "proved": proved, "position": position, "lag_ms": lag_ms })
            }
            Self::Said { tier, visit } => json!({ "step": tier.name(), "found": visit.name() }),
            Self::Judged { tier, visit, entry, floors } => {
                let floors: Vec<Value> = floors.iter().map(consulted).collect();
                let found = visit.name();
                let mut step =
                    json!({ "step": tier.name(), "found": found, "entry": entry, "floors": floors });
                if let (Some(why), Some(members)) = (&entry.not_stored, step.as_object_mut()) {
                    let why = json!({ "code": why.code(), "detail": why.to_string() });
                    members.insert("not_stored".to_owned(), why);
                }
                step
            }
        }
    }
}

impl Tier {
    /// Returns the tier's name, in headers and counters too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kv => "kv",
            Self::R2 => "r2",
            Self::Origin => "origin",
        }
    }
}

impl TierResult {
    /// Returns the outcome in one word; for a refused entry the word is the reason.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::OtherEpoch => "other-epoch",
            Self::Expired => "expired",
            Self::Soft => "below-soft-floor",
            Self::Below(FloorKind::Key) => "below-floor-of-key",
            Self::Below(FloorKind::Tag) => "below-floor-of-tag",
            Self::Below(FloorKind::Prefix) => "below-floor-of-prefix",
            Self::Below(FloorKind::All) => "below-floor-of-all",
            Self::Unknown => "floors-unknown",
            Self::Outvoted => "outvoted",
            Self::Failed => "failed",
        }
    }
}

impl Freshness {
    /// Returns the word of the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Revalidating => "revalidating",
            Self::Stale => "stale",
        }
    }
}

impl Answer {
    /// Returns the answer as the last step of an explanation.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Serve { from, freshness, refresh, fill } => {
                let fill: Vec<&str> = fill.iter().map(|tier| tier.name()).collect();
                let (serve, freshness) = (from.name(), freshness.name());
                json!({ "step": "answer", "serve": serve, "freshness": freshness, "refresh": refresh, "fill": fill })
            }
            Self::Removed { at, freshness } => {
                json!({ "step": "answer", "removed_at": at, "freshness": freshness.name() })
            }
            Self::Fail(failure) => {
                let why = match failure {
                    ReadFailure::BoundNotKept => "bound-not-kept",
                    ReadFailure::MinVersion => "min-version",
                    ReadFailure::Origin => "origin-failed",
                    ReadFailure::Overtaken => "overtaken",
                };
                json!({ "step": "answer", "fail": why })
            }
        }
    }
}

fn consulted(one: &Consulted) -> Value {
    let target = match one.by {
        FloorKind::Key => "key",
        FloorKind::Tag => "tag",
        FloorKind::Prefix => "prefix",
        FloorKind::All => "all",
    };
    let Floor { hard, soft, removed } = one.floor.unwrap_or_default();
    let held = one.floor.is_some();
    json!({ "target": target, "name": one.name, "hard": hard, "soft": soft, "removed": removed, "held": held })
}
