//! A value as it leaves: whole, a part of it, only its headers, or within JSON.

use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::range::{self, RequestedRange};
use newsreel_core::wire::{Address, Code, Problem, etag};
use newsreel_gate::Answer;
use worker::web_sys::{self, ReadableStream};
use worker::{Env, Method, Request, ResponseBuilder, Result};

use crate::reader::context::ReadContext;
use crate::reader::response::headers::{Provenance, add_lasting, passing, value_headers};
use crate::reader::response::wrapped::{WRAPPED_BYTES, WrappedValue};
use crate::respond::{HeaderList, ReadyValue};
use crate::streams;
use crate::tiers::{Body, Entry, READY_BYTES, r2};

/// Returns the response that carries a value whole, if its bytes are in wasm's memory. A value that is answered so once
/// is kept ready for the next time.
pub(crate) fn respond_whole(
    context: &ReadContext,
    entry: &Entry,
    provenance: &Provenance,
) -> Option<web_sys::Response> {
    let Body::Bytes(bytes) = &entry.body else { return None };
    if bytes.len() > READY_BYTES {
        return described(context, entry, provenance).respond(200, bytes).ok();
    }
    ready(context, entry)?.respond(&passing(entry, provenance)).ok()
}

/// Returns the value as its responses need it, kept for the next time; `None` for one that is not small and in wasm's memory.
pub(crate) fn ready<'a>(context: &ReadContext, entry: &'a Entry) -> Option<&'a ReadyValue> {
    let Body::Bytes(bytes) = &entry.body else { return None };
    if let Some(ready) = entry.ready.get() {
        return Some(ready);
    }
    if bytes.len() > READY_BYTES {
        return None;
    }
    let mut lasting = HeaderList::default();
    add_lasting(&mut lasting, entry, context.config.shown_to_pages, context.config.send_cache_tag);
    describe(&mut lasting, entry);
    let ready = ReadyValue::of(&lasting, bytes).ok()?;
    Some(entry.ready.get_or_init(|| ready))
}

/// Returns the response that carries a value: 200, 206 for a part of it, 304 where the reader has it already.
pub(crate) async fn respond(
    context: &ReadContext,
    request: &Request,
    entry: &Entry,
    provenance: &Provenance,
) -> Answer {
    let envelope = &entry.envelope;
    if Address::from(request.url()?).says("envelope", "1") {
        return respond_wrapped(context, request, entry, provenance);
    }
    if is_held(request, &envelope.etag)? {
        return not_modified(context, entry, provenance, &envelope.etag);
    }
    let is_head = request.method() == Method::Head;
    let header = |name: &str| request.headers().get(name);
    let mut headers = described(context, entry, provenance);
    let whole = entry.body.length();
    let (range, if_range) = (header("Range")?.filter(|_| !is_head), header("If-Range")?);
    let (status, from, count) =
        match range::wanted(range.as_deref(), if_range.as_deref(), &envelope.etag, whole) {
            RequestedRange::Nothing => {
                let text = format!("the value has {whole} bytes");
                return Err(Problem::new(Code::RangeNotSatisfiable, text).with("length", whole).into());
            }
            RequestedRange::Part { first, last } if !matches!(entry.body, Body::Stream(..)) => {
                headers.add("Content-Range", format_args!("bytes {first}-{last}/{whole}"));
                (206, first, last - first + 1)
            }
            RequestedRange::Whole | RequestedRange::Part { .. } => (200, 0, whole),
        };
    if is_head {
        return Ok(with_length(headers, whole)?.empty());
    }
    send(&context.env, status, &headers, &entry.body, from, count).await
}

/// Returns the headers of a value as it is.
fn described(context: &ReadContext, entry: &Entry, provenance: &Provenance) -> HeaderList {
    let mut headers = value_headers(entry, provenance, context.sends_tags);
    describe(&mut headers, entry);
    headers
}

fn describe(headers: &mut HeaderList, entry: &Entry) {
    headers.add("ETag", &entry.envelope.etag);
    headers.add("Content-Type", &entry.envelope.content_type);
    headers.add("Accept-Ranges", "bytes");
}

/// Returns the response that carries a value within JSON.
fn respond_wrapped(
    context: &ReadContext,
    request: &Request,
    entry: &Entry,
    provenance: &Provenance,
) -> Answer {
    let wrapped = WrappedValue::new(entry, provenance, WRAPPED_BYTES);
    let json = serde_json::to_vec(&wrapped).map_err(worker::Error::from)?;
    // The JSON also states the value's freshness, so its entity tag is not the value's.
    let etag = etag_of(&json);
    if is_held(request, &etag)? {
        return not_modified(context, entry, provenance, &etag);
    }
    let mut headers = value_headers(entry, provenance, context.sends_tags);
    headers.add("ETag", etag);
    headers.add("Content-Type", "application/json");
    if request.method() == Method::Head {
        return Ok(with_length(headers, json.len() as u64)?.empty());
    }
    Ok(headers.respond(200, &json)?.into())
}

/// Says whether the caller holds the answer with this entity tag.
fn is_held(request: &Request, etag: &str) -> Result<bool> {
    Ok(request.headers().get("If-None-Match")?.is_some_and(|wanted| etag::is_named(&wanted, etag)))
}

fn not_modified(context: &ReadContext, entry: &Entry, provenance: &Provenance, etag: &str) -> Answer {
    let mut headers = value_headers(entry, provenance, context.sends_tags);
    headers.add("ETag", etag);
    Ok(ResponseBuilder::new().with_headers(headers.to_headers()?).with_status(304).empty())
}

fn with_length(mut headers: HeaderList, length: u64) -> Result<ResponseBuilder> {
    headers.add("Content-Length", length);
    Ok(ResponseBuilder::new().with_headers(headers.to_headers()?))
}

/// Sends `count` bytes of a value from the byte `from` on.
async fn send(env: &Env, status: u16, headers: &HeaderList, body: &Body, from: u64, count: u64) -> Answer {
    let stream: ReadableStream = match body {
        Body::Bytes(bytes) => {
            let (from, count) = (usize::try_from(from).unwrap_or(0), usize::try_from(count).unwrap_or(0));
            let part = bytes.get(from..).and_then(|rest| rest.get(..count)).unwrap_or_default();
            return Ok(headers.respond(status, part)?.into());
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
        Body::Omitted(_) => {
            return Err(Problem::new(Code::Busy, "the value is not at hand: read it alone").into());
        }
    };
    let builder = ResponseBuilder::new().with_status(status).with_headers(headers.to_headers()?);
    Ok(builder.stream(stream))
}
