//! The frames of the follow WebSocket, both ways.
//!
//! The broker writes `changes` frames around rows that are JSON already, so that the text is built once and no
//! row is parsed to be sent; the rest goes through serde.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::change::{Change, Fields};
use super::json;
use super::json::Object;
use super::position::{Epoch, Hash, Position, UnixMillis, Version};

/// The subprotocol of the follow WebSocket.
pub const SUBPROTOCOL: &str = "newsreel.v1";
/// Says whether what a socket offers as subprotocols, if anything, includes ours. Who offers none means ours.
#[must_use]
pub fn is_spoken(offered: Option<&str>) -> bool {
    offered.is_none_or(|offered| offered.split(',').any(|one| one.trim() == SUBPROTOCOL))
}

/// The prefix of the subprotocol in which a browser offers its token, in base64url.
pub const BEARER_SUBPROTOCOL: &str = "newsreel.bearer.";
/// What a follower sends to learn the head without waking the broker.
pub const PING: &str = "ping";
/// What the answer begins with; the head's position follows.
pub const PONG_PREFIX: &str = "pong ";
/// A `changes` frame ends with the first version past this many bytes.
pub const FRAME_BYTES: usize = 256 << 10;
/// A `fold` frame ends with the first version past this many bytes. Larger than the other, so that the window
/// of a replay holds the fold of tens of thousands of targets.
pub const FOLD_BYTES: usize = 1 << 20;
/// The longest frame that a follower may send.
pub const MAX_FOLLOWER_FRAME_BYTES: usize = 4_096;

/// Why a socket is closed with 4400.
pub const EXPIRED: &str = "the token has expired";

/// Close codes. 4000 to 4499: reconnect. 4500 to 4999: do not.
pub mod close {
    /// The follower does not keep up.
    pub const TOO_SLOW: u16 = 4008;
    /// The follower says more than it was asked for.
    pub const TOO_CHATTY: u16 = 4009;
    /// A gap or a lie: resume from the position held.
    pub const RESYNC: u16 = 4010;
    /// Too many connect at once; come back later.
    pub const GOING_AWAY: u16 = 4001;
    /// The token has expired: connect again with another.
    pub const EXPIRED: u16 = 4400;
    /// A frame that cannot be read.
    pub const BAD_FRAME: u16 = 4500;
    /// The token does not allow this.
    pub const UNAUTHORIZED: u16 = 4501;
    /// A newer connection of the same replica took its place.
    pub const REPLACED: u16 = 4502;

    /// Says whether a follower may connect again after this code.
    #[must_use]
    pub fn may_reconnect(code: u16) -> bool {
        !(4500..=4999).contains(&code)
    }
}

/// One version of the log, as it stands in its row and on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Its version.
    pub version: Version,
    /// When the broker committed it, by the broker's clock.
    pub at: UnixMillis,
    /// What changed, all at once.
    pub changes: Vec<Change>,
}

impl VersionRow {
    /// Returns the row as the log writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        row_text(self.version, self.at, &json::to_ascii(&self.changes))
    }
}

/// How a follower's position relates to the log, as the welcome tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// It is the head.
    Live,
    /// It is on the log; what came after follows.
    Replay,
    /// It is not on the log.
    Reset,
}

/// A change in a fold, with the version it was made at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedChange {
    /// When it was made.
    pub version: Version,
    /// What.
    pub change: Change,
}

impl FoldedChange {
    /// Returns it as it is stored and sent: the change with its version in front; ASCII.
    #[must_use]
    pub fn to_json(&self) -> String {
        let change = json::to_ascii(&self.change);
        format!(r#"{{"version":{},{}"#, self.version, change.strip_prefix('{').unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for FoldedChange {
    // By hand: serde's flatten costs 10 KB of wasm.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let version = fields.version.take().ok_or_else(|| serde::de::Error::missing_field("version"))?;
        Ok(Self { version, change: fields.try_into().map_err(serde::de::Error::custom)? })
    }
}

/// A part of what is left of `(from, to]` after folding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// After this version.
    pub from: Version,
    /// Up to this one, once the last part has come.
    pub to: Version,
    /// The hash at `to`.
    pub hash: Hash,
    /// Ordered by version.
    pub changes: Vec<FoldedChange>,
    /// Whether another part follows.
    pub more: bool,
    /// Which part it is, from 0. Absent from a broker that does not say.
    pub part: Option<u32>,
}

