//! The reads under way, by `newsreel_core::read::cache`, with memory and the origin for tiers.
//!
//! A [`PendingRead`] says what it needs next as a [`NextStep`]. JavaScript does that and hands in the
//! outcome, until the step is an answer.
//!
//! Unlike a reader in the Worker, a cache can read *anew*. Where the bound cannot be kept, a fetch that
//! begins after the read is as good as a proof, because an origin commits before it publishes. Such a read
//! shares no flight that began before the read, and sees no entry in memory.

use newsreel_core::metrics::counts::Count;
use newsreel_core::read::cache::{Answer, Freshness, ReadFailure, ReadMachine, Step, Tier};
use newsreel_core::read::drive::{ReadTask, TierReply};
use newsreel_core::read::policy::{OnUnprovable, Policy};
use newsreel_core::wire::{Key, UnixMillis};

use super::options::BeyondBound;
use super::pending::{Behind, Given, NextStep, PendingRead, ReadOptions, Shown, Source};
use super::state::{CacheState, UNDER_WAY, number_of};

impl CacheState {
    /// Serves an entry if memory alone can, and returns the work that follows; otherwise changes nothing.
    pub(super) fn try_hit(&mut self, slot: u32, now: UnixMillis) -> Option<Behind> {
        let held = self.entries.get(slot)?;
        let (policy, beyond_bound) = self.classes.of(held.key.class(), None, None);
        let mut task = ReadTask::new(ReadMachine::new(held.key.clone(), policy, None));
        task.begin(now, &mut Shown { known: &self.known, entries: Some(&self.entries) });
        let answer = task.answer()?;
        let Answer::Serve { from: Tier::Memory, freshness, refresh, .. } = *answer else { return None };
        if beyond_bound == BeyondBound::Fetch && freshness == Freshness::Stale {
            return None;
        }
        task.read().count(answer, held.envelope.found, &mut self.counts);
        self.entries.touch(slot);
        Some(Behind { refresh, prove: task.read().sync_behind(now, &self.known) })
    }

    /// Begins a read in a turn of the event loop; returns its number.
    pub(super) fn begin(&mut self, key: Key, options: ReadOptions, tick: u32, now: UnixMillis) -> u32 {
        let mut walk = self.new_walk(key, options, tick);
        self.start(&mut walk, now);
        self.admit(walk)
    }

    /// Begins a fetch behind an answer, unless one is under way that will do.
    pub(super) fn refresh(&mut self, key: Key, tick: u32, now: UnixMillis) -> Option<u32> {
        if self.is_fetched(&key) {
            return None;
        }
        let mut walk = self.new_walk(key, ReadOptions::default(), tick);
        self.counts.add(walk.key.class(), Count::Refreshes, 1);
        walk.task.refetch(now, &mut self.shown(walk.anew));
        self.follow(&mut walk, now);
        Some(self.admit(walk))
    }

    fn new_walk(&self, key: Key, options: ReadOptions, tick: u32) -> PendingRead {
        let (policy, _) = self.classes.of(key.class(), options.bound, options.beyond_bound);
        let task = ReadTask::new(ReadMachine::new(key.clone(), policy, options.at_least));
        let (step, era) = (NextStep::Fetch, self.era);
        let (proved, anew, pass, found) = (false, false, false, false);
        PendingRead { key, options, task, step, tick, era, proved, anew, pass, found }
    }

