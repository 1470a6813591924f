//! The shell of a replica: the part of `crates/edge` around its follower. Writes, readers' questions,
//! windows, proofs.

use std::time::Duration;

use newsreel_core::follow::follower::{Cursor, FollowerInput, Phase};
use newsreel_core::read::sync::{FloorLookup, SyncRequest};
use newsreel_core::wire::{Target, Version};

use crate::faults::Fault;
use crate::machine::Stored;
use crate::replica::{Asking, Outgoing, ReplicaWrite};
use crate::world::{Event, Who, World};

/// How often its alarm rings.
const ALARM: u64 = 30_000;
/// How long after the last question it lets go of the broker.
const IDLE_AFTER: u64 = 20_000;

impl World {
    pub(crate) fn write_replica(&mut self, number: usize, write: ReplicaWrite) -> bool {
        if self.faults.strikes(Fault::ReplicaWriteFails) {
            return false;
        }
        self.tend_kv(number, &write);
        if self.edges[number].storage.write(write) {
            let (life, time) = (self.edges[number].life, self.net.between(1, 12));
            self.schedule(time, Event::ReplicaSettles { edge: number, life });
        }
        !self.faults.strikes(Fault::ReplicaWriteUnacked)
    }

    /// Deletes, sooner or later, KV's entries under generations that are about to end.
    fn tend_kv(&mut self, number: usize, write: &ReplicaWrite) {
        let ReplicaWrite::Apply { floors, position: Some(position) } = write else { return };
        for row in floors {
            let Target::Key(key) = &row.target else { continue };
            let known = self.origin.keys.iter().position(|one| one.key == *key);
            let generation = self.edges[number].storage.seen.floor(&row.target).hard;
            if let Some(key) = known.filter(|_| row.floor.hard > generation) {
                let (way, name) = (self.net.between(1, 2_000), (position.epoch, key, generation));
                self.schedule(way, Event::KvPut { location: number, name, entry: None });
            }
        }
    }

    pub(crate) fn replica_settles(&mut self, number: usize, life: u64) {
        if self.edges[number].life != life {
            return;
        }
        let (_, held) = self.edges[number].storage.settle();
        held.into_iter().for_each(|left| self.release_replica(number, left));
    }

    /// Sends a message of a follower. A replica's waits until everything written before is durable.
    pub(crate) fn leave(&mut self, who: Who, left: Outgoing) {
        match who {
            Who::Edge(number) => {
                if let Some(left) = self.edges[number].storage.let_out(left) {
                    self.release_replica(number, left);
                }
            }
            Who::Client(_) => match left {
                Outgoing::Up { socket, text, stored } => self.left(who, socket, &text, stored),
                Outgoing::Dial { link, start } => self.dial(who, link, start),
                Outgoing::Answer { .. } | Outgoing::Window { .. } => {}
            },
        }
    }

    fn release_replica(&mut self, number: usize, left: Outgoing) {
        match left {
            Outgoing::Dial { link, start } => self.dial(Who::Edge(number), link, start),
            Outgoing::Up { socket, text, stored } => self.left(Who::Edge(number), socket, &text, stored),
            Outgoing::Answer { isolate, ticket, reply } => {
                if !self.faults.strikes(Fault::SyncLost) {
                    let slow = self.faults.strikes(Fault::SyncSlow);
                    let way = if slow { self.net.between(200, 4_000) } else { self.net.between(1, 8) };
                    self.schedule(way, Event::Replied { isolate, ticket, reply: reply.map(Box::new) });
                }
            }
            Outgoing::Window { isolate, window, said_at, reply } => {
                if !self.faults.strikes(Fault::WindowLost) {
                    let due = self.window_due(window);
                    let reply = Box::new(reply);
                    self.schedule_at(due, Event::WindowSaid { isolate, window, said_at, reply });
                }
            }
        }
    }

    /// The replica's process died: its memory and its sockets are gone.
    pub(crate) fn replica_begins_again(&mut self, number: usize) {
        let seed = self.net.next();
        let edge = &mut self.edges[number];
        edge.storage.crash();
        edge.life += 1;
        let rows = &mut edge.storage;
        if rows.seen.position.is_none() {
            // The rows of a fold that was never finished are void.
            rows.seen.apply(&ReplicaWrite::Clear);
            rows.disk.apply(&ReplicaWrite::Clear);
        }
        edge.asking.clear();
        (edge.proving, edge.in_vain) = (false, false);
        edge.windows.clear();
        let cursor = edge.storage.seen.position.map_or(Cursor::Beginning, Cursor::At);
        if let Some(socket) = edge.seat.socket() {
            self.cut(socket);
        }
        self.edges[number].seat.begin_again(cursor, seed);
        let life = self.edges[number].life;
        self.schedule(ALARM, Event::ReplicaAlarm { edge: number, life });
    }

    /// A reader's question arrives at the replica.
    pub(crate) fn asked(&mut self, number: usize, isolate: u64, ticket: u64, ask: SyncRequest, window: bool) {
        let (now, who) = (self.now, Who::Edge(number));
        let edge = &mut self.edges[number];
        edge.last_asked = now;
        let asked_at = edge.seat.clock.read(now);
        if matches!(edge.seat.phase(), Phase::Idle | Phase::Closed) {
            self.step_follower(who, FollowerInput::Start);
        }
        let edge = &mut self.edges[number];
        let wait = match edge.seat.phase() {
            _ if ask.at_least.is_some() => 3_000,
            _ if edge.in_vain => 250,
            Phase::Live => 1_000,
            Phase::Idle | Phase::Waiting | Phase::Connecting | Phase::CatchingUp | Phase::Closed => 3_000,
        };
        let needed = asked_at.minus(Duration::from_millis(ask.max_age_ms));
        let deadline = now + wait;
        edge.asking.push(Asking { isolate, ticket, ask, needed, deadline, window, asked_broker: false });
        self.schedule_at(deadline, Event::AskingEnds { edge: number });
        self.answer_asking(number);
    }

