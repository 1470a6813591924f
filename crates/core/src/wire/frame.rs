//! The frames of the follow WebSocket, both ways.
//!
//! The broker writes `changes` frames around rows that are JSON already, so that the text is built once and
//! no row is parsed to be sent; the rest goes through serde.

use serde::{Deserialize, Serialize};

mod ack;
pub mod close;
mod read;
mod write;

pub use ack::{FollowerFrame, FollowerFrameError};
pub use write::{
    CHANGES_TAIL, ack, changes_head, changes_text, error, fold_head, fold_tail, fold_text, head, live, pong,
    reset, row_text, welcome,
};

use super::cause::{Cause, SourceEvent, Traceparent};
use super::change::Change;
use super::json;
use super::position::{Epoch, Hash, Position, UnixMillis, Version};

/// The subprotocol of the follow WebSocket.
pub const SUBPROTOCOL: &str = "newsreel.v1";
/// Says whether the subprotocols that a client offers include ours. A client that offers none means ours.
#[must_use]
pub fn is_spoken(offered: Option<&str>) -> bool {
    offered.is_none_or(|offered| offered.split(',').any(|one| one.trim() == SUBPROTOCOL))
}

/// The prefix of the subprotocol in which a browser offers its token, in base64url.
pub const BEARER_SUBPROTOCOL: &str = "newsreel.bearer.";
/// The text that a follower sends to learn the head without waking the broker.
pub const PING: &str = "ping";
/// The beginning of the answer to a ping; the head's position follows.
pub const PONG_PREFIX: &str = "pong ";
/// A `changes` frame of a replay ends with the first version past this many bytes, as does a page over HTTP.
pub const FRAME_BYTES: usize = 256 << 10;
/// A `changes` frame for live followers ends with the first version past this many bytes. Larger than the other, because each
/// frame is a call for each follower, and what is committed together is sent together.
pub const LIVE_BYTES: usize = 1 << 20;
/// A `fold` frame ends with the first version past this many bytes. Larger than the other, so that the window
/// of a replay holds the fold of tens of thousands of targets.
pub const FOLD_BYTES: usize = 1 << 20;
/// The longest frame that a follower may send, in bytes.
pub const MAX_FOLLOWER_FRAME_BYTES: usize = 4_096;

/// Why a socket is closed with 4400.
pub const EXPIRED: &str = "the token has expired";

/// One version of the log, as it stands in its row and on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RowFields")]
pub struct VersionRow {
    /// The version of the row.
    pub version: Version,
    /// When the broker committed it, by the broker's clock.
    pub at: UnixMillis,
    /// The changes, all of which happen at once.
    pub changes: Vec<Change>,
    /// The trace and the event that the publish is of.
    #[serde(flatten)]
    pub cause: Cause,
}

/// A row as it is read: serde's `flatten` would put every field aside first.
#[derive(Deserialize)]
struct RowFields {
    version: Version,
    at: UnixMillis,
    changes: Vec<Change>,
    traceparent: Option<Traceparent>,
    source: Option<SourceEvent>,
}

impl From<RowFields> for VersionRow {
    fn from(RowFields { version, at, changes, traceparent, source }: RowFields) -> Self {
        Self { version, at, changes, cause: Cause { traceparent, source } }
    }
}

impl VersionRow {
    /// Returns the row as the log writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        row_text(self.version, self.at, &json::to_ascii(&self.changes), &self.cause)
    }
}

/// How the broker resumes a follower, as the welcome tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// The follower holds the head.
    Live,
    /// The position is on the log; the versions after it follow.
    Replay,
    /// The position is not on the log; a reset follows.
    Reset,
}

/// A change in a fold, with the version it was made at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedChange {
    /// The version that made the change.
    pub version: Version,
    /// The change as that version had it.
    #[serde(flatten)]
    pub change: Change,
}

impl FoldedChange {
    /// Returns the text that is stored and sent: the change with its version in front; ASCII.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::to_ascii(self)
    }
}

/// A part of the changes that survive from `(from, to]` after compaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fold {
    /// The version before the fold, exclusive.
    pub from: Version,
    /// The version at which the fold ends, once the last part has come.
    pub to: Version,
    /// The hash at `to`.
    pub hash: Hash,
    /// The changes, ordered by version.
    pub changes: Vec<FoldedChange>,
    /// Whether another part follows.
    #[serde(default)]
    pub more: bool,
    /// The zero-based number of the part. Older brokers leave it out.
    pub part: Option<u32>,
}

/// A frame from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of a connection.
    Welcome {
        /// The epoch of the log.
        epoch: Epoch,
        /// The version of the head.
        head: Version,
        /// The hash at the head, from which a follower without a position starts.
        hash: Option<Hash>,
        /// The frames that come next.
        resume: Resume,
    },
    /// Every version in `(from, to]` that passes the follower's filter.
    Changes {
        /// The version before the first, exclusive.
        from: Version,
        /// The version at the end, inclusive.
        to: Version,
        /// The hash at `to`.
        hash: Hash,
        /// The rows, in order.
        versions: Vec<VersionRow>,
        /// Whether to acknowledge at once.
        ack: bool,
    },
    /// A part of the fold.
    Fold(Fold),
    /// Everything up to this version has been sent.
    Live {
        /// The version of the head.
        version: Version,
    },
    /// A bookmark: how far a follower with topics has got.
    Head {
        /// The version up to which the follower must have heard everything that passes its topics. Older
        /// brokers leave it out.
        from: Option<Version>,
        /// The version up to which nothing that passes the topics is missing.
        version: Version,
        /// The hash at `version`.
        hash: Hash,
    },
    /// Forget everything; continue from here.
    Reset {
        /// The position from which to continue.
        position: Position,
        /// The reason, for people.
        reason: String,
    },
    /// An error; a close follows.
    Error {
        /// The code of PROTOCOL.md.
        code: String,
        /// The text for people.
        message: String,
        /// The least time to wait before the next connection, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The answer to a ping: the position of the head.
    Pong(Position),
    /// A frame of a type that this build does not know, which is ignored.
    Unknown(String),
}

/// Why a text is not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The text is not JSON, or its fields are not of the right types.
    #[error("not a frame: {0}")]
    Json(#[from] serde_json::Error),
    /// The text begins as a pong does, and no position follows.
    #[error("a pong without a position")]
    Pong,
    /// The frame holds versions outside `(from, to]` or out of order.
    #[error("versions out of order")]
    Order,
}

#[cfg(test)]
mod tests;
