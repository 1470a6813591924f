//! The Worker's side of the broker: checks who calls, reads the address, checks the token, and only then wakes
//! the catalog's object.

use std::pin::Pin;

use newsreel_core::access::{Caller, Scope};
use newsreel_core::wire::{Address, Catalog, Code, Problem, Route, internal};
use worker::web_sys::RequestInit;
use worker::{Env, Headers, Method, Request, Response, console_error, web_sys};

use crate::config::Config;
use crate::convert::{json_response, problem_response};
use crate::publishes::not_written;
use crate::{browser, gate};

/// The binding of the broker's namespace.
const BINDING: &str = "BROKER";

/// What of a request the object gets to see.
const PASSED: &[&str] = &[
    "Accept",
    "Content-Length",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Sec-WebSocket-Protocol",
    "Upgrade",
];

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
    let origin = match browser::admit(request, env, address.origin())? {
        Ok(origin) => origin,
        Err(problem) => return problem_response(&problem),
    };
    if let Some(origin) = &origin
        && browser::is_preflight(request)?
    {
        return browser::preflight(origin);
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
        Some(origin) => browser::show(response, &origin),
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
    let (scope, catalog) = match route {
        Route::Healthz => return json_response(r#"{"status":"ok"}"#.to_owned()).map(Ok),
        Route::Publish(catalog, _) | Route::PublishSocket(catalog) => (Scope::Publish, catalog),
        Route::Status(catalog) | Route::Changes(catalog, _) | Route::Follow(catalog, _) => {
            (Scope::Follow, catalog)
        }
        Route::Followers(catalog) | Route::NewEpoch(catalog) => (Scope::Admin, catalog),
        Route::Readyz | Route::Edge(..) => {
            return Ok(Err(Problem::new(Code::UnknownPath, "this address is the edge's")));
        }
    };
    if let Err(problem) = Config::read(env) {
        return Ok(Err(problem));
    }
    if let Some(problem) = gate::unspoken(request)? {
        return Ok(Err(problem));
    }
    match gate::authorize(request, env, scope, &catalog)? {
        Ok(caller) => forward(request, env, address, &catalog, &caller).await.map(Ok),
        Err(problem) => Ok(Err(problem)),
    }
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
    address: &Address,
    catalog: &Catalog,
    caller: &Caller,
) -> worker::Result<Response> {
    let headers = Headers::new();
    for name in PASSED {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    // A header value is Latin-1 and a token's name need not be.
    headers.set(internal::CALLER, &caller.name.escape_default().to_string())?;
    if caller.admin && request.headers().get(internal::REPLICA)?.as_deref() == Some("1") {
        headers.set(internal::REPLICA, "1")?;
    }
    let init = RequestInit::new();
    init.set_method(request.method().as_ref());
    init.set_headers(headers.0.as_ref());
    if let Some(body) = request.inner().body() {
        init.set_body(body.as_ref());
    }
    let inner = web_sys::Request::new_with_str_and_init(address.as_str(), &init)?;
    let stub = env.durable_object(BINDING)?.get_by_name(catalog.as_str())?;
    stub.fetch_with_request(inner.into()).await
}
