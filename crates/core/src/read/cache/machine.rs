//! The machine of one read: what to ask next, what to answer, what to keep.

use std::rc::Rc;

use super::explain::Note;
use super::step::Found;
use super::{Answer, Envelope, Event, Freshness, ReadFailure, Step, Tier, TierResult, quorum};
use crate::read::policy::{OnUnprovable, Policy};
use crate::read::sync::{FloorLookup, Knowledge, MinVersion};
use crate::wire::name::{Key, Tag};
use crate::wire::position::{Position, UnixMillis};

/// How often the origin is asked when changes overtake its answers.
pub const FETCHES: u32 = 3;

pub(super) const MEMORY: &[Tier] = &[Tier::Memory];
pub(super) const KV: &[Tier] = &[Tier::Kv];
pub(super) const R2: &[Tier] = &[Tier::R2];
pub(super) const ORIGIN: &[Tier] = &[Tier::Origin];

/// One read, from request to answer.
#[derive(Debug, Clone)]
pub struct ReadMachine {
    pub(super) key: Key,
    pub(super) policy: Policy,
    pub(super) at_least: Option<MinVersion>,
    /// Whether the deployment has an R2 bucket.
    pub(super) r2: bool,
    /// Whether the value is fetched ahead of any reader, for the tiers that isolates share.
    pub(super) is_prefetch: bool,
    /// Whether a caller hands in a value that it fetched itself: no tier is asked.
    pub(super) is_landing: bool,
    /// Whether the bound could not be proved. The answer is then marked.
    pub(super) unproved: bool,
    pub(super) fetches: u32,
    /// The tiers that the read asks next, or asked last.
    pub(super) tiers: &'static [Tier],
    /// The answers of these tiers so far. All are judged together, once their floors are proved and
    /// remembered.
    pub(super) said: Vec<(Tier, Found)>,
    /// Whether the floors that are not remembered here have been asked for.
    pub(super) looked: bool,
    /// The hit or the fill that the answer serves, kept so that it can be judged anew after a delay.
    pub(super) served: Option<(Tier, Rc<Envelope>)>,
    /// The entries that were no hit. They are judged again when one is to be served marked.
    pub(super) fallbacks: Vec<(Tier, Rc<Envelope>)>,
    pub(super) visits: Vec<(Tier, TierResult)>,
    pub(super) notes: Option<Vec<Note>>,
}

impl ReadMachine {
    /// Returns a read of `key` in a deployment without R2.
    #[must_use]
    pub fn new(key: Key, policy: Policy, at_least: Option<MinVersion>) -> Self {
        Self {
            key,
            policy,
            at_least,
            r2: false,
            is_prefetch: false,
            is_landing: false,
            unproved: false,
            fetches: 0,
            tiers: MEMORY,
            said: Vec::new(),
            looked: false,
            served: None,
            fallbacks: Vec::new(),
            visits: Vec::new(),
            notes: None,
        }
    }

    /// Sets whether the deployment has an R2 bucket.
    #[must_use]
    pub fn with_r2(self, r2: bool) -> Self {
        Self { r2, ..self }
    }

    /// Makes the read a prefetch: memory is neither asked nor filled, and no marked answer is given.
    #[must_use]
    pub fn prefetching(self) -> Self {
        Self { is_prefetch: true, ..self }
    }

    /// Makes the read the landing of a value that a caller fetched itself, under a lease: after the floors are proved it
    /// asks the origin, whose answer is that value, and asks only once. A value that a change overtook is refused
    /// ([`ReadFailure::Overtaken`]).
    #[must_use]
    pub fn landing(self) -> Self {
        Self { is_landing: true, ..self }
    }

    /// Makes the read take notes, for [`Self::notes`].
    #[must_use]
    pub fn explained(self) -> Self {
        Self { notes: Some(Vec::new()), ..self }
    }

    /// Returns the key that is read.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the policy of the key's class.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the version that the caller wants to have been heard.
    #[must_use]
    pub fn at_least(&self) -> Option<MinVersion> {
        self.at_least
    }

    /// Returns the outcome of each tier, in the order in which the tiers answered.
    #[must_use]
    pub fn visits(&self) -> &[(Tier, TierResult)] {
        &self.visits
    }

