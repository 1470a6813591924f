//! The edge: a replica that follows the broker, and the read path that serves from memory, KV and origin.
//!
//! Shells around `newsreel_core`: `follower` and `floors` decide for the replica, `sync` and `cache` for the
//! reader. In reading order:
//! - [`config`]: the deployment's variables;
//! - [`replica`]: the Durable Object that follows a catalog at this edge;
//! - `link`: its socket to the broker;
//! - `readers`: what it does for readers; `tender`: what it does for KV; `ahead`: what it fetches before it is read;
//! - `rows`: its floors, position and to-do list in SQLite; `ledger`: what readers report;
//! - [`clock`]: lists of hot keys, by the clock;
//! - `sync`: how a reader asks it;
//! - `window`: how it is told without asking;
//! - [`read`]: what is asked of it, from request to response;
//! - `place`: where a read happens;
//! - `walk`: the way of reads through the tiers; `behind`: what follows their answers;
//! - `tiers`: memory, KV, R2, origin; `flights`: few fetches of the origin at once, one for each key;
//! - `value`, `headers`: a value as it leaves, and what the response says of itself;
//! - `metrics`: what was counted;
//! - `bindings`: the JavaScript of KV, R2, fetch and streams.
//!
//! *Architecture invariant:* nothing here knows the broker's code; it is reached by `newsreel_core::wire` alone.

mod ahead;
mod behind;
mod bindings;
pub mod clock;
pub mod config;
mod flights;
mod headers;
mod ledger;
mod link;
mod metrics;
mod place;
pub mod read;
mod readers;
pub mod replica;
mod rows;
mod sync;
mod tender;
mod tiers;
mod value;
pub mod walk;
mod window;

pub use clock::scheduled;
pub use read::{serve, serves};
pub use replica::Replica;

use std::cell::Cell;

use newsreel_core::clock::Steady;
use newsreel_core::wire::UnixMillis;

thread_local! {
    static CLOCK: Cell<Steady> = const { Cell::new(Steady::new()) };
}

/// Returns this machine's time. It never goes back, whatever is done to the machine's clock.
fn now() -> UnixMillis {
    let machine = UnixMillis(worker::Date::now().as_millis());
    let mut clock = CLOCK.get();
    let now = clock.read(machine);
    CLOCK.set(clock);
    now
}
