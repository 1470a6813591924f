//! R2: strongly consistent, one object a key, for all of the key's generations.
//!
//! Every write is conditional on the object that was seen: an entry never replaces a newer one, in any order
//! of writers. An object's metadata repeats how new its entry is, so that a writer need not read the object.

use js_sys::Uint8Array;
use newsreel_core::read::cache::{Envelope, Rank};
use newsreel_core::read::entry_codec;
use newsreel_core::wire::{Epoch, UnixMillis, Version};
use std::rc::Rc;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStream;
use worker::{Bucket, Conditional, Env, Object, Range, ResponseBody, Result};

use super::entry::{HEAD_BYTES, Stored};
use super::{Body, Entry, KV_VALUE_BYTES};
use crate::config::COPIES;
use crate::streams;

/// The metadata of an object: the version and the time of its entry's fetch.
const VERSION: &str = "version";
const FETCHED_AT: &str = "fetched_at";
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

fn bucket(env: &Env) -> Result<Bucket> {
    env.bucket(COPIES).map_err(|_| format!("there is no R2 bucket bound as {COPIES}").into())
}

/// Returns the entry that R2 has under a name, and what a write needs to replace it.
pub(crate) async fn get(env: &Env, name: &str) -> Result<(Option<Entry>, Seen)> {
    find(&bucket(env)?, name).await
}

async fn find(bucket: &Bucket, name: &str) -> Result<(Option<Entry>, Seen)> {
    let Some(object) = bucket.get(name).execute().await? else { return Ok((None, Seen::Nothing)) };
    let body = body(&object)?;
    let entry = if object.size() <= u64::from(KV_VALUE_BYTES) {
        Entry::from_array(&streams::read(body.as_ref()).await?)
    } else {
        // Nothing reads this body, so it is cancelled; whether that succeeds makes no difference.
        let _ = body.map(|body| body.cancel());
        large(bucket, name, &object).await?
    };
    let rank = entry.as_ref().map(|entry| entry.envelope.rank());
    Ok((entry, Seen::There { etag: object.etag(), rank }))
}

/// Returns an entry whose value stays where it is.
async fn large(bucket: &Bucket, name: &str, object: &Object) -> Result<Option<Entry>> {
    let etag = object.etag();
    let Some(head) = part(bucket, name, &etag, 0, u64::from(HEAD_BYTES)).await? else { return Ok(None) };
    let bytes = streams::read(Some(&head)).await?.to_vec();
    Ok(entry_codec::decode(&bytes).map(|(envelope, offset, _)| {
        let offset = offset as u64;
        let length = object.size().saturating_sub(offset);
        let stored = Stored { name: name.to_owned(), etag, offset, length };
        Entry::new(envelope, Body::Stored(Rc::new(stored)))
    }))
}

/// Returns a part of a value that stays in R2; `None` when the object is another one by now.
pub(crate) async fn read(
    env: &Env,
    stored: &Stored,
    from: u64,
    length: u64,
) -> Result<Option<ReadableStream>> {
    part(&bucket(env)?, &stored.name, &stored.etag, stored.offset + from, length).await
}

/// Returns a part of the object with this entity tag; `None` when another object has its name by now.
async fn part(
    bucket: &Bucket,
    name: &str,
    etag: &str,
    offset: u64,
    length: u64,
) -> Result<Option<ReadableStream>> {
    let range = Range::OffsetWithLength { offset, length };
    let object = bucket.get(name).range(range).only_if(same_as(etag)).execute().await?;
    object.as_ref().map_or(Ok(None), body)
}

/// Returns the body of an object, as JavaScript's stream; `None` where a condition was not met.
fn body(object: &Object) -> Result<Option<ReadableStream>> {
    let Some(body) = object.body() else { return Ok(None) };
    match body.response_body()? {
        ResponseBody::Stream(stream) => Ok(Some(stream)),
        ResponseBody::Empty | ResponseBody::Body(_) => Ok(None),
    }
}

