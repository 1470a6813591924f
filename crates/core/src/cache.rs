//! The read decision: what to ask next, what to answer, what to keep.
//!
//! Does no I/O and reads no clock. The shell hands in what happened and does what [`Read::next`] says until it
//! says [`Step::Answer`]. An entry is judged anew on every hit, by the floors known at that moment; a fill is
//! stamped with the position from *before* the origin was asked, so a late fill is a miss and never a wrong
//! answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::floors::{By, Carries, Judgement};
use crate::policy::{Beyond, Policy};
use crate::sync::{AtLeast, Knowledge};
use crate::wire::name::{Key, Tag};
use crate::wire::position::{Hash, Position, UnixMillis, Version};

/// Where an entry may be found, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// This isolate's memory.
    Memory,
    /// Workers KV.
    Kv,
    /// The origin.
    Origin,
}

/// What is stored beside a value, in every tier the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The reader's position from before the origin was asked.
    pub position: Position,
    /// Whether there is a value; "not found" is an entry too.
    pub found: bool,
    /// The tags of the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When the fetch began, by the clock of the reader that made it.
    pub fetched_at: UnixMillis,
    /// Until when it is fresh.
    pub expires_at: UnixMillis,
    /// Until when it may be served, marked.
    pub stale_until: UnixMillis,
    /// The value's media type.
    pub content_type: String,
    /// The value's entity tag, quoted.
    pub etag: String,
}

/// Returns the entity tag of a value whose origin gave none.
#[must_use]
pub fn etag_of(body: &[u8]) -> String {
    format!("\"{}\"", Hash::of_body(body))
}

impl Envelope {
    fn carries(&self) -> Carries<'_> {
        if self.found { Carries::Tags(&self.tags) } else { Carries::EveryTag }
    }
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
    Below(By),
    /// No answer.
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
    },
    /// Ask a tier; KV under the key's generation.
    Ask {
        /// Which.
        tier: Tier,
        /// The key's own hard floor, or 0.
        generation: Version,
    },
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

/// How often the origin is asked when changes overtake its answers.
const FETCHES: u32 = 3;

/// One read, from request to answer.
#[derive(Debug, Clone)]
pub struct Read {
    key: Key,
    policy: Policy,
    at_least: Option<AtLeast>,
    /// The bound could not be proved, so the answer is marked.
    unproved: bool,
    fetches: u32,
    /// What waits for the sync that its judgement needs.
    pending: Option<Event>,
    /// The entries that were no hit. They are judged again when one is to be served marked.
    spares: Vec<(Tier, Envelope)>,
    visits: Vec<(Tier, Visit)>,
}

impl Read {
    /// Returns a read of `key`.
    #[must_use]
    pub fn new(key: Key, policy: Policy, at_least: Option<AtLeast>) -> Self {
        let (spares, visits) = (Vec::new(), Vec::new());
        Self { key, policy, at_least, unproved: false, fetches: 0, pending: None, spares, visits }
    }

    /// Returns what each tier had, in the order asked.
    #[must_use]
    pub fn visits(&self) -> &[(Tier, Visit)] {
        &self.visits
    }

