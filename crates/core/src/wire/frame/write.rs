//! Writing frames. Rows and folded changes are JSON already, so their frames are built around them as text.

use super::{PONG_PREFIX, Resume};
use crate::wire::position::{Hash, Position, UnixMillis, Version};

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

/// Writes an ack.
#[must_use]
pub fn ack(version: Version) -> String {
    format!(r#"{{"type":"ack","version":{version}}}"#)
}
