//! Reading from a cache: which entries may still be served.
//!
//! - [`floors`]: the lowest version that may still be served;
//! - [`sync`]: how a reader learns floors from a replica, and what that proves;
//! - [`policy`]: what each class of keys promises;
//! - [`cache`]: the decision of one read; [`drive`]: drives reads through the tiers;
//! - [`self_check`]: the verdict on a key, from what an edge serves and what the origin says;
//! - [`lease`]: the stamp of a value that a caller fetches itself and hands in;
//! - [`origin_answer`]: the meaning of an origin's answer, and whether caches may keep it;
//! - [`entry_codec`] and [`entry_names`]: an entry's bytes in KV and R2, and the names there.

pub mod cache;
pub mod drive;
pub mod entry_codec;
pub mod entry_names;
pub mod floors;
pub mod heard;
pub mod lease;
pub mod origin_answer;
pub mod policy;
pub mod self_check;
pub mod sync;
pub mod traces;
