//! The broker's decisions: what a publish, an opening socket, an ack or a close leads to, in order.
//!
//! Does no I/O and reads no clock. Call [`Hub::handle`], then carry out [`Hub::poll_effect`] until `None`.
//! The effects are one ordered queue: a row stands before the sends and the answer it justifies. All that the
//! hub holds can be rebuilt from the rows and from the sockets' attachments; after a failed write, throw the
//! hub away and do that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::follow::topics::Topics;
use crate::log::{Log, Row};
use crate::wire::claim::Start;
use crate::wire::frame::{self, FollowerFrame, MAX_FOLLOWER_FRAME_BYTES, close};
use crate::wire::name::Catalog;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};
use crate::wire::problem::{Code, Problem};
use crate::wire::publish::{Expect, Receipt, Written};

mod acks;
mod driver;
mod epoch;
mod fan_out;
mod replay;
mod session;
mod token_bucket;

pub use acks::{AckRequest, Limits};
pub use driver::{HubDriver, Platform, not_written};
pub use fan_out::BOOKMARK_EVERY;
pub use replay::{PartSent, REPLAY_WINDOW, ReplayPart};
pub use session::{Outstanding, Reset, Session, SessionId, Stage};

/// One publish, waiting for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The number under which the publisher waits for its answer.
    pub ticket: u64,
    /// The name of the publisher's token: idempotency keys are its own.
    pub publisher: String,
    /// The publish, as it is written to the log.
    pub publish: Written,
    /// The `Idempotency-Key` that the publisher sent, if any.
    pub idempotency_key: Option<String>,
    /// The earlier publish under that key, if one is remembered.
    pub remembered: Option<Remembered>,
    /// Whether the publisher waits until replicas have applied the publish. Followers are then asked for acks
    /// at once.
    pub wants_acks: bool,
}

/// An earlier publish under the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The fingerprint of the changes, to tell a retry from another publish.
    pub fingerprint: String,
    /// The position after the version of the publish.
    pub position: Position,
    /// When the publish was committed, by the broker's clock.
    pub at: UnixMillis,
    /// The number of changes in the publish.
    pub changes: usize,
}

/// An event that the hub decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubInput {
    /// Publishes that arrived together, in order.
    Publish(Vec<Submission>),
    /// A follower opened a socket. The hub may still turn the follower away.
    Open {
        /// The id of the new session, from [`Hub::free_session`].
        session: SessionId,
        /// The place in the log from which the follower wants to start.
        from: Start,
        /// The log's hash at the version that the follower claims; `None` when the log does not know that
        /// hash.
        logged: Option<Hash>,
        /// The name that the follower gave itself; may be empty.
        name: String,
        /// The keys that the follower wants to hear of.
        topics: Topics,
        /// Whether the follower is a replica. The hub trusts the position that a replica claims.
        replica: bool,
        /// When the follower's token ends; `None` for a token without an end.
        until: Option<UnixMillis>,
        /// Random bits, for the new epoch that the follower's position may call for.
        random: [u8; 10],
    },
    /// A part that [`Tell::SendPart`] asked for went out.
    PartSent {
        /// The follower that the part was sent to.
        session: SessionId,
        /// The end of the part.
        sent: PartSent,
        /// The size of the part, in bytes.
        bytes: u32,
    },
    /// A follower sent a text frame over its socket.
    Text {
        /// The follower that sent the text.
        session: SessionId,
        /// The text of the frame, not parsed yet.
        text: String,
    },
    /// A socket closed or broke. The hub forgets its session.
    Closed {
        /// The session of the socket.
        session: SessionId,
    },
    /// When the platform last answered a ping of each socket. A socket that never pinged is absent.
    Pinged(BTreeMap<SessionId, UnixMillis>),
    /// The time of [`Hub::poll_timeout`] has come.
    Timer,
    /// An operator wants a new epoch.
    NewEpoch {
        /// Random bits, which tell the new epoch from others of the same millisecond.
        random: [u8; 10],
    },
    /// Everything up to here has been compacted.
    Folded(Position),
}

/// Something that the driver must do, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEffect {
    /// Write something. All that one input leads to is one transaction.
    Write(HubWrite),
    /// Send, save or answer something, after every write that stands before it in the queue.
    Tell(Tell),
}

/// A write to the rows, from which a rebuilt hub knows the decisions of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubWrite {
    /// Append a row to the log.
    Append(Row),
    /// Remember a publish under an idempotency key.
    Remember {
        /// The name of the publisher's token.
        publisher: String,
        /// The key, one of this publisher's.
        key: String,
        /// The publish and its receipt.
        remembered: Remembered,
    },
    /// Empty the log: it goes on from here, version 0 of a new epoch.
    BeginEpoch(Position),
    /// Note which ack every follower was asked for last.
    NoteAckRequest(AckRequest),
    /// Note that a replica connected and was let in: a publish that waits for every replica names it.
    SawReplica {
        /// The name of the replica.
        name: String,
        /// When the replica connected, by the broker's clock.
        at: UnixMillis,
    },
}

