//! The edge: a replica that follows the broker, and the read path that serves from memory, KV and origin.
//!
//! Shells around `newsreel_core`: `follower` and `floors` decide for the replica, `sync` and `cache` for the
//! reader. In reading order:
//! - [`config`]: the deployment's variables;
//! - [`replica`]: the Durable Object that follows a catalog at this edge;
//! - `link`: its socket to the broker;
//! - `readers`: what it does for readers; `tender`: what it does for KV;
//! - `rows`: its floors, position and KV to-do list in SQLite;
//! - `sync`: how a reader asks it;
//! - `window`: how it is told without asking;
//! - [`read`]: one read, from request to response;
//! - `tiers`: memory, KV, origin;
//! - `headers`: what the response says of itself.
//!
//! *Architecture invariant:* nothing here knows the broker's code; it is reached by `newsreel_core::wire` alone.

pub mod config;
mod headers;
mod link;
pub mod read;
mod readers;
pub mod replica;
mod rows;
mod sync;
mod tender;
mod tiers;
mod window;

pub use read::{serve, serves};
pub use replica::Replica;

use newsreel_core::wire::UnixMillis;

/// Returns this machine's time.
fn now() -> UnixMillis {
    UnixMillis(worker::Date::now().as_millis())
}
