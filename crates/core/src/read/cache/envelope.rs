//! Envelopes: the metadata that is stored beside a value, the same in every tier, and that tells which of two
//! entries is newer.

use serde::{Deserialize, Serialize};

use crate::read::floors::EntryTags;
use crate::read::origin_answer::NotStored;
use crate::wire::name::Tag;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

/// The metadata that is stored beside a value, the same in every tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The reader's position from before the origin was asked.
    pub position: Position,
    /// Whether there is a value; "not found" is an entry too.
    pub found: bool,
    /// The tags of the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When the fetch began, by the clock of the reader that made it.
    pub fetched_at: UnixMillis,
    /// Until when the entry is fresh, unless a floor refuses it earlier.
    pub expires_at: UnixMillis,
    /// Until when the entry may be served marked, while it is fetched or while the origin is down.
    pub stale_until: UnixMillis,
    /// The value's media type; empty for a "not found".
    pub content_type: String,
    /// The value's entity tag, quoted; empty for a "not found".
    pub etag: String,
    /// Why only the read that fetched the entry may have it; `None` in every entry that is stored.
    #[serde(skip)]
    pub not_stored: Option<NotStored>,
}

/// Returns the entity tag of a value that came without one: the hash of its bytes.
#[must_use]
pub fn etag_of(body: &[u8]) -> String {
    format!("\"{}\"", Hash::of_body(body))
}

/// How new an entry is; the greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The epoch of the entry's position.
    pub epoch: Epoch,
    /// The version of the entry's position.
    pub version: Version,
    /// When the entry's fetch began, by the clock of the reader that made it.
    pub fetched_at: UnixMillis,
}

impl Envelope {
    /// Returns how new the entry is. In memory and R2 an entry never takes the place of a newer one.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let Position { epoch, version, .. } = self.position;
        Rank { epoch, version, fetched_at: self.fetched_at }
    }

    /// Returns the tags by which the entry is judged: "not found" counts as carrying every tag.
    #[must_use]
    pub fn carries(&self) -> EntryTags<'_> {
        if self.found { EntryTags::Tags(&self.tags) } else { EntryTags::EveryTag }
    }
}
