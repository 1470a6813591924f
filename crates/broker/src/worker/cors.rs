//! The browser's side of the front door: which web pages may call, and what they may see of an answer.

use newsreel_core::access::cors::Origins;
use newsreel_core::wire::{Code, Problem};
use worker::{Env, Method, Request, Response, ResponseBuilder, Result};

use crate::js::headers;

/// What a page may send.
const METHODS: &str = "GET, HEAD, POST";
const HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID";
/// What a page may see of an answer, beside what every page may.
const EXPOSED: &str = "ETag, Idempotent-Replayed, Retry-After";

/// Returns the origin of the page that calls, if one does and may; `own` is the deployment's.
pub(crate) fn admit(
    request: &Request,
    env: &Env,
    own: &str,
) -> Result<std::result::Result<Option<String>, Problem>> {
    let Some(origin) = request.headers().get("Origin")? else { return Ok(Ok(None)) };
    let list = env.var("ALLOWED_ORIGINS").map(|list| list.to_string()).unwrap_or_default();
    let origins = match Origins::parse(&list) {
        Ok(origins) => origins,
        Err(error) => return Ok(Err(Problem::new(Code::Misconfigured, error.to_string()))),
    };
    if origins.allow(&origin, own) {
        return Ok(Ok(Some(origin)));
    }
    let text = format!("pages of {origin} may not call; ALLOWED_ORIGINS lists those that may");
    Ok(Err(Problem::new(Code::OriginNotAllowed, text)))
}

/// Says whether a request only asks what a page may send.
pub(crate) fn is_preflight(request: &Request) -> Result<bool> {
    Ok(request.method() == Method::Options && request.headers().has("Access-Control-Request-Method")?)
}

/// Answers a preflight of an admitted origin.
pub(crate) fn preflight(origin: &str) -> Result<Response> {
    let headers = headers(&[
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", HEADERS),
        ("Access-Control-Max-Age", "86400"),
    ])?;
    show(ResponseBuilder::new().with_headers(headers).with_status(204).empty(), origin)
}

/// Returns the answer so that a page of an admitted origin can read it.
pub(crate) fn show(response: Response, origin: &str) -> Result<Response> {
    // A WebSocket is not subject to this, and its answer must stay as it is.
    if response.status_code() == 101 {
        return Ok(response);
    }
    // A copy: those of an answer that was fetched cannot be changed.
    let headers = response.headers().clone();
    headers.set("Access-Control-Allow-Origin", origin)?;
    headers.set("Access-Control-Expose-Headers", EXPOSED)?;
    if !headers.has("Vary")? {
        headers.set("Vary", "Origin")?;
    }
    Ok(response.with_headers(headers))
}
