//! Addresses: method, path and query of every call of the outside contract, read once for all.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::keys::{decoded_key, keys_of_query};
use super::name::{Catalog, Key};
use super::problem::{Code, Problem};
use super::query::{DeadQuery, FollowQuery, PageQuery, PublishQuery};
use super::series::{EdgeChoice, SeriesQuery};

/// The call that a request makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/catalogs/{catalog}/changes`: publishes one body of changes, or a body of lines.
    Publish(Catalog, PublishQuery),
    /// `GET /v1/catalogs/{catalog}/publish`: opens a WebSocket for many publishes.
    PublishSocket(Catalog),
    /// `POST /v1/catalogs/{catalog}/epochs`: begins a new epoch.
    NewEpoch(Catalog),
    /// `GET /v1/catalogs/{catalog}/changes`: reads a page of the log, or a stream of server-sent events.
    Changes(Catalog, PageQuery),
    /// `GET /v1/catalogs/{catalog}`: reads the status of the log.
    Status(Catalog),
    /// `GET /v1/catalogs/{catalog}/follow`: opens the follow WebSocket.
    Follow(Catalog, FollowQuery),
    /// `GET /v1/catalogs/{catalog}/followers`: lists the followers.
    Followers(Catalog),
    /// `GET /v1/catalogs/{catalog}/series`: reads the log's numbers over time. With `edge=` it is [`EdgeCall::Series`].
    Series(Catalog, SeriesQuery),
    /// `POST /v1/catalogs/{catalog}/hooks/{hook}`: takes the message of a webhook.
    Hook(Catalog, String),
    /// `GET /v1/catalogs/{catalog}/dead-letters`: lists the messages of hooks that could not be published.
    DeadLetters(Catalog, DeadQuery),
    /// `POST /v1/catalogs/{catalog}/dead-letters`: publishes such messages again, or forgets them.
    SettleDeadLetters(Catalog),
    /// `GET /v1/catalogs/{catalog}/alerts`: lists the alerts.
    Alerts(Catalog),
    /// `POST /v1/catalogs/{catalog}/alerts`: takes what an edge tells of its own alerts.
    TellAlerts(Catalog),
    /// `POST /v1/catalogs/{catalog}/sources`: takes what a source says of itself.
    TellSource(Catalog),
    /// A call that the edge answers, and no broker.
    Edge(Catalog, EdgeCall),
    /// `GET /healthz`: says that the Worker is alive.
    Healthz,
    /// `GET /readyz`: says whether the edge is able to serve.
    Readyz,
}

/// A call that the edge answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeCall {
    /// `GET /v1/catalogs/{catalog}/entries/{key}`: reads one entry.
    Entry(Key),
    /// `GET /v1/catalogs/{catalog}/entries?key=…&key=…`: reads several entries at once.
    Entries(Vec<Key>),
    /// `POST /v1/catalogs/{catalog}/entries`: the same, with the keys in the body.
    EntriesOf,
    /// `POST /v1/catalogs/{catalog}/entries/{key}`: reads one entry, or gives the caller a lease to fill it.
    Begin(Key),
    /// `PUT /v1/catalogs/{catalog}/entries/{key}`: hands in a value that the caller fetched under a lease.
    Land(Key),
    /// `POST /v1/catalogs/{catalog}/leases`: gives a lease for whatever key the caller fills.
    Lease,
    /// `POST /v1/catalogs/{catalog}/floors`: says what has changed since a lease.
    Floors,
    /// `POST /v1/catalogs/{catalog}/fill`: fetches keys ahead of their readers.
    Fill,
    /// `GET /v1/catalogs/{catalog}/metrics`: reads the counts of the catalog's readers.
    Metrics,
    /// `POST /v1/catalogs/{catalog}/dry-run`: says what a publish would hit, and publishes nothing.
    DryRun,
    /// `GET /v1/catalogs/{catalog}/checks`: lists the keys that the check by schedule found wrong.
    Checks,
    /// `GET /v1/catalogs/{catalog}/settings`: reads the policies and variables of this edge.
    Settings,
    /// `GET /v1/catalogs/{catalog}/series?edge=…`: reads the numbers over time of one edge's readers, or of all.
    Series(SeriesQuery),
}

