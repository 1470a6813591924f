//! The whole system on one seeded clock: origin, broker, replicas, readers, clients, KV, R2 and the network
//! between them. The decisions are those of the real `newsreel_core`. The shells around it are simulated, and
//! so are all faults. After every step a slow and obvious model checks the guarantees.
//!
//! In reading order:
//! - `plan`: the options of a run; `run`: a run from beginning to end;
//! - `world`: every part on one clock; `event`: everything that can happen at a moment of that clock;
//! - the state of each part, which knows no world: `origin`, `broker` and its `rows`, `seat` (a follower and
//!   its connection), `replica`, `reader`, `network` (sockets), `tiers` (KV and R2), `machine` (clocks and
//!   storage);
//! - `shells`: the actions of each part, as methods of the world;
//! - `faults`: the kinds of faults and their rates; `rng`: random numbers from a seed;
//! - `model`: the guarantees;
//! - `shrink`: a failing run made small.
//!
//! *Architecture invariant:* nothing here decides what the core should. A simulated shell does in the same
//! order what its namesake in `broker` or `edge` does.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the run, which is what a test is for")]

mod broker;
mod event;
mod faults;
mod machine;
mod model;
mod network;
mod origin;
mod plan;
mod reader;
mod replica;
mod rng;
mod rows;
mod run;
mod seat;
mod shells;
mod shrink;
mod tiers;
mod world;

pub use faults::{Fault, Strike, UnknownFault};
pub use model::Violation;
pub use plan::Plan;
pub use run::{Keep, Outcome, play};
pub use shrink::shrink;
pub use world::Tally;