/// Returns the condition that the object is still the one with this entity tag.
fn same_as(etag: &str) -> Conditional {
    Conditional { etag_matches: Some(etag.to_owned()), ..Conditional::default() }
}

/// Returns the metadata of an object, from which a writer learns how new its entry is.
fn metadata(envelope: &Envelope) -> [(String, String); 2] {
    let Rank { version, fetched_at, .. } = envelope.rank();
    [(VERSION.to_owned(), version.to_string()), (FETCHED_AT.to_owned(), fetched_at.0.to_string())]
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
        let Some(condition) = condition(&held, &entry.envelope) else { return Ok(()) };
        let put = bucket.put(name, streams::stream_of(&array)?).only_if(condition);
        if put.custom_metadata(metadata(&entry.envelope)).execute().await?.is_some() {
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
    let Some(condition) = condition(&held, &envelope) else { return newer(&bucket, name).await };
    let head = entry_codec::head(&envelope, false);
    let offset = head.len() as u64;
    let (whole, piped) = streams::joined(&Uint8Array::from(head.as_slice()), value, offset + length)?;
    let put = bucket.put(name, whole).only_if(condition).custom_metadata(metadata(&envelope));
    let (put, piped) = futures_util::future::join(put.execute(), JsFuture::from(piped)).await;
    let object = put?;
    piped?;
    let object = object.ok_or("R2 has a newer value than the origin gave")?;
    let stored = Stored { name: name.to_owned(), etag: object.etag(), offset, length };
    Ok(Entry::new(envelope, Body::Stored(Rc::new(stored))))
}

/// Returns the entry that another writer put there meanwhile.
async fn newer(bucket: &Bucket, name: &str) -> Result<Entry> {
    let (entry, _) = find(bucket, name).await?;
    entry.ok_or_else(|| "others wrote to R2 at the same time, and it is gone".into())
}

/// Returns what R2 has without reading the body. The name holds the epoch, so the object is of `epoch` too.
async fn look(bucket: &Bucket, name: &str, epoch: Epoch) -> Result<Seen> {
    let Some(object) = bucket.head(name).await? else { return Ok(Seen::Nothing) };
    let metadata = object.custom_metadata()?;
    let field = |name: &str| metadata.get(name)?.parse::<u64>().ok();
    let written = field(VERSION).and_then(Version::new).zip(field(FETCHED_AT).map(UnixMillis));
    let rank = written.map(|(version, fetched_at)| Rank { epoch, version, fetched_at });
    Ok(Seen::There { etag: object.etag(), rank })
}

/// Returns the condition of a write that replaces the object seen; `None` when that object is as new.
fn condition(held: &Seen, envelope: &Envelope) -> Option<Conditional> {
    match held {
        Seen::Nothing => {
            Some(Conditional { etag_does_not_match: Some("*".to_owned()), ..Conditional::default() })
        }
        // An entry of another epoch has no business under this name, however new it calls itself.
        Seen::There { rank: Some(held), .. }
            if held.epoch == envelope.position.epoch && *held >= envelope.rank() =>
        {
            None
        }
        Seen::There { etag, .. } => Some(same_as(etag)),
    }
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
        assert!(condition(&there(7, at - 1), &envelope) == Some(same_as("e")));
        assert!(condition(&there(6, at + 1), &envelope) == Some(same_as("e")));
        let absent = condition(&Seen::Nothing, &envelope).unwrap();
        assert_eq!((absent.etag_matches, absent.etag_does_not_match.as_deref()), (None, Some("*")));
        let epoch = "71ARYZ6S410000000000000000".parse().unwrap();
        let elsewhere = Some(Rank { epoch, ..envelope.rank() });
        let elsewhere = Seen::There { etag: "e".to_owned(), rank: elsewhere };
        assert!(condition(&elsewhere, &envelope).is_some(), "it is of another epoch");
        let foreign = Seen::There { etag: "f".to_owned(), rank: None };
        assert_eq!(condition(&foreign, &envelope), Some(same_as("f")), "none of ours");
    }
}
