//! The whole system on one seeded clock: origin, broker, replicas, readers, clients, KV, R2 and the network between
//! them. What decides is the real `newsreel_core`; the shells around it are simulated, and so is all that can go
//! wrong. After every step a slow and obvious model says whether the guarantees were kept.
//!
//! In reading order:
//! - `plan`: what is played, and `run`: from beginning to end;
//! - `world`: every part on one clock, and what happens next;
//! - `origin`: what is true, and its publishers;
//! - `broker` and `rows`: the shell around the hub;
//! - `network`: sockets; `follow`: the shell around the follower, which replicas and clients share;
//! - `replica`: floors, and what readers ask of it; `reader`: isolates and their reads; `tiers`: KV and R2;
//! - `machine`: clocks and storage; `trouble` and `faults`: what goes wrong, at large and in detail; `dice`: chance;
//! - `model`: what must be true;
//! - `shrink`: a failing run made small.
//!
//! *Architecture invariant:* nothing here decides what the core should. A shell that is simulated does in the same
//! order what its namesake in `broker` or `edge` does.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the run, which is what a test is for")]

mod broker;
mod dice;
mod event;
mod faults;
mod machine;
mod model;
mod network;
mod origin;
mod plan;
mod reader;
mod replica;
mod rows;
mod run;
mod seat;
mod shells;
mod shrink;
mod tiers;
mod world;

pub use faults::{Fault, Strike};
pub use model::Violation;
pub use plan::Plan;
pub use run::{Keep, Outcome, play};
pub use shrink::shrink;
pub use world::Tally;
