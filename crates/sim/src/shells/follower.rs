//! The shell around `core::follow::follower` that replicas and other clients share.

use newsreel_core::follow::follower::{Cursor, FollowerEffect, FollowerInput};
use newsreel_core::follow::topics::Topics;
use newsreel_core::read::floors::raised_by;
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::frame::{FoldedChange, FollowerFrame};
use newsreel_core::wire::{Position, VersionRow};

use crate::faults::Fault;
use crate::model::broken;
use crate::network::{Down, Up};
use crate::replica::{Outgoing, ReplicaWrite};
use crate::seat::FollowerSeat;
use crate::world::{Event, Who, World};

impl World {
    pub(crate) fn seat(&mut self, who: Who) -> &mut FollowerSeat {
        match who {
            Who::Edge(number) => &mut self.edges[number].seat,
            Who::Client(number) => &mut self.clients[number].seat,
        }
    }

    /// Returns the name and the topics of a follower.
    pub(crate) fn called(&mut self, who: Who) -> (String, Topics) {
        let name = match who {
            Who::Edge(number) => self.edges[number].name.clone(),
            Who::Client(_) => String::new(),
        };
        (name, self.seat(who).topics.clone())
    }

    /// Returns the position that a follower has stored, as its process sees it.
    pub(crate) fn stored(&self, who: Who) -> Cursor {
        match who {
            Who::Edge(number) => {
                self.edges[number].storage.seen.position().map_or(Cursor::Beginning, Cursor::At)
            }
            Who::Client(number) => self.clients[number].stored,
        }
    }

    fn held(&self, who: Who) -> Option<Position> {
        match self.stored(who) {
            Cursor::At(position) => Some(position),
            Cursor::Head | Cursor::Beginning => None,
        }
    }

    /// Hands a follower an input and carries out its effects, in order.
    pub(crate) fn step_follower(&mut self, who: Who, input: FollowerInput) {
        let now = self.now;
        let seat = self.seat(who);
        let at = seat.clock.read(now);
        seat.follower.handle(at, input);
        self.carry_out_follower(who);
    }

    /// Carries out a follower's effects. After a failed write the follower is ahead of its stored position,
    /// and starts again from there.
    pub(crate) fn carry_out_follower(&mut self, who: Who) {
        while let Some(effect) = self.seat(who).follower.poll_effect() {
            if self.carry_out_following(who, effect) {
                continue;
            }
            self.say(|| format!("{who} cannot write, and starts again"));
            let stored = self.stored(who);
            let now = self.now;
            let seat = self.seat(who);
            let at = seat.clock.read(now);
            seat.follower.start_again(at, stored);
        }
        self.arm_follower(who);
        if let Who::Edge(number) = who {
            self.replica_stepped(number);
        }
    }

    fn carry_out_following(&mut self, who: Who, effect: FollowerEffect) -> bool {
        match effect {
            FollowerEffect::Dial(start) => {
                let seat = self.seat(who);
                seat.link += 1;
                seat.socket = None;
                let link = seat.link;
                self.leave(who, Outgoing::Dial { link, start });
                true
            }
            FollowerEffect::Send(text) => {
                if let Some(socket) = self.seat(who).socket {
                    let stored = self.held(who);
                    self.leave(who, Outgoing::Up { socket, text, stored });
                }
                true
            }
            FollowerEffect::Hangup { reason, .. } => {
                self.say(|| format!("{who} hangs up: {reason}"));
                let seat = self.seat(who);
                seat.link += 1;
                if let Some(socket) = seat.socket.take() {
                    self.send_up(socket, &Up::Closed);
                }
                true
            }
            FollowerEffect::Apply { position, versions } => self.apply(who, position, &versions),
            FollowerEffect::ApplyFold { position, changes } => self.apply_fold(who, position, changes),
            FollowerEffect::Reset { position, reason } => {
                self.say(|| format!("{who} is reset to {position}: {reason}"));
                // A doubled frame resets the follower twice.
                if self.seat(who).reset_to != Some(position) {
                    let kept = self.model.check_reset(self.held(who), position);
                    self.note(kept);
                }
                let seat = self.seat(who);
                seat.reset_to = Some(position);
                seat.fold.clear();
                self.store(who, ReplicaWrite::Reset(position), Some(position))
            }
            FollowerEffect::Phase(_) | FollowerEffect::ServerError { .. } => true,
        }
    }