/// Something to send, to keep with a socket, or to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// Set the auto-response to `ping`.
    SetPong(Position),
    /// Send one text to many.
    Broadcast {
        /// The followers to send to, each a session that is open.
        sessions: Vec<SessionId>,
        /// The text of one frame, which every follower gets byte for byte.
        text: String,
    },
    /// Send a text to one follower.
    Send {
        /// The follower to send to.
        session: SessionId,
        /// The text of one frame, as it goes out on the socket.
        text: String,
    },
    /// Read a part of the past, send it (through [`Session::topics`]), then handle [`HubInput::PartSent`].
    SendPart {
        /// The follower to send to.
        session: SessionId,
        /// Where the part begins.
        part: ReplayPart,
    },
    /// Write the session to its socket's attachment.
    Save(SessionId),
    /// Close a socket. The hub has already forgotten its session.
    Close {
        /// The session of the socket.
        session: SessionId,
        /// The code of the Close frame, one of those in [`close`].
        code: u16,
        /// The reason of the Close frame, a text for people.
        reason: &'static str,
    },
    /// Answer the publisher of one submission. Answers keep the order of the submissions.
    Answer {
        /// The ticket of its submission.
        ticket: u64,
        /// The receipt of the publish, or the problem that refused it.
        outcome: PublishOutcome,
    },
}

impl From<HubWrite> for HubEffect {
    fn from(write: HubWrite) -> Self {
        Self::Write(write)
    }
}

impl From<Tell> for HubEffect {
    fn from(tell: Tell) -> Self {
        Self::Tell(tell)
    }
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The publish has a version of its own.
    Committed(Receipt),
    /// The publish was committed before: the receipt as it was given then.
    Repeated(Receipt),
    /// The publish has no version, and nothing was written.
    Refused(Problem),
}

/// How far a version has got, of the followers that are connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The names of the replicas that have nothing from before the version.
    pub applied: Vec<String>,
    /// The names of the replicas that may still have something from before the version.
    pub pending: Vec<String>,
    /// How many live followers without topics, replicas among them, have acknowledged the version.
    pub acked: usize,
    /// How many live followers without topics, replicas among them, have not acknowledged the version.
    pub unacked: usize,
}

impl Applied {
    /// Says whether no replica is pending and no live follower's ack is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty() && self.unacked == 0
    }
}

/// The state of a hub that the rows keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persisted {
    /// The ends of the log.
    pub log: Log,
    /// The last frame that asked every follower for an ack.
    pub last_ack_request: Option<AckRequest>,
}

/// The broker of one catalog.
#[derive(Debug)]
pub struct Hub {
    catalog: Catalog,
    log: Log,
    sessions: BTreeMap<SessionId, Session>,
    /// Followers that may lack something that no later frame brings: see [`Session::is_uncertain`].
    uncertain: BTreeSet<SessionId>,
    /// An id is never given twice, since the close of an old socket may still be on its way.
    next_session: u32,
    replays: replay::Budget,
    acks: acks::AckTracker,
    admission: replay::ConnectionAdmission,
    /// No session's token ends before this moment; `None` while no token ends.
    expiry: Option<UnixMillis>,
    effects: VecDeque<HubEffect>,
}

