//! Acks of live followers: when a frame asks for one, and which followers are too slow.
//!
//! Bytes of live frames are counted once, not per follower: every so often a frame asks for an ack, and a
//! checkpoint remembers when, and how much had been sent before. A follower's first checkpoint above its ack
//! tells how far the follower is behind, in time and in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hub, HubWrite, Session, SessionId, Stage};
use crate::wire::frame::close;
use crate::wire::position::{UnixMillis, Version};

/// How slow a follower may be before its socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a follower may take to send the ack that a live frame asked for.
    pub slow_after: Duration,
    /// How many bytes of live frames a follower may leave unacknowledged, once it has had 5 s to answer.
    pub slow_bytes: u64,
    /// How long the oldest part of a replay may be unacknowledged.
    pub stuck_after: Duration,
    /// How long a follower that has pinged before may send no ping.
    pub silent_after: Duration,
}

impl Limits {
    /// Returns how long to wait between two searches for silent sockets.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        self.silent_after / 10
    }

    /// A live frame asks for an ack when this long has passed since the last did.
    const ASK_EVERY: Duration = Duration::from_secs(10);
    /// A live frame also asks for an ack when this many bytes of live text have been sent since the last did, and that is
    /// [`Self::ASK_AGAIN`] ago or more than a follower may leave unacknowledged.
    const ASK_BYTES: u64 = 1 << 20;
    /// Every follower answers each question, and each answer is an event of the object.
    const ASK_AGAIN: Duration = Duration::from_secs(1);
    /// A follower is not slow before it had this long to answer: a burst of publishes is sent all at once.
    const MOMENT: Duration = Duration::from_secs(5);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Three times the longest that a follower takes unasked.
            slow_after: Duration::from_secs(30),
            // 4 MiB is 0.25 s of backlog at 200 changes a millisecond. Thirty followers at this limit fill an
            // isolate's 128 MB.
            slow_bytes: 4 << 20,
            stuck_after: Duration::from_secs(60),
            // 20 pings of our own followers; a browser lets a hidden page do something once a minute.
            silent_after: Duration::from_secs(300),
        }
    }
}

/// A frame that asked every live follower for an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRequest {
    /// The last version in the frame. An ack of this version or a later one answers the request.
    pub version: Version,
    /// When the frame was sent, by the broker's clock.
    pub at: UnixMillis,
}

#[derive(Debug, Clone, Copy)]
struct AckCheckpoint {
    request: AckRequest,
    /// How many bytes of live text had been sent before the frame, counted as in [`AckTracker::sent`].
    before: u64,
}

/// How much live followers were sent, and when they were asked for acks.
#[derive(Debug)]
pub(super) struct AckTracker {
    limits: Limits,
    /// Bytes of live text, since this hub was made.
    sent: u64,
    /// Oldest first. A checkpoint that every follower has passed is dropped.
    checkpoints: VecDeque<AckCheckpoint>,
    /// When the newest checkpoint was made, and how many bytes had been sent by then.
    last: Option<(UnixMillis, u64)>,
    /// No follower is too slow before this moment.
    due: Option<UnixMillis>,
}

impl AckTracker {
    pub(super) fn new(
        limits: Limits,
        last_request: Option<AckRequest>,
        sessions: &BTreeMap<SessionId, Session>,
    ) -> Self {
        let checkpoints =
            last_request.map(|request| AckCheckpoint { request, before: 0 }).into_iter().collect();
        let last = last_request.map(|request| (request.at, 0));
        let mut acks = Self { limits, sent: 0, checkpoints, last, due: None };
        acks.due = sessions.values().filter_map(|session| acks.deadline(session)).min();
        acks
    }

    pub(super) fn due(&self) -> Option<UnixMillis> {
        self.due
    }

    pub(super) fn begin_epoch(&mut self) {
        self.checkpoints.clear();
        self.last = None;
    }

    /// Says whether a frame of so many bytes is to ask for acks.
    pub(super) fn should_request_ack(&self, now: UnixMillis, bytes: u64) -> bool {
        self.last.is_none_or(|(at, sent)| {
            let (passed, unasked) = (now.since(at), self.sent + bytes - sent);
            let is_soon = passed < Limits::ASK_AGAIN && unasked <= self.limits.slow_bytes;
            passed >= Limits::ASK_EVERY || unasked >= Limits::ASK_BYTES && !is_soon
        })
    }

    /// Notes that a part of a replay went out.
    pub(super) fn part_sent(&mut self, now: UnixMillis) {
        self.wake_at(now.plus(self.limits.stuck_after));
    }

