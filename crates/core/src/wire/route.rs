//! Addresses: method, path and query of every call of the outside contract, read once for all.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use super::json;
use super::name::{Catalog, Key};
use super::page::{MAX_PAGE_VERSIONS, PageCursor};
use super::position::{Epoch, Hash, Position, Version};
use super::problem::{Code, Problem};

/// Every byte of a key but RFC 3986's unreserved ones is percent-encoded.
const KEY_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/catalogs/{catalog}/changes`
    Publish(Catalog, PublishQuery),
    /// `GET /v1/catalogs/{catalog}/publish`
    PublishSocket(Catalog),
    /// `POST /v1/catalogs/{catalog}/epochs`
    NewEpoch(Catalog),
    /// `GET /v1/catalogs/{catalog}/changes`
    Changes(Catalog, PageQuery),
    /// `GET /v1/catalogs/{catalog}`
    Status(Catalog),
    /// `GET /v1/catalogs/{catalog}/follow`
    Follow(Catalog, FollowQuery),
    /// `GET /v1/catalogs/{catalog}/followers`
    Followers(Catalog),
    /// A call that the edge answers, and no broker.
    Edge(Catalog, EdgeCall),
    /// `GET /healthz`
    Healthz,
    /// `GET /readyz`
    Readyz,
}

/// What the edge is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeCall {
    /// `GET /v1/catalogs/{catalog}/entries/{key}`
    Entry(Key),
    /// `GET /v1/catalogs/{catalog}/entries?key=…&key=…`
    Entries(Vec<Key>),
    /// `POST /v1/catalogs/{catalog}/entries`: the same, with the keys in the body.
    EntriesOf,
    /// `POST /v1/catalogs/{catalog}/fill`
    Fill,
    /// `GET /v1/catalogs/{catalog}/metrics`
    Metrics,
}

/// The query of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishQuery {
    /// How long to wait until every connected replica has applied the publish, if at all.
    pub wait_applied: Option<Duration>,
}

/// How long a publish waits for its replicas when it does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// The longest it may wait.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The query of a changes page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Where the reader stands.
    pub since: Claim,
    /// The most versions to answer with.
    pub limit: u32,
    /// Key prefixes of interest; empty means everything.
    pub topics: Vec<String>,
    /// How long the answer may wait for a version, when there is none yet.
    pub wait: Duration,
    /// How much of a fold the reader has had, while it reads one.
    pub fold: Option<PageCursor>,
}

/// The query of a follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowQuery {
    /// Where the follower stands.
    pub from: Start,
    /// What it calls itself; empty when it did not say.
    pub name: String,
    /// Key prefixes of interest; empty means everything.
    pub topics: Vec<String>,
}

/// Where a follower says it wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// From the head, now. A cache never does that.
    #[default]
    Head,
    /// From where it stopped, or from everything kept.
    At(Claim),
}

/// A position as somebody claims it; not checked against any log yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// "I have nothing": everything that is kept.
    Nothing,
    /// "I have applied this version of this log."
    Held {
        /// The log.
        epoch: Epoch,
        /// How far.
        version: Version,
        /// The hash there. Without it a log that was restored and grew past the version goes unnoticed.
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

/// The most topics of one follower.
pub const MAX_TOPICS: usize = 32;
/// The most bytes of all topics of a query together. They are kept in the socket's attachment of 16 KiB, where
/// each may take three.
pub const MAX_TOPICS_BYTES: usize = 4_096;
/// The longest name of a follower, in bytes.
pub const MAX_FOLLOWER_NAME_BYTES: usize = 128;

impl Route {
    /// Reads a request's method, path (still percent-encoded) and query (without `?`).
    ///
    /// # Errors
    /// A [`Problem`]: unknown path, wrong method, bad catalog, bad key or bad query.
    pub fn parse(method: &str, path: &str, query: &str) -> Result<Self, Problem> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            ["healthz"] => only(method, "GET").map(|()| Self::Healthz),
            ["readyz"] => only(method, "GET").map(|()| Self::Readyz),
            ["v1", "catalogs", name] => {
                only(method, "GET")?;
                Ok(Self::Status(catalog(name)?))
            }
            ["v1", "catalogs", name, "changes"] if method == "POST" => {
                Ok(Self::Publish(catalog(name)?, PublishQuery::parse(query)?))
            }
            ["v1", "catalogs", name, "changes"] => {
                only(method, "GET, POST")?;
                Ok(Self::Changes(catalog(name)?, PageQuery::parse(query)?))
            }
            ["v1", "catalogs", name, "publish"] => {
                only(method, "GET")?;
                Ok(Self::PublishSocket(catalog(name)?))
            }
            ["v1", "catalogs", name, "epochs"] => {
                only(method, "POST")?;
                Ok(Self::NewEpoch(catalog(name)?))
            }
            ["v1", "catalogs", name, "follow"] => {
                only(method, "GET")?;
                Ok(Self::Follow(catalog(name)?, FollowQuery::parse(query)?))
            }
            ["v1", "catalogs", name, "followers"] => {
                only(method, "GET")?;
                Ok(Self::Followers(catalog(name)?))
            }
            ["v1", "catalogs", name, what @ ("entries" | "fill" | "metrics"), ..] => {
                Ok(Self::Edge(catalog(name)?, EdgeCall::parse(method, path, what, query)?))
            }
            _ => Err(unknown()),
        }
    }

    /// Returns the catalog the request is about, if any.
    #[must_use]
    pub fn catalog(&self) -> Option<&Catalog> {
        match self {
            Self::Publish(catalog, _)
            | Self::PublishSocket(catalog)
            | Self::NewEpoch(catalog)
            | Self::Changes(catalog, _)
            | Self::Status(catalog)
            | Self::Follow(catalog, _)
            | Self::Followers(catalog)
            | Self::Edge(catalog, _) => Some(catalog),
            Self::Healthz | Self::Readyz => None,
        }
    }
}

impl EdgeCall {
    /// Reads a call of the edge: what stands after the catalog, and what follows it.
    fn parse(method: &str, path: &str, what: &str, query: &str) -> Result<Self, Problem> {
        // A key's own slashes may come unescaped: everything after `entries/` is the key.
        let rest = path.match_indices('/').nth(4).map(|(at, _)| path.get(at + 1..).unwrap_or_default());
        match (what, rest) {
            ("entries", Some(key)) => {
                only(method, "GET")?;
                Ok(Self::Entry(decoded_key(key)?))
            }
            ("entries", None) if method == "POST" => Ok(Self::EntriesOf),
            ("entries", None) => {
                only(method, "GET, POST")?;
                Ok(Self::Entries(keys_of_query(query)?))
            }
            ("fill", None) => only(method, "POST").map(|()| Self::Fill),
            ("metrics", None) => only(method, "GET").map(|()| Self::Metrics),
            (_, _) => Err(unknown()),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(Code::UnknownPath, "there is nothing at this address; see PROTOCOL.md")
}

/// Percent-encodes a key for a path, as the origin is asked.
#[must_use]
pub fn encoded_key(key: &Key) -> String {
    utf8_percent_encode(key.as_str(), KEY_SET).to_string()
}

/// Reads a key from a path.
///
/// # Errors
/// `bad-key` when it is not UTF-8 or not a key.
pub fn decoded_key(text: &str) -> Result<Key, Problem> {
    let key: Cow<'_, str> = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(Code::BadKey, "the key is not percent-encoded UTF-8"))?;
    Key::new(key).map_err(|why| Problem::new(Code::BadKey, why.to_string()))
}

/// The most keys of one bulk read, and of one fill.
pub const MAX_KEYS: usize = 100;

/// Reads the body of a bulk read or a fill: `{"keys":["title:1",…]}`.
///
/// # Errors
/// `bad-json`, `bad-key`, or `bad-request` when there are none or more than [`MAX_KEYS`].
pub fn keys_of_body(body: &[u8]) -> Result<Vec<Key>, Problem> {
    let wrong =
        |why: String| Problem::new(Code::BadJson, format!("the body is {{\"keys\":[\"class:id\",…]}}{why}"));
    let body: Value = serde_json::from_slice(body).map_err(|why| wrong(format!(": {why}")))?;
    let alone = body.as_object().filter(|body| body.len() == 1).and_then(|body| body.get("keys"));
    let texts = alone.and_then(json::texts).ok_or_else(|| wrong(String::new()))?;
    keys(texts.into_iter())
}

fn keys_of_query(query: &str) -> Result<Vec<Key>, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    keys(pairs.filter(|(name, _)| name == "key").map(|(_, key)| key.into_owned()))
}

/// Reads 1 to [`MAX_KEYS`] keys; one that is named twice counts once.
fn keys(texts: impl Iterator<Item = String>) -> Result<Vec<Key>, Problem> {
    let mut keys = Vec::new();
    for text in texts {
        let key =
            Key::new(text.as_str()).map_err(|why| Problem::new(Code::BadKey, format!("{text:?}: {why}")))?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() || keys.len() > MAX_KEYS {
        let text = format!("1 to {MAX_KEYS} different keys at once, not {}", keys.len());
        return Err(Problem::new(Code::BadRequest, text));
    }
    Ok(keys)
}

fn catalog(text: &str) -> Result<Catalog, Problem> {
    Catalog::new(text).map_err(|why| Problem::new(Code::BadCatalog, why.to_string()))
}

/// Lets HEAD pass where GET does: the platform leaves the body out.
fn only(method: &str, allowed: &str) -> Result<(), Problem> {
    if allowed.split(", ").any(|one| one == method || (one == "GET" && method == "HEAD")) {
        return Ok(());
    }
    let detail = format!("{method} is not allowed here; allowed: {allowed}");
    Err(Problem::new(Code::MethodNotAllowed, detail).with("allow", allowed))
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
        let bad = |why: super::position::PositionError| {
            Problem::new(Code::BadPosition, format!("{name}={value}: {why}"))
        };
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

/// Adds a topic to those of the same query.
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

impl PublishQuery {
    fn parse(query: &str) -> Result<Self, Problem> {
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
    fn parse(query: &str) -> Result<Self, Problem> {
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
                        value.parse().map_err(|()| bad("fold is the \"next\" of a page".to_owned()))?;
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

impl FollowQuery {
    fn parse(query: &str) -> Result<Self, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn code(method: &str, path: &str, query: &str) -> &'static str {
        Route::parse(method, path, query).unwrap_err().code()
    }

    #[test]
    fn every_call_of_the_contract_has_its_route() {
        let tv = || Catalog::new("tv").unwrap();
        assert_eq!(
            Route::parse("POST", "/v1/catalogs/tv/changes", ""),
            Ok(Route::Publish(tv(), PublishQuery::default()))
        );
        let wait_applied = Some(Duration::from_millis(70));
        assert_eq!(
            Route::parse("POST", "/v1/catalogs/tv/changes", "wait=applied&timeout_ms=70"),
            Ok(Route::Publish(tv(), PublishQuery { wait_applied }))
        );
        assert_eq!(code("POST", "/v1/catalogs/tv/changes", "wait=seen"), "bad-request");
        assert_eq!(code("POST", "/v1/catalogs/tv/changes", "timeout_ms=99999"), "bad-request");

        assert_eq!(Route::parse("GET", "/v1/catalogs/tv/publish", ""), Ok(Route::PublishSocket(tv())));
        assert_eq!(Route::parse("POST", "/v1/catalogs/tv/epochs", ""), Ok(Route::NewEpoch(tv())));
        assert_eq!(Route::parse("GET", "/v1/catalogs/tv", ""), Ok(Route::Status(tv())));
        assert_eq!(Route::parse("GET", "/v1/catalogs/tv/followers", ""), Ok(Route::Followers(tv())));
        assert_eq!(Route::parse("GET", "/healthz", ""), Ok(Route::Healthz));
        assert_eq!(Route::parse("HEAD", "/healthz", ""), Ok(Route::Healthz));
        assert_eq!(Route::parse("GET", "/readyz", ""), Ok(Route::Readyz));
        let key = Key::new("title:a/b ü").unwrap();
        for path in
            ["/v1/catalogs/tv/entries/title%3Aa%2Fb%20%C3%BC", "/v1/catalogs/tv/entries/title:a/b%20ü"]
        {
            assert_eq!(
                Route::parse("HEAD", path, ""),
                Ok(Route::Edge(tv(), EdgeCall::Entry(key.clone()))),
                "{path}"
            );
        }
        assert_eq!(encoded_key(&key), "title%3Aa%2Fb%20%C3%BC");
    }

    #[test]
    fn many_keys_come_in_the_query_or_in_a_body() {
        let edge = |call| Ok(Route::Edge(Catalog::new("tv").unwrap(), call));
        let entries = "/v1/catalogs/tv/entries";
        let keys = vec![Key::new("title:ü&b").unwrap(), Key::new("live:1").unwrap()];
        let query = "key=title:%C3%BC%26b&other=1&key=live:1&key=live:1";
        assert_eq!(Route::parse("GET", entries, query), edge(EdgeCall::Entries(keys.clone())), "each once");
        assert_eq!(Route::parse("POST", entries, ""), edge(EdgeCall::EntriesOf));
        assert_eq!(Route::parse("POST", "/v1/catalogs/tv/fill", ""), edge(EdgeCall::Fill));
        assert_eq!(Route::parse("GET", "/v1/catalogs/tv/metrics", ""), edge(EdgeCall::Metrics));
        assert_eq!(code("GET", entries, ""), "bad-request");
        assert_eq!(code("GET", entries, "key=title"), "bad-key");
        assert_eq!(code("DELETE", entries, "key=title:1"), "method-not-allowed");
        assert_eq!(code("GET", "/v1/catalogs/tv/fill", ""), "method-not-allowed");

        assert_eq!(keys_of_body("{\"keys\":[\"title:ü&b\",\"live:1\"]}".as_bytes()), Ok(keys));
        let refused = |body: &str| keys_of_body(body.as_bytes()).unwrap_err().code();
        assert_eq!(refused(r#"{"keys":[]}"#), "bad-request");
        assert_eq!(refused(r#"{"keys":["a b"]}"#), "bad-key");
        assert_eq!(refused(r#"["title:1"]"#), "bad-json");
        assert_eq!(refused(r#"{"keys":["title:1"],"key":"x"}"#), "bad-json");
        let many: Vec<String> = (0..=MAX_KEYS).map(|id| format!("title:{id}")).collect();
        assert_eq!(refused(&serde_json::json!({ "keys": many }).to_string()), "bad-request");
    }

    #[test]
    fn what_is_not_an_address_says_so() {
        assert_eq!(code("GET", "/", ""), "unknown-path");
        assert_eq!(code("GET", "/v1/catalogs", ""), "unknown-path");
        assert_eq!(code("DELETE", "/v1/catalogs/tv/changes", ""), "method-not-allowed");
        assert_eq!(code("POST", "/v1/catalogs/tv", ""), "method-not-allowed");
        assert_eq!(code("POST", "/v1/catalogs/tv/publish", ""), "method-not-allowed");
        assert_eq!(code("GET", "/v1/catalogs/tv/epochs", ""), "method-not-allowed");
        assert_eq!(code("POST", "/v1/catalogs/TV/changes", ""), "bad-catalog");
        assert_eq!(code("GET", "/v1/catalogs/tv/entries/title", ""), "bad-key");
        assert_eq!(code("GET", "/v1/catalogs/tv/entries/a:%ff", ""), "bad-key");
        assert_eq!(code("GET", "/v1/catalogs/tv/entries/", ""), "bad-key");
    }

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
