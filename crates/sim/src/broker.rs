//! The broker's shell: what `crates/broker` does around the hub, with the platform it stands on.
//!
//! Publishes queue and are committed together; what is written is durable a little later, and whatever leaves waits
//! for it, if it came after; sockets hibernate with what is attached to them; one alarm.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use newsreel_core::follow::hub::{
    Effect, Hub, Input, Kept, Limits, Outcome, Part, PartSent, Session, SessionId, Submission,
};
use newsreel_core::follow::topics::Topics;
use newsreel_core::log::upkeep::{self, Chore, Next, REMEMBER_FOR};
use newsreel_core::wire::claim::{Claim, Start};
use newsreel_core::wire::{Catalog, UnixMillis, Version, frame};

use crate::faults::Fault;
use crate::machine::{Clock, Storage};
use crate::model::broken;
use crate::network::{Down, Up};
use crate::rows::{Rows, Write};
use crate::world::{Event, Who, World};

/// How much of the log is kept: little, so that short runs seal, fold and forget.
pub(crate) const UPKEEP: upkeep::Limits =
    upkeep::Limits { segment_bytes: 500, keep_bytes: 1_200, forget_after: Duration::from_secs(600) };
/// How far clocks disagree at most, in milliseconds: two that are set by two minutes, and the time a step takes.
pub(crate) const DISAGREE: u64 = 250_000;

/// What leaves the broker.
#[derive(Debug)]
pub(crate) enum Output {
    Down { socket: u64, down: Down },
    Outcome { ticket: u64, outcome: Option<Outcome> },
}

/// One object: what the platform keeps of it, and what is in memory while it is awake.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: u64,
    /// What each socket carries, and which it is.
    attached: BTreeMap<SessionId, (u64, String)>,
    pong: Option<String>,
    pings: BTreeMap<SessionId, UnixMillis>,
    hub: Option<Hub>,
    queue: Vec<Submission>,
    flushing: bool,
}

/// A request under way: how many outcomes it waits for, and those it has.
type Pending = (usize, Vec<(u64, Outcome)>);

/// The broker of the catalog.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) storage: Storage<Rows, Output>,
    /// Which life of the storage: news of an older one is of what was lost.
    pub(crate) life: u64,
    pub(crate) object: Object,
    /// Another that does not know yet that it is not the one: nothing it writes is written.
    pub(crate) ghost: Option<Object>,
    pub(crate) clock: Clock,
    alarm: Option<u64>,
    pub(crate) away_until: u64,
    /// What was durable, now and then.
    pub(crate) snapshots: VecDeque<Rows>,
    next_object: u64,
    next_ticket: u64,
    /// Who waits for which outcome: the publisher, its request and the publish.
    tickets: BTreeMap<u64, (usize, u64, u64)>,
    /// What of a request is decided, and how many outcomes it waits for.
    requests: BTreeMap<(usize, u64), Pending>,
}

impl Object {
    fn new(id: u64) -> Self {
        let (attached, pings) = (BTreeMap::new(), BTreeMap::new());
        Self { id, attached, pong: None, pings, hub: None, queue: Vec::new(), flushing: false }
    }

    fn sessions(&self) -> BTreeMap<SessionId, Session> {
        let read = |json: &str| serde_json::from_str(json).expect("what was attached");
        // A step that opened one may have ended before it was saved.
        let saved = self.attached.iter().filter(|(_, (_, json))| !json.is_empty());
        saved.map(|(id, (_, json))| (*id, read(json))).collect()
    }

    fn load(&mut self, kept: Kept) {
        let catalog = Catalog::new("tv").expect("a catalog");
        self.hub = Some(Hub::new(catalog, kept, self.sessions(), Limits::default()));
    }

    /// Says whether nothing is under way, so that it can be taken out of memory.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.flushing
    }

    /// Takes it out of memory.
    pub(crate) fn sleep(&mut self) {
        self.hub = None;
    }

    /// What waited for its commit is gone with the memory.
    pub(crate) fn drop_queue(&mut self) {
        self.queue.clear();
        self.flushing = false;
    }

    fn is_awake(&self) -> bool {
        self.hub.is_some()
    }

    pub(crate) fn sockets(&self) -> Vec<u64> {
        self.attached.values().map(|(socket, _)| *socket).collect()
    }

    fn hub(&mut self) -> &mut Hub {
        self.hub.as_mut().expect("it was woken")
    }
}

