//! The stale refill, in every order: one reader fills while the origin changes and publishes, others hear of
//! it sooner or later, KV is tended, and another reader reads at every moment. Every interleaving of those
//! steps is played; after each step a read of every reader is checked against what was said to it.
//!
//! The readers are the real `cache::ReadMachine` and `sync::Knowledge`; the tiers are the simplest there are:
//! KV a map that takes every write, R2 one that takes a write only on what was read, memory one of its own
//! for each reader.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what is not there ends the test")]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::read::cache::{Answer, Envelope, Event, Freshness, ReadMachine, Step, Tier, etag_of};
use newsreel_core::read::floors::raised_by;
use newsreel_core::read::policy::{OnInvalidate, OnUnprovable, OriginCacheControl, Policy};
use newsreel_core::read::sync::{Knowledge, SyncResponse};
use newsreel_core::wire::{Change, Epoch, Key, Position, Tag, UnixMillis, Version};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: UnixMillis = UnixMillis(1_000_000);

/// The origin: how often its value has changed, and whether there is a value.
type Value = (u64, bool);

/// An entry: its envelope, and the origin's value when the origin was asked.
type Entry = (Envelope, Value);

fn policy(quorum: bool) -> Policy {
    Policy {
        ttl: Duration::from_secs(3_600),
        stale_for: Duration::from_secs(3_600),
        lag_bound: Duration::from_secs(60),
        beyond_bound: OnUnprovable::Stale,
        on_bump: OnInvalidate::Delete,
        quorum,
        origin_cache_control: OriginCacheControl::Respect,
    }
}

fn key() -> Key {
    Key::new("title:1").unwrap()
}

fn v(version: u64) -> Version {
    Version::new(version).unwrap()
}

fn position(version: u64) -> Position {
    Position { version: v(version), ..Position::genesis(Epoch::new(UnixMillis(1), [0; 10])) }
}

/// The state of one isolate.
#[derive(Clone, Default)]
struct Isolate {
    known: Knowledge,
    heard: u64,
    memory: Option<Entry>,
}

/// A read under way, between two of its steps.
#[derive(Clone)]
struct PausedRead {
    read: ReadMachine,
    /// The tiers that have still to answer, and the generation under which the read asks KV.
    asking: Vec<Tier>,
    generation: Version,
    /// The position with which the read asked the origin, once it has asked; then the origin's answer.
    asked_with: Option<Position>,
    fetched: Option<Entry>,
    held: BTreeMap<Tier, Entry>,
    /// The entry that R2 held when this read asked R2.
    seen: Option<Entry>,
    answer: Option<Answer>,
    /// The tiers that are still to be filled, in this order.
    puts: Vec<Tier>,
}

#[derive(Clone)]
struct World {
    /// The published changes, in the order of their versions; then the origin's value.
    log: Vec<String>,
    value: Value,
    kv: BTreeMap<Version, Entry>,
    r2: Option<Entry>,
    isolates: [Isolate; 2],
    quorum: bool,
}

/// One event. The events of one actor happen in order, those of different actors in any order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// The first reader goes on with its read by one step.
    Fill,
    /// The origin commits the next change, and then publishes it.
    Commit,
    Publish,
    /// A reader hears everything that is published.
    Hear(usize),
    /// KV's old generations are deleted.
    Tend,
}

impl World {
    fn new(quorum: bool) -> Self {
        let mut world = Self {
            log: Vec::new(),
            value: (0, true),
            kv: BTreeMap::new(),
            r2: None,
            isolates: [Isolate::default(), Isolate::default()],
            quorum,
        };
        world.hear(0);
        world.hear(1);
        world
    }

    fn hear(&mut self, reader: usize) {
        let head = self.log.len() as u64;
        let isolate = &mut self.isolates[reader];
        let changes: Vec<(Version, Change)> = (1..=head)
            .zip(&self.log)
            .map(|(version, json)| (v(version), serde_json::from_str(json).unwrap()))
            .filter(|(version, _)| version.number() > isolate.heard)
            .collect();
        let reply = SyncResponse {
            traces: Vec::new(),
            position: position(head),
            from: v(isolate.heard),
            to: v(head),
            proof_age_ms: Some(0),
            floors: raised_by(changes.iter().map(|(version, change)| (*version, change))),
            left_out: None,
            looked: Vec::new(),
        };
        isolate.known.apply(NOW, reply);
        isolate.heard = head;
    }

    fn tend(&mut self) {
        let newest = self.newest_generation();
        self.kv.retain(|generation, _| *generation >= newest);
    }

    fn newest_generation(&self) -> Version {
        self.isolates.iter().map(|isolate| isolate.known.floors().generation(&key())).max().unwrap()
    }

