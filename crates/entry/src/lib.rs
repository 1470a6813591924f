//! The one deployed Worker: reads the address, checks the token, hands over to the broker or to the edge.
//!
//! A token is checked before any Durable Object is touched. What the two halves need of each other is in
//! `newsreel_core::wire`; only this crate knows both.

mod gate;

use newsreel_broker::convert::{json_response, problem_response};
use newsreel_broker::front;
use newsreel_core::access::Scope;
use newsreel_core::wire::{Code, Problem, Route};
use worker::{Context, Env, Request, Response, Result, console_error, event};

// The runtime finds a Durable Object's class by its export: a crate that is not named here vanishes.
pub use newsreel_broker::Broker;
pub use newsreel_edge::Replica;

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let answer = route(request, env, context).await;
    match answer {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(problem)) => problem_response(&problem),
        Err(error) => {
            console_error!("a request failed: {error}");
            problem_response(&Problem::new(Code::Internal, "the request failed; it may be tried again"))
        }
    }
}

async fn route(
    request: Request,
    env: Env,
    context: Context,
) -> Result<std::result::Result<Response, Problem>> {
    let url = request.url()?;
    let route = match Route::parse(request.method().as_ref(), url.path(), url.query().unwrap_or_default()) {
        Ok(route) => route,
        Err(problem) => return Ok(Err(problem)),
    };
    let (scope, catalog) = match route {
        Route::Healthz => return json_response(r#"{"status":"ok"}"#.to_owned()).map(Ok),
        Route::Readyz => return newsreel_edge::ready(&env).await,
        Route::Entry(catalog, key) => return newsreel_edge::read(&request, env, context, catalog, key).await,
        Route::Publish(catalog) => (Scope::Publish, catalog),
        Route::Status(catalog) | Route::Changes(catalog, _) | Route::Follow(catalog, _) => {
            (Scope::Follow, catalog)
        }
        Route::Followers(catalog) => (Scope::Admin, catalog),
    };
    let caller = match gate::authorize(&request, &env, scope, &catalog)? {
        Ok(caller) => caller,
        Err(problem) => return Ok(Err(problem)),
    };
    front::forward(&request, &env, &catalog, &caller).await.map(Ok)
}
