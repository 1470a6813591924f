//! Readers: isolates with a memory and floors of their own, and reads under way. What `crates/edge` does around
//! `core::read::cache` and `core::read::sync`; every answer is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::read::cache::{Answer, Event as Said, Read, Step, Tier};
use newsreel_core::read::sync::{Anchor, Applied, AtLeast, Knowledge, Look, Reply};
use newsreel_core::wire::{Position, UnixMillis, Version};

use crate::faults::Fault;
use crate::machine::Clock;
use crate::model::broken;
use crate::tiers::Entry;
use crate::world::{Event, World};

mod answers;
mod asking;

/// How many entries an isolate keeps in memory.
const MEMORY: usize = 14;
/// How long a window stays open, and how long a sync behind an answer keeps others from starting.
const OPEN_FOR: u64 = 25_000;
const SYNCING: u64 = 2_000;
/// How long an isolate waits for the replica's answer.
const UNANSWERED: u64 = 5_000;
/// How often answers that waited are judged anew, and how many replies a sync takes.
const ROUNDS: u32 = 3;
const REPLIES: u32 = 50;
/// How often a write to R2 is tried whose condition others broke.
const TRIES: u32 = 3;

/// Who wants it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// A request.
    Reader,
    /// Nobody: it is fetched anew behind an answer.
    Behind,
    /// Nobody: it is fetched ahead.
    Ahead,
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Walk {
    read: Read,
    key: usize,
    of: For,
    /// When it began, by the true clock.
    began: u64,
    at_least: Option<AtLeast>,
    held: Vec<(Tier, Entry)>,
    generation: Version,
    /// What was known when the origin was asked, and when that was.
    asked_with: Option<(Position, UnixMillis)>,
    /// What R2 was seen to have: its tag and the entry.
    seen: Option<Option<(u64, Entry)>>,
    judged_by: Option<Position>,
    rounds: u32,
    waiting: Option<Answer>,
}

#[derive(Debug)]
struct Question {
    walk: Option<u64>,
    sent_at: UnixMillis,
    look: Look,
    max_age: Duration,
    at_least: Option<AtLeast>,
    replies: u32,
}

#[derive(Debug)]
struct Window {
    number: u64,
    sent_at: UnixMillis,
    anchor: Option<Anchor>,
    last: u64,
}

/// One isolate.
#[derive(Debug)]
pub(crate) struct Isolate {
    pub(crate) edge: usize,
    pub(crate) clock: Clock,
    known: Knowledge,
    memory: BTreeMap<usize, Entry>,
    walks: BTreeMap<u64, Walk>,
    questions: BTreeMap<u64, Question>,
    window: Option<Window>,
    window_until: u64,
    syncing_until: u64,
    /// Keys whose fetch is under way, and who waits for it beside the one who asked.
    flights: BTreeMap<usize, Vec<u64>>,
}

impl Isolate {
    pub(crate) fn new(edge: usize, clock: Clock) -> Self {
        Self {
            edge,
            clock,
            known: Knowledge::default(),
            memory: BTreeMap::new(),
            walks: BTreeMap::new(),
            questions: BTreeMap::new(),
            window: None,
            window_until: 0,
            syncing_until: 0,
            flights: BTreeMap::new(),
        }
    }

    pub(crate) fn window(&self) -> Option<u64> {
        self.window.as_ref().map(|window| window.number)
    }
}

impl World {
    /// Reads some keys at an isolate.
    pub(crate) fn read_burst(&mut self, isolate: u64, reads: u64) {
        for _ in 0..reads {
            let key = self.work.hot(self.origin.keys.len());
            let dice = self.work.below(1_000);
            let of = if dice < 4 { For::Ahead } else { For::Reader };
            let known = self.isolates.get(&isolate).and_then(|one| one.known.position());
            let at_least = known.filter(|_| (4..14).contains(&dice)).map(|at| {
                let ahead = self.work.below(2);
                let version = Version::new(at.version.number() + ahead).expect("a version");
                AtLeast { epoch: at.epoch, version }
            });
            self.begin_read(isolate, key, of, at_least);
            if self.violation.is_some() {
                return;
            }
        }
        self.follow_window(isolate);
    }

