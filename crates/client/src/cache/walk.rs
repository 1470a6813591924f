//! The reads under way, by `newsreel_core::read::cache`, with memory and the origin for tiers.
//!
//! A [`Walk`] is one read. It says what it needs next as a [`Turn`]; whoever drives it does that and hands it the
//! outcome, until the turn is an answer.
//!
//! One thing the reader in the Worker has no word for: *anew*. Where the bound cannot be kept, a fetch that begins after
//! the read did is as good as a proof, for an origin commits before it publishes. Such a read takes no part in flights
//! from before it, and what memory has is not shown to it.

use std::time::Duration;

use newsreel_core::metrics::counts::Count;
use newsreel_core::read::cache::{Answer, Envelope, Failure, Freshness, Read, Step, Tier};
use newsreel_core::read::drive::{HasEnvelope, Local, ReadTask, TierReply};
use newsreel_core::read::policy::{OnUnprovable, Policy};
use newsreel_core::read::sync::{AtLeast, Knowledge};
use newsreel_core::wire::{Key, UnixMillis};

use super::desk::Desk;
use super::options::Unkept;
use super::shelf::Shelf;

/// What a walk needs next, or came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A proof that is at most so old, and the version that was asked for.
    Prove {
        /// At most.
        max_age: Duration,
    },
    /// A flight.
    Fetch,
    /// An answer: what is on the shelf, or what the flight brought.
    Serve {
        /// Where it is.
        from: Tier,
        /// How recent.
        freshness: Freshness,
        /// Whether to fetch it anew behind the answer.
        refresh: bool,
        /// Whether to keep it.
        keep: bool,
        /// Whether to ask for a proof behind the answer.
        behind: bool,
    },
    /// The log says that it was removed.
    Removed {
        /// How recent.
        freshness: Freshness,
    },
    /// No answer.
    Failed(Failure),
}

/// What one read wants that its class does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    pub(super) bound: Option<Duration>,
    pub(super) unkept: Option<Unkept>,
    pub(super) at_least: Option<AtLeast>,
    /// Whatever is known, the origin is to be asked.
    pub(super) anew: bool,
}

/// One read.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) key: Key,
    wish: Wish,
    pub(super) task: ReadTask<Given>,
    turn: Turn,
    /// In which turn of the event loop it began.
    pub(super) tick: u32,
    era: u32,
    /// Whether a proof came that was asked for.
    proved: bool,
    /// Only what the origin is asked for after it began will do.
    pub(super) anew: bool,
    /// Nothing is heard of the key: what the origin says is passed on and not kept.
    pub(super) pass: bool,
    /// Whether a flight brought a value.
    found: bool,
}

/// What the shelf or a flight gave a read.
#[derive(Debug)]
pub(super) struct Given {
    envelope: Envelope,
    /// The number of the fill on the shelf.
    number: Option<u64>,
}

impl HasEnvelope for Given {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// What a read is shown: what was heard, and the shelf.
struct Shown<'a> {
    known: &'a Knowledge,
    /// None for a read that must ask the origin.
    shelf: Option<&'a Shelf>,
}

impl Local for Shown<'_> {
    type Entry = Given;

    fn known(&self) -> &Knowledge {
        self.known
    }

    fn recall(&mut self, key: &Key) -> Option<Given> {
        let held = self.shelf.and_then(|shelf| shelf.get(shelf.slot(key.as_str())?))?;
        Some(Given { envelope: held.envelope.clone(), number: Some(held.number) })
    }
}

impl Desk {
    /// Reads an entry on the shelf; nothing, and nothing is changed, unless that is all there is to it.
    pub(super) fn hit(&mut self, slot: u32, now: UnixMillis) -> Option<Turn> {
        let held = self.shelf.get(slot)?;
        let (policy, unkept) = self.classes.of(held.key.class(), None, None);
        let mut task = ReadTask::new(Read::new(held.key.clone(), policy, None));
        task.begin(now, &mut Shown { known: &self.known, shelf: Some(&self.shelf) });
        let answer = task.answer()?;
        let Answer::Serve { from: Tier::Memory, freshness, refresh, .. } = *answer else { return None };
        if unkept == Unkept::Fetch && freshness == Freshness::Stale {
            return None;
        }
        task.read().count(answer, held.envelope.found, &mut self.counts);
        self.shelf.touch(slot);
        let behind = task.read().sync_behind(now, &self.known);
        Some(Turn::Serve { from: Tier::Memory, freshness, refresh, keep: false, behind })
    }

    /// Begins a read in a turn of the event loop; returns its number.
    pub(super) fn begin(&mut self, key: Key, wish: Wish, tick: u32, now: UnixMillis) -> u32 {
        let mut walk = self.walk(key, wish, tick);
        self.start(&mut walk, now);
        self.admit(walk)
    }

    /// Begins a fetch behind an answer, unless one is under way that will do.
    pub(super) fn refresh(&mut self, key: Key, tick: u32, now: UnixMillis) -> Option<u32> {
        if self.is_fetched(&key) {
            return None;
        }
        let mut walk = self.walk(key, Wish::default(), tick);
        self.counts.add(walk.key.class(), Count::Refreshes, 1);
        walk.task.refetch(now, &mut self.shown(walk.anew));
        self.follow(&mut walk, now);
        Some(self.admit(walk))
    }

