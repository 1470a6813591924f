//! The one deployed Worker: hands each request to the half it is for, the broker or the edge.
//!
//! *Architecture invariant:* only this crate knows both halves, and beside them only how an address is read.

use std::panic::AssertUnwindSafe;

use newsreel_core::wire::{Address, Call, Half};
use worker::wasm_bindgen::{self, JsValue, prelude::wasm_bindgen};
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{
    Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, console_error, event, js_sys,
    web_sys, worker_sys,
};

// The runtime finds a Durable Object's class by its export: a crate that is not named here vanishes.
pub use newsreel_broker::{AlertBoard, Broker};
pub use newsreel_edge::Replica;

/// Answers a request: a value in memory at once, since a promise would cost more than its read; a publish or a follower's
/// socket that its object may have at once by the promise of the object; and everything else by a promise of its own. The macro
/// of `worker` for this export knows promises only.
#[wasm_bindgen]
#[must_use]
pub fn fetch(request: web_sys::Request, env: Env, event: worker_sys::Context) -> JsValue {
    let context = JsValue::from(&event);
    let event = Context::new(event);
    let call = request.url().parse().map(|address: Address| Call::read(&request.method(), address));
    if let Ok(call) = &call
        && let Some(response) = newsreel_edge::answer_at_hand(&request, call, &env, &event, false)
    {
        return response.into();
    }
    if let Ok(call) = &call
        && let Some(answer) = newsreel_broker::at_once(&request, &env, &context, call)
    {
        return answer.into();
    }
    let answered = async move {
        let response = match call {
            Ok(call) => answer(request.into(), env, event, call).await,
            Err(error) => Err(error.into()),
        };
        let response = response.or_else(|error| {
            console_error!("{error}");
            Response::error("INTERNAL SERVER ERROR", 500)
        })?;
        Ok(web_sys::Response::from(response).into())
    };
    future_to_promise(AssertUnwindSafe(answered)).into()
}

/// Returns an entry that memory has ready, for a caller that fills entries itself: the ready value and, if `describe` asks
/// for them, the headers of this answer as lines and the tags. `colo` names the location, where the caller knows it.
#[wasm_bindgen]
#[must_use]
pub fn recall(
    catalog: &str,
    key: &str,
    colo: Option<String>,
    describe: bool,
    env: &Env,
    event: worker_sys::Context,
) -> Option<js_sys::Array> {
    newsreel_edge::recall_ready(catalog, key, colo, describe, env, &Context::new(event))
}

/// Answers a read of one entry, for a caller that fills entries itself, if memory can; otherwise returns nothing and does
/// nothing.
#[wasm_bindgen(js_name = atHand)]
#[must_use]
pub fn at_hand(
    request: &web_sys::Request,
    env: &Env,
    event: worker_sys::Context,
) -> Option<web_sys::Response> {
    let call = Call::read(&request.method(), request.url().parse::<Address>().ok()?);
    newsreel_edge::answer_at_hand(request, &call, env, &Context::new(event), true)
}

/// Answers a read of one entry whose value the calling Worker has: `fill` promises its response.
#[wasm_bindgen]
pub fn fill(
    request: web_sys::Request,
    env: Env,
    event: worker_sys::Context,
    fill: js_sys::Function,
    anew: bool,
) -> js_sys::Promise {
    let answered = async move {
        let call =
            Call::read(&request.method(), request.url().parse::<Address>().map_err(worker::Error::from)?);
        let event = Context::new(event);
        let response = newsreel_edge::fill_by(request.into(), env, event, call, fill, anew).await?;
        Ok(web_sys::Response::from(response).into())
    };
    future_to_promise(AssertUnwindSafe(answered))
}

/// Returns the `Authorization` of calls that the Worker's own entrypoint makes in the name of `publisher`.
#[wasm_bindgen(js_name = bindingAuthorization)]
#[must_use]
pub fn binding_authorization(publisher: &str) -> String {
    newsreel_gate::binding::authorization(publisher)
}

async fn answer(request: Request, env: Env, event: Context, call: Call) -> Result<Response> {
    match call.half {
        Half::Edge => newsreel_edge::serve(request, env, event, call).await,
        Half::Broker => newsreel_broker::serve(&request, &env, call).await,
    }
}

/// Consumes a batch of the queue of hooks, or of its dead letters.
#[wasm_bindgen]
pub fn queue(batch: newsreel_broker::Batch, env: Env) -> js_sys::Promise {
    let consumed = async move {
        newsreel_broker::consume(batch, env).await?;
        Ok(JsValue::UNDEFINED)
    };
    future_to_promise(AssertUnwindSafe(consumed))
}

#[event(scheduled)]
async fn scheduled(event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    newsreel_edge::scheduled(env, &event.cron()).await;
}
