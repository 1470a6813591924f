//! The judgement of entries: the floors, the clock and the bound of this moment say whether a read may serve
//! an entry.

use std::rc::Rc;
use std::time::Duration;

use super::machine::ReadMachine;
use super::step::Found;
use super::{Answer, Envelope, Freshness, ReadFailure, Tier, TierResult};
use crate::read::floors::{EntryTags, Judgement};
use crate::read::policy::OnUnprovable;
use crate::read::sync::{FloorLookup, Knowledge};
use crate::wire::position::{Position, UnixMillis, Version};

impl ReadMachine {
    /// Returns the change for which the origin is asked: the newest of the key and of the entries that were found, as far as
    /// it is known here. `None` where an entry was found that has that change, and is refused for another reason.
    #[must_use]
    pub fn awaited_change(&self, known: &Knowledge) -> Option<Version> {
        let over = |tags| known.floors().newest_over(&self.key, tags);
        let entries = || self.fallbacks.iter().map(|(_, envelope)| envelope);
        let newest =
            entries().map(|entry| over(entry.carries())).fold(over(EntryTags::Tags(&[])), Version::max);
        let is_newer = |entry: &Rc<Envelope>| entry.position.version >= newest;
        (newest > Version::ZERO && !entries().any(is_newer)).then_some(newest)
    }

    /// Says whether the floors should be proved anew behind the answer: their lag passed half the bound.
    #[must_use]
    pub fn sync_behind(&self, now: UnixMillis, known: &Knowledge) -> bool {
        // A class that always asks has no use for a proof from before its next question.
        !self.policy.lag_bound.is_zero() && known.lag(now).is_none_or(|lag| lag > self.policy.lag_bound / 2)
    }

    /// Returns the proof to ask for before anything is served, if one is needed.
    pub(super) fn wanted_sync(&self, now: UnixMillis, known: &Knowledge) -> Option<Duration> {
        let proved = self.policy.lag_bound > Duration::ZERO && self.within_bound(now, known);
        let heard = self.is_heard(known);
        // A proof half as old as the bound leaves the other half for the way back.
        (!proved || !heard).then_some(self.policy.lag_bound / 2)
    }

    pub(super) fn within_bound(&self, now: UnixMillis, known: &Knowledge) -> bool {
        known.lag(now).is_some_and(|lag| lag <= self.policy.lag_bound)
    }

    /// Says whether the bound passed since the read began: a tier takes its time, and its entry is judged by
    /// the floors known then. A class that always asks promises the changes acknowledged when the read began.
    pub(super) fn lapsed(&self, now: UnixMillis, known: &Knowledge) -> bool {
        let counted = !self.unproved && !self.policy.lag_bound.is_zero();
        counted && !self.within_bound(now, known)
    }

    /// Says whether an answer that waited for others is to be judged anew ([`Event::Delayed`](super::step::Event::Delayed)): something was heard
    /// since it was judged, or its bound has passed meanwhile. `judged_by` is the position that was held then.
    #[must_use]
    pub fn is_outdated(&self, now: UnixMillis, known: &Knowledge, judged_by: Option<Position>) -> bool {
        known.position() != judged_by || self.lapsed(now, known)
    }

    pub(super) fn is_heard(&self, known: &Knowledge) -> bool {
        self.at_least.is_none_or(|wanted| known.position().is_some_and(|at| wanted.is_met_by(&at)))
    }

