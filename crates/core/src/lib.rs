//! Newsreel's core: it decides everything and touches nothing.
//!
//! No clock, no randomness, no I/O, no async: time and random numbers are parameters, and effects come out as
//! an ordered queue. The shells (`broker`, `edge`, `client`, `cli`) convert and obey.
//!
//! The rooms, along the way of a publish:
//! - [`wire`]: names, positions, changes, frames, problems, addresses: everything that crosses a process;
//! - [`access`]: tokens, their scopes and rates, and the web pages that may call;
//! - [`log`]: the version log, the fold of its past, and its upkeep;
//! - [`follow`]: the broker's hub and the follower's state machine;
//! - [`read`]: floors, syncs, policies, and the decision of a read;
//! - [`variables`]: the variables, secrets and bindings of a deployment;
//! - [`metrics`]: counters and hot keys; [`alerts`]: when somebody is to be told;
//! - [`clock`]: a clock that never goes back; [`calendar`]: dates; [`rng`]: random numbers from a seed.
//!
//! `PROTOCOL.md` beside this crate is the document of what [`wire`], [`follow::hub`] and [`follow::follower`]
//! speak.

pub mod access;
pub mod alerts;
pub mod calendar;
pub mod clock;
pub mod follow;
pub mod log;
pub mod metrics;
pub mod read;
pub mod rng;
pub mod variables;
pub mod wire;
