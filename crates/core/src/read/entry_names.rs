//! The names under which entries are kept in KV and R2.
//!
//! A KV name ends with the key's generation, so a copy from before a change is asked for no more; R2 has one object a
//! key. A name never changes: the entries of another build would be lost.

use crate::wire::name::{Catalog, Key};
use crate::wire::position::{Epoch, Version};

/// Returns the beginning of the names of a catalog's log, the same for all its keys.
#[must_use]
pub fn prefix(catalog: &Catalog, epoch: &Epoch) -> String {
    format!("{catalog}/{epoch}/")
}

/// Returns the KV name of a key's generation.
#[must_use]
pub fn kv_name(catalog: &Catalog, epoch: &Epoch, key: &Key, generation: Version) -> String {
    format!("{}{key}@{generation}", prefix(catalog, epoch))
}

/// Returns the R2 name of a key.
#[must_use]
pub fn r2_name(catalog: &Catalog, epoch: &Epoch, key: &Key) -> String {
    format!("{}{key}", prefix(catalog, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_longest_kv_name_fits() {
        let catalog = Catalog::new("c".repeat(64)).unwrap();
        let key = Key::new(format!("t:{}", "x".repeat(398))).unwrap();
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        assert!(kv_name(&catalog, &epoch, &key, Version::MAX).len() <= 512);
    }

    #[test]
    fn names_are_those_of_the_first_release() {
        let (catalog, key) = (Catalog::new("tv").unwrap(), Key::new("title:1").unwrap());
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let generation = Version::new(7).unwrap();
        assert_eq!(kv_name(&catalog, &epoch, &key, generation), "tv/01ARYZ6S410000000000000000/title:1@7");
        assert_eq!(r2_name(&catalog, &epoch, &key), "tv/01ARYZ6S410000000000000000/title:1");
    }
}
