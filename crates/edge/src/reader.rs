//! The reader: a program that runs in every isolate and answers reads from memory, KV, R2 and the origin.
//!
//! Plain isolate state and no object of its own. Floors come from the replica, over `crate::protocol`.

pub(crate) mod background;
pub(crate) mod context;
pub(crate) mod cron;
pub(crate) mod drive;
pub(crate) mod metrics;
pub(crate) mod response;
pub(crate) mod serve;
pub(crate) mod singleflight;
pub(crate) mod sync;
pub(crate) mod window;