impl Hub {
    /// Returns the hub as the rows and the attachments tell it.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        persisted: Persisted,
        mut sessions: BTreeMap<SessionId, Session>,
        limits: Limits,
    ) -> Self {
        let head = persisted.log.head();
        let mut uncertain = BTreeSet::new();
        for (id, session) in &mut sessions {
            if session.roll_back_to(head.version) || session.is_uncertain(head.version) {
                uncertain.insert(*id);
            }
        }
        let next_session = sessions.last_key_value().map_or(1, |(last, _)| last.0.wrapping_add(1));
        let replays = replay::Budget::of(&sessions);
        let acks = acks::AckTracker::new(limits, persisted.last_ack_request, &sessions);
        let effects = VecDeque::from([Tell::SetPong(head).into()]);
        let admission = replay::ConnectionAdmission::default();
        let expiry = sessions.values().filter_map(|session| session.until).min();
        let log = persisted.log;
        let mut hub = Self {
            catalog,
            log,
            sessions,
            uncertain,
            next_session,
            replays,
            acks,
            admission,
            expiry,
            effects,
        };
        // A session of another epoch has not heard that this one began.
        hub.close_unresettable(|session| session.epoch != head.epoch);
        hub
    }

    /// Takes one input, and queues the effects that follow from it.
    pub fn handle(&mut self, now: UnixMillis, input: HubInput) {
        // Sessions whose token has ended are closed before the input is handled, so they receive nothing
        // more.
        self.close_expired(now);
        match input {
            HubInput::Publish(submissions) => self.publish(now, submissions),
            HubInput::Open { session, from, logged, name, topics, replica, until, random } => {
                let mut opened = Session::new(name, replica, now, self.log.head().epoch, topics);
                opened.until = until;
                self.expiry = self.expiry.into_iter().chain(until).min();
                self.open(now, session, opened, (from, logged), random);
            }
            HubInput::PartSent { session, sent, bytes } => self.part_sent(now, session, sent, bytes),
            HubInput::Text { session, text } => self.text(now, session, &text),
            HubInput::Closed { session } => self.forget(session),
            HubInput::Pinged(pings) => self.close_silent(now, &pings),
            HubInput::Timer => self.timer(now),
            HubInput::NewEpoch { random } => self.begin_epoch(now, self.log.head().epoch, random),
            HubInput::Folded(folded) => self.log.fold(folded),
        }
        // The input may have given room to replays that wait.
        self.replay_waiting();
    }

    /// Returns when to hand in [`HubInput::Timer`]: at once when a follower may lack something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        match self.uncertain.is_empty() {
            true => self.acks.due().into_iter().chain(self.expiry).min(),
            false => Some(UnixMillis::default()),
        }
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<HubEffect> {
        self.effects.pop_front()
    }

    /// Returns the newest position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.log.head()
    }

    /// Returns the log, to judge claims by.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns every open session.
    #[must_use]
    pub fn sessions(&self) -> &BTreeMap<SessionId, Session> {
        &self.sessions
    }

    /// Returns which followers acknowledged a version, and which did not.
    ///
    /// A follower of a newer epoch has forgotten everything, so it has nothing from before the version.
    #[must_use]
    pub fn applied(&self, epoch: Epoch, version: Version) -> Applied {
        let mut all = Applied::default();
        for session in self.sessions.values() {
            let has_applied = session.has_applied(epoch, version);
            if session.replica {
                let names = if has_applied { &mut all.applied } else { &mut all.pending };
                names.push(session.name.clone());
            }
            // Only these sessions are asked for acks. Other sessions get the version in a part of a replay,
            // or a filter hid it.
            if session.stage == Stage::Live && session.topics.is_everything() {
                *(if has_applied { &mut all.acked } else { &mut all.unacked }) += 1;
            }
        }
        all
    }

    /// Returns an id that no session had since this hub was made, for [`HubInput::Open`].
    #[must_use]
    pub fn free_session(&self) -> SessionId {
        SessionId(self.next_session)
    }

    fn publish(&mut self, now: UnixMillis, submissions: Vec<Submission>) {
        let before = self.log.head();
        let mut rows: Vec<Row> = Vec::new();
        let mut outcomes = Vec::new();
        // Keys that this very commit is about to remember.
        let mut fresh: BTreeMap<(String, String), Remembered> = BTreeMap::new();
        let wants_acks = submissions.iter().any(|submission| submission.wants_acks);
        for submission in submissions {
            let ticket = submission.ticket;
            let outcome = match self.refusal(&submission, &fresh) {
                Some(outcome) => outcome,
                None => PublishOutcome::Committed(self.commit(now, submission, &mut rows, &mut fresh)),
            };
            outcomes.push(HubEffect::from(Tell::Answer { ticket, outcome }));
        }
        if !rows.is_empty() {
            self.tell(Tell::SetPong(self.log.head()));
            self.fan_out(now, before, &rows, wants_acks);
        } else if wants_acks {
            self.request_acks();
        }
        self.effects.extend(outcomes);
    }

    /// Returns the outcome of a submission that makes no version.
    fn refusal(
        &self,
        submission: &Submission,
        fresh: &BTreeMap<(String, String), Remembered>,
    ) -> Option<PublishOutcome> {
        let this_commit = submission
            .idempotency_key
            .as_ref()
            .and_then(|key| fresh.get(&(submission.publisher.clone(), key.clone())));
        let before = submission.remembered.as_ref();
        if let Some(earlier) = this_commit.or(before) {
            if earlier.fingerprint == submission.publish.fingerprint() {
                return Some(PublishOutcome::Repeated(self.receipt(
                    earlier.position,
                    earlier.at,
                    earlier.changes,
                )));
            }
            let detail = "this Idempotency-Key was used for another publish; take a new key for new changes";
            return Some(PublishOutcome::Refused(Problem::new(Code::IdempotencyReuse, detail)));
        }
        let head = self.log.head();
        let unexpected = |expect: &Expect| !expect.is(&head);
        submission.publish.expect.filter(unexpected).map(|expect| {
            let detail = format!("expected version {}, the log is at {head}", expect.version);
            PublishOutcome::Refused(
                Problem::new(Code::ExpectFailed, detail)
                    .with("epoch", head.epoch)
                    .with("version", head.version)
                    .with("position", head),
            )
        })
    }

    fn commit(
        &mut self,
        now: UnixMillis,
        submission: Submission,
        rows: &mut Vec<Row>,
        fresh: &mut BTreeMap<(String, String), Remembered>,
    ) -> Receipt {
        let row = self.log.append(now, &submission.publish.changes, &submission.publish.cause);
        let (position, at, changes) = (row.position, now, submission.publish.count);
        self.write(HubWrite::Append(row.clone()));
        rows.push(row);
        if let Some(key) = submission.idempotency_key {
            let fingerprint = submission.publish.fingerprint();
            let remembered = Remembered { fingerprint, position, at, changes };
            let publisher = submission.publisher;
            fresh.insert((publisher.clone(), key.clone()), remembered.clone());
            self.write(HubWrite::Remember { publisher, key, remembered });
        }
        self.receipt(position, at, changes)
    }

    fn receipt(&self, position: Position, at: UnixMillis, changes: usize) -> Receipt {
        let Position { epoch, version, .. } = position;
        Receipt { catalog: self.catalog.clone(), epoch, version, position, at, changes }
    }

    fn ids(&self, wanted: impl Fn(&Session) -> bool) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| wanted(session)).map(|(id, _)| *id).collect()
    }

    fn text(&mut self, now: UnixMillis, id: SessionId, text: &str) {
        // A follower may have sent this text before it heard that its socket was closed.
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if text.len() > MAX_FOLLOWER_FRAME_BYTES {
            let most = format!("a follower's frame has at most {MAX_FOLLOWER_FRAME_BYTES} bytes");
            return self.close_bad_frame(id, &most, "a frame that is too large");
        }
        match FollowerFrame::parse(text) {
            Ok(FollowerFrame::Ping) if session.unsolicited.take(now) => {
                self.send(id, frame::pong(&self.log.head()));
            }
            Ok(FollowerFrame::Ping) => self.close_chatty(id),
            Ok(FollowerFrame::Ack { version }) => self.ack(now, id, version),
            Err(error) => self.close_bad_frame(id, &error.to_string(), "a frame that cannot be read"),
        }
    }

    /// Closes the sockets of followers whose token has ended.
    fn close_expired(&mut self, now: UnixMillis) {
        if self.expiry.is_none_or(|expiry| expiry > now) {
            return;
        }
        for id in self.ids(|session| session.until.is_some_and(|until| until <= now)) {
            self.close_with_error(
                id,
                (Code::Unauthorized.text(), frame::EXPIRED, None),
                close::EXPIRED,
                frame::EXPIRED,
            );
        }
        self.expiry = self.sessions.values().filter_map(|session| session.until).min();
    }

    /// Closes the socket of a follower that sent a frame which breaks the protocol.
    fn close_bad_frame(&mut self, id: SessionId, message: &str, reason: &'static str) {
        self.close_with_error(id, ("bad-frame", message, None), close::BAD_FRAME, reason);
    }

    /// Closes the socket of a follower that sends too many unsolicited frames.
    fn close_chatty(&mut self, id: SessionId) {
        let message = "too many frames that nobody asked for";
        self.close_with_error(id, (Code::Busy.text(), message, Some(1_000)), close::TOO_CHATTY, message);
    }

    /// Sends an error frame (a code, a text, and when to reconnect), and closes the socket.
    fn close_with_error(
        &mut self,
        session: SessionId,
        (code, message, retry_after_ms): (&str, &str, Option<u64>),
        close_code: u16,
        reason: &'static str,
    ) {
        self.send(session, frame::error(code, message, retry_after_ms));
        self.close(session, close_code, reason);
    }

    fn write(&mut self, write: HubWrite) {
        self.effects.push_back(HubEffect::Write(write));
    }

    fn tell(&mut self, tell: Tell) {
        self.effects.push_back(HubEffect::Tell(tell));
    }

    fn send(&mut self, session: SessionId, text: String) {
        self.tell(Tell::Send { session, text });
    }

    fn close(&mut self, session: SessionId, code: u16, reason: &'static str) {
        self.forget(session);
        self.tell(Tell::Close { session, code, reason });
    }

    fn forget(&mut self, session: SessionId) {
        if let Some(gone) = self.sessions.remove(&session) {
            self.replays.forget(session, &gone);
        }
        self.uncertain.remove(&session);
    }
}

#[cfg(test)]
mod tests;
