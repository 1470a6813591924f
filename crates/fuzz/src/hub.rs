//! A hub with any publishes, sockets and texts, and a model of its shell that carries out every effect and checks it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use newsreel_core::follow::hub::{
    AckRequest, Hub, HubEffect, HubInput, HubWrite, Limits, PartSent, Persisted, PublishOutcome,
    REPLAY_WINDOW, Remembered, ReplayPart, Session, SessionId, Submission, Tell,
};
use newsreel_core::follow::topics::{self, Topics};
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::claim::{Claim, Start};
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::frame::{self, Frame};
use newsreel_core::wire::ndjson::PublishLine;
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Catalog, Epoch, Position, Route, UnixMillis, Version};

/// The most bytes of a socket's attachment, by the platform's limit.
const ATTACHMENT_BYTES: usize = 16 << 10;

/// Steps, one a line, told by their first letter:
/// `p` a line to publish with those that follow it, `o` and `r` the query of a follower's and of a replica's socket,
/// `t` a socket's number, a blank and its text, `a` its ack of the head, `c` its close, `s` the next part goes out,
/// `+` so many milliseconds, `T` the timer, `i` every socket pinged at that moment, `e` a new epoch, `f` everything is
/// folded, `h` the hub is made anew from the rows and attachments.
pub(crate) fn steps(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut shell = Shell::new();
    for step in text.lines().take(200) {
        let (kind, rest) = step.split_at_checked(1).unwrap_or_default();
        if kind == "p" {
            shell.submit(rest);
        } else {
            shell.commit();
            shell.step(kind, rest);
        }
    }
    shell.commit();
}

struct Shell {
    hub: Hub,
    now: UnixMillis,
    /// The positions of the rows kept, and of the beginning.
    rows: BTreeMap<Version, Position>,
    ack_requested: Option<AckRequest>,
    remembered: BTreeMap<(String, String), Remembered>,
    submissions: Vec<Submission>,
    tickets: u64,
    waiting: BTreeSet<u64>,
    open: BTreeSet<SessionId>,
    parts: VecDeque<(SessionId, ReplayPart)>,
    random: u8,
}

impl Shell {
    fn new() -> Self {
        let log = Log::empty(Epoch::new(UnixMillis(1), [0; 10]));
        let hub = Hub::new(
            catalog(),
            Persisted { log, last_ack_request: None },
            BTreeMap::new(),
            Limits::default(),
        );
        let mut shell = Self {
            hub,
            now: UnixMillis(1_000),
            rows: BTreeMap::from([(Version::ZERO, log.head())]),
            ack_requested: None,
            remembered: BTreeMap::new(),
            submissions: Vec::new(),
            tickets: 0,
            waiting: BTreeSet::new(),
            open: BTreeSet::new(),
            parts: VecDeque::new(),
            random: 0,
        };
        shell.effects(log.head());
        shell
    }

    fn submit(&mut self, line: &str) {
        let Ok(PublishLine { publish, idempotency_key }) = PublishLine::parse(line.as_bytes()) else {
            return;
        };
        let publisher = "guide".to_owned();
        let key = idempotency_key.clone().unwrap_or_default();
        let remembered = self.remembered.get(&(publisher.clone(), key)).cloned();
        self.tickets += 1;
        self.waiting.insert(self.tickets);
        self.submissions.push(Submission {
            ticket: self.tickets,
            publisher,
            publish: publish.written(),
            idempotency_key,
            remembered,
            wants_acks: self.tickets.is_multiple_of(3),
        });
    }

    fn commit(&mut self) {
        if !self.submissions.is_empty() {
            let submissions = std::mem::take(&mut self.submissions);
            self.handle(HubInput::Publish(submissions));
            assert!(self.waiting.is_empty(), "every publish is answered");
        }
    }

