//! Reads of callers that have the value themselves: a Worker with a service binding hands in a function, which is asked in
//! the origin's place.

use std::rc::Rc;

use newsreel_core::access::Scope;
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Call, Code, Problem, Route};
use newsreel_gate::{self as gate, Answer};
use worker::js_sys::Function;
use worker::{Context, Env, Request, Response, Result};

use crate::config::config;
use crate::reader::context::{ReadContext, Source};
use crate::reader::drive::{Values, fetch, run};
use crate::reader::request::{min_version, policy};
use crate::reader::serve::failed;
use crate::reader::single::finish;

/// Answers a read of one entry as `serve` does, but asks `function` where the origin would be asked; it is given the
/// position that the value will be stored under, and promises a response. `anew` asks it whatever the tiers hold.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
pub async fn fill_by(
    request: Request,
    env: Env,
    event: Context,
    call: Call,
    function: Function,
    anew: bool,
) -> Result<Response> {
    answer(&request, env, &event, call, function, anew).await.or_else(failed)
}

async fn answer(
    request: &Request,
    env: Env,
    event: &Context,
    call: Call,
    function: Function,
    anew: bool,
) -> Answer {
    let Route::Edge(catalog, EdgeCall::Entry(key)) = call.route? else {
        return Err(Problem::new(Code::UnknownPath, "only an entry can be filled").into());
    };
    gate::admit(request, &env, Scope::Fill, &catalog).await?;
    gate::check_catalog(&env, &catalog)?;
    let config = config(&env)?;
    let edge = config.edge(request.inner());
    let policy = policy(request, &env, &config.policies, &key)?;
    let mut context = ReadContext::new(env, config, catalog, edge);
    context.source = Source::Function(function);
    context.policy = policy;
    context.sends_tags |= call.address.says("tags", "1");
    let context = Rc::new(context);
    let at_least = min_version(request)?;
    let mut reads = if anew {
        fetch(&context, &key).await
    } else {
        run(&context, vec![context.read(&key, at_least)], Values::All).await
    };
    let read = reads.pop().expect("one read has one answer");
    finish(request, &context, event, read, at_least).await
}
