//! Drives one subscription: dial, greet, catch up, stay live, notice when that stops, come back.
//!
//! Does no I/O and reads no clock. Call [`Follower::handle`], carry out [`Follower::poll_effect`] until
//! `None`, then arm a timer for [`Follower::poll_timeout`] and hand in [`FollowerInput::Timer`] when it
//! fires. An `Apply` stands before the ack it justifies: carry effects out in order, and if one fails, or it
//! is not known how far that went, [`Follower::start_again`] from what is stored.

mod backoff;
mod frames;
mod io;
mod machine;
mod proof;

pub use backoff::{LONGEST_RETRY, backoff_ceiling};
pub use io::{Cursor, FollowerConfig, FollowerEffect, FollowerInput, Phase};
pub use machine::Follower;

#[cfg(test)]
mod tests;
