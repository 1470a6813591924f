//! Random runs of a hub with followers against a slow obvious model: a list of what was published.
//!
//! The shell here is the broker's, with its faults: rows are written in one transaction, the rest is told one
//! by one, and the object may die after any of it. Sockets outlive the object, and texts on the wire stay in
//! order.
//!
//! The shell is not `HubDriver`, because it may die between any two effects, and in the driver these are one call.
//! `tests/driver.rs` and the simulator play the driver itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::{closed, epoch, tv, v};
use crate::follow::follower::{self, Cursor, Follower, FollowerConfig, Phase};
use crate::follow::hub::{
    AckRequest, Hub, HubEffect, HubInput, HubWrite, Limits, PartSent, Persisted, PublishOutcome, Remembered,
    ReplayPart, Session, SessionId, Submission, Tell,
};
use crate::follow::topics::Topics;
use crate::log::Log;
use crate::log::Row;
use crate::log::compaction::tests::{Stored, check_same, heard};
use crate::wire::change::Change;
use crate::wire::claim::{Claim, Start};
use crate::wire::cursor::FoldCursor;
use crate::wire::frame::{self, FoldedChange, VersionRow};
use crate::wire::name::Key;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};
use crate::wire::publish::{Expect, Publish};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The topics of each follower; none stands for everything.
const INTERESTS: [&[&str]; 4] = [&[], &[], &["live:"], &["title:1", "embedding:"]];
const BODIES: [&str; 6] = [
    r#"{"key":"live:1"}"#,
    r#"{"key":"title:1"}"#,
    r#"{"key":"title:2","op":"remove"}"#,
    r#"{"changes":[{"key":"live:2"},{"key":"title:12","tags":["x"]}]}"#,
    r#"{"tag":"x","soft":true}"#,
    r#"{"prefix":"title:1"}"#,
];

#[derive(Debug, Clone)]
enum Step {
    /// Publishes that arrive together: body, idempotency key, and how far off the expected head is.
    Publish(Vec<(usize, Option<u8>, Option<u64>)>),
    /// So many of the texts on a follower's wire arrive, in both directions.
    Deliver(usize, usize),
    /// A follower's socket breaks.
    Break(usize),
    /// A follower starts again from the cursor that it stored.
    Restart(usize),
    /// The clock advances by this many milliseconds, and due timers fire.
    Wait(u64),
    /// The object is evicted between two inputs.
    Hibernate,
    /// The object dies in the next input, after it has told so many of its effects.
    Crash(usize),
    /// The next transaction fails.
    FailWrite,
    /// The oldest rows that are kept in full are compacted.
    Fold(usize),
    /// An operator begins a new epoch.
    NewEpoch,
}

fn step() -> impl Strategy<Value = Step> {
    let one = (
        0..BODIES.len(),
        proptest::option::weighted(0.3, 0..4_u8),
        proptest::option::weighted(0.2, 0..2_u64),
    );
    prop_oneof![
        6 => proptest::collection::vec(one, 1..4).prop_map(Step::Publish),
        8 => (0..INTERESTS.len(), 1..6_usize).prop_map(|(who, many)| Step::Deliver(who, many)),
        1 => (0..INTERESTS.len()).prop_map(Step::Break),
        1 => (0..INTERESTS.len()).prop_map(Step::Restart),
        2 => (1..20_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Hibernate),
        1 => (0..6_usize).prop_map(Step::Crash),
        1 => Just(Step::FailWrite),
        2 => (1..6_usize).prop_map(Step::Fold),
        1 => Just(Step::NewEpoch),
    ]
}

/// One follower, its storage, and its wire.
struct Edge {
    follower: Follower,
    topics: Topics,
    /// The cursor that a restart finds, written with each `Apply`.
    stored: Cursor,
    applied: Vec<VersionRow>,
    /// The changes that came in folds, and below them the ranges that those folds cover.
    folded: Vec<FoldedChange>,
    ranges: Vec<(Version, Version)>,
    /// The version that the follower was reset to last. Earlier versions are forgotten.
    reset_to: Version,
    session: Option<SessionId>,
    down: VecDeque<follower::FollowerInput>,
    up: VecDeque<String>,
}

