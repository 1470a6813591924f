//! A publish or a follower's socket that the gate admits at once: handed to the catalog's object without a future, which would
//! cost more than the checks.
//!
//! Every other request, and one that is refused, goes the way of [`front_door`](super::front_door), which finds the same and
//! says why.

use newsreel_core::access::{Caller, Grant, Scope};
use newsreel_core::wire::frame::{self, SUBPROTOCOL};
use newsreel_core::wire::query::PublishQuery;
use newsreel_core::wire::{Call, Catalog, Route, Traceparent, coding, ndjson};
use newsreel_gate as gate;
use wasm_bindgen::prelude::*;
use worker::{Env, Error, Method, js_sys, web_sys};

use super::front_door::failed;
use crate::config::config;
use crate::hooks;
use crate::publish::{SMALL_BODY_BYTES, max_body_bytes};

#[wasm_bindgen(module = "/src/worker/together.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn submit(
        request: &web_sys::Request,
        length: u32,
        env: &Env,
        context: &JsValue,
        catalog: &str,
        caller: &str,
        failed: &JsValue,
    ) -> Result<Option<js_sys::Promise>, JsValue>;
}

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

    #[wasm_bindgen(catch)]
    fn connect(
        url: &str,
        env: &Env,
        catalog: &str,
        caller: &str,
        subprotocol: Option<&str>,
        is_replica: bool,
        failed: &JsValue,
    ) -> Result<js_sys::Promise, JsValue>;
}

thread_local! {
    /// Make a response of the error with which an object failed. Made once in an isolate's life: they belong to no request.
    static PUBLISH_FAILED: JsValue = response_to_failure(Method::Post);
    static CONNECT_FAILED: JsValue = response_to_failure(Method::Get);
}

fn response_to_failure(method: Method) -> JsValue {
    let respond = move |error| -> Result<JsValue, JsValue> {
        let response = failed(method.clone(), &Error::from(error))?;
        Ok(web_sys::Response::from(response).into())
    };
    Closure::<dyn Fn(JsValue) -> Result<JsValue, JsValue>>::new(respond).into_js_value()
}

/// The headers that are checked.
struct Checked<'a> {
    authorization: &'a str,
    subprotocols: Option<&'a str>,
    content_type: &'a str,
    length: Option<&'a str>,
    encoding: &'a str,
    has_origin: bool,
    upgrades: bool,
    replica: &'a str,
    /// Whether the body is an event, which a mapping reads.
    is_event: bool,
    traceparent: Option<Traceparent>,
}

impl<'a> Checked<'a> {
    fn read(lines: &'a str) -> Self {
        let mut lines = lines.split('\n');
        let mut header = || lines.next().and_then(|line| line.strip_prefix('='));
        let (authorization, subprotocols) = (header().unwrap_or_default(), header());
        let content_type = header().unwrap_or_default();
        Self {
            authorization,
            subprotocols,
            content_type,
            length: header(),
            encoding: header().unwrap_or_default(),
            has_origin: header().is_some(),
            upgrades: header().is_some(),
            replica: header().unwrap_or_default(),
            is_event: hooks::is_event_type(content_type) | header().is_some() | header().is_some(),
            traceparent: header().and_then(|text| text.parse().ok()),
        }
    }

    /// Returns the length of a body that is one publish, says how long it is, and is small.
    fn small_length(&self) -> Option<u32> {
        let length = self.length?.parse().ok()?;
        (length as usize <= SMALL_BODY_BYTES && !ndjson::are_in(self.content_type)).then_some(length)
    }

    /// Returns the caller, if its token is on a list and reaches as far as `scope`. Only a signed token has limits, which
    /// the object must be told of, and none of these is on a list.
    fn caller(&self, env: &Env, scope: Scope, catalog: &Catalog) -> Option<Caller> {
        let offered = self.subprotocols.unwrap_or_default();
        let caller = gate::listed(env, self.authorization, offered, scope, catalog).ok()?;
        (caller.grant == Grant::default()).then_some(caller)
    }
}

/// Hands a publish or a follower's socket to its object, if that can be done at once; returns the promise of the answer.
#[must_use]
pub fn at_once(
    request: &web_sys::Request,
    env: &Env,
    context: &JsValue,
    call: &Call,
) -> Option<js_sys::Promise> {
    let (Ok(Route::Publish(catalog, _)) | Ok(Route::Follow(catalog, _))) = &call.route else { return None };
    let lines = checked_of(request).ok()?;
    let checked = Checked::read(&lines);
    let follows = matches!(call.route, Ok(Route::Follow(..)));
    if checked.has_origin || checked.upgrades != follows {
        return None;
    }
    gate::check_catalog(env, catalog).ok()?;
    if let Ok(Route::Publish(_, query)) = &call.route {
        return publish(request, env, context, &checked, catalog, *query);
    }
    follow(call, env, &checked, catalog)
}

fn publish(
    request: &web_sys::Request,
    env: &Env,
    context: &JsValue,
    checked: &Checked<'_>,
    catalog: &Catalog,
    query: PublishQuery,
) -> Option<js_sys::Promise> {
    if checked.is_event {
        return None;
    }
    coding::check(checked.encoding).ok()?;
    let length = checked.length.map_or(Ok(0), str::parse::<usize>).ok()?;
    if length > max_body_bytes(checked.content_type) {
        return None;
    }
    let caller = checked.caller(env, Scope::Publish, catalog)?;
    gate::check_rate(&caller, Scope::Publish, config(env).ok()?.publish_per_second).ok()?;
    if let Some(traceparent) = &checked.traceparent {
        gate::spans::belongs_to(traceparent);
    }
    let name = header_value(&caller);
    PUBLISH_FAILED.with(|failed| {
        if let Some(length) = checked.small_length().filter(|_| query == PublishQuery::default())
            && let Some(answer) =
                submit(request, length, env, context, catalog.as_str(), &name, failed).ok()?
        {
            return Some(answer);
        }
        forward(request, env, catalog.as_str(), &name, failed).ok()
    })
}

fn follow(call: &Call, env: &Env, checked: &Checked<'_>, catalog: &Catalog) -> Option<js_sys::Promise> {
    if !frame::is_spoken(checked.subprotocols) {
        return None;
    }
    let caller = checked.caller(env, Scope::Follow, catalog)?;
    gate::check_rate(&caller, Scope::Follow, config(env).ok()?.follows_per_second(&caller)).ok()?;
    let subprotocol = checked.subprotocols.map(|_| SUBPROTOCOL);
    let replica = caller.admin && checked.replica == "1";
    let (url, name) = (call.address.as_str(), header_value(&caller));
    CONNECT_FAILED
        .with(|failed| connect(url, env, catalog.as_str(), &name, subprotocol, replica, failed))
        .ok()
}

/// Returns the name of a caller's token as a header holds it: a header's value is Latin-1, and the name need not be.
fn header_value(caller: &Caller) -> String {
    caller.name.escape_default().to_string()
}
