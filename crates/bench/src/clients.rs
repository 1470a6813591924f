//! What speaks to the servers: HTTP, WebSockets, and the plain protocols of Redis and NATS.

pub(crate) mod http;
pub(crate) mod nats;
pub(crate) mod redis;
pub(crate) mod socket;
