//! Values within JSON, and the position and lag of the reader beside them.

use newsreel_core::read::cache::Freshness;
use newsreel_core::wire::{Catalog, Position, Tag, UnixMillis, Version};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::reader::context::ReadContext;
use crate::reader::response::headers::Provenance;
use crate::tiers::Entry;

/// How many bytes of values are wrapped in JSON, which takes several times as much memory on its way.
pub(crate) const WRAPPED_BYTES: u64 = 8 << 20;

/// The reader's position and lag when it judged an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KnownAt {
    pub(crate) catalog: Catalog,
    pub(crate) position: Option<Position>,
    pub(crate) lag_ms: Option<u64>,
}

impl KnownAt {
    pub(crate) fn of(context: &ReadContext, provenance: &Provenance) -> Self {
        let lag_ms = provenance.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        Self { catalog: context.catalog.clone(), position: provenance.position, lag_ms }
    }
}

/// A value within JSON, with its freshness.
#[derive(Debug, Serialize)]
pub(crate) struct WrappedValue<'a> {
    value: Wrapping,
    encoding: &'static str,
    length: u64,
    content_type: &'a str,
    etag: &'a str,
    tags: &'a [Tag],
    freshness: WrappedFreshness,
}

/// The member that holds the value.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Wrapping {
    /// JSON, which stays as it is.
    Json(Box<RawValue>),
    /// Another text, or bytes in base64.
    Text(String),
    /// Null: the value is too large to be wrapped, or not at hand.
    Nothing,
}

#[derive(Debug, Serialize)]
struct WrappedFreshness {
    version: Version,
    position: Position,
    fetched_at: UnixMillis,
    expires_at: UnixMillis,
    stale: bool,
    confidence: f64,
    last_updated: UnixMillis,
    next_update: UnixMillis,
}

impl<'a> WrappedValue<'a> {
    /// Wraps a value. A value of more than `most` bytes is left out, which `encoding` says.
    pub(crate) fn new(entry: &'a Entry, provenance: &Provenance, most: u64) -> Self {
        let (value, encoding) = wrapping(entry, most);
        let (envelope, length) = (&entry.envelope, entry.body.length());
        let (content_type, etag, tags) = (&envelope.content_type, &envelope.etag, &envelope.tags);
        let freshness = WrappedFreshness::new(entry, provenance);
        Self { value, encoding, length, content_type, etag, tags, freshness }
    }
}

fn wrapping(entry: &Entry, most: u64) -> (Wrapping, &'static str) {
    let bytes = if entry.body.length() <= most { entry.body.bytes() } else { None };
    let Some(bytes) = bytes else { return (Wrapping::Nothing, "none") };
    let Ok(text) = std::str::from_utf8(&bytes) else { return (Wrapping::Text(base64(&bytes)), "base64") };
    let kind = entry.envelope.content_type.split(';').next().unwrap_or_default();
    let json = kind.trim().ends_with("json").then(|| RawValue::from_string(text.to_owned()));
    match json {
        Some(Ok(json)) => (Wrapping::Json(json), "json"),
        Some(Err(_)) | None => (Wrapping::Text(text.to_owned()), "text"),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl WrappedFreshness {
    fn new(entry: &Entry, provenance: &Provenance) -> Self {
        let envelope = &entry.envelope;
        let confidence = match provenance.freshness {
            Freshness::Fresh => 1.0,
            Freshness::Revalidating => 0.5,
            Freshness::Stale => 0.0,
        };
        Self {
            version: envelope.position.version,
            position: envelope.position,
            fetched_at: envelope.fetched_at,
            expires_at: envelope.expires_at,
            stale: provenance.freshness != Freshness::Fresh,
            confidence,
            last_updated: envelope.fetched_at,
            next_update: envelope.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::reader::response::headers::tests::provenance;
    use crate::tiers::memory::tests::entry;

    fn wrapped(content_type: &str, value: &[u8], most: u64) -> String {
        let mut entry = entry(7, value);
        Rc::make_mut(&mut entry.envelope).content_type = content_type.to_owned();
        serde_json::to_string(&WrappedValue::new(&entry, &provenance(Freshness::Revalidating, 0), most))
            .unwrap()
    }

    #[test]
    fn a_wrapped_value_has_the_released_members_in_their_order() {
        assert_eq!(
            wrapped("application/json; charset=utf-8", br#"{"b":1.0,"a":[]}"#, 100),
            concat!(
                r#"{"value":{"b":1.0,"a":[]},"encoding":"json","length":16,"#,
                r#""content_type":"application/json; charset=utf-8","etag":"\"x\"","tags":["a"],"#,
                r#""freshness":{"version":7,"position":"01ARYZ6S410000000000000000:7:7ae264e1fd7e3c55","#,
                r#""fetched_at":1000,"expires_at":1000,"stale":true,"confidence":0.5,"#,
                r#""last_updated":1000,"next_update":1000}}"#
            )
        );
    }

    #[test]
    fn a_value_is_wrapped_as_json_text_base64_or_not_at_all() {
        for (content_type, value, most, wanted) in [
            ("application/vnd.a+json", &b"[1]"[..], 3, r#"{"value":[1],"encoding":"json","length":3,"#),
            ("application/json", b"[1", 3, r#"{"value":"[1","encoding":"text","length":2,"#),
            ("text/plain", b"[1]", 3, r#"{"value":"[1]","encoding":"text","length":3,"#),
            ("application/json", b"\xff", 3, r#"{"value":"/w==","encoding":"base64","length":1,"#),
            ("text/plain", b"four", 3, r#"{"value":null,"encoding":"none","length":4,"#),
        ] {
            let json = wrapped(content_type, value, most);
            assert!(json.starts_with(wanted), "{json}");
        }
    }
}
