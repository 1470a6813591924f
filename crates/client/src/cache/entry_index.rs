//! The index of a cache's entries: everything of an entry except its value, in the order of use, bounded by number and
//! bytes.
//!
//! Knows nothing of floors. JavaScript keeps the values, under the number of the slot.

use std::collections::BTreeMap;

use newsreel_core::read::cache::Envelope;
use newsreel_core::read::floors::FloorKind;
use newsreel_core::wire::Key;

/// The bytes of an entry beside its key, its tags and its value: the envelope, and JavaScript's bookkeeping.
const ENTRY_BYTES: u64 = 400;
/// The bytes of a tag beside its text.
const TAG_BYTES: u64 = 24;
/// Stands for no slot.
const NONE: u32 = u32::MAX;

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
    pub(super) envelope: Envelope,
    /// The number of the fill, counted over all fills of this index.
    pub(super) number: u64,
    bytes: u64,
    /// The slots of the entries that were used next after this one and last before.
    newer: u32,
    older: u32,
}

/// The place of a fill.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) slot: u32,
    /// The slots that were freed to make room.
    pub(super) evicted: Vec<u32>,
}

/// The entries of a cache.
#[derive(Debug)]
pub(super) struct EntryIndex {
    bounds: Bounds,
    slots: Vec<Option<Held>>,
    free: Vec<u32>,
    by_key: BTreeMap<String, u32>,
    /// The number of entries that carry each tag.
    tags: BTreeMap<String, u32>,
    /// The number of entries that say "not found".
    not_found: u32,
    bytes: u64,
    newest: u32,
    oldest: u32,
    puts: u64,
}

impl EntryIndex {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (slots, free, by_key, tags) = (Vec::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            bounds,
            slots,
            free,
            by_key,
            tags,
            not_found: 0,
            bytes: 0,
            newest: NONE,
            oldest: NONE,
            puts: 0,
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn slot(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.by_key.len()
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
        if slot != self.newest && self.get(slot).is_some() {
            self.unlink(slot);
            self.link(slot);
        }
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
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("bounded by a u32")
        });
        for tag in &envelope.tags {
            *self.tags.entry(tag.as_str().to_owned()).or_default() += 1;
        }
        self.not_found += u32::from(!envelope.found);
        self.by_key.insert(key.as_str().to_owned(), slot);
        self.bytes += bytes;
        self.puts += 1;
        let number = self.puts;
        let held = Held { key: key.clone(), envelope, number, bytes, newer: NONE, older: NONE };
        *self.slots.get_mut(slot as usize).expect("free, or pushed above") = Some(held);
        self.link(slot);
        Some(Put { slot, evicted: self.make_room() })
    }

    /// Drops the entry of a key; returns its slot.
    pub(super) fn drop_key(&mut self, key: &str) -> Option<u32> {
        let slot = self.slot(key)?;
        self.take(slot);
        Some(slot)
    }

    /// Drops all entries; the count of puts goes on.
    pub(super) fn clear(&mut self) {
        let puts = self.puts;
        *self = Self { puts, ..Self::new(self.bounds) };
    }

    /// Drops the least recently used entries until the rest fits. The entry that was put last fits alone.
    fn make_room(&mut self) -> Vec<u32> {
        let mut evicted = Vec::new();
        while self.count() > self.bounds.entries as usize || self.bytes > self.bounds.bytes {
            let oldest = self.oldest;
            if self.take(oldest).is_none() {
                break;
            }
            evicted.push(oldest);
        }
        evicted
    }

    fn is_newer(&self, slot: u32, envelope: &Envelope) -> bool {
        self.get(slot).is_some_and(|held| held.envelope.rank() > envelope.rank())
    }

    fn take(&mut self, slot: u32) -> Option<Held> {
        self.get(slot)?;
        self.unlink(slot);
        let held = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
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
        Some(held)
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Held> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Makes an entry the newest.
    fn link(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.newest, slot);
        if let Some(held) = self.get_mut(slot) {
            (held.newer, held.older) = (NONE, before);
        }
        match self.get_mut(before) {
            Some(held) => held.newer = slot,
            None => self.oldest = slot,
        }
    }

    /// Takes an entry out of the order.
    fn unlink(&mut self, slot: u32) {
        let Some(&Held { newer, older, .. }) = self.get(slot) else { return };
        match self.get_mut(newer) {
            Some(held) => held.older = older,
            None => self.newest = older,
        }
        match self.get_mut(older) {
            Some(held) => held.newer = newer,
            None => self.oldest = newer,
        }
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
        let mut order = Vec::new();
        let mut slot = entries.newest;
        while let Some(held) = entries.get(slot) {
            order.push(held.key.as_str().trim_start_matches("title:").to_owned());
            slot = held.older;
        }
        let mut back = Vec::new();
        let mut slot = entries.oldest;
        while let Some(held) = entries.get(slot) {
            back.push(held.key.as_str().trim_start_matches("title:").to_owned());
            slot = held.newer;
        }
        back.reverse();
        assert_eq!(order, back, "both ways the same");
        order
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
        assert_eq!(
            entries.put(&key(5), envelope(1, &["a"]), 0).unwrap().slot,
            second,
            "slots are used again"
        );
    }

    #[test]
    fn bytes_are_bounded_and_what_is_too_large_evicts_nobody() {
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
        assert_eq!(entries.get(slot).unwrap().envelope, envelope(8, &["a"]));
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
