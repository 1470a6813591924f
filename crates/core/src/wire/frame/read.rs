//! Reading a frame of the broker, leniently: a newer broker may add fields and types.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Fold, Frame, FrameError, PONG_PREFIX, Resume, VersionRow};
use crate::wire::position::{Epoch, Hash, Position, Version};

/// The type of a frame. The other fields of a type that this build does not know may mean anything.
#[derive(Deserialize)]
struct FrameType<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WelcomeFields {
    epoch: Epoch,
    head: Version,
    hash: Option<Hash>,
    resume: Resume,
}

#[derive(Deserialize)]
struct ChangesFields {
    from: Version,
    to: Version,
    hash: Hash,
    versions: Vec<VersionRow>,
    #[serde(default)]
    ack: bool,
}

#[derive(Deserialize)]
struct LiveFields {
    version: Version,
}

#[derive(Deserialize)]
struct HeadFields {
    from: Option<Version>,
    version: Version,
    hash: Hash,
}

#[derive(Deserialize)]
struct ResetFields {
    epoch: Epoch,
    version: Version,
    hash: Hash,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ErrorFields {
    code: String,
    message: Option<String>,
    retry_after_ms: Option<u64>,
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
        let FrameType { kind } = serde_json::from_str(text)?;
        Ok(match kind.as_ref() {
            "welcome" => {
                let WelcomeFields { epoch, head, hash, resume } = serde_json::from_str(text)?;
                Self::Welcome { epoch, head, hash, resume }
            }
            "changes" => {
                let ChangesFields { from, to, hash, versions, ack } = serde_json::from_str(text)?;
                ordered(from, to, versions.iter().map(|row| row.version), |next, last| next > last)?;
                Self::Changes { from, to, hash, versions, ack }
            }
            "fold" => {
                let fold: Fold = serde_json::from_str(text)?;
                let versions = fold.changes.iter().map(|folded| folded.version);
                ordered(fold.from, fold.to, versions, |next, last| next >= last)?;
                Self::Fold(fold)
            }
            "live" => {
                let LiveFields { version } = serde_json::from_str(text)?;
                Self::Live { version }
            }
            "head" => {
                let HeadFields { from, version, hash } = serde_json::from_str(text)?;
                Self::Head { from, version, hash }
            }
            "reset" => {
                let ResetFields { epoch, version, hash, reason } = serde_json::from_str(text)?;
                Self::Reset {
                    position: Position { epoch, version, hash },
                    reason: reason.unwrap_or_default(),
                }
            }
            "error" => {
                let ErrorFields { code, message, retry_after_ms } = serde_json::from_str(text)?;
                Self::Error { code, message: message.unwrap_or_default(), retry_after_ms }
            }
            _ => Self::Unknown(kind.into_owned()),
        })
    }
}

/// Checks that versions lie in `(from, to]` and in order; `right` compares each with the one before.
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
