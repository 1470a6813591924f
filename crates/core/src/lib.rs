//! Newsreel's core: it decides everything and touches nothing.
//!
//! No clock, no randomness, no I/O, no async: time and random numbers are parameters, what is to be done comes
//! out as an ordered queue of effects. The shells (`broker`, `edge`, `client`, `cli`) convert and obey.
//!
//! In reading order, along the way of a publish:
//! - [`wire`]: names, positions, changes, frames, problems, addresses: everything that crosses a process;
//! - [`access`]: who may, [`rate`]: how often, and [`origins`]: which web pages;
//! - [`log`]: the version log;
//! - [`fold`]: what is left of its past;
//! - [`upkeep`]: when it is sealed, folded, forgotten;
//! - [`topics`]: what a follower wants to hear;
//! - [`hub`]: the broker;
//! - [`follower`]: whoever applies a log in order;
//! - [`floors`]: the lowest version that may still be served;
//! - [`sync`]: how a reader learns floors from a replica, and what that proves;
//! - [`policy`]: what each class of keys promises;
//! - [`cache`]: the read decision;
//! - [`stored`]: an entry's bytes, in KV and R2;
//! - [`steady`]: a clock that never goes back;
//! - [`schema`]: whether a database may be used, and what it still needs;
//! - [`counts`]: what a reader counts;
//! - [`hot`]: which keys are read most;
//! - [`broken`]: what a test may break on purpose.
//!
//! `PROTOCOL.md` beside this crate is the document of what [`wire`], [`hub`] and [`follower`] speak.

pub mod access;
pub mod broken;
pub mod cache;
pub mod counts;
pub mod floors;
pub mod fold;
pub mod follower;
pub mod hot;
pub mod hub;
pub mod log;
pub mod origins;
pub mod policy;
pub mod rate;
pub mod schema;
pub mod steady;
pub mod stored;
pub mod sync;
pub mod topics;
pub mod upkeep;
pub mod wire;