    fn begin_read(&mut self, isolate: u64, key: usize, of: For, at_least: Option<AtLeast>) {
        let one = &self.origin.keys[key];
        let read = Read::new(one.key.clone(), one.policy, at_least).with_r2(true);
        let read = if of == For::Ahead { read.ahead() } else { read };
        self.begin_walk(isolate, read, key, of, at_least, Some(Said::Begin));
    }

    fn begin_walk(
        &mut self,
        isolate: u64,
        read: Read,
        key: usize,
        of: For,
        at_least: Option<AtLeast>,
        said: Option<Said>,
    ) {
        let mut walk = Walk {
            read,
            key,
            of,
            began: self.now,
            at_least,
            held: Vec::new(),
            generation: Version::ZERO,
            asked_with: None,
            seen: None,
            judged_by: None,
            rounds: 0,
            waiting: None,
        };
        self.next_walk += 1;
        let number = self.next_walk;
        let step = match said {
            Some(said) => self.tell_walk(isolate, &mut walk, said),
            None => {
                let Some(at) = self.isolates.get_mut(&isolate) else { return };
                walk.read.refetch(&at.known)
            }
        };
        self.obey(isolate, number, walk, step);
    }

    /// Hands a read what happened; what memory has it is told at once.
    fn tell_walk(&mut self, isolate: u64, walk: &mut Walk, said: Said) -> Step {
        let now = self.now;
        let at = self.isolates.get_mut(&isolate).expect("whose walk it is");
        let local = at.clock.read(now);
        let mut step = walk.read.next(local, &at.known, said);
        while let Step::Ask { tiers: [Tier::Memory], .. } = step {
            let said = match at.memory.get(&walk.key) {
                Some(entry) => {
                    walk.held.push((Tier::Memory, entry.clone()));
                    Said::Held(Tier::Memory, entry.envelope.clone())
                }
                None => Said::Missed(Tier::Memory),
            };
            step = walk.read.next(local, &at.known, said);
        }
        walk.judged_by = at.known.position();
        step
    }

    /// Something happened to a walk.
    fn go_on(&mut self, isolate: u64, number: u64, said: Said, held: Option<(Tier, Entry)>) {
        let Some(mut walk) = self.isolates.get_mut(&isolate).and_then(|at| at.walks.remove(&number)) else {
            return;
        };
        walk.held.extend(held);
        let step = self.tell_walk(isolate, &mut walk, said);
        self.obey(isolate, number, walk, step);
    }

    /// Does what a read says.
    fn obey(&mut self, isolate: u64, number: u64, mut walk: Walk, step: Step) {
        match step {
            Step::Sync { max_age, at_least, look } => {
                self.keep_walk(isolate, number, walk);
                self.sync(isolate, Some(number), max_age, at_least, look);
            }
            Step::Ask { tiers, generation } => {
                walk.generation = generation;
                let at = self.isolates.get_mut(&isolate).expect("whose walk it is");
                let local = at.clock.read(self.now);
                walk.asked_with = at.known.position().map(|position| (position, local));
                self.keep_walk(isolate, number, walk);
                for tier in tiers {
                    self.ask_tier(isolate, number, *tier);
                }
            }
            Step::Listen => self.keep_walk(isolate, number, walk),
            Step::Answer(answer) => {
                let waits =
                    walk.of == For::Reader && walk.rounds == 0 && !self.ending && self.work.percent(3);
                if waits || (walk.rounds > 0 && walk.waiting.is_none() && self.work.percent(50)) {
                    // It is one of many, and the others take their time.
                    walk.waiting = Some(answer);
                    walk.rounds += 1;
                    self.keep_walk(isolate, number, walk);
                    let time = self.net.between(1, 3_000);
                    return self.schedule(time, Event::Waited { isolate, walk: number });
                }
                self.answer(isolate, walk, answer);
            }
        }
    }

    fn keep_walk(&mut self, isolate: u64, number: u64, walk: Walk) {
        if let Some(at) = self.isolates.get_mut(&isolate) {
            at.walks.insert(number, walk);
        }
    }

