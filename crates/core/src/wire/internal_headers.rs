//! The headers that the front door puts on requests to the broker's object.
//!
//! The front door drops these headers from a client's request. The front door names the caller itself, and
//! marks a caller as a replica only when the request has an admin token.

/// The name of the accepted token, to which idempotency keys belong.
pub const CALLER: &str = "Newsreel-Caller";
/// The limits of the token, a [`Grant`](crate::access::Grant)'s text; absent when it has none.
pub const GRANT: &str = "Newsreel-Grant";
/// Present (`1`) when the follower is a replica. The broker believes the positions that replicas claim.
pub const REPLICA: &str = "Newsreel-Replica";
