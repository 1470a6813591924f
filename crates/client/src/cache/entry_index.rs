//! The index of a cache's entries: everything of an entry except its value, in the order of use, bounded by
//! number and bytes.
//!
//! Knows nothing of floors. JavaScript keeps the values, under the number of the slot.

use std::collections::BTreeMap;
use std::rc::Rc;

use lru::LruCache;
use newsreel_core::read::cache::Envelope;
use newsreel_core::read::floors::FloorKind;
use newsreel_core::wire::Key;

/// The bytes of an entry beside its key, its tags and its value: the envelope, and JavaScript's bookkeeping.
const ENTRY_BYTES: u64 = 400;
/// The bytes of a tag beside its text.
const TAG_BYTES: u64 = 24;

/// The bounds of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most entries at a time; one more evicts another.
    pub(super) entries: u32,
    /// The most bytes of all entries.
    pub(super) bytes: u64,
}

/// An entry without its value.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) envelope: Rc<Envelope>,
    bytes: u64,
}

/// The slot of a fill.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) slot: u32,
    /// The slots of the entries that were evicted to make room.
    pub(super) evicted: Vec<u32>,
}

/// The entries of a cache.
#[derive(Debug)]
pub(super) struct EntryIndex {
    bounds: Bounds,
    /// By slot.
    entries: LruCache<u32, Held>,
    /// The slot that was given last. Each fill gets a slot of its own.
    last_slot: u32,
    by_key: BTreeMap<String, u32>,
    /// The number of entries that carry each tag.
    tags: BTreeMap<String, u32>,
    /// The number of entries that say "not found".
    not_found: u32,
    bytes: u64,
}

impl EntryIndex {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (by_key, tags) = (BTreeMap::new(), BTreeMap::new());
        Self { bounds, entries: LruCache::unbounded(), last_slot: 0, by_key, tags, not_found: 0, bytes: 0 }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Held> {
        self.entries.peek(&slot)
    }

    pub(super) fn slot(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says whether a floor of this concerns an entry: its key, a tag that it carries, how its key begins.
    pub(super) fn concerns(&self, by: FloorKind, name: &str) -> bool {
        match by {
            FloorKind::Key => self.slot(name).is_some(),
            FloorKind::Tag => self.carries(name),
            FloorKind::Prefix => self.has_prefix(name),
            FloorKind::All => true,
        }
    }

    /// Says whether an entry carries the tag.
    fn carries(&self, tag: &str) -> bool {
        self.tags.contains_key(tag)
    }

    /// Says whether an entry is "not found", which stands for every tag.
    pub(super) fn has_not_found(&self) -> bool {
        self.not_found > 0
    }

    /// Says whether the key of an entry begins so.
    fn has_prefix(&self, prefix: &str) -> bool {
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        self.by_key.range::<str, _>(from).next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// Notes that an entry was used.
    pub(super) fn touch(&mut self, slot: u32) {
        self.entries.promote(&slot);
    }

    /// Keeps a fill, unless a newer one is kept or it is larger than all there is room for.
    pub(super) fn put(&mut self, key: &Key, envelope: Envelope, value_bytes: u64) -> Option<Put> {
        let tags: u64 = envelope.tags.iter().map(|tag| tag.as_str().len() as u64 + TAG_BYTES).sum();
        let bytes = (ENTRY_BYTES + key.as_str().len() as u64 + tags).saturating_add(value_bytes);
        let held = self.slot(key.as_str());
        if bytes > self.bounds.bytes || held.is_some_and(|slot| self.is_newer(slot, &envelope)) {
            return None;
        }
        if let Some(slot) = held {
            self.take(slot);
        }
        let slot = self.next_slot();
        for tag in &envelope.tags {
            *self.tags.entry(tag.as_str().to_owned()).or_default() += 1;
        }
        self.not_found += u32::from(!envelope.found);
        self.by_key.insert(key.as_str().to_owned(), slot);
        self.bytes += bytes;
        self.entries.push(slot, Held { key: key.clone(), envelope: Rc::new(envelope), bytes });
        Some(Put { slot, evicted: self.make_room() })
    }

    /// Drops the entry of a key; returns its slot.
    pub(super) fn drop_key(&mut self, key: &str) -> Option<u32> {
        let slot = self.slot(key)?;
        self.take(slot);
        Some(slot)
    }

    /// Drops all entries. Their slots are not given again.
    pub(super) fn clear(&mut self) {
        *self = Self { last_slot: self.last_slot, ..Self::new(self.bounds) };
    }

    /// Drops the least recently used entries until the rest fits. The entry that was put last fits alone.
    fn make_room(&mut self) -> Vec<u32> {
        let mut evicted = Vec::new();
        while self.count() > self.bounds.entries as usize || self.bytes > self.bounds.bytes {
            let Some((slot, held)) = self.entries.pop_lru() else { break };
            self.forgot(&held);
            evicted.push(slot);
        }
        evicted
    }

    fn next_slot(&mut self) -> u32 {
        // An entry may have lived through all the others of a u32.
        loop {
            self.last_slot = self.last_slot.wrapping_add(1);
            if !self.entries.contains(&self.last_slot) {
                return self.last_slot;
            }
        }
    }

    fn is_newer(&self, slot: u32, envelope: &Envelope) -> bool {
        self.get(slot).is_some_and(|held| held.envelope.rank() > envelope.rank())
    }

    fn take(&mut self, slot: u32) {
        if let Some(held) = self.entries.pop(&slot) {
            self.forgot(&held);
        }
    }

    /// Counts an entry out that has left the order of use.
    fn forgot(&mut self, held: &Held) {
        self.by_key.remove(held.key.as_str());
        for tag in &held.envelope.tags {
            if let Some(count) = self.tags.get_mut(tag.as_str()) {
                *count -= 1;
                if *count == 0 {
                    self.tags.remove(tag.as_str());
                }
            }
        }
        self.not_found -= u32::from(!held.envelope.found);
        self.bytes -= held.bytes;
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Position, Tag, UnixMillis, Version};

    use super::*;

    fn envelope(version: u64, tags: &[&str]) -> Envelope {
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let at = UnixMillis(1_000);
        Envelope {
            position: Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) },
            found: !tags.is_empty(),
            tags: tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect(),
            fetched_at: at,
            expires_at: at,
            stale_until: at,
            content_type: String::new(),
            etag: String::new(),
            not_stored: None,
        }
    }

