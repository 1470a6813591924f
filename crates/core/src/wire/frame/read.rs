//! Reading a frame of the broker, leniently: a newer broker may add fields and types.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Fold, FoldedChange, Frame, FrameError, PONG_PREFIX, Resume, VersionRow};
use crate::wire::position::{Epoch, Hash, Position, Version};

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