    /// The others of an answer have theirs: it is given, or judged anew.
    pub(crate) fn waited(&mut self, isolate: u64, number: u64) {
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(mut walk) = at.walks.remove(&number) else { return };
        let answer = walk.waiting.take().expect("it waited with an answer");
        let local = at.clock.read(now);
        let failed = matches!(answer, Answer::Fail(_));
        if failed || !walk.read.is_outdated(local, &at.known, walk.judged_by) {
            return self.answer(isolate, walk, answer);
        }
        let late = walk.read.late(local, &at.known, &answer);
        let step = self.tell_walk(isolate, &mut walk, Said::Delayed);
        match step {
            Step::Answer(answer) => self.answer(isolate, walk, answer),
            Step::Sync { .. } | Step::Ask { .. } | Step::Listen if walk.rounds > ROUNDS => {
                self.answer(isolate, walk, late);
            }
            Step::Sync { .. } | Step::Ask { .. } | Step::Listen => {
                walk.rounds += 1;
                self.obey(isolate, number, walk, step);
            }
        }
    }

    /// A read has its answer: it is checked, and tiers are filled.
    fn answer(&mut self, isolate: u64, walk: Walk, answer: Answer) {
        if walk.of == For::Reader {
            self.tally.reads += 1;
            let kept = self.check_answer(isolate, &walk, &answer);
            if kept.is_err() {
                let key = &self.origin.keys[walk.key].key;
                let at = &self.isolates[&isolate];
                let told = format!(
                    "isolate {isolate} at edge {} reads {key}: {answer:?} of {:?}; knows {:?}",
                    at.edge,
                    walk.held,
                    at.known.position()
                );
                self.say(|| told);
            }
            self.note(kept);
        }
        if let Answer::Serve { from, fill, refresh, .. } = &answer {
            let held = walk.held.iter().rev().find(|(tier, _)| tier == from).map(|(_, entry)| entry.clone());
            if let Some(entry) = held.filter(|_| !fill.is_empty()) {
                self.fill(isolate, &walk, &entry, fill);
            }
            let flies = self.isolates[&isolate].flights.contains_key(&walk.key);
            if *refresh && !flies && walk.of == For::Reader {
                let one = &self.origin.keys[walk.key];
                let read = Read::new(one.key.clone(), one.policy, None).with_r2(true);
                self.begin_walk(isolate, read, walk.key, For::Behind, None, None);
            }
        }
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        if walk.of == For::Reader && walk.read.sync_behind(local, &at.known) && now >= at.syncing_until {
            at.syncing_until = now + SYNCING;
            let max_age = self.origin.keys[walk.key].policy.lag_bound / 2;
            self.sync(isolate, None, max_age, None, Look::default());
        }
    }

    fn fill(&mut self, isolate: u64, walk: &Walk, entry: &Entry, tiers: &[Tier]) {
        let epoch = entry.envelope.position.epoch;
        for tier in tiers {
            match tier {
                Tier::Memory => self.put_memory(isolate, walk.key, entry.clone()),
                Tier::Kv => {
                    let name = (epoch, walk.key, walk.generation);
                    let location = self.isolates[&isolate].edge;
                    let way = self.net.between(1, 60);
                    self.schedule(way, Event::KvPut { location, name, entry: Some(entry.clone()) });
                }
                Tier::R2 => {
                    let way = self.net.between(1, 60);
                    let (seen, entry, key) = (walk.seen.clone(), entry.clone(), walk.key);
                    self.schedule(way, Event::R2Put { key, entry, seen, tries: TRIES });
                }
                Tier::Origin => {}
            }
        }
    }

    fn put_memory(&mut self, isolate: u64, key: usize, entry: Entry) {
        let victim = self.net.index(MEMORY);
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        if let Some(held) = at.memory.get(&key) {
            if held.envelope.rank() > entry.envelope.rank() {
                return;
            }
            let (before, after) = (held.envelope.position, entry.envelope.position);
            if (before.epoch, before.version) > (after.epoch, after.version) {
                let what = format!("in memory an entry of {after} replaces one of {before}");
                return self.note(broken("S2", what));
            }
        }
        at.memory.insert(key, entry);
        if at.memory.len() > MEMORY {
            let victim = at.memory.keys().nth(victim).copied();
            victim.map(|victim| at.memory.remove(&victim));
        }
    }

    /// Asks the replica.
    fn sync(
        &mut self,
        isolate: u64,
        walk: Option<u64>,
        max_age: Duration,
        at_least: Option<AtLeast>,
        look: Look,
    ) {
        self.ask_replica(
            isolate,
            Question { walk, sent_at: UnixMillis(0), look, max_age, at_least, replies: 0 },
        );
    }

