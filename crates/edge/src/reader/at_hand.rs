//! Reads whose answer is in memory, answered without a promise.

use std::rc::Rc;

use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Call, Catalog, Key, Route, Tag};
use newsreel_gate as gate;
use worker::js_sys::Array;
use worker::web_sys;
use worker::{Context, Env};

use crate::config::config;
use crate::reader::background::after_response;
use crate::reader::context::{ReadContext, Source};
use crate::reader::drive::{FinishedRead, recall};
use crate::reader::request::is_plain_get;
use crate::reader::response::body::{ready, respond_whole};
use crate::reader::response::headers::{Provenance, passing};
use crate::tiers::Entry;

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
    if config.shadow.is_some() && !fills {
        return None;
    }
    let edge = config.edge(request);
    let source = if fills { Source::Lease } else { Source::Origin };
    let context = ReadContext { source, ..ReadContext::new(env.clone(), config, catalog.clone(), edge) };
    at_hand(Rc::new(context), key, event, |context, read, entry| {
        respond_whole(context, entry, &provenance(context, read)?)
    })
}

/// Returns an entry to a caller that fills entries itself, if memory has it ready and it may be served: an array of the
/// ready value and, if the caller wants to know how recent it is (`describe`), the headers of this answer and the tags.
/// Returns `None`, and does nothing, for every other.
#[must_use]
pub fn recall_ready(
    catalog: &str,
    key: &str,
    colo: Option<String>,
    describe: bool,
    env: &Env,
    event: &Context,
) -> Option<Array> {
    let (catalog, key) = (Catalog::new(catalog).ok()?, Key::new(key).ok()?);
    gate::check_catalog(env, &catalog).ok()?;
    let config = config(env).ok()?;
    let edge = config.edge_at(|| colo);
    let context =
        ReadContext { source: Source::Lease, ..ReadContext::new(env.clone(), config, catalog, edge) };
    at_hand(Rc::new(context), &key, event, |context, read, entry| {
        let ready = ready(context, entry)?;
        if !describe {
            return Some(Array::of1(ready));
        }
        let tags: Vec<&str> = entry.envelope.tags.iter().map(Tag::as_str).collect();
        let passing = passing(entry, &provenance(context, read)?);
        Some(Array::of3(ready, &passing.text().into(), &tags.join(",").into()))
    })
}

fn at_hand<T>(
    context: Rc<ReadContext>,
    key: &Key,
    event: &Context,
    answer: impl FnOnce(&ReadContext, &FinishedRead, &Entry) -> Option<T>,
) -> Option<T> {
    let read = recall(&context, context.read(key, None))?;
    let entry = read.entry().filter(|entry| entry.envelope.found)?;
    let answered = answer(&context, &read, entry)?;
    after_response(&context, event, &[read]);
    Some(answered)
}

/// Returns how a read came to its answer. A ready value's responses have the same headers every time, the reader's position
/// too, so there is none without a position.
fn provenance(context: &ReadContext, read: &FinishedRead) -> Option<Provenance> {
    Some(Provenance::by(context, read)).filter(|provenance| provenance.position.is_some())
}
