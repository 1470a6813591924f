//! The requests of the edge: reads the address, checks the token, and hands the request on.

use std::rc::Rc;

use newsreel_core::access::Scope;
use newsreel_core::access::cors::refusal;
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Address, Call, Catalog, Code, Problem, Route};
use newsreel_gate::{self as gate, GateError, cors};
use worker::{Context, Env, Request, Response, Result, console_error};

use crate::config::{ENTRIES, REPLICA, config};
use crate::http::{problem_response, text_response};
use crate::reader::bulk::many;
use crate::reader::context::Place;
use crate::reader::fill::ahead;
use crate::reader::metrics;
use crate::reader::request::{Answered, body_keys};
use crate::reader::single::one;
use crate::tiers::kv;

/// Answers a request that is for the edge.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
pub async fn serve(request: Request, env: Env, context: Context, call: Call) -> Result<Response> {
    let page = cors::origin(&request)?;
    let own = call.address.origin();
    let allowed = match page.as_deref().map(|page| cors::allows(&env, page, &own)).transpose() {
        Ok(allowed) => allowed.unwrap_or(false),
        Err(GateError::Refused(problem)) => return problem_response(&problem),
        Err(GateError::Platform(error)) => return Err(error),
    };
    match page {
        Some(page) if cors::is_preflight(&request)? => {
            if allowed {
                cors::preflight(&page)
            } else {
                problem_response(&refusal(&page))
            }
        }
        Some(page) if allowed => cors::show(answered(request, env, context, call).await?, &page),
        // Entries are read without a token, so a foreign page's request is answered, and its browser does not show the
        // answer to the page.
        Some(_) | None => answered(request, env, context, call).await,
    }
}

async fn answered(mut request: Request, env: Env, context: Context, call: Call) -> Result<Response> {
    let Call { address, route, .. } = call;
    let answer = match route {
        Ok(Route::Edge(catalog, call)) => answer(&mut request, &address, env, context, catalog, call).await,
        Ok(Route::Readyz) => ready(&env).await,
        Ok(_) => Ok(Err(Problem::new(Code::UnknownPath, "this address is the broker's"))),
        Err(problem) => Ok(Err(problem)),
    };
    match answer {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(problem)) => problem_response(&problem),
        Err(error) => {
            console_error!("a read failed: {error}");
            let text = "the read failed; it may be tried again";
            problem_response(&Problem::new(Code::Internal, text))
        }
    }
}

/// Says whether this deployment could serve: its configuration is right and its bindings are there.
async fn ready(env: &Env) -> Result<Answered> {
    let missing = |binding: &str, error: &dyn std::fmt::Display| {
        Problem::new(Code::Misconfigured, format!("the binding {binding} does not work: {error}"))
    };
    if let Err(problem) = config(env) {
        return Ok(Err(problem));
    }
    if let Err(error) = env.durable_object(REPLICA) {
        return Ok(Err(missing(REPLICA, &error)));
    }
    match kv::get(env, "readyz").await {
        Err(error) => Ok(Err(missing(ENTRIES, &error))),
        Ok(_) => text_response("application/json", r#"{"status":"ready"}"#.to_owned()).map(Ok),
    }
}

async fn answer(
    request: &mut Request,
    address: &Address,
    env: Env,
    context: Context,
    catalog: Catalog,
    call: EdgeCall,
) -> Result<Answered> {
    let explain = matches!(call, EdgeCall::Entry(_)) && address.says("explain", "1");
    if explain || matches!(call, EdgeCall::Fill | EdgeCall::Metrics) {
        match gate::admit(request, &env, Scope::Admin, &catalog).await {
            Ok(_) => {}
            Err(GateError::Refused(problem)) => return Ok(Err(problem)),
            Err(GateError::Platform(error)) => return Err(error),
        }
    }
    // After the token, as at the broker: a caller without one does not learn which catalogs there are.
    if let Err(problem) = gate::check_catalog(&env, &catalog) {
        return Ok(Err(problem));
    }
    let config = match config(&env) {
        Ok(config) => config,
        Err(problem) => return Ok(Err(problem)),
    };
    let edge = config.edge(request);
    let place = Rc::new(Place { env, config, catalog, edge, replica: None });
    let fills = matches!(call, EdgeCall::Fill);
    let keys = match call {
        EdgeCall::Metrics => return metrics::show(&place).await.map(Ok),
        EdgeCall::Entry(key) => return one(request, &place, &context, &key, explain).await,
        EdgeCall::Entries(keys) => Ok(keys),
        EdgeCall::EntriesOf | EdgeCall::Fill => body_keys(request).await?,
    };
    match keys {
        Err(problem) => Ok(Err(problem)),
        Ok(keys) if fills => ahead(&place, &context, &keys).await.map(Ok),
        Ok(keys) => many(request, &place, &context, &keys).await,
    }
}
