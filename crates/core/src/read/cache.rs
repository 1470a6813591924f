//! The read decision: what to ask next, what to answer, what to keep.
//!
//! Does no I/O and reads no clock. The shell hands in what happened and does what [`Read::next`] says until it
//! says [`Step::Answer`]. An entry is judged anew on every hit, by the floors known at that moment; a fill is
//! stamped with the position from *before* the origin was asked, so a late fill is a miss and never a wrong
//! answer.
//!
//! The way is memory, KV, R2, origin, one after the other; `quorum` is for classes that ask the last three at once.
//! [`explain`] tells people how a read came to its answer, and `tally` the counters.

pub mod explain;
mod quorum;
mod tally;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use explain::Note;

use crate::read::floors::{By, Carries, Judgement};
use crate::read::policy::{Beyond, Policy};
use crate::read::sync::{AtLeast, Knowledge, Look};
use crate::wire::name::{Key, Tag};
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

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

/// How new an entry is; the greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The log of its position.
    pub epoch: Epoch,
    /// The version of its position.
    pub version: Version,
    /// When its fetch began.
    pub fetched_at: UnixMillis,
}

impl Envelope {
    /// Returns how new the entry is. In memory and R2 an entry never takes the place of a newer one.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let Position { epoch, version, .. } = self.position;
        Rank { epoch, version, fetched_at: self.fetched_at }
    }

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
    /// An entry so old that its floors are not remembered here, and nobody could be asked.
    Unknown,
    /// An entry that could be served, but for a newer one of the same quorum that says otherwise.
    Outvoted,
    /// No answer.
    Failed,
}

/// What a tier answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
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

/// How often the origin is asked when changes overtake its answers.
const FETCHES: u32 = 3;

const MEMORY: &[Tier] = &[Tier::Memory];
const KV: &[Tier] = &[Tier::Kv];
const R2: &[Tier] = &[Tier::R2];
const ORIGIN: &[Tier] = &[Tier::Origin];

/// One read, from request to answer.
#[derive(Debug, Clone)]
pub struct Read {
    key: Key,
    policy: Policy,
    at_least: Option<AtLeast>,
    /// Whether there is R2.
    r2: bool,
    /// Nobody waits for the value: it is fetched ahead, for the tiers that isolates share.
    ahead: bool,
    /// The bound could not be proved, so the answer is marked.
    unproved: bool,
    fetches: u32,
    /// Whom it asks next, or asked last.
    tiers: &'static [Tier],
    /// What they said so far. It is judged when all have, and the floors for that are proved and told.
    said: Vec<(Tier, Found)>,
    /// What is not remembered here was asked for.
    looked: bool,
    /// What was to be served as fresh.
    served: Option<(Tier, Envelope)>,
    /// The entries that were no hit. They are judged again when one is to be served marked.
    spares: Vec<(Tier, Envelope)>,
    visits: Vec<(Tier, Visit)>,
    notes: Option<Vec<Note>>,
}

impl Read {
    /// Returns a read of `key`, where there is no R2.
    #[must_use]
    pub fn new(key: Key, policy: Policy, at_least: Option<AtLeast>) -> Self {
        Self {
            key,
            policy,
            at_least,
            r2: false,
            ahead: false,
            unproved: false,
            fetches: 0,
            tiers: MEMORY,
            said: Vec::new(),
            looked: false,
            served: None,
            spares: Vec::new(),
            visits: Vec::new(),
            notes: None,
        }
    }

    /// Says whether there is R2.
    #[must_use]
    pub fn with_r2(self, r2: bool) -> Self {
        Self { r2, ..self }
    }

    /// Makes it fetch ahead: nothing is answered from memory or kept there, and nothing marked will do.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// Makes it take notes, for [`Self::notes`].
    #[must_use]
    pub fn explained(self) -> Self {
        Self { notes: Some(Vec::new()), ..self }
    }

    /// Returns what each tier had, in the order asked.
    #[must_use]
    pub fn visits(&self) -> &[(Tier, Visit)] {
        &self.visits
    }

    /// Returns what happened, step by step; nothing unless it was made to take notes.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        self.notes.as_deref().unwrap_or_default()
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
        let (tier, found) = match event {
            Event::Begin => {
                self.tiers = self.first_tiers();
                return match self.wanted_sync(now, known) {
                    Some(max_age) => Step::Sync { max_age, at_least: self.at_least, look: Look::default() },
                    None => self.ask(known, self.tiers),
                };
            }
            Event::Synced { proved } => return self.synced(now, known, proved),
            Event::Delayed => return self.delayed(now, known),
            Event::Missed(tier) => (tier, Found::Nothing),
            Event::Held(tier, envelope) => (tier, Found::Entry(envelope)),
            Event::Failed(tier) => (tier, Found::Failed),
        };
        self.said.push((tier, found));
        if self.said.len() < self.tiers.len() { Step::Listen } else { self.weigh(now, known) }
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