    /// Returns the envelope of a fill that the origin gave.
    #[must_use]
    pub fn filled(
        &self,
        position: Position,
        fetched_at: UnixMillis,
        found: bool,
        tags: Vec<Tag>,
        content_type: String,
        etag: String,
    ) -> Envelope {
        let expires_at = fetched_at.plus(self.policy.ttl);
        let stale_until = expires_at.plus(self.policy.stale_for);
        Envelope { position, found, tags, fetched_at, expires_at, stale_until, content_type, etag }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(&mut self, now: UnixMillis, known: &Knowledge, event: Event) -> Step {
        match event {
            Event::Begin => match self.wanted_sync(now, known) {
                Some(max_age) => Step::Sync { max_age, at_least: self.at_least },
                None => self.ask(known, Tier::Memory),
            },
            Event::Synced { proved } => self.synced(now, known, proved),
            said @ (Event::Missed(_) | Event::Held(..) | Event::Failed(_)) => {
                if !self.lapsed(now, known) {
                    return self.tier_said(now, known, said);
                }
                self.pending = Some(said);
                Step::Sync { max_age: self.policy.lag_bound / 2, at_least: self.at_least }
            }
        }
    }

    /// Begins a fetch behind an answer that has been given: the origin is asked at once.
    #[must_use]
    pub fn refetch(&mut self, known: &Knowledge) -> Step {
        self.fetch(known)
    }

    /// Says whether the floors should be proved anew behind the answer: their lag passed half the bound.
    #[must_use]
    pub fn sync_behind(&self, now: UnixMillis, known: &Knowledge) -> bool {
        // A class that always asks has no use for a proof from before its next question.
        !self.policy.lag_bound.is_zero() && known.lag(now).is_none_or(|lag| lag > self.policy.lag_bound / 2)
    }

    /// Returns the proof to ask for before anything is served, if one is needed.
    fn wanted_sync(&self, now: UnixMillis, known: &Knowledge) -> Option<Duration> {
        let proved = self.policy.lag_bound > Duration::ZERO && self.within_bound(now, known);
        let heard = self.is_heard(known);
        // A proof half as old as the bound leaves the other half for the way back.
        (!proved || !heard).then_some(self.policy.lag_bound / 2)
    }

    fn within_bound(&self, now: UnixMillis, known: &Knowledge) -> bool {
        known.lag(now).is_some_and(|lag| lag <= self.policy.lag_bound)
    }

    /// Says whether the bound passed since the read began: a tier takes its time, and what it gave is judged
    /// by the floors known then. A class that always asks promises what was acknowledged when the read began.
    fn lapsed(&self, now: UnixMillis, known: &Knowledge) -> bool {
        !self.unproved && !self.policy.lag_bound.is_zero() && !self.within_bound(now, known)
    }

    fn is_heard(&self, known: &Knowledge) -> bool {
        self.at_least.is_none_or(|wanted| known.position().is_some_and(|at| wanted.is_met_by(&at)))
    }

    fn synced(&mut self, now: UnixMillis, known: &Knowledge, proved: bool) -> Step {
        if known.position().is_none() {
            return Step::Answer(Answer::Fail(Failure::BoundNotKept));
        }
        if !self.is_heard(known) {
            return Step::Answer(Answer::Fail(Failure::MinVersion));
        }
        // A class that always asks has its answer once it asked; the others need the lag itself.
        let kept = if self.policy.lag_bound.is_zero() { proved } else { self.within_bound(now, known) };
        if !kept && (self.policy.beyond_bound == Beyond::Fail || self.at_least.is_some()) {
            return Step::Answer(Answer::Fail(Failure::BoundNotKept));
        }
        self.unproved = !kept;
        match self.pending.take() {
            Some(event) => self.tier_said(now, known, event),
            None => self.ask(known, Tier::Memory),
        }
    }

    fn tier_said(&mut self, now: UnixMillis, known: &Knowledge, event: Event) -> Step {
        match event {
            // No tier says these; the way begins at memory.
            Event::Begin | Event::Synced { .. } => self.ask(known, Tier::Memory),
            Event::Missed(Tier::Origin) | Event::Failed(Tier::Origin) => self.origin_failed(now, known),
            Event::Missed(tier) => self.visited(now, known, tier, Visit::Miss),
            Event::Failed(tier) => self.visited(now, known, tier, Visit::Failed),
            Event::Held(Tier::Origin, envelope) => self.landed(known, &envelope),
            Event::Held(tier, envelope) => self.held(now, known, tier, envelope),
        }
    }

    /// Asks a tier, unless the log says by now that there is nothing to ask for.
    fn ask(&self, known: &Knowledge, tier: Tier) -> Step {
        if let Some(at) = known.floors().removed(&self.key) {
            let freshness = self.marked(Freshness::Fresh);
            return Step::Answer(Answer::Removed { at, freshness });
        }
        Step::Ask { tier, generation: known.floors().generation(&self.key) }
    }

    fn held(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, envelope: Envelope) -> Step {
        let visit = self.judge(now, known, &envelope);
        if visit == Visit::Hit {
            self.visits.push((tier, visit));
            let fill = if tier == Tier::Kv { vec![Tier::Memory] } else { Vec::new() };
            let freshness = self.marked(Freshness::Fresh);
            return Step::Answer(Answer::Serve { from: tier, freshness, refresh: false, fill });
        }
        self.spares.push((tier, envelope));
        self.visited(now, known, tier, visit)
    }

    fn judge(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> Visit {
        if known.position().is_none_or(|at| at.epoch != envelope.position.epoch) {
            return Visit::OtherEpoch;
        }
        match known.floors().judge(&self.key, envelope.position.version, envelope.carries()) {
            Judgement::Below(by) => Visit::Below(by),
            Judgement::Soft => Visit::Soft,
            Judgement::Clear if now >= envelope.expires_at => Visit::Expired,
            Judgement::Clear => Visit::Hit,
        }
    }

    /// Returns the best entry that may be served marked, and whether a hard floor refuses it: what is not
    /// refused before what is, the newer before the older.
    fn spare(&self, now: UnixMillis, known: &Knowledge) -> Option<(Tier, bool)> {
        let servable = self.spares.iter().filter_map(|(tier, envelope)| {
            let visit = self.judge(now, known, envelope);
            let removed_since = known.floors().was_removed_after(&self.key, envelope.position.version);
            let servable = now < envelope.stale_until && visit != Visit::OtherEpoch && !removed_since;
            servable.then_some((*tier, matches!(visit, Visit::Below(_)), envelope.position.version))
        });
        let best = servable.max_by_key(|(_, refused, filled_at)| (!refused, *filled_at));
        best.map(|(tier, refused, _)| (tier, refused))
    }

    /// Goes on to the next tier after one that had nothing to serve.
    fn visited(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, visit: Visit) -> Step {
        self.visits.push((tier, visit));
        if tier == Tier::Memory {
            return self.ask(known, Tier::Kv);
        }
        match self.spare(now, known) {
            // An answer that must hold a certain version is never a marked one.
            Some((from, false)) if self.at_least.is_none() => {
                let freshness = self.marked(Freshness::Revalidating);
                Step::Answer(Answer::Serve { from, freshness, refresh: true, fill: Vec::new() })
            }
            Some(_) | None => self.fetch(known),
        }
    }

    fn fetch(&mut self, known: &Knowledge) -> Step {
        self.fetches += 1;
        self.ask(known, Tier::Origin)
    }

    /// A fill has landed: it is compared again, for the floors may have risen while the origin was thinking.
    fn landed(&mut self, known: &Knowledge, envelope: &Envelope) -> Step {
        let same_epoch = known.position().is_some_and(|at| at.epoch == envelope.position.epoch);
        let judgement = known.floors().judge(&self.key, envelope.position.version, envelope.carries());
        let overtaken = !same_epoch || matches!(judgement, Judgement::Below(_));
        if overtaken && self.fetches < FETCHES {
            return self.fetch(known);
        }
        self.visits.push((Tier::Origin, Visit::Hit));
        if overtaken {
            return self.overtaken(known, envelope);
        }
        let soft = judgement == Judgement::Soft;
        let freshness = self.marked(if soft { Freshness::Revalidating } else { Freshness::Fresh });
        let fill = vec![Tier::Memory, Tier::Kv];
        Step::Answer(Answer::Serve { from: Tier::Origin, freshness, refresh: soft, fill })
    }

    /// Answers when changes overtook every fill: with the last one, marked and not stored, where that is allowed.
    fn overtaken(&self, known: &Knowledge, envelope: &Envelope) -> Step {
        if let removed @ Step::Answer(_) = self.ask(known, Tier::Origin) {
            return removed;
        }
        Step::Answer(if self.at_least.is_some() {
            Answer::Fail(Failure::MinVersion)
        } else if self.policy.beyond_bound == Beyond::Fail {
            Answer::Fail(Failure::BoundNotKept)
        } else if known.floors().was_removed_after(&self.key, envelope.position.version) {
            Answer::Fail(Failure::Origin)
        } else {
            let (from, freshness) = (Tier::Origin, Freshness::Stale);
            Answer::Serve { from, freshness, refresh: false, fill: Vec::new() }
        })
    }

    fn origin_failed(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        self.visits.push((Tier::Origin, Visit::Failed));
        let refused_may = self.policy.beyond_bound == Beyond::Stale;
        Step::Answer(match self.spare(now, known) {
            Some((from, refused)) if self.at_least.is_none() && (!refused || refused_may) => {
                Answer::Serve { from, freshness: Freshness::Stale, refresh: false, fill: Vec::new() }
            }
            Some(_) | None => Answer::Fail(Failure::Origin),
        })
    }

    /// Marks an answer whose bound could not be proved.
    fn marked(&self, freshness: Freshness) -> Freshness {
        if self.unproved { Freshness::Stale } else { freshness }
    }
}

#[cfg(test)]
mod tests;
