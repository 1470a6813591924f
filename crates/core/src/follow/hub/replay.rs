//! Replays: the versions that a follower missed, part by part, as it acknowledges them and as memory allows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::token_bucket::TokenBucket;
use super::{Hub, HubWrite, Outstanding, Reset, Session, SessionId, Stage, Tell};
use crate::log::ClaimStatus;
use crate::wire::claim::{Claim, Start};
use crate::wire::cursor::FoldCursor;
use crate::wire::frame::{self, Resume, close};
use crate::wire::position::{Hash, UnixMillis, Version};
use crate::wire::problem::Code;

/// How many parts of a replay may be unacknowledged.
pub const REPLAY_WINDOW: usize = 4;
/// How many bytes of all replays together may be unacknowledged: an isolate has 128 MB for everything.
const BUDGET: u64 = 32 << 20;

/// A part of the past, to be read and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayPart {
    /// The versions after this one: the rest of a segment, or a frame's worth of rows.
    Versions {
        /// The version before the first of the part.
        after: Version,
    },
    /// The compacted changes of the versions after `from`.
    Fold {
        /// The version that the follower holds.
        from: Version,
        /// How much of the fold was sent before.
        cursor: FoldCursor,
    },
}

/// How far a part went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartSent {
    /// Versions were sent in full.
    Versions {
        /// The last version of the part.
        to: Version,
    },
    /// A part of a fold was sent.
    Fold {
        /// Where the fold ends.
        to: Version,
        /// Where the fold goes on; `None` after its last part.
        next: Option<FoldCursor>,
    },
}

/// The unacknowledged bytes of all replays together, and the sessions that wait for room.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: u64,
    /// Sessions whose next part is about to be read: the size of that part is not known yet.
    reading: BTreeSet<SessionId>,
    /// Sessions that have room in their own window and found none in this budget, in turn.
    waiting: VecDeque<SessionId>,
}

impl Budget {
    pub(super) fn of(sessions: &BTreeMap<SessionId, Session>) -> Self {
        Self { bytes: sessions.values().map(Session::outstanding_bytes).sum(), ..Self::default() }
    }

    /// Says whether nothing more may be sent for now.
    fn is_spent(&self) -> bool {
        self.bytes + (self.reading.len() * frame::FOLD_BYTES) as u64 >= BUDGET
    }

    fn release(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Forgets a session that closed.
    pub(super) fn forget(&mut self, id: SessionId, session: &Session) {
        self.release(session.outstanding_bytes());
        self.reading.remove(&id);
    }
}

/// How fast sockets may open: 2,000 at once, 500 a second. After a restart a whole fleet reconnects; each
/// socket past this rate is told to come later, at a moment of its own.
#[derive(Debug, Default)]
pub(super) struct ConnectionAdmission {
    token_bucket: TokenBucket<2_000, 2>,
    /// When the next socket that is turned away is to come back, but for [`Self::MIN_DELAY`].
    turn: UnixMillis,
}

impl ConnectionAdmission {
    /// The shortest time that a socket is turned away for.
    const MIN_DELAY: Duration = Duration::from_secs(1);
    /// The longest time from now to a turn, also after the clock was set back. Past it the turns begin anew.
    const MAX_DELAY: Duration = Duration::from_secs(60);
    /// The time between two turns: sockets come back as fast as they are let in.
    const APART: Duration = Duration::from_millis(2);

    /// Returns how long a new socket is to stay away, if the rate is spent. Each socket gets a moment of its
    /// own, in the order of arrival.
    fn turn_away(&mut self, now: UnixMillis) -> Option<Duration> {
        if self.token_bucket.take(now) {
            return None;
        }
        if self.turn < now || self.turn > now.plus(Self::MAX_DELAY) {
            self.turn = now;
        }
        self.turn = self.turn.plus(Self::APART);
        Some(Self::MIN_DELAY + self.turn.since(now))
    }
}

impl Hub {
    pub(super) fn open(
        &mut self,
        now: UnixMillis,
        id: SessionId,
        mut session: Session,
        (from, logged): (Start, Option<Hash>),
        random: [u8; 10],
    ) {
        self.next_session = self.next_session.max(id.0.wrapping_add(1));
        if let Some(stay) = self.admission.turn_away(now) {
            let retry_after_ms = u64::try_from(stay.as_millis()).unwrap_or(u64::MAX);
            let message = "too many connect at once; come back later";
            let why = (Code::Busy.text(), message, Some(retry_after_ms));
            return self.close_with_error(id, why, close::TRY_LATER, message);
        }
        if session.replica {
            self.write(HubWrite::SawReplica { name: session.name.clone(), at: now });
        }
        self.replace_older(&session);
        let standing = match from {
            Start::Head => ClaimStatus::Current,
            Start::At(claim) => self.log.claim_status(claim, logged),
        };
        if let (true, Start::At(Claim::Held { epoch, .. }), ClaimStatus::NotOnLog(reason)) =
            (session.replica, from, standing)
        {
            let ours = self.log.head().epoch;
            // Nothing is greater than the last of all, which no broker began.
            if reason.proves_a_restore(epoch, ours) && !epoch.is_last() {
                self.begin_epoch(now, epoch.max(ours), random);
            }
        }
        let head = self.log.head();
        session.epoch = head.epoch;
        let resume = match standing {
            ClaimStatus::Current => Resume::Live,
            ClaimStatus::Behind { .. } => Resume::Replay,
            ClaimStatus::NotOnLog(_) => Resume::Reset,
        };
        // A follower that is reset has applied nothing until it acknowledges the reset.
        if resume == Resume::Live {
            session.acked = head.version;
        }
        session.reset = (resume == Resume::Reset).then_some(Reset::Opening);
        self.sessions.insert(id, session);
        self.send(id, frame::welcome(&head, resume));
        match standing {
            ClaimStatus::Current => self.go_live(id),
            ClaimStatus::Behind { after } => self.replay(id, after),
            ClaimStatus::NotOnLog(reason) => {
                self.send(id, frame::reset(&head, reason.text()));
                self.go_live(id);
            }
        }
        self.tell(Tell::Save(id));
    }

