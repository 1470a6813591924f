//! The queries of the broker's calls: publish, page and follow.

use std::time::Duration;

use super::claim::{Claim, Start};
use serde::{Deserialize, Serialize};

use super::cursor::PageCursor;
use super::dead_letters::MAX_LETTERS_AT_ONCE;
use super::position::{Epoch, Hash, PositionError, Version};
use super::problem::{Code, Problem};

/// The most versions a page holds, and how many it holds when `limit` is absent.
pub const MAX_PAGE_VERSIONS: u32 = 1_000;
/// How long a publish waits for the replicas when its query asks to wait and names no time.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// The longest time that an answer may wait.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The most topics of one follower.
pub const MAX_TOPICS: usize = 32;
/// The most bytes of all topics of a query together. A socket's attachment of 16 KiB keeps the topics, and
/// each byte may take three there.
pub const MAX_TOPICS_BYTES: usize = 4_096;
/// The longest name of a follower, in bytes.
pub const MAX_FOLLOWER_NAME_BYTES: usize = 128;

/// The query of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishQuery {
    /// How long to wait until every connected replica has applied the publish, if at all.
    pub wait_applied: Option<Duration>,
}

/// The query of a changes page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The position that the reader claims.
    pub since: Claim,
    /// The most versions to answer with.
    pub limit: u32,
    /// Key prefixes of interest; empty means everything.
    pub topics: Vec<String>,
    /// How long the answer may wait for a version, when there is none yet.
    pub wait: Duration,
    /// The cursor of the fold, while the reader pages through one.
    pub fold: Option<PageCursor>,
}

/// The query of a page of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadQuery {
    /// The number of the letter before the page; 0 for the first page.
    pub after: u64,
    /// The most letters to answer with.
    pub limit: usize,
}

/// The query of a follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowQuery {
    /// The place from which the follower wants to start.
    pub from: Start,
    /// The name that the follower gives itself; empty when it gives none.
    pub name: String,
    /// Key prefixes of interest; empty means everything.
    pub topics: Vec<String>,
}

impl PublishQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let bad = |text: String| Problem::new(Code::BadRequest, text);
        let (mut waits, mut timeout) = (false, DEFAULT_WAIT);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (name.as_ref(), value.as_ref()) {
                ("wait", "applied") => waits = true,
                ("wait", other) => return Err(bad(format!("wait is \"applied\", not {other:?}"))),
                ("timeout_ms", text) => timeout = duration("timeout_ms", text)?,
                (_, _) => {}
            }
        }
        Ok(Self { wait_applied: waits.then_some(timeout) })
    }
}

impl PageQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parts = Parts::default();
        let (mut limit, mut wait, mut topics, mut fold) =
            (MAX_PAGE_VERSIONS, Duration::ZERO, Vec::new(), None);
        let bad = |text: String| Problem::new(Code::BadRequest, text);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parts.take("since", &name, &value)? {
                continue;
            }
            match name.as_ref() {
                "limit" => {
                    let given = value.parse().ok().filter(|limit| (1..=MAX_PAGE_VERSIONS).contains(limit));
                    limit = given
                        .ok_or_else(|| bad(format!("limit is 1 to {MAX_PAGE_VERSIONS}, not {value}")))?;
                }
                "fold" if value.is_empty() => {}
                "fold" => {
                    let cursor =
                        value.parse().map_err(|_| bad("fold is the \"next\" of a page".to_owned()))?;
                    fold = Some(cursor);
                }
                "wait_ms" => wait = duration("wait_ms", &value)?,
                "topic" => add_topic(&mut topics, &value)?,
                _ => {}
            }
        }
        Ok(Self { since: parts.claim("since")?.unwrap_or(Claim::Nothing), limit, topics, wait, fold })
    }
}

impl DeadQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self { after: 0, limit: MAX_LETTERS_AT_ONCE };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let bad = |what: &str| Problem::new(Code::BadRequest, format!("{name} is {what}, not {value}"));
            match name.as_ref() {
                "after" => parsed.after = value.parse().map_err(|_| bad("the number of a letter"))?,
                "limit" => {
                    let given = value.parse().ok().filter(|limit| (1..=MAX_LETTERS_AT_ONCE).contains(limit));
                    parsed.limit = given.ok_or_else(|| bad(&format!("1 to {MAX_LETTERS_AT_ONCE}")))?;
                }
                _ => {}
            }
        }
        Ok(parsed)
    }
}

