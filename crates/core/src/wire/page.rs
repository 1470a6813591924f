//! What the broker answers over plain HTTP: a page of the log, and its status.

use serde::{Deserialize, Serialize};

use super::frame::VersionRow;
use super::name::Catalog;
use super::position::{Epoch, Hash, Position, UnixMillis, Version};

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
    /// The size of what is stored, in bytes.
    #[serde(default)]
    pub bytes: u64,
}

/// Who follows a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followers {
    /// The log's head.
    pub position: Position,
    /// One for each socket.
    pub followers: Vec<Follower>,
}

/// One follower, as the broker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// What it calls itself.
    pub name: String,
    /// Whether it is a replica.
    pub replica: bool,
    /// The last version it acknowledged.
    pub acked: Version,
    /// The position there; absent when that is forgotten.
    pub position: Option<Position>,
    /// How many versions it has not acknowledged.
    pub lag: u64,
    /// When it connected, by the broker's clock.
    pub since: UnixMillis,
    /// When its last ping was answered; absent when it never pinged.
    pub last_ping: Option<UnixMillis>,
    /// Where it is.
    pub stage: Phase,
}

/// Where a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Getting what it missed.
    Replaying,
    /// Getting every version as it is made.
    Live,
}

/// The answer to who wanted a new epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEpoch {
    /// The catalog.
    pub catalog: Catalog,
    /// The epoch that began.
    pub epoch: Epoch,
    /// Its head: 0.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// Where the log was before.
    pub previous: Position,
}