impl Route {
    /// Reads a request's method, path (still percent-encoded) and query (without `?`).
    ///
    /// # Errors
    /// A [`Problem`]: unknown path, wrong method, bad catalog, bad key or bad query.
    pub fn parse(method: &str, path: &str, query: &str) -> Result<Self, Problem> {
        let (segments, rest) = segments(path);
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match (segments.as_slice(), rest) {
            (["healthz"], None) => only(method, "GET").map(|()| Self::Healthz),
            (["readyz"], None) => only(method, "GET").map(|()| Self::Readyz),
            (["v1", "catalogs", name], None) => {
                only(method, "GET")?;
                Ok(Self::Status(catalog(name)?))
            }
            (["v1", "catalogs", name, "changes"], None) if method == "POST" => {
                Ok(Self::Publish(catalog(name)?, PublishQuery::parse(query)?))
            }
            (["v1", "catalogs", name, "changes"], None) => {
                only(method, "GET, POST")?;
                Ok(Self::Changes(catalog(name)?, PageQuery::parse(query)?))
            }
            (["v1", "catalogs", name, "publish"], None) => {
                only(method, "GET")?;
                Ok(Self::PublishSocket(catalog(name)?))
            }
            (["v1", "catalogs", name, "epochs"], None) => {
                only(method, "POST")?;
                Ok(Self::NewEpoch(catalog(name)?))
            }
            (["v1", "catalogs", name, "follow"], None) => {
                only(method, "GET")?;
                Ok(Self::Follow(catalog(name)?, FollowQuery::parse(query)?))
            }
            (["v1", "catalogs", name, "followers"], None) => {
                only(method, "GET")?;
                Ok(Self::Followers(catalog(name)?))
            }
            (["v1", "catalogs", name, "sources"], None) => {
                only(method, "POST")?;
                Ok(Self::TellSource(catalog(name)?))
            }
            (["v1", "catalogs", name, what @ ("series" | "alerts")], None) => {
                Self::to_watch(method, name, what, query)
            }
            (["v1", "catalogs", name, what @ ("hooks" | "dead-letters")], rest) => {
                Self::of_hooks(method, name, what, rest, query)
            }
            (["v1", "catalogs", name, what], rest) if EdgeCall::NAMES.contains(what) => {
                Ok(Self::Edge(catalog(name)?, EdgeCall::parse(method, what, rest, query)?))
            }
            _ => Err(unknown()),
        }
    }

    /// Reads a call of those who watch a catalog, from the word after the catalog.
    fn to_watch(method: &str, name: &str, what: &str, query: &str) -> Result<Self, Problem> {
        if what == "alerts" {
            only(method, "GET, POST")?;
            let catalog = catalog(name)?;
            return Ok(if method == "POST" { Self::TellAlerts(catalog) } else { Self::Alerts(catalog) });
        }
        only(method, "GET")?;
        let (catalog, query) = (catalog(name)?, SeriesQuery::parse(query)?);
        Ok(match query.edge {
            EdgeChoice::Broker => Self::Series(catalog, query),
            EdgeChoice::One(_) | EdgeChoice::All => Self::Edge(catalog, EdgeCall::Series(query)),
        })
    }

    /// Reads a call about hooks from the word after the catalog, and the rest of the path after that word.
    fn of_hooks(
        method: &str,
        name: &str,
        what: &str,
        rest: Option<&str>,
        query: &str,
    ) -> Result<Self, Problem> {
        match (what, rest) {
            ("hooks", Some(hook)) if !hook.contains('/') => {
                only(method, "POST")?;
                let hook = percent_decode_str(hook).decode_utf8().map_err(|_| unknown())?;
                Ok(Self::Hook(catalog(name)?, hook.into_owned()))
            }
            ("dead-letters", None) if method == "POST" => Ok(Self::SettleDeadLetters(catalog(name)?)),
            ("dead-letters", None) => {
                only(method, "GET, POST")?;
                Ok(Self::DeadLetters(catalog(name)?, DeadQuery::parse(query)?))
            }
            (_, _) => Err(unknown()),
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
            | Self::Series(catalog, _)
            | Self::Hook(catalog, _)
            | Self::DeadLetters(catalog, _)
            | Self::SettleDeadLetters(catalog)
            | Self::Alerts(catalog)
            | Self::TellAlerts(catalog)
            | Self::TellSource(catalog)
            | Self::Edge(catalog, _) => Some(catalog),
            Self::Healthz | Self::Readyz => None,
        }
    }
}

impl EdgeCall {
    /// The calls of the edge, as they stand after the catalog.
    const NAMES: [&str; 8] =
        ["checks", "dry-run", "entries", "fill", "floors", "leases", "metrics", "settings"];

