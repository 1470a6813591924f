//! The Worker's side of the broker: checks the page that calls and its token, and only then wakes the catalog's object.

use newsreel_core::access::hooks::PUBLISH_HOOK;
use newsreel_core::access::{Caller, Scope};
use newsreel_core::follow::hub::not_written;
use newsreel_core::wire::frame::{self, BEARER_SUBPROTOCOL, SUBPROTOCOL};
use newsreel_core::wire::{Address, Call, Catalog, Code, Problem, Route, coding, internal_headers};
use newsreel_gate::{self as gate, Answer, Failure, cors};
use serde::Serialize;
use worker::{Env, Headers, Method, Request, RequestInit, Response, console_error};

use crate::config::config;
use crate::hooks;
use crate::http::{json_response, problem_response, set_caller};
use crate::js::drain;
use crate::publish::{DRAIN_BYTES, max_body_bytes, too_large};

/// The binding of the broker's namespace.
const BINDING: &str = newsreel_core::variables::BROKER.name;

/// The headers of a request without a body that the object gets to see.
const PASSED: &[&str] = &["Accept", "If-None-Match", "Last-Event-ID", PROTOCOLS, "Upgrade"];
const PROTOCOLS: &str = "Sec-WebSocket-Protocol";

/// The answer of `/healthz`.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Answers every address but the reader's.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
pub async fn serve(request: &Request, env: &Env, call: Call) -> worker::Result<Response> {
    let Call { address, route, .. } = call;
    let origin = match cors::admit_page(request, env, &address.origin()) {
        Ok(origin) => origin,
        Err(error) => return refused(request, error),
    };
    if let Some(origin) = &origin
        && cors::is_preflight(request)?
    {
        return cors::preflight(origin);
    }
    let response = match answer(request, env, &address, route).await {
        Ok(response) => response,
        Err(failure) => refused(request, failure)?,
    };
    match origin {
        Some(origin) => cors::show(response, &origin),
        None => Ok(response),
    }
}

/// Turns a failure into the response that the caller gets.
fn refused(request: &Request, failure: Failure) -> worker::Result<Response> {
    match failure {
        Failure::Problem(problem) => problem_response(&problem),
        Failure::Platform(error) => failed(request.method(), &error),
    }
}

/// Returns the response to a request whose object failed.
pub(super) fn failed(method: Method, error: &worker::Error) -> worker::Result<Response> {
    console_error!("a request failed: {error}");
    problem_response(&problem_of(method, error))
}

async fn answer(request: &Request, env: &Env, address: &Address, route: Result<Route, Problem>) -> Answer {
    let route = route?;
    if let Some(answer) = answer_hook(request, env, &route).await? {
        return Ok(answer);
    }
    let (scope, catalog, topics) = match &route {
        Route::Healthz => return json_response(&Health { status: "ok" }),
        Route::Publish(catalog, _) | Route::PublishSocket(catalog) | Route::TellSource(catalog) => {
            (Scope::Publish, catalog, None)
        }
        Route::Changes(catalog, query) => (Scope::Follow, catalog, Some(&query.topics)),
        Route::Follow(catalog, query) => (Scope::Follow, catalog, Some(&query.topics)),
        Route::Status(catalog) | Route::Series(catalog, _) => (Scope::Follow, catalog, None),
        Route::Followers(catalog)
        | Route::NewEpoch(catalog)
        | Route::DeadLetters(catalog, _)
        | Route::Alerts(catalog)
        | Route::TellAlerts(catalog) => (Scope::Admin, catalog, None),
        Route::Readyz | Route::Edge(..) | Route::Hook(..) | Route::SettleDeadLetters(_) => {
            return Err(Problem::new(Code::UnknownPath, "this address is the edge's").into());
        }
    };
    let caller = admit(request, env, scope, catalog).await?;
    // A caller with a limited token that names no topics follows the topics of its token.
    let narrowed = topics.map(|topics| caller.grant.narrow(topics)).transpose()?.flatten();
    let narrowed = narrowed.map(|topics| address.with_query(&topics));
    if matches!(route, Route::Publish(..)) {
        coding::check(&request.headers().get("Content-Encoding")?.unwrap_or_default())?;
    }
    refuse_too_large(request, &route).await?;
    let url = narrowed.as_deref().unwrap_or(address.as_str());
    let is_of_board = matches!(route, Route::Alerts(_) | Route::TellAlerts(_) | Route::TellSource(_));
    let binding = if is_of_board { alert_board(env)? } else { BINDING };
    let response = forward(request, env, binding, url, catalog, &caller).await?;
    // Callers with wider tokens get more at the same address, so no cache may keep this answer.
    let may_be_kept = |headers: &Headers| {
        headers.get("Cache-Control").map(|said| !said.is_some_and(|said| said.contains("no-store")))
    };
    if narrowed.is_some() && response.status_code() != 101 && may_be_kept(response.headers())? {
        let headers = response.headers().clone();
        headers.set("Cache-Control", "no-store")?;
        return Ok(response.with_headers(headers));
    }
    Ok(response)
}