    fn step(&mut self, kind: &str, rest: &str) {
        let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let session = SessionId(number.parse().unwrap_or(1));
        match kind {
            "o" | "r" => self.open(rest, kind == "r"),
            "t" => self.handle(HubInput::Text { session, text: text.to_owned() }),
            "a" => {
                let text = frame::ack(self.hub.head().version);
                self.handle(HubInput::Text { session, text });
            }
            "c" => {
                self.open.remove(&session);
                self.handle(HubInput::Closed { session });
            }
            "s" => self.send_part(),
            "+" => self.now = UnixMillis(self.now.0 + number.parse::<u64>().unwrap_or(1).min(1 << 40)),
            "T" => self.handle(HubInput::Timer),
            "i" => {
                let pings =
                    self.open.iter().map(|id| (*id, UnixMillis(number.parse().unwrap_or(self.now.0))));
                self.handle(HubInput::Pinged(pings.collect()));
            }
            "e" => {
                let random = self.random();
                self.handle(HubInput::NewEpoch { random });
            }
            "f" => {
                let head = self.hub.head();
                self.rows.retain(|version, _| *version == head.version);
                self.handle(HubInput::Folded(head));
            }
            "h" => self.hibernate(),
            _ => {}
        }
    }

    fn random(&mut self) -> [u8; 10] {
        self.random = self.random.wrapping_add(1);
        [self.random; 10]
    }

    fn open(&mut self, query: &str, replica: bool) {
        let Ok(Route::Follow(_, FollowQuery { from, name, topics })) =
            Route::parse("GET", "/v1/catalogs/tv/follow", query)
        else {
            return;
        };
        let logged = match from {
            Start::Head | Start::At(Claim::Nothing) => None,
            Start::At(claim @ Claim::Held { .. }) => {
                self.rows.get(&claim.version()).map(|position| position.hash)
            }
        };
        let session = self.hub.free_session();
        assert!(self.open.insert(session), "a free id is nobody's");
        let (topics, random) = (Topics::new(topics), self.random());
        self.handle(HubInput::Open { session, from, logged, name, topics, replica, until: None, random });
    }

    /// Sends the next part: everything that was missed, but two versions at most.
    fn send_part(&mut self) {
        let Some((session, part)) = self.parts.pop_front() else { return };
        if !self.open.contains(&session) {
            return;
        }
        let sent = match part {
            ReplayPart::Versions { after } => {
                let to = self.rows.keys().copied().filter(|version| *version > after).take(2).last();
                PartSent::Versions { to: to.unwrap_or(self.hub.head().version) }
            }
            ReplayPart::Fold { from, cursor } => {
                let to = self.hub.log().folded().version;
                assert!(from < to, "only what was folded is read from the fold");
                let next = FoldCursor { version: to, sort_key: Some("b".to_owned()), part: 1 };
                PartSent::Fold { to, next: (cursor != next).then_some(next) }
            }
        };
        self.handle(HubInput::PartSent { session, sent, bytes: 1_000 });
    }

    /// The object hibernates: only the rows, the attachments and the sockets are left.
    fn hibernate(&mut self) {
        let sessions: BTreeMap<SessionId, Session> = self
            .hub
            .sessions()
            .iter()
            .map(|(id, session)| {
                (*id, serde_json::from_str(&session.to_json()).expect("an attachment comes back"))
            })
            .collect();
        let before = self.hub.head();
        let kept = Persisted { log: *self.hub.log(), last_ack_request: self.ack_requested };
        self.hub = Hub::new(catalog(), kept, sessions, Limits::default());
        self.parts.clear();
        self.effects(before);
    }

    fn handle(&mut self, input: HubInput) {
        let before = self.hub.head();
        self.hub.handle(self.now, input);
        self.effects(before);
    }

