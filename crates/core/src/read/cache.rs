//! The read decision: what to ask next, what to answer, what to keep.
//!
//! Does no I/O and reads no clock. The shell hands in what happened and does what [`ReadMachine::next`] says until it
//! says [`Step::Answer`]. An entry is judged anew on every hit, by the floors known at that moment; a fill is
//! stamped with the position from *before* the origin was asked, so a late fill is a miss and never a wrong
//! answer.
//!
//! The way is memory, KV, R2, origin, one after the other; `quorum` is for classes that ask the last three at once.
//! [`explain`] tells people how a read came to its answer, and `tally` the counters.

mod envelope;
pub mod explain;
mod judge;
mod machine;
mod quorum;
mod step;
mod tally;

pub use envelope::{Envelope, Rank, etag_of};
pub use machine::{FETCHES, ReadMachine};
pub use step::{Answer, Event, Freshness, ReadFailure, Step, Tier, TierResult};

#[cfg(test)]
mod tests;
