//! A publish that the gate admits at once: handed to the catalog's object without a future, which would cost more than the
//! checks.
//!
//! Every request that is not such a publish, or that is refused, goes the way of [`front_door`](super::front_door), which
//! finds the same and says why.

use newsreel_core::access::{Caller, Scope};
use newsreel_core::wire::{Call, Catalog, Route, coding};
use newsreel_gate as gate;
use wasm_bindgen::prelude::*;
use worker::{Env, Error, js_sys, web_sys};

use super::front_door::failed_publish;
use crate::config::config;
use crate::publish::max_body_bytes;

#[wasm_bindgen(module = "/src/worker/at_once.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = checkedOf)]
    fn checked_of(request: &web_sys::Request) -> Result<String, JsValue>;

    #[wasm_bindgen(catch)]
    fn forward(
        request: &web_sys::Request,
        env: &Env,
        catalog: &str,
        caller: &str,
        failed: &JsValue,
    ) -> Result<js_sys::Promise, JsValue>;
}

thread_local! {
    /// Makes a response of the error with which an object failed. Made once in an isolate's life: it belongs to no request.
    static FAILED: JsValue = Closure::<dyn Fn(JsValue) -> Result<JsValue, JsValue>>::new(|error| {
        let response = failed_publish(&Error::from(error))?;
        Ok(web_sys::Response::from(response).into())
    }).into_js_value();
}

/// Hands a publish to its object, if that can be done at once; returns the promise of the answer.
#[must_use]
pub fn publish_at_once(request: &web_sys::Request, env: &Env, call: &Call) -> Option<js_sys::Promise> {
    let Ok(Route::Publish(catalog, _)) = &call.route else { return None };
    let caller = admitted(request, env, catalog)?;
    // A header value is Latin-1 and a token's name need not be.
    let name = caller.name.escape_default().to_string();
    FAILED.with(|failed| forward(request, env, catalog.as_str(), &name, failed)).ok()
}

/// Returns the caller of a publish whose token is on a list, and which nothing else keeps from its object.
fn admitted(request: &web_sys::Request, env: &Env, catalog: &Catalog) -> Option<Caller> {
    let config = config(env).ok()?;
    let lines = checked_of(request).ok()?;
    let mut headers = lines.split('\n').map(|line| line.strip_prefix('='));
    let [authorization, offered, content_type, length, encoding, origin, upgrade] =
        std::array::from_fn(|_| headers.next().flatten());
    if origin.is_some() || upgrade.is_some() {
        return None;
    }
    coding::check(encoding.unwrap_or_default()).ok()?;
    let length = length.map_or(Ok(0), str::parse::<usize>).ok()?;
    if length > max_body_bytes(content_type.unwrap_or_default()) {
        return None;
    }
    let caller = gate::listed(
        env,
        authorization.unwrap_or_default(),
        offered.unwrap_or_default(),
        Scope::Publish,
        catalog,
    );
    let caller = caller.ok()?;
    gate::check_catalog(env, catalog).ok()?;
    gate::check_rate(&caller, Scope::Publish, config.publish_per_second).ok()?;
    Some(caller)
}