impl Edge {
    fn new(topics: &[&str]) -> Self {
        let topics = Topics::new(topics.iter().map(|topic| (*topic).to_owned()).collect());
        let mut edge = Self {
            follower: Follower::new(FollowerConfig::default(), Cursor::Beginning, 0),
            topics,
            stored: Cursor::Beginning,
            applied: Vec::new(),
            folded: Vec::new(),
            ranges: Vec::new(),
            reset_to: Version::ZERO,
            session: None,
            down: VecDeque::new(),
            up: VecDeque::new(),
        };
        edge.start_from_store();
        edge
    }

    fn start_from_store(&mut self) {
        if self.stored == Cursor::Beginning {
            // Every shell does this: without a stored position, the part of an unfinished fold may be of
            // another log.
            self.folded.clear();
        }
        let filtered = !self.topics.is_everything();
        self.follower =
            Follower::new(FollowerConfig { filtered, ..FollowerConfig::default() }, self.stored, 7);
    }

    /// The broker closes the socket: the session ends at once, and the follower hears of the close later.
    fn close(&mut self, code: u16) {
        self.session = None;
        self.down.push_back(follower::FollowerInput::Closed { code });
    }

    /// Checks that the follower's versions and folds raise the same floors as every expected version would.
    #[track_caller]
    fn check_floors(&self, expected: &[VersionRow], head: u64) {
        let changes =
            |row: &VersionRow| row.changes.iter().map(|change| (row.version, change.clone())).collect();
        let versions: Vec<(Version, Change)> =
            expected.iter().flat_map(|row| -> Vec<_> { changes(row) }).collect();
        let mut sent_to: Vec<(Version, Change)> =
            self.applied.iter().flat_map(|row| -> Vec<_> { changes(row) }).collect();
        sent_to.extend(self.folded.iter().map(|folded| (folded.version, folded.change.clone())));
        let floors =
            |changes: &[(Version, Change)]| heard(changes.iter().map(|(version, change)| (*version, change)));
        for key in ["live:1", "live:2", "live:9", "title:1", "title:12", "title:2", "other:1"] {
            check_same(&Key::new(key).unwrap(), head, &floors(&versions), &floors(&sent_to));
        }
    }

    fn cut(&mut self) -> Option<SessionId> {
        self.down.clear();
        self.up.clear();
        self.session.take()
    }
}

/// The broker's object, its rows, and all followers.
struct World {
    now: UnixMillis,
    hub: Hub,
    epoch: Epoch,
    rows: Vec<Row>,
    /// How many of the rows are compacted, and the changes that survive from these.
    folded: usize,
    view: Stored,
    ack_requested: Option<AckRequest>,
    remembered: BTreeMap<String, Remembered>,
    attachments: BTreeMap<SessionId, Session>,
    pong: Position,
    edges: Vec<Edge>,
    /// The model: every body that was committed, in order, and the keys that were used.
    published: Vec<Vec<Change>>,
    keys: BTreeMap<u8, usize>,
    /// How many things may still be told before the object dies.
    dies_after: Option<usize>,
    fails_to_write: bool,
    /// Cuts pages at random.
    random: u64,
}

impl World {
    fn new(random: u64) -> Self {
        let genesis = Position::genesis(epoch(1));
        let mut world = Self {
            now: UnixMillis(1_000),
            hub: Hub::new(
                tv(),
                Persisted { log: Log::ending_at(genesis), last_ack_request: None },
                BTreeMap::new(),
                Limits::default(),
            ),
            epoch: epoch(1),
            rows: Vec::new(),
            folded: 0,
            view: Stored::default(),
            ack_requested: None,
            remembered: BTreeMap::new(),
            attachments: BTreeMap::new(),
            pong: genesis,
            edges: INTERESTS.iter().map(|topics| Edge::new(topics)).collect(),
            published: Vec::new(),
            keys: BTreeMap::new(),
            dies_after: None,
            fails_to_write: false,
            random,
        };
        for who in 0..world.edges.len() {
            world.follow(who, follower::FollowerInput::Start);
        }
        world
    }

    fn head(&self) -> Position {
        self.position(self.rows.len())
    }

