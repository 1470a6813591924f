//! The broker: one Durable Object per catalog that keeps the version log and tells every follower.
//!
//! A shell around `newsreel_core::follow::hub`, which decides; nothing here does. In reading order:
//! - `worker`: the Worker's side. `front_door`: addresses, who calls (`newsreel_gate`), and the way to the
//!   catalog's object;
//! - [`object`]: the Durable Object: what happens to it, and the step;
//! - `publish`: `queue`, group commit and publishing over HTTP; `body`, what is posted, while it is read; `socket`,
//!   the sockets that publish;
//! - `follow`: `open`, a socket that follows, and what else the object is asked; `page`, pages of the log, and what all
//!   who read without a socket read; `sse`, the log as server-sent events; `notify`, whoever waits for something;
//! - `driver`: `rows`, the log in SQLite, and its past; `sockets`, the hibernatable sockets, by session; `alarm`;
//! - `config`: the deployment's variables;
//! - `js`: the few JavaScript calls that crate `worker` does not wrap.

mod config;
mod driver;
mod follow;
mod js;
pub mod object;
mod publish;
mod worker;

pub use self::worker::front_door::serve;
pub use object::Broker;
