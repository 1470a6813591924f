//! A page of the log, or of its fold, as the broker answers it, and the query that asks for the page after a position.

use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::{Epoch, Hash, Position, Version};
use serde::Deserialize;

/// A page of versions, or a part of the fold.
#[derive(Deserialize)]
pub(crate) struct LogPage {
    epoch: Epoch,
    to: Version,
    hash: Hash,
    /// The head of the log when the broker answered.
    pub(crate) head: Version,
    #[serde(default)]
    pub(crate) versions: Vec<VersionRow>,
    /// The changes of a part of the fold; `None` on a page of versions.
    pub(crate) changes: Option<Vec<FoldedChange>>,
    /// The cursor of the fold's next part; `None` on the last part and on a page of versions.
    pub(crate) next: Option<String>,
}

impl LogPage {
    /// Returns the position after the page. That of a part of the fold holds once the last part is read.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, version: self.to, hash: self.hash }
    }
}

/// Returns the query that asks for what follows a position, or for the beginning of the log; `fold` is the cursor of a fold
/// that is under way.
pub(crate) fn query_after(held: Option<Position>, fold: Option<&str>) -> String {
    let claim = match held {
        Some(Position { epoch, version, hash }) => format!("epoch={epoch}&since={version}&hash={hash}"),
        None => "since=0".to_owned(),
    };
    fold.map_or(claim.clone(), |fold| format!("{claim}&fold={fold}"))
}