    /// Returns the knowledge and the index that a read is shown; a read *anew* is not shown the index.
    fn shown(&self, anew: bool) -> Shown<'_> {
        Shown { known: &self.known, entries: (!anew).then_some(&self.entries) }
    }

    fn admit(&mut self, walk: PendingRead) -> u32 {
        number_of(self.walks.insert(Some(walk)))
    }

    /// Returns a read under way.
    pub(super) fn walk(&self, walk: u32) -> Option<&PendingRead> {
        self.walks.get(walk as usize)?.as_ref()
    }

    /// Returns the next step of a read.
    pub(super) fn step(&self, walk: u32) -> NextStep {
        self.walk(walk).expect(UNDER_WAY).step
    }

    /// Says whether the version that a read wants was heard.
    pub(super) fn is_heard(&self, walk: u32) -> bool {
        self.walk(walk).is_none_or(|walk| self.has_heard(walk))
    }

    /// The proof that a read waited for has come, or will not in time.
    pub(super) fn proved(&mut self, walk: u32, proved: bool, now: UnixMillis) -> NextStep {
        self.with(walk, now, |state, walk| state.synced(walk, proved, now))
    }

    /// The flight that a read waited for has landed.
    pub(super) fn landed(&mut self, walk: u32, flight: u32, now: UnixMillis) -> NextStep {
        self.with(walk, now, |state, walk| {
            let flight = state.flight(flight);
            let Some(envelope) = flight.and_then(|flight| flight.envelope(walk.task.read())) else {
                return state.origin_failed(walk, now);
            };
            walk.found = envelope.found;
            if walk.pass {
                return state.passed(walk);
            }
            let reply = TierReply::Entry(Given { envelope: envelope.into(), slot: None });
            walk.task.replied(now, &mut state.shown(walk.anew), Tier::Origin, reply);
            state.follow(walk, now);
        })
    }

    /// The flight that a read waited for brought nothing.
    pub(super) fn failed(&mut self, walk: u32, now: UnixMillis) -> NextStep {
        self.with(walk, now, |state, walk| state.origin_failed(walk, now))
    }

    /// Ends a read, answered or not.
    pub(super) fn end(&mut self, walk: u32) {
        self.walks.try_remove(walk as usize);
    }

    /// Hands a read the proof or flight that it waited for, unless a reset came first: then the read begins
    /// again.
    fn with(
        &mut self,
        number: u32,
        now: UnixMillis,
        hand: impl FnOnce(&mut Self, &mut PendingRead),
    ) -> NextStep {
        let taken = self.walks.get_mut(number as usize).and_then(Option::take);
        let mut walk = taken.expect(UNDER_WAY);
        if walk.era == self.era {
            hand(self, &mut walk);
        } else {
            self.start_again(&mut walk, now);
        }
        let step = walk.step;
        if let Some(place) = self.walks.get_mut(number as usize) {
            *place = Some(walk);
        }
        step
    }

    fn start(&mut self, walk: &mut PendingRead, now: UnixMillis) {
        if walk.options.anew || !self.hears_of(&walk.key) {
            return self.read_anew(walk, now);
        }
        walk.task.begin(now, &mut self.shown(walk.anew));
        self.follow(walk, now);
    }

    fn start_again(&mut self, walk: &mut PendingRead, now: UnixMillis) {
        let (key, options, tick) = (walk.key.clone(), walk.options, walk.tick);
        *walk = self.new_walk(key, options, tick);
        self.start(walk, now);
    }

    fn promise(&self, walk: &PendingRead) -> (Policy, BeyondBound) {
        self.classes.of(walk.key.class(), walk.options.bound, walk.options.beyond_bound)
    }

    fn has_heard(&self, walk: &PendingRead) -> bool {
        let position = self.known.position();
        walk.options.at_least.is_none_or(|wanted| position.is_some_and(|at| wanted.is_met_by(&at)))
    }

    fn synced(&mut self, walk: &mut PendingRead, proved: bool, now: UnixMillis) {
        self.counts.add(walk.key.class(), Count::Syncs, 1);
        walk.proved |= proved;
        let (Policy { lag_bound, .. }, beyond_bound) = self.promise(walk);
        let within = || self.known.lag(now).is_some_and(|lag| lag <= lag_bound);
        let kept = self.known.position().is_some() && if lag_bound.is_zero() { proved } else { within() };
        if !self.has_heard(walk) {
            return self.answer(walk, now, Answer::Fail(ReadFailure::MinVersion));
        }
        // Where nothing is known, or the answer may not be a marked one, there is nothing stale to show
        // either.
        let nothing_to_show = self.known.position().is_none() || walk.options.at_least.is_some();
        match beyond_bound {
            BeyondBound::Fetch if !kept => self.read_anew(walk, now),
            BeyondBound::Stale if !kept && nothing_to_show => self.read_anew(walk, now),
            BeyondBound::Fetch | BeyondBound::Stale | BeyondBound::Fail => {
                walk.task.synced(now, &mut self.shown(walk.anew), proved);
                self.follow(walk, now);
            }
        }
    }

    /// Asks the origin, even if memory has an entry.
    fn read_anew(&mut self, walk: &mut PendingRead, now: UnixMillis) {
        walk.anew = true;
        if self.known.position().is_none() || !self.hears_of(&walk.key) {
            return self.pass_on(walk);
        }
        let (policy, _) = self.promise(walk);
        let policy = Policy { beyond_bound: OnUnprovable::Stale, ..policy };
        walk.task = ReadTask::new(ReadMachine::new(walk.key.clone(), policy, None));
        walk.task.begin(now, &mut self.shown(walk.anew));
        self.follow(walk, now);
    }

    fn pass_on(&self, walk: &mut PendingRead) {
        walk.pass = true;
        walk.step = NextStep::Fetch;
    }

    /// Follows the steps of the read up to one that needs a proof, a fetch or the caller.
    fn follow(&mut self, walk: &mut PendingRead, now: UnixMillis) {
        loop {
            match walk.task.step() {
                Step::Sync { max_age, look, .. } if look.is_empty() && !walk.anew => {
                    walk.step = NextStep::Prove { max_age: *max_age };
                    return;
                }
                Step::Sync { .. } => {
                    // No replica remembers more floors than are held here.
                    let proved = walk.proved && !walk.anew;
                    walk.task.synced(now, &mut self.shown(walk.anew), proved);
                }
                Step::Ask { tiers: [Tier::Origin], .. } => {
                    walk.step = NextStep::Fetch;
                    return;
                }
                Step::Ask { tiers, .. } => {
                    let tier = tiers.first().copied().unwrap_or(Tier::Kv);
                    walk.task.replied(now, &mut self.shown(walk.anew), tier, TierReply::Nothing);
                }
                Step::Listen => unreachable!("no class asks several at once"),
                Step::Answer(answer) => {
                    let answer = answer.clone();
                    return self.answer(walk, now, answer);
                }
            }
        }
    }

    fn origin_failed(&mut self, walk: &mut PendingRead, now: UnixMillis) {
        if walk.pass {
            let class = walk.key.class();
            [Count::Reads, Count::OriginFailed, Count::OriginDown]
                .iter()
                .for_each(|count| self.counts.add(class, *count, 1));
            walk.step = NextStep::Fail { failure: ReadFailure::Origin };
            return;
        }
        walk.task.replied(now, &mut self.shown(walk.anew), Tier::Origin, TierReply::Failed);
        self.follow(walk, now);
    }

    /// Answers with the origin's value of a key whose changes the session does not hear.
    fn passed(&mut self, walk: &mut PendingRead) {
        let class = walk.key.class();
        let (origin, fresh) = match walk.found {
            true => (Count::OriginHit, Count::Fresh),
            false => (Count::OriginMiss, Count::NotFound),
        };
        [Count::Reads, origin, fresh].iter().for_each(|count| self.counts.add(class, *count, 1));
        let (from, freshness) = (Source::Origin, Freshness::Fresh);
        walk.step = NextStep::Serve { from, freshness, keep: false, behind: Behind::default() };
    }

    fn answer(&mut self, walk: &mut PendingRead, now: UnixMillis, answer: Answer) {
        let (_, beyond_bound) = self.promise(walk);
        let answer = match answer {
            // The log may have gone on without this cache.
            Answer::Removed { .. } if walk.anew => return self.pass_on(walk),
            Answer::Serve { from: Tier::Memory, .. } if !self.has_what_it_gave(walk) => {
                if self.entries.slot(walk.key.as_str()).is_some() {
                    // Another fetch has brought something newer.
                    return self.start_again(walk, now);
                }
                Answer::Fail(ReadFailure::Origin)
            }
            Answer::Serve { from: Tier::Memory, freshness: Freshness::Stale, .. }
                if beyond_bound == BeyondBound::Fetch =>
            {
                Answer::Fail(ReadFailure::Origin)
            }
            // The fetch began after the read, and no change since refuses the value.
            Answer::Serve { from: Tier::Origin, refresh, fill, .. } if walk.anew && !fill.is_empty() => {
                let freshness = if refresh { Freshness::Revalidating } else { Freshness::Fresh };
                Answer::Serve { from: Tier::Origin, freshness, refresh, fill }
            }
            Answer::Serve { .. } | Answer::Removed { .. } | Answer::Fail(_) => answer,
        };
        let found = walk.task.entry().map_or(walk.found, |given| given.envelope.found);
        walk.task.read().count(&answer, found, &mut self.counts);
        let prove = walk.task.read().sync_behind(now, &self.known);
        walk.step = match answer {
            Answer::Serve { from, freshness, refresh, fill } => {
                let from = if from == Tier::Memory { Source::Memory } else { Source::Origin };
                if let Some(slot) = self.entries.slot(walk.key.as_str()).filter(|_| from == Source::Memory) {
                    self.entries.touch(slot);
                }
                let (keep, behind) = (fill.contains(&Tier::Memory), Behind { refresh, prove });
                NextStep::Serve { from, freshness, keep, behind }
            }
            Answer::Removed { freshness, .. } => NextStep::Removed { freshness },
            Answer::Fail(failure) => NextStep::Fail { failure },
        };
    }

    /// Says whether the index still has the fill that it gave a read.
    fn has_what_it_gave(&self, walk: &PendingRead) -> bool {
        let held = self.entries.slot(walk.key.as_str());
        let given = walk.task.held_by(Tier::Memory).and_then(|given| given.slot);
        held.is_some() && held == given
    }
}
