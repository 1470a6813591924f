//! The broker's shell: it queues, opens, drives and delivers around the driver of the hub, which is the
//! deployed one.
//!
//! Publishes queue and are committed together. A write is durable a little later; an output that comes after
//! the write waits until then. Sockets hibernate with their attachments. There is one alarm.

mod platform;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use newsreel_core::follow::hub::{HubDriver, HubInput, Limits, SessionId, Submission};
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::{Catalog, Position, UnixMillis, Version, frame};

use crate::broker::{Output, UPKEEP};
use crate::faults::Fault;
use crate::model::broken;
use crate::network::{Down, Up};
use crate::rows::BrokerWrite;
use crate::world::{Event, Who, World};
use platform::{Panic, Shell};

/// How soon the platform rings again when an alarm has ended in a panic, in milliseconds.
const ALARM_AGAIN: u64 = 2_000;

impl World {
    fn broker_now(&self) -> UnixMillis {
        self.broker.clock.raw(self.now)
    }

    fn is_ghost(&self, id: u64) -> bool {
        id != self.broker.object.id
    }

    /// Sees to it that an object is in memory.
    fn wake(&mut self, id: u64) -> bool {
        let Some(object) = self.broker.object(id) else { return false };
        if object.is_awake() {
            return true;
        }
        let head = self.broker.storage.seen.head();
        self.say(|| format!("the broker wakes at {head}"));
        if self.broker.storage.is_settled() {
            let kept = self.model.check_started(head);
            self.note(kept);
        }
        let catalog = Catalog::new("tv").expect("a catalog");
        let mut shell = Shell::new(self, id);
        let driver = HubDriver::wake(&mut shell, catalog, Limits::default(), Some(UPKEEP));
        let driver = driver.expect("rows in memory can be read");
        self.broker.object(id).expect("it was just there").driver = Some(driver);
        true
    }

