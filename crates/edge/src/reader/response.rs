//! The response of a read: its headers, and its body, which may wrap the value in JSON.

pub(crate) mod body;
pub(crate) mod headers;
pub(crate) mod wrapped;
