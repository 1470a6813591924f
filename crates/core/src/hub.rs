//! The broker's decisions: what a publish, an opening socket, an ack or a close leads to, in order.
//!
//! Does no I/O and reads no clock. Call [`Hub::handle`], then carry out [`Hub::poll_effect`] until `None`.
//! The effects are one ordered queue: a row stands before the sends and the answer it justifies. All that the
//! hub holds can be rebuilt from the rows and from the sockets' attachments; after a failed write, throw the
//! hub away and do that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::log::{Log, Row, Standing};
use crate::topics::Topics;
use crate::wire::frame::{self, FollowerFrame, Resume, close};
use crate::wire::name::Catalog;
use crate::wire::position::{Hash, Position, UnixMillis, Version};
use crate::wire::problem::{Code, Problem};
use crate::wire::publish::{Expect, Publish, Receipt};
use crate::wire::route::Start;

/// How many replay pages may be unacknowledged.
pub const REPLAY_WINDOW: usize = 4;
/// A filtered follower gets a bookmark at least once in this many versions.
const BOOKMARK_EVERY: u64 = 1_000;

/// One socket, for as long as it is open; also across hibernation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

/// What the broker knows of one follower: the socket's attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What it calls itself; may be empty.
    pub name: String,
    /// Whether it is a replica.
    pub replica: bool,
    /// When it opened, by the broker's clock.
    pub since: UnixMillis,
    /// What it wants to hear.
    pub topics: Topics,
    /// The last version it said it applied.
    pub acked: Version,
    /// The last version it was told of. What a filter hid since then is covered by its next frame.
    pub told: Version,
    /// Where it is.
    pub stage: Stage,
}

impl Session {
    /// Says whether a hub made anew, whose log ends at `head`, cannot know that the follower was sent all it
    /// should have been: what a filter hid looks like a fan-out that died half-way, and a replay with room in
    /// its window like a page that was never sent.
    fn is_doubtful(&self, head: Version) -> bool {
        match &self.stage {
            Stage::Live => !self.topics.is_everything() && self.told != head,
            Stage::Replaying { window, .. } => window.len() < REPLAY_WINDOW,
        }
    }
}

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Getting what it missed, page by page, as it acknowledges them.
    Replaying {
        /// The last version sent.
        sent: Version,
        /// The last versions of the pages sent and not acknowledged, in order.
        window: VecDeque<Version>,
    },
    /// Getting every version as it is made.
    Live,
}

/// One publish, waiting for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Who waits for the answer.
    pub ticket: u64,
    /// The name of the publisher's token: idempotency keys are its own.
    pub publisher: String,
    /// What it publishes, parsed and checked.
    pub publish: Publish,
    /// Its `Idempotency-Key`, if it sent one.
    pub idempotency_key: Option<String>,
    /// What is remembered of that key from before, if anything.
    pub remembered: Option<Remembered>,
    /// Whether its publisher waits for it to be applied, so that followers should acknowledge it at once.
    pub wants_acks: bool,
}

/// An earlier publish under the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Of what.
    pub fingerprint: String,
    /// What it was answered.
    pub receipt: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Publishes that arrived together, in order.
    Publish(Vec<Submission>),
    /// A socket opened.
    Open {
        /// The new session.
        session: SessionId,
        /// Where it wants to start.
        from: Start,
        /// The log's hash at the version it claims, if known.
        logged: Option<Hash>,
        /// Its name.
        name: String,
        /// Its interest.
        topics: Topics,
        /// Whether it is a replica.
        replica: bool,
    },
    /// A page that [`Effect::SendPage`] asked for went out.
    PageSent {
        /// To whom.
        session: SessionId,
        /// Its last version.
        to: Version,
    },
    /// A text came.
    Text {
        /// From whom.
        session: SessionId,
        /// What.
        text: String,
    },
    /// A socket closed.
    Closed {
        /// Whose.
        session: SessionId,
    },
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write a row. All rows and memories of one input are one transaction.
    Persist(Row),
    /// Remember the answer under an idempotency key.
    Remember {
        /// Whose key.
        publisher: String,
        /// The key.
        key: String,
        /// When.
        at: UnixMillis,
        /// What was published and answered.
        remembered: Remembered,
    },
    /// Set the auto-response to `ping`.
    SetPong(Position),
    /// Send one text to many.
    Broadcast {
        /// To whom.
        sessions: Vec<SessionId>,
        /// What.
        text: String,
    },
    /// Send a text.
    Send {
        /// To whom.
        session: SessionId,
        /// What.
        text: String,
    },
    /// Read the page after a version, send it (through [`Session::topics`]), then handle [`Input::PageSent`].
    SendPage {
        /// To whom.
        session: SessionId,
        /// After which version.
        after: Version,
    },
    /// Write the session to its socket's attachment.
    Save(SessionId),
    /// Close a socket.
    Close {
        /// Whose.
        session: SessionId,
        /// With which code.
        code: u16,
        /// And reason.
        reason: &'static str,
    },
    /// Answer a publisher.
    Answer {
        /// Which.
        ticket: u64,
        /// What.
        outcome: Outcome,
    },
}