    fn apply(&mut self, who: Who, position: Position, versions: &[VersionRow]) -> bool {
        self.say(|| format!("{who} applies {} versions and is at {position}", versions.len()));
        let topics = self.seat(who).topics.clone();
        let from = match self.stored(who) {
            // The follower began at the head, so anything before the first frame is not for it.
            Cursor::Head => Some(position),
            Cursor::Beginning => None,
            Cursor::At(held) => Some(held),
        };
        let kept = self.model.check_applied(from, position, versions, &topics);
        self.note(kept);
        let changes = versions.iter().flat_map(|row| row.changes.iter().map(|one| (row.version, one)));
        let floors = raised_by(changes);
        self.store(who, ReplicaWrite::Apply { floors, position: Some(position) }, Some(position))
    }

    fn apply_fold(&mut self, who: Who, position: Option<Position>, changes: Vec<FoldedChange>) -> bool {
        self.say(|| format!("{who} applies {} folded changes, and is at {position:?}", changes.len()));
        let floors = raised_by(changes.iter().map(|folded| (folded.version, &folded.change)));
        self.seat(who).fold.extend(changes);
        if let Some(position) = position {
            let held = self.held(who);
            let seat = self.seat(who);
            let (topics, given) = (seat.topics.clone(), std::mem::take(&mut seat.fold));
            let kept = self.model.check_folded(held, position, &given, &topics);
            self.note(kept);
        }
        self.store(who, ReplicaWrite::Apply { floors, position }, position)
    }

    /// Stores what a follower applied; says whether the write succeeded.
    fn store(&mut self, who: Who, write: ReplicaWrite, position: Option<Position>) -> bool {
        match who {
            Who::Edge(number) => self.write_replica(number, write),
            Who::Client(number) => {
                if let Some(position) = position {
                    self.clients[number].stored = Cursor::At(position);
                }
                true
            }
        }
    }

    /// A follower dials, once the position that it presents is stored.
    pub(crate) fn dial(&mut self, who: Who, link: u64, start: Start) {
        let way = self.net.between(1, 60);
        if self.faults.strikes(Fault::DialFails) {
            self.schedule(way, Event::Undialed { who, link });
        } else {
            self.schedule(way, Event::Dialed { who, link, start });
        }
    }

    /// Sends a follower's text. An ack must stand for stored positions (D2).
    pub(crate) fn left(&mut self, who: Who, socket: u64, text: &str, stored: Option<Position>) {
        let durable = match who {
            Who::Edge(number) => self.edges[number].storage.disk.position(),
            Who::Client(_) => self.held(who),
        };
        if let (Ok(FollowerFrame::Ack { version }), Some(stored)) = (FollowerFrame::parse(text), stored) {
            let has = durable.map(|held| (held.epoch, held.version));
            if has < Some((stored.epoch, version)) {
                self.note(broken("D2", format!("{who} acknowledges {version} and has stored {durable:?}")));
            }
        }
        self.send_up(socket, &Up::Text(text.into()));
    }

    /// Hands a follower an event of its socket.
    pub(crate) fn hears(&mut self, socket: u64, down: Down) {
        let Some((who, link)) = self.sockets.get(&socket).map(|one| (one.who, one.link)) else { return };
        if self.seat(who).link != link {
            return;
        }
        match down {
            Down::Opened => {
                self.seat(who).socket = Some(socket);
                self.step_follower(who, FollowerInput::Opened);
            }
            Down::Text(text) => self.step_follower(who, FollowerInput::Text(text.to_string())),
            Down::Closed(code) => {
                self.seat(who).socket = None;
                self.step_follower(who, FollowerInput::Closed { code });
            }
        }
    }

    /// A socket did not open.
    pub(crate) fn undialed(&mut self, who: Who, link: u64) {
        if self.seat(who).link == link {
            self.step_follower(who, FollowerInput::Closed { code: 1006 });
        }
    }

    fn arm_follower(&mut self, who: Who) {
        let now = self.now;
        let seat = self.seat(who);
        let Some(due) = seat.follower.poll_timeout() else { return };
        let wait = due.since(seat.clock.read(now)).as_millis();
        let due = now + u64::try_from(wait).unwrap_or(u64::MAX / 2).max(1);
        if seat.timer.is_some_and(|armed| armed <= due && armed > now) {
            return;
        }
        seat.timer = Some(due);
        self.schedule_at(due, Event::FollowerTimer { who, due });
    }

    pub(crate) fn follower_timer(&mut self, who: Who, due: u64) {
        if self.seat(who).timer == Some(due) {
            self.seat(who).timer = None;
            self.step_follower(who, FollowerInput::Timer);
        }
    }
}
