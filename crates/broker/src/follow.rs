//! Reading the log: by WebSocket, page by page, and as server-sent events; and the log's status and numbers.

pub(crate) mod open;
pub(crate) mod page;
mod permits;
pub(crate) mod reader;
pub(crate) mod series;
pub(crate) mod sse;
pub(crate) mod status;
mod streams;