    /// Says whether an act would do anything yet. An act that would not is played later.
    fn would_change(&self, act: Act) -> bool {
        match act {
            Act::Hear(reader) => self.isolates[reader].heard < self.log.len() as u64,
            Act::Tend => self.kv.keys().any(|generation| *generation < self.newest_generation()),
            Act::Fill | Act::Commit | Act::Publish => true,
        }
    }

    fn begin(&self, reader: usize) -> PausedRead {
        let read = ReadMachine::new(key(), policy(self.quorum), None).with_r2(true);
        let mut paused = PausedRead {
            read,
            asking: Vec::new(),
            generation: Version::ZERO,
            asked_with: None,
            fetched: None,
            held: BTreeMap::new(),
            seen: None,
            answer: None,
            puts: Vec::new(),
        };
        self.tell(reader, &mut paused, Event::Begin);
        paused
    }

    /// Hands a read an event, and notes what the read wants next.
    fn tell(&self, reader: usize, paused: &mut PausedRead, event: Event) {
        match paused.read.next(NOW, &self.isolates[reader].known, event) {
            Step::Ask { tiers, generation } => {
                paused.asking = tiers.to_vec();
                paused.generation = generation;
            }
            Step::Answer(answer) => {
                if let Answer::Serve { fill, .. } = &answer {
                    paused.puts.clone_from(fill);
                }
                paused.answer = Some(answer);
            }
            Step::Listen => {}
            Step::Sync { .. } => panic!("within its bound, and with all floors, nobody syncs"),
        }
    }

    /// Goes on with a read by one step: asks a tier, hears the origin, or fills a tier. Says whether one was
    /// left.
    fn step(&mut self, reader: usize, paused: &mut PausedRead) -> bool {
        if paused.answer.is_some() {
            return self.put(reader, paused);
        }
        let tier = paused.asking[0];
        let entry = match tier {
            Tier::Memory => self.isolates[reader].memory.clone(),
            Tier::Kv => self.kv.get(&paused.generation).cloned(),
            Tier::R2 => {
                paused.seen.clone_from(&self.r2);
                self.r2.clone()
            }
            // Three steps: the read asks the origin, the origin reads its value, the answer lands.
            Tier::Origin => match (paused.asked_with.take(), paused.fetched.take()) {
                (None, None) => {
                    paused.asked_with = self.isolates[reader].known.position();
                    return true;
                }
                (Some(asked_with), None) => {
                    let tags = vec![Tag::new("netflix").unwrap()];
                    let value = self.value;
                    let etag = etag_of(&value.0.to_le_bytes());
                    let envelope =
                        paused.read.filled(asked_with, NOW, value.1, tags, "text/plain".to_owned(), etag);
                    paused.fetched = Some((envelope, value));
                    return true;
                }
                (_, landed) => landed,
            },
        };
        paused.asking.remove(0);
        let event = match entry {
            Some(entry) => {
                paused.held.insert(tier, entry.clone());
                Event::Held(tier, Rc::new(entry.0))
            }
            None => Event::Missed(tier),
        };
        self.tell(reader, paused, event);
        true
    }

    fn put(&mut self, reader: usize, paused: &mut PausedRead) -> bool {
        if paused.puts.is_empty() {
            return false;
        }
        let tier = paused.puts.remove(0);
        let Some(Answer::Serve { from, .. }) = &paused.answer else { return false };
        let entry = paused.held[from].clone();
        match tier {
            Tier::Memory => {
                let memory = &mut self.isolates[reader].memory;
                let newer =
                    memory.as_ref().is_some_and(|held| held.0.position.version > entry.0.position.version);
                if !newer {
                    *memory = Some(entry);
                }
            }
            Tier::Kv => {
                self.kv.insert(paused.generation, entry);
            }
            Tier::R2 => {
                let newer = paused
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.0.position.version >= entry.0.position.version);
                if self.r2 == paused.seen && !newer {
                    self.r2 = Some(entry);
                }
            }
            Tier::Origin => {}
        }
        true
    }

    /// Reads at once from first to last, as `reader`, and checks the answer.
    #[track_caller]
    fn check(&self, reader: usize, told: &[Act]) {
        let mut world = self.clone();
        let mut paused = world.begin(reader);
        while paused.answer.is_none() {
            world.step(reader, &mut paused);
        }
        world.check_answer(reader, &paused, told);
    }

    /// Checks an answer that was given this moment.
    #[track_caller]
    fn check_answer(&self, reader: usize, paused: &PausedRead, told: &[Act]) {
        let heard = self.isolates[reader].heard;
        let removed = heard > 0 && self.log[usize::try_from(heard).unwrap() - 1].contains("remove");
        match paused.answer.as_ref().unwrap() {
            Answer::Serve { from, freshness: Freshness::Fresh, .. } => {
                // Every publish came after its commit, so a reader that has heard n publishes is given the
                // n-th value or a later one.
                let (changes, found) = paused.held[from].1;
                assert!(changes >= heard, "S2: {from:?} has value {changes} of {heard} after {told:?}");
                assert!(
                    !found || !removed || changes > heard,
                    "S2: {from:?} has what was removed, after {told:?}"
                );
            }
            Answer::Removed { .. } => assert!(removed, "after {told:?}"),
            Answer::Serve { .. } => {}
            Answer::Fail(failure) => panic!("{failure:?} after {told:?}"),
        }
    }
}

