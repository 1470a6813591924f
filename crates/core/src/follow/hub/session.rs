//! One follower as the broker knows it: the attachment of its socket.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::REPLAY_WINDOW;
use super::token_bucket::TokenBucket;
use crate::follow::topics::Topics;
use crate::wire::cursor::FoldCursor;
use crate::wire::json;
use crate::wire::position::{Epoch, UnixMillis, Version};

/// Unsolicited frames that a follower may send: 200 at once, 20 a second.
pub(super) type UnsolicitedFrames = TokenBucket<200, 50>;

/// One socket, for as long as it is open; also across hibernation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

/// The broker's knowledge of one follower, which its socket carries as an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The name that the follower gave itself; may be empty.
    pub name: String,
    /// Whether the follower connected as a replica.
    pub replica: bool,
    /// When the socket opened, by the broker's clock.
    pub since: UnixMillis,
    /// When the follower's token ends; `None` for a token without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// The epoch of the log that the follower is on.
    pub epoch: Epoch,
    /// The keys that the follower wants to hear of.
    pub topics: Topics,
    /// The last version that the follower acknowledged.
    pub acked: Version,
    /// The last version that the follower was sent. Its next frame also covers the versions that a filter hid
    /// since then.
    #[serde(rename = "told")]
    pub sent_to: Version,
    /// The first version that the follower was asked to acknowledge and has not; else the last one.
    #[serde(rename = "asked")]
    pub ack_requested: Version,
    /// A reset that the follower has not acknowledged.
    pub reset: Option<Reset>,
    /// Whether the follower is catching up or live.
    pub stage: Stage,
    /// The unacknowledged parts of a replay, in order; also of a replay that has ended.
    pub window: VecDeque<Outstanding>,
    /// How many unsolicited frames the follower may still send.
    #[serde(skip)]
    pub(super) unsolicited: UnsolicitedFrames,
}

/// How a session was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// When the socket opened: every frame on this socket comes after the reset.
    Opening,
    /// When an epoch began, to its version 0: a frame before the ack of that version is of the log before.
    InPlace,
}

/// Whether a follower is catching up or live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Catching up: the follower gets the versions that it missed, part by part.
    Replaying {
        /// The last version sent in full: the position of the follower once it has applied the window.
        sent: Version,
        /// How far the fold after `sent` was sent, while one is on its way.
        fold: Option<FoldCursor>,
    },
    /// Live: the follower gets every version as it is made.
    Live,
}

/// A part of a replay that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// The version whose ack covers the part.
    pub to: Version,
    /// Set for a part of a fold with more parts to come: the version that the follower still holds and
    /// acknowledges.
    pub held: Option<Version>,
    /// The size of the part in bytes, as it was sent.
    pub bytes: u32,
    /// When the part was sent, by the broker's clock.
    pub at: UnixMillis,
}

impl Session {
    /// Returns a session that has applied nothing and is live from version 0.
    #[must_use]
    pub(super) fn new(name: String, replica: bool, since: UnixMillis, epoch: Epoch, topics: Topics) -> Self {
        Self {
            name,
            replica,
            since,
            until: None,
            epoch,
            topics,
            acked: Version::ZERO,
            sent_to: Version::ZERO,
            ack_requested: Version::ZERO,
            reset: None,
            stage: Stage::Live,
            window: VecDeque::new(),
            unsolicited: UnsolicitedFrames::default(),
        }
    }

    /// Returns the session as JSON in ASCII: JavaScript keeps ASCII text at a byte a character, so the
    /// longest name and topics fit in an attachment (16 KiB).
    #[must_use]
    pub fn to_json(&self) -> String {
        json::to_ascii(self)
    }

    /// Says whether the follower has nothing from before a version any more.
    pub(super) fn has_applied(&self, epoch: Epoch, version: Version) -> bool {
        self.reset.is_none() && (self.epoch > epoch || (self.epoch == epoch && self.acked >= version))
    }

    /// Says whether the follower was reset in place and has not acknowledged that. Until then it is sent
    /// nothing of the new epoch, for frames do not name their epoch.
    pub(super) fn awaits_reset(&self) -> bool {
        self.reset == Some(Reset::InPlace)
    }

    /// Says whether an ack of version 0 could only answer a reset: the follower is live, and has acknowledged
    /// every version sent to it.
    pub(super) fn can_be_reset(&self) -> bool {
        self.reset.is_none() && self.stage == Stage::Live && self.acked >= self.sent_to
    }

    /// Puts the follower at the beginning of a new epoch.
    pub(super) fn reset_in_place(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        (self.acked, self.sent_to, self.ack_requested) = (Version::ZERO, Version::ZERO, Version::ZERO);
        self.reset = Some(Reset::InPlace);
        self.window.clear();
    }

