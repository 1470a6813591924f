//! Publishing: over HTTP and over sockets, through one queue.

mod body;
mod http;
mod problems;
mod publishers;
mod queue;
mod socket;

pub(crate) use body::{Bodies, BodyMark, DRAIN_BYTES, max_body_bytes, read_body};
pub(crate) use problems::{busy, too_large};
pub(crate) use queue::Publishing;
