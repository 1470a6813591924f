//! Web pages of other origins: which may call, what their browsers ask first, and how they read an answer.

use newsreel_core::access::cors;
use newsreel_core::variables::{self, Settings as _};
use worker::{Env, Request, Response, ResponseBuilder};

use crate::{Deployment, Failure};

/// Returns the origin of the web page that sent a request; none when no page did.
///
/// # Errors
/// When the platform fails.
pub fn origin(request: &Request) -> worker::Result<Option<String>> {
    request.headers().get("Origin")
}

/// Returns whether pages of `origin` may call; `own` is the origin of the deployment.
///
/// # Errors
/// `misconfigured` when `ALLOWED_ORIGINS` cannot be read.
pub fn allows(env: &Env, origin: &str, own: &str) -> Result<bool, Failure> {
    Ok(Deployment(env).read(&variables::ALLOWED_ORIGINS)?.allow(origin, own))
}

/// Returns the origin of the page that calls, if one does and may.
///
/// # Errors
/// `origin-not-allowed` for a page that may not, `misconfigured` when `ALLOWED_ORIGINS` cannot be read.
pub fn admit_page(request: &Request, env: &Env, own: &str) -> Result<Option<String>, Failure> {
    let Some(origin) = origin(request)? else { return Ok(None) };
    if allows(env, &origin, own)? { Ok(Some(origin)) } else { Err(cors::refusal(&origin).into()) }
}

/// Says whether the request is a preflight: a browser asks which requests a page may send.
///
/// # Errors
/// When the platform fails.
pub fn is_preflight(request: &Request) -> worker::Result<bool> {
    Ok(request.inner().method() == "OPTIONS" && request.headers().has("Access-Control-Request-Method")?)
}

/// Answers the preflight of an allowed page.
///
/// # Errors
/// When the platform refuses a header.
pub fn preflight(origin: &str) -> worker::Result<Response> {
    let response = ResponseBuilder::new().with_status(204).empty();
    for (name, value) in cors::preflight() {
        response.headers().set(name, value)?;
    }
    show(response, origin)
}

/// Returns the answer so that an allowed page of `origin` can read it.
///
/// # Errors
/// When the platform refuses a header.
pub fn show(response: Response, origin: &str) -> worker::Result<Response> {
    // A WebSocket is not subject to CORS, and its answer must stay as it is.
    if response.status_code() == 101 {
        return Ok(response);
    }
    // The headers of an answer that was fetched cannot be changed; those of a copy can.
    let headers = response.headers().clone();
    let vary = headers.get("Vary")?;
    for (name, value) in cors::shown_to(origin, vary.as_deref()) {
        headers.set(name, &value)?;
    }
    Ok(response.with_headers(headers))
}
