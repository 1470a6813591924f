//! The headers that the deployment's own parts put on requests to the broker's object. The entry removes
//! them from whatever comes from outside.

/// The name of the token that was accepted: idempotency keys belong to it.
pub const CALLER: &str = "Newsreel-Caller";
/// Present (`1`) when the follower is a replica, whose word about positions is believed.
pub const REPLICA: &str = "Newsreel-Replica";