/// A frame from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first frame.
    Welcome {
        /// The log.
        epoch: Epoch,
        /// Its head.
        head: Version,
        /// The hash at the head; what a follower without a position starts from.
        hash: Option<Hash>,
        /// What comes next.
        resume: Resume,
    },
    /// Every version in `(from, to]` that passes the follower's filter.
    Changes {
        /// After this version.
        from: Version,
        /// Up to this one.
        to: Version,
        /// The hash at `to`.
        hash: Hash,
        /// In order.
        versions: Vec<VersionRow>,
        /// Whether to acknowledge at once.
        ack: bool,
    },
    /// A part of the folded past.
    Fold(Fold),
    /// Everything up to this version has been sent.
    Live {
        /// The head.
        version: Version,
    },
    /// How far a filtered follower has got.
    Head {
        /// For who has heard everything up to here that matches its filter. Absent from a broker that does not say.
        from: Option<Version>,
        /// Nothing that matches its filter up to here is missing.
        version: Version,
        /// The hash there.
        hash: Hash,
    },
    /// Forget everything; continue from here.
    Reset {
        /// Where.
        position: Position,
        /// Why, for people.
        reason: String,
    },
    /// What went wrong; a close follows.
    Error {
        /// A stable code.
        code: String,
        /// For people.
        message: String,
        /// How long to stay away.
        retry_after_ms: Option<u64>,
    },
    /// The answer to a ping: the position of the head.
    Pong(Position),
    /// A type this build does not know: ignored.
    Unknown(String),
}

/// Why a text is not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not JSON of the right types.
    #[error("not a frame: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that this type must have is absent.
    #[error("a {kind} frame without {field}")]
    Missing {
        /// The frame's type.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A pong without a position.
    #[error("a pong without a position")]
    Pong,
    /// Versions outside `(from, to]` or out of order.
    #[error("versions out of order")]
    Order,
}

/// All fields of all frames. One flat struct costs less wasm than serde's tagged enums.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Flat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    epoch: Option<Epoch>,
    head: Option<Version>,
    hash: Option<Hash>,
    resume: Option<Resume>,
    from: Option<Version>,
    to: Option<Version>,
    version: Option<Version>,
    versions: Option<Vec<VersionRow>>,
    changes: Option<Vec<FoldedChange>>,
    more: bool,
    part: Option<u32>,
    ack: bool,
    reason: Option<String>,
    code: Option<String>,
    message: Option<String>,
    retry_after_ms: Option<u64>,
}

/// Of any JSON object with a type.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

macro_rules! need {
    ($flat:ident . $field:ident, $kind:literal) => {
        $flat.$field.ok_or(FrameError::Missing { kind: $kind, field: stringify!($field) })?
    };
}

impl Frame {
    /// Reads a text from the broker.
    ///
    /// # Errors
    /// [`FrameError`] when it is not a frame; an unknown *type* is [`Frame::Unknown`].
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        if let Some(position) = text.strip_prefix(PONG_PREFIX) {
            return position.parse().map(Self::Pong).map_err(|_| FrameError::Pong);
        }
        let flat: Flat<'_> = match serde_json::from_str(text) {
            Ok(flat) => flat,
            Err(error) => return unknown(text).ok_or(FrameError::Json(error)),
        };
        Ok(match flat.kind.as_ref() {
            "welcome" => Self::Welcome {
                epoch: need!(flat.epoch, "welcome"),
                head: need!(flat.head, "welcome"),
                hash: flat.hash,
                resume: need!(flat.resume, "welcome"),
            },
            "changes" => changes(flat)?,
            "fold" => fold(flat)?,
            "live" => Self::Live { version: need!(flat.version, "live") },
            "head" => Self::Head {
                from: flat.from,
                version: need!(flat.version, "head"),
                hash: need!(flat.hash, "head"),
            },
            "reset" => Self::Reset {
                position: Position {
                    epoch: need!(flat.epoch, "reset"),
                    version: need!(flat.version, "reset"),
                    hash: need!(flat.hash, "reset"),
                },
                reason: flat.reason.unwrap_or_default(),
            },
            "error" => Self::Error {
                code: need!(flat.code, "error"),
                message: flat.message.unwrap_or_default(),
                retry_after_ms: flat.retry_after_ms,
            },
            _ => Self::Unknown(flat.kind.into_owned()),
        })
    }
}