    fn ask_replica(&mut self, isolate: u64, mut question: Question) {
        let now = self.now;
        self.next_walk += 1;
        let ticket = self.next_walk;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let ask = at.known.ask(question.max_age, question.at_least, question.look.clone());
        question.sent_at = at.clock.read(now);
        let edge = at.edge;
        at.questions.insert(ticket, question);
        self.schedule(UNANSWERED, Event::Replied { isolate, ticket, reply: None });
        if !self.faults.strikes(Fault::SyncLost) {
            let way = self.net.between(1, 8);
            self.schedule(way, Event::Asked { edge, isolate, ticket, ask, window: false });
        }
    }

    /// The replica's answer, or none in time.
    pub(crate) fn replied(&mut self, isolate: u64, ticket: u64, reply: Option<(Reply, bool)>) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(mut question) = at.questions.remove(&ticket) else { return };
        let proved = match reply {
            None => false,
            Some((reply, proved)) => {
                let before = at.known.position();
                let applied = at.known.learn(question.sent_at, &question.look, reply);
                // Of a new epoch nothing may be known yet: then nothing is answered.
                let after = at.known.position().or(before);
                if after.map(|at| (at.epoch, at.version)) < before.map(|at| (at.epoch, at.version)) {
                    let what = format!("a reader went back from {before:?} to {after:?}");
                    return self.note(broken("E1", what));
                }
                match applied {
                    Applied::Part if question.replies < REPLIES => {
                        question.replies += 1;
                        return self.ask_replica(isolate, question);
                    }
                    Applied::Whole => proved,
                    Applied::Part | Applied::Ignored => false,
                }
            }
        };
        match question.walk {
            Some(walk) => self.go_on(isolate, walk, Said::Synced { proved }, None),
            None => at.syncing_until = 0,
        }
    }

    /// Opens a window, if none is open.
    fn follow_window(&mut self, isolate: u64) {
        let now = self.now;
        self.next_walk += 1;
        let number = self.next_walk;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        if now < at.window_until {
            return;
        }
        at.window_until = now + OPEN_FOR;
        let ask = at.known.ask(Duration::from_millis(OPEN_FOR), None, Look::default());
        let sent_at = at.clock.read(now);
        at.window = Some(Window { number, sent_at, anchor: None, last: now });
        let edge = at.edge;
        self.schedule(OPEN_FOR, Event::WindowClosed { isolate, window: number });
        let way = self.net.between(1, 8);
        self.schedule(way, Event::Asked { edge, isolate, ticket: number, ask, window: true });
    }

    /// Returns when a window's next message arrives: they keep their order.
    pub(crate) fn window_due(&mut self, number: u64) -> u64 {
        let due = self.now + self.net.between(1, 6);
        let mut windows = self.isolates.values_mut().filter_map(|at| at.window.as_mut());
        let Some(window) = windows.find(|window| window.number == number) else { return due };
        window.last = window.last.max(due);
        window.last
    }

    /// A window says something.
    pub(crate) fn window_said(&mut self, isolate: u64, number: u64, said_at: UnixMillis, reply: Reply) {
        let now = self.now;
        if self.faults.strikes(Fault::WindowCut) {
            return self.window_closed(isolate, number);
        }
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let Some(window) = at.window.as_mut().filter(|window| window.number == number) else { return };
        let first = Anchor { sent_at: window.sent_at, answered_at: said_at };
        let dated = window.anchor.get_or_insert(first).dated(said_at, local);
        let applied = dated.map(|dated| at.known.apply(dated, reply));
        if matches!(applied, None | Some(Applied::Ignored)) {
            self.window_closed(isolate, number);
        }
    }

    pub(crate) fn window_closed(&mut self, isolate: u64, number: u64) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        if at.window().is_some_and(|open| open == number) {
            (at.window, at.window_until) = (None, 0);
        }
        let edge = at.edge;
        self.edges[edge].close_window(number);
    }

    /// Reads a key once, as every request does.
    pub(crate) fn read_now(&mut self, isolate: u64, key: usize) {
        self.begin_read(isolate, key, For::Reader, None);
    }
}
