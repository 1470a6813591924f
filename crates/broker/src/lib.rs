//! The broker: one Durable Object per catalog that keeps the version log and tells every follower.
//!
//! A shell around `newsreel_core::follow::hub`, which decides; nothing here does. In reading order:
//! - [`front`]: the Worker's side: addresses, who calls (`newsreel_gate`), and the way to the catalog's object;
//! - `browser`: which web pages may call;
//! - [`object`]: the Durable Object: what happens to it, and the step;
//! - `publishes`: group commit, and publishing over HTTP;
//! - `bodies`: what is posted, while it is read;
//! - `publishing`: the sockets that publish;
//! - `reading`: pages of the log, and what all who read without a socket read;
//! - `events`: the log as server-sent events;
//! - `answers`: what else it is asked;
//! - `upkeep`: the alarm;
//! - `waiting`: whoever waits for something to happen;
//! - `rows`: the log in SQLite, and its past;
//! - `sockets`: the hibernatable sockets, by session;
//! - `config`: the deployment's variables;
//! - `convert`: the few JavaScript calls that crate `worker` does not wrap.

mod answers;
mod bodies;
mod browser;
mod config;
mod convert;
mod events;
pub mod front;
pub mod object;
mod publishes;
mod publishing;
mod reading;
mod rows;
mod sockets;
mod upkeep;
mod waiting;

pub use front::serve;
pub use object::Broker;