/// Returns the frame if it is of a type this build does not know: its fields may mean anything.
fn unknown(text: &str) -> Option<Frame> {
    const KNOWN: [&str; 7] = ["welcome", "changes", "fold", "live", "head", "reset", "error"];
    let Kind { kind } = serde_json::from_str(text).ok()?;
    (!KNOWN.contains(&kind.as_ref())).then(|| Frame::Unknown(kind.into_owned()))
}

fn changes(flat: Flat<'_>) -> Result<Frame, FrameError> {
    let (from, to) = (need!(flat.from, "changes"), need!(flat.to, "changes"));
    let versions = need!(flat.versions, "changes");
    ordered(from, to, versions.iter().map(|row| row.version), |next, last| next > last)?;
    Ok(Frame::Changes { from, to, hash: need!(flat.hash, "changes"), versions, ack: flat.ack })
}

fn fold(flat: Flat<'_>) -> Result<Frame, FrameError> {
    let (from, to) = (need!(flat.from, "fold"), need!(flat.to, "fold"));
    let changes = need!(flat.changes, "fold");
    ordered(from, to, changes.iter().map(|folded| folded.version), |next, last| next >= last)?;
    let hash = need!(flat.hash, "fold");
    Ok(Frame::Fold(Fold { from, to, hash, changes, more: flat.more, part: flat.part }))
}

fn ordered(
    from: Version,
    to: Version,
    versions: impl Iterator<Item = Version>,
    right: impl Fn(Version, Version) -> bool,
) -> Result<(), FrameError> {
    let mut last = Version::ZERO;
    for version in versions {
        if version <= from || version > to || !right(version, last) {
            return Err(FrameError::Order);
        }
        last = version;
    }
    if from <= to { Ok(()) } else { Err(FrameError::Order) }
}