/// What a publish came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has a version.
    Committed(Receipt),
    /// It had one already: the receipt's JSON, as it was given then.
    Repeated(String),
    /// It has none, and nothing was written.
    Refused(Problem),
}

/// The broker of one catalog.
#[derive(Debug)]
pub struct Hub {
    catalog: Catalog,
    log: Log,
    sessions: BTreeMap<SessionId, Session>,
    /// Followers that may lack something nobody will send them: see [`Session::is_doubtful`].
    doubtful: BTreeSet<SessionId>,
    /// Ids are not given twice: the close of an old socket may still be on its way.
    next_session: u32,
    effects: VecDeque<Effect>,
}

impl Hub {
    /// Returns the hub as the rows and the attachments tell it.
    #[must_use]
    pub fn new(catalog: Catalog, head: Position, mut sessions: BTreeMap<SessionId, Session>) -> Self {
        let mut doubtful = BTreeSet::new();
        for (id, session) in &mut sessions {
            if session.is_doubtful(head.version) {
                doubtful.insert(*id);
            }
            // A session may have been told of rows that were then not written: that telling never left.
            session.told = session.told.min(head.version);
        }
        let next_session = sessions.last_key_value().map_or(1, |(last, _)| last.0.wrapping_add(1));
        let effects = VecDeque::from([Effect::SetPong(head)]);
        Self { catalog, log: Log::ending_at(head), sessions, doubtful, next_session, effects }
    }

    /// Takes one input; the effects tell what follows from it.
    pub fn handle(&mut self, now: UnixMillis, input: Input) {
        match input {
            Input::Publish(submissions) => self.publish(now, submissions),
            Input::Open { session, from, logged, name, topics, replica } => {
                let acked = Version::ZERO;
                let stage = Stage::Live;
                let opened = Session { name, replica, since: now, topics, acked, told: acked, stage };
                self.open(session, opened, from, logged);
            }
            Input::PageSent { session, to } => self.page_sent(session, to),
            Input::Text { session, text } => self.text(session, &text),
            Input::Closed { session } => {
                self.forget(session);
            }
        }
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the newest position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.log.head()
    }

    /// Returns the log's end, to judge claims by.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns every open session.
    #[must_use]
    pub fn sessions(&self) -> &BTreeMap<SessionId, Session> {
        &self.sessions
    }

    /// Returns the names of the replicas that acknowledged a version, and of those connected that did not.
    #[must_use]
    pub fn applied(&self, version: Version) -> (Vec<String>, Vec<String>) {
        let replicas = self.sessions.values().filter(|session| session.replica);
        let (applied, pending): (Vec<&Session>, Vec<&Session>) =
            replicas.partition(|session| session.acked >= version);
        let names = |sessions: Vec<&Session>| sessions.iter().map(|session| session.name.clone()).collect();
        (names(applied), names(pending))
    }

