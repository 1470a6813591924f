//! The frames of a follower: its acks, and the pings that reach the broker.

use serde::Deserialize;

use super::PING;
use crate::wire::json::Object;
use crate::wire::position::Version;

/// A frame from a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerFrame {
    /// The follower has applied every version up to this one.
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
    /// The text is not JSON, or lacks a field that an ack must have.
    #[error("not a frame: {0}")]
    Json(#[from] serde_json::Error),
    /// The text is JSON of a type other than `ack`.
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
