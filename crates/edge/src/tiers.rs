//! Where entries are kept: this isolate's memory, Workers KV; and the origin they come from.
//!
//! One format everywhere: `NRE1`, the length of the envelope (4 bytes, little endian), the envelope as JSON,
//! the value. Decides nothing: what a tier gives is judged by `core::cache`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use lru::LruCache;
use newsreel_core::cache::{Envelope, Read, etag_of};
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::route::encoded_key;
use newsreel_core::wire::{Catalog, Epoch, Key, Position, Version};
use worker::{AbortController, Delay, Env, Fetch, Headers, Response, Result};

use crate::config::{Config, ENTRIES};
use crate::{link, now};

const MAGIC: &[u8; 4] = b"NRE1";
/// How many bytes of values and names an isolate keeps of a catalog; an isolate has 128 MB for everything.
const MEMORY_BYTES: usize = 32 << 20;
/// The largest value kept in memory.
const MEMORY_ENTRY_BYTES: usize = 1 << 20;
/// The largest value KV takes.
const KV_VALUE_BYTES: usize = 25 << 20;
/// KV's shortest life of a value, in seconds.
const KV_LEAST_TTL: u64 = 60;
/// How long KV's own copy at a location may be served without asking; its shortest. The name holds the key's
/// generation, so an older copy is never asked for.
const KV_CACHE_TTL: u64 = 30;
/// How long the origin may think.
const ORIGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A value with its envelope.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) envelope: Envelope,
    pub(crate) body: Rc<[u8]>,
}

impl Entry {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let envelope = serde_json::to_vec(&self.envelope)?;
        let length = u32::try_from(envelope.len()).map_err(|_| "an envelope is far below 4 GiB")?;
        let mut bytes = Vec::with_capacity(8 + envelope.len() + self.body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&envelope);
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    /// Reads stored bytes; `None` for what another program, or a later format, wrote there.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (envelope, body) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let envelope = std::str::from_utf8(envelope).ok()?;
        Some(Self { envelope: serde_json::from_str(envelope).ok()?, body: body.into() })
    }
}

/// The memory tier: the entries read last, up to 32 MiB.
pub(crate) struct Memory {
    entries: LruCache<Key, Entry>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0 }
    }
}

impl Memory {
    /// Returns what is kept of a key.
    pub(crate) fn get(&mut self, key: &Key) -> Option<Entry> {
        self.entries.get(key).cloned()
    }

    /// Keeps an entry, unless a newer fill is kept or it is too large.
    pub(crate) fn put(&mut self, key: &Key, entry: Entry) {
        let weight = weight(key, &entry);
        if weight > MEMORY_ENTRY_BYTES || self.entries.peek(key).is_some_and(|held| is_newer(held, &entry)) {
            return;
        }
        self.bytes += weight;
        if let Some((key, replaced)) = self.entries.push(key.clone(), entry) {
            self.bytes -= crate::tiers::weight(&key, &replaced);
        }
        while self.bytes > MEMORY_BYTES {
            let Some((key, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= crate::tiers::weight(&key, &oldest);
        }
    }
}

fn is_newer(held: &Entry, entry: &Entry) -> bool {
    let rank = |entry: &Entry| {
        let Position { epoch, version, .. } = entry.envelope.position;
        (epoch, version, entry.envelope.fetched_at)
    };
    rank(held) > rank(entry)
}

fn weight(key: &Key, entry: &Entry) -> usize {
    // The envelope and the cache's own node take about 400 bytes.
    400 + key.as_str().len() + entry.body.len()
}

/// Returns what KV names of a catalog's log begin with.
pub(crate) fn kv_prefix(catalog: &Catalog, epoch: &Epoch) -> String {
    format!("{catalog}/{epoch}/")
}

/// Returns the KV name of a key's generation.
pub(crate) fn kv_name(catalog: &Catalog, epoch: &Epoch, key: &Key, generation: Version) -> String {
    format!("{}{key}@{generation}", kv_prefix(catalog, epoch))
}

/// Returns what KV has under a name.
pub(crate) async fn kv_get(env: &Env, name: &str) -> Result<Option<Entry>> {
    let bytes = env.kv(ENTRIES)?.get(name).cache_ttl(KV_CACHE_TTL).bytes().await?;
    Ok(bytes.and_then(|bytes| Entry::from_bytes(&bytes)))
}

/// Puts an entry into KV, for as long as it may be served at all. Too large a value stays out.
pub(crate) async fn kv_put(env: &Env, name: &str, entry: &Entry) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Metadata {
        version: u64,
    }
    if entry.body.len() > KV_VALUE_BYTES - (64 << 10) {
        return Ok(());
    }
    let life = entry.envelope.stale_until.since(now()).as_secs().max(KV_LEAST_TTL);
    let metadata = Metadata { version: entry.envelope.position.version.number() };
    let put = env.kv(ENTRIES)?.put_bytes(name, &entry.to_bytes()?)?;
    Ok(put.expiration_ttl(life).metadata(metadata)?.execute().await?)
}

/// Asks the origin. The entry is stamped with `position`, which was known before.
///
/// # Errors
/// When the origin gives no answer in time, or one that is neither a value nor "not found".
pub(crate) async fn fetch(
    config: &Config,
    catalog: &Catalog,
    key: &Key,
    read: &Read,
    position: Position,
) -> Result<Entry> {
    let fetched_at = now();
    let headers = Headers::new();
    headers.set("Newsreel-Version", &position.to_string())?;
    let request = link::get(&format!("{}/{catalog}/{}", config.origin, encoded_key(key)), &headers)?;
    let abort = AbortController::default();
    let signal = abort.signal();
    let answer = Box::pin(async move {
        let mut response = Fetch::Request(request).send_with_signal(&signal).await?;
        let body = response.bytes().await?;
        Ok::<_, worker::Error>((response, body))
    });
    let (response, body) = match select(answer, Box::pin(Delay::from(ORIGIN_TIMEOUT))).await {
        Either::Left((answer, _)) => answer?,
        Either::Right(_) => {
            abort.abort();
            return Err("the origin did not answer in time".into());
        }
    };
    match response.status_code() {
        200 => found(read, position, fetched_at, &response, body),
        404 | 410 => {
            let (tags, none) = (Vec::new(), Vec::new());
            let envelope = read.filled(position, fetched_at, false, tags, String::new(), String::new());
            Ok(Entry { envelope, body: none.into() })
        }
        other => Err(format!("the origin answered {other}").into()),
    }
}

fn found(
    read: &Read,
    position: Position,
    fetched_at: newsreel_core::wire::UnixMillis,
    response: &Response,
    body: Vec<u8>,
) -> Result<Entry> {
    let header = |name: &str| response.headers().get(name).map(Option::unwrap_or_default);
    let mut tags = tags_from_header(&header("Cache-Tag")?).map_err(|why| format!("Cache-Tag: {why}"))?;
    if tags.is_empty() {
        tags = tags_from_header(&header("Surrogate-Key")?).map_err(|why| format!("Surrogate-Key: {why}"))?;
    }
    let content_type = Some(header("Content-Type")?).filter(|text| !text.is_empty());
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let etag = Some(header("ETag")?).filter(|text| !text.is_empty()).unwrap_or_else(|| etag_of(&body));
    let envelope = read.filled(position, fetched_at, true, tags, content_type, etag);
    Ok(Entry { envelope, body: body.into() })
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Tag, UnixMillis};