    /// Closes the older socket of a replica that connects anew: the replica has lost it, whether or not it
    /// has closed.
    fn replace_older(&mut self, newer: &Session) {
        if !newer.replica {
            return;
        }
        let same = |session: &Session| session.replica && session.name == newer.name;
        for id in self.ids(same) {
            self.close(id, close::REPLACED, "a newer connection of this replica took its place");
        }
    }

    fn replay(&mut self, id: SessionId, after: Version) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.acked = after;
        session.stage = Stage::Replaying { sent: after, fold: None };
        self.replay_on(id);
    }

    pub(super) fn part_sent(&mut self, now: UnixMillis, id: SessionId, part: PartSent, bytes: u32) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Stage::Replaying { sent, fold } = &mut session.stage else { return };
        let (to, held) = match part {
            PartSent::Fold { to, next: Some(next) } => {
                *fold = Some(next);
                (to, Some(*sent))
            }
            PartSent::Versions { to } | PartSent::Fold { to, next: None } => {
                (*sent, *fold) = (to, None);
                (to, None)
            }
        };
        session.window.push_back(Outstanding { to, held, bytes, at: now });
        self.replays.reading.remove(&id);
        self.replays.bytes += u64::from(bytes);
        self.acks.part_sent(now);
        self.replay_on(id);
        self.tell(Tell::Save(id));
    }

    /// Sends the next part if there is room and no other session waits for room, or goes live after the last
    /// part.
    pub(super) fn replay_on(&mut self, id: SessionId) {
        self.replay_next(id, self.replays.waiting.is_empty());
    }

    fn replay_next(&mut self, id: SessionId, in_turn: bool) {
        let (head, folded) = (self.log.head().version, self.log.folded().version);
        let Some(session) = self.sessions.get(&id) else { return };
        let Stage::Replaying { sent, fold } = &session.stage else { return };
        let (sent, fold, room) = (*sent, fold.clone(), session.has_room());
        self.uncertain.remove(&id);
        if fold.is_none() && sent >= head {
            return self.go_live(id);
        }
        if !room || self.replays.reading.contains(&id) {
            return;
        }
        if self.replays.is_spent() || !in_turn {
            if !self.replays.waiting.contains(&id) {
                self.replays.waiting.push_back(id);
            }
            return;
        }
        self.replays.reading.insert(id);
        let part = match fold {
            None if sent >= folded => ReplayPart::Versions { after: sent },
            None | Some(_) => ReplayPart::Fold { from: sent, cursor: fold.unwrap_or_default() },
        };
        self.tell(Tell::SendPart { session: id, part });
    }

    /// Lets waiting sessions go on in turn, once something was acknowledged or a session closed.
    pub(super) fn replay_waiting(&mut self) {
        while !self.replays.is_spent()
            && let Some(id) = self.replays.waiting.pop_front()
        {
            self.replay_next(id, true);
        }
    }

    fn go_live(&mut self, id: SessionId) {
        let head = self.log.head();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.stage = Stage::Live;
        session.sent_to = head.version;
        session.ack_requested = session.ack_requested.min(session.acked);
        let filtered = !session.topics.is_everything();
        self.send(id, frame::live(head.version));
        if filtered {
            self.send(id, frame::head(head.version, &head));
        }
    }

    pub(super) fn ack(&mut self, now: UnixMillis, id: SessionId, version: Version) {
        let head = self.log.head().version;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.reset {
            // Any other version is of the log before the reset.
            Some(Reset::InPlace) if version != Version::ZERO && session.unsolicited.take(now) => return,
            Some(Reset::InPlace) if version != Version::ZERO => return self.close_chatty(id),
            Some(Reset::InPlace) => {
                session.reset = None;
                if head > Version::ZERO {
                    // The follower was sent nothing of the versions since then.
                    self.replay(id, Version::ZERO);
                }
                return self.tell(Tell::Save(id));
            }
            Some(Reset::Opening) | None if version <= head => session.reset = None,
            Some(_) | None => {
                let message = "an ack of a version that does not exist";
                return self.close_bad_frame(id, message, message);
            }
        }
        let before = session.outstanding_bytes();
        let covered = session.acknowledge(version);
        let applied = match &session.stage {
            // A follower applies nothing of a fold before its last part.
            Stage::Replaying { sent, fold: Some(_) } => version.min(*sent),
            Stage::Replaying { fold: None, .. } | Stage::Live => version,
        };
        let told_something = covered || applied > session.acked;
        session.acked = session.acked.max(applied);
        self.replays.release(before.saturating_sub(session.outstanding_bytes()));
        if !told_something && !session.unsolicited.take(now) {
            return self.close_chatty(id);
        }
        // The next part is due also when the window was not full: then the object died before that part went
        // out.
        self.replay_on(id);
        self.tell(Tell::Save(id));
    }
}
