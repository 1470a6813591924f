//! `newsreel fill` into KV: a log, an origin and Cloudflare's API, each only its answers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test is to panic")]

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use newsreel_core::read::cache::Envelope;
use newsreel_core::read::entry_codec;
use newsreel_core::wire::{Epoch, Position, UnixMillis};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod common;
use common::newsreel;

const FIRST: u64 = 1_700_000_000_000;

/// An entry of KV under one name.
#[derive(Clone, Debug)]
struct Stored {
    bytes: Vec<u8>,
    metadata: Value,
    ttl: u64,
}

/// The status, the headers and the body that the stub of an origin answers with.
type OriginReply = (u16, Vec<(&'static str, &'static str)>, Vec<u8>);

#[derive(Default)]
struct World {
    epoch: Option<Epoch>,
    /// The changes of each version.
    log: Vec<Value>,
    /// So many versions are folded.
    folded: usize,
    /// The origin's entries by key: tags and value.
    origin: HashMap<String, (&'static str, Vec<u8>)>,
    /// Answers of the origin to single keys: status, headers and body.
    answers: HashMap<String, OriginReply>,
    /// The changes that are published while the origin answers for a key, the last first.
    meanwhile: HashMap<String, Vec<Value>>,
    /// Whether a new epoch begins when the origin is asked next.
    restore: bool,
    kv: BTreeMap<String, Stored>,
    /// Names that cannot be written, so often.
    unwritten: HashMap<String, usize>,
    /// Whether there is a value that is no text.
    binary: bool,
    /// Keys that the origin was asked for, with the version it was told.
    asked: Vec<(String, String)>,
    /// The calls of Cloudflare's API, in order.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

impl World {
    fn shared() -> Shared {
        let epoch = Some(Epoch::new(UnixMillis(FIRST), [0; 10]));
        Arc::new(Mutex::new(Self { epoch, ..Self::default() }))
    }

    fn epoch(&self) -> Epoch {
        self.epoch.unwrap()
    }

    fn row(version: usize, changes: &Value) -> Value {
        json!({ "version": version, "at": 1, "changes": changes })
    }

    fn at(&self, version: usize) -> Position {
        let rows = self.log.iter().take(version).enumerate();
        rows.fold(Position::genesis(self.epoch()), |at, (index, changes)| {
            at.then(Self::row(index + 1, changes).to_string().as_bytes())
        })
    }

    /// A page of at most two versions, or a part of a fold with one version's changes.
    fn page(&self, query: &HashMap<String, String>) -> Response {
        let since: usize = query["since"].parse().unwrap();
        let claimed = query.get("epoch").is_none_or(|epoch| *epoch == self.epoch().to_string());
        let known = query.get("hash").is_none_or(|hash| *hash == self.at(since).hash.to_string());
        if !claimed || !known || since > self.log.len() {
            return (StatusCode::GONE, r#"{"status":410,"code":"reset","detail":"another epoch"}"#)
                .into_response();
        }
        let page = |to: usize, rest: Value| {
            let mut page = json!({ "epoch": self.epoch(), "from": since, "to": to, "head": self.log.len(),
                "hash": self.at(to).hash.to_string(), "versions": [] });
            page.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            page.to_string().into_response()
        };
        if since < self.folded {
            let part =
                query.get("fold").map_or(0, |cursor| cursor.rsplit('.').next().unwrap().parse().unwrap());
            let changes: Vec<Value> = self.log[part]
                .as_array()
                .unwrap()
                .iter()
                .map(|change| {
                    let mut change = change.clone();
                    change["version"] = (part + 1).into();
                    change
                })
                .collect();
            let next = format!("{}.{}", self.epoch(), part + 1);
            let more = part + 1 < self.folded;
            let rest = if more {
                json!({ "changes": changes, "more": true, "next": next })
            } else {
                json!({ "changes": changes })
            };
            return page(self.folded, rest);
        }
        let to = (since + 2).min(self.log.len());
        let rows: Vec<Value> = (since..to).map(|index| Self::row(index + 1, &self.log[index])).collect();
        page(to, json!({ "versions": rows }))
    }

    fn ask_origin(&mut self, key: &str, headers: &HeaderMap) -> Response {
        self.asked.push((key.to_owned(), headers["newsreel-version"].to_str().unwrap().to_owned()));
        if let Some((status, headers, body)) = self.answers.get(key).cloned() {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().unwrap());
            }
            return response;
        }
        let value = self.origin.get(key).cloned();
        if let Some(changes) = self.meanwhile.get_mut(key).and_then(Vec::pop) {
            self.log.push(changes);
        }
        if std::mem::take(&mut self.restore) {
            self.epoch = Some(Epoch::new(UnixMillis(FIRST + 1), [0; 10]));
            self.log.clear();
        }
        match value {
            Some((_, value)) if value == b"down" => StatusCode::BAD_GATEWAY.into_response(),
            Some((tags, value)) => {
                ([("Cache-Tag", tags), ("Content-Type", "text/plain"), ("ETag", "\"e\"")], value)
                    .into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn api(&mut self, method: &Method, path: &str, body: &[u8]) -> Response {
        self.calls.push(format!("{method} {path}"));
        let read = || serde_json::from_slice::<Value>(body).unwrap();
        let result = match (method.as_str(), path.split_once('/').unwrap_or((path, ""))) {
            ("PUT", ("bulk", "")) => self.put(&read()),
            ("POST", ("bulk", "get")) if self.binary => Err((400, 10_029)),
            ("POST", ("bulk", "get")) => {
                let body = read();
                assert_eq!((&body["type"], &body["withMetadata"]), (&json!("text"), &json!(true)));
                let one = |name: &Value| {
                    let held = self.kv.get(name.as_str().unwrap());
                    let held = held.map(|held| json!({ "value": String::from_utf8_lossy(&held.bytes), "metadata": held.metadata }));
                    (name.as_str().unwrap().to_owned(), held.into())
                };
                let values: serde_json::Map<_, Value> =
                    body["keys"].as_array().unwrap().iter().map(one).collect();
                Ok(json!({ "values": values }))
            }
            ("GET", ("metadata", name)) => {
                self.kv.get(name).map(|held| held.metadata.clone()).ok_or((404, 10_009))
            }
            other => panic!("no such call {other:?}"),
        };
        match result {
            Ok(result) => json!({ "success": true, "errors": [], "messages": [], "result": result })
                .to_string()
                .into_response(),
            Err((status, code)) => {
                let errors = json!([{ "code": code, "message": "the API says no" }]);
                let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
                (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
            }
        }
    }

    fn put(&mut self, pairs: &Value) -> Result<Value, (u16, u64)> {
        let pairs = pairs.as_array().unwrap();
        let refused = |pair: &Value| pair["key"].as_str().unwrap().contains("refused");
        if pairs.iter().any(refused) {
            return Err((400, 10_033));
        }
        let mut unsuccessful = Vec::new();
        for pair in pairs {
            let name = pair["key"].as_str().unwrap().to_owned();
            if let Some(left) = self.unwritten.get_mut(&name).filter(|left| **left > 0) {
                *left -= 1;
                unsuccessful.push(name);
                continue;
            }
            assert_eq!(pair["base64"], true);
            let bytes = STANDARD.decode(pair["value"].as_str().unwrap()).unwrap();
            let (metadata, ttl) = (pair["metadata"].clone(), pair["expiration_ttl"].as_u64().unwrap());
            self.kv.insert(name, Stored { bytes, metadata, ttl });
        }
        Ok(
            json!({ "successful_key_count": pairs.len() - unsuccessful.len(), "unsuccessful_keys": unsuccessful }),
        )
    }

    /// Puts an entry into KV as an edge would: filled at a version, fresh or not.
    fn hold(&mut self, name: &str, version: usize, fresh: bool, body: &str) {
        let far = if fresh { u64::MAX >> 12 } else { 1 };
        let envelope = Envelope {
            position: self.at(version),
            found: true,
            tags: Vec::new(),
            fetched_at: UnixMillis(0),
            expires_at: UnixMillis(far),
            stale_until: UnixMillis(u64::MAX >> 12),
            content_type: "text/plain".into(),
            etag: "\"h\"".into(),
            not_stored: None,
        };
        let bytes = entry_codec::encode(&envelope, body.as_bytes());
        let metadata = json!({ "version": version, "popularity": 0 });
        self.kv.insert(format!("tv/{}/{name}", self.epoch()), Stored { bytes, metadata, ttl: 0 });
    }

    /// Returns the envelope and the value under a name of this epoch.
    fn entry(&self, name: &str) -> (Envelope, String) {
        let all: Vec<&String> = self.kv.keys().collect();
        let held = self
            .kv
            .get(&format!("tv/{}/{name}", self.epoch()))
            .unwrap_or_else(|| panic!("{name} in {all:?}"));
        let (envelope, offset, _) = entry_codec::decode(&held.bytes).unwrap();
        (envelope, String::from_utf8_lossy(&held.bytes[offset..]).into_owned())
    }

    fn asked(&self) -> Vec<&str> {
        self.asked.iter().map(|(key, _)| key.as_str()).collect()
    }
}

async fn serve(world: &Shared) -> String {
    let api = async |State(world): State<Shared>,
                     Path((account, namespace, path)): Path<(String, String, String)>,
                     request: Request| {
        assert_eq!((account.as_str(), namespace.as_str()), ("acc", "ns"));
        if request.headers().get("authorization").is_none_or(|token| token != "Bearer cf-s3cret") {
            let body = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#;
            return (StatusCode::FORBIDDEN, body).into_response();
        }
        let method = request.method().clone();
        let body: Bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        lock(&world).api(&method, &path, &body)
    };
    let changes = async |State(world): State<Shared>,
                         headers: HeaderMap,
                         Query(query): Query<HashMap<String, String>>| {
        assert_eq!(headers["authorization"], "Bearer follow");
        lock(&world).page(&query)
    };
    let origin = async |State(world): State<Shared>, Path(key): Path<String>, headers: HeaderMap| {
        lock(&world).ask_origin(&key, &headers)
    };
    let router = Router::new()
        .route("/v1/catalogs/tv/changes", get(changes))
        .route("/tv/{key}", get(origin))
        .route("/client/v4/accounts/{account}/storage/kv/namespaces/{namespace}/{*path}", any(api))
        .with_state(Arc::clone(world));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Fills the keys, one a line, and returns how the command ended.
async fn fill(world: &Shared, keys: &str, words: &str) -> Output {
    let url = serve(world).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hot"), keys).unwrap();
    let words = format!("fill hot --namespace-id ns --account-id acc --token follow --rate 100000 {words}");
    let mut command = newsreel(&url, &words);
    command.env("CLOUDFLARE_API_TOKEN", "cf-s3cret").env("NEWSREEL_API_BASE", format!("{url}/client/v4"));
    command.env("NEWSREEL_ORIGIN", &url).env("NEWSREEL_RETRY_FOR_MS", "2000").current_dir(&folder);
    command.output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, told: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for told in told {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    assert!(!stderr.contains("s3cret"), "{stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_what_an_edge_would_write() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        world.log = vec![
            json!([{ "key": "live:1" }]),
            json!([{ "tag": "other" }, { "key": "title:ü/ 4", "soft": true }]),
            json!([{ "key": "title:3", "op": "remove" }]),
        ];
        world.origin.insert("live:1".into(), ("a,b", b"one".to_vec()));
        world.origin.insert("title:ü/ 4".into(), ("", vec![0, 255]));
    }
    let keys = "{\"key\":\"live:1\",\"reads\":7}\ntitle:2\ntitle:3\ntitle:ü/ 4\n";
    let output = fill(&world, keys, "").await;
    expect(&output, 0, &["fill: 2 filled, 0 kept, 2 absent, 0 failed", "default policies"]);
    let world = lock(&world);
    assert_eq!(world.kv.len(), 3, "{:?}", world.kv.keys());
    let (envelope, value) = world.entry("live:1@1");
    assert_eq!((envelope.position, envelope.found, value.as_str()), (world.at(3), true, "one"));
    assert_eq!((envelope.content_type.as_str(), envelope.etag.as_str()), ("text/plain", "\"e\""));
    assert_eq!(envelope.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(envelope.expires_at, envelope.fetched_at.plus(std::time::Duration::from_secs(5)));
    let held = &world.kv[&format!("tv/{}/live:1@1", world.epoch())];
    assert_eq!((&held.metadata, held.ttl), (&json!({ "version": 3, "popularity": 7 }), 60), "KV's shortest");
    let (envelope, value) = world.entry("title:2@0");
    assert_eq!((envelope.found, value.as_str()), (false, ""));
    let held = &world.kv[&format!("tv/{}/title:ü/ 4@0", world.epoch())];
    assert!((1_209_590..=1_209_600).contains(&held.ttl), "{}", held.ttl);
    assert!(!entry_codec::decode(&held.bytes).unwrap().2, "it is no text");
    assert!(world.asked.iter().all(|(key, at)| key != "title:3" && *at == world.at(3).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_log_tells_the_same() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        world.log = vec![
            json!([{ "key": "a:1" }, { "key": "a:2", "op": "remove" }]),
            json!([{ "key": "a:3" }]),
            json!([{ "key": "a:1" }]),
        ];
        world.folded = 2;
    }
    expect(&fill(&world, "a:1\na:2\na:3\na:4\n", "").await, 0, &["0 filled, 0 kept, 4 absent"]);
    let world = lock(&world);
    let names: Vec<&str> = world.kv.keys().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["a:1@3", "a:3@2", "a:4@0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_older_stays_and_what_may_be_served_is_not_fetched() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        world.log = vec![json!([{ "key": "a:2" }]), json!([{ "key": "a:9" }]), json!([{ "key": "a:9" }])];
        world.hold("a:1@0", 1, true, "fresh");
        world.hold("a:2@1", 1, false, "expired and older");
        world.hold("a:3@0", 3, false, "expired and as new");
        world.hold("a:4@0", 3, true, "fresh");
        let newer = Stored { bytes: b"unreadable".to_vec(), metadata: json!({ "version": 4 }), ttl: 0 };
        let same = Stored { metadata: json!({ "version": 3 }), ..newer.clone() };
        let older = Stored { metadata: json!({ "version": 2 }), ..newer.clone() };
        let name = |name: &str| format!("tv/{}/{name}", world.epoch());
        let (five, six, seven) = (name("a:5@0"), name("a:6@0"), name("a:7@0"));
        world.kv.extend([(five, newer), (six, same), (seven, older)]);
    }
    let keys: String = (1..=7).map(|n| format!("a:{n}\n")).collect();
    expect(&fill(&world, &keys, "--parallel 1").await, 0, &["0 filled, 4 kept, 3 absent, 0 failed"]);
    let world = lock(&world);
    assert_eq!(world.asked(), ["a:2", "a:3", "a:7"]);
    assert_eq!(world.entry("a:1@0").1, "fresh");
    assert_eq!(world.entry("a:7@0").0.position, world.at(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_what_a_change_overtakes_is_dropped_and_asked_for_again() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        for (key, tags) in [("a:1", ""), ("a:2", "t"), ("a:3", ""), ("a:4", ""), ("a:5", "t")] {
            world.origin.insert(key.into(), (tags, b"v".to_vec()));
        }
        let mut during = |key: &str, changes: Vec<Value>| world.meanwhile.insert(key.to_owned(), changes);
        during("a:1", vec![json!([{ "key": "a:1" }])]);
        during("a:2", vec![json!([{ "tag": "t" }])]);
        during("a:3", vec![json!([{ "key": "a:3", "op": "remove" }])]);
        during("a:4", vec![json!([{ "key": "a:4" }]); 9]);
    }
    let output = fill(&world, "a:1\na:2\na:3\na:4\na:5\n", "--parallel 1").await;
    let failed = expect(&output, 1, &["3 filled, 0 kept, 1 absent, 1 failed"]);
    assert!(failed.starts_with(r#"{"key":"a:4","code":"overtaken","#), "{failed}");
    let world = lock(&world);
    assert_eq!(world.kv.len(), 3, "{:?}", world.kv.keys());
    assert!(world.entry("a:1@1").0.position.version.number() >= 4);
    assert!(world.entry("a:2@0").0.position.version.number() >= 4);
    assert!(
        world.entry("a:5@0").0.position.version.number() >= 2,
        "it was asked for before the tag changed, and again"
    );
    assert_eq!(world.asked().iter().filter(|key| **key == "a:4").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_an_epoch_that_begins_meanwhile_gets_its_own_names() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        world.log = vec![json!([{ "key": "a:1" }])];
        world.origin.insert("a:1".into(), ("", b"v".to_vec()));
        world.restore = true;
    }
    expect(&fill(&world, "a:1\n", "").await, 0, &["1 filled"]);
    let world = lock(&world);
    assert_eq!(world.kv.len(), 1);
    assert_eq!(
        world.entry("a:1@0").0.position,
        Position::genesis(Epoch::new(UnixMillis(FIRST + 1), [0; 10]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_no_texts_are_known_by_their_metadata() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        world.binary = true;
        world.hold("a:1@0", 0, true, "x");
        world.origin.insert("a:2".into(), ("", vec![255]));
    }
    expect(&fill(&world, "a:1\na:2\n", "").await, 0, &["1 filled, 1 kept"]);
    assert!(lock(&world).calls.iter().any(|call| call.starts_with("GET metadata/tv/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_written_fails_alone() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        for key in ["a:1", "a:2", "a:refused", "a:down"] {
            world.origin.insert(key.into(), ("", b"v".to_vec()));
        }
        world.origin.insert("a:down".into(), ("", b"down".to_vec()));
        let name = format!("tv/{}/a:2@0", world.epoch());
        world.unwritten.insert(name, 1);
    }
    let output = fill(&world, "a:1\na:2\na:refused\na:down\n", "").await;
    let failed = expect(&output, 1, &["2 filled, 0 kept, 0 absent, 2 failed"]);
    assert!(
        failed.contains(r#""key":"a:refused","code":"not-written","detail":"refused: cloudflare-10033"#),
        "{failed}"
    );
    assert!(failed.contains(r#""key":"a:down","code":"origin-failed""#), "{failed}");
    assert_eq!(lock(&world).kv.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_live_as_the_deployments_policy_says() {
    let world = World::shared();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("w.toml");
    let text = include_str!("../../../wrangler.toml");
    std::fs::write(&config, format!("{text}\n[vars.POLICY.a]\nttl_ms = 100000\nstale_for_ms = 23000\n"))
        .unwrap();
    let words = format!("--config {}", config.display());
    expect(&fill(&world, "a:1\n", &words).await, 0, &["1 absent", "entries live as"]);
    let ttl = lock(&world).kv.values().next().unwrap().ttl;
    assert!((120..=123).contains(&ttl), "{ttl}");
    std::fs::write(&config, "[vars]\nFILL_TOP = 0\n").unwrap();
    expect(&fill(&world, "a:1\n", &words).await, 3, &["FILL_TOP is a whole number from 1 to 100000, not 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_going_on_is_told() {
    let world = World::shared();
    let refused = fill(&world, "a:1\n", "--api-token wrong").await;
    expect(&refused, 4, &["refused: cloudflare-10000: Authentication error"]);
    let dead = fill(&world, "a:1\na:2\n", "--origin http://127.0.0.1:1").await;
    expect(&dead, 5, &["http://127.0.0.1:1/ gives no answer"]);
    let alone = newsreel("http://127.0.0.1:1", "fill hot --namespace-id ns").output().unwrap();
    expect(&alone, 2, &["--account-id", "--api-token"]);
    let mut help = newsreel("http://127.0.0.1:1", "fill --help");
    let help = help.env("CLOUDFLARE_API_TOKEN", "cf-s3cret").env("CLOUDFLARE_ACCOUNT_ID", "cf-s3cret-id");
    assert!(!expect(&help.output().unwrap(), 0, &[]).contains("s3cret"));
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edge_would_not_store_is_not_filled() {
    let world = World::shared();
    let value = || b"value".to_vec();
    {
        let mut world = lock(&world);
        let mut answer = |key: &str, status, headers, body| {
            world.answers.insert(format!("a:{key}"), (status, headers, body))
        };
        answer("moved", 302, vec![("location", "/tv/a:login")], b"moved".to_vec());
        answer("login", 200, vec![("content-type", "text/html")], b"<form>".to_vec());
        answer("private", 200, vec![("cache-control", "private")], value());
        answer("never", 404, vec![("cache-control", "no-store")], Vec::new());
        answer("varies", 200, vec![("vary", "Accept-Encoding"), ("vary", "Cookie")], value());
        answer("zstd", 200, vec![("content-encoding", "zstd")], value());
        answer("broken", 200, vec![("content-encoding", "gzip")], value());
    }
    let keys = "a:moved\na:private\na:never\na:varies\na:zstd\na:broken\n";
    let failed = expect(&fill(&world, keys, "").await, 1, &["0 filled, 0 kept, 0 absent, 6 failed"]);
    for (key, code, why) in [
        ("moved", "origin-failed", "302"),
        ("moved", "origin-failed", "/tv/a:login"),
        ("private", "not-storable", "private"),
        ("never", "not-storable", "no-store"),
        ("varies", "not-storable", "Cookie"),
        ("zstd", "origin-failed", "zstd"),
        ("broken", "origin-failed", "gzip"),
    ] {
        let start = format!(r#"{{"key":"a:{key}","code":"{code}","#);
        let line = failed.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains(why)), "{key}: {failed}");
    }
    let world = lock(&world);
    assert!(world.kv.is_empty() && !world.asked().contains(&"a:login"), "{:?}", world.asked());
    let asked = |key: &str| world.asked().iter().filter(|one| **one == key).count();
    assert_eq!(
        (asked("a:private"), asked("a:moved")),
        (1, 3),
        "a failure may pass, what is private stays so"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_origin_says_of_its_value_is_read_as_an_edge_reads_it() {
    let world = World::shared();
    {
        let mut world = lock(&world);
        let headers = vec![
            ("content-encoding", "gzip"),
            ("etag", "no-quotes"),
            ("cache-tag", "a"),
            ("surrogate-key", "b a"),
            ("cache-control", "max-age=100, must-revalidate"),
        ];
        world.answers.insert("a:1".into(), (200, headers, packed(b"value")));
    }
    expect(&fill(&world, "a:1\n", "").await, 0, &["1 filled"]);
    let world = lock(&world);
    let (envelope, value) = world.entry("a:1@0");
    assert_eq!(value, "value");
    assert_eq!(envelope.etag, newsreel_core::read::cache::etag_of(b"value"));
    assert_eq!(envelope.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let life = std::time::Duration::from_secs(100);
    assert_eq!(envelope.expires_at, envelope.fetched_at.plus(life));
    assert_eq!(envelope.stale_until, envelope.expires_at);
}