/// Answers what the Worker does itself with the messages of hooks; `None` for a request that is for the object.
async fn answer_hook(request: &Request, env: &Env, route: &Route) -> Result<Option<Response>, Failure> {
    let answer = if let Route::Hook(catalog, name) = route {
        hooks::receive(request, env, catalog, name).await
    } else if let Route::Publish(catalog, _) = route
        && hooks::is_event(request)?
    {
        hooks::receive(request, env, catalog, PUBLISH_HOOK).await
    } else if let Route::SettleDeadLetters(catalog) = route {
        admit(request, env, Scope::Admin, catalog).await?;
        hooks::settle(request, env, catalog).await
    } else {
        return Ok(None);
    };
    answer.map(Some)
}

/// Returns the caller, if everything that is checked before the object allows the request.
async fn admit(request: &Request, env: &Env, scope: Scope, catalog: &Catalog) -> Result<Caller, Failure> {
    let config = config(env)?;
    check_subprotocol(request)?;
    let caller = gate::admit(request, env, scope, catalog).await?;
    let per_second = match scope {
        Scope::Publish => config.publish_per_second,
        Scope::Follow => config.follows_per_second(&caller),
        Scope::Fill | Scope::Admin => 0,
    };
    gate::check_catalog(env, catalog)?;
    gate::check_rate(&caller, scope, per_second)?;
    Ok(caller)
}

/// Refuses a socket that offers subprotocols and not ours.
fn check_subprotocol(request: &Request) -> Result<(), Failure> {
    let offered = request.headers().get("Sec-WebSocket-Protocol")?;
    if !request.headers().has("Upgrade")? || frame::is_spoken(offered.as_deref()) {
        return Ok(());
    }
    let text = format!("the broker speaks {SUBPROTOCOL}");
    Err(Problem::new(Code::UnsupportedProtocol, text).with("subprotocol", SUBPROTOCOL).into())
}

/// Refuses a body whose `Content-Length` is too large. A body without one is counted as it comes.
async fn refuse_too_large(request: &Request, route: &Route) -> Result<(), Failure> {
    if !matches!(route, Route::Publish(..)) {
        return Ok(());
    }
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let most = max_body_bytes(&request.headers().get("Content-Type")?.unwrap_or_default());
    let Some(length) = length.filter(|length| *length > most) else { return Ok(()) };
    if length <= DRAIN_BYTES
        && let Some(body) = request.inner().body()
    {
        drain(&body).await;
    }
    Err(too_large(most).into())
}

/// Returns the failure that the caller is told for an object's error. A disk without room fails
/// a commit after the object has answered: the platform gives that error in the answer's place,
/// and nothing was written.
fn problem_of(method: Method, error: &worker::Error) -> Problem {
    if method == Method::Post && error.to_string().contains("SQLITE_FULL") {
        return not_written();
    }
    Problem::new(Code::Internal, "the request failed; it may be tried again")
}

/// Returns the binding of the objects of alerts, which a deployment need not have.
fn alert_board(env: &Env) -> Result<&'static str, Failure> {
    let binding = newsreel_core::variables::ALERT_BOARD.name;
    match env.durable_object(binding) {
        Ok(_) => Ok(binding),
        Err(_) => {
            let why = format!(
                "this deployment has no alerts: bind {binding} to the class AlertBoard in wrangler.toml"
            );
            Err(Problem::new(Code::UnknownPath, why).into())
        }
    }
}

/// Hands the request of `caller` to the catalog's object and returns its answer.
async fn forward(
    request: &Request,
    env: &Env,
    binding: &str,
    url: &str,
    catalog: &Catalog,
    caller: &Caller,
) -> worker::Result<Response> {
    let has_body = request.method() == Method::Post;
    let inner = if has_body { with_body(request)? } else { without_body(request, url, caller)? };
    set_caller(inner.headers(), caller)?;
    let stub = env.durable_object(binding)?.get_by_name(catalog.as_str())?;
    stub.fetch_with_request(inner).await
}

/// Returns a request with a body for the object: the caller's own, whose body and headers stay where they are. Without the
/// token, which the gate has checked and the object does not need, and without a grant that only the gate may write.
fn with_body(request: &Request) -> worker::Result<Request> {
    let inner = request.clone_mut()?;
    for name in ["Authorization", PROTOCOLS, internal_headers::GRANT] {
        inner.headers().delete(name)?;
    }
    Ok(inner)
}

/// Returns a request without a body for the object. A body means nothing to GET and HEAD (RFC 9110, 9.3.1), and the
/// platform throws at a request that has one.
fn without_body(request: &Request, url: &str, caller: &Caller) -> worker::Result<Request> {
    let headers = Headers::new();
    for name in PASSED {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    if headers.get(PROTOCOLS)?.is_some_and(|offered| offered.contains(BEARER_SUBPROTOCOL)) {
        headers.set(PROTOCOLS, SUBPROTOCOL)?;
    }
    if caller.admin && request.headers().get(internal_headers::REPLICA)?.as_deref() == Some("1") {
        headers.set(internal_headers::REPLICA, "1")?;
    }
    let mut init = RequestInit::new();
    init.with_method(request.method()).with_headers(headers);
    Request::new_with_init(url, &init)
}
