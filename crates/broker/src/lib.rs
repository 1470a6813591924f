//! The broker: one Durable Object per catalog that keeps the version log and tells every follower.
//!
//! A shell around `newsreel_core::hub`, which decides; nothing here does. In reading order:
//! - [`front`]: the Worker's side: hands an authorized request to the catalog's object;
//! - [`object`]: the Durable Object: requests, socket events, group commit;
//! - `rows`: the log in SQLite;
//! - `sockets`: the hibernatable sockets, by session;
//! - [`convert`]: the few JavaScript calls that crate `worker` does not wrap.

pub mod convert;
pub mod front;
pub mod object;
mod rows;
mod sockets;

pub use object::Broker;
