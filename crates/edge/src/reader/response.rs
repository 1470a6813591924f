//! The response of a read: its headers, and its body.

pub(crate) mod body;
pub(crate) mod headers;
