//! The requests of the edge: reads the address, checks the token, and hands the request on.

use std::rc::Rc;

use newsreel_core::access::Scope;
use newsreel_core::access::cors::refusal;
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Call, Catalog, Code, Problem, Route};
use newsreel_gate::{self as gate, Answer, Failure, cors};
use serde::Serialize;
use worker::{Context, Env, Request, Response, Result, console_error};

use crate::config::{ENTRIES, REPLICA, config};
use crate::http::{json_response, problem_response};
use crate::reader::bulk::many;
use crate::reader::context::{ReadContext, Source};
use crate::reader::explain::explain_at;
use crate::reader::fill::fill_all;
use crate::reader::request::{body_keys, body_text, policy};
use crate::reader::shadow::serve_old;
use crate::reader::single::one;
use crate::reader::{checks, dry_run, leases, metrics, series, settings};
use crate::tiers::kv;

/// Answers a request that is for the edge.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
pub async fn serve(request: Request, env: Env, event: Context, call: Call) -> Result<Response> {
    let page = cors::origin(&request)?;
    let own = call.address.origin();
    let allowed = match page.as_deref().map(|page| cors::allows(&env, page, &own)).transpose() {
        Ok(allowed) => allowed.unwrap_or(false),
        Err(failure) => return failed(failure),
    };
    match page {
        Some(page) if cors::is_preflight(&request)? => {
            if allowed {
                cors::preflight(&page)
            } else {
                problem_response(&refusal(&page))
            }
        }
        Some(page) if allowed => cors::show(answered(request, env, event, call).await?, &page),
        // Entries are read without a token, so a foreign page's request is answered, and its browser does not show the
        // answer to the page.
        Some(_) | None => answered(request, env, event, call).await,
    }
}

async fn answered(mut request: Request, env: Env, event: Context, call: Call) -> Result<Response> {
    answer(&mut request, env, &event, call).await.or_else(failed)
}

/// Returns the response to a request that failed.
pub(super) fn failed(failure: Failure) -> Result<Response> {
    match failure {
        Failure::Problem(problem) => problem_response(&problem),
        Failure::Platform(error) => {
            console_error!("a read failed: {error}");
            let text = "the read failed; it may be tried again";
            problem_response(&Problem::new(Code::Internal, text))
        }
    }
}

async fn answer(request: &mut Request, env: Env, event: &Context, call: Call) -> Answer {
    let Call { address, route, .. } = call;
    let route = route?;
    if matches!(route, Route::Readyz) {
        return ready(&env).await;
    }
    let Route::Edge(catalog, call) = route else {
        return Err(Problem::new(Code::UnknownPath, "this address is the broker's").into());
    };
    let explain = matches!(call, EdgeCall::Entry(_)) && address.says("explain", "1");
    admit(request, &env, &catalog, &call, explain).await?;
    // After the token, as at the broker: a caller without one does not learn which catalogs there are.
    gate::check_catalog(&env, &catalog)?;
    if call == EdgeCall::Settings {
        // Before the variables are read: what is wrong with them is part of the answer.
        return Ok(settings::show(&env)?);
    }
    let config = config(&env)?;
    let edge = config.edge(request.inner());
    let context = ReadContext::new(env, config, catalog, edge);
    let context = Rc::new(prepared(context, request, &call, address.says("tags", "1"))?);
    match call {
        EdgeCall::Metrics => Ok(metrics::show(&context).await?),
        EdgeCall::Series(query) => series::show(&context, &query).await,
        EdgeCall::DryRun => dry_run::show(&context, &body_text(request).await?).await,
        EdgeCall::Checks => Ok(checks::show(&context).await?),
        // Answered above.
        EdgeCall::Settings => Ok(settings::show(&context.env)?),
        EdgeCall::Begin(key) => leases::begin(request, &context, event, &key).await,
        EdgeCall::Land(key) => leases::land(request, &context, event, &key).await,
        EdgeCall::Lease => leases::lease(&context).await,
        EdgeCall::Floors => leases::floors(request, &context).await,
        EdgeCall::Entry(key) => match context.config.shadow.as_deref().filter(|_| !explain) {
            Some(old) => serve_old(request, &context, event, &key, old).await,
            None => match address.value("edge").filter(|edge| explain && *edge != context.edge) {
                Some(edge) => explain_at(&context, &edge, &key).await,
                None => one(request, &context, event, &key, explain).await,
            },
        },
        EdgeCall::Entries(keys) => many(request, &context, event, &keys).await,
        EdgeCall::EntriesOf => {
            let keys = body_keys(request).await?;
            many(request, &context, event, &keys).await
        }
        EdgeCall::Fill => {
            let keys = body_keys(request).await?;
            Ok(fill_all(&context, event, &keys).await?)
        }
    }
}

/// Returns the context of a call: who has the values, by which policy, and whether tags are shown.
fn prepared(
    context: ReadContext,
    request: &Request,
    call: &EdgeCall,
    tags: bool,
) -> Result<ReadContext, Failure> {
    let sends_tags = context.sends_tags || tags;
    match call {
        EdgeCall::Begin(key) | EdgeCall::Land(key) => {
            let policy = policy(request, &context.env, &context.config.policies, key)?;
            Ok(ReadContext { source: Source::Lease, policy, sends_tags, ..context })
        }
        EdgeCall::Lease
        | EdgeCall::Floors
        | EdgeCall::Series(_)
        | EdgeCall::DryRun
        | EdgeCall::Checks
        | EdgeCall::Settings => Ok(ReadContext { source: Source::Lease, ..context }),
        EdgeCall::Entry(_)
        | EdgeCall::Entries(_)
        | EdgeCall::EntriesOf
        | EdgeCall::Fill
        | EdgeCall::Metrics => {
            context.config.origin()?;
            Ok(ReadContext { sends_tags, ..context })
        }
    }
}

/// Checks the token of a call that needs one. A caller that fills entries decides what others read, which a publisher does
/// not.
async fn admit(
    request: &Request,
    env: &Env,
    catalog: &Catalog,
    call: &EdgeCall,
    explain: bool,
) -> Result<(), Failure> {
    let scope = match call {
        EdgeCall::Fill
        | EdgeCall::Metrics
        | EdgeCall::Series(_)
        | EdgeCall::DryRun
        | EdgeCall::Checks
        | EdgeCall::Settings => Scope::Admin,
        EdgeCall::Entry(_) if explain => Scope::Admin,
        EdgeCall::Entry(_) | EdgeCall::Entries(_) | EdgeCall::EntriesOf => return Ok(()),
        EdgeCall::Begin(_) | EdgeCall::Land(_) | EdgeCall::Lease | EdgeCall::Floors => Scope::Fill,
    };
    let caller = gate::admit(request, env, scope, catalog).await?;
    if let EdgeCall::Begin(key) | EdgeCall::Land(key) = call {
        caller.grant.check_key(key)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
}

/// Says whether this deployment could serve: its configuration is right and its bindings are there.
async fn ready(env: &Env) -> Answer {
    let missing = |binding: &str, error: worker::Error| {
        Problem::new(Code::Misconfigured, format!("the binding {binding} does not work: {error}"))
    };
    config(env)?;
    env.durable_object(REPLICA).map_err(|error| missing(REPLICA, error))?;
    kv::get(env, "readyz").await.map_err(|error| missing(ENTRIES, error))?;
    Ok(json_response(&Ready { status: "ready" })?)
}