    /// Reads a call of the edge from the word after the catalog, and the rest of the path after that word.
    fn parse(method: &str, what: &str, rest: Option<&str>, query: &str) -> Result<Self, Problem> {
        match (what, rest) {
            ("entries", Some(key)) if method == "POST" => Ok(Self::Begin(decoded_key(key)?)),
            ("entries", Some(key)) if method == "PUT" => Ok(Self::Land(decoded_key(key)?)),
            ("entries", Some(key)) => {
                only(method, "GET, POST, PUT")?;
                Ok(Self::Entry(decoded_key(key)?))
            }
            ("entries", None) if method == "POST" => Ok(Self::EntriesOf),
            ("entries", None) => {
                only(method, "GET, POST")?;
                Ok(Self::Entries(keys_of_query(query)?))
            }
            ("fill", None) => only(method, "POST").map(|()| Self::Fill),
            ("leases", None) => only(method, "POST").map(|()| Self::Lease),
            ("floors", None) => only(method, "POST").map(|()| Self::Floors),
            ("metrics", None) => only(method, "GET").map(|()| Self::Metrics),
            ("dry-run", None) => only(method, "POST").map(|()| Self::DryRun),
            ("checks", None) => only(method, "GET").map(|()| Self::Checks),
            ("settings", None) => only(method, "GET").map(|()| Self::Settings),
            (_, _) => Err(unknown()),
        }
    }
}

/// Says whether the edge answers an address, and no broker.
#[must_use]
pub fn is_of_the_edge(path: &str, query: &str) -> bool {
    let (segments, _) = segments(path);
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        ["v1", "catalogs", _, "series"] => names_an_edge(query),
        ["v1", "catalogs", _, call] => EdgeCall::NAMES.contains(call),
        segments => segments == ["readyz"],
    }
}

/// Says whether a query for series is about edges. One that is refused is the broker's to refuse, or the edge's.
fn names_an_edge(query: &str) -> bool {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.any(|(name, value)| name == "edge" && !value.is_empty())
}

/// Splits a path into its first four segments, each percent-decoded once, and what follows them, as it is: a
/// key, which may hold slashes.
///
/// A segment that is not UTF-8 stays encoded. With its `%` it is neither a word of an address nor a catalog,
/// and neither is one with a slash or a control character in it.
fn segments(path: &str) -> (Vec<Cow<'_, str>>, Option<&str>) {
    let mut parts = path.splitn(6, '/').skip(1);
    let decoded = |part| percent_decode_str(part).decode_utf8().unwrap_or(Cow::Borrowed(part));
    let segments = parts.by_ref().take(4).map(decoded).collect();
    (segments, parts.next())
}

