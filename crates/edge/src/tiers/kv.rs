//! Workers KV: names hold the key's generation, so an older copy is never asked for.
//!
//! KV takes one write a second for a name. Writes of one isolate are joined here ([`Writes`]): while one is
//! under way or was just made, the newest entry waits for its turn and the others are dropped. A write that
//! KV refuses (429) is tried again; the floor holds meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::wire::{UnixMillis, Version};
use serde::Serialize;
use wasm_bindgen::JsValue;
use worker::{Delay, Env, KvError, KvStore, Result};

use super::Entry;
use crate::clock::now;
use crate::config::ENTRIES;
use crate::streams;

/// How long KV's own copy at a location may be served without asking; its shortest, in seconds.
const CACHE_TTL: u64 = 30;
/// KV's shortest life of a value, in seconds.
const LEAST_TTL: u64 = 60;
/// KV takes one write a second for a name.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// How long a request that writes a name keeps others from writing it. A deadline, for `wait_until` may have
/// ended the request meanwhile.
const WRITING: Duration = Duration::from_secs(10);
/// How often a write is tried; between two tries the back-off doubles.
const TRIES: u32 = 4;

thread_local! {
    static WRITES: RefCell<Writes> = const { RefCell::new(Writes(BTreeMap::new())) };
}

/// Tells an operator who lists KV's entries how new and how hot each one is.
#[derive(Serialize)]
struct Metadata {
    version: Version,
    popularity: u64,
}

fn namespace(env: &Env) -> Result<KvStore> {
    env.kv(ENTRIES).map_err(|_| format!("there is no KV namespace bound as {ENTRIES}").into())
}

/// Returns an error of KV with the text of its JavaScript error, which the text of a [`KvError`] hides.
fn of_platform(error: KvError) -> worker::Error {
    JsValue::from(error).into()
}

/// Returns the entry that KV has under a name.
pub(crate) async fn get(env: &Env, name: &str) -> Result<Option<Entry>> {
    let stream = namespace(env)?.get(name).cache_ttl(CACHE_TTL).stream().await.map_err(of_platform)?;
    let Some(stream) = stream else { return Ok(None) };
    Ok(Entry::from_array(&streams::read(Some(&stream)).await?))
}

/// Returns the entries that KV has under up to 100 names, by one call. A name missing from the map has to be
/// asked for alone: its value is no text, or all together are over 25 MB.
pub(crate) async fn get_many(env: &Env, names: &[String]) -> BTreeMap<String, Option<Entry>> {
    if names.len() < 2 {
        return BTreeMap::new();
    }
    let Ok(kv) = namespace(env) else { return BTreeMap::new() };
    let texts = kv.get_bulk(names).cache_ttl(CACHE_TTL).text().await.unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(name, text)| match text {
            None => Some((name, None)),
            // Bytes that are no text arrive mangled, so they are read alone.
            Some(text) => text.starts_with("NRE2t").then(|| (name, Entry::from_bytes(text.as_bytes()))),
        })
        .collect()
}

/// Puts an entry into KV, for as long as it may be served at all.
///
/// # Errors
/// When KV would not take it, several times.
pub(crate) async fn put(env: &Env, name: &str, entry: Entry, popularity: u64) -> Result<()> {
    let Some(mut wait) = WRITES.with_borrow_mut(|writes| writes.offer(name, entry, now())) else {
        return Ok(());
    };
    let mut failures = 0;
    loop {
        if !wait.is_zero() {
            Delay::from(wait).await;
        }
        let Some(entry) = WRITES.with_borrow_mut(|writes| writes.take(name, now())) else { return Ok(()) };
        let written = write(env, name, &entry, popularity).await;
        wait = BETWEEN_WRITES;
        match written {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures == TRIES {
                    WRITES.with_borrow_mut(|writes| writes.forget(name));
                    return Err(error);
                }
                WRITES.with_borrow_mut(|writes| writes.failed(name, entry));
                wait = BETWEEN_WRITES * (1 << failures);
            }
        }
        // No entry waits: the turn is given back at once, and the time of this write is kept for the next.
        if WRITES.with_borrow_mut(|writes| writes.done(name, now())) {
            return Ok(());
        }
    }
}

async fn write(env: &Env, name: &str, entry: &Entry, popularity: u64) -> Result<()> {
    let array = entry.to_array().ok_or("a value that is not at hand cannot be put into KV")?;
    let life = entry.envelope.stale_until.since(now()).as_secs().max(LEAST_TTL);
    let version = entry.envelope.position.version;
    let put = namespace(env)?.put_stream(name, streams::stream_of(&array)?).map_err(of_platform)?;
    let put = put.expiration_ttl(life).metadata(Metadata { version, popularity }).map_err(of_platform)?;
    put.execute().await.map_err(of_platform)
}

/// Deletes the entry under a name.
pub(crate) async fn delete(env: &Env, name: &str) -> Result<()> {
    namespace(env)?.delete(name).await.map_err(of_platform)
}