    /// Returns an id that no session had since this hub was made, for [`Input::Open`].
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
                None => Outcome::Committed(self.commit(now, submission, &mut rows, &mut fresh)),
            };
            outcomes.push(Effect::Answer { ticket, outcome });
        }
        if !rows.is_empty() {
            self.effects.push_back(Effect::SetPong(self.log.head()));
            self.fan_out(before, &rows, wants_acks);
        }
        self.effects.extend(outcomes);
    }

    /// Returns the outcome of a submission that makes no version.
    fn refusal(
        &self,
        submission: &Submission,
        fresh: &BTreeMap<(String, String), Remembered>,
    ) -> Option<Outcome> {
        let this_commit = submission
            .idempotency_key
            .as_ref()
            .and_then(|key| fresh.get(&(submission.publisher.clone(), key.clone())));
        if let Some(earlier) = this_commit.or(submission.remembered.as_ref()) {
            if earlier.fingerprint == submission.publish.fingerprint() {
                return Some(Outcome::Repeated(earlier.receipt.clone()));
            }
            let detail = "this Idempotency-Key was used for another publish; take a new key for new changes";
            return Some(Outcome::Refused(Problem::new(Code::IdempotencyReuse, detail)));
        }
        let head = self.log.head();
        let unexpected = |expect: &Expect| !expect.is(&head);
        submission.publish.expect.filter(unexpected).map(|expect| {
            let detail = format!("expected version {}, the log is at {head}", expect.version);
            Outcome::Refused(
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
        let row = self.log.append(now, &submission.publish.changes_json());
        let Position { epoch, version, .. } = row.position;
        let changes = submission.publish.changes.len();
        let catalog = self.catalog.clone();
        let receipt = Receipt { catalog, epoch, version, position: row.position, at: now, changes };
        self.effects.push_back(Effect::Persist(row.clone()));
        rows.push(row);
        if let Some(key) = submission.idempotency_key {
            let remembered = Remembered {
                fingerprint: submission.publish.fingerprint(),
                receipt: serde_json::to_string(&receipt).expect("a receipt serializes"),
            };
            let publisher = submission.publisher;
            fresh.insert((publisher.clone(), key.clone()), remembered.clone());
            self.effects.push_back(Effect::Remember { publisher, key, at: now, remembered });
        }
        receipt
    }

    /// Sends rows to everyone live: the text is built once per interest, not per follower.
    fn fan_out(&mut self, before: Position, rows: &[Row], ack: bool) {
        self.settle_doubts();
        let live = |session: &Session| session.stage == Stage::Live;
        let everything: Vec<SessionId> = self.ids(|session| live(session) && session.topics.is_everything());
        let filtered: Vec<SessionId> = self.ids(|session| live(session) && !session.topics.is_everything());
        let mut from = before.version;
        for run in runs(rows) {
            let Some(last) = run.last() else { continue };
            let texts: Vec<&str> = run.iter().map(|row| row.text.as_str()).collect();
            let joined = texts.join(",");
            if !everything.is_empty() {
                let text = frame::changes_text(from, &last.position, ack, &joined);
                self.effects.push_back(Effect::Broadcast { sessions: everything.clone(), text });
            }
            self.fan_out_filtered(&filtered, &joined, &last.position);
            from = last.position.version;
        }
    }

    /// Sends what is left of rows to those who want only some; a frame begins where its followers were told to.
    fn fan_out_filtered(&mut self, filtered: &[SessionId], rows: &str, last: &Position) {
        let mut audiences: BTreeMap<(Topics, Version), Vec<SessionId>> = BTreeMap::new();
        for id in filtered {
            if let Some(session) = self.sessions.get(id) {
                audiences.entry((session.topics.clone(), session.told)).or_default().push(*id);
            }
        }
        for ((topics, told), sessions) in audiences {
            let left = topics.filtered(rows).expect("rows are what the log writes");
            let text = match (left.is_empty(), crosses_a_bookmark(told, last.version)) {
                (true, false) => continue,
                (true, true) => frame::head(last),
                (false, _) => frame::changes_text(told, last, false, &left),
            };
            self.effects.push_back(Effect::Broadcast { sessions: sessions.clone(), text });
            for id in sessions {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.told = last.version;
                }
                self.effects.push_back(Effect::Save(id));
            }
        }
    }

    /// Reads from the log, for every doubtful follower, what came after the last it was sent.
    fn settle_doubts(&mut self) {
        for id in std::mem::take(&mut self.doubtful) {
            if let Some(session) = self.sessions.get_mut(&id) {
                if session.stage == Stage::Live {
                    session.stage = Stage::Replaying { sent: session.told, window: VecDeque::new() };
                }
                self.replay_on(id);
            }
        }
    }

    fn ids(&self, wanted: impl Fn(&Session) -> bool) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, session)| wanted(session)).map(|(id, _)| *id).collect()
    }

    fn open(&mut self, id: SessionId, mut session: Session, from: Start, logged: Option<Hash>) {
        let head = self.log.head();
        self.replace_older(&session);
        let standing = match from {
            Start::Head => Standing::Current,
            Start::At(claim) => self.log.standing(claim, logged),
        };
        let resume = match standing {
            Standing::Current => Resume::Live,
            Standing::Behind { after } => {
                session.acked = after;
                session.stage = Stage::Replaying { sent: after, window: VecDeque::new() };
                Resume::Replay
            }
            Standing::Elsewhere(_) => Resume::Reset,
        };
        // Who is reset has applied nothing until it says so.
        if resume == Resume::Live {
            session.acked = head.version;
        }
        self.sessions.insert(id, session);
        self.next_session = self.next_session.max(id.0.wrapping_add(1));
        self.send(id, frame::welcome(&head, resume));
        if let Standing::Elsewhere(reason) = standing {
            self.send(id, frame::reset(&head, reason.text()));
        }
        match standing {
            Standing::Behind { after } => self.effects.push_back(Effect::SendPage { session: id, after }),
            Standing::Current | Standing::Elsewhere(_) => self.go_live(id),
        }
        self.effects.push_back(Effect::Save(id));
    }

    /// A replica that connects anew has lost its older socket, whether or not that has closed yet.
    fn replace_older(&mut self, newer: &Session) {
        let same = |session: &Session| session.replica && newer.replica && session.name == newer.name;
        for id in self.ids(same) {
            self.close(id, close::REPLACED, "a newer connection of this replica took its place");
        }
    }

    fn page_sent(&mut self, id: SessionId, to: Version) {
        let Some(Stage::Replaying { sent, window }) = self.stage(id) else { return };
        *sent = to;
        window.push_back(to);
        self.replay_on(id);
        self.effects.push_back(Effect::Save(id));
    }

    /// Sends the next page if the window has room, or goes live after the last.
    fn replay_on(&mut self, id: SessionId) {
        let head = self.log.head().version;
        let Some(Stage::Replaying { sent, window }) = self.stage(id) else { return };
        let (after, room) = (*sent, window.len() < REPLAY_WINDOW);
        self.doubtful.remove(&id);
        if after >= head {
            self.go_live(id);
        } else if room {
            self.effects.push_back(Effect::SendPage { session: id, after });
        }
    }

    fn go_live(&mut self, id: SessionId) {
        let head = self.log.head();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.stage = Stage::Live;
        session.told = head.version;
        let filtered = !session.topics.is_everything();
        self.send(id, frame::live(head.version));
        if filtered {
            self.send(id, frame::head(&head));
        }
    }

    fn text(&mut self, id: SessionId, text: &str) {
        // What a socket said before it heard that it was closed.
        if !self.sessions.contains_key(&id) {
            return;
        }
        match FollowerFrame::parse(text) {
            Ok(FollowerFrame::Ping) => self.send(id, frame::pong(&self.log.head())),
            Ok(FollowerFrame::Ack { version }) => self.ack(id, version),
            Err(error) => {
                self.send(id, frame::error("bad-frame", &error.to_string(), None));
                self.close(id, close::BAD_FRAME, "a frame that cannot be read");
            }
        }
    }

    fn ack(&mut self, id: SessionId, version: Version) {
        let head = self.log.head().version;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if version > head {
            self.send(id, frame::error("bad-frame", "an ack of a version that does not exist", None));
            return self.close(id, close::BAD_FRAME, "an ack of a version that does not exist");
        }
        session.acked = session.acked.max(version);
        if let Stage::Replaying { window, .. } = &mut session.stage {
            window.retain(|end| *end > version);
            // Also when the window was not full: then the object died before the next page went out.
            self.replay_on(id);
        }
        self.effects.push_back(Effect::Save(id));
    }

    fn stage(&mut self, id: SessionId) -> Option<&mut Stage> {
        self.sessions.get_mut(&id).map(|session| &mut session.stage)
    }

    fn send(&mut self, session: SessionId, text: String) {
        self.effects.push_back(Effect::Send { session, text });
    }

    fn close(&mut self, session: SessionId, code: u16, reason: &'static str) {
        self.forget(session);
        self.effects.push_back(Effect::Close { session, code, reason });
    }

    fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.doubtful.remove(&session);
    }
}

/// Cuts rows into frames: each ends with the first version past 256 KiB.
fn runs(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut bytes = 0;
    rows.split_inclusive(move |row| {
        bytes += row.text.len();
        let full = bytes > frame::FRAME_BYTES;
        if full {
            bytes = 0;
        }
        full
    })
}

fn crosses_a_bookmark(from: Version, to: Version) -> bool {
    from.number() / BOOKMARK_EVERY != to.number() / BOOKMARK_EVERY
}

#[cfg(test)]
mod tests;
