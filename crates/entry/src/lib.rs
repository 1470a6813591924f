//! The one deployed Worker: hands each request to the half it is for, the broker or the edge.
//!
//! *Architecture invariant:* only this crate knows both halves, and beside them only how an address is read.

use newsreel_core::wire::{Address, Call, Half};
use worker::wasm_bindgen::{self, prelude::wasm_bindgen};
use worker::{
    Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event, web_sys, worker_sys,
};

// The runtime finds a Durable Object's class by its export: a crate that is not named here vanishes.
pub use newsreel_broker::Broker;
pub use newsreel_edge::Replica;

/// Answers a read of a value that is in memory. The shim asks this first: a promise would cost more than the read.
#[wasm_bindgen(js_name = answerAtHand)]
#[must_use]
pub fn answer_at_hand(
    request: &web_sys::Request,
    env: &Env,
    event: worker_sys::Context,
) -> Option<web_sys::Response> {
    newsreel_edge::answer_at_hand(request, env, &Context::new(event))
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let call = Call::read(&request.inner().method(), Address::from(request.url()?));
    match call.half {
        Half::Edge => newsreel_edge::serve(request, env, context, call).await,
        Half::Broker => newsreel_broker::serve(&request, &env, call).await,
    }
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    newsreel_edge::scheduled(env).await;
}
