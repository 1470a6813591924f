//! Positions as clients claim them: where a follower wants to start, and which version it claims to hold.

use super::position::{Epoch, Hash, Position, Version};

/// Where a follower says it wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// From the head: only versions that are yet to come. A cache never starts there.
    #[default]
    Head,
    /// From the position that the follower claims to hold, or from everything that the log keeps.
    At(Claim),
}

/// A position that a follower or a reader of pages claims to hold, not checked against any log yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// "I have nothing": everything that is kept.
    Nothing,
    /// "I have applied this version of this log."
    Held {
        /// The epoch of the log.
        epoch: Epoch,
        /// The last version that was applied.
        version: Version,
        /// The hash at the version. Without it a log that was restored and grew past the version goes
        /// unnoticed.
        hash: Option<Hash>,
    },
}

impl Claim {
    /// Returns the version claimed.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Nothing => Version::ZERO,
            Self::Held { version, .. } => *version,
        }
    }
}

impl From<Position> for Claim {
    fn from(at: Position) -> Self {
        Self::Held { epoch: at.epoch, version: at.version, hash: Some(at.hash) }
    }
}
