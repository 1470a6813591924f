//! The keys that the checker knows: their tags and values at the origin, as it saw them itself.
//!
//! Which keys a tag, a prefix or everything covers is told by nobody: the checker knows the keys of its list, of the origin's
//! hot list and of the log, and the tags that the origin sent with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use newsreel_core::rng::SplitMix64;
use newsreel_core::wire::{Key, Tag, Target};

use super::judge::Sighting;

/// How many keys are known at once. Further ones are checked when the log names them, and forgotten.
const MOST_KEYS: usize = 100_000;
/// How many values of a key are remembered.
const MOST_SIGHTINGS: usize = 8;
/// How many keys of a prefix are looked at when some of them are chosen.
const SEARCHED: usize = 10_000;

/// The keys, and the order in which they are looked at when nothing changes.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    keys: BTreeMap<Key, KnownKey>,
    by_tag: HashMap<Tag, BTreeSet<Key>>,
    /// By the part after the class.
    by_id: HashMap<String, BTreeSet<Key>>,
    /// The key that was looked at last.
    last: Option<Key>,
    random: SplitMix64,
}

#[derive(Debug, Default)]
struct KnownKey {
    tags: Vec<Tag>,
    sightings: Vec<Sighting>,
}

impl KnownKeys {
    /// Returns no keys; `seed` decides which keys are chosen.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            keys: BTreeMap::new(),
            by_tag: HashMap::new(),
            by_id: HashMap::new(),
            last: None,
            random: SplitMix64::new(seed),
        }
    }

    /// Returns how many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Learns that there is a key, if there is room.
    pub(crate) fn learn(&mut self, key: &Key) {
        if self.keys.len() < MOST_KEYS && !self.keys.contains_key(key) {
            self.keys.insert(key.clone(), KnownKey::default());
            self.by_id.entry(id_of(key).to_owned()).or_default().insert(key.clone());
        }
    }

    /// Takes an answer of the origin, with the tags that it sent.
    pub(crate) fn saw(&mut self, key: &Key, sighting: Sighting, tags: Vec<Tag>) {
        self.learn(key);
        let Some(known) = self.keys.get_mut(key) else { return };
        for gone in known.tags.iter().filter(|tag| !tags.contains(tag)) {
            if let Some(keys) = self.by_tag.get_mut(gone) {
                keys.remove(key);
            }
        }
        for tag in &tags {
            self.by_tag.entry(tag.clone()).or_default().insert(key.clone());
        }
        known.tags = tags;
        // Of a value that stays, the first sighting and the newest are enough.
        let stays = |seen: &Sighting| seen.value == sighting.value;
        if known.sightings.len() >= 2 && known.sightings.iter().rev().take(2).all(stays) {
            known.sightings.pop();
        }
        known.sightings.push(sighting);
        if known.sightings.len() > MOST_SIGHTINGS {
            known.sightings.remove(0);
        }
    }

    /// Returns the tags that the origin sent last.
    pub(crate) fn tags(&self, key: &Key) -> &[Tag] {
        self.keys.get(key).map_or(&[], |known| &known.tags)
    }

    /// Returns what the origin gave lately.
    pub(crate) fn sightings(&self, key: &Key) -> &[Sighting] {
        self.keys.get(key).map_or(&[], |known| &known.sightings)
    }

    /// Returns keys that a target covers, at most so many: the key itself, or some that are known, by chance.
    pub(crate) fn covered_by(&mut self, target: &Target, most: usize) -> Vec<Key> {
        let mut covered: Vec<Key> = match target {
            Target::Key(key) => return vec![key.clone()],
            Target::Tag(tag) => self.by_tag.get(tag).into_iter().flatten().take(SEARCHED).cloned().collect(),
            Target::Prefix(prefix) => {
                let keys = self.keys.keys().skip_while(|key| key.as_str() < prefix.as_str());
                keys.take_while(|key| prefix.covers(key)).take(SEARCHED).cloned().collect()
            }
            Target::All => self.keys.keys().take(SEARCHED).cloned().collect(),
        };
        self.choose(&mut covered, most);
        covered
    }

    /// Keeps so many of a list, by chance.
    pub(crate) fn choose<T>(&mut self, of: &mut Vec<T>, most: usize) {
        for place in 0..most.min(of.len()) {
            let left = (of.len() - place) as u64;
            let other = usize::try_from(self.random.next() % left).unwrap_or_default();
            of.swap(place, place + other);
        }
        of.truncate(most);
    }

    /// Returns the key to look at next, in the order of their names, over and over.
    pub(crate) fn next_to_sweep(&mut self) -> Option<Key> {
        let after = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.keys.range::<Key, _>((after, Bound::Unbounded)).next();
        let next = next.or_else(|| self.keys.first_key_value()).map(|(key, _)| key.clone());
        self.last.clone_from(&next);
        next
    }

    /// Returns the other keys with the same id: the class may have been confused in a publish.
    pub(crate) fn namesakes(&self, key: &Key) -> Vec<Key> {
        let keys = self.by_id.get(id_of(key)).into_iter().flatten();
        keys.filter(|other| *other != key).take(MOST_SIGHTINGS).cloned().collect()
    }
}

