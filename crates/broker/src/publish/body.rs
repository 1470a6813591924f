//! The bodies of requests while they are read: which publish is under way, and how much memory they may take.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt as _;
use newsreel_core::wire::UnixMillis;
use newsreel_core::wire::ndjson::{self, MAX_LINES_BYTES};
use newsreel_core::wire::publish::MAX_BODY_BYTES;
use newsreel_gate::{Failure, now};
use wasm_bindgen::prelude::*;
use worker::js_sys::Uint8Array;
use worker::{Request, web_sys};

use crate::publish::problems::{busy, too_large};

#[wasm_bindgen(module = "/src/publish/body.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = readWhole)]
    fn read_whole(request: &web_sys::Request, ticket: f64, read: &JsValue) -> Result<(), JsValue>;
}

/// A body that was read, or the error that ended it.
type Whole = Result<Vec<u8>, JsValue>;

thread_local! {
    /// The futures of this isolate that wait for a body, each under a number of its own.
    static READERS: RefCell<BTreeMap<u32, oneshot::Sender<Whole>>> = RefCell::default();
    static NEXT_READER: Cell<u32> = const { Cell::new(0) };
    /// Takes a body that was read. Made once in an isolate's life: it belongs to no request.
    static READ: JsValue = Closure::<dyn Fn(u32, Option<Uint8Array>, JsValue)>::new(|reader: u32, bytes: Option<Uint8Array>, error: JsValue| {
        let whole = bytes.map(|bytes| bytes.to_vec()).ok_or(error);
        if let Some(waiting) = READERS.with_borrow_mut(|readers| readers.remove(&reader)) {
            // The future may have been dropped with its request.
            let _ = waiting.send(whole);
        }
    }).into_js_value();
}

/// How many bytes of bodies may be read at once. Each is in memory twice when it has come.
const BODIES_BYTES: usize = 24 << 20;
/// The bytes from which only small bodies are let in, so that bulk loads do not keep out urgent publishes.
const LARGE_BODIES_BYTES: usize = 16 << 20;
/// The largest body that is small.
pub(crate) const SMALL_BODY_BYTES: usize = 64 << 10;
/// How long a body may take before the same publish is let in beside it: its sender may be gone unheard.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read, and dropped, before it is refused.
pub(crate) const DRAIN_BYTES: usize = 32 << 20;

/// The bodies that are being read, by ticket.
pub(crate) type Bodies = RefCell<BTreeMap<u64, IncomingBody>>;

/// A body that is being read.
pub(crate) struct IncomingBody {
    publisher: String,
    key: Option<String>,
    since: UnixMillis,
    reserved_bytes: usize,
}

/// Says that a body is being read, and stops saying so however that ends.
pub(crate) struct BodyMark<'a> {
    bodies: &'a Bodies,
    ticket: u64,
}

impl<'a> BodyMark<'a> {
    /// Marks a body as being read; returns `None` when the same publish is under way already.
    pub(crate) fn set(
        bodies: &'a Bodies,
        ticket: u64,
        publisher: &str,
        key: &Option<String>,
    ) -> Option<Self> {
        if is_under_way(bodies, publisher, key) {
            return None;
        }
        let (publisher, key) = (publisher.to_owned(), key.clone());
        let body = IncomingBody { publisher, key, since: now(), reserved_bytes: 0 };
        bodies.borrow_mut().insert(ticket, body);
        Some(Self { bodies, ticket })
    }

    /// Reserves memory for `bytes` more of the body; returns whether there was room.
    fn reserve(&self, bytes: usize) -> bool {
        let mut all = self.bodies.borrow_mut();
        let taken: usize = all.values().map(|one| one.reserved_bytes).sum();
        let Some(own) = all.get_mut(&self.ticket) else { return false };
        let small = own.reserved_bytes + bytes <= SMALL_BODY_BYTES;
        let fits = taken + bytes <= if small { BODIES_BYTES } else { LARGE_BODIES_BYTES };
        if fits {
            own.reserved_bytes += bytes;
        }
        fits
    }

    /// Gives back the memory of a body that does not fit.
    fn release(&self) {
        if let Some(own) = self.bodies.borrow_mut().get_mut(&self.ticket) {
            own.reserved_bytes = 0;
        }
    }
}

impl Drop for BodyMark<'_> {
    fn drop(&mut self) {
        self.bodies.borrow_mut().remove(&self.ticket);
    }
}

/// Says whether the body of a publish under this key is being read.
pub(super) fn is_under_way(bodies: &Bodies, publisher: &str, key: &Option<String>) -> bool {
    let same = |one: &IncomingBody| {
        one.key == *key && one.publisher == publisher && now().since(one.since) < UNDER_WAY
    };
    key.is_some() && bodies.borrow().values().any(same)
}

/// Reads a body up to the limit, as far as there is memory for it; nothing past that is buffered.
pub(crate) async fn read_body(
    request: &web_sys::Request,
    announced: Option<usize>,
    most: usize,
    mark: &BodyMark<'_>,
) -> Result<Vec<u8>, Failure> {
    let announced = announced.filter(|length| *length <= most);
    let mut fits = announced.is_none_or(|length| mark.reserve(length));
    if announced.is_some() && fits {
        // The runtime holds a body to its announced length.
        return Ok(whole(request).await.map_err(worker::Error::from)?);
    }
    let mut body = Vec::new();
    let mut bytes: usize = 0;
    if request.body().is_none() {
        return Ok(body);
    }
    let mut chunks = Request::from(Clone::clone(request)).stream()?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes = bytes.saturating_add(chunk.len());
        fits = fits && bytes <= most && mark.reserve(chunk.len());
        if fits {
            body.extend_from_slice(&chunk);
        } else {
            body = Vec::new();
            mark.release();
        }
        // A client that is still uploading does not read the response, so a body that is somewhat too large is
        // drained before it is refused.
        if bytes > DRAIN_BYTES {
            break;
        }
    }
    match fits {
        true => Ok(body),
        false if bytes <= most => Err(busy().into()),
        false => Err(too_large(most).into()),
    }
}

/// Reads a body that is as long as it says.
async fn whole(request: &web_sys::Request) -> Whole {
    let reader = NEXT_READER.replace(NEXT_READER.get().wrapping_add(1));
    let (read, waiting) = oneshot::channel();
    READERS.with_borrow_mut(|readers| readers.insert(reader, read));
    READ.with(|read| read_whole(request, f64::from(reader), read))?;
    waiting.await.unwrap_or_else(|_| Err(JsValue::from_str("the body was not read")))
}

/// Returns how many bytes the body of a publish may have: one of many lines may have more.
pub(crate) fn max_body_bytes(content_type: &str) -> usize {
    if ndjson::are_in(content_type) { MAX_LINES_BYTES } else { MAX_BODY_BYTES }
}
