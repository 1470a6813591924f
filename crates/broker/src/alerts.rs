//! The alerts of a catalog: an object of its own, so that a broker that is down is told of like anything else.
//!
//! `object` has the two handlers, `rows` what outlives them, and `deliver` the messages to receivers.

mod deliver;
mod object;
mod rows;

pub use object::AlertBoard;
