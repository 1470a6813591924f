//! The world: every part of the system on one clock, and the queue of events.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use newsreel_core::follow::follower::{Cursor, FollowerInput};
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::{Epoch, UnixMillis};

use crate::broker::Broker;
pub(crate) use crate::event::Event;
use crate::faults::Faults;
use crate::machine::Clock;
use crate::model::{Check, Model, Violation};
use crate::network::Socket;
pub(crate) use crate::network::Who;
use crate::origin::{Origin, PUBLISHERS};
use crate::plan::Plan;
use crate::reader::Isolate;
use crate::replica::Edge;
use crate::rng::Rng;
use crate::rows::Rows;
use crate::seat::{Client, FollowerSeat};
use crate::tiers::{Kv, R2};

struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl Ord for Due {
    /// The earliest is the greatest; of one moment the first that was scheduled.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

/// The counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The events that were played.
    pub steps: u64,
    /// The answers that were checked.
    pub reads: u64,
    /// The answers by tier: memory, KV, R2, origin.
    pub hits: [u64; 4],
    /// Answers marked as stale.
    pub stale: u64,
    /// The answers that said that the key was removed, fresh or stale.
    pub removed: u64,
    /// The reads that ended in an error, which breaks a guarantee only after everything has healed.
    pub failed: u64,
    /// The values that callers fetched themselves and that were taken.
    pub landed: u64,
    /// Those that were refused, because a change came since their lease.
    pub overtaken: u64,
    /// The publishes that the broker committed.
    pub publishes: u64,
}

