//! The answers of the broker over plain HTTP: pages of the log, its status, its followers.

use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::cursor::{FoldCursor, PageCursor};
use super::frame::VersionRow;
use super::name::Catalog;
use super::position::{Epoch, Hash, Position, UnixMillis, Version};
use super::query::PageQuery;

/// A page of versions, `(from, to]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The version before the page, exclusive.
    pub from: Version,
    /// The version at the end; equal to `from` when the page is empty.
    pub to: Version,
    /// The newest version of the log.
    pub head: Version,
    /// The hash at `to`.
    pub hash: Hash,
    /// The rows, in order.
    pub versions: Vec<VersionRow>,
}

/// Writes a page around rows that are JSON already, separated by commas.
#[must_use]
pub fn text(from: Version, to: &Position, head: Version, rows: &str) -> String {
    let Position { epoch, version, hash } = to;
    format!(
        r#"{{"epoch":"{epoch}","from":{from},"to":{version},"head":{head},"hash":"{hash}","versions":[{rows}]}}"#
    )
}

/// Returns the page's entity tag. An address always has the same topics and limit, so they need not be in it.
#[must_use]
pub fn etag(from: Version, to: &Position, head: Version) -> String {
    format!("\"{from}-{}-{head}-{}\"", to.version, to.hash)
}

/// Says how long a cache may keep a page. A page that no later publish can extend never changes.
#[must_use]
pub fn cache_control(query: &PageQuery, to: Version, head: Version) -> &'static str {
    match query.since {
        Claim::Nothing => "no-store",
        Claim::Held { version, .. } => {
            let is_cut = to.number().saturating_sub(version.number()) >= u64::from(query.limit);
            if to < head || is_cut { "private, max-age=86400, immutable" } else { "no-cache" }
        }
    }
}

/// Writes a page of a fold around changes that are JSON already; `next` is the cursor of the next page, if
/// any.
#[must_use]
pub fn fold_text(
    from: Version,
    to: &Position,
    head: Version,
    changes: &str,
    next: Option<&FoldCursor>,
) -> String {
    let Position { epoch, version, hash } = to;
    let next = next.map(|cursor| PageCursor { epoch: *epoch, cursor: cursor.clone() });
    let more = next.map_or(String::new(), |next| format!(r#","more":true,"next":"{next}""#));
    format!(
        r#"{{"epoch":"{epoch}","from":{from},"to":{version},"head":{head},"hash":"{hash}","versions":[],"changes":[{changes}]{more}}}"#
    )
}

/// Returns the entity tag of a page of a fold: the same range in full has another body.
#[must_use]
pub fn fold_etag(from: Version, to: &Position, head: Version) -> String {
    format!("\"{from}-{}-{head}-{}-fold\"", to.version, to.hash)
}

/// The status of a catalog's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The name of the catalog.
    pub catalog: Catalog,
    /// The epoch of its log.
    pub epoch: Epoch,
    /// The version of the head.
    pub version: Version,
    /// The position of the head.
    pub position: Position,
    /// The oldest version kept in full; `version` + 1 when none is kept.
    pub oldest: Version,
    /// The number of sockets that follow.
    pub followers: usize,
    /// The size of the broker's database for this catalog, in bytes.
    #[serde(default)]
    pub bytes: u64,
}

/// The followers of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followers {
    /// The position of the head.
    pub position: Position,
    /// One item for each socket.
    pub followers: Vec<FollowerStatus>,
    /// The number of page requests that wait for a version.
    pub polls: u32,
    /// The number of open streams of server-sent events.
    pub streams: u32,
}

/// One follower, as the broker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerStatus {
    /// The name that the follower gave.
    pub name: String,
    /// Whether the follower is a replica.
    pub replica: bool,
    /// The last version that the follower acknowledged.
    pub acked: Version,
    /// The position at that version; `None` when its hash is forgotten.
    pub position: Option<Position>,
    /// The number of versions that the follower has not acknowledged.
    pub lag: u64,
    /// When the follower connected, by the broker's clock.
    pub since: UnixMillis,
    /// When the last ping was answered; `None` for a follower that never pinged.
    pub last_ping: Option<UnixMillis>,
    /// How far the follower has got.
    pub stage: FollowerStage,
}

/// How far a follower has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FollowerStage {
    /// The follower is getting versions that it missed.
    Replaying,
    /// The follower gets every version as it is made.
    Live,
}

/// The answer to a request for a new epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEpoch {
    /// The name of the catalog.
    pub catalog: Catalog,
    /// The epoch that began.
    pub epoch: Epoch,
    /// The version of its head, which is 0.
    pub version: Version,
    /// The position of its head.
    pub position: Position,
    /// The head of the log before the new epoch.
    pub previous: Position,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_a_page_that_stays_as_it_is_may_be_kept() {
        let at = |number| Version::new(number).unwrap();
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let query =
            |since, limit| PageQuery { since, limit, topics: vec![], wait: Duration::ZERO, fold: None };
        let held = |limit| query(Claim::Held { epoch, version: at(4), hash: None }, limit);
        let kept = "private, max-age=86400, immutable";
        assert_eq!(cache_control(&held(1_000), at(8), at(9)), kept, "a full page");
        assert_eq!(cache_control(&held(5), at(9), at(9)), kept, "cut by its limit at the head");
        assert_eq!(cache_control(&held(6), at(9), at(9)), "no-cache", "the next publish makes it longer");
        assert_eq!(cache_control(&held(1), at(4), at(4)), "no-cache", "nothing yet");
        assert_eq!(cache_control(&query(Claim::Nothing, 1), at(1), at(9)), "no-store", "of any epoch");
    }

    #[test]
    fn an_entity_tag_changes_with_the_head() {
        let to = Position::genesis("01ARYZ6S410000000000000000".parse().unwrap());
        assert_eq!(etag(Version::ZERO, &to, Version::ZERO), "\"0-0-0-7ae264e1fd7e3c55\"");
        assert_ne!(etag(Version::ZERO, &to, Version::ZERO), etag(Version::ZERO, &to, Version::ZERO.next()));
    }
}
