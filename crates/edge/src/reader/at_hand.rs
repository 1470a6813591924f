//! Reads whose answer is in memory, answered without a promise.

use std::rc::Rc;

use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Call, Route};
use newsreel_gate as gate;
use worker::web_sys;
use worker::{Context, Env};

use crate::config::config;
use crate::reader::background::after_response;
use crate::reader::context::{ReadContext, Source};
use crate::reader::drive::recall;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::is_plain_get;
use crate::reader::response::body::respond_whole;
use crate::reader::response::headers::Provenance;

/// Answers a request for one value if the value is in memory and may be served as it is.
///
/// Returns `None` for every other request, which [`serve`](crate::serve) then answers: nothing has been counted or begun.
/// A caller that fills entries itself (`fills`) also fetches them anew, and no origin is asked behind the answer.
#[must_use]
pub fn answer_at_hand(
    request: &web_sys::Request,
    call: &Call,
    env: &Env,
    event: &Context,
    fills: bool,
) -> Option<web_sys::Response> {
    let Ok(Route::Edge(catalog, EdgeCall::Entry(key))) = &call.route else { return None };
    if !call.address.query().is_empty() || !is_plain_get(request) {
        return None;
    }
    gate::check_catalog(env, catalog).ok()?;
    let config = config(env).ok()?;
    let edge = config.edge(request);
    let catalog = catalog.clone();
    let source = if fills { Source::Lease } else { Source::Origin };
    let context = Rc::new(ReadContext { source, ..ReadContext::new(env.clone(), config, catalog, edge) });
    let read = recall(&context, context.read(key, None))?;
    let provenance = Provenance::by(&context, &read);
    // A ready value's responses have the same headers every time, the reader's position too.
    provenance.position?;
    let Outcome::Value = outcome(&context, &read, None, &provenance) else { return None };
    let response = respond_whole(&context, read.entry()?, &provenance)?;
    after_response(&context, event, &[read]);
    Some(response)
}