    /// Answers the readers that have their proof or have waited long enough.
    pub(crate) fn answer_asking(&mut self, number: usize) {
        let mut waiting = std::mem::take(&mut self.edges[number].asking);
        let mut asks_broker = false;
        let mut left = Vec::new();
        for mut asking in waiting.drain(..) {
            let edge = &self.edges[number];
            let proved = edge.seat.follower.proved_at().is_some_and(|at| at >= asking.needed);
            let position = edge.storage.seen.position;
            let heard =
                asking.ask.at_least.is_none_or(|wanted| position.is_some_and(|at| wanted.is_met_by(&at)));
            let reachable = matches!(edge.seat.phase(), Phase::CatchingUp | Phase::Live);
            if (proved && heard) || self.now >= asking.deadline {
                self.edges[number].in_vain |= !proved;
                self.answer_one(number, &asking, proved && heard);
                continue;
            }
            if reachable && !proved && !asking.asked_broker {
                asking.asked_broker = true;
                asks_broker = true;
            }
            left.push(asking);
        }
        self.edges[number].asking.extend(left);
        if asks_broker {
            self.step_follower(Who::Edge(number), FollowerInput::Prove);
        }
    }

    fn answer_one(&mut self, number: usize, asking: &Asking, proved: bool) {
        let now = self.now;
        let edge = &mut self.edges[number];
        let age = edge.proof_age(now);
        let said_at = edge.seat.clock.read(now);
        let Asking { isolate, ticket, ask, window, .. } = asking;
        let (isolate, ticket) = (*isolate, *ticket);
        let reply = edge.tellable().map(|position| {
            let since = match ask.epoch {
                Some(epoch) if epoch == position.epoch => ask.since.min(position.version),
                Some(_) | None => Version::ZERO,
            };
            edge.storage.seen.reply(since, position, &ask.look, age)
        });
        if !window {
            let reply = reply.map(|reply| (reply, proved));
            return self.leave(Who::Edge(number), Outgoing::Answer { isolate, ticket, reply });
        }
        // Too much for one message, and it opens none: the reader syncs first.
        let Some(reply) = reply.filter(|reply| reply.to >= reply.position.version) else {
            return self.schedule(1, Event::WindowClosed { isolate, window: ticket });
        };
        edge.windows.insert(ticket, isolate);
        self.leave(Who::Edge(number), Outgoing::Window { isolate, window: ticket, said_at, reply });
        if !std::mem::replace(&mut self.edges[number].proving, true) {
            self.prove_later(number);
        }
    }

    fn prove_later(&mut self, number: usize) {
        let pause = self.origin.policies.tightest_bound() / 2;
        let life = self.edges[number].life;
        let pause = u64::try_from(pause.as_millis()).unwrap_or(1_000);
        self.schedule(pause, Event::Proves { edge: number, life });
    }

    /// While windows are open, a proof every now and then.
    pub(crate) fn proves(&mut self, number: usize, life: u64) {
        if self.edges[number].life != life {
            return;
        }
        if self.edges[number].windows.is_empty() {
            self.edges[number].proving = false;
            return;
        }
        self.step_follower(Who::Edge(number), FollowerInput::Prove);
        self.prove_later(number);
    }

    /// After every step: sends changes to the windows, and answers the readers whose proof has come.
    pub(crate) fn replica_stepped(&mut self, number: usize) {
        let now = self.now;
        let edge = &mut self.edges[number];
        let before = edge.told;
        edge.told = (edge.storage.seen.position, edge.seat.follower.proved_at());
        if edge.told.1 > before.1 {
            edge.in_vain = false;
        }
        if let (true, Some(position), false) = (before != edge.told, edge.tellable(), edge.windows.is_empty())
        {
            let known =
                before.0.filter(|known| known.epoch == position.epoch && known.version <= position.version);
            let since = known.map_or(Version::ZERO, |known| known.version);
            let age = edge.proof_age(now);
            let said_at = edge.seat.clock.read(now);
            let reply = edge.storage.seen.reply(since, position, &FloorLookup::default(), age);
            for (window, isolate) in edge.windows.clone() {
                let reply = reply.clone();
                self.leave(Who::Edge(number), Outgoing::Window { isolate, window, said_at, reply });
            }
        }
        if !self.edges[number].asking.is_empty() {
            self.answer_asking(number);
        }
    }

    /// Every half minute: forgets old floors, and disconnects a replica without readers.
    pub(crate) fn replica_alarm(&mut self, number: usize, life: u64) {
        if self.edges[number].life != life {
            return;
        }
        let (now, longest) = (self.now, self.origin.policies.longest_life());
        let edge = &mut self.edges[number];
        let at = edge.seat.clock.read(now);
        if let Some(held) = edge.storage.seen.position {
            self.write_replica(number, ReplicaWrite::Forget { held: held.version, now: at, life: longest });
        }
        if now > self.edges[number].last_asked + IDLE_AFTER {
            self.step_follower(Who::Edge(number), FollowerInput::Stop);
        }
        self.schedule(ALARM, Event::ReplicaAlarm { edge: number, life });
    }
}