    /// Sees to it that the timer comes within the time an ack may take.
    pub(super) fn arm(&mut self, now: UnixMillis) {
        self.wake_at(now.plus(self.limits.slow_after));
    }

    fn wake_at(&mut self, due: UnixMillis) {
        self.due = Some(self.due.map_or(due, |sooner| sooner.min(due)));
    }

    /// Returns the oldest checkpoint that a live follower has not answered.
    fn unanswered(&self, session: &Session) -> Option<&AckCheckpoint> {
        let first_above = |version: Version| {
            self.checkpoints.partition_point(|checkpoint| checkpoint.request.version <= version)
        };
        if session.topics.is_everything() {
            // Such a follower was sent everything since it went live.
            return self.checkpoints.get(first_above(session.acked.max(session.sent_to)));
        }
        // The request itself. A hub made anew knows only the newest one, which is no older.
        let first_at = |version: Version| {
            self.checkpoints.partition_point(|checkpoint| checkpoint.request.version < version)
        };
        (session.ack_requested > session.acked)
            .then(|| self.checkpoints.get(first_at(session.ack_requested)))
            .flatten()
    }

    /// Returns when a follower that sends no further ack becomes too slow.
    fn deadline(&self, session: &Session) -> Option<UnixMillis> {
        let stuck = session.waiting_since().map(|at| at.plus(self.limits.stuck_after));
        let slow = match session.stage {
            Stage::Live => {
                self.unanswered(session).map(|checkpoint| checkpoint.request.at.plus(self.limits.slow_after))
            }
            Stage::Replaying { .. } => None,
        };
        stuck.into_iter().chain(slow).min()
    }

    /// Says whether a follower has more unacknowledged bytes than it may.
    fn exceeds_backlog(&self, now: UnixMillis, session: &Session) -> bool {
        session.stage == Stage::Live
            && self.unanswered(session).is_some_and(|checkpoint| {
                let had_time = now.since(checkpoint.request.at) >= Limits::MOMENT;
                had_time && self.sent - checkpoint.before > self.limits.slow_bytes
            })
    }
}

impl Hub {
    /// Notes that every live follower is being sent `bytes` up to `version`, and asked for an ack if `ask`.
    pub(super) fn record_sent(&mut self, now: UnixMillis, version: Version, bytes: u64, ask: bool) {
        let before = self.acks.sent;
        self.acks.sent += bytes;
        if !ask || self.sessions.is_empty() {
            return;
        }
        let request = AckRequest { version, at: now };
        self.acks.checkpoints.push_back(AckCheckpoint { request, before });
        self.acks.last = Some((now, self.acks.sent));
        self.acks.wake_at(now.plus(self.acks.limits.slow_after));
        self.write(HubWrite::NoteAckRequest(request));
    }

    /// Closes followers with too many unacknowledged bytes. They catch up by replay, and other followers are
    /// unaffected.
    pub(super) fn close_over_backlog(&mut self, now: UnixMillis) {
        for id in self.ids(|session| self.acks.exceeds_backlog(now, session)) {
            self.close(id, close::TOO_SLOW, "too much is unacknowledged; resume from the position held");
        }
    }

    /// Closes followers that have pinged before and have stopped: their sockets died without a close.
    pub(super) fn close_silent(&mut self, now: UnixMillis, pings: &BTreeMap<SessionId, UnixMillis>) {
        let silent_after = self.acks.limits.silent_after;
        for (id, _) in pings.iter().filter(|(_, at)| now.since(**at) >= silent_after) {
            if self.sessions.contains_key(id) {
                self.close(*id, close::TOO_SLOW, "no ping in time; resume from the position held");
            }
        }
    }

    /// Closes followers that are too slow, and finds out when the timer is due next.
    pub(super) fn timer(&mut self, now: UnixMillis) {
        let late = |session: &Session| self.acks.deadline(session).is_some_and(|due| due <= now);
        for id in self.ids(late) {
            self.close(id, close::TOO_SLOW, "no ack in time; resume from the position held");
        }
        // The followers left have answered every checkpoint before their oldest unanswered one.
        let oldest = self.sessions.values().filter_map(|session| self.acks.unanswered(session));
        let oldest = oldest.map(|checkpoint| checkpoint.request.version).min();
        self.acks
            .checkpoints
            .retain(|checkpoint| oldest.is_some_and(|oldest| checkpoint.request.version >= oldest));
        self.acks.due = self.sessions.values().filter_map(|session| self.acks.deadline(session)).min();
        self.resync_uncertain();
    }
}