/// The writes of this isolate that are under way or were just made, by name.
struct Writes(BTreeMap<String, Write>);

/// The writes of one name.
#[derive(Default)]
struct Write {
    /// The newest entry that waits to be written; older ones are dropped.
    waiting: Option<Entry>,
    /// Until when a request has the turn to write this name; in the past when none has.
    until: UnixMillis,
    /// When the last write of this name ended, well or not.
    last: UnixMillis,
}

impl Writes {
    /// Leaves an entry to be written; returns how long to wait before writing, or `None` when another request
    /// has the turn and writes this entry too.
    fn offer(&mut self, name: &str, entry: Entry, now: UnixMillis) -> Option<Duration> {
        self.0.retain(|_, write| now < write.until || now < write.last.plus(BETWEEN_WRITES));
        let write = self.0.entry(name.to_owned()).or_default();
        if write.waiting.as_ref().is_none_or(|held| held.envelope.rank() <= entry.envelope.rank()) {
            write.waiting = Some(entry);
        }
        if now < write.until {
            return None;
        }
        write.until = now.plus(WRITING);
        Some(write.last.plus(BETWEEN_WRITES).since(now).min(BETWEEN_WRITES))
    }

    fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Takes the entry that waits to be written, and keeps the turn.
    fn take(&mut self, name: &str, now: UnixMillis) -> Option<Entry> {
        let write = self.0.get_mut(name)?;
        write.until = now.plus(WRITING);
        write.waiting.take()
    }

    /// Leaves an entry that could not be written, unless a newer one waits by now.
    fn failed(&mut self, name: &str, entry: Entry) {
        if let Some(write) = self.0.get_mut(name) {
            write.waiting.get_or_insert(entry);
        }
    }

    /// Notes that a write ended. If no other entry waits, gives the turn back and returns true.
    fn done(&mut self, name: &str, now: UnixMillis) -> bool {
        let Some(write) = self.0.get_mut(name) else { return true };
        write.last = now;
        if write.waiting.is_some() {
            write.until = now.plus(WRITING);
            return false;
        }
        write.until = UnixMillis(0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::tests::entry;
    use super::*;

    const NAME: &str = "tv/E/title:1@0";

    fn writes() -> Writes {
        Writes(BTreeMap::new())
    }

    fn version(entry: Option<Entry>) -> Option<u64> {
        entry.map(|entry| entry.envelope.position.version.number())
    }

    #[test]
    fn a_first_write_goes_at_once_and_the_next_a_second_later() {
        let (mut writes, start) = (writes(), UnixMillis(100_000));
        assert_eq!(writes.offer(NAME, entry(1, b"a"), start), Some(Duration::ZERO));
        assert_eq!(version(writes.take(NAME, start)), Some(1));
        assert!(writes.done(NAME, start));
        let soon = start.plus(Duration::from_millis(300));
        assert_eq!(writes.offer(NAME, entry(2, b"b"), soon), Some(Duration::from_millis(700)));
        assert_eq!(writes.offer("another", entry(2, b"b"), soon), Some(Duration::ZERO));
        let later = start.plus(Duration::from_secs(20));
        assert_eq!(writes.offer(NAME, entry(3, b"c"), later), Some(Duration::ZERO));
        assert!(!writes.0.contains_key("another"), "what is over is forgotten");
    }

    #[test]
    fn while_one_writes_the_newest_waits_and_the_others_are_dropped() {
        let (mut writes, now) = (writes(), UnixMillis(100_000));
        assert!(writes.offer(NAME, entry(1, b"a"), now).is_some());
        assert_eq!(version(writes.take(NAME, now)), Some(1));
        for number in [3, 5, 4] {
            assert_eq!(writes.offer(NAME, entry(number, b"b"), now), None, "somebody is at it");
        }
        assert!(!writes.done(NAME, now));
        assert_eq!(version(writes.take(NAME, now)), Some(5));
        assert!(writes.done(NAME, now));
    }

    #[test]
    fn an_entry_that_kv_refused_waits_unless_a_newer_one_does() {
        let (mut writes, now) = (writes(), UnixMillis(100_000));
        writes.offer(NAME, entry(1, b"a"), now);
        let refused = writes.take(NAME, now).unwrap();
        writes.failed(NAME, refused.clone());
        assert_eq!(version(writes.take(NAME, now)), Some(1));
        writes.offer(NAME, entry(2, b"b"), now);
        writes.failed(NAME, refused);
        assert_eq!(version(writes.take(NAME, now)), Some(2));
    }

    #[test]
    fn a_request_that_ended_amid_its_write_keeps_no_other_from_writing_for_long() {
        let (mut writes, now) = (writes(), UnixMillis(100_000));
        writes.offer(NAME, entry(1, b"a"), now);
        assert_eq!(writes.offer(NAME, entry(2, b"b"), now), None);
        let later = now.plus(WRITING);
        assert_eq!(writes.offer(NAME, entry(3, b"c"), later), Some(Duration::ZERO));
        assert_eq!(version(writes.take(NAME, later)), Some(3));
    }
}