fn unknown() -> Problem {
    Problem::new(Code::UnknownPath, "there is nothing at this address; see PROTOCOL.md")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::keys::{MAX_KEYS, encoded_key, keys_of_body};
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
    fn a_hook_is_named_in_one_segment() {
        let tv = || Catalog::new("tv").unwrap();
        for path in ["/v1/catalogs/tv/hooks/netflix", "/v1/catalogs/tv/hooks/n%65tflix"] {
            assert_eq!(Route::parse("POST", path, ""), Ok(Route::Hook(tv(), "netflix".to_owned())), "{path}");
        }
        assert_eq!(code("GET", "/v1/catalogs/tv/hooks/netflix", ""), "method-not-allowed");
        assert_eq!(code("POST", "/v1/catalogs/TV/hooks/netflix", ""), "bad-catalog");
        for path in ["/v1/catalogs/tv/hooks", "/v1/catalogs/tv/hooks/a/b", "/v1/catalogs/tv/hooks/%ff"] {
            assert_eq!(code("POST", path, ""), "unknown-path", "{path}");
        }
    }

    #[test]
    fn dead_letters_are_paged_and_settled() {
        let tv = || Catalog::new("tv").unwrap();
        let path = "/v1/catalogs/tv/dead-letters";
        assert_eq!(
            Route::parse("GET", path, ""),
            Ok(Route::DeadLetters(tv(), DeadQuery { after: 0, limit: 100 }))
        );
        let query = DeadQuery { after: 7, limit: 3 };
        assert_eq!(Route::parse("HEAD", path, "after=7&limit=3&x=y"), Ok(Route::DeadLetters(tv(), query)));
        assert_eq!(Route::parse("POST", path, ""), Ok(Route::SettleDeadLetters(tv())));
        for query in ["limit=0", "limit=101", "after=-1", "after=x"] {
            assert_eq!(code("GET", path, query), "bad-request", "{query}");
        }
        assert_eq!(code("DELETE", path, ""), "method-not-allowed");
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
        assert_eq!(Route::parse("GET", "/v1/catalogs/tv/settings", ""), edge(EdgeCall::Settings));
        assert_eq!(Route::parse("POST", "/v1/catalogs/tv/dry-run", ""), edge(EdgeCall::DryRun));
        assert_eq!(code("GET", entries, ""), "bad-request");
        assert_eq!(code("GET", entries, "key=title"), "bad-key");
        assert_eq!(code("DELETE", entries, "key=title:1"), "method-not-allowed");
        assert_eq!(code("GET", "/v1/catalogs/tv/fill", ""), "method-not-allowed");

        for mark in ["", "\u{feff}"] {
            let body = format!("{mark}{{\"keys\":[\"title:ü&b\",\"live:1\"]}}");
            assert_eq!(keys_of_body(body.as_bytes()), Ok(keys.clone()));
        }
        let refused = |body: &str| keys_of_body(body.as_bytes()).unwrap_err().code();
        assert_eq!(refused(r#"{"keys":[]}"#), "bad-request");
        assert_eq!(refused(r#"{"keys":["a b"]}"#), "bad-key");
        assert_eq!(refused(r#"["title:1"]"#), "bad-json");
        assert_eq!(refused(r#"{"keys":["title:1"],"key":"x"}"#), "bad-json");
        let many: Vec<String> = (0..=MAX_KEYS).map(|id| format!("title:{id}")).collect();
        assert_eq!(refused(&serde_json::json!({ "keys": many }).to_string()), "bad-request");
    }

    #[test]
    fn series_are_the_brokers_or_an_edges() {
        let series = "/v1/catalogs/tv/s%65ries";
        let tv = || Catalog::new("tv").unwrap();
        let query = |query: &str| SeriesQuery::parse(query).unwrap();
        for text in ["", "edge=", "edges=fra&step=60"] {
            assert_eq!(Route::parse("GET", series, text), Ok(Route::Series(tv(), query(text))), "{text}");
            assert!(!is_of_the_edge(series, text));
        }
        for text in ["edge=fra", "edge=*&class=title", "step=60&%65dge=fra"] {
            let call = EdgeCall::Series(query(text));
            assert_eq!(Route::parse("HEAD", series, text), Ok(Route::Edge(tv(), call)), "{text}");
            assert!(is_of_the_edge(series, text));
        }
        assert_eq!(code("POST", series, ""), "method-not-allowed");
        assert_eq!(code("GET", series, "step=7"), "bad-request");
        assert_eq!(code("GET", "/v1/catalogs/tv/series/x", ""), "unknown-path");
    }

    #[test]
    fn a_path_is_percent_decoded_once() {
        let tv = || Catalog::new("tv").unwrap();
        for path in ["/v1/catalogs/t%76", "/v1/catalogs/%74%76", "/%761/c%61talogs/tv"] {
            assert_eq!(Route::parse("GET", path, ""), Ok(Route::Status(tv())), "{path}");
        }
        let publish = Route::parse("POST", "/v1/catalogs/t%76/ch%61nges", "");
        assert_eq!(publish, Ok(Route::Publish(tv(), PublishQuery::default())));
        let entry = "/v1/catalogs/t%76/entri%65s/title:a%2Fb";
        let key = Key::new("title:a/b").unwrap();
        assert_eq!(Route::parse("GET", entry, ""), Ok(Route::Edge(tv(), EdgeCall::Entry(key))));
        let of_the_edge = |path: &str| is_of_the_edge(path, "");
        assert!(of_the_edge(entry) && of_the_edge("/read%79z") && of_the_edge("/v1/catalogs//fill"));
        assert!(!of_the_edge("/v1/catalogs/tv/changes") && !of_the_edge("/v1/catalogs/tv"));
        for name in ["t%2576", "t%2Fv", "t%00", "%74%", "t%zz", "%ff", "t%C3"] {
            assert_eq!(code("GET", &format!("/v1/catalogs/{name}/changes"), ""), "bad-catalog", "{name}");
        }
        for path in
            ["/v1/catalogs/tv/ch%ff", "/v1/catalogs/tv/changes%2F", "/v1%2Fcatalogs/tv", "/healthz%00"]
        {
            assert_eq!(code("GET", path, ""), "unknown-path", "{path}");
        }
    }

    #[test]
    fn a_method_that_no_call_has_is_not_allowed() {
        for method in ["PURGE", "BAN", "QUERY", "PROPFIND", "TRACE", "OPTIONS", "get", ""] {
            for (path, query) in [
                ("/healthz", ""),
                ("/readyz", ""),
                ("/v1/catalogs/tv", ""),
                ("/v1/catalogs/tv/changes", ""),
                ("/v1/catalogs/tv/publish", ""),
                ("/v1/catalogs/tv/epochs", ""),
                ("/v1/catalogs/tv/follow", ""),
                ("/v1/catalogs/tv/followers", ""),
                ("/v1/catalogs/tv/entries/title:1", ""),
                ("/v1/catalogs/tv/entries", "key=title:1"),
                ("/v1/catalogs/tv/fill", ""),
                ("/v1/catalogs/tv/metrics", ""),
                ("/v1/catalogs/tv/settings", ""),
                ("/v1/catalogs/tv/dry-run", ""),
                ("/v1/catalogs/tv/series", ""),
                ("/v1/catalogs/tv/series", "edge=fra"),
            ] {
                assert_eq!(code(method, path, query), "method-not-allowed", "{method} {path}");
            }
        }
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
}
