//! The keys that are read most. Counted in bounded memory, so a new start counts anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use newsreel_core::wire::Key;

use super::store::Store;

/// How many keys are counted at once: with keys of 100 bytes about 20 MB.
const MOST_KEYS: usize = 100_000;

/// How often each key was asked for.
#[derive(Debug, Default)]
pub(super) struct Reads {
    counts: Mutex<HashMap<Key, u64>>,
}

impl Reads {
    /// Counts one read. When there is no room for another key, every count is halved, and keys whose
    /// count falls to 0 are forgotten.
    pub(super) fn count(&self, key: Key) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        while counts.len() >= MOST_KEYS && !counts.contains_key(&key) {
            counts.retain(|_, reads| {
                *reads /= 2;
                *reads > 0
            });
        }
        *counts.entry(key).or_default() += 1;
    }

    /// Returns the keys that have a value, the most read first, each with its reads. Keys with equally
    /// many reads, or none, are in the order of the keys.
    pub(super) fn hottest(&self, store: &Store, most: u32) -> rusqlite::Result<Vec<(String, u64)>> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut counts: Vec<(Key, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|(a, reads_of_a), (b, reads_of_b)| reads_of_b.cmp(reads_of_a).then(a.cmp(b)));
        let room = usize::try_from(most).unwrap_or(usize::MAX);
        let mut hottest: Vec<(String, u64)> = Vec::new();
        for (key, reads) in counts {
            if hottest.len() < room && store.holds(&key)? {
                hottest.push((key.into(), reads));
            }
        }
        if hottest.len() < room {
            let listed: BTreeSet<String> = hottest.iter().map(|(key, _)| key.clone()).collect();
            let unread = store.keys(most)?.into_iter().filter(|key| !listed.contains(key));
            hottest.extend(unread.map(|key| (key, 0)));
            hottest.truncate(room);
        }
        Ok(hottest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_is_bounded_and_keeps_what_is_read_most() {
        let reads = Reads::default();
        let key = |n: usize| Key::new(format!("title:{n}")).unwrap();
        for _ in 0..9 {
            reads.count(key(0));
        }
        for n in 1..MOST_KEYS + 10 {
            reads.count(key(n));
        }
        let counts = reads.counts.lock().unwrap();
        assert!(counts.len() <= MOST_KEYS);
        assert_eq!(counts[&key(0)], 4);
        assert_eq!(counts.len(), 11, "what was read once is forgotten");
    }
}