fn id_of(key: &Key) -> &str {
    key.as_str().split_once(':').map_or("", |(_, id)| id)
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Prefix, UnixMillis};

    use super::super::judge::Fingerprint;
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn sighting(value: u8, at: u64) -> Sighting {
        let at = UnixMillis(at);
        Sighting { value: Fingerprint::Value([value; 32], None), asked_at: at, answered_at: at }
    }

    fn known(names: &[&str]) -> KnownKeys {
        let mut known = KnownKeys::new(1);
        for name in names {
            known.learn(&key(name));
        }
        known
    }

    fn names(mut keys: Vec<Key>) -> Vec<String> {
        keys.sort();
        keys.into_iter().map(String::from).collect()
    }

    #[test]
    fn a_target_covers_the_keys_whose_tags_the_origin_sent() {
        let mut known = known(&["a:1", "title:1", "title:2", "titles:1"]);
        let (red, blue) = (Tag::new("red").unwrap(), Tag::new("blue").unwrap());
        known.saw(&key("title:1"), sighting(1, 1), vec![red.clone(), blue.clone()]);
        known.saw(&key("title:2"), sighting(1, 1), vec![red.clone()]);
        assert_eq!(names(known.covered_by(&Target::Tag(red.clone()), 9)), ["title:1", "title:2"]);
        known.saw(&key("title:1"), sighting(1, 2), vec![blue]);
        assert_eq!(names(known.covered_by(&Target::Tag(red), 9)), ["title:2"]);
        let prefix = Target::Prefix(Prefix::new("title:").unwrap());
        assert_eq!(names(known.covered_by(&prefix, 9)), ["title:1", "title:2"]);
        assert_eq!(names(known.covered_by(&Target::All, 9)).len(), 4);
        assert_eq!(known.covered_by(&Target::All, 2).len(), 2);
        assert_eq!(names(known.covered_by(&Target::Key(key("other:1")), 9)), ["other:1"]);
    }

    #[test]
    fn every_key_has_its_turn() {
        let mut known = known(&["a:1", "b:1", "c:1"]);
        let turns: Vec<String> = (0..5).map(|_| known.next_to_sweep().unwrap().into()).collect();
        assert_eq!(turns, ["a:1", "b:1", "c:1", "a:1", "b:1"]);
        assert_eq!(KnownKeys::new(1).next_to_sweep(), None);
        assert_eq!(names(known.namesakes(&key("x:1"))), ["a:1", "b:1", "c:1"]);
        assert_eq!(names(known.namesakes(&key("a:1"))), ["b:1", "c:1"]);
    }

    #[test]
    fn of_a_value_that_stays_the_first_and_the_newest_sighting_are_kept() {
        let mut known = known(&[]);
        for at in 1..=20 {
            known.saw(&key("a:1"), sighting(u8::from(at > 10), at), Vec::new());
        }
        let seen: Vec<u64> = known.sightings(&key("a:1")).iter().map(|seen| seen.asked_at.0).collect();
        assert_eq!(seen, [1, 10, 11, 20]);
    }
}
