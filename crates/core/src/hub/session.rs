//! One follower as the broker knows it: what its socket carries as an attachment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::REPLAY_WINDOW;
use super::bucket::Bucket;
use crate::topics::Topics;
use crate::wire::page::FoldCursor;
use crate::wire::position::{Epoch, UnixMillis, Version};

/// Frames that nobody asked for: 200 at once, 20 a second.
pub(super) type Patience = Bucket<200, 50>;

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
    /// The log it follows.
    pub epoch: Epoch,
    /// What it wants to hear.
    pub topics: Topics,
    /// The last version it said it applied.
    pub acked: Version,
    /// The last version it was told of. What a filter hid since then is covered by its next frame.
    pub told: Version,
    /// The last version it was asked to acknowledge.
    pub asked: Version,
    /// A reset that it has not acknowledged.
    pub reset: Option<Reset>,
    /// Where it is.
    pub stage: Stage,
    /// How much it may still say unasked.
    #[serde(skip)]
    pub(super) patience: Patience,
}

/// How a session was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// When it opened: all it says on this socket it says after that.
    Opening,
    /// When an epoch began, to its version 0: what it says until it acknowledges that is of the log before.
    InPlace,
}

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Getting what it missed, part by part, as it acknowledges them.
    Replaying {
        /// The last version sent in full: the position of the follower once it has applied the window.
        sent: Version,
        /// How far the fold after `sent` was sent, while one is on its way.
        fold: Option<FoldCursor>,
        /// What was sent and is not acknowledged, in order.
        window: VecDeque<Outstanding>,
    },
    /// Getting every version as it is made.
    Live,
}

/// A part of a replay that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// The version whose ack covers it.
    pub to: Version,
    /// Of a fold that goes on after this part: the version still held, which is what its ack names.
    pub held: Option<Version>,
    /// How many bytes it has.
    pub bytes: u32,
    /// When it was sent.
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
            epoch,
            topics,
            acked: Version::ZERO,
            told: Version::ZERO,
            asked: Version::ZERO,
            reset: None,
            stage: Stage::Live,
            patience: Patience::default(),
        }
    }

    /// Says whether nothing from before a version is left at the follower.
    pub(super) fn has_applied(&self, epoch: Epoch, version: Version) -> bool {
        self.reset.is_none() && (self.epoch > epoch || (self.epoch == epoch && self.acked >= version))
    }

    /// Says whether an ack of version 0 can only be the answer to a reset: it is live, and has acknowledged all
    /// that it was sent before it was.
    pub(super) fn can_be_reset(&self) -> bool {
        self.reset.is_none() && self.stage == Stage::Live && self.acked >= self.told
    }

    /// Puts it at the beginning of a new epoch.
    pub(super) fn strand(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        (self.acked, self.told, self.asked) = (Version::ZERO, Version::ZERO, Version::ZERO);
        self.reset = Some(Reset::InPlace);
    }

    /// Says whether a hub made anew, whose log ends at `head`, cannot know that the follower was sent all it
    /// should have been: what a filter hid looks like a fan-out that died half-way, and a replay with room in
    /// its window like a page that was never sent.
    pub(super) fn is_doubtful(&self, head: Version) -> bool {
        match &self.stage {
            Stage::Live => !self.topics.is_everything() && self.told != head,
            Stage::Replaying { window, .. } => window.len() < REPLAY_WINDOW,
        }
    }

    /// Returns how many bytes of a replay are not acknowledged.
    pub(super) fn outstanding_bytes(&self) -> u64 {
        match &self.stage {
            Stage::Live => 0,
            Stage::Replaying { window, .. } => window.iter().map(|part| u64::from(part.bytes)).sum(),
        }
    }

    /// Returns when the oldest part of a replay was sent that is not acknowledged.
    pub(super) fn waiting_since(&self) -> Option<UnixMillis> {
        match &self.stage {
            Stage::Live => None,
            Stage::Replaying { window, .. } => window.front().map(|part| part.at),
        }
    }
}

impl Outstanding {
    /// Takes what an ack of `version` covers off a window; says whether that was anything.
    pub(super) fn acknowledge(window: &mut VecDeque<Self>, version: Version) -> bool {
        let before = window.len();
        window.retain(|part| part.to > version);
        // An unfinished fold does not move the position, so each of its acks stands for one part.
        if window.len() == before {
            window.pop_front_if(|part| part.held == Some(version));
        }
        window.len() < before
    }
}
