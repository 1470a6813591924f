//! The shell of a reader: the part of `crates/edge` around `core::read::drive`. Every answer is checked.

use newsreel_core::read::cache::{Answer, ReadMachine, Tier};
use newsreel_core::read::drive::{Poll, ReadDriver, ReadTask, SyncQuestion};
use newsreel_core::read::sync::{FloorLookup, MinVersion};
use newsreel_core::wire::Version;

use crate::event::Event;
use crate::model::broken;
use crate::reader::{For, Request, Want};
use crate::tiers::Entry;
use crate::world::World;

mod answers;
mod asking;
mod leases;
mod syncing;

/// How many entries an isolate keeps in memory.
const MEMORY: usize = 14;
/// How long a sync behind an answer keeps others from starting.
const SYNCING: u64 = 2_000;
/// How often a write to R2 is tried whose condition others broke.
const TRIES: u32 = 3;
/// The most keys of one request.
const MANY: u64 = 4;

/// One read of a request that has its answer.
struct Answered<'a> {
    task: &'a ReadTask<Entry>,
    answer: &'a Answer,
    want: &'a Want,
    of: For,
    began: u64,
}

impl World {
    /// Reads some keys at an isolate.
    pub(crate) fn read_burst(&mut self, isolate: u64, reads: u64) {
        for _ in 0..reads {
            let key = self.work.hot(self.origin.keys.len());
            let drawn = self.work.below(1_000);
            if (54..74).contains(&drawn) {
                self.take_lease(isolate, key);
                continue;
            }
            let of = if drawn < 4 { For::Ahead } else { For::Reader };
            let known = self.isolates.get(&isolate).and_then(|one| one.known.position());
            let at_least = known.filter(|_| (4..14).contains(&drawn)).map(|at| {
                let ahead = self.work.below(2);
                let version = Version::new(at.version.number() + ahead).expect("a version");
                MinVersion { epoch: at.epoch, version }
            });
            let mut keys = vec![key];
            if (14..54).contains(&drawn) {
                // The answer of one waits for the others.
                let others = self.work.below(MANY);
                keys.extend((0..others).map(|_| self.work.hot(self.origin.keys.len())));
                keys.sort_unstable();
                keys.dedup();
            }
            self.begin_request(isolate, keys, of, at_least);
            if self.violation.is_some() {
                return;
            }
        }
        self.follow_window(isolate);
    }

    /// Reads a key once, as every request does.
    pub(crate) fn read_now(&mut self, isolate: u64, key: usize) {
        self.begin_request(isolate, vec![key], For::Reader, None);
    }

    fn read_of(&self, key: usize, at_least: Option<MinVersion>) -> ReadMachine {
        let one = &self.origin.keys[key];
        ReadMachine::new(one.key.clone(), one.policy, at_least).with_r2(true)
    }

    fn begin_request(&mut self, isolate: u64, keys: Vec<usize>, of: For, at_least: Option<MinVersion>) {
        let reads: Vec<ReadMachine> = keys
            .iter()
            .map(|key| self.read_of(*key, at_least))
            .map(|read| if of == For::Ahead { read.prefetching() } else { read })
            .collect();
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let driver = ReadDriver::begin(reads, local, at);
        self.admit(isolate, driver, keys, of);
    }

    /// Fetches an entry anew behind an answer.
    fn refetch(&mut self, isolate: u64, key: usize) {
        let (now, read) = (self.now, self.read_of(key, None));
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let driver = ReadDriver::refetch(read, local, at);
        self.admit(isolate, driver, vec![key], For::Behind);
    }

    fn admit(&mut self, isolate: u64, driver: ReadDriver<Entry>, keys: Vec<usize>, of: For) {
        let wants = keys.into_iter().map(|key| Want { key, asked_with: None, seen: None }).collect();
        self.next_walk += 1;
        let (number, began) = (self.next_walk, self.now);
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        at.requests.insert(number, Request { driver, wants, of, began });
        self.drive_request(isolate, number);
    }