    fn position(&self, version: usize) -> Position {
        match version.checked_sub(1) {
            None => Position::genesis(self.epoch),
            Some(index) => self.rows[index].position,
        }
    }

    /// The hub as the rows and these sessions tell it.
    fn made_anew(&self, sessions: BTreeMap<SessionId, Session>) -> Hub {
        let log = Log::new(self.head(), self.position(self.folded));
        Hub::new(tv(), Persisted { log, last_ack_request: self.ack_requested }, sessions, Limits::default())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(wanted) => self.publish(&wanted),
            Step::Deliver(who, many) => (0..many).for_each(|_| self.deliver(who)),
            Step::Break(who) => self.broken(who, 1006),
            Step::Restart(who) => {
                let session = self.edges[who].cut();
                self.edges[who].start_from_store();
                self.gone(session);
                self.follow(who, follower::FollowerInput::Start);
            }
            Step::Wait(millis) => self.wait(Duration::from_millis(millis)),
            Step::Hibernate => self.wake(),
            Step::Crash(after) => self.dies_after = Some(after),
            Step::FailWrite => self.fails_to_write = true,
            Step::Fold(rows) => self.fold(rows),
            Step::NewEpoch => {
                self.step(HubInput::NewEpoch { random: [7; 10] });
            }
        }
    }

    fn fold(&mut self, rows: usize) {
        let to = (self.folded + rows).min(self.rows.len());
        let rows: Vec<VersionRow> =
            self.rows[self.folded..to].iter().map(|row| serde_json::from_str(&row.text).unwrap()).collect();
        self.view.fold(&rows);
        self.folded = to;
        self.step(HubInput::Folded(self.position(to)));
    }

    // --- publishing, and the model of it ---

    fn publish(&mut self, wanted: &[(usize, Option<u8>, Option<u64>)]) {
        let mut head = self.head().version.number();
        let mut submissions = Vec::new();
        let mut expected = Vec::new();
        let (published, keys) = (self.published.clone(), self.keys.clone());
        for (ticket, (body, key, off)) in wanted.iter().enumerate() {
            let mut publish = Publish::parse(BODIES[*body].as_bytes()).unwrap();
            // A retry must say the same, so only publishes without a key expect anything.
            let off = off.filter(|_| key.is_none());
            publish.expect = off.map(|off| Expect { epoch: None, version: v(head + off) });
            let outcome = match (key.and_then(|key| self.keys.get(&key)), off) {
                (Some(earlier), _) if earlier == body => "repeated",
                (Some(_), _) | (None, Some(1..)) => "refused",
                (None, Some(0) | None) => {
                    self.published.push(publish.changes.clone());
                    self.keys.extend(key.map(|key| (key, *body)));
                    head += 1;
                    "committed"
                }
            };
            expected.push((ticket as u64, outcome));
            let idempotency_key = key.map(|key| key.to_string());
            let remembered = idempotency_key.as_ref().and_then(|key| self.remembered.get(key)).cloned();
            submissions.push(Submission {
                ticket: ticket as u64,
                publisher: String::new(),
                publish: publish.written(),
                idempotency_key,
                remembered,
                wants_acks: false,
            });
        }
        match self.step(HubInput::Publish(submissions)) {
            Told::Whole(outcomes) => assert_eq!(outcomes, expected),
            // The publish is durable, but the publisher got no answer.
            Told::Died => {}
            Told::NotWritten => (self.published, self.keys) = (published, keys),
        }
    }

    // --- the broker's shell ---

    fn step(&mut self, input: HubInput) -> Told {
        self.hub.handle(self.now, input);
        let mut effects: VecDeque<HubEffect> = std::iter::from_fn(|| self.hub.poll_effect()).collect();
        let writes = |effect: &HubEffect| {
            matches!(effect, HubEffect::Write(HubWrite::Append(_) | HubWrite::BeginEpoch(_)))
        };
        if effects.iter().any(writes) && std::mem::take(&mut self.fails_to_write) {
            // The broker does the same: takes the rows as they are, and the sessions from the attachments.
            self.hub = self.made_anew(self.attachments.clone());
            return Told::NotWritten;
        }
        for effect in &effects {
            if let HubEffect::Write(write) = effect {
                self.write(write);
            }
        }
        let mut outcomes = Vec::new();
        while let Some(effect) = effects.pop_front() {
            if self.dies() {
                self.wake();
                return Told::Died;
            }
            if let HubEffect::Tell(tell) = effect {
                self.tell(tell, &mut outcomes);
            }
            effects.extend(std::iter::from_fn(|| self.hub.poll_effect()));
        }
        Told::Whole(outcomes)
    }

    fn dies(&mut self) -> bool {
        let dies = self.dies_after == Some(0);
        self.dies_after = if dies { None } else { self.dies_after.map(|left| left - 1) };
        dies
    }

    fn write(&mut self, write: &HubWrite) {
        if let HubWrite::Append(row) = write {
            assert_eq!(row.position, self.head().then(row.text.as_bytes()));
            self.rows.push(row.clone());
        } else if let HubWrite::Remember { key, remembered, .. } = write {
            self.remembered.insert(key.clone(), remembered.clone());
        } else if let HubWrite::BeginEpoch(head) = write {
            assert!(head.epoch > self.epoch);
            self.epoch = head.epoch;
            (self.rows, self.folded, self.view) = (Vec::new(), 0, Stored::default());
            self.published.clear();
            self.ack_requested = None;
        } else if let HubWrite::NoteAckRequest(ack_requested) = write {
            self.ack_requested = Some(*ack_requested);
        }
    }

    fn tell(&mut self, tell: Tell, outcomes: &mut Vec<(u64, &'static str)>) {
        match tell {
            Tell::SetPong(head) => self.pong = head,
            Tell::Broadcast { sessions, text } => {
                sessions.into_iter().for_each(|session| self.send(session, text.clone()));
            }
            Tell::Send { session, text } => self.send(session, text),
            Tell::SendPart { session, part: ReplayPart::Versions { after } } => {
                self.send_page(session, after)
            }
            Tell::SendPart { session, part: ReplayPart::Fold { from, cursor } } => {
                self.send_fold(session, from, cursor);
            }
            Tell::Save(session) => {
                if let Some(state) = self.hub.sessions().get(&session) {
                    let json = serde_json::to_string(state).unwrap();
                    self.attachments.insert(session, serde_json::from_str(&json).unwrap());
                }
            }
            Tell::Close { session, code, .. } => {
                self.attachments.remove(&session);
                if let Some(who) = self.who(session) {
                    self.edges[who].close(code);
                }
            }
            Tell::Answer { ticket, outcome } => outcomes.push((
                ticket,
                match outcome {
                    PublishOutcome::Committed(_) => "committed",
                    PublishOutcome::Repeated(_) => "repeated",
                    PublishOutcome::Refused(_) => "refused",
                },
            )),
        }
    }

    fn send(&mut self, session: SessionId, text: String) {
        if let Some(who) = self.who(session) {
            self.edges[who].down.push_back(follower::FollowerInput::Text(text));
        }
    }

    /// How many rows or changes the next part has.
    fn some(&mut self) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1 + usize::try_from(self.random >> 62).unwrap()
    }

    fn send_page(&mut self, session: SessionId, after: Version) {
        let rows = self.some();
        let from = usize::try_from(after.number()).unwrap();
        assert!(from >= self.folded, "what was folded is not there as versions");
        let page: Vec<&Row> = self.rows.iter().skip(from).take(rows).collect();
        let to = page.last().expect("a page after a version below the head has a row").position;
        let texts: Vec<&str> = page.iter().map(|row| row.text.as_str()).collect();
        let topics = &self.hub.sessions()[&session].topics;
        let joined = texts.join(",");
        let left = if topics.is_everything() { joined } else { topics.filtered(&joined).unwrap() };
        self.send(session, frame::changes_text(after, &to, false, &left));
        let sent = PartSent::Versions { to: to.version };
        self.hub.handle(self.now, HubInput::PartSent { session, sent, bytes: 100 });
    }

    fn send_fold(&mut self, session: SessionId, from: Version, cursor: FoldCursor) {
        let most = self.some();
        let topics = &self.hub.sessions()[&session].topics;
        let left = self.view.after(from);
        let sort_key = |folded: &FoldedChange| (folded.version, folded.to_json());
        let sent = |folded: &FoldedChange| match &cursor.sort_key {
            Some(last) => sort_key(folded) <= (cursor.version, last.clone()),
            None => folded.version <= cursor.version,
        };
        let mut rest: Vec<&FoldedChange> = left.into_iter().filter(|folded| !sent(folded)).collect();
        rest.sort_by_key(|folded| sort_key(folded));
        let part = rest.get(..most).unwrap_or(&rest);
        let next = (rest.len() > part.len()).then(|| {
            let last = part.last().unwrap();
            let cut = rest[part.len()].version == last.version;
            FoldCursor { version: last.version, sort_key: cut.then(|| last.to_json()), part: cursor.part + 1 }
        });
        let passing = part.iter().filter(|folded| topics.pass(&folded.change));
        let texts: Vec<String> = passing.map(|folded| folded.to_json()).collect();
        let to = self.position(self.folded);
        self.send(session, frame::fold_text(from, &to, cursor.part, &texts.join(","), next.is_some()));
        let sent = PartSent::Fold { to: to.version, next };
        self.hub.handle(self.now, HubInput::PartSent { session, sent, bytes: 100 });
    }

    /// The object is rebuilt. A socket without a saved session is closed.
    fn wake(&mut self) {
        self.hub = self.made_anew(self.attachments.clone());
        while let Some(HubEffect::Tell(tell)) = self.hub.poll_effect() {
            self.tell(tell, &mut Vec::new());
        }
        for edge in &mut self.edges {
            if edge.session.is_some_and(|session| !self.attachments.contains_key(&session)) {
                edge.close(frame::close::RESYNC);
            }
        }
    }

    fn who(&self, session: SessionId) -> Option<usize> {
        self.edges.iter().position(|edge| edge.session == Some(session))
    }

    fn gone(&mut self, session: Option<SessionId>) {
        if let Some(SessionId(session)) = session {
            self.attachments.remove(&SessionId(session));
            self.step(closed(session));
        }
    }

    // --- the followers' shells ---

    fn deliver(&mut self, who: usize) {
        if let Some(text) = self.edges[who].up.pop_front() {
            if text == frame::PING {
                let pong = frame::pong(&self.pong);
                self.edges[who].down.push_back(follower::FollowerInput::Text(pong));
            } else if let Some(session) = self.edges[who].session {
                self.step(HubInput::Text { session, text });
            }
        }
        match self.edges[who].down.pop_front() {
            Some(follower::FollowerInput::Closed { code }) => self.broken(who, code),
            Some(input) => self.follow(who, input),
            None => {}
        }
    }

    fn broken(&mut self, who: usize, code: u16) {
        let session = self.edges[who].cut();
        self.gone(session);
        self.follow(who, follower::FollowerInput::Closed { code });
    }

    fn follow(&mut self, who: usize, input: follower::FollowerInput) {
        self.edges[who].follower.handle(self.now, input);
        while let Some(effect) = self.edges[who].follower.poll_effect() {
            let edge = &mut self.edges[who];
            match effect {
                follower::FollowerEffect::Dial(from) => self.dial(who, from),
                follower::FollowerEffect::Send(text) => edge.up.push_back(text),
                follower::FollowerEffect::Hangup { .. } => {
                    let session = edge.cut();
                    self.gone(session);
                }
                follower::FollowerEffect::Apply { position, versions } => {
                    edge.stored = Cursor::At(position);
                    edge.applied.extend(versions);
                }
                follower::FollowerEffect::ApplyFold { position, changes } => {
                    edge.folded.extend(changes);
                    if let Some(position) = position {
                        edge.ranges.push((version(edge.stored), position.version));
                        edge.stored = Cursor::At(position);
                    }
                }
                follower::FollowerEffect::Reset { position, .. } => {
                    edge.stored = Cursor::At(position);
                    edge.applied.clear();
                    edge.folded.clear();
                    edge.ranges.clear();
                    edge.reset_to = position.version;
                }
                follower::FollowerEffect::Phase(_) => {}
                follower::FollowerEffect::ServerError { code, message } => panic!("{code}: {message}"),
            }
        }
    }

    fn dial(&mut self, who: usize, from: Start) {
        let session = self.hub.free_session();
        self.edges[who].session = Some(session);
        self.edges[who].down.push_back(follower::FollowerInput::Opened);
        let logged = match from {
            Start::At(Claim::Held { version, .. }) => self.logged(version),
            Start::Head | Start::At(Claim::Nothing) => None,
        };
        let topics = self.edges[who].topics.clone();
        let name = who.to_string();
        let input = HubInput::Open {
            session,
            from,
            logged,
            name,
            topics,
            replica: false,
            until: None,
            random: [0; 10],
        };
        // When the object dies in this step, the socket stays if its session was saved, and is closed if not.
        self.step(input);
    }

    /// Returns the log's hash at a version. The hashes of compacted versions are kept too.
    fn logged(&self, version: Version) -> Option<Hash> {
        let version = usize::try_from(version.number()).unwrap();
        (version <= self.rows.len()).then(|| self.position(version).hash)
    }

    // --- time, and the end ---

    fn wait(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        for who in 0..self.edges.len() {
            if self.edges[who].follower.poll_timeout().is_some_and(|due| due <= self.now) {
                self.follow(who, follower::FollowerInput::Timer);
            }
        }
    }

    /// Lets time pass without faults until nothing is left to happen.
    fn settle(&mut self) {
        (self.dies_after, self.fails_to_write) = (None, false);
        for _ in 0..90 {
            for who in 0..self.edges.len() {
                while !self.edges[who].up.is_empty() || !self.edges[who].down.is_empty() {
                    self.deliver(who);
                }
            }
            self.wait(Duration::from_secs(1));
            // The broker's alarm: a follower that does not acknowledge is closed and resumes, so any lost
            // frame comes again.
            if self.hub.poll_timeout().is_some_and(|due| due <= self.now) {
                self.step(HubInput::Timer);
            }
        }
    }

    fn check(&self) {
        let logged: Vec<VersionRow> =
            self.rows.iter().map(|row| serde_json::from_str(&row.text).unwrap()).collect();
        let bodies: Vec<&[Change]> = logged.iter().map(|row| row.changes.as_slice()).collect();
        assert_eq!(bodies, self.published, "the log is what was published");
        for edge in &self.edges {
            let mut expected = logged.clone();
            for row in &mut expected {
                row.changes.retain(|change| edge.topics.pass(change));
            }
            expected.retain(|row| !row.changes.is_empty() && row.version > edge.reset_to);
            edge.check_floors(&expected, self.rows.len() as u64);
            let folded = |row: &VersionRow| {
                edge.ranges.iter().any(|(from, to)| row.version > *from && row.version <= *to)
            };
            expected.retain(|row| !folded(row));
            assert_eq!(edge.applied, expected, "{:?}", edge.topics);
            assert_eq!(edge.follower.phase(), Phase::Live, "{:?}", edge.topics);
            assert_eq!(edge.follower.position(), Some(self.head()), "{:?}", edge.topics);
        }
        let ids: BTreeSet<_> = self.edges.iter().map(|edge| edge.session).collect();
        assert_eq!(ids.len(), self.edges.len(), "no id is used twice");
        assert_eq!(self.hub.sessions().len(), self.edges.len());
    }
}

fn version(cursor: Cursor) -> Version {
    match cursor {
        Cursor::At(position) => position.version,
        Cursor::Head | Cursor::Beginning => Version::ZERO,
    }
}

/// How far a step came.
enum Told {
    /// The step came to its end, with these answers: each ticket and a word for its outcome.
    Whole(Vec<(u64, &'static str)>),
    /// The object died in the step, after the rows were written.
    Died,
    /// The transaction failed, so nothing of the step was written.
    NotWritten,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn g1_g2_g3_g5_d3_e1_every_follower_ends_with_exactly_the_log(
        steps in proptest::collection::vec(step(), 1..60),
        random in any::<u64>(),
    ) {
        let mut world = World::new(random);
        for step in steps {
            world.take(step);
        }
        world.settle();
        // After a dead fan-out a filtered follower gets the missing versions with the next publish.
        world.publish(&[(4, None, None)]);
        world.settle();
        world.check();
    }
}