/// The acts of each actor, in order. The first actor is the reader that fills.
type Actors = [Vec<Act>; 5];

fn actors(changes: &[&str]) -> Actors {
    let origin = changes.iter().flat_map(|_| [Act::Commit, Act::Publish]).collect();
    let hears = |reader| vec![Act::Hear(reader); changes.len()];
    [vec![Act::Fill; 12], origin, hears(0), hears(1), vec![Act::Tend]]
}

/// A world under way, and what has happened in it.
#[derive(Clone)]
struct Played<'a> {
    changes: &'a [&'a str],
    world: World,
    paused: PausedRead,
    rest: Actors,
    told: Vec<Act>,
}

impl<'a> Played<'a> {
    /// A world in which nothing has happened; in a warm one the first reader has read once.
    fn new(changes: &'a [&'a str], quorum: bool, warm: bool) -> Self {
        let mut world = World::new(quorum);
        if warm {
            let mut paused = world.begin(0);
            while world.step(0, &mut paused) {}
        }
        let paused = world.begin(0);
        Self { changes, world, paused, rest: actors(changes), told: Vec::new() }
    }

    /// Returns the actors that may act next.
    fn ready(&self) -> Vec<usize> {
        let ready = |acts: &Vec<Act>| acts.first().is_some_and(|act| self.world.would_change(*act));
        (0..self.rest.len()).filter(|actor| ready(&self.rest[*actor])).collect()
    }

    /// Lets an actor act, and reads as every reader.
    fn act(&mut self, actor: usize) {
        let act = self.rest[actor].remove(0);
        self.told.push(act);
        match act {
            Act::Fill => {
                let asked = self.paused.answer.is_none();
                if !self.world.step(0, &mut self.paused) {
                    self.rest[0].clear();
                }
                if asked && self.paused.answer.is_some() {
                    self.world.check_answer(0, &self.paused, &self.told);
                }
            }
            Act::Commit => {
                let (changes, _) = self.world.value;
                let removes = self.changes[usize::try_from(changes).unwrap()].contains("remove");
                self.world.value = (changes + 1, !removes);
            }
            Act::Publish => self.world.log.push(self.changes[self.world.log.len()].to_owned()),
            Act::Hear(reader) => self.world.hear(reader),
            Act::Tend => self.world.tend(),
        }
        for reader in 0..2 {
            self.world.check(reader, &self.told);
        }
    }

    /// Plays every order of what is left; returns how many orders there are.
    fn play_all(&self) -> u64 {
        let ready = self.ready();
        if ready.is_empty() {
            return 1;
        }
        let play = |actor| {
            let mut next = self.clone();
            next.act(actor);
            next.play_all()
        };
        ready.into_iter().map(play).sum()
    }

    /// Plays one order of what is left, as these numbers choose.
    fn play_one(mut self, mut random: impl FnMut() -> usize) {
        loop {
            let ready = self.ready();
            let Some(actor) = ready.get(random() % ready.len().max(1)) else { return };
            self.act(*actor);
        }
    }
}

const UPDATE: &str = r#"{"key":"title:1"}"#;
const TAG: &str = r#"{"tag":"netflix"}"#;
const PREFIX: &str = r#"{"prefix":"tit"}"#;
const ALL: &str = r#"{"all":true}"#;
const REMOVE: &str = r#"{"key":"title:1","op":"remove"}"#;

#[test]
fn s2_a_slow_refill_is_never_served_in_any_order_of_a_change() {
    for change in [UPDATE, TAG, PREFIX, ALL, REMOVE] {
        for (quorum, warm) in [(false, false), (false, true), (true, false)] {
            let orders = Played::new(&[change], quorum, warm).play_all();
            assert!(orders >= 30, "{change}: only {orders} orders");
        }
    }
}

#[test]
fn s2_a_slow_refill_is_never_served_in_thousands_of_orders_of_three_changes() {
    // Numerical Recipes' generator: the same orders on every run.
    let mut state: u32 = 1;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let kinds = [UPDATE, TAG, PREFIX, ALL, REMOVE];
    for _ in 0..2_000 {
        let changes = [(); 3].map(|()| kinds[random() % kinds.len()]);
        let (quorum, warm) = (random() % 4 == 0, random() % 2 == 0);
        Played::new(&changes, quorum, warm).play_one(&mut random);
    }
}
