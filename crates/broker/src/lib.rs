//! The broker: one Durable Object per catalog that keeps the version log and tells every follower.
//!
//! A shell around `newsreel_core::hub`, which decides; nothing here does. In reading order:
//! - [`front`]: the Worker's side: addresses, and the way to the catalog's object;
//! - `gate`: the check of the token that comes before it;
//! - [`object`]: the Durable Object: what happens to it, and the step;
//! - `publishes`: group commit, and publishing over HTTP;
//! - `publishing`: the sockets that publish;
//! - `answers`: what else it is asked;
//! - `rows`: the log in SQLite;
//! - `sockets`: the hibernatable sockets, by session;
//! - `convert`: the few JavaScript calls that crate `worker` does not wrap.

mod answers;
mod convert;
pub mod front;
mod gate;
pub mod object;
mod publishes;
mod publishing;
mod rows;
mod sockets;

pub use front::serve;
pub use object::Broker;
