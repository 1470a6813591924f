//! Workers KV over Cloudflare's REST API: reads of many names, and writes of many pairs, at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use newsreel_core::read::cache::Envelope;
use newsreel_core::read::entry_codec;
use reqwest::header::HeaderValue;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::http::{self, CallError, call_while_alive, pause};

/// The kind of server that is expected at the address.
const API: &str = "Cloudflare's API";
/// How long a write of up to 100 MB may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a pair is written that the API says it could not write.
const ATTEMPTS: u32 = 4;

/// A client of Cloudflare's API for one KV namespace.
pub(super) struct KvApi {
    client: Client,
    base: Url,
    account: String,
    namespace: String,
    bearer: HeaderValue,
    retry_for: Duration,
}

/// The entry under a name, as far as the API tells.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The version of the metadata.
    pub(super) version: Option<u64>,
    /// The envelope, where the value could be read.
    pub(super) envelope: Option<Envelope>,
}

/// An entry to write, with its name.
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// How long KV keeps the entry.
    pub(super) life: Duration,
    pub(super) version: u64,
    pub(super) popularity: u64,
}

impl KvApi {
    /// Returns a client of one namespace.
    pub(super) fn new(
        base: &Url,
        account: String,
        namespace: String,
        bearer: HeaderValue,
        retry_for: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self { client: http::client(base)?, base: base.clone(), account, namespace, bearer, retry_for })
    }

    /// Returns the entry under each of at most 100 names; a name without one is left out.
    pub(super) async fn look(&self, names: &[String]) -> Result<BTreeMap<String, Held>, Failure> {
        #[derive(Deserialize)]
        struct Values {
            values: BTreeMap<String, Option<One>>,
        }
        #[derive(Deserialize)]
        struct One {
            value: Value,
            metadata: Value,
        }
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let body = json!({ "keys": names, "type": "text", "withMetadata": true }).to_string();
        let request = || self.request(Method::POST, &["bulk", "get"]).body(body.clone());
        let Values { values } = match self.call(request).await {
            Ok(answer) => answer,
            // The bulk read takes texts only, of limited size together. The metadata of each name can always
            // be read.
            Err(Failure::Refused { .. }) => return self.look_at_each(names).await,
            Err(other) => return Err(other),
        };
        let held = values.into_iter().filter_map(|(name, one)| one.map(|one| (name, one)));
        Ok(held
            .map(|(name, One { value, metadata })| {
                // The envelope before the value is a text, also where the value is binary.
                let envelope = value.as_str().and_then(|text| entry_codec::decode(text.as_bytes()));
                (
                    name,
                    Held {
                        version: version_of(&metadata),
                        envelope: envelope.map(|(envelope, ..)| envelope),
                    },
                )
            })
            .collect())
    }

    async fn look_at_each(&self, names: &[String]) -> Result<BTreeMap<String, Held>, Failure> {
        let mut all = BTreeMap::new();
        for name in names {
            let ask = || async {
                match http::call(self.request(Method::GET, &["metadata", name]), API).await {
                    Err(CallError::Refused { status, .. }) if status.as_u16() == 404 => Ok(None),
                    answer => answer.map(Some),
                }
            };
            if let Some(answer) = call_while_alive(&self.base, self.retry_for, ask).await? {
                let metadata: Value = self.result_of(&answer)?;
                all.insert(name.clone(), Held { version: version_of(&metadata), envelope: None });
            }
        }
        Ok(all)
    }

    /// Writes pairs, of at most 100 MB together. Returns those that could not be written, each with why.
    pub(super) async fn put(&self, pairs: &[Pair]) -> Result<BTreeMap<String, String>, Failure> {
        match self.put_at_once(pairs).await {
            // The API refuses all pairs if it refuses one.
            Err(Failure::Refused { .. }) if pairs.len() > 1 => {
                let mut unwritten = BTreeMap::new();
                for pair in pairs {
                    match self.put_at_once(std::slice::from_ref(pair)).await {
                        Ok(again) => unwritten.extend(again),
                        Err(refused @ Failure::Refused { .. }) => {
                            unwritten.insert(pair.name.clone(), refused.to_string());
                        }
                        Err(other) => return Err(other),
                    }
                }
                // When every pair is refused, the pairs are not the reason.
                if unwritten.len() < pairs.len() { Ok(unwritten) } else { self.put_at_once(pairs).await }
            }
            outcome => outcome,
        }
    }

    async fn put_at_once(&self, pairs: &[Pair]) -> Result<BTreeMap<String, String>, Failure> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(default)]
            unsuccessful_keys: BTreeSet<String>,
        }
        let mut left: Vec<&Pair> = pairs.iter().collect();
        for failures in 0..ATTEMPTS {
            if left.is_empty() {
                break;
            }
            if failures > 0 {
                // KV takes one write a second of a name.
                tokio::time::sleep(Duration::from_secs(1) + pause(failures)).await;
            }
            let body = Bytes::from(Value::from_iter(left.iter().map(|pair| pair.json())).to_string());
            let put = || self.request(Method::PUT, &["bulk"]).timeout(WRITE_TIMEOUT).body(body.clone());
            let Written { unsuccessful_keys } = self.call(put).await?;
            left.retain(|pair| unsuccessful_keys.contains(&pair.name));
        }
        let why = "KV could not write it, also when asked again";
        Ok(left.into_iter().map(|pair| (pair.name.clone(), why.to_owned())).collect())
    }

    async fn call<T: DeserializeOwned>(&self, request: impl Fn() -> RequestBuilder) -> Result<T, Failure> {
        let answer = call_while_alive(&self.base, self.retry_for, || http::call(request(), API)).await?;
        self.result_of(&answer)
    }

    fn result_of<T: DeserializeOwned>(&self, answer: &str) -> Result<T, Failure> {
        http::read(&self.base, API, answer).map(|Wrapped { result }| result)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let namespace = ["accounts", &self.account, "storage", "kv", "namespaces", &self.namespace];
            segments.pop_if_empty().extend(namespace).extend(path);
        }
        let request = self.client.request(method, url).header("Authorization", &self.bearer);
        request.header("Content-Type", "application/json")
    }
}

impl Pair {
    fn json(&self) -> Value {
        json!({
            "key": self.name,
            "value": STANDARD.encode(&self.bytes),
            "base64": true,
            // Its shortest.
            "expiration_ttl": self.life.as_secs().max(60),
            "metadata": { "version": self.version, "popularity": self.popularity },
        })
    }
}

fn version_of(metadata: &Value) -> Option<u64> {
    metadata.get("version").and_then(Value::as_u64)
}

/// The object that the API wraps a result in.
#[derive(Deserialize)]
struct Wrapped<T> {
    result: T,
}
