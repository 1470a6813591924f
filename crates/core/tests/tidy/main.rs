//! Holds `PROTOCOL.md` to what the code does. On the host alone: a runtime changes no text.

mod document;
mod examples;
mod follower;
mod invariants;
mod numbers;
mod shapes;
mod sources;
mod variables;
