//! New epochs: the log is emptied, and every follower starts again from version 0.

use super::{Hub, HubWrite, Session, SessionId, Tell};
use crate::log::Log;
use crate::wire::frame::{self, close};
use crate::wire::position::{Epoch, UnixMillis};

/// The reason that a `reset` gives when an epoch begins.
const REASON: &str = "a new epoch";

impl Hub {
    /// Begins an epoch newer than `than`: the log is empty, and every follower is reset.
    pub(super) fn begin_epoch(&mut self, now: UnixMillis, than: Epoch, random: [u8; 10]) {
        self.log = Log::empty(than.after(now, random));
        let head = self.log.head();
        self.write(HubWrite::BeginEpoch(head));
        self.tell(Tell::SetPong(head));
        self.replays = super::replay::Budget::default();
        self.acks.begin_epoch();
        self.uncertain.clear();
        self.close_unresettable(|session| !session.can_be_reset());
        for session in self.sessions.values_mut() {
            session.reset_in_place(head.epoch);
        }
        let everyone: Vec<SessionId> = self.sessions.keys().copied().collect();
        let filtered = self.ids(|session| !session.topics.is_everything());
        self.broadcast(&everyone, frame::reset(&head, REASON));
        self.broadcast(&everyone, frame::live(head.version));
        self.broadcast(&filtered, frame::head(head.version, &head));
        everyone.into_iter().for_each(|id| self.tell(Tell::Save(id)));
    }

    /// Closes sessions that cannot be reset in place. Their followers reconnect with the position they hold,
    /// and are reset.
    pub(super) fn close_unresettable(&mut self, must_reconnect: impl Fn(&Session) -> bool) {
        for id in self.ids(must_reconnect) {
            self.close(id, close::RESYNC, "another epoch began; resume from the position held");
        }
    }

    fn broadcast(&mut self, sessions: &[SessionId], text: String) {
        if !sessions.is_empty() {
            self.tell(Tell::Broadcast { sessions: sessions.to_vec(), text });
        }
    }
}
