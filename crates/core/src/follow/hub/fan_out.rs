//! The fan-out: every version to everyone live, as one text per interest.

use std::collections::BTreeMap;

use super::{Hub, Session, SessionId, Stage, Tell};
use crate::follow::topics::{self, Topics};
use crate::log::Row;
use crate::wire::frame;
use crate::wire::position::{Position, UnixMillis, Version};

/// A filtered follower gets a bookmark at least once in this many versions.
pub const BOOKMARK_EVERY: u64 = 1_000;

impl Hub {
    /// Sends rows to everyone live: the text is built once per interest, not per follower.
    pub(super) fn fan_out(&mut self, now: UnixMillis, before: Position, rows: &[Row], wants_acks: bool) {
        self.settle_doubts();
        self.close_swamped(now);
        let live = |session: &Session| session.stage == Stage::Live && !session.awaits_reset();
        let everything: Vec<SessionId> = self.ids(|session| live(session) && session.topics.is_everything());
        let filtered: Vec<SessionId> = self.ids(|session| live(session) && !session.topics.is_everything());
        if !filtered.is_empty() {
            // If this dies half-way, no pong tells a filtered follower: the alarm, set before the sends, does.
            self.pace.look_again(now);
        }
        let overdue = self.question_awaiting(before.version.next());
        let mut from = before.version;
        let mut runs = runs(rows).peekable();
        while let Some(run) = runs.next() {
            let Some(last) = run.last() else { continue };
            let texts: Vec<&str> = run.iter().map(|row| row.text.as_str()).collect();
            let joined = texts.join(",");
            let bytes = joined.len() as u64;
            let ask = self.pace.asks(now, bytes) || overdue || (wants_acks && runs.peek().is_none());
            self.note_sent(now, last.position.version, bytes, ask);
            if !everything.is_empty() {
                let text = frame::changes_text(from, &last.position, ask, &joined);
                self.tell(Tell::Broadcast { sessions: everything.clone(), text });
            }
            self.fan_out_filtered(&filtered, &joined, &last.position, ask);
            from = last.position.version;
        }
    }

    /// Counts whoever has not said that it was reset as asked for the first version that it is not sent: if it never
    /// says so, its time runs out. Says whether there was anybody new.
    fn question_awaiting(&mut self, first: Version) -> bool {
        let awaiting = self.ids(|session| session.awaits_reset() && session.asked <= session.acked);
        for id in &awaiting {
            if let Some(session) = self.sessions.get_mut(id) {
                session.asked = first;
            }
            self.tell(Tell::Save(*id));
        }
        !awaiting.is_empty()
    }

    /// Sends what is left of rows to those who want only some; a frame begins where its followers were told to.
    fn fan_out_filtered(&mut self, filtered: &[SessionId], rows: &str, last: &Position, ask: bool) {
        let mut audiences: BTreeMap<Topics, BTreeMap<Version, Vec<SessionId>>> = BTreeMap::new();
        for id in filtered {
            if let Some(session) = self.sessions.get(id) {
                let audience = audiences.entry(session.topics.clone()).or_default();
                audience.entry(session.told).or_default().push(*id);
            }
        }
        if audiences.is_empty() {
            return;
        }
        let versions = topics::versions(rows).expect("rows are what the log writes");
        for (topics, audience) in audiences {
            let left = topics.left_of(&versions);
            for (told, sessions) in audience {
                let text = match (left.is_empty(), crosses_a_bookmark(told, last.version)) {
                    (true, false) => continue,
                    (true, true) => frame::head(told, last),
                    (false, _) => frame::changes_text(told, last, ask, &left),
                };
                self.tell(Tell::Broadcast { sessions: sessions.clone(), text });
                for id in sessions {
                    self.told(id, last.version, ask && !left.is_empty());
                }
            }
        }
    }

    /// Notes that a filtered follower was told of everything up to `version`. The first question that it has not
    /// answered stands, however many follow.
    fn told(&mut self, id: SessionId, version: Version, asked: bool) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.told = version;
            if asked && session.asked <= session.acked {
                session.asked = version;
            }
        }
        self.tell(Tell::Save(id));
    }

    /// Asks everyone live who has not acknowledged the head to do so: a frame that brings nothing but the question.
    pub(super) fn ask_everyone(&mut self) {
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

    /// Reads from the log, for every doubtful follower, what came after the last it was sent.
    pub(super) fn settle_doubts(&mut self) {
        for id in std::mem::take(&mut self.doubtful) {
            if let Some(session) = self.sessions.get_mut(&id) {
                if session.stage == Stage::Live {
                    let sent = session.told;
                    session.stage = Stage::Replaying { sent, fold: None };
                }
                self.replay_on(id);
            }
        }
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