impl Broker {
    pub(crate) fn new(rows: Rows, clock: Clock) -> Self {
        Self {
            snapshots: VecDeque::from([rows.clone()]),
            storage: Storage::new(rows),
            life: 0,
            object: Object::new(1),
            ghost: None,
            clock,
            alarm: None,
            away_until: 0,
            next_object: 2,
            next_ticket: 0,
            tickets: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    fn object(&mut self, id: u64) -> Option<&mut Object> {
        let ghost = self.ghost.as_mut().filter(|ghost| ghost.id == id);
        if self.object.id == id { Some(&mut self.object) } else { ghost }
    }

    /// Puts a new object in the place of the one there is, which is returned.
    pub(crate) fn replace_object(&mut self) -> Object {
        let id = self.next_object;
        self.next_object += 1;
        std::mem::replace(&mut self.object, Object::new(id))
    }

    /// Nobody is answered any more.
    pub(crate) fn drop_requests(&mut self) {
        self.tickets.clear();
        self.requests.clear();
    }
}

fn is_write(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Persist(_) | Effect::Remember { .. } | Effect::BeginEpoch(_) | Effect::NoteAsked(_)
    )
}

impl World {
    fn broker_now(&self) -> UnixMillis {
        self.broker.clock.raw(self.now)
    }

    fn is_ghost(&self, id: u64) -> bool {
        id != self.broker.object.id
    }

    /// Sees to it that an object is in memory.
    fn wake(&mut self, id: u64) -> bool {
        let broker = &mut self.broker;
        let kept = broker.storage.seen.kept();
        let Some(object) = broker.object(id) else { return false };
        if object.is_awake() {
            return true;
        }
        object.load(kept);
        let head = kept.log.head();
        self.say(|| format!("the broker wakes at {head}"));
        if self.broker.storage.is_settled() {
            let kept = self.model.check_started(head);
            self.note(kept);
        }
        self.carry_out_hub(id);
        true
    }

    /// Wakes the broker, if it can be; returns which object it is.
    pub(crate) fn wake_broker(&mut self) -> Option<u64> {
        let id = self.broker.object.id;
        self.wake(id).then_some(id)
    }

    /// Somebody wants to follow.
    pub(crate) fn dialed(&mut self, who: Who, link: u64, start: Start) {
        let object = self.broker.object.id;
        if self.now < self.broker.away_until || !self.wake(object) {
            let way = self.net.between(1, 100);
            self.schedule(way, Event::Undialed { who, link });
            return;
        }
        let (name, topics) = self.called(who);
        let hub = self.broker.object.hub();
        let (log, session) = (*hub.log(), hub.free_session());
        let logged = match start {
            Start::At(Claim::Held { version, .. }) => self.broker.storage.seen.hash_at(&log, version),
            Start::At(Claim::Nothing) | Start::Head => None,
        };
        let socket = self.open_socket(who, link, object, session);
        self.say(|| format!("{who} opens a socket to the broker, from {start:?}"));
        self.broker.object.attached.insert(session, (socket, String::new()));
        self.let_out(Output::Down { socket, down: Down::Opened });
        let replica = matches!(who, Who::Edge(_));
        let random = self.net.bytes();
        let until = None;
        let opened = Input::Open { session, from: start, logged, name, topics, replica, until, random };
        self.step_broker(object, opened);
        // A session that was not saved was closed again, or could not be written.
        let lost = self.broker.object.attached.get(&session).is_some_and(|(_, json)| json.is_empty());
        if lost {
            self.broker.object.attached.remove(&session);
            self.cut(socket);
        }
    }

