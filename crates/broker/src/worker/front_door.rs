//! The Worker's side of the broker: checks who calls, reads the address, checks the token, and only then wakes
//! the catalog's object.

use std::pin::Pin;

use newsreel_core::access::{Caller, Scope};
use newsreel_core::wire::frame::{self, BEARER_SUBPROTOCOL, SUBPROTOCOL};
use newsreel_core::wire::{Address, Catalog, Code, Problem, Route, internal};
use newsreel_gate::{self as gate, GateError, cors};
use worker::web_sys::RequestInit;
use worker::{Env, Headers, Method, Request, Response, console_error, web_sys};

use crate::config::Config;
use crate::js::{hear_out, json_response, problem_response};
use crate::publish::body::{self, HEARD_OUT, most_bytes};
use crate::publish::queue::not_written;

/// The binding of the broker's namespace.
const BINDING: &str = newsreel_core::variables::BROKER.name;

/// What of a request the object gets to see.
const PASSED: &[&str] = &[
    "Accept",
    "Content-Length",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    PROTOCOLS,
    "Upgrade",
];
const PROTOCOLS: &str = "Sec-WebSocket-Protocol";

/// Answers every address but the reader's.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
///
/// Boxed: a future that another crate polls is in the wasm twice, once for each.
#[must_use]
pub fn serve<'a>(
    request: &'a Request,
    env: &'a Env,
) -> Pin<Box<dyn Future<Output = worker::Result<Response>> + 'a>> {
    Box::pin(serve_here(request, env))
}

async fn serve_here(request: &Request, env: &Env) -> worker::Result<Response> {
    let address = Address::new(request.inner().url());
    let origin = match cors::admit_page(request, env, address.origin()) {
        Ok(origin) => origin,
        Err(GateError::Refused(problem)) => return problem_response(&problem),
        Err(GateError::Platform(error)) => return Err(error),
    };
    if let Some(origin) = &origin
        && cors::is_preflight(request)?
    {
        return cors::preflight(origin);
    }
    let response = match answer(request, env, &address).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(problem)) => problem_response(&problem),
        Err(error) => {
            console_error!("a request failed: {error}");
            problem_response(&failed(request, &error))
        }
    }?;
    match origin {
        Some(origin) => cors::show(response, &origin),
        None => Ok(response),
    }
}