    /// Returns the answer of a read that other reads kept waiting again and again. The answer is not judged
    /// once more, so it is marked, or the class fails.
    #[must_use]
    pub fn expired_answer(&self, now: UnixMillis, known: &Knowledge, answer: &Answer) -> Answer {
        let unkept = Answer::Fail(ReadFailure::BoundNotKept);
        if self.policy.beyond_bound == OnUnprovable::Fail || self.at_least.is_some() {
            return unkept;
        }
        let freshness = Freshness::Stale;
        match answer {
            Answer::Serve { from, .. } => {
                let held = self.served.iter().chain(&self.fallbacks).find(|(tier, _)| tier == from);
                let servable = held.is_some_and(|(_, envelope)| self.may_stand_in(now, known, envelope));
                let marked = Answer::Serve { from: *from, freshness, refresh: false, fill: Vec::new() };
                if servable { marked } else { unkept }
            }
            Answer::Removed { at, .. } => Answer::Removed { at: *at, freshness },
            Answer::Fail(failure) => Answer::Fail(*failure),
        }
    }

    /// Returns the targets to look up before the entries in hand can be judged; `None` when there are none.
    pub(super) fn not_remembered(&self, known: &Knowledge) -> Option<FloorLookup> {
        let mut look = FloorLookup::default();
        for (_, found) in &self.said {
            let Found::Entry(envelope) = found else { continue };
            let fill = envelope.position.version;
            if known.floors().judge(&self.key, fill, envelope.carries()) == Judgement::Unknown {
                look.join(FloorLookup { keys: vec![self.key.clone()], tags: envelope.tags.clone() });
            }
        }
        (!look.is_empty()).then_some(look)
    }

    /// Says whether an entry could be served as fresh now, by the floors and the time.
    #[must_use]
    pub fn is_hit(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> bool {
        self.judge(now, known, envelope) == TierResult::Hit
    }

    pub(super) fn judge(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> TierResult {
        let same_epoch = known.position().is_some_and(|at| at.epoch == envelope.position.epoch);
        if !same_epoch {
            return TierResult::OtherEpoch;
        }
        match known.floors().judge(&self.key, envelope.position.version, envelope.carries()) {
            Judgement::Below(by) => TierResult::Below(by),
            Judgement::Unknown => TierResult::Unknown,
            Judgement::Soft => TierResult::Soft,
            Judgement::Clear if now >= envelope.expires_at => TierResult::Expired,
            Judgement::Clear => TierResult::Hit,
        }
    }

    /// Says whether an entry may be served marked: within its stale time, of this epoch, not from before a removal.
    pub(super) fn may_stand_in(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> bool {
        let Position { epoch, version, .. } = envelope.position;
        let same_epoch = known.position().is_some_and(|at| at.epoch == epoch);
        now < envelope.stale_until && same_epoch && !known.floors().was_removed_after(&self.key, version)
    }

    /// Returns the best entry that may be served marked, and whether the floors refuse it. Entries that are
    /// not refused come first, then newer before older ones.
    pub(super) fn fallback(&self, now: UnixMillis, known: &Knowledge) -> Option<(Tier, bool)> {
        let servable = self.fallbacks.iter().filter_map(|(tier, envelope)| {
            let visit = self.judge(now, known, envelope);
            let servable = self.may_stand_in(now, known, envelope);
            let refused = matches!(visit, TierResult::Below(_) | TierResult::Unknown);
            servable.then_some((*tier, refused, envelope.position.version))
        });
        let best = servable.max_by_key(|(_, refused, filled_at)| (!refused, *filled_at));
        best.map(|(tier, refused, _)| (tier, refused))
    }

    /// Judges a fill, and says whether a change overtook it. A fill never counts as expired: no newer value
    /// exists.
    pub(super) fn judge_fill(&self, known: &Knowledge, envelope: &Envelope) -> (TierResult, bool) {
        if known.position().is_none_or(|at| at.epoch != envelope.position.epoch) {
            return (TierResult::OtherEpoch, true);
        }
        match known.floors().judge(&self.key, envelope.position.version, envelope.carries()) {
            Judgement::Below(by) => (TierResult::Below(by), true),
            Judgement::Unknown => (TierResult::Unknown, true),
            Judgement::Soft => (TierResult::Soft, false),
            Judgement::Clear => (TierResult::Hit, false),
        }
    }
}
