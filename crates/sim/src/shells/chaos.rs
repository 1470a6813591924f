//! Chaos: processes die, storage is restored, clocks are set, a deploy cuts every connection.

use newsreel_core::follow::follower::{FollowerInput, Phase};
use newsreel_core::follow::hub::HubInput;

use crate::faults::Fault;
use crate::world::{Event, Who, World};

/// How many states are kept to be restored.
const SNAPSHOTS: usize = 6;

impl World {
    /// Lets larger faults strike, in storms more often than in calm weather.
    pub(crate) fn chaos(&mut self) {
        if self.ending {
            return;
        }
        self.chaos_of_the_broker();
        self.chaos_of_edges();
        self.chaos_of_clients();
        if self.faults.strikes(Fault::OriginAway) {
            let time = self.net.between(1_000, 90_000);
            self.say(|| format!("the origin is away for {time} ms"));
            self.origin.away_until = self.now + time;
        }
        self.kv.expire(self.now);
        self.r2.expire(self.now);
        // Fair weather now and then, so that things get somewhere.
        let fair = self.work.percent(20);
        let pause = if fair { self.work.between(5_000, 40_000) } else { self.work.between(300, 2_500) };
        self.faults.calm = fair;
        self.schedule(pause, Event::Chaos);
    }

    fn chaos_of_the_broker(&mut self) {
        let now = self.now;
        if self.faults.strikes(Fault::BrokerEvicted)
            && self.broker.object.is_idle()
            && self.broker.storage.is_settled()
        {
            self.say(|| "the broker is evicted; its sockets hibernate".to_owned());
            self.broker.object.sleep();
        }
        if self.faults.strikes(Fault::BrokerDies) {
            self.say(|| "the broker dies".to_owned());
            self.broker_dies();
        }
        if self.faults.strikes(Fault::BrokerLosesTail) {
            self.say(|| "the broker's memory is gone; its sockets stay".to_owned());
            self.lose_undurable();
            self.broker.object.drop_queue();
        }
        if self.faults.strikes(Fault::BrokerTwice) && self.broker.ghost.is_none() {
            let time = self.net.between(100, 5_000);
            self.say(|| format!("the broker runs twice for {time} ms"));
            self.lose_undurable();
            let old = self.broker.replace_object();
            let object = old.id;
            self.broker.ghost = Some(old);
            self.model.runs_twice_until(now + time);
            self.schedule(time, Event::GhostEnds { object });
        }
        if self.faults.strikes(Fault::BrokerAway) {
            let time = self.net.between(1_000, 150_000);
            self.say(|| format!("the broker is away for {time} ms"));
            self.broker_dies();
            self.broker.away_until = now + time;
        }
        if self.faults.strikes(Fault::Restored) {
            self.restore();
        }
        if self.faults.strikes(Fault::NewEpoch) {
            self.begins_epoch();
        }
        if self.faults.strikes(Fault::Deployed) {
            self.deploy();
        }
        // Only a replica's claim tells the broker of an epoch that a restore has undone. Without an edge, a
        // clock that went back could make the next epoch older than the undone one.
        if self.faults.strikes(Fault::ClockSet) && !self.edges.is_empty() {
            self.broker.clock.ahead = self.some_offset();
        }
    }

    /// A clock is right to within two minutes, also after it was set.
    fn some_offset(&mut self) -> i64 {
        i64::try_from(self.net.below(240_000)).unwrap_or(0) - 120_000
    }

    /// Drops every write that was not durable, and every pending answer.
    fn lose_undurable(&mut self) {
        self.broker.storage.crash();
        self.broker.life += 1;
        self.broker.drop_requests();
        self.broker.object.sleep();
        self.model.lost();
    }

    fn broker_dies(&mut self) {
        self.lose_undurable();
        let old = self.broker.replace_object();
        old.sockets().into_iter().for_each(|socket| self.cut(socket));
        if let Some(ghost) = self.broker.ghost.take() {
            ghost.sockets().into_iter().for_each(|socket| self.cut(socket));
        }
    }

    pub(crate) fn ghost_ends(&mut self, object: u64) {
        if let Some(ghost) = self.broker.ghost.take_if(|ghost| ghost.id == object) {
            self.say(|| "the older of the two brokers ends".to_owned());
            ghost.sockets().into_iter().for_each(|socket| self.cut(socket));
        }
    }

