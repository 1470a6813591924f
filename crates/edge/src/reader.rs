//! The reader: a program that runs in every isolate and answers reads from memory, KV, R2 and the origin.
//!
//! All that it keeps is plain isolate state. Floors come from the replica, by [`crate::protocol`]. In reading order:
//! - `serve`: the requests, by address; `request`: what else a request says;
//! - `at_hand`: a value in memory, answered without a promise;
//! - `single`, `bulk`, `fill`, `explain`: what each is answered; `outcome`: what an answer is to its caller;
//! - `leases`, `filled`: entries whose values the caller has, by lease or by a function of the caller;
//! - `shadow`: answers of the address that served so far, compared with Newsreel's own;
//! - `context`: the deployment, catalog and edge of a request; `state`: what the isolate holds of a catalog;
//! - `drive`: drives reads through the tiers; `singleflight`: one fetch of the origin for a key at a time;
//! - `turns`: one fill by a caller at a time across isolates;
//! - `store`: puts what was served into the nearer tiers; `background`: the work behind an answer;
//! - `sync`, `window`: how floors come from the replica, asked for and unasked; `edges`: questions to other replicas;
//! - `response`: headers and body; `metrics`: the counters; `series`: the counters over time; `dry_run`,
//!   `settings`: what an operator asks before a publish, and of a deployment; `cron`: lists of hot keys, by the clock;
//! - `self_check`: the check by the clock of what is served; `checks`: what it found.
//!
//! *Architecture invariant:* nothing here knows `crate::replica`; `scripts/check-layers` holds it.

pub(crate) mod at_hand;
mod background;
mod bulk;
mod checks;
pub(crate) mod context;
pub(crate) mod cron;
pub(crate) mod drive;
mod dry_run;
mod edges;
pub(crate) mod explain;
mod fill;
pub(crate) mod filled;
mod leases;
pub(crate) mod metrics;
mod outcome;
mod request;
mod response;
mod self_check;
mod series;
pub(crate) mod serve;
mod settings;
mod shadow;
mod single;
mod singleflight;
mod state;
pub(crate) mod store;
mod sync;
mod turns;
mod window;
