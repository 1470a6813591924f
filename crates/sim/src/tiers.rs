//! KV and R2, as they are documented.
//!
//! KV: a write is seen elsewhere after a while, in any order, and last write wins; each location keeps a copy
//! of what it read for half a minute and longer, of "not found" too; one write a second for a name. R2 is
//! strongly consistent, with conditional writes.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::read::cache::Envelope;
use newsreel_core::wire::{Epoch, Version};

/// An entry, and which value of its key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) envelope: Rc<Envelope>,
    pub(crate) index: u64,
}

/// The name of a KV entry: epoch, key and generation.
pub(crate) type Name = (Epoch, usize, Version);

/// How long a stored entry lives: longer than any entry is served, by any machine's clock.
const LIFE: u64 = 500_000;
/// How many writes of a name are remembered; the older ones are seen nowhere any more.
const WRITES: usize = 4;

#[derive(Debug)]
struct KvWrite {
    at: u64,
    entry: Option<Entry>,
    /// The moment from which each location sees the write.
    visible: Vec<u64>,
}

/// Workers KV, with the writes that are not seen everywhere yet and the copies at each location.
#[derive(Debug, Default)]
pub(crate) struct Kv {
    names: BTreeMap<Name, Vec<KvWrite>>,
    /// The copies that locations keep, each with the end of its time.
    copies: BTreeMap<(usize, Name), (Option<Entry>, u64)>,
}

impl Kv {
    /// Returns what a location sees under a name, and keeps it for `ttl`.
    pub(crate) fn get(&mut self, location: usize, name: Name, now: u64, ttl: u64) -> Option<Entry> {
        if let Some((copy, until)) = self.copies.get(&(location, name))
            && now < *until
        {
            return copy.clone();
        }
        let writes = self.names.get(&name);
        let seen = writes.and_then(|all| all.iter().rev().find(|write| write.visible[location] <= now));
        let entry = seen.and_then(|write| write.entry.clone());
        self.copies.insert((location, name), (entry.clone(), now + ttl));
        entry
    }

    /// Writes or deletes; refused where the last write was less than a second ago.
    pub(crate) fn put(&mut self, name: Name, entry: Option<Entry>, now: u64, visible: Vec<u64>) -> bool {
        // A location that sees the write at once, as the writer's own mostly does, drops its copy.
        for (location, at) in visible.iter().enumerate() {
            if *at <= now {
                self.copies.remove(&(location, name));
            }
        }
        let writes = self.names.entry(name).or_default();
        if writes.last().is_some_and(|last| now < last.at + 1_000) {
            return false;
        }
        writes.push(KvWrite { at: now, entry, visible });
        if writes.len() > WRITES {
            writes.remove(0);
        }
        true
    }

    /// Drops the names and the copies whose time is over.
    pub(crate) fn expire(&mut self, now: u64) {
        self.names.retain(|_, writes| writes.last().is_some_and(|last| now < last.at + LIFE));
        self.copies.retain(|_, (_, until)| now < *until);
    }
}

/// R2, with a number as the tag of each object.
#[derive(Debug, Default)]
pub(crate) struct R2 {
    objects: BTreeMap<(Epoch, usize), (u64, Entry, u64)>,
    etags: u64,
}

impl R2 {
    /// Returns the object under a name: its tag and the entry.
    pub(crate) fn get(&self, name: (Epoch, usize)) -> Option<(u64, Entry)> {
        self.objects.get(&name).map(|(etag, entry, _)| (*etag, entry.clone()))
    }

    /// Writes if the object has this tag, or if there is neither an object nor a tag; returns the replaced
    /// entry.
    pub(crate) fn put(
        &mut self,
        name: (Epoch, usize),
        entry: Entry,
        only_if: Option<u64>,
        now: u64,
    ) -> Option<Option<Entry>> {
        let there = self.objects.get(&name).map(|(etag, ..)| *etag);
        if there != only_if {
            return None;
        }
        self.etags += 1;
        let before = self.objects.insert(name, (self.etags, entry, now));
        Some(before.map(|(_, entry, _)| entry))
    }

    /// Drops the objects that a lifecycle rule would.
    pub(crate) fn expire(&mut self, now: u64) {
        self.objects.retain(|_, (_, _, at)| now < *at + LIFE);
    }
}