    fn restore(&mut self) {
        let snapshots = self.broker.snapshots.len();
        let rows = self.broker.snapshots[self.net.index(snapshots)].clone();
        let head = rows.head();
        self.say(|| format!("the broker's storage is restored to {head}"));
        self.broker_dies();
        self.broker.storage.restore(rows);
        self.model.restored(head, self.now);
        // States after the restored one belong to a log that is gone for good.
        self.broker.snapshots.retain(|other| {
            let other = other.head();
            other.epoch < head.epoch || (other.epoch == head.epoch && other.version <= head.version)
        });
        // The operator begins a new epoch, as the documentation of restores says.
        let time = self.net.between(0, 30_000);
        self.schedule(time, Event::BeginsEpoch);
    }

    /// An operator wants a new epoch.
    pub(crate) fn begins_epoch(&mut self) {
        if self.now < self.broker.away_until {
            self.schedule(5_000, Event::BeginsEpoch);
            return;
        }
        let random = self.net.bytes();
        if let Some(object) = self.wake_broker() {
            self.step_broker(object, HubInput::NewEpoch { random });
        }
    }

    fn deploy(&mut self) {
        self.say(|| "a deploy cuts everything".to_owned());
        self.broker_dies();
        for edge in 0..self.edges.len() {
            self.replica_begins_again(edge);
        }
        for slot in 0..self.slots.len() {
            self.isolate_dies(slot);
        }
    }

    fn chaos_of_edges(&mut self) {
        for number in 0..self.edges.len() {
            if self.faults.strikes(Fault::ReplicaDies) {
                self.say(|| format!("replica {number} dies"));
                self.replica_begins_again(number);
            }
            if self.faults.strikes(Fault::ReplicaRestored) {
                self.say(|| format!("replica {number} is restored to an older state"));
                let older = self.edges[number].snapshot.clone();
                self.edges[number].storage.restore(older);
                self.edges[number].was_restored = true;
                self.replica_begins_again(number);
            }
            if self.faults.strikes(Fault::ClockSet) {
                let (now, ahead) = (self.now, self.some_offset());
                let clock = &mut self.edges[number].seat.clock;
                // A running machine reads its clock before and after it is set.
                clock.read(now);
                clock.ahead = ahead;
                clock.read(now);
            }
        }
        for slot in 0..self.slots.len() {
            if self.faults.strikes(Fault::IsolateDies) {
                self.isolate_dies(slot);
            }
            if self.faults.strikes(Fault::ClockSet) {
                let (now, ahead) = (self.now, self.some_offset());
                if let Some(at) = self.isolates.get_mut(&self.slots[slot]) {
                    at.clock.read(now);
                    at.clock.ahead = ahead;
                    at.clock.read(now);
                }
            }
        }
    }

    fn isolate_dies(&mut self, slot: usize) {
        let id = self.slots[slot];
        let Some(old) = self.isolates.remove(&id) else { return };
        if let Some(window) = old.window() {
            self.edges[old.edge].close_window(window);
        }
        self.slots[slot] = self.new_isolate(old.edge);
    }

    fn chaos_of_clients(&mut self) {
        for number in 0..self.clients.len() {
            let who = Who::Client(number);
            if self.faults.strikes(Fault::ClientAway) {
                let time = self.net.between(1_000, 900_000);
                self.say(|| format!("{who} is away for {time} ms"));
                self.step_follower(who, FollowerInput::Stop);
                self.schedule(time, Event::Returns { who });
            } else if self.faults.strikes(Fault::ClientDies) && self.seat(who).phase() != Phase::Idle {
                self.say(|| format!("{who} dies and begins again"));
                let (seed, stored) = (self.net.next(), self.clients[number].stored);
                if let Some(socket) = self.clients[number].seat.socket() {
                    self.cut(socket);
                }
                self.clients[number].seat.begin_again(stored, seed);
                self.step_follower(who, FollowerInput::Start);
            }
        }
    }

    pub(crate) fn snapshots(&mut self) {
        if self.ending {
            return;
        }
        self.broker.snapshots.push_back(self.broker.storage.disk.clone());
        if self.broker.snapshots.len() > SNAPSHOTS {
            self.broker.snapshots.pop_front();
        }
        for edge in &mut self.edges {
            edge.snapshot = edge.storage.disk.clone();
        }
        self.schedule(7_000, Event::Snapshots);
    }
}