    use super::*;

    fn entry(version: u64, body: &[u8]) -> Entry {
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let position = Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) };
        let at = UnixMillis(1_000);
        let envelope = Envelope {
            position,
            found: true,
            tags: vec![Tag::new("a").unwrap()],
            fetched_at: at,
            expires_at: at,
            stale_until: at,
            content_type: "text/plain".to_owned(),
            etag: "\"x\"".to_owned(),
        };
        Entry { envelope, body: body.into() }
    }

    fn key(id: usize) -> Key {
        Key::new(format!("title:{id}")).unwrap()
    }

    #[test]
    fn an_entry_survives_its_bytes_and_what_is_none_is_no_entry() {
        let stored = entry(7, b"\x00\xff value").to_bytes().unwrap();
        let back = Entry::from_bytes(&stored).unwrap();
        assert_eq!((back.envelope, &*back.body), (entry(7, b"").envelope, &b"\x00\xff value"[..]));
        for cut in 0..stored.len() - 8 {
            assert!(Entry::from_bytes(&stored[..cut]).is_none(), "cut at {cut}");
        }
        assert!(Entry::from_bytes(b"NRE1\xff\xff\xff\xff{}").is_none());
        assert!(Entry::from_bytes(b"other").is_none());
    }

    #[test]
    fn s2_a_late_fill_never_replaces_a_newer_one_in_memory() {
        let mut memory = Memory::default();
        memory.put(&key(1), entry(8, b"new"));
        memory.put(&key(1), entry(7, b"old"));
        assert_eq!(&*memory.get(&key(1)).unwrap().body, b"new");
        memory.put(&key(1), entry(9, b"newer"));
        assert_eq!(&*memory.get(&key(1)).unwrap().body, b"newer");
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_keeps_what_was_read_last() {
        let mut memory = Memory::default();
        let body = vec![0; MEMORY_ENTRY_BYTES - 1_000];
        memory.put(&key(0), entry(1, &body));
        for id in 1..100 {
            memory.put(&key(id), entry(1, &body));
            assert!(memory.get(&key(0)).is_some(), "it is read all the time");
        }
        assert!(memory.bytes <= MEMORY_BYTES && memory.bytes > MEMORY_BYTES / 2);
        assert!(memory.get(&key(1)).is_none());
        memory.put(&key(200), entry(1, &vec![0; MEMORY_ENTRY_BYTES]));
        assert!(memory.get(&key(200)).is_none(), "too large to be worth it");
    }

    #[test]
    fn the_longest_kv_name_fits() {
        let catalog = Catalog::new("c".repeat(64)).unwrap();
        let key = Key::new(format!("t:{}", "x".repeat(398))).unwrap();
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        assert!(kv_name(&catalog, &epoch, &key, Version::MAX).len() <= 512);
    }
}