    fn effects(&mut self, before: Position) {
        let (mut head, mut pong) = (before, before);
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                HubEffect::Write(HubWrite::Append(row)) => head = self.persist(head, &row),
                HubEffect::Write(HubWrite::Remember { publisher, key, remembered }) => {
                    let earlier = self.remembered.insert((publisher, key), remembered);
                    assert_eq!(earlier, None, "a key stands for one publish");
                }
                HubEffect::Write(HubWrite::BeginEpoch(position)) => {
                    assert!(position.epoch > head.epoch && position.version == Version::ZERO);
                    (head, self.ack_requested) = (position, None);
                    self.rows = BTreeMap::from([(Version::ZERO, position)]);
                    self.parts.clear();
                }
                HubEffect::Write(HubWrite::NoteAckRequest(ack_requested)) => {
                    self.ack_requested = Some(ack_requested)
                }
                HubEffect::Write(HubWrite::SawReplica { .. }) => {}
                HubEffect::Tell(Tell::SetPong(position)) => pong = position,
                HubEffect::Tell(Tell::Broadcast { sessions, text }) => {
                    assert!(
                        !sessions.is_empty() && sessions.iter().all(|session| self.open.contains(session))
                    );
                    check_frame(&text, head);
                }
                HubEffect::Tell(Tell::Send { session, text }) => {
                    assert!(self.open.contains(&session), "nothing is sent to who was closed");
                    check_frame(&text, head);
                }
                HubEffect::Tell(Tell::SendPart { session, part }) => {
                    assert!(self.open.contains(&session));
                    self.parts.push_back((session, part));
                }
                HubEffect::Tell(Tell::Save(session)) => assert!(self.open.contains(&session)),
                HubEffect::Tell(Tell::Close { session, reason, .. }) => {
                    assert!(self.open.remove(&session), "nobody is closed twice");
                    assert!(reason.len() <= 123, "the reason of a close has at most 123 bytes");
                }
                HubEffect::Tell(Tell::Answer { ticket, outcome }) => self.answered(ticket, outcome, head),
            }
        }
        assert_eq!((head, pong), (self.hub.head(), self.hub.head()), "every head is written down and told");
        self.check_sessions();
    }

    fn persist(&mut self, head: Position, row: &Row) -> Position {
        assert_eq!(row.position, head.then(row.text.as_bytes()), "a row follows the one before it");
        let rows = topics::versions(&row.text).expect("a row is read");
        assert_eq!(rows.iter().map(|row| row.version).collect::<Vec<_>>(), [row.position.version]);
        self.rows.insert(row.position.version, row.position);
        row.position
    }

    fn answered(&mut self, ticket: u64, outcome: PublishOutcome, head: Position) {
        assert!(self.waiting.remove(&ticket), "a publish is answered once");
        match outcome {
            PublishOutcome::Committed(receipt) => {
                assert!(receipt.position.epoch == head.epoch && receipt.version <= head.version);
                assert_eq!(
                    self.rows.get(&receipt.version),
                    Some(&receipt.position),
                    "written before answered"
                );
            }
            PublishOutcome::Repeated(receipt) => {
                assert!(self.remembered.values().any(|earlier| earlier.position == receipt.position));
            }
            PublishOutcome::Refused(problem) => crate::routes::check_problem(&problem),
        }
    }

    fn check_sessions(&self) {
        let head = self.hub.head();
        assert_eq!(self.hub.sessions().keys().copied().collect::<BTreeSet<_>>(), self.open);
        for session in self.hub.sessions().values() {
            assert_eq!(session.epoch, head.epoch, "who follows another epoch was closed");
            assert!(session.acked <= head.version && session.sent_to <= head.version, "{session:?}");
            assert!(session.window.len() <= REPLAY_WINDOW);
            assert!(session.to_json().len() <= ATTACHMENT_BYTES);
        }
        let Position { epoch, version, .. } = head;
        let applied = self.hub.applied(epoch, version);
        assert!(applied.acked + applied.unacked <= self.open.len());
    }
}

/// Asserts that a text is a frame, and tells of nothing that was not written before.
fn check_frame(text: &str, head: Position) {
    match Frame::parse(text).expect("a broker's text is a frame") {
        Frame::Welcome { epoch, head: version, .. } => {
            assert!((epoch, version) <= (head.epoch, head.version))
        }
        Frame::Changes { to, .. } => {
            assert!(to <= head.version, "a row stands before the sends it justifies")
        }
        Frame::Live { version } | Frame::Head { version, .. } => assert!(version <= head.version),
        Frame::Reset { position, .. } | Frame::Pong(position) => assert_eq!(position, head),
        Frame::Error { .. } | Frame::Fold(_) => {}
        Frame::Unknown(kind) => panic!("a frame of type {kind:?}"),
    }
}

fn catalog() -> Catalog {
    Catalog::new("tv").expect("a catalog")
}