/// The whole system, with its clock and its faults.
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// The true time, in milliseconds from the beginning.
    pub(crate) now: u64,
    queue: BinaryHeap<Due>,
    scheduled: u64,
    /// The randomness of what is done, and (`net`) of how long everything takes. Faults draw from neither.
    pub(crate) work: Rng,
    pub(crate) net: Rng,
    pub(crate) faults: Faults,
    pub(crate) model: Model,
    pub(crate) origin: Origin,
    pub(crate) broker: Broker,
    pub(crate) edges: Vec<Edge>,
    pub(crate) clients: Vec<Client>,
    pub(crate) isolates: BTreeMap<u64, Isolate>,
    /// The isolate in each slot. The slots of an edge follow those of the edge before.
    pub(crate) slots: Vec<u64>,
    pub(crate) sockets: BTreeMap<u64, Socket>,
    pub(crate) kv: Kv,
    pub(crate) r2: R2,
    pub(crate) next_socket: u64,
    pub(crate) next_request: u64,
    pub(crate) next_walk: u64,
    pub(crate) next_isolate: u64,
    pub(crate) tally: Tally,
    pub(crate) violation: Option<Violation>,
    /// The lines of the story, if the run keeps one.
    pub(crate) story: Option<Vec<String>>,
    /// The end of the run: no more commits and no more faults.
    pub(crate) ending: bool,
    /// Every answer must be the newest value there is.
    pub(crate) answers_are_checked: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, told: bool) -> Self {
        let seed = plan.seed;
        let mut net = Rng::new(seed, 2);
        let epoch = Epoch::new(UnixMillis(1_700_000_000_000), net.bytes());
        let origin = Origin::new(seed, plan.keys, plan.hidden);
        let mut clock = || Clock::new(i64::try_from(net.below(240_000)).unwrap_or(0) - 120_000);
        let broker = Broker::new(Rows::new(epoch), clock());
        let edges = (0..plan.edges).map(|number| {
            let seat = FollowerSeat::new(Cursor::Beginning, Topics::default(), clock(), seed ^ number as u64);
            Edge::new(format!("edge{number}"), seat)
        });
        let edges: Vec<Edge> = edges.collect();
        let clients = (0..plan.clients).map(|number| client(&plan, number, clock()));
        let clients = clients.collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            work: Rng::new(seed, 3),
            faults: Faults::new(seed, plan.faults.clone(), plan.only.clone()),
            model: Model::new(epoch, origin.keys.len()),
            origin,
            broker,
            edges,
            clients,
            isolates: BTreeMap::new(),
            slots: Vec::new(),
            sockets: BTreeMap::new(),
            kv: Kv::default(),
            r2: R2::default(),
            next_socket: 0,
            next_request: 0,
            next_walk: 0,
            next_isolate: 0,
            tally: Tally::default(),
            violation: None,
            story: told.then(Vec::new),
            ending: false,
            answers_are_checked: false,
            net,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for number in 0..self.edges.len() {
            let life = self.edges[number].life;
            self.schedule(30_000, Event::ReplicaAlarm { edge: number, life });
            for _ in 0..self.plan.isolates {
                let id = self.new_isolate(number);
                self.slots.push(id);
                let slot = self.slots.len() - 1;
                self.schedule(1 + slot as u64, Event::Reads { slot });
            }
        }
        for number in 0..self.clients.len() {
            self.step_follower(Who::Client(number), FollowerInput::Start);
        }
        for publisher in 0..PUBLISHERS {
            self.schedule(10, Event::Commits { publisher });
        }
        self.schedule(500, Event::Chaos);
        self.schedule(5_000, Event::Snapshots);
    }

    pub(crate) fn new_isolate(&mut self, edge: usize) -> u64 {
        self.next_isolate += 1;
        let ahead = i64::try_from(self.net.below(240_000)).unwrap_or(0) - 120_000;
        self.isolates.insert(self.next_isolate, Isolate::new(edge, Clock::new(ahead)));
        self.next_isolate
    }

    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    pub(crate) fn schedule_at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Due { at: at.max(self.now), number: self.scheduled, event });
    }

    /// Adds a line to the story.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9}.{:03} {}", now / 1_000, now % 1_000, line()));
        }
    }

    /// Records the first guarantee that is broken.
    pub(crate) fn note(&mut self, kept: Check) {
        if let Err(violation) = kept {
            self.say(|| format!("{} IS BROKEN: {}", violation.guarantee, violation.what));
            self.violation.get_or_insert(violation);
        }
    }

    /// Plays the next event; says whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let Some(Due { at, event, .. }) = self.queue.pop() else { return false };
        self.now = at;
        self.tally.steps += 1;
        self.dispatch(event);
        true
    }

    /// Says whether something happens by then.
    pub(crate) fn is_due_by(&self, end: u64) -> bool {
        self.queue.peek().is_some_and(|due| due.at <= end)
    }

    /// Each publisher publishes once more that everything changed.
    pub(crate) fn last_commits(&mut self) {
        for publisher in 0..PUBLISHERS {
            self.commit_everything(publisher);
        }
    }

    /// Reads every key at every isolate.
    pub(crate) fn read_everything(&mut self) {
        for isolate in self.slots.clone() {
            for key in 0..self.origin.keys.len() {
                self.read_now(isolate, key);
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "a line or two for each event")]
    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Commits { publisher } => self.commits(publisher),
            Event::Reads { slot } => self.reads(slot),
            Event::Chaos => self.chaos(),
            Event::Snapshots => self.snapshots(),
            Event::PublishArrives { publisher, request, ids } => {
                self.publish_arrived(publisher, request, &ids)
            }
            Event::PublishGivenUp { publisher, request } => self.publish_given_up(publisher, request),
            Event::PublishAnswered { publisher, request, outcomes } => {
                self.publish_answered(publisher, request, outcomes);
            }
            Event::Flush { object } => self.flush(object),
            Event::BrokerSettles { life } => self.broker_settles(life),
            Event::BrokerAlarm { due } => self.broker_alarm(due),
            Event::GhostEnds { object } => self.ghost_ends(object),
            Event::BeginsEpoch => self.begins_epoch(),
            Event::Dialed { who, link, start } => {
                if self.seat(who).link == link {
                    self.dialed(who, link, start);
                }
            }
            Event::Undialed { who, link } => self.undialed(who, link),
            Event::Arrives { socket, up } => self.arrived(socket, up),
            Event::Hears { socket, down } => self.hears(socket, down),
            Event::FollowerTimer { who, due } => self.follower_timer(who, due),
            Event::Returns { who } => self.step_follower(who, FollowerInput::Start),
            Event::ReplicaSettles { edge, life } => self.replica_settles(edge, life),
            Event::ReplicaAlarm { edge, life } => self.replica_alarm(edge, life),
            Event::Proves { edge, life } => self.proves(edge, life),
            Event::AskingEnds { edge } => self.answer_asking(edge),
            Event::Asked { edge, isolate, ticket, ask, window } => {
                self.asked(edge, isolate, ticket, ask, window);
            }
            Event::Replied { isolate, ticket, reply } => {
                self.replied(isolate, ticket, reply.map(|reply| *reply))
            }
            Event::WindowSaid { isolate, window, said_at, reply } => {
                self.window_said(isolate, window, said_at, *reply);
            }
            Event::WindowClosed { isolate, window } => self.window_closed(isolate, window),
            Event::TierAsked { isolate, request, question } => self.tier_asked(isolate, request, question),
            Event::OriginReads { isolate, request, read } => self.origin_reads(isolate, request, read),
            Event::OriginSaid { isolate, request, read, entry } => {
                self.origin_said(isolate, request, read, entry);
            }
            Event::LeaseReads { key, lease } => self.lease_reads(key, lease),
            Event::LeaseLands { key, lease, entry } => self.lease_lands(key, lease, entry),
            Event::KvPut { location, name, entry } => self.kv_put(location, name, entry),
            Event::R2Put { key, entry, seen, tries } => self.r2_put(key, entry, seen, tries),
        }
    }

    fn commits(&mut self, publisher: usize) {
        if self.ending {
            return;
        }
        self.commit(publisher);
        self.check_bookmarks();
        // In bursts, and with quiet times in between.
        let pause = match self.work.below(10) {
            _ if self.plan.hidden => self.work.between(1, 40),
            0..5 => self.work.between(5, 200),
            5..9 => self.work.between(200, 2_000),
            _ => self.work.between(2_000, 15_000),
        };
        self.schedule(pause, Event::Commits { publisher });
    }

    fn reads(&mut self, slot: usize) {
        if self.ending {
            return;
        }
        let reads = self.work.between(1, 40);
        self.read_burst(self.slots[slot], reads);
        let pause =
            if self.work.percent(3) { self.work.between(1_000, 8_000) } else { self.work.between(5, 300) };
        self.schedule(pause, Event::Reads { slot });
    }
}

/// Returns a client that follows. Of each four, two have topics, and one of either kind begins at the head.
fn client(plan: &Plan, number: usize, clock: Clock) -> Client {
    let (topics, stored) = match number % 4 {
        0 if plan.hidden => (vec!["nobody:".to_owned()], Cursor::Beginning),
        0 => (vec!["title:".to_owned(), "live:a".to_owned()], Cursor::Beginning),
        1 => (Vec::new(), Cursor::Beginning),
        2 => (vec!["fare:b".to_owned()], Cursor::Head),
        _ => (Vec::new(), Cursor::Head),
    };
    let seat = FollowerSeat::new(stored, Topics::new(topics), clock, plan.seed ^ (1_000 + number as u64));
    Client { seat, stored }
}
