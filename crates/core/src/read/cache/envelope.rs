//! What is stored beside a value, in every tier the same; and which of two entries is the newer.

use serde::{Deserialize, Serialize};

use crate::read::floors::EntryTags;
use crate::read::origin_answer::NotStored;
use crate::wire::name::Tag;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

/// What is stored beside a value, in every tier the same.
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
    /// Until when it is fresh.
    pub expires_at: UnixMillis,
    /// Until when it may be served, marked.
    pub stale_until: UnixMillis,
    /// The value's media type.
    pub content_type: String,
    /// The value's entity tag, quoted.
    pub etag: String,
    /// Why only the read that fetched the entry may have it; `None` in every entry that is stored.
    #[serde(skip)]
    pub not_stored: Option<NotStored>,
}

/// Returns the entity tag of a value whose origin gave none.
#[must_use]
pub fn etag_of(body: &[u8]) -> String {
    format!("\"{}\"", Hash::of_body(body))
}

/// How new an entry is; the greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The log of its position.
    pub epoch: Epoch,
    /// The version of its position.
    pub version: Version,
    /// When its fetch began.
    pub fetched_at: UnixMillis,
}

impl Envelope {
    /// Returns how new the entry is. In memory and R2 an entry never takes the place of a newer one.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let Position { epoch, version, .. } = self.position;
        Rank { epoch, version, fetched_at: self.fetched_at }
    }

    /// Returns what is known of the tags of the entry: "not found" counts as carrying every tag.
    #[must_use]
    pub fn carries(&self) -> EntryTags<'_> {
        if self.found { EntryTags::Tags(&self.tags) } else { EntryTags::EveryTag }
    }
}
