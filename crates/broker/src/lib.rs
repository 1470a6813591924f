//! The broker: one Durable Object per catalog that keeps the version log and tells every follower.
//!
//! A shell around `newsreel_core::follow::hub`, which decides; nothing here does. In reading order:
//! - `worker`: the Worker's side. `front_door` reads the address, checks the caller (`newsreel_gate`), and hands the
//!   request to the catalog's object; `at_once` does so without a future where a publish or a follower needs none, and
//!   `together.js` gathers the publishes with small bodies that share a call;
//! - `hooks`: webhooks and events, in the Worker: verified, mapped, published at once or through a queue;
//! - [`object`]: the Durable Object, its five handlers and its call; `events`: the way of each request and each text to its part;
//! - `publish`: `http`, `together` and `socket` take publishes, `queue` commits them in groups; `body` reads posted bodies, and
//!   `publishers` are the open sockets that publish;
//! - `follow`: `open` opens a socket that follows; `reader` reads the log for `page`, pages, and `sse`, streams of
//!   events; `status` reports on the catalog and its followers; `permits` limit how many requests wait;
//! - `driver`: the hub's driver on its machine: `rows`, the log in SQLite; `sockets`, the hibernatable sockets, by
//!   session; `parts`, the parts of replays read last; `platform` joins them; `notify` wakes requests that wait for a step;
//! - `dead_letters`: messages of hooks that could not be published, kept in the object's rows;
//! - `alerts`: a second object for each catalog, with the alerts of its edges and the messages that tell of them;
//! - `config`: the deployment's variables; `tags`: the use of a socket; `http`: requests and responses;
//! - `js`: the few JavaScript calls that crate `worker` does not wrap.
//!
//! *Architecture invariant:* `publish` and `follow` use `driver` and do not know each other; `driver` knows neither.

mod alerts;
mod config;
mod dead_letters;
mod driver;
mod events;
mod follow;
mod hooks;
mod http;
mod js;
pub mod object;
mod publish;
mod tags;
mod worker;

pub use self::worker::at_once::at_once;
pub use self::worker::front_door::serve;
pub use alerts::AlertBoard;
pub use hooks::queue::{Batch, consume};
pub use object::Broker;
