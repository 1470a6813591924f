//! Reading the log: by WebSocket, page by page, and as server-sent events.

pub(crate) mod notify;
pub(crate) mod open;
pub(crate) mod page;
pub(crate) mod sse;