/// Writes the welcome.
#[must_use]
pub fn welcome(head: &Position, resume: Resume) -> String {
    let resume = match resume {
        Resume::Live => "live",
        Resume::Replay => "replay",
        Resume::Reset => "reset",
    };
    let Position { epoch, version, hash } = head;
    format!(r#"{{"type":"welcome","epoch":"{epoch}","head":{version},"hash":"{hash}","resume":"{resume}"}}"#)
}

/// Writes what stands before the rows of a `changes` frame; [`CHANGES_TAIL`] follows them.
#[must_use]
pub fn changes_head(from: Version, to: Version, hash: Hash, ack: bool) -> String {
    let ack = if ack { r#","ack":true"# } else { "" };
    format!(r#"{{"type":"changes","from":{from},"to":{to},"hash":"{hash}"{ack},"versions":["#)
}

/// What closes a `changes` frame.
pub const CHANGES_TAIL: &str = "]}";

/// Writes a `changes` frame around rows that are JSON already, separated by commas.
#[must_use]
pub fn changes_text(from: Version, to: &Position, ack: bool, rows: &str) -> String {
    changes_head(from, to.version, to.hash, ack) + rows + CHANGES_TAIL
}

/// Writes what stands before the changes of a `fold` frame, the so manieth part from 0; [`fold_tail`] follows them.
#[must_use]
pub fn fold_head(from: Version, to: &Position, part: u32) -> String {
    let Position { version, hash, .. } = to;
    format!(r#"{{"type":"fold","from":{from},"to":{version},"hash":"{hash}","part":{part},"changes":["#)
}

/// Returns what closes a `fold` frame.
#[must_use]
pub fn fold_tail(more: bool) -> &'static str {
    if more { r#"],"more":true}"# } else { "]}" }
}

/// Writes a `fold` frame around changes that are JSON already, separated by commas.
#[must_use]
pub fn fold_text(from: Version, to: &Position, part: u32, changes: &str, more: bool) -> String {
    fold_head(from, to, part) + changes + fold_tail(more)
}

/// Writes the row of a version: the bytes that are stored, hashed and sent. `changes` is an ASCII JSON array.
#[must_use]
pub fn row_text(version: Version, at: UnixMillis, changes: &str) -> String {
    format!(r#"{{"version":{version},"at":{},"changes":{changes}}}"#, at.0)
}

/// Writes `live`.
#[must_use]
pub fn live(version: Version) -> String {
    format!(r#"{{"type":"live","version":{version}}}"#)
}

/// Writes a bookmark, for who was told of everything up to `from`.
#[must_use]
pub fn head(from: Version, at: &Position) -> String {
    format!(r#"{{"type":"head","from":{from},"version":{},"hash":"{}"}}"#, at.version, at.hash)
}

/// Writes a reset to `at`.
#[must_use]
pub fn reset(at: &Position, reason: &str) -> String {
    let reason = serde_json::Value::from(reason);
    let Position { epoch, version, hash } = at;
    format!(r#"{{"type":"reset","epoch":"{epoch}","version":{version},"hash":"{hash}","reason":{reason}}}"#)
}

/// Writes an error.
#[must_use]
pub fn error(code: &str, message: &str, retry_after_ms: Option<u64>) -> String {
    let (code, message) = (serde_json::Value::from(code), serde_json::Value::from(message));
    let retry = retry_after_ms.map_or(String::new(), |ms| format!(r#","retry_after_ms":{ms}"#));
    format!(r#"{{"type":"error","code":{code},"message":{message}{retry}}}"#)
}

/// Writes the auto-response to a ping.
#[must_use]
pub fn pong(head: &Position) -> String {
    format!("{PONG_PREFIX}{head}")
}

/// A frame from a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerFrame {
    /// Everything up to here is applied.
    Ack {
        /// The last version applied.
        version: Version,
    },
    /// A ping that the auto-response did not answer.
    Ping,
}

/// Why a follower's text is refused.
#[derive(Debug, thiserror::Error)]
pub enum FollowerFrameError {
    /// Not JSON, or without what an ack must have.
    #[error("not a frame: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither `ping` nor an ack.
    #[error("a follower sends \"ping\" or {{\"type\":\"ack\",\"version\":…}}, not type {0:?}")]
    Type(String),
}

impl FollowerFrame {
    /// Reads a text from a follower.
    ///
    /// # Errors
    /// [`FollowerFrameError`] when it is neither a ping nor an ack.
    pub fn parse(text: &str) -> Result<Self, FollowerFrameError> {
        #[derive(Deserialize)]
        struct Ack {
            #[serde(rename = "type")]
            kind: String,
            version: Option<Version>,
        }
        if text == PING {
            return Ok(Self::Ping);
        }
        let Object(frame): Object<Ack> = serde_json::from_str(text)?;
        match (frame.kind.as_str(), frame.version) {
            ("ack", Some(version)) => Ok(Self::Ack { version }),
            ("ack", None) => {
                Err(FollowerFrameError::Json(serde::de::Error::custom("an ack without a version")))
            }
            (_, _) => Err(FollowerFrameError::Type(frame.kind)),
        }
    }
}

/// Writes an ack.
#[must_use]
pub fn ack(version: Version) -> String {
    format!(r#"{{"type":"ack","version":{version}}}"#)
}

#[cfg(test)]
mod tests;
