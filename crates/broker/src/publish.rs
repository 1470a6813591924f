//! Publishing: over HTTP and over sockets, through one queue.

pub(crate) mod body;
pub(crate) mod queue;
pub(crate) mod socket;