    /// Returns the notes of the read, step by step; none unless [`Self::explained`] asked for them.
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
        let not_stored = None;
        Envelope {
            position,
            found,
            tags,
            fetched_at,
            expires_at,
            stale_until,
            content_type,
            etag,
            not_stored,
        }
    }

    /// Returns the next step after an event.
    #[must_use]
    pub fn next(&mut self, now: UnixMillis, known: &Knowledge, event: Event) -> Step {
        let (tier, found) = match event {
            Event::Begin => {
                self.tiers = self.first_tiers();
                return match self.wanted_sync(now, known) {
                    Some(max_age) => {
                        Step::Sync { max_age, at_least: self.at_least, look: FloorLookup::default() }
                    }
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

    fn first_tiers(&self) -> &'static [Tier] {
        if self.is_landing {
            return ORIGIN;
        }
        match (self.is_prefetch, self.policy.quorum) {
            (true, _) => KV,
            (false, true) => quorum::tiers(self.r2),
            (false, false) => MEMORY,
        }
    }

    /// Judges the entry to be served as if its tier had given it this moment. Without one the read begins
    /// anew.
    fn delayed(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        // A class that always asks goes by the answer of its sync alone.
        self.unproved &= self.policy.lag_bound.is_zero();
        match self.served.take() {
            Some((tier, envelope)) => {
                self.visits.pop();
                self.said = vec![(tier, Found::Entry(envelope))];
                self.weigh(now, known)
            }
            None => {
                self.visits.clear();
                self.fallbacks.clear();
                self.next(now, known, Event::Begin)
            }
        }
    }

    fn synced(&mut self, now: UnixMillis, known: &Knowledge, proved: bool) -> Step {
        self.note(|| Note::synced(now, known, proved));
        if known.position().is_none() {
            return Step::Answer(Answer::Fail(ReadFailure::BoundNotKept));
        }
        if !self.is_heard(known) {
            return Step::Answer(Answer::Fail(ReadFailure::MinVersion));
        }
        // A class that always asks goes by the proof of this sync; every other class goes by the lag.
        let kept = if self.policy.lag_bound.is_zero() { proved } else { self.within_bound(now, known) };
        if !kept && (self.policy.beyond_bound == OnUnprovable::Fail || self.at_least.is_some()) {
            return Step::Answer(Answer::Fail(ReadFailure::BoundNotKept));
        }
        self.unproved = !kept;
        if self.said.is_empty() { self.ask(known, self.tiers) } else { self.weigh(now, known) }
    }

    /// Judges the answers of the tiers, once their floors are proved recent enough and remembered.
    fn weigh(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        let max_age = self.policy.lag_bound / 2;
        if self.lapsed(now, known) {
            return Step::Sync { max_age, at_least: self.at_least, look: FloorLookup::default() };
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

    fn tier_said(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, found: Found) -> Step {
        match (tier, found) {
            (Tier::Origin, Found::Entry(envelope)) => self.landed(known, envelope),
            (Tier::Origin, Found::Nothing | Found::Failed) => {
                self.visited(tier, TierResult::Failed);
                self.origin_failed(now, known)
            }
            (_, Found::Nothing) => self.pass(now, known, tier, TierResult::Miss),
            (_, Found::Failed) => self.pass(now, known, tier, TierResult::Failed),
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
            let look = FloorLookup { keys: vec![self.key.clone()], tags: Vec::new() };
            return Step::Sync { max_age: self.policy.lag_bound / 2, at_least: self.at_least, look };
        }
        self.looked = false;
        self.fetches += u32::from(tiers.contains(&Tier::Origin));
        Step::Ask { tiers, generation: known.floors().generation(&self.key) }
    }

    fn held(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, envelope: Rc<Envelope>) -> Step {
        let visit = self.judge(now, known, &envelope);
        self.judged(known, tier, visit, &envelope);
        if visit == TierResult::Hit {
            self.visits.push((tier, visit));
            self.served = Some((tier, envelope));
            let freshness = self.marked(Freshness::Fresh);
            let fill = self.above(tier);
            return Step::Answer(Answer::Serve { from: tier, freshness, refresh: false, fill });
        }
        self.fallbacks.push((tier, envelope));
        self.go_on(now, known, tier, visit)
    }

    /// Returns the tiers to fill with an entry that `tier` gave: the tiers nearer to the reader.
    fn above(&self, tier: Tier) -> Vec<Tier> {
        let mut above = vec![Tier::Memory, Tier::Kv, Tier::R2];
        above.retain(|one| {
            *one < tier && (*one != Tier::R2 || self.r2) && (*one != Tier::Memory || !self.is_prefetch)
        });
        above
    }

    /// Notes that a tier had no entry, and goes on.
    fn pass(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, visit: TierResult) -> Step {
        self.note(|| Note::Said { tier, visit });
        self.go_on(now, known, tier, visit)
    }

    /// Goes on to the next tier after one that had nothing to serve.
    fn go_on(&mut self, now: UnixMillis, known: &Knowledge, tier: Tier, visit: TierResult) -> Step {
        self.visits.push((tier, visit));
        match tier {
            Tier::Memory => return self.ask(known, KV),
            Tier::Kv if self.r2 => return self.ask(known, R2),
            Tier::Kv | Tier::R2 | Tier::Origin => {}
        }
        match self.fallback(now, known) {
            // A caller that asks for a version gets no marked answer, and a prefetch has no reader in a
            // hurry.
            Some((from, false)) if self.at_least.is_none() && !self.is_prefetch => {
                let freshness = self.marked(Freshness::Revalidating);
                Step::Answer(Answer::Serve { from, freshness, refresh: true, fill: Vec::new() })
            }
            Some(_) | None => self.fetch(known),
        }
    }

    pub(super) fn fetch(&mut self, known: &Knowledge) -> Step {
        self.ask(known, ORIGIN)
    }

    /// Takes a fill, and judges it by the floors of this moment, which may have risen during the fetch.
    fn landed(&mut self, known: &Knowledge, envelope: Rc<Envelope>) -> Step {
        let (visit, superseded) = self.judge_fill(known, &envelope);
        self.judged(known, Tier::Origin, visit, &envelope);
        if superseded && self.is_landing {
            return Step::Answer(Answer::Fail(ReadFailure::Overtaken));
        }
        if superseded && self.fetches < FETCHES {
            return self.fetch(known);
        }
        self.visits.push((Tier::Origin, TierResult::Hit));
        if superseded {
            return self.answer_superseded(known, &envelope);
        }
        let soft = visit == TierResult::Soft;
        let freshness = self.marked(if soft { Freshness::Revalidating } else { Freshness::Fresh });
        // An entry that no cache may keep goes into no tier, so a fetch behind the answer would serve no
        // reader.
        let kept = envelope.not_stored.is_none();
        self.served = Some((Tier::Origin, envelope));
        let (refresh, fill) =
            (soft && kept && !self.is_prefetch, if kept { self.above(Tier::Origin) } else { Vec::new() });
        Step::Answer(Answer::Serve { from: Tier::Origin, freshness, refresh, fill })
    }

    /// Answers when changes overtook every fill: with the last one, marked and not stored, where that is allowed.
    fn answer_superseded(&self, known: &Knowledge, envelope: &Envelope) -> Step {
        Step::Answer(if let Some(at) = known.floors().removed(&self.key) {
            Answer::Removed { at, freshness: self.marked(Freshness::Fresh) }
        } else if self.at_least.is_some() {
            Answer::Fail(ReadFailure::MinVersion)
        } else if self.policy.beyond_bound == OnUnprovable::Fail {
            Answer::Fail(ReadFailure::BoundNotKept)
        } else if known.position().is_none_or(|at| at.epoch != envelope.position.epoch)
            || known.floors().was_removed_after(&self.key, envelope.position.version)
        {
            Answer::Fail(ReadFailure::Origin)
        } else {
            let (from, freshness) = (Tier::Origin, Freshness::Stale);
            Answer::Serve { from, freshness, refresh: false, fill: Vec::new() }
        })
    }

    pub(super) fn origin_failed(&mut self, now: UnixMillis, known: &Knowledge) -> Step {
        let refused_may = self.policy.beyond_bound == OnUnprovable::Stale;
        Step::Answer(match self.fallback(now, known) {
            Some((from, refused)) if self.at_least.is_none() && (!refused || refused_may) => {
                Answer::Serve { from, freshness: Freshness::Stale, refresh: false, fill: Vec::new() }
            }
            Some(_) | None => Answer::Fail(ReadFailure::Origin),
        })
    }

    /// Notes that a tier had no entry: a miss or a failure.
    pub(super) fn visited(&mut self, tier: Tier, visit: TierResult) {
        self.note(|| Note::Said { tier, visit });
        self.visits.push((tier, visit));
    }

    /// Notes how an entry was judged.
    pub(super) fn judged(&mut self, known: &Knowledge, tier: Tier, visit: TierResult, envelope: &Envelope) {
        if let Some(notes) = &mut self.notes {
            let floors = known.floors().consulted(&self.key, envelope.carries());
            notes.push(Note::Judged { tier, visit, entry: envelope.clone(), floors });
        }
    }

    /// Writes a note, if the read takes notes.
    fn note(&mut self, note: impl FnOnce() -> Note) {
        if let Some(notes) = &mut self.notes {
            notes.push(note());
        }
    }

    /// Returns the mark of an answer: stale when the bound could not be proved, else `freshness`.
    pub(super) fn marked(&self, freshness: Freshness) -> Freshness {
        if self.unproved { Freshness::Stale } else { freshness }
    }
}
