//! The bodies of requests whose sender is known only once all of a body is here.

use std::cell::Cell;

use newsreel_core::wire::publish::MAX_BODY_BYTES;
use newsreel_gate::Failure;
use worker::Request;

use crate::publish::{Bodies, BodyMark, busy, read_body};

thread_local! {
    /// The bodies that are being read in this isolate.
    static BODIES: &'static Bodies = Box::leak(Box::default());
    static TICKET: Cell<u64> = const { Cell::new(0) };
}

/// Reads the body, as far as there is memory for it.
pub(super) async fn body_of(request: &Request) -> Result<Vec<u8>, Failure> {
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let ticket = TICKET.replace(TICKET.get().wrapping_add(1));
    let mark = BODIES.with(|bodies| BodyMark::set(bodies, ticket, "", &None)).ok_or_else(busy)?;
    read_body(request.inner(), length, MAX_BODY_BYTES, &mark).await
}
