//! The headers that the deployment's own parts put on requests to the broker's object. The front door hands on
//! no other's: it names the caller itself, and calls a replica only who says so with an admin token.

/// The name of the token that was accepted: idempotency keys belong to it.
pub const CALLER: &str = "Newsreel-Caller";
/// The limits of the token, a [`Grant`](crate::access::Grant)'s text; absent when it has none.
pub const GRANT: &str = "Newsreel-Grant";
/// Present (`1`) when the follower is a replica, whose word about positions is believed.
pub const REPLICA: &str = "Newsreel-Replica";
