//! Writing frames. Rows and the changes of a fold are JSON already, so their frames are built around them as
//! text; the others go through serde.

use serde::Serialize;

use super::{PONG_PREFIX, Resume};
use crate::wire::cause::Cause;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

/// The frames that hold no rows, with their fields in the order in which they are written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum PlainFrame<'a> {
    Welcome {
        epoch: Epoch,
        head: Version,
        hash: Hash,
        resume: Resume,
    },
    Live {
        version: Version,
    },
    Head {
        from: Version,
        version: Version,
        hash: Hash,
    },
    Reset {
        epoch: Epoch,
        version: Version,
        hash: Hash,
        reason: &'a str,
    },
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Ack {
        version: Version,
    },
}

impl PlainFrame<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("wire types serialize")
    }
}

/// Writes the frame `welcome`.
#[must_use]
pub fn welcome(head: &Position, resume: Resume) -> String {
    let Position { epoch, version, hash } = *head;
    PlainFrame::Welcome { epoch, head: version, hash, resume }.text()
}

/// Writes the beginning of a `changes` frame. The rows follow, and then [`CHANGES_TAIL`].
#[must_use]
pub fn changes_head(from: Version, to: Version, hash: Hash, ack: bool) -> String {
    let ack = if ack { r#","ack":true"# } else { "" };
    format!(r#"{{"type":"changes","from":{from},"to":{to},"hash":"{hash}"{ack},"versions":["#)
}

/// The text that closes a `changes` frame.
pub const CHANGES_TAIL: &str = "]}";

/// Writes a `changes` frame around rows that are JSON already, separated by commas.
#[must_use]
pub fn changes_text(from: Version, to: &Position, ack: bool, rows: &str) -> String {
    changes_head(from, to.version, to.hash, ack) + rows + CHANGES_TAIL
}

/// Writes the beginning of a `fold` frame. The changes follow, and then [`fold_tail`]. `part` is zero-based.
#[must_use]
pub fn fold_head(from: Version, to: &Position, part: u32) -> String {
    let Position { version, hash, .. } = to;
    format!(r#"{{"type":"fold","from":{from},"to":{version},"hash":"{hash}","part":{part},"changes":["#)
}

/// Returns the text that closes a `fold` frame.
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
pub fn row_text(version: Version, at: UnixMillis, changes: &str, cause: &Cause) -> String {
    let mut row = format!(r#"{{"version":{version},"at":{},"changes":{changes}"#, at.0);
    cause.write_members(&mut row);
    row.push('}');
    row
}

/// Writes `live`: everything up to this version has been sent.
#[must_use]
pub fn live(version: Version) -> String {
    PlainFrame::Live { version }.text()
}

/// Writes a bookmark for a follower that was told of everything up to `from`.
#[must_use]
pub fn head(from: Version, at: &Position) -> String {
    PlainFrame::Head { from, version: at.version, hash: at.hash }.text()
}

/// Writes a reset to `at`.
#[must_use]
pub fn reset(at: &Position, reason: &str) -> String {
    let Position { epoch, version, hash } = *at;
    PlainFrame::Reset { epoch, version, hash, reason }.text()
}

/// Writes the frame `error`.
#[must_use]
pub fn error(code: &str, message: &str, retry_after_ms: Option<u64>) -> String {
    PlainFrame::Error { code, message, retry_after_ms }.text()
}

/// Writes the auto-response to a ping.
#[must_use]
pub fn pong(head: &Position) -> String {
    format!("{PONG_PREFIX}{head}")
}

/// Writes the frame `ack`.
#[must_use]
pub fn ack(version: Version) -> String {
    PlainFrame::Ack { version }.text()
}
