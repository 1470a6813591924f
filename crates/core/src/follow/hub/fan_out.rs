//! The fan-out: every version goes to every live follower, as one text per set of topics.

use std::collections::BTreeMap;

use super::{Hub, Session, SessionId, Stage, Tell};
use crate::follow::topics::{self, Topics};
use crate::log::Row;
use crate::wire::frame;
use crate::wire::position::{Position, UnixMillis, Version};

/// A filtered follower gets a bookmark at least once in this many versions.
pub const BOOKMARK_EVERY: u64 = 1_000;

impl Hub {
    /// Sends rows to every live follower. The text is built once per set of topics, not per follower.
    pub(super) fn fan_out(&mut self, now: UnixMillis, before: Position, rows: &[Row], wants_acks: bool) {
        self.resync_uncertain();
        self.close_over_backlog(now);
        let live = |session: &Session| session.stage == Stage::Live && !session.awaits_reset();
        let everything: Vec<SessionId> = self.ids(|session| live(session) && session.topics.is_everything());
        let filtered: Vec<SessionId> = self.ids(|session| live(session) && !session.topics.is_everything());
        if !filtered.is_empty() {
            // If the fan-out dies half-way, no pong tells a filtered follower so. The alarm, set before the
            // sends, does.
            self.acks.arm(now);
        }
        let overdue = self.request_acks_of_resets(before.version.next());
        let mut from = before.version;
        let mut runs = runs(rows).peekable();
        while let Some(run) = runs.next() {
            let Some(last) = run.last() else { continue };
            let texts: Vec<&str> = run.iter().map(|row| row.text.as_str()).collect();
            let joined = texts.join(",");
            let bytes = joined.len() as u64;
            let ask =
                self.acks.should_request_ack(now, bytes) || overdue || (wants_acks && runs.peek().is_none());
            self.record_sent(now, last.position.version, bytes, ask);
            if !everything.is_empty() {
                let text = frame::changes_text(from, &last.position, ask, &joined);
                self.tell(Tell::Broadcast { sessions: everything.clone(), text });
            }
            self.fan_out_filtered(&filtered, &joined, &last.position, ask);
            from = last.position.version;
        }
    }

    /// Starts the ack timeout of sessions that have not acknowledged an in-place reset, at the first version
    /// that is withheld from them. Says whether there was a new one.
    fn request_acks_of_resets(&mut self, first: Version) -> bool {
        let awaiting = self.ids(|session| session.awaits_reset() && session.ack_requested <= session.acked);
        for id in &awaiting {
            if let Some(session) = self.sessions.get_mut(id) {
                session.ack_requested = first;
            }
            self.tell(Tell::Save(*id));
        }
        !awaiting.is_empty()
    }

    /// Sends filtered followers the changes that pass their topics. Each frame begins where the last one
    /// ended.
    fn fan_out_filtered(&mut self, filtered: &[SessionId], rows: &str, last: &Position, ask: bool) {
        let mut audiences: BTreeMap<Topics, BTreeMap<Version, Vec<SessionId>>> = BTreeMap::new();
        for id in filtered {
            if let Some(session) = self.sessions.get(id) {
                let audience = audiences.entry(session.topics.clone()).or_default();
                audience.entry(session.sent_to).or_default().push(*id);
            }
        }
        if audiences.is_empty() {
            return;
        }
        let versions = topics::versions(rows).expect("rows are what the log writes");
        for (topics, audience) in audiences {
            let left = topics.passing_rows(&versions);
            for (sent_to, sessions) in audience {
                let text = match (left.is_empty(), crosses_a_bookmark(sent_to, last.version)) {
                    (true, false) => continue,
                    (true, true) => frame::head(sent_to, last),
                    (false, _) => frame::changes_text(sent_to, last, ask, &left),
                };
                self.tell(Tell::Broadcast { sessions: sessions.clone(), text });
                for id in sessions {
                    self.sent_to(id, last.version, ask && !left.is_empty());
                }
            }
        }
    }

    /// Notes that a filtered follower was sent everything up to `version`. The first request that it has not
    /// answered stands, however many follow.
    fn sent_to(&mut self, id: SessionId, version: Version, ack_requested: bool) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.sent_to = version;
            if ack_requested && session.ack_requested <= session.acked {
                session.ack_requested = version;
            }
        }
        self.tell(Tell::Save(id));
    }

    /// Asks every live follower that has not acknowledged the head for an ack, with a frame that brings
    /// nothing else.
    pub(super) fn request_acks(&mut self) {
        let head = self.log.head();
        let late = |session: &Session| {
            session.stage == Stage::Live
                && session.acked < head.version
                && session.topics.is_everything()
                && !session.awaits_reset()
        };
        let sessions = self.ids(late);
        if !sessions.is_empty() {
            let text = frame::changes_text(head.version, &head, true, "");
            self.tell(Tell::Broadcast { sessions, text });
        }
    }

    /// Replays to every uncertain follower the versions after the last one that it was sent.
    pub(super) fn resync_uncertain(&mut self) {
        for id in std::mem::take(&mut self.uncertain) {
            if let Some(session) = self.sessions.get_mut(&id) {
                if session.stage == Stage::Live {
                    let sent = session.sent_to;
                    session.stage = Stage::Replaying { sent, fold: None };
                }
                self.replay_on(id);
            }
        }
    }
}

/// Cuts rows into frames: each ends with the first version past 1 MiB.
fn runs(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut bytes = 0;
    rows.split_inclusive(move |row| {
        bytes += row.text.len();
        let full = bytes > frame::LIVE_BYTES;
        if full {
            bytes = 0;
        }
        full
    })
}

fn crosses_a_bookmark(from: Version, to: Version) -> bool {
    from.number() / BOOKMARK_EVERY != to.number() / BOOKMARK_EVERY
}
