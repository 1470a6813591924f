//! Requests and responses that reader and replica make alike.

use newsreel_core::wire::problem::{MEDIA_TYPE, Problem};
use serde::Serialize;
use worker::web_sys::{self, AbortSignal, RequestCache, RequestInit, RequestRedirect};
use worker::{Headers, Request, Response, ResponseBuilder, Result};

/// Returns a GET request that no cache answers and that follows no redirect.
pub(crate) fn get(url: &str, headers: &Headers) -> Result<Request> {
    abortable_get(url, headers, None)
}

/// Returns a POST request that follows no redirect.
pub(crate) fn post(url: &str, headers: &Headers, body: &str) -> Result<Request> {
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(headers.0.as_ref());
    init.set_body(&body.into());
    init.set_redirect(RequestRedirect::Manual);
    Ok(web_sys::Request::new_with_str_and_init(url, &init)?.into())
}

/// Returns a GET request that a signal ends, that no cache answers and that follows no redirect: a redirect leads to a
/// page for people as likely as to what was asked for, and another host would be shown the token.
pub(crate) fn abortable_get(url: &str, headers: &Headers, signal: Option<&AbortSignal>) -> Result<Request> {
    let init = RequestInit::new();
    init.set_headers(headers.0.as_ref());
    init.set_cache(RequestCache::NoStore);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(signal);
    Ok(web_sys::Request::new_with_str_and_init(url, &init)?.into())
}

/// Returns a problem that no entry is behind.
pub(crate) fn problem_response(problem: &Problem) -> Result<Response> {
    problem_of(problem, Headers::new())
}

pub(crate) fn problem_of(problem: &Problem, headers: Headers) -> Result<Response> {
    headers.set("Content-Type", MEDIA_TYPE)?;
    for (name, value) in problem.headers() {
        headers.set(name, &value)?;
    }
    let builder = ResponseBuilder::new().with_status(problem.status()).with_headers(headers);
    Ok(builder.fixed(problem.to_json().into_bytes()))
}

/// Returns a JSON response of status 200 that no cache may store.
pub(crate) fn json_response(body: &impl Serialize) -> Result<Response> {
    text_response("application/json", serde_json::to_string(body)?)
}

/// Returns a response of status 200 that no cache may store.
pub(crate) fn text_response(content_type: &str, text: String) -> Result<Response> {
    let headers = Headers::new();
    headers.set("Content-Type", content_type)?;
    headers.set("Cache-Control", "no-store")?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text.into_bytes()))
}
