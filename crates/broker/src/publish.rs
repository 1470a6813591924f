//! Publishing: over HTTP and over sockets, through one queue.

mod body;
mod http;
mod problems;
mod publishers;
mod queue;
mod socket;

pub(crate) use body::{DRAIN_BYTES, max_body_bytes};
pub(crate) use problems::too_large;
pub(crate) use queue::Publishing;
