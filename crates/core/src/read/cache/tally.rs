//! The counters that one read adds to.

use super::{Answer, Freshness, ReadFailure, ReadMachine, Tier, TierResult};
use crate::metrics::counts::{Count, Counts};
use crate::read::floors::FloorKind;
use crate::read::origin_answer::NotStored;

impl ReadMachine {
    /// Counts this read and its answer; `found` says whether the entry served is a value. A prefetch
    /// counts only the tiers that it filled.
    pub fn count(&self, answer: &Answer, found: bool, counts: &mut Counts) {
        let class = self.key.class();
        self.count_fills(answer, counts);
        if self.is_prefetch {
            return;
        }
        counts.add(class, Count::Reads, 1);
        for (tier, visit) in &self.visits {
            let (outcome, refusal) = visited(*tier, *visit, found);
            counts.add(class, outcome, 1);
            if let Some(refusal) = refusal {
                counts.add(class, refusal, 1);
            }
        }
        if self.policy.quorum {
            counts.add(class, Count::QuorumReads, 1);
            let differ = self.visits.iter().any(|(_, visit)| *visit == TierResult::Outvoted);
            counts.add(class, Count::Disagreements, u64::from(differ));
        }
        counts.add(class, answered(answer, found), 1);
        self.count_not_stored(counts);
    }

    /// Counts the tiers that the entry served is put into. [`Self::count`] does so for a read and a prefetch.
    pub fn count_fills(&self, answer: &Answer, counts: &mut Counts) {
        if let Answer::Serve { fill, .. } = answer {
            for tier in fill {
                counts.add(self.key.class(), filled(*tier), 1);
            }
        }
    }

    /// Counts the origin's answer if no tier may store it. [`Self::count`] does so for a read; a fetch behind an
    /// answer and a prefetch are counted by this alone.
    pub fn count_not_stored(&self, counts: &mut Counts) {
        if let Some(why) = self.served.as_ref().and_then(|(_, envelope)| envelope.not_stored.as_ref()) {
            counts.add(self.key.class(), not_stored(why), 1);
        }
    }
}

/// Returns the counter of a tier's answer, and the counter of the reason if its entry was refused.
fn visited(tier: Tier, visit: TierResult, found: bool) -> (Count, Option<Count>) {
    let (hit, miss, failed) = match tier {
        Tier::Memory => (Count::MemoryHit, Count::MemoryMiss, Count::MemoryFailed),
        Tier::Kv => (Count::KvHit, Count::KvMiss, Count::KvFailed),
        Tier::R2 => (Count::R2Hit, Count::R2Miss, Count::R2Failed),
        Tier::Origin => (Count::OriginHit, Count::OriginMiss, Count::OriginFailed),
    };
    match visit {
        TierResult::Hit if tier == Tier::Origin && !found => (miss, None),
        TierResult::Hit => (hit, None),
        TierResult::Miss => (miss, None),
        TierResult::Failed => (failed, None),
        TierResult::OtherEpoch => (miss, Some(Count::OtherEpoch)),
        TierResult::Expired => (miss, Some(Count::Expired)),
        TierResult::Soft => (miss, Some(Count::Soft)),
        TierResult::Below(FloorKind::Key) => (miss, Some(Count::BelowKey)),
        TierResult::Below(FloorKind::Tag) => (miss, Some(Count::BelowTag)),
        TierResult::Below(FloorKind::Prefix) => (miss, Some(Count::BelowPrefix)),
        TierResult::Below(FloorKind::All) => (miss, Some(Count::BelowAll)),
        TierResult::Unknown => (miss, Some(Count::FloorsUnknown)),
        TierResult::Outvoted => (miss, Some(Count::Outvoted)),
    }
}

fn answered(answer: &Answer, found: bool) -> Count {
    match answer {
        Answer::Serve { freshness, .. } | Answer::Removed { freshness, .. } => match freshness {
            Freshness::Revalidating => Count::Revalidating,
            Freshness::Stale => Count::Stale,
            Freshness::Fresh if matches!(answer, Answer::Removed { .. }) => Count::Removed,
            Freshness::Fresh if found => Count::Fresh,
            Freshness::Fresh => Count::NotFound,
        },
        Answer::Fail(ReadFailure::BoundNotKept) => Count::BoundNotKept,
        Answer::Fail(ReadFailure::MinVersion) => Count::MinVersion,
        // A landing is counted nowhere: no reader waits for it.
        Answer::Fail(ReadFailure::Origin | ReadFailure::Overtaken) => Count::OriginDown,
    }
}

/// Returns the counter of a fill of a tier; nothing fills the origin.
fn filled(tier: Tier) -> Count {
    match tier {
        Tier::Memory => Count::MemoryFill,
        Tier::Kv => Count::KvFill,
        Tier::R2 | Tier::Origin => Count::R2Fill,
    }
}

/// Returns the counter of the origin's answers that no tier stores for this reason.
fn not_stored(why: &NotStored) -> Count {
    match why {
        NotStored::NoStore => Count::NotStoredNoStore,
        NotStored::Private => Count::NotStoredPrivate,
        NotStored::NoCache => Count::NotStoredNoCache,
        NotStored::Vary(_) => Count::NotStoredVary,
    }
}