    /// Hands the driver of an object something to do. A panic ends what it does, and leaves the object in
    /// memory.
    fn drive<T>(
        &mut self,
        id: u64,
        act: impl FnOnce(&mut HubDriver, &mut Shell<'_>, UnixMillis) -> T,
    ) -> Option<T> {
        let now = self.broker_now();
        let mut driver = self.broker.object(id)?.driver.take().expect("it was woken");
        let mut shell = Shell::new(self, id);
        let done = catch_unwind(AssertUnwindSafe(|| act(&mut driver, &mut shell, now)));
        self.broker.object(id)?.driver = Some(driver);
        let done = match done {
            Ok(done) => Some(done),
            Err(panic) if panic.is::<Panic>() => None,
            Err(panic) => resume_unwind(panic),
        };
        self.check_applied_names(id);
        done
    }

    /// Hands the hub of an object an input.
    pub(crate) fn step_broker(&mut self, id: u64, input: HubInput) {
        // A failed step needs no undo: the driver loads the hub again from the rows before the next one.
        self.drive(id, |driver, shell, now| driver.step(shell, now, input).is_ok());
    }

    /// Wakes the broker, if it can be; returns which object it is.
    pub(crate) fn wake_broker(&mut self) -> Option<u64> {
        let id = self.broker.object.id;
        self.wake(id).then_some(id)
    }

    /// Opens the socket of a follower or replica, unless the broker is away or cannot be woken.
    pub(crate) fn dialed(&mut self, who: Who, link: u64, start: Start) {
        let object = self.broker.object.id;
        if self.now < self.broker.away_until || !self.wake(object) {
            let way = self.net.between(1, 100);
            self.schedule(way, Event::Undialed { who, link });
            return;
        }
        let (name, topics) = self.called(who);
        self.drive(object, |driver, shell, now| driver.settle(shell, now).is_ok());
        let hub = self.broker.object.hub();
        let (log, session) = (*hub.log(), hub.free_session());
        let logged = match start {
            Start::At(claim) => self.broker.storage.seen.hash_at(&log, claim.version()),
            Start::Head => None,
        };
        let socket = self.open_socket(who, link, object, session);
        self.say(|| format!("{who} opens a socket to the broker, from {start:?}"));
        self.broker.object.attached.insert(session, (socket, String::new()));
        self.let_out(Output::Down { socket, down: Down::Opened });
        let replica = matches!(who, Who::Edge(_));
        let random = self.net.bytes();
        let until = None;
        let opened = HubInput::Open { session, from: start, logged, name, topics, replica, until, random };
        self.step_broker(object, opened);
        // A session that was not saved was closed again, or could not be written.
        let lost = self.broker.object.attached.get(&session).is_some_and(|(_, json)| json.is_empty());
        if lost {
            self.broker.object.attached.remove(&session);
            self.cut(socket);
        }
    }

    /// Handles a text or a close that arrived at the broker's end of a socket.
    pub(crate) fn arrived(&mut self, socket: u64, up: Up) {
        let Some(Some((object, session))) = self.sockets.get(&socket).map(|one| {
            let open = self.broker.object.attached.get(&one.session).is_some_and(|(id, _)| *id == socket)
                || self.broker.ghost.as_ref().is_some_and(|ghost| {
                    ghost.attached.get(&one.session).is_some_and(|(id, _)| *id == socket)
                });
            open.then_some((one.object, one.session))
        }) else {
            return;
        };
        match up {
            Up::Text(text) if &*text == frame::PING => {
                let at = self.broker_now();
                let Some(object) = self.broker.object(object) else { return };
                object.pings.insert(session, at);
                let pong = object.pong.clone();
                if let Some(pong) = pong {
                    self.send_down(socket, &Down::Text(pong.into()));
                }
            }
            Up::Text(text) => {
                if self.wake(object) {
                    self.step_broker(object, HubInput::Text { session, text: text.to_string() });
                }
            }
            Up::Closed => {
                if let Some(object) = self.broker.object(object) {
                    object.attached.remove(&session);
                }
                self.sockets.remove(&socket);
                if self.wake(object) {
                    self.step_broker(object, HubInput::Closed { session });
                }
            }
        }
    }

    /// A request to publish arrived: its publishes queue until no more arrive.
    pub(crate) fn publish_arrived(&mut self, publisher: usize, request: u64, ids: &[u64]) {
        let object = self.broker.object.id;
        if self.now < self.broker.away_until || !self.wake(object) {
            return;
        }
        for id in ids {
            let publication = &self.origin.publications[id];
            self.broker.next_ticket += 1;
            let ticket = self.broker.next_ticket;
            self.broker.object.queue.push(Submission {
                ticket,
                publisher: format!("p{publisher}"),
                publish: publication.publish.written(),
                idempotency_key: publication.idempotency_key.clone(),
                remembered: None,
                wants_acks: publication.wants_acks,
            });
            self.broker.tickets.insert(ticket, (publisher, request, *id));
        }
        self.broker.requests.insert((publisher, request), (ids.len(), Vec::new()));
        if !std::mem::replace(&mut self.broker.object.flushing, true) {
            let settle = self.net.between(0, 4);
            self.schedule(settle, Event::Flush { object });
        }
    }

    /// Commits all that queued.
    pub(crate) fn flush(&mut self, id: u64) {
        if self.is_ghost(id) || !self.broker.object.flushing {
            return;
        }
        self.broker.object.flushing = false;
        let queue = std::mem::take(&mut self.broker.object.queue);
        self.drive(id, |driver, shell, now| driver.publish(shell, now, queue));
    }

    fn tell(&mut self, id: u64, session: SessionId, down: Down) {
        let Some((socket, _)) = self.broker.object(id).and_then(|object| object.attached.get(&session))
        else {
            return;
        };
        let output = Output::Down { socket: *socket, down };
        if self.is_ghost(id) { self.release(output) } else { self.let_out(output) }
    }

    fn write_broker(&mut self, write: BrokerWrite) {
        if self.broker.storage.write(write) {
            let (life, time) = (self.broker.life, self.net.between(1, 15));
            self.schedule(time, Event::BrokerSettles { life });
        }
    }

    /// All that the broker wrote is durable.
    pub(crate) fn broker_settles(&mut self, life: u64) {
        if life != self.broker.life {
            return;
        }
        let (writes, outputs) = self.broker.storage.settle();
        for write in writes {
            let kept = match write {
                BrokerWrite::Row(row) => self.model.durable(row.position, &row.text, self.now),
                BrokerWrite::BeginEpoch(head) => self.model.began(head.epoch, self.now),
                BrokerWrite::Forget { last } => {
                    self.model.forgot(last);
                    Ok(())
                }
                BrokerWrite::Remember { publisher, key, remembered } => {
                    self.model.remembers(publisher, key, remembered.position)
                }
                BrokerWrite::AckRequest(_)
                | BrokerWrite::Seal { .. }
                | BrokerWrite::Fold
                | BrokerWrite::ForgetKeys { .. } => Ok(()),
            };
            self.note(kept);
        }
        outputs.into_iter().for_each(|output| self.release(output));
    }

    fn let_out(&mut self, output: Output) {
        if let Some(output) = self.broker.storage.let_out(output) {
            self.release(output);
        }
    }

    fn release(&mut self, output: Output) {
        match output {
            Output::Down { socket, down } => self.send_down(socket, &down),
            Output::PublishOutcome { ticket, outcome } => {
                let Some((publisher, request, id)) = self.broker.tickets.remove(&ticket) else { return };
                let Some((left, outcomes)) = self.broker.requests.get_mut(&(publisher, request)) else {
                    return;
                };
                *left -= 1;
                outcomes.push((id, outcome));
                if *left > 0 {
                    return;
                }
                let (_, outcomes) = self.broker.requests.remove(&(publisher, request)).expect("just seen");
                if !self.faults.strikes(Fault::AnswerLost) {
                    let way = self.net.between(1, 30);
                    self.schedule(way, Event::PublishAnswered { publisher, request, outcomes });
                }
            }
        }
    }

    /// Runs the alarm if `due` is the time it is set for; an alarm that was moved since does nothing.
    pub(crate) fn broker_alarm(&mut self, due: u64) {
        if self.broker.alarm != Some(due) {
            return;
        }
        self.broker.alarm = None;
        let id = self.broker.object.id;
        if self.now < self.broker.away_until || !self.wake(id) {
            return self.ring_at(self.now + 1_000);
        }
        if self.drive(id, |driver, shell, now| driver.alarm(shell, now)).is_none() {
            self.ring_at(self.now + ALARM_AGAIN);
        }
    }

    fn ring_at(&mut self, due: u64) {
        self.broker.alarm = Some(due);
        self.schedule_at(due, Event::BrokerAlarm { due });
    }

    /// Checks D2: every edge that the hub says has applied the head has the head on its disk.
    fn check_applied_names(&mut self, id: u64) {
        if self.is_ghost(id) {
            return;
        }
        let hub = self.broker.object.hub();
        let head = hub.head();
        for name in hub.applied(head.epoch, head.version).applied {
            let edge = self.edges.iter().find(|edge| edge.name == name && !edge.was_restored);
            let held = edge.map(|edge| edge.storage.disk.position());
            let has = |held: Position| (held.epoch, held.version) >= (head.epoch, head.version);
            // An edge without a position has applied the empty log.
            let is_first = head.version == Version::ZERO;
            if !is_first && held.is_some_and(|held| !held.is_some_and(has)) {
                let what = format!("{name} is said to have applied {head}, and has {held:?}");
                self.note(broken("D2", what));
            }
        }
    }
}
