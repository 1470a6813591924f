//! A value as it leaves: whole, a part of it, only its headers, or within JSON.

use newsreel_core::read::cache::{Freshness, etag_of};
use newsreel_core::wire::range::{self, RequestedRange};
use newsreel_core::wire::{Address, Code, Problem, etag};
use newsreel_gate::Answer;
use serde::de::IgnoredAny;
use worker::web_sys::ReadableStream;
use worker::{Env, Headers, Method, Request, ResponseBuilder, Result};

use crate::reader::context::Place;
use crate::reader::response::headers::{Served, value_headers};
use crate::streams;
use crate::tiers::{Body, Entry, r2};

/// How many bytes of values are wrapped in JSON, which takes several times as much memory on its way.
pub(crate) const WRAPPED_BYTES: u64 = 8 << 20;

/// Returns the response that carries a value: 200, 206 for a part of it, 304 where the reader has it already.
pub(crate) async fn respond(place: &Place, request: &Request, entry: &Entry, served: &Served) -> Answer {
    let envelope = &entry.envelope;
    let headers = value_headers(entry, served, place.config.send_cache_tag)?;
    let header = |name: &str| request.headers().get(name);
    let is_wrapped = Address::from(request.url()?).says("envelope", "1");
    let json = is_wrapped.then(|| format!("{{{}}}", members(entry, served, WRAPPED_BYTES)).into_bytes());
    if let Some(json) = &json {
        // The JSON also states the value's freshness, so its entity tag is not the value's.
        headers.set("ETag", &etag_of(json))?;
    }
    let etag = headers.get("ETag")?.unwrap_or_default();
    if header("If-None-Match")?.is_some_and(|wanted| etag::is_named(&wanted, &etag)) {
        return Ok(ResponseBuilder::new().with_headers(headers).with_status(304).empty());
    }
    let is_head = request.method() == Method::Head;
    if let Some(json) = json {
        headers.set("Content-Type", "application/json")?;
        return Ok(if is_head {
            with_length(headers, json.len() as u64)?.empty()
        } else {
            ResponseBuilder::new().with_headers(headers).fixed(json)
        });
    }
    headers.set("Content-Type", &envelope.content_type)?;
    headers.set("Accept-Ranges", "bytes")?;
    let whole = entry.body.length();
    let (range, if_range) = (header("Range")?.filter(|_| !is_head), header("If-Range")?);
    let (builder, from, count) =
        match range::wanted(range.as_deref(), if_range.as_deref(), &envelope.etag, whole) {
            RequestedRange::Nothing => {
                let text = format!("the value has {whole} bytes");
                return Err(Problem::new(Code::RangeNotSatisfiable, text).with("length", whole).into());
            }
            RequestedRange::Part { first, last } if !matches!(entry.body, Body::Stream(..)) => {
                headers.set("Content-Range", &format!("bytes {first}-{last}/{whole}"))?;
                (ResponseBuilder::new().with_status(206), first, last - first + 1)
            }
            RequestedRange::Whole | RequestedRange::Part { .. } => (ResponseBuilder::new(), 0, whole),
        };
    if is_head {
        return Ok(with_length(headers, whole)?.empty());
    }
    let builder = builder.with_headers(headers);
    send(&place.env, builder, &entry.body, from, count).await
}

fn with_length(headers: Headers, length: u64) -> Result<ResponseBuilder> {
    headers.set("Content-Length", &length.to_string())?;
    Ok(ResponseBuilder::new().with_headers(headers))
}

/// Sends `count` bytes of a value from the byte `from` on.
async fn send(env: &Env, builder: ResponseBuilder, body: &Body, from: u64, count: u64) -> Answer {
    let stream: ReadableStream = match body {
        Body::Bytes(bytes) => {
            let (from, count) = (usize::try_from(from).unwrap_or(0), usize::try_from(count).unwrap_or(0));
            let part = bytes.get(from..).and_then(|rest| rest.get(..count)).unwrap_or_default();
            return Ok(builder.fixed(part.to_vec()));
        }
        Body::Array(array) => {
            let at = |byte: u64| u32::try_from(byte).unwrap_or(u32::MAX);
            streams::stream_of(&array.subarray(at(from), at(from + count)))?
        }
        Body::Stored(stored) => match r2::read(env, stored, from, count).await? {
            Some(stream) => stream,
            None => {
                let text = "the value was replaced while it was read: read it again";
                return Err(Problem::new(Code::Busy, text).into());
            }
        },
        Body::Stream(stream, _) => stream.clone(),
        Body::Left(_) => {
            return Err(Problem::new(Code::Busy, "the value is not at hand: read it alone").into());
        }
    };
    Ok(builder.stream(stream))
}

/// Returns the members of a JSON object that has the value, and its freshness.
///
/// The member holds JSON as it is, any other text as a string, and any other value in base64. A value of more
/// than `most` bytes is left out, which `encoding` says.
pub(crate) fn members(entry: &Entry, served: &Served, most: u64) -> String {
    let envelope = &entry.envelope;
    let bytes = if entry.body.length() <= most { entry.body.bytes() } else { None };
    let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let is_json = envelope.content_type.split(';').next().is_some_and(|kind| kind.trim().ends_with("json"));
    let json = text.filter(|text| is_json && serde_json::from_str::<IgnoredAny>(text).is_ok());
    let (value, encoding) = match (json, text, &bytes) {
        (Some(json), _, _) => (json.to_owned(), "json"),
        (None, Some(text), _) => (quoted(text), "text"),
        (None, None, Some(bytes)) => (quoted(&base64(bytes)), "base64"),
        (None, None, None) => ("null".to_owned(), "none"),
    };
    let confidence = match served.freshness {
        Freshness::Fresh => "1.0",
        Freshness::Revalidating => "0.5",
        Freshness::Stale => "0.0",
    };
    let tags: Vec<String> = envelope.tags.iter().map(|tag| quoted(tag.as_str())).collect();
    format!(
        r#""value":{value},"encoding":"{encoding}","length":{},"content_type":{},"etag":{},"tags":[{}],"freshness":{{"version":{},"position":"{}","fetched_at":{fetched_at},"expires_at":{expires_at},"stale":{},"confidence":{confidence},"last_updated":{fetched_at},"next_update":{expires_at}}}"#,
        entry.body.length(),
        quoted(&envelope.content_type),
        quoted(&envelope.etag),
        tags.join(","),
        envelope.position.version,
        envelope.position,
        served.freshness != Freshness::Fresh,
        fetched_at = envelope.fetched_at.0,
        expires_at = envelope.expires_at.0,
    )
}

/// Returns the JSON members with the catalog, and the reader's position and lag.
pub(crate) fn heard(place: &Place, served: &Served) -> String {
    let position = served.position.map_or("null".to_owned(), |position| format!("\"{position}\""));
    let lag = served.lag.map_or("null".to_owned(), |lag| lag.as_millis().to_string());
    format!(r#""catalog":"{}","position":{position},"lag_ms":{lag}"#, place.catalog)
}

/// Writes a text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
