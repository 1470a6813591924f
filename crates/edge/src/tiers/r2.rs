//! R2: strongly consistent, one object a key, for all of the key's generations.
//!
//! Every write is conditional on the object that was seen: an entry never replaces a newer one, in any order
//! of writers. An object's metadata repeats how new its entry is, so that a writer need not read the object.

use js_sys::{Promise, Reflect, Uint8Array};
use newsreel_core::read::cache::{Envelope, Rank};
use newsreel_core::read::entry_codec;
use newsreel_core::wire::{Epoch, UnixMillis, Version};
use std::rc::Rc;
use wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStream;
use worker::{Env, Result};

use super::entry::{HEAD_BYTES, Stored};
use super::{Body, Entry, KV_VALUE_BYTES};
use crate::config::COPIES;
use crate::js::{self, R2, R2Object};

/// How often a write is tried when other writers break its condition.
const TRIES: u32 = 3;

/// The object that R2 was seen to have under a name.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// R2 has no object of this name.
    Nothing,
    /// R2 has an object of this name.
    There {
        /// The object's tag, which covers the envelope too: it is part of the bytes.
        etag: String,
        /// How new its entry is; `None` where another program wrote the object.
        rank: Option<Rank>,
    },
}

fn bucket(env: &Env) -> Result<R2> {
    js::binding(env, COPIES).ok_or_else(|| format!("there is no R2 bucket bound as {COPIES}").into())
}

/// Returns the entry that R2 has under a name, and what a write needs to replace it.
pub(crate) async fn get(env: &Env, name: &str) -> Result<(Option<Entry>, Seen)> {
    find(&bucket(env)?, name).await
}

async fn find(bucket: &R2, name: &str) -> Result<(Option<Entry>, Seen)> {
    let Some(object) = bucket.get(name, "{}").await? else { return Ok((None, Seen::Nothing)) };
    let entry = if object.size() <= u64::from(KV_VALUE_BYTES) {
        Entry::from_array(&object.bytes().await?)
    } else {
        object.leave();
        large(bucket, name, &object).await?
    };
    let rank = entry.as_ref().map(|entry| entry.envelope.rank());
    Ok((entry, Seen::There { etag: object.etag(), rank }))
}

