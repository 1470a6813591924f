//! A value as it leaves: whole, a part of it, only its headers, or within JSON.

use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::range::{self, RequestedRange};
use newsreel_core::wire::{Address, Code, Problem, etag};
use newsreel_gate::Answer;
use worker::web_sys::ReadableStream;
use worker::{Env, Headers, Method, Request, Response, ResponseBuilder, Result};

use crate::reader::context::ReadContext;
use crate::reader::response::headers::{Provenance, value_headers};
use crate::reader::response::wrapped::{WRAPPED_BYTES, WrappedValue};
use crate::streams;
use crate::tiers::{Body, Entry, r2};

/// Returns the response that carries a value: 200, 206 for a part of it, 304 where the reader has it already.
pub(crate) async fn respond(
    context: &ReadContext,
    request: &Request,
    entry: &Entry,
    provenance: &Provenance,
) -> Answer {
    let envelope = &entry.envelope;
    let headers = value_headers(entry, provenance, context.config.send_cache_tag)?;
    if Address::from(request.url()?).says("envelope", "1") {
        return respond_wrapped(request, entry, provenance, headers);
    }
    if is_held(request, &headers)? {
        return Ok(not_modified(headers));
    }
    let is_head = request.method() == Method::Head;
    let header = |name: &str| request.headers().get(name);
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
    send(&context.env, builder, &entry.body, from, count).await
}

/// Returns the response that carries a value within JSON.
fn respond_wrapped(request: &Request, entry: &Entry, provenance: &Provenance, headers: Headers) -> Answer {
    let wrapped = WrappedValue::new(entry, provenance, WRAPPED_BYTES);
    let json = serde_json::to_vec(&wrapped).map_err(worker::Error::from)?;
    // The JSON also states the value's freshness, so its entity tag is not the value's.
    headers.set("ETag", &etag_of(&json))?;
    if is_held(request, &headers)? {
        return Ok(not_modified(headers));
    }
    headers.set("Content-Type", "application/json")?;
    if request.method() == Method::Head {
        return Ok(with_length(headers, json.len() as u64)?.empty());
    }
    Ok(ResponseBuilder::new().with_headers(headers).fixed(json))
}

/// Says whether the caller holds the answer that these headers describe, by its entity tag.
fn is_held(request: &Request, headers: &Headers) -> Result<bool> {
    let etag = headers.get("ETag")?.unwrap_or_default();
    Ok(request.headers().get("If-None-Match")?.is_some_and(|wanted| etag::is_named(&wanted, &etag)))
}

fn not_modified(headers: Headers) -> Response {
    ResponseBuilder::new().with_headers(headers).with_status(304).empty()
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
        Body::Omitted(_) => {
            return Err(Problem::new(Code::Busy, "the value is not at hand: read it alone").into());
        }
    };
    Ok(builder.stream(stream))
}