    /// Something arrived at the broker's end of a socket.
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
                    self.step_broker(object, Input::Text { session, text: text.to_string() });
                }
            }
            Up::Closed => {
                if let Some(object) = self.broker.object(object) {
                    object.attached.remove(&session);
                }
                self.sockets.remove(&socket);
                if self.wake(object) {
                    self.step_broker(object, Input::Closed { session });
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

    /// Commits all that queued; what cannot be written together is tried alone.
    pub(crate) fn flush(&mut self, id: u64) {
        if self.is_ghost(id) || !self.broker.object.flushing {
            return;
        }
        self.broker.object.flushing = false;
        let mut queue = std::mem::take(&mut self.broker.object.queue);
        let now = self.broker_now();
        let pings = self.broker.object.pings.clone();
        self.step_broker(id, Input::Pinged(pings));
        for submission in &mut queue {
            let key = submission.idempotency_key.as_deref();
            let rows = &self.broker.storage.seen;
            submission.remembered = key.and_then(|key| rows.remembered(&submission.publisher, key, now));
        }
        if self.step_broker(id, Input::Publish(queue.clone())) {
            return;
        }
        for mut one in queue {
            let key = one.idempotency_key.as_deref();
            one.remembered =
                key.and_then(|key| self.broker.storage.seen.remembered(&one.publisher, key, now));
            let ticket = one.ticket;
            if !self.step_broker(id, Input::Publish(vec![one])) {
                self.let_out(Output::Outcome { ticket, outcome: None });
            }
        }
    }

    /// Hands the hub an input and does what follows, in order; says whether what it wrote could be written.
    pub(crate) fn step_broker(&mut self, id: u64, input: Input) -> bool {
        let now = self.broker_now();
        let Some(object) = self.broker.object(id) else { return false };
        object.hub().handle(now, input);
        let written = self.carry_out_hub(id);
        self.arm_alarm(id);
        self.check_applied_names(id);
        written
    }

    /// Carries out what the hub says. After a write that failed it is loaded anew.
    fn carry_out_hub(&mut self, id: u64) -> bool {
        let Some(object) = self.broker.object(id) else { return false };
        let hub = object.hub();
        let mut effects: VecDeque<Effect> = std::iter::from_fn(|| hub.poll_effect()).collect();
        let writes = effects.iter().any(is_write);
        let fails = writes && (self.is_ghost(id) || self.faults.strikes(Fault::BrokerWriteFails));
        let panics = writes && !fails && self.faults.strikes(Fault::BrokerPanics);
        let mut left = if panics { self.net.below(effects.len() as u64) } else { u64::MAX };
        loop {
            let next = effects.pop_front().or_else(|| self.broker.object(id)?.hub().poll_effect());
            let Some(effect) = next else { return true };
            if fails && is_write(&effect) {
                self.say(|| "a transaction of the broker fails".to_owned());
                self.begin_anew(id);
                return false;
            }
            if left == 0 && !is_write(&effect) && !effects.iter().any(is_write) {
                self.say(|| format!("the broker panics; {} effects are not carried out", effects.len() + 1));
                self.begin_anew(id);
                return true;
            }
            left = left.saturating_sub(1);
            self.carry_out_effect(id, effect);
        }
    }

    /// A step has not ended well: the hub is loaded anew, from the rows and from what is attached to sockets.
    fn begin_anew(&mut self, id: u64) {
        let kept = self.broker.storage.seen.kept();
        if let Some(object) = self.broker.object(id) {
            object.load(kept);
        }
        self.carry_out_hub(id);
    }

    fn carry_out_effect(&mut self, id: u64, effect: Effect) {
        match effect {
            Effect::Persist(row) => {
                self.model.wrote(row.position);
                self.write_broker(Write::Row(row));
            }
            Effect::Remember { publisher, key, remembered } => {
                self.write_broker(Write::Remember { publisher, key, remembered });
            }
            Effect::BeginEpoch(head) => {
                self.say(|| format!("epoch {} begins", head.epoch));
                self.model.wrote(head);
                self.write_broker(Write::BeginEpoch(head));
            }
            Effect::NoteAsked(asked) => self.write_broker(Write::Asked(asked)),
            Effect::SetPong(head) => {
                if let Some(object) = self.broker.object(id) {
                    object.pong = Some(frame::pong(&head));
                }
            }
            Effect::Broadcast { sessions, text } => {
                let text: std::rc::Rc<str> = text.into();
                sessions.iter().for_each(|session| self.tell(id, *session, Down::Text(text.clone())));
            }
            Effect::Send { session, text } => self.tell(id, session, Down::Text(text.into())),
            Effect::SendPart { session, part } => self.send_part(id, session, &part),
            Effect::Save(session) => {
                let Some(object) = self.broker.object(id) else { return };
                let json = object.hub().sessions().get(&session).map(Session::to_json);
                if let (Some(json), Some(kept)) = (json, object.attached.get_mut(&session)) {
                    kept.1 = json;
                }
            }
            Effect::Close { session, code, .. } => {
                self.tell(id, session, Down::Closed(code));
                if let Some(object) = self.broker.object(id) {
                    object.attached.remove(&session);
                }
            }
            Effect::Answer { ticket, outcome } => {
                if let (Outcome::Committed(receipt), Some((_, _, id))) =
                    (&outcome, self.broker.tickets.get(&ticket))
                {
                    self.origin.versioned(*id, receipt.position);
                }
                self.let_out(Output::Outcome { ticket, outcome: Some(outcome) });
            }
        }
    }

    fn tell(&mut self, id: u64, session: SessionId, down: Down) {
        let Some((socket, _)) = self.broker.object(id).and_then(|object| object.attached.get(&session))
        else {
            return;
        };
        let output = Output::Down { socket: *socket, down };
        if self.is_ghost(id) { self.release(output) } else { self.let_out(output) }
    }

    fn send_part(&mut self, id: u64, session: SessionId, part: &Part) {
        let now = self.broker_now();
        let rows = &self.broker.storage.seen;
        let Some(object) = self.broker.ghost.as_mut().filter(|ghost| ghost.id == id).or((self
            .broker
            .object
            .id
            == id)
            .then_some(&mut self.broker.object))
        else {
            return;
        };
        let hub = object.hub.as_mut().expect("it was woken");
        let Some(state) = hub.sessions().get(&session) else { return };
        let (topics, folded) = (state.topics.clone(), hub.log().folded());
        let pass = |items: String, by: fn(&Topics, &str) -> serde_json::Result<String>| {
            if topics.is_everything() { items } else { by(&topics, &items).expect("what the log writes") }
        };
        let (text, sent) = match part {
            Part::Versions { after } => {
                let Some(page) = rows.page(*after) else { return };
                let rows = pass(page.rows, Topics::filtered);
                let text = frame::changes_text(*after, &page.to, true, &rows);
                (text, PartSent::Versions { to: page.to.version })
            }
            Part::Fold { from, cursor } => {
                let (changes, next) = rows.fold_part(*from, cursor);
                let changes = pass(changes, Topics::filtered_fold);
                let text = frame::fold_text(*from, &folded, cursor.part, &changes, next.is_some());
                (text, PartSent::Fold { to: folded.version, next })
            }
        };
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        hub.handle(now, Input::PartSent { session, sent, bytes });
        // Before what the hub says next.
        self.tell(id, session, Down::Text(text.into()));
    }

    fn write_broker(&mut self, write: Write) {
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
                Write::Row(row) => self.model.durable(row.position, &row.text, self.now),
                Write::BeginEpoch(head) => self.model.began(head.epoch, self.now),
                Write::Forget { last } => {
                    self.model.forgot(last);
                    Ok(())
                }
                Write::Remember { publisher, key, remembered } => {
                    self.model.remembers(publisher, key, remembered.position)
                }
                Write::Asked(_) | Write::Seal { .. } | Write::Fold | Write::ForgetKeys { .. } => Ok(()),
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
            Output::Outcome { ticket, outcome } => {
                let Some((publisher, request, id)) = self.broker.tickets.remove(&ticket) else { return };
                let Some((left, outcomes)) = self.broker.requests.get_mut(&(publisher, request)) else {
                    return;
                };
                *left -= 1;
                outcomes.extend(outcome.map(|outcome| (id, outcome)));
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

    /// Arms the alarm for what comes next.
    fn arm_alarm(&mut self, id: u64) {
        if self.is_ghost(id) {
            return;
        }
        let now = self.broker_now();
        let upkeep = match UPKEEP.next(now, &self.broker.storage.seen.stock()) {
            Next::Now(_) => Some(now),
            Next::At(due) => Some(due),
            Next::Idle => None,
        };
        let timer = self.broker.object.hub().poll_timeout();
        let Some(due) = upkeep.into_iter().chain(timer).min() else { return };
        let wait = u64::try_from(due.since(now).as_millis()).unwrap_or(u64::MAX).clamp(1, 86_400_000);
        let due = self.now + wait;
        if self.broker.alarm.is_none_or(|armed| armed > due || armed <= self.now) {
            self.broker.alarm = Some(due);
            // Alarms are late, now and then.
            let late = if self.net.percent(20) { self.net.below(400) } else { 0 };
            self.schedule_at(due + late, Event::BrokerAlarm { due });
        }
    }

    /// The alarm rings: the hub's timer, then some of the upkeep.
    pub(crate) fn broker_alarm(&mut self, due: u64) {
        if self.broker.alarm != Some(due) {
            return;
        }
        self.broker.alarm = None;
        let id = self.broker.object.id;
        if self.now < self.broker.away_until || !self.wake(id) {
            let again = self.now + 1_000;
            self.broker.alarm = Some(again);
            self.schedule_at(again, Event::BrokerAlarm { due: again });
            return;
        }
        let now = self.broker_now();
        if self.broker.object.hub().poll_timeout().is_some_and(|due| due <= now) {
            self.step_broker(id, Input::Timer);
        }
        for _ in 0..4 {
            let Next::Now(chore) = UPKEEP.next(now, &self.broker.storage.seen.stock()) else { break };
            if self.faults.strikes(Fault::BrokerWriteFails) {
                break;
            }
            self.do_chore(id, now, chore);
        }
        self.arm_alarm(id);
    }

    fn do_chore(&mut self, id: u64, now: UnixMillis, chore: Chore) {
        self.say(|| format!("the broker's upkeep: {chore:?}"));
        match chore {
            Chore::Seal { bytes } => self.write_broker(Write::Seal { bytes }),
            Chore::Fold => {
                self.write_broker(Write::Fold);
                if let Some(folded) = self.broker.storage.seen.folded_to() {
                    self.step_broker(id, Input::Folded(folded));
                }
            }
            Chore::Forget => {
                let Some(last) = self.broker.storage.seen.oldest_block() else { return };
                let made = self.model.made(last).unwrap_or(self.now);
                let kept = u64::try_from(UPKEEP.forget_after.as_millis()).unwrap_or(0) - DISAGREE;
                if self.now < made + kept {
                    let what =
                        format!("version {last} is forgotten {} ms after it was made", self.now - made);
                    self.note(broken("G7", what));
                }
                self.write_broker(Write::Forget { last });
            }
            Chore::ForgetKeys => self.write_broker(Write::ForgetKeys { before: now.minus(REMEMBER_FOR) }),
        }
    }

    /// Who is said to have applied a version has it.
    fn check_applied_names(&mut self, id: u64) {
        if self.is_ghost(id) {
            return;
        }
        let hub = self.broker.object.hub();
        let head = hub.head();
        for name in hub.applied(head.epoch, head.version).applied {
            let edge = self.edges.iter().find(|edge| edge.name == name && !edge.was_restored);
            let held = edge.map(|edge| edge.storage.disk.position());
            let has = |held: newsreel_core::wire::Position| {
                (held.epoch, held.version) >= (head.epoch, head.version)
            };
            // Who has nothing has nothing from before the first version.
            let is_first = head.version == Version::ZERO;
            if !is_first && held.is_some_and(|held| !held.is_some_and(has)) {
                let what = format!("{name} is said to have applied {head}, and has {held:?}");
                self.note(broken("D2", what));
            }
        }
    }
}