    /// Says whether a rebuilt hub, with a log that ends at `head`, cannot know that the follower was sent
    /// everything. A version that a filter hid looks like a fan-out that died half-way, and a replay with
    /// room in its window looks like a page that was never sent.
    pub(super) fn is_uncertain(&self, head: Version) -> bool {
        match &self.stage {
            Stage::Live => !self.topics.is_everything() && self.sent_to != head && !self.awaits_reset(),
            Stage::Replaying { .. } => self.has_room(),
        }
    }

    /// Says whether another part of a replay may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.window.len() < REPLAY_WINDOW
    }

    /// Rolls the session back after a failed write. Frames with rows that were not written never left the
    /// broker, and neither did a part that ends with such a row, so only the acknowledged versions are sure.
    /// Says whether anything was rolled back.
    pub(super) fn roll_back_to(&mut self, head: Version) -> bool {
        let sure = self.acked.min(head);
        let lost_part = self.window.back().is_some_and(|part| part.to > head);
        let lost = match &mut self.stage {
            Stage::Live => self.sent_to > head || lost_part,
            Stage::Replaying { sent, fold } => {
                let lost = *sent > head || lost_part;
                if lost {
                    (*sent, *fold) = (sure, None);
                }
                lost
            }
        };
        if lost {
            self.sent_to = sure;
            self.window.clear();
        }
        self.ack_requested = self.ack_requested.min(head);
        lost
    }

    /// Removes from the window the parts that an ack of `version` covers; says whether there were any.
    pub(super) fn acknowledge(&mut self, version: Version) -> bool {
        let before = self.window.len();
        self.window.retain(|part| part.to > version);
        // An unfinished fold does not move the position, so each of its acks stands for one part.
        if self.window.len() == before {
            self.window.pop_front_if(|part| part.held.is_some_and(|held| held <= version));
        }
        self.window.len() < before
    }

    /// Returns how many bytes of a replay are not acknowledged.
    pub(super) fn outstanding_bytes(&self) -> u64 {
        self.window.iter().map(|part| u64::from(part.bytes)).sum()
    }

    /// Returns when the oldest part of a replay was sent that is not acknowledged.
    pub(super) fn waiting_since(&self) -> Option<UnixMillis> {
        self.window.front().map(|part| part.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_longest_name_and_topics_fit_an_attachment() {
        let part = Outstanding {
            to: Version::MAX,
            held: Some(Version::MAX),
            bytes: u32::MAX,
            at: UnixMillis(1 << 50),
        };
        for text in ["\"", "é", "映", "😀"] {
            let long = |bytes: usize| text.repeat(bytes / text.len());
            let (epoch, sort_key) =
                (Epoch::new(UnixMillis(0), [0; 10]), Some(long(crate::wire::name::MAX_KEY_BYTES)));
            let topics = Topics::new(vec![long(crate::wire::query::MAX_TOPICS_BYTES)]);
            let name = long(crate::wire::query::MAX_FOLLOWER_NAME_BYTES);
            let mut session = Session::new(name, true, UnixMillis(1 << 50), epoch, topics);
            let fold = Some(FoldCursor { version: Version::MAX, sort_key, part: u32::MAX });
            session.until = Some(UnixMillis(1 << 50));
            session.stage = Stage::Replaying { sent: Version::MAX, fold };
            session.window = [part; REPLAY_WINDOW].into();
            let json = session.to_json();
            assert!(json.is_ascii() && json.len() < 16 << 10, "{text}: {}", json.len());
            assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
        }
    }

    /// The attachments that the first release wrote, one a line. Sockets carry attachments through a
    /// deployment.
    const V1: &str = include_str!("../../../tests/attachments/v1.jsonl");

    #[test]
    fn what_the_first_release_attached_is_read_and_written_as_it_was() {
        let sessions: Vec<Session> = V1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (session, line) in sessions.iter().zip(V1.lines()) {
            assert_eq!(session.to_json(), line);
        }
        let at = |version| Version::new(version).unwrap();
        let stages: Vec<_> =
            sessions.iter().map(|one| (&one.stage, one.reset, one.acked, one.sent_to)).collect();
        let replaying = |sent, fold| Stage::Replaying { sent: at(sent), fold };
        let fold = Some(FoldCursor { version: at(3), sort_key: Some("ktitle:2h".into()), part: 0 });
        assert_eq!(
            stages,
            [
                (&Stage::Live, None, at(0), at(0)),
                (&Stage::Live, Some(Reset::InPlace), at(7), at(9)),
                (&replaying(8, None), Some(Reset::Opening), at(3), at(3)),
                (&replaying(0, fold), None, at(0), at(0)),
            ]
        );
        assert_eq!(sessions.iter().map(Session::outstanding_bytes).collect::<Vec<_>>(), [0, 0, 496, 1 << 20]);
    }

    #[test]
    fn what_a_newer_release_attached_is_read_but_for_what_is_new() {
        for line in V1.lines() {
            let newer = line.replacen("{\"name\"", "{\"later\":[{}],\"name\"", 1);
            assert_eq!(serde_json::from_str::<Session>(&newer).unwrap().to_json(), line);
        }
    }
}