    fn key(id: usize) -> Key {
        Key::new(format!("title:{id}")).unwrap()
    }

    fn entries(entries: u32, bytes: u64) -> EntryIndex {
        EntryIndex::new(Bounds { entries, bytes })
    }

    /// The ids in the order of use, the last used first.
    fn order(entries: &EntryIndex) -> Vec<String> {
        let ids =
            entries.entries.iter().map(|(_, held)| held.key.as_str().trim_start_matches("title:").to_owned());
        ids.collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut entries = entries(3, u64::MAX);
        for id in 1..=3 {
            assert_eq!(entries.put(&key(id), envelope(1, &["a"]), 0).unwrap().evicted, Vec::<u32>::new());
        }
        let first = entries.slot("title:1").unwrap();
        entries.touch(first);
        assert_eq!(order(&entries), ["1", "3", "2"]);
        let second = entries.slot("title:2").unwrap();
        assert_eq!(entries.put(&key(4), envelope(1, &["a"]), 0).unwrap().evicted, [second]);
        assert_eq!(order(&entries), ["4", "1", "3"]);
        assert!(
            entries.put(&key(5), envelope(1, &["a"]), 0).unwrap().slot > second,
            "slots are not used again"
        );
    }

    #[test]
    fn bytes_are_bounded_and_a_value_that_is_too_large_evicts_nothing() {
        let mut entries = entries(100, 5_000);
        for id in 0..10 {
            entries.put(&key(id), envelope(1, &["a"]), 1_000).unwrap();
            assert!(entries.bytes() <= 5_000);
        }
        assert_eq!(entries.count(), 3, "each takes 1,000 and its envelope");
        assert_eq!(entries.put(&key(11), envelope(1, &[]), 5_000), None);
        assert_eq!(entries.put(&key(11), envelope(1, &[]), u64::MAX), None);
        assert_eq!(entries.count(), 3);
        entries.clear();
        assert_eq!((entries.bytes(), entries.count(), order(&entries).len()), (0, 0, 0));
    }

    #[test]
    fn s2_a_late_fill_never_replaces_a_newer_one_on_the_shelf() {
        let mut entries = entries(3, u64::MAX);
        let slot = entries.put(&key(1), envelope(8, &["a"]), 0).unwrap().slot;
        assert_eq!(entries.put(&key(1), envelope(7, &["a"]), 0), None);
        assert_eq!(*entries.get(slot).unwrap().envelope, envelope(8, &["a"]));
        assert_eq!(entries.put(&key(1), envelope(9, &["b"]), 0).unwrap().evicted, Vec::<u32>::new());
        assert!(entries.carries("b") && !entries.carries("a") && entries.count() == 1);
    }

    #[test]
    fn it_knows_whether_a_change_can_touch_anything() {
        let mut entries = entries(9, u64::MAX);
        entries.put(&key(1), envelope(1, &["a"]), 0);
        entries.put(&key(2), envelope(1, &["a", "b"]), 0);
        assert!(entries.carries("a") && entries.carries("b") && !entries.has_not_found());
        assert!(entries.has_prefix("ti") && entries.has_prefix("title:2"));
        assert!(
            !entries.has_prefix("title:3") && !entries.has_prefix("title:22") && !entries.has_prefix("u")
        );
        entries.drop_key("title:2");
        assert!(entries.carries("a") && !entries.carries("b"));
        entries.put(&key(3), envelope(1, &[]), 0);
        assert!(entries.has_not_found());
        entries.drop_key("title:3");
        assert!(!entries.has_not_found());
    }
}
