//! Publishing: over HTTP and over sockets, through one queue.

mod body;
mod http;
mod problems;
mod publishers;
mod queue;
mod socket;
mod together;

pub(crate) use body::{Bodies, BodyMark, DRAIN_BYTES, SMALL_BODY_BYTES, max_body_bytes, read_body};
pub(crate) use problems::{busy, too_large};
pub(crate) use queue::Publishing;
pub(crate) use together::{count, refused};