impl FollowQuery {
    /// Reads the query of a follow, without its `?`.
    ///
    /// # Errors
    /// A [`Problem`] that names the part of the query that is wrong.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parts = Parts::default();
        let mut follow = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parts.take("version", &name, &value)? {
                continue;
            }
            match name.as_ref() {
                "name" if value.len() <= MAX_FOLLOWER_NAME_BYTES && !value.contains(char::is_control) => {
                    follow.name = value.into_owned();
                }
                "name" => {
                    let text = format!(
                        "a follower's name has at most {MAX_FOLLOWER_NAME_BYTES} bytes, no control characters"
                    );
                    return Err(Problem::new(Code::BadRequest, text));
                }
                "topic" => add_topic(&mut follow.topics, &value)?,
                _ => {}
            }
        }
        follow.from = parts.claim("version")?.map_or(Start::Head, Start::At);
        Ok(follow)
    }

    /// Writes the query, with its `?`.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        match self.from {
            Start::Head => {}
            Start::At(Claim::Nothing) => {
                query.append_pair("version", "0");
            }
            Start::At(Claim::Held { epoch, version, hash }) => {
                query.append_pair("epoch", epoch.as_str()).append_pair("version", &version.to_string());
                if let Some(hash) = hash {
                    query.append_pair("hash", &hash.to_string());
                }
            }
        }
        if !self.name.is_empty() {
            query.append_pair("name", &self.name);
        }
        for topic in &self.topics {
            query.append_pair("topic", topic);
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// The parts of a position in a query: `epoch`, `since` or `version`, `hash`.
#[derive(Default)]
struct Parts {
    epoch: Option<Epoch>,
    version: Option<Version>,
    hash: Option<Hash>,
}

impl Parts {
    /// Takes the pair if it is a part of a position. An empty value is an absent one.
    fn take(&mut self, version_name: &str, name: &str, value: &str) -> Result<bool, Problem> {
        let bad = |why: PositionError| Problem::new(Code::BadPosition, format!("{name}={value}: {why}"));
        let absent = value.is_empty();
        match name {
            "epoch" if !absent => self.epoch = Some(value.parse().map_err(bad)?),
            "hash" if !absent => self.hash = Some(value.parse().map_err(bad)?),
            _ if name == version_name && !absent => self.version = Some(value.parse().map_err(bad)?),
            "epoch" | "hash" => {}
            _ => return Ok(name == version_name),
        }
        Ok(true)
    }

    /// Returns the claim, or `None` when no part was given.
    fn claim(self, version_name: &str) -> Result<Option<Claim>, Problem> {
        match (self.epoch, self.version) {
            (None, None) if self.hash.is_none() => Ok(None),
            (None, Some(Version::ZERO)) if self.hash.is_none() => Ok(Some(Claim::Nothing)),
            (Some(epoch), Some(version)) => Ok(Some(Claim::Held { epoch, version, hash: self.hash })),
            (_, _) => Err(Problem::new(
                Code::BadPosition,
                format!(
                    "a position is epoch, {version_name} and hash together; without epoch only {version_name}=0"
                ),
            )),
        }
    }
}

/// Reads how long an answer may wait.
fn duration(name: &str, text: &str) -> Result<Duration, Problem> {
    let given = text.parse().map(Duration::from_millis).ok().filter(|given| *given <= MAX_WAIT);
    given.ok_or_else(|| {
        let most = MAX_WAIT.as_millis();
        Problem::new(Code::BadRequest, format!("{name} is 0 to {most}, not {text:?}"))
    })
}

/// Adds a topic to the topics of the same query.
fn add_topic(topics: &mut Vec<String>, topic: &str) -> Result<(), Problem> {
    let bad = |text: String| Err(Problem::new(Code::BadRequest, text));
    if topic.is_empty() {
        return bad("a topic is a class (\"embedding:\") or a key prefix".to_owned());
    }
    if topics.len() == MAX_TOPICS {
        return bad(format!("at most {MAX_TOPICS} topics"));
    }
    if topic.chars().any(char::is_control) {
        return bad("a topic has no control characters, as no key has".to_owned());
    }
    if topics.iter().map(String::len).sum::<usize>() + topic.len() > MAX_TOPICS_BYTES {
        return bad(format!("at most {MAX_TOPICS_BYTES} bytes of topics"));
    }
    topics.push(topic.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::position::Position;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_position_in_a_query_is_whole_or_absent() {
        let epoch = "01ARYZ6S410000000000000000";
        let follow = |query: &str| FollowQuery::parse(query).map(|follow| follow.from);
        assert_eq!(follow(""), Ok(Start::Head));
        assert_eq!(follow("version=0"), Ok(Start::At(Claim::Nothing)));
        let held =
            Claim::Held { epoch: epoch.parse().unwrap(), version: Version::new(4).unwrap(), hash: None };
        assert_eq!(follow(&format!("epoch={epoch}&version=4&hash=")), Ok(Start::At(held)));
        for bad in [
            "version=4",
            "hash=0011223344556677",
            "version=0&hash=0011223344556677",
            "epoch=x&version=1",
            "version=-1",
            &format!("epoch={epoch}"),
        ] {
            assert_eq!(follow(bad).unwrap_err().code(), "bad-position", "{bad}");
        }
        assert_eq!(
            PageQuery::parse("epoch=&since=&limit=7"),
            Ok(PageQuery {
                since: Claim::Nothing,
                limit: 7,
                topics: vec![],
                wait: Duration::ZERO,
                fold: None
            })
        );
        let waiting = PageQuery::parse("topic=a:&topic=b:&wait_ms=30000").unwrap();
        assert_eq!((waiting.topics.len(), waiting.wait), (2, Duration::from_secs(30)));
        let long = format!("topic={}", "a".repeat(MAX_TOPICS_BYTES + 1));
        for bad in [
            "wait_ms=30001",
            "wait_ms=x",
            "topic=",
            "topic=a%0Ab",
            &long,
            &"topic=a:&".repeat(MAX_TOPICS + 1),
        ] {
            assert_eq!(PageQuery::parse(bad).unwrap_err().code(), "bad-request", "{bad}");
        }
        assert_eq!(PageQuery::parse("limit=0").unwrap_err().code(), "bad-request");
        assert_eq!(PageQuery::parse("limit=1001").unwrap_err().code(), "bad-request");
    }

    #[test]
    fn a_follow_query_survives_its_text() {
        let at = Position::genesis("01ARYZ6S410000000000000000".parse().unwrap());
        let follow = FollowQuery {
            from: Start::At(at.into()),
            name: "edge fra&co".into(),
            topics: vec!["embedding:".into(), "availability:netflix:".into()],
        };
        let query = follow.to_query();
        assert_eq!(FollowQuery::parse(query.strip_prefix('?').unwrap()), Ok(follow));
        assert_eq!(FollowQuery::default().to_query(), "");
    }
}
