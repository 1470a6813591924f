//! Reading the log: by WebSocket, page by page, and as server-sent events; and what there is to know of it.

pub(crate) mod open;
pub(crate) mod page;
mod permits;
pub(crate) mod reader;
pub(crate) mod sse;
pub(crate) mod status;
mod streams;
