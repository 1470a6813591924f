//! Values from the origin, as an edge would take them: the same headers, the same stamp, the same stored bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use newsreel_core::read::cache::{Envelope, Read, etag_of};
use newsreel_core::read::entry_codec;
use newsreel_core::read::policy::Policy;
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::{Catalog, Position, Tag, UnixMillis};
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap};
use reqwest::{Client, Url};

use super::super::keys::Hot;
use crate::exit::Failure;
use crate::http::{self, CallError, exchange, pause};

/// How often a key is asked for before it has failed.
const ATTEMPTS: u32 = 3;

/// The origin of a catalog.
#[derive(Clone)]
pub(super) struct OriginClient {
    client: Client,
    /// Up to the slash before the key.
    url: String,
}

/// An entry as it is to be stored.
pub(super) struct Fetched {
    pub(super) hot: Hot,
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// A key that the origin gave nothing for.
pub(super) struct Missed {
    pub(super) hot: Hot,
    pub(super) why: String,
    /// Whether it answered at all.
    pub(super) answered: bool,
}

impl OriginClient {
    /// Returns the origin at an address.
    pub(super) fn new(address: &Url, catalog: &Catalog) -> Result<Self, Failure> {
        let url = format!("{}/{catalog}/", address.as_str().trim_end_matches('/'));
        Ok(Self { client: http::client(address)?, url })
    }

    /// Asks for a value, a few times if need be. The entry is stamped with `position`, which was known before.
    pub(super) async fn fetch(self, hot: Hot, policy: Policy, position: Position) -> Result<Fetched, Missed> {
        let read = Read::new(hot.key.clone(), policy, None);
        let mut missed = (String::new(), false);
        for failures in 0..ATTEMPTS {
            if failures > 0 {
                tokio::time::sleep(pause(failures)).await;
            }
            let fetched_at = now();
            let request = self.client.get(format!("{}{}", self.url, encoded_key(&hot.key)));
            let answer = match exchange(request.header("Newsreel-Version", position.to_string())).await {
                Ok(answer) => answer,
                Err(CallError::Passing { why, .. } | CallError::Refused { detail: why, .. }) => {
                    missed = (why, false);
                    continue;
                }
                Err(CallError::Redirected { to, .. }) => {
                    missed = (format!("the origin sends requests on to {to}"), true);
                    continue;
                }
                Err(CallError::WrongServer(why)) => {
                    missed = (why.to_string(), true);
                    continue;
                }
            };
            let entry = match answer.status.as_u16() {
                200 => found(&read, position, fetched_at, &answer.headers, &answer.body),
                404 | 410 => {
                    let (tags, none) = (Vec::new(), String::new);
                    Ok(read.filled(position, fetched_at, false, tags, none(), none()))
                }
                other => Err(format!("the origin answered {other}")),
            };
            match entry {
                Ok(envelope) => {
                    let body = if envelope.found { answer.body.as_slice() } else { &[] };
                    let bytes = entry_codec::encode(&envelope, body);
                    return Ok(Fetched { hot, envelope, bytes });
                }
                Err(why) => missed = (why, true),
            }
            if let Some(after) = answer.retry_after() {
                tokio::time::sleep(after.min(Duration::from_secs(5))).await;
            }
        }
        let (why, answered) = missed;
        Err(Missed { hot, why, answered })
    }
}

/// Returns the moment by this machine's clock.
pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::default().plus(since)
}

fn found(
    read: &Read,
    position: Position,
    fetched_at: UnixMillis,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Envelope, String> {
    let mut tags = tags_of(headers, "Cache-Tag")?;
    if tags.is_empty() {
        tags = tags_of(headers, "Surrogate-Key")?;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let content_type = text(CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned();
    let etag = text(ETAG).map_or_else(|| etag_of(body), str::to_owned);
    Ok(read.filled(position, fetched_at, true, tags, content_type, etag))
}

fn tags_of(headers: &HeaderMap, name: &str) -> Result<Vec<Tag>, String> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines: Vec<_> = lines.collect();
    tags_from_header(&lines.join(",")).map_err(|why| format!("{name}: {why}"))
}
