//! The replica: a Durable Object that follows one catalog at one edge, and answers its readers.
//!
//! In reading order:
//! - `object`: the Durable Object, its requests and events;
//! - `driver`: drives the follower and carries out its effects; `broker_socket`: the socket to the broker;
//! - `rows`: floors, position and tasks in SQLite;
//! - `answer_readers`: floors for readers that ask; `windows`: floors for readers that listen;
//! - `kv_cleanup`: deletes what no reader will ask KV for; `prefetch`: fetches hot values ahead of their readers;
//! - `usage`: what readers report; `fill_turns`: which of their requests fills a key;
//! - `effort`: what the replica itself does, and how late versions come;
//! - `operator`: what an operator asks: why a read answers as it does here, what a publish would hit; `checks`: its part in the check by schedule;
//! - `judge_alerts`: judges this edge by its series, and tells the board of what changed; `alerts`: what it knows of that.

mod alerts;
mod answer_readers;
mod broker_socket;
mod checks;
mod driver;
mod effort;
mod fill_turns;
mod judge_alerts;
mod kv_cleanup;
pub(crate) mod object;
mod operator;
mod prefetch;
mod rows;
mod usage;
mod windows;
