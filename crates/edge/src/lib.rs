//! The edge: a replica that follows the broker, and the read path that serves from memory, KV, R2 and the origin.
//!
//! Two programs around `newsreel_core`. In reading order:
//! - `config`: the deployment's variables; `protocol`: everything that reader and replica say to each other;
//!   `broker`: requests to the broker;
//! - `replica`: the Durable Object that follows a catalog at this edge and keeps its floors in SQLite;
//! - `reader`: what every isolate does to answer a read, from the request to the response;
//! - `tiers`: memory, KV, R2 and the origin, where entries are found;
//! - `respond`: responses by one call of JavaScript each; `streams`: streams of bytes that stay JavaScript's.
//!
//! *Architecture invariant:* nothing here knows the broker's code; the broker is reached by `newsreel_core::wire` alone.

mod broker;
mod clock;
mod config;
mod http;
mod protocol;
mod reader;
mod replica;
mod respond;
mod streams;
mod tiers;

pub use reader::at_hand::{answer_at_hand, recall_ready};
pub use reader::cron::scheduled;
pub use reader::filled::fill_by;
pub use reader::serve::serve;
pub use replica::object::Replica;
