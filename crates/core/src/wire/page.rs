//! What the broker answers over plain HTTP: a page of the log, and its status.

use serde::{Deserialize, Serialize};

use super::frame::VersionRow;
use super::name::Catalog;
use super::position::{Epoch, Hash, Position, Version};

/// A page of versions, `(from, to]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// The log.
    pub epoch: Epoch,
    /// After this version; exclusive.
    pub from: Version,
    /// Up to this one; equal to `from` when there is nothing.
    pub to: Version,
    /// The newest version there is.
    pub head: Version,
    /// The hash at `to`.
    pub hash: Hash,
    /// In order.
    pub versions: Vec<VersionRow>,
}

/// The most versions a page holds, and how many it holds when `limit` is absent.
pub const MAX_PAGE_VERSIONS: u32 = 1_000;

/// Writes a page around rows that are JSON already, separated by commas.
#[must_use]
pub fn text(from: Version, to: &Position, head: Version, rows: &str) -> String {
    let Position { epoch, version, hash } = to;
    format!(
        r#"{{"epoch":"{epoch}","from":{from},"to":{version},"head":{head},"hash":"{hash}","versions":[{rows}]}}"#
    )
}

/// What is known of a catalog's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The catalog.
    pub catalog: Catalog,
    /// Its log.
    pub epoch: Epoch,
    /// The head's version.
    pub version: Version,
    /// The head's position.
    pub position: Position,
    /// The oldest version kept in full; `version` + 1 when none is kept.
    pub oldest: Version,
    /// How many sockets follow.
    pub followers: usize,
}

/// The answer to the order to begin a new epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEpoch {
    /// The catalog.
    pub catalog: Catalog,
    /// Its log from here on.
    pub epoch: Epoch,
    /// Its head: version 0.
    pub version: Version,
    /// The position of it.
    pub position: Position,
    /// Where the log before it ended.
    pub previous: Position,
}
