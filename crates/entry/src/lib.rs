//! The one deployed Worker: hands each request to the half it is for, the broker or the edge.
//!
//! *Architecture invariant:* only this crate knows both halves, and it knows nothing else.

use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

// The runtime finds a Durable Object's class by its export: a crate that is not named here vanishes.
pub use newsreel_broker::Broker;
pub use newsreel_edge::Replica;

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    if newsreel_edge::serves(&request)? {
        newsreel_edge::serve(request, env, context).await
    } else {
        newsreel_broker::serve(&request, &env).await
    }
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    newsreel_edge::scheduled(env).await;
}
