//! Where entries are kept: this isolate's memory, Workers KV, R2; and the origin they come from.
//!
//! Decides nothing: `core::read::cache` judges the entries. Everywhere an entry is its envelope and its
//! value; stored, both are one run of bytes, the same in KV and R2 (`core::read::entry_codec`).

pub(crate) mod entry;
pub(crate) mod kv;
pub(crate) mod memory;
pub(crate) mod origin;
pub(crate) mod r2;

pub(crate) use entry::{Body, Entry};

/// The largest value of which copies are kept in memory; above it bytes stay JavaScript's.
const SMALL_BYTES: u32 = 1 << 20;
/// The largest value that memory keeps ready for its responses, in JavaScript's memory beside wasm's.
pub(crate) const READY_BYTES: usize = 64 << 10;
/// The largest value KV takes, with its envelope. Above it, R2 only.
const KV_VALUE_BYTES: u32 = 25 << 20;
/// The largest value that a caller may hand in.
pub(crate) const LARGEST_TAKEN: u64 = 24 << 20;

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;