async fn answer(
    request: &Request,
    env: &Env,
    address: &Address,
) -> worker::Result<Result<Response, Problem>> {
    let route = match Route::parse(request.method().as_ref(), address.path(), address.query()) {
        Ok(route) => route,
        Err(problem) => return Ok(Err(problem)),
    };
    let (scope, catalog, topics) = match &route {
        Route::Healthz => return json_response(r#"{"status":"ok"}"#.to_owned()).map(Ok),
        Route::Publish(catalog, _) | Route::PublishSocket(catalog) => (Scope::Publish, catalog, None),
        Route::Changes(catalog, query) => (Scope::Follow, catalog, Some(&query.topics)),
        Route::Follow(catalog, query) => (Scope::Follow, catalog, Some(&query.topics)),
        Route::Status(catalog) => (Scope::Follow, catalog, None),
        Route::Followers(catalog) | Route::NewEpoch(catalog) => (Scope::Admin, catalog, None),
        Route::Readyz | Route::Edge(..) => {
            return Ok(Err(Problem::new(Code::UnknownPath, "this address is the edge's")));
        }
    };
    let caller = match admit(request, env, scope, catalog).await? {
        Ok(caller) => caller,
        Err(problem) => return Ok(Err(problem)),
    };
    // Who may hear of some keys only asks for those, in so many words.
    let narrowed = match topics.map(|topics| caller.grant.narrow(topics)).transpose() {
        Ok(narrowed) => narrowed.flatten().map(|topics| address.with_query(&topics)),
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(problem) = too_large(request, &route).await? {
        return Ok(Err(problem));
    }
    let url = narrowed.as_deref().unwrap_or(address.as_str());
    let response = forward(request, env, url, catalog, &caller).await?;
    // The same address says more to others.
    if narrowed.is_some() && response.status_code() != 101 {
        let headers = response.headers().clone();
        headers.set("Cache-Control", "no-store")?;
        return Ok(Ok(response.with_headers(headers)));
    }
    Ok(Ok(response))
}

/// Says who is calling, if everything that is checked before the object allows it.
async fn admit(
    request: &Request,
    env: &Env,
    scope: Scope,
    catalog: &Catalog,
) -> worker::Result<Result<Caller, Problem>> {
    let config = match Config::read(env) {
        Ok(config) => config,
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(problem) = unspoken(request)? {
        return Ok(Err(problem));
    }
    let caller = match gate::admit(request, env, scope, catalog).await {
        Ok(caller) => caller,
        Err(GateError::Refused(problem)) => return Ok(Err(problem)),
        Err(GateError::Platform(error)) => return Err(error),
    };
    let per_second = match scope {
        Scope::Publish => config.publish_per_second,
        // Replicas come back all at once.
        Scope::Follow if caller.admin => 0,
        Scope::Follow => config.follow_per_second,
        Scope::Admin => 0,
    };
    let passes = gate::catalog(env, catalog).and_then(|()| gate::rated(&caller, scope, per_second));
    Ok(passes.map(|()| caller))
}

/// Returns the problem of a socket that offers subprotocols and not ours.
fn unspoken(request: &Request) -> worker::Result<Option<Problem>> {
    if !request.headers().has("Upgrade")? {
        return Ok(None);
    }
    let offered = request.headers().get("Sec-WebSocket-Protocol")?;
    let text = format!("the broker speaks {SUBPROTOCOL}");
    let problem = || Problem::new(Code::UnsupportedProtocol, text).with("subprotocol", SUBPROTOCOL);
    Ok((!frame::is_spoken(offered.as_deref())).then(problem))
}

/// Returns the problem of a body that says itself that it is too large. One that does not is counted as it comes.
async fn too_large(request: &Request, route: &Route) -> worker::Result<Option<Problem>> {
    if !matches!(route, Route::Publish(..)) {
        return Ok(None);
    }
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let most = most_bytes(request)?;
    let Some(length) = length.filter(|length| *length > most) else { return Ok(None) };
    if length <= HEARD_OUT
        && let Some(body) = request.inner().body()
    {
        hear_out(&body).await;
    }
    Ok(Some(body::too_large(most)))
}

/// Returns what an object's error is to whoever asked. A disk without room fails a commit after the object has answered:
/// the platform gives that error in the answer's place, and nothing was written.
fn failed(request: &Request, error: &worker::Error) -> Problem {
    if request.method() == Method::Post && error.to_string().contains("SQLITE_FULL") {
        return not_written();
    }
    Problem::new(Code::Internal, "the request failed; it may be tried again")
}

/// Hands the request of `caller` to the catalog's object and returns its answer.
async fn forward(
    request: &Request,
    env: &Env,
    url: &str,
    catalog: &Catalog,
    caller: &Caller,
) -> worker::Result<Response> {
    let headers = Headers::new();
    for name in PASSED {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    // The token has been looked at, and it is nobody else's business.
    if headers.get(PROTOCOLS)?.is_some_and(|offered| offered.contains(BEARER_SUBPROTOCOL)) {
        headers.set(PROTOCOLS, SUBPROTOCOL)?;
    }
    // A header value is Latin-1 and a token's name need not be.
    headers.set(internal::CALLER, &caller.name.escape_default().to_string())?;
    if let Some(grant) = caller.grant.to_text() {
        headers.set(internal::GRANT, &grant)?;
    }
    if caller.admin && request.headers().get(internal::REPLICA)?.as_deref() == Some("1") {
        headers.set(internal::REPLICA, "1")?;
    }
    let init = RequestInit::new();
    init.set_method(request.method().as_ref());
    init.set_headers(headers.0.as_ref());
    if let Some(body) = request.inner().body() {
        init.set_body(body.as_ref());
    }
    let inner = web_sys::Request::new_with_str_and_init(url, &init)?;
    let stub = env.durable_object(BINDING)?.get_by_name(catalog.as_str())?;
    stub.fetch_with_request(inner.into()).await
}
