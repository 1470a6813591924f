//! Where entries are kept: this isolate's memory, Workers KV, R2; and the origin they come from.
//!
//! Decides nothing: what a tier gives is judged by `core::read::cache`. Everywhere an entry is its envelope and its value;
//! stored, both are one run of bytes, the same in KV and R2 (`core::read::entry_codec`).

pub(crate) mod entry;
pub(crate) mod kv;
pub(crate) mod memory;
pub(crate) mod origin;
pub(crate) mod r2;

pub(crate) use entry::{Body, Entry};

use newsreel_core::wire::{Catalog, Epoch, Key, Version};

/// The largest value of which copies are kept in memory; above it bytes stay JavaScript's.
const SMALL_BYTES: u32 = 1 << 20;
/// The largest value KV takes, with its envelope. Above it, R2 only.
const KV_VALUE_BYTES: u32 = 25 << 20;

/// Returns what the names of a catalog's log begin with, in KV and R2.
pub(crate) fn prefix(catalog: &Catalog, epoch: &Epoch) -> String {
    format!("{catalog}/{epoch}/")
}

/// Returns the KV name of a key's generation.
pub(crate) fn kv_name(catalog: &Catalog, epoch: &Epoch, key: &Key, generation: Version) -> String {
    format!("{}{key}@{generation}", prefix(catalog, epoch))
}

/// Returns the R2 name of a key.
pub(crate) fn r2_name(catalog: &Catalog, epoch: &Epoch, key: &Key) -> String {
    format!("{}{key}", prefix(catalog, epoch))
}

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn the_longest_kv_name_fits() {
        let catalog = Catalog::new("c".repeat(64)).unwrap();
        let key = Key::new(format!("t:{}", "x".repeat(398))).unwrap();
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        assert!(kv_name(&catalog, &epoch, &key, Version::MAX).len() <= 512);
    }
}