    fn first_tiers(&self) -> &'static [Tier] {
        match (self.ahead, self.policy.quorum) {
            (true, _) => KV,
            (false, true) => quorum::tiers(self.r2),
            (false, false) => MEMORY,
        }
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
        let counted = !self.unproved && !self.policy.lag_bound.is_zero();
        counted && !self.within_bound(now, known)
    }

    /// Says whether an answer that waited for others is to be judged anew ([`Event::Delayed`]): something was heard
    /// since it was judged, or its bound has passed meanwhile. `judged_by` is the position that was held then.
    #[must_use]
    pub fn is_outdated(&self, now: UnixMillis, known: &Knowledge, judged_by: Option<Position>) -> bool {
        known.position() != judged_by || self.lapsed(now, known)
    }

    fn is_heard(&self, known: &Knowledge) -> bool {
        self.at_least.is_none_or(|wanted| known.position().is_some_and(|at| wanted.is_met_by(&at)))
    }

    /// Judges what was to be served as if its tier had given it this moment; without any it begins anew.
    fn delayed(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        // A class that always asks has nothing else to go by than what its sync said.
        self.unproved &= self.policy.lag_bound.is_zero();
        match self.served.take() {
            Some((tier, envelope)) => {
                self.visits.pop();
                self.said = vec![(tier, Found::Entry(envelope))];
                self.weigh(now, known)
            }
            None => {
                self.visits.clear();
                self.spares.clear();
                self.next(now, known, Event::Begin)
            }
        }
    }

    /// Returns what is answered in place of an answer that others kept waiting again and again: it is not judged once
    /// more, so it is marked, or the class fails.
    #[must_use]
    pub fn late(&self, now: UnixMillis, known: &Knowledge, answer: &Answer) -> Answer {
        let unkept = Answer::Fail(Failure::BoundNotKept);
        if self.policy.beyond_bound == Beyond::Fail || self.at_least.is_some() {
            return unkept;
        }
        let freshness = Freshness::Stale;
        match answer {
            Answer::Serve { from, .. } => {
                let held = self.served.iter().chain(&self.spares).find(|(tier, _)| tier == from);
                let servable = held.is_some_and(|(_, envelope)| self.may_stand_in(now, known, envelope));
                let marked = Answer::Serve { from: *from, freshness, refresh: false, fill: Vec::new() };
                if servable { marked } else { unkept }
            }
            Answer::Removed { at, .. } => Answer::Removed { at: *at, freshness },
            Answer::Fail(failure) => Answer::Fail(*failure),
        }
    }

    fn synced(&mut self, now: UnixMillis, known: &Knowledge, proved: bool) -> Step {
        self.note(|| Note::synced(now, known, proved));
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
        if self.said.is_empty() { self.ask(known, self.tiers) } else { self.weigh(now, known) }
    }

    /// Judges what the tiers said, once their floors are proved recent enough and remembered.
    fn weigh(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        let max_age = self.policy.lag_bound / 2;
        if self.lapsed(now, known) {
            return Step::Sync { max_age, at_least: self.at_least, look: Look::default() };
        }
        if !self.looked
            && let Some(look) = self.not_remembered(known)
        {
            self.looked = true;
            return Step::Sync { max_age, at_least: self.at_least, look };
        }
        self.looked = false;
        let mut said = std::mem::take(&mut self.said);
        match said.pop() {
            Some((tier, found)) if said.is_empty() => self.tier_said(now, known, tier, found),
            Some(last) => {
                said.push(last);
                self.count_votes(now, known, said)
            }
            None => self.ask(known, self.tiers),
        }
    }

    /// Returns what has to be asked for before what is in hand can be judged.
    fn not_remembered(&self, known: &Knowledge) -> Option<Look> {
        let mut look = Look::default();
        for (_, found) in &self.said {
            let Found::Entry(envelope) = found else { continue };
            let fill = envelope.position.version;
            if known.floors().judge(&self.key, fill, envelope.carries()) == Judgement::Unknown {
                look.join(Look { keys: vec![self.key.clone()], tags: envelope.tags.clone() });
            }
        }
        (!look.is_empty()).then_some(look)
    }

    fn tier_said(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, found: Found) -> Step {
        match (tier, found) {
            (Tier::Origin, Found::Entry(envelope)) => self.landed(known, &envelope),
            (Tier::Origin, Found::Nothing | Found::Failed) => {
                self.visited(tier, Visit::Failed);
                self.origin_failed(now, known)
            }
            (_, Found::Nothing) => self.pass(now, known, tier, Visit::Miss),
            (_, Found::Failed) => self.pass(now, known, tier, Visit::Failed),
            (_, Found::Entry(envelope)) => self.held(now, known, tier, envelope),
        }
    }

    /// Asks tiers, unless the log says by now that there is nothing to ask for.
    fn ask(&mut self, known: &Knowledge, tiers: &'static [Tier]) -> Step {
        self.tiers = tiers;
        if let Some(at) = known.floors().removed(&self.key) {
            let freshness = self.marked(Freshness::Fresh);
            return Step::Answer(Answer::Removed { at, freshness });
        }
        // Memory has no generations.
        if tiers != MEMORY && !self.looked && !known.floors().knows(&self.key) {
            self.looked = true;
            let look = Look { keys: vec![self.key.clone()], tags: Vec::new() };
            return Step::Sync { max_age: self.policy.lag_bound / 2, at_least: self.at_least, look };
        }
        self.looked = false;
        self.fetches += u32::from(tiers.contains(&Tier::Origin));
        Step::Ask { tiers, generation: known.floors().generation(&self.key) }
    }

    fn held(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, envelope: Envelope) -> Step {
        let visit = self.judge(now, known, &envelope);
        self.judged(known, tier, visit, &envelope);
        if visit == Visit::Hit {
            self.visits.push((tier, visit));
            self.served = Some((tier, envelope));
            let freshness = self.marked(Freshness::Fresh);
            let fill = self.above(tier);
            return Step::Answer(Answer::Serve { from: tier, freshness, refresh: false, fill });
        }
        self.spares.push((tier, envelope));
        self.go_on(now, known, tier, visit)
    }

    /// Returns the tiers to fill with what `tier` gave: those nearer to the reader.
    fn above(&self, tier: Tier) -> Vec<Tier> {
        let mut above = vec![Tier::Memory, Tier::Kv, Tier::R2];
        above.retain(|one| {
            *one < tier && (*one != Tier::R2 || self.r2) && (*one != Tier::Memory || !self.ahead)
        });
        above
    }

    fn judge(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> Visit {
        let same_epoch = known.position().is_some_and(|at| at.epoch == envelope.position.epoch);
        if !same_epoch {
            return Visit::OtherEpoch;
        }
        match known.floors().judge(&self.key, envelope.position.version, envelope.carries()) {
            Judgement::Below(by) => Visit::Below(by),
            Judgement::Unknown => Visit::Unknown,
            Judgement::Soft => Visit::Soft,
            Judgement::Clear if now >= envelope.expires_at => Visit::Expired,
            Judgement::Clear => Visit::Hit,
        }
    }

    /// Says whether an entry may be served marked: within its stale time, of this epoch, not from before a removal.
    fn may_stand_in(&self, now: UnixMillis, known: &Knowledge, envelope: &Envelope) -> bool {
        let Position { epoch, version, .. } = envelope.position;
        let same_epoch = known.position().is_some_and(|at| at.epoch == epoch);
        now < envelope.stale_until && same_epoch && !known.floors().was_removed_after(&self.key, version)
    }

    /// Returns the best entry that may be served marked, and whether a hard floor refuses it: what is not
    /// refused before what is, the newer before the older.
    fn spare(&self, now: UnixMillis, known: &Knowledge) -> Option<(Tier, bool)> {
        let servable = self.spares.iter().filter_map(|(tier, envelope)| {
            let visit = self.judge(now, known, envelope);
            let servable = self.may_stand_in(now, known, envelope);
            let refused = matches!(visit, Visit::Below(_) | Visit::Unknown);
            servable.then_some((*tier, refused, envelope.position.version))
        });
        let best = servable.max_by_key(|(_, refused, filled_at)| (!refused, *filled_at));
        best.map(|(tier, refused, _)| (tier, refused))
    }

    /// Notes that a tier had no entry, and goes on.
    fn pass(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, visit: Visit) -> Step {
        self.note(|| Note::Said { tier, visit });
        self.go_on(now, known, tier, visit)
    }

    /// Goes on to the next tier after one that had nothing to serve.
    fn go_on(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, visit: Visit) -> Step {
        self.visits.push((tier, visit));
        match tier {
            Tier::Memory => return self.ask(known, KV),
            Tier::Kv if self.r2 => return self.ask(known, R2),
            Tier::Kv | Tier::R2 | Tier::Origin => {}
        }
        match self.spare(now, known) {
            // An answer that must hold a certain version is never a marked one, and for nobody there is no hurry.
            Some((from, false)) if self.at_least.is_none() && !self.ahead => {
                let freshness = self.marked(Freshness::Revalidating);
                Step::Answer(Answer::Serve { from, freshness, refresh: true, fill: Vec::new() })
            }
            Some(_) | None => self.fetch(known),
        }
    }

    fn fetch(&mut self, known: &Knowledge) -> Step {
        self.ask(known, ORIGIN)
    }

    /// A fill has landed: it is compared again, for the floors may have risen while the origin was thinking.
    fn landed(&mut self, known: &Knowledge, envelope: &Envelope) -> Step {
        let (visit, overtaken) = self.judge_fill(known, envelope);
        self.judged(known, Tier::Origin, visit, envelope);
        if overtaken && self.fetches < FETCHES {
            return self.fetch(known);
        }
        self.visits.push((Tier::Origin, Visit::Hit));
        if overtaken {
            return self.overtaken(known, envelope);
        }
        self.served = Some((Tier::Origin, envelope.clone()));
        let soft = visit == Visit::Soft;
        let freshness = self.marked(if soft { Freshness::Revalidating } else { Freshness::Fresh });
        let (refresh, fill) = (soft && !self.ahead, self.above(Tier::Origin));
        Step::Answer(Answer::Serve { from: Tier::Origin, freshness, refresh, fill })
    }

    /// Judges a fill, and says whether a change overtook it. It is the newest there is, so it does not expire here.
    fn judge_fill(&self, known: &Knowledge, envelope: &Envelope) -> (Visit, bool) {
        if known.position().is_none_or(|at| at.epoch != envelope.position.epoch) {
            return (Visit::OtherEpoch, true);
        }
        match known.floors().judge(&self.key, envelope.position.version, envelope.carries()) {
            Judgement::Below(by) => (Visit::Below(by), true),
            Judgement::Unknown => (Visit::Unknown, true),
            Judgement::Soft => (Visit::Soft, false),
            Judgement::Clear => (Visit::Hit, false),
        }
    }

    /// Answers when changes overtook every fill: with the last one, marked and not stored, where that is allowed.
    fn overtaken(&self, known: &Knowledge, envelope: &Envelope) -> Step {
        Step::Answer(if let Some(at) = known.floors().removed(&self.key) {
            Answer::Removed { at, freshness: self.marked(Freshness::Fresh) }
        } else if self.at_least.is_some() {
            Answer::Fail(Failure::MinVersion)
        } else if self.policy.beyond_bound == Beyond::Fail {
            Answer::Fail(Failure::BoundNotKept)
        } else if known.position().is_none_or(|at| at.epoch != envelope.position.epoch)
            || known.floors().was_removed_after(&self.key, envelope.position.version)
        {
            Answer::Fail(Failure::Origin)
        } else {
            let (from, freshness) = (Tier::Origin, Freshness::Stale);
            Answer::Serve { from, freshness, refresh: false, fill: Vec::new() }
        })
    }

    fn origin_failed(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        let refused_may = self.policy.beyond_bound == Beyond::Stale;
        Step::Answer(match self.spare(now, known) {
            Some((from, refused)) if self.at_least.is_none() && (!refused || refused_may) => {
                Answer::Serve { from, freshness: Freshness::Stale, refresh: false, fill: Vec::new() }
            }
            Some(_) | None => Answer::Fail(Failure::Origin),
        })
    }

    /// Notes what a tier had.
    fn visited(&mut self, tier: Tier, visit: Visit) {
        self.note(|| Note::Said { tier, visit });
        self.visits.push((tier, visit));
    }

    /// Notes how an entry was judged.
    fn judged(&mut self, known: &Knowledge, tier: Tier, visit: Visit, envelope: &Envelope) {
        if let Some(notes) = &mut self.notes {
            let floors = known.floors().consulted(&self.key, envelope.carries());
            notes.push(Note::Judged { tier, visit, entry: envelope.clone(), floors });
        }
    }

    /// Writes a note, if it takes any.
    fn note(&mut self, note: impl FnOnce() -> Note) {
        if let Some(notes) = &mut self.notes {
            notes.push(note());
        }
    }

    /// Marks an answer whose bound could not be proved.
    fn marked(&self, freshness: Freshness) -> Freshness {
        if self.unproved { Freshness::Stale } else { freshness }
    }
}

#[cfg(test)]
mod tests;