/// Returns an entry whose value stays where it is.
async fn large(bucket: &R2, name: &str, object: &R2Object) -> Result<Option<Entry>> {
    let etag = object.etag();
    let how =
        format!(r#"{{"range":{{"offset":0,"length":{HEAD_BYTES}}},"onlyIf":{{"etagMatches":"{etag}"}}}}"#);
    let Some(head) = bucket.get(name, &how).await?.filter(|head| head.body().is_some()) else {
        return Ok(None);
    };
    let bytes = head.bytes().await?.to_vec();
    Ok(entry_codec::decode(&bytes).map(|(envelope, offset, _)| {
        let offset = offset as u64;
        let length = object.size().saturating_sub(offset);
        Entry {
            envelope,
            body: Body::Stored(Rc::new(Stored { name: name.to_owned(), etag, offset, length })),
        }
    }))
}

/// Returns a part of a value that stays in R2; `None` when the object is another one by now.
pub(crate) async fn read(
    env: &Env,
    stored: &Stored,
    from: u64,
    length: u64,
) -> Result<Option<ReadableStream>> {
    let how = format!(
        r#"{{"range":{{"offset":{},"length":{length}}},"onlyIf":{{"etagMatches":"{}"}}}}"#,
        stored.offset + from,
        stored.etag,
    );
    let object = bucket(env)?.get(&stored.name, &how).await?;
    Ok(object.and_then(|object| object.body()))
}

/// Puts an entry into R2, unless the entry there is as new.
///
/// # Errors
/// When R2 would not take the entry, or other writers were faster [`TRIES`] times.
pub(crate) async fn put(env: &Env, name: &str, entry: &Entry, seen: Option<Seen>) -> Result<()> {
    let Some(array) = entry.to_array() else { return Ok(()) };
    let bucket = bucket(env)?;
    let mut seen = seen;
    for _ in 0..TRIES {
        let held = match seen.take() {
            Some(seen) => seen,
            None => look(&bucket, name, entry.envelope.position.epoch).await?,
        };
        let Some(how) = condition(&held, &entry.envelope) else { return Ok(()) };
        if bucket.put(name, &array, &how).await?.is_some() {
            return Ok(());
        }
    }
    Err("others wrote to R2 at the same time, again and again".into())
}

/// Streams a value too large for memory into R2, and returns the entry that R2 then has: this
/// one, or a newer.
///
/// # Errors
/// When the origin or R2 gave up half-way; R2 then keeps its old object.
pub(crate) async fn take(
    env: &Env,
    name: &str,
    envelope: Envelope,
    value: &ReadableStream,
    length: u64,
) -> Result<Entry> {
    let bucket = bucket(env)?;
    let held = look(&bucket, name, envelope.position.epoch).await?;
    let Some(how) = condition(&held, &envelope) else { return newer(&bucket, name).await };
    let head = entry_codec::head(&envelope, false);
    let offset = head.len() as u64;
    let (whole, piped): (JsValue, Promise) =
        js::joined(&Uint8Array::from(head.as_slice()), value, offset + length);
    let (put, piped) =
        futures_util::future::join(bucket.put(name, &whole, &how), JsFuture::from(piped)).await;
    let object = put?;
    piped?;
    let object = object.ok_or("R2 has a newer value than the origin gave")?;
    let stored = Stored { name: name.to_owned(), etag: object.etag(), offset, length };
    Ok(Entry { envelope, body: Body::Stored(Rc::new(stored)) })
}

/// Returns the entry that another writer put there meanwhile.
async fn newer(bucket: &R2, name: &str) -> Result<Entry> {
    let (entry, _) = find(bucket, name).await?;
    entry.ok_or_else(|| "others wrote to R2 at the same time, and it is gone".into())
}

/// Returns what R2 has without reading the body. The name holds the epoch, so the object is of `epoch` too.
async fn look(bucket: &R2, name: &str, epoch: Epoch) -> Result<Seen> {
    let Some(object) = bucket.head(name).await? else { return Ok(Seen::Nothing) };
    let metadata = object.metadata();
    let field = |name: &str| {
        let text = Reflect::get(&metadata, &name.into()).ok()?.as_string()?;
        text.parse::<u64>().ok()
    };
    let written = field("version").and_then(Version::new).zip(field("fetched_at").map(UnixMillis));
    let rank = written.map(|(version, fetched_at)| Rank { epoch, version, fetched_at });
    Ok(Seen::There { etag: object.etag(), rank })
}

/// Returns the options of a write that replaces the object seen; `None` when that object is as new.
fn condition(held: &Seen, envelope: &Envelope) -> Option<String> {
    let only_if = match held {
        Seen::Nothing => r#"{"etagDoesNotMatch":"*"}"#.to_owned(),
        // An entry of another epoch has no business under this name, however new it calls itself.
        Seen::There { rank: Some(held), .. }
            if held.epoch == envelope.position.epoch && *held >= envelope.rank() =>
        {
            return None;
        }
        Seen::There { etag, .. } => format!(r#"{{"etagMatches":"{etag}"}}"#),
    };
    let Rank { version, fetched_at, .. } = envelope.rank();
    Some(format!(
        r#"{{"onlyIf":{only_if},"customMetadata":{{"version":"{version}","fetched_at":"{}"}}}}"#,
        fetched_at.0
    ))
}

#[cfg(test)]
mod tests {
    use super::super::memory::tests::entry;
    use super::*;

    #[test]
    fn s2_an_entry_never_replaces_a_newer_one_in_r2() {
        let envelope = entry(7, b"").envelope;
        let there = |version: u64, fetched_at: u64| Seen::There {
            etag: "e".to_owned(),
            rank: Some(Rank {
                epoch: envelope.position.epoch,
                version: Version::new(version).unwrap(),
                fetched_at: UnixMillis(fetched_at),
            }),
        };
        let at = envelope.fetched_at.0;
        assert_eq!(condition(&there(8, at - 1), &envelope), None);
        assert_eq!(condition(&there(7, at + 1), &envelope), None);
        assert_eq!(condition(&there(7, at), &envelope), None, "it is the same");
        assert!(condition(&there(7, at - 1), &envelope).unwrap().contains(r#"{"etagMatches":"e"}"#));
        assert!(condition(&there(6, at + 1), &envelope).unwrap().contains(r#"{"etagMatches":"e"}"#));
        assert!(condition(&Seen::Nothing, &envelope).unwrap().contains(r#"{"etagDoesNotMatch":"*"}"#));
        let epoch = "71ARYZ6S410000000000000000".parse().unwrap();
        let elsewhere = Some(Rank { epoch, ..envelope.rank() });
        let elsewhere = Seen::There { etag: "e".to_owned(), rank: elsewhere };
        assert!(condition(&elsewhere, &envelope).is_some(), "it is of another epoch");
        let foreign = Seen::There { etag: "f".to_owned(), rank: None };
        assert!(condition(&foreign, &envelope).unwrap().contains(r#""version":"7""#), "none of ours");
    }
}