    fn walk(&self, key: Key, wish: Wish, tick: u32) -> Walk {
        let (policy, _) = self.classes.of(key.class(), wish.bound, wish.unkept);
        let task = ReadTask::new(Read::new(key.clone(), policy, wish.at_least));
        let (turn, era) = (Turn::Fetch, self.era);
        let (proved, anew, pass, found) = (false, false, false, false);
        Walk { key, wish, task, turn, tick, era, proved, anew, pass, found }
    }

    /// Returns what a read is shown; one that goes to the origin *anew* is not shown the shelf.
    fn shown(&self, anew: bool) -> Shown<'_> {
        Shown { known: &self.known, shelf: (!anew).then_some(&self.shelf) }
    }

    fn admit(&mut self, walk: Walk) -> u32 {
        self.walks.admit(walk)
    }

    /// Returns what a walk needs next.
    pub(super) fn turn(&self, walk: u32) -> Option<Turn> {
        self.walks.get(walk).map(|walk| walk.turn)
    }

    /// Says whether the version that a walk wants was heard.
    pub(super) fn is_heard(&self, walk: u32) -> bool {
        self.walks.get(walk).is_none_or(|walk| self.has_heard(walk))
    }

    /// The proof that a walk waited for has come, or will not in time.
    pub(super) fn proved(&mut self, walk: u32, proved: bool, now: UnixMillis) -> Option<Turn> {
        self.with(walk, now, |desk, walk| desk.synced(walk, proved, now))
    }

    /// The flight that a walk waited for has landed.
    pub(super) fn landed(&mut self, walk: u32, flight: u32, now: UnixMillis) -> Option<Turn> {
        self.with(walk, now, |desk, walk| {
            let flight = desk.flight(flight);
            let Some(envelope) = flight.and_then(|flight| flight.envelope(walk.task.read())) else {
                return desk.origin_failed(walk, now);
            };
            walk.found = envelope.found;
            if walk.pass {
                return desk.passed(walk);
            }
            let reply = TierReply::Entry(Given { envelope, number: None });
            walk.task.replied(now, &mut desk.shown(walk.anew), Tier::Origin, reply);
            desk.follow(walk, now);
        })
    }

    /// The flight that a walk waited for brought nothing.
    pub(super) fn failed(&mut self, walk: u32, now: UnixMillis) -> Option<Turn> {
        self.with(walk, now, |desk, walk| desk.origin_failed(walk, now))
    }

    /// Ends a walk, answered or not.
    pub(super) fn end(&mut self, walk: u32) {
        self.walks.take(walk);
    }

    /// Hands a walk what it waited for, unless a reset came first: then it begins anew.
    fn with(
        &mut self,
        number: u32,
        now: UnixMillis,
        hand: impl FnOnce(&mut Self, &mut Walk),
    ) -> Option<Turn> {
        let mut walk = self.walks.lend(number)?;
        if walk.era == self.era {
            hand(self, &mut walk);
        } else {
            self.start_again(&mut walk, now);
        }
        let turn = walk.turn;
        self.walks.put(number, walk);
        Some(turn)
    }

    fn start(&mut self, walk: &mut Walk, now: UnixMillis) {
        if walk.wish.anew || !self.hears_of(&walk.key) {
            return self.read_anew(walk, now);
        }
        walk.task.begin(now, &mut self.shown(walk.anew));
        self.follow(walk, now);
    }

    fn start_again(&mut self, walk: &mut Walk, now: UnixMillis) {
        let (key, wish, tick) = (walk.key.clone(), walk.wish, walk.tick);
        *walk = self.walk(key, wish, tick);
        self.start(walk, now);
    }

    fn promise(&self, walk: &Walk) -> (Policy, Unkept) {
        self.classes.of(walk.key.class(), walk.wish.bound, walk.wish.unkept)
    }

    fn has_heard(&self, walk: &Walk) -> bool {
        let position = self.known.position();
        walk.wish.at_least.is_none_or(|wanted| position.is_some_and(|at| wanted.is_met_by(&at)))
    }

    fn synced(&mut self, walk: &mut Walk, proved: bool, now: UnixMillis) {
        self.counts.add(walk.key.class(), Count::Syncs, 1);
        walk.proved |= proved;
        let (Policy { lag_bound, .. }, unkept) = self.promise(walk);
        let within = || self.known.lag(now).is_some_and(|lag| lag <= lag_bound);
        let kept = self.known.position().is_some() && if lag_bound.is_zero() { proved } else { within() };
        if !self.has_heard(walk) {
            return self.answer(walk, now, Answer::Fail(Failure::MinVersion));
        }
        // Where nothing is known, or the answer may not be a marked one, there is nothing stale to show either.
        let nothing_to_show = self.known.position().is_none() || walk.wish.at_least.is_some();
        match unkept {
            Unkept::Fetch if !kept => self.read_anew(walk, now),
            Unkept::Stale if !kept && nothing_to_show => self.read_anew(walk, now),
            Unkept::Fetch | Unkept::Stale | Unkept::Fail => {
                walk.task.synced(now, &mut self.shown(walk.anew), proved);
                self.follow(walk, now);
            }
        }
    }

    /// Asks the origin, whatever is on the shelf.
    fn read_anew(&mut self, walk: &mut Walk, now: UnixMillis) {
        walk.anew = true;
        if self.known.position().is_none() || !self.hears_of(&walk.key) {
            return self.pass_on(walk);
        }
        let (policy, _) = self.promise(walk);
        let policy = Policy { beyond_bound: OnUnprovable::Stale, ..policy };
        walk.task = ReadTask::new(Read::new(walk.key.clone(), policy, None));
        walk.task.begin(now, &mut self.shown(walk.anew));
        self.follow(walk, now);
    }

    fn pass_on(&self, walk: &mut Walk) {
        walk.pass = true;
        walk.turn = Turn::Fetch;
    }

    /// Does what the read says, as far as it needs nobody.
    fn follow(&mut self, walk: &mut Walk, now: UnixMillis) {
        loop {
            match walk.task.step() {
                Step::Sync { max_age, look, .. } if look.is_empty() && !walk.anew => {
                    walk.turn = Turn::Prove { max_age: *max_age };
                    return;
                }
                Step::Sync { .. } => {
                    // No replica remembers more floors than are held here.
                    let proved = walk.proved && !walk.anew;
                    walk.task.synced(now, &mut self.shown(walk.anew), proved);
                }
                Step::Ask { tiers: [Tier::Origin], .. } => {
                    walk.turn = Turn::Fetch;
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

    fn origin_failed(&mut self, walk: &mut Walk, now: UnixMillis) {
        if walk.pass {
            let class = walk.key.class();
            [Count::Reads, Count::OriginFailed, Count::OriginDown]
                .iter()
                .for_each(|count| self.counts.add(class, *count, 1));
            walk.turn = Turn::Failed(Failure::Origin);
            return;
        }
        walk.task.replied(now, &mut self.shown(walk.anew), Tier::Origin, TierReply::Failed);
        self.follow(walk, now);
    }

    /// Answers with what the origin said of a key of which nothing is heard.
    fn passed(&mut self, walk: &mut Walk) {
        let class = walk.key.class();
        let (origin, fresh) = match walk.found {
            true => (Count::OriginHit, Count::Fresh),
            false => (Count::OriginMiss, Count::NotFound),
        };
        [Count::Reads, origin, fresh].iter().for_each(|count| self.counts.add(class, *count, 1));
        let (from, freshness) = (Tier::Origin, Freshness::Fresh);
        walk.turn = Turn::Serve { from, freshness, refresh: false, keep: false, behind: false };
    }

    fn answer(&mut self, walk: &mut Walk, now: UnixMillis, answer: Answer) {
        let (_, unkept) = self.promise(walk);
        let answer = match answer {
            // The log may have gone on without this cache.
            Answer::Removed { .. } if walk.anew => return self.pass_on(walk),
            Answer::Serve { from: Tier::Memory, .. } if !self.has_what_it_gave(walk) => {
                if self.shelf.slot(walk.key.as_str()).is_some() {
                    // Another fetch has brought something newer.
                    return self.start_again(walk, now);
                }
                Answer::Fail(Failure::Origin)
            }
            Answer::Serve { from: Tier::Memory, freshness: Freshness::Stale, .. }
                if unkept == Unkept::Fetch =>
            {
                Answer::Fail(Failure::Origin)
            }
            // It is from after the read began, and nothing that was heard since refuses it.
            Answer::Serve { from: Tier::Origin, refresh, fill, .. } if walk.anew && !fill.is_empty() => {
                let freshness = if refresh { Freshness::Revalidating } else { Freshness::Fresh };
                Answer::Serve { from: Tier::Origin, freshness, refresh, fill }
            }
            Answer::Serve { .. } | Answer::Removed { .. } | Answer::Fail(_) => answer,
        };
        let found = walk.task.entry().map_or(walk.found, |given| given.envelope.found);
        walk.task.read().count(&answer, found, &mut self.counts);
        let behind = walk.task.read().sync_behind(now, &self.known);
        walk.turn = match answer {
            Answer::Serve { from, freshness, refresh, fill } => {
                if let Some(slot) = self.shelf.slot(walk.key.as_str()).filter(|_| from == Tier::Memory) {
                    self.shelf.touch(slot);
                }
                Turn::Serve { from, freshness, refresh, keep: fill.contains(&Tier::Memory), behind }
            }
            Answer::Removed { freshness, .. } => Turn::Removed { freshness },
            Answer::Fail(failure) => Turn::Failed(failure),
        };
    }

    /// Says whether the shelf still has the fill that it gave a walk.
    fn has_what_it_gave(&self, walk: &Walk) -> bool {
        let held = self.shelf.slot(walk.key.as_str()).and_then(|slot| self.shelf.get(slot));
        let given = walk.task.held_by(Tier::Memory).and_then(|given| given.number);
        held.is_some_and(|held| Some(held.number) == given)
    }
}