    /// Polls the driver of a request, and starts the sync or the questions to tiers that the driver waits
    /// for.
    fn drive_request(&mut self, isolate: u64, number: u64) {
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(mut request) = at.requests.remove(&number) else { return };
        let local = at.clock.read(now);
        match request.driver.poll(local, at) {
            Poll::Done => self.answer(isolate, request),
            Poll::Wait => {
                at.requests.insert(number, request);
            }
            Poll::Sync(question) => {
                at.requests.insert(number, request);
                self.sync(isolate, Some(number), question);
            }
            Poll::Ask(questions) => {
                for question in &questions {
                    request.wants[question.read].asked_with = Some((question.position, local));
                }
                at.requests.insert(number, request);
                for question in questions {
                    self.ask_tier(isolate, number, question);
                }
            }
        }
    }

    /// Checks the answers of a request that is done, and fills the tiers.
    fn answer(&mut self, isolate: u64, request: Request) {
        let Request { driver, wants, of, began } = request;
        for (task, want) in driver.into_tasks().iter().zip(&wants) {
            let answer = task.answer().expect("the driver is done");
            self.give_answer(isolate, &Answered { task, answer, want, of, began });
        }
    }

    fn give_answer(&mut self, isolate: u64, answered: &Answered<'_>) {
        let Answered { task, answer, want, of, .. } = answered;
        let checked = match of {
            For::Reader => {
                self.tally.reads += 1;
                Some(self.check_answer(isolate, answered))
            }
            For::Caller => Some(self.check_landing(isolate, answered)),
            For::Behind | For::Ahead => None,
        };
        if let Some(kept) = checked {
            if kept.is_err() {
                let key = task.read().key();
                let at = &self.isolates[&isolate];
                let told = format!(
                    "isolate {isolate} at edge {} reads {key}: {answer:?} of {:?}; knows {:?}",
                    at.edge,
                    task.held(),
                    at.known.position()
                );
                self.say(|| told);
            }
            self.note(kept);
        }
        if let Answer::Serve { fill, refresh, .. } = answer {
            if let Some(entry) = task.entry().filter(|_| !fill.is_empty()) {
                self.fill(isolate, answered, entry, fill);
            }
            let flies = self.isolates[&isolate].flights.contains_key(&want.key);
            if *refresh && !flies && *of == For::Reader {
                self.refetch(isolate, want.key);
            }
        }
        self.sync_behind(isolate, answered);
    }

    fn sync_behind(&mut self, isolate: u64, answered: &Answered<'_>) {
        let now = self.now;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let wants = answered.of == For::Reader && answered.task.read().sync_behind(local, &at.known);
        if wants && now >= at.syncing_until {
            at.syncing_until = now + SYNCING;
            let max_age = answered.task.read().policy().lag_bound / 2;
            self.sync(isolate, None, SyncQuestion { max_age, at_least: None, look: FloorLookup::default() });
        }
    }

    fn fill(&mut self, isolate: u64, answered: &Answered<'_>, entry: &Entry, tiers: &[Tier]) {
        let epoch = entry.envelope.position.epoch;
        let key = answered.want.key;
        for tier in tiers {
            match tier {
                Tier::Memory => self.put_memory(isolate, key, entry.clone()),
                Tier::Kv => {
                    let name = (epoch, key, answered.task.generation());
                    let location = self.isolates[&isolate].edge;
                    let way = self.net.between(1, 60);
                    self.schedule(way, Event::KvPut { location, name, entry: Some(entry.clone()) });
                }
                Tier::R2 => {
                    let way = self.net.between(1, 60);
                    let (seen, entry) = (answered.want.seen.clone(), entry.clone());
                    self.schedule(way, Event::R2Put { key, entry, seen, tries: TRIES });
                }
                Tier::Origin => {}
            }
        }
    }

    fn put_memory(&mut self, isolate: u64, key: usize, entry: Entry) {
        let victim = self.net.index(MEMORY);
        let key = self.origin.keys[key].key.clone();
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
            let victim = at.memory.keys().nth(victim).cloned();
            victim.map(|victim| at.memory.remove(&victim));
        }
    }
}
