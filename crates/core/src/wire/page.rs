//! What the broker answers over plain HTTP: a page of the log, and its status.

use serde::{Deserialize, Serialize};

use super::frame::VersionRow;
use super::name::Catalog;
use super::position::{Epoch, Hash, Position, Version};
use super::route::{Claim, PageQuery};

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

/// Returns the page's entity tag. An address always has the same topics and limit, so they need not be in it.
#[must_use]
pub fn etag(from: Version, to: &Position, head: Version) -> String {
    format!("\"{from}-{}-{head}-{}\"", to.version, to.hash)
}

/// Says how long a cache may keep a page: one that no later publish makes longer need not be asked for again.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_page_that_stays_as_it_is_may_be_kept() {
        let at = |number| Version::new(number).unwrap();
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let query = |since, limit| PageQuery { since, limit, topics: vec![], wait: Duration::ZERO };
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
