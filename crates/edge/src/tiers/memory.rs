//! The memory tier: the entries this isolate read last. The caller sets how many bytes they may take.

use lru::LruCache;
use newsreel_core::wire::Key;

use super::{Body, Entry, READY_BYTES};

/// The entries of one catalog.
pub(crate) struct Memory {
    entries: LruCache<Key, Entry>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0 }
    }
}

impl Memory {
    /// Returns the entry of a key, which counts as a read of it.
    pub(crate) fn get(&mut self, key: &Key) -> Option<Entry> {
        self.entries.get(key).cloned()
    }

    /// Keeps an entry, unless a newer fill is kept or it is too large.
    pub(crate) fn put(&mut self, key: &Key, entry: Entry) {
        let Some(weight) = weight(key, &entry) else { return };
        if self.entries.peek(key).is_some_and(|held| held.envelope.rank() > entry.envelope.rank()) {
            return;
        }
        self.bytes += weight;
        if let Some((key, replaced)) = self.entries.push(key.clone(), entry) {
            self.forgot(&key, &replaced);
        }
    }

    /// Returns how many bytes names and values take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps at most so many bytes of names and values; the entry read longest ago goes first.
    pub(crate) fn bound(&mut self, most: usize) {
        while self.bytes > most {
            let Some((key, oldest)) = self.entries.pop_lru() else { break };
            self.forgot(&key, &oldest);
        }
    }

    fn forgot(&mut self, key: &Key, entry: &Entry) {
        self.bytes -= weight(key, entry).unwrap_or_default();
    }
}

/// Returns how many bytes an entry takes; `None` for an entry whose bytes are not in wasm's memory. A value that
/// may be kept ready counts twice.
fn weight(key: &Key, entry: &Entry) -> Option<usize> {
    let Body::Bytes(bytes) = &entry.body else { return None };
    let tags: usize = entry.envelope.tags.iter().map(|tag| tag.as_str().len() + 24).sum();
    let ready = if bytes.len() <= READY_BYTES { bytes.len() } else { 0 };
    // The envelope and the cache's own node take about 400 bytes.
    Some(400 + key.as_str().len() + tags + bytes.len() + ready)
}

#[cfg(test)]
pub(crate) mod tests {
    use newsreel_core::read::cache::Envelope;
    use newsreel_core::read::entry_codec;
    use newsreel_core::wire::{Position, Tag, UnixMillis, Version};

    use super::*;

    /// An entry filled at `version`.
    pub(crate) fn entry(version: u64, body: &[u8]) -> Entry {
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let position = Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) };
        let at = UnixMillis(1_000);
        let envelope = Envelope {
            position,
            found: true,
            tags: vec![Tag::new("a").unwrap()],
            fetched_at: at,
            expires_at: at,
            stale_until: at,
            content_type: "text/plain".to_owned(),
            etag: "\"x\"".to_owned(),
            not_stored: None,
        };
        Entry::new(envelope, Body::Bytes(body.into()))
    }

    fn key(id: usize) -> Key {
        Key::new(format!("title:{id}")).unwrap()
    }

    fn kept(memory: &mut Memory, id: usize) -> Option<Vec<u8>> {
        memory.get(&key(id)).map(|entry| entry.body.bytes().unwrap().to_vec())
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let original = entry(7, b"\x00\xff value");
        let stored = entry_codec::encode(&original.envelope, b"\x00\xff value");
        let back = Entry::from_bytes(&stored).unwrap();
        assert_eq!(
            (back.envelope, &*back.body.bytes().unwrap()),
            (original.envelope, &b"\x00\xff value"[..])
        );
        assert!(Entry::from_bytes(b"other").is_none());
    }

    #[test]
    fn s2_a_late_fill_never_replaces_a_newer_one_in_memory() {
        let mut memory = Memory::default();
        memory.put(&key(1), entry(8, b"new"));
        memory.put(&key(1), entry(7, b"old"));
        assert_eq!(kept(&mut memory, 1).unwrap(), b"new");
        memory.put(&key(1), entry(9, b"newer"));
        assert_eq!(kept(&mut memory, 1).unwrap(), b"newer");
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_keeps_what_was_read_last() {
        const MOST: usize = 32 << 20;
        let mut memory = Memory::default();
        let body = vec![0; 1 << 20];
        for id in 0..100 {
            memory.put(&key(id), entry(1, &body));
            memory.bound(MOST);
            assert!(memory.get(&key(0)).is_some(), "it is read all the time");
        }
        assert!(memory.bytes() <= MOST && memory.bytes() > MOST / 2);
        assert!(memory.get(&key(1)).is_none());
    }
}
