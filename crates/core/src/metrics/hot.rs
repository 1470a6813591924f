//! The keys that are read most, in bounded memory; old reads fade.
//!
//! An isolate touches keys and reports the hottest to its replica, which merges the reports. This is the
//! *space-saving* count: when all room is taken, the lightest key makes room for a new one, which inherits
//! its weight; so a key that is more than one in `most` of what is read is always kept. Reads are counted
//! beside the weight and only while a key is kept, so they are never more than there were. When all weighs 64
//! a key, everything is halved.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Bound;

use crate::metrics::counts::whole;
use crate::wire::change::Target;
use crate::wire::name::{Key, Tag};

/// How many tags of a key are kept. A change of a further tag does not find the key.
pub const MAX_HOT_TAGS: usize = 16;
/// The longest report, in bytes.
pub const MAX_REPORT_BYTES: usize = 64 << 10;
/// The weight per key of room at which all weights are halved.
const WEIGHT_PER_KEY: u64 = 64;

/// A key that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotKey {
    /// The key of the entries that were read.
    pub key: Key,
    /// How often the key was read lately: old reads fade as the counts are halved.
    pub reads: u64,
    /// The tags that the entry had when the key was last read, at most [`MAX_HOT_TAGS`].
    pub tags: Vec<Tag>,
}

/// The keys that are read most.
#[derive(Debug, Clone)]
pub struct Hot {
    most: usize,
    /// The sum of all weights.
    total: u64,
    keys: BTreeMap<Key, Slot>,
    /// Every key of `keys` with its weight, the lightest first.
    by_weight: BTreeSet<(u64, Key)>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    reads: u64,
    tags: Vec<Tag>,
    /// The reads, and the weight that was inherited.
    weight: u64,
}

/// Why a text is not one of [`to_text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The text has more than [`MAX_REPORT_BYTES`].
    #[error("a report has at most {MAX_REPORT_BYTES} bytes")]
    TooLong,
    /// The line with this number, from 1, is not one of a key.
    #[error("line {0} is not reads, tags and a key")]
    Line(usize),
}

impl Hot {
    /// Returns room for the `most` hottest keys.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, total: 0, keys: BTreeMap::new(), by_weight: BTreeSet::new() }
    }

    /// Counts a read of a key with an entry that carries these tags.
    ///
    /// Takes about log n comparisons; once in 32 reads of each key all weights are halved.
    pub fn touch(&mut self, key: &Key, tags: &[Tag]) {
        self.count(key, tags, 1);
    }

    /// Counts the reads that an isolate reported.
    pub fn merge(&mut self, report: &[HotKey]) {
        for hot in report {
            self.count(&hot.key, &hot.tags, hot.reads);
        }
    }

    /// Hands over the `n` hottest keys, the hottest first, to be reported; the others are kept for the next
    /// report.
    #[must_use]
    pub fn take_top(&mut self, n: usize) -> Vec<HotKey> {
        let top: Vec<HotKey> = hottest(self.keys.iter().collect(), n).into_iter().map(HotKey::of).collect();
        let mut keys = std::mem::replace(self, Self::new(self.most)).keys;
        for hot in &top {
            keys.remove(&hot.key);
        }
        for (key, slot) in &keys {
            self.count(key, &slot.tags, slot.reads);
        }
        top
    }

    /// Returns how often a key was read lately; 0 if it is not kept.
    #[must_use]
    pub fn reads(&self, key: &Key) -> u64 {
        self.keys.get(key).map_or(0, |slot| slot.reads)
    }

    /// Returns the keys that were read and that a run of changes covers, the hottest first, at most `most`.
    #[must_use]
    pub fn hottest_of(&self, targets: &[Target], most: usize) -> Vec<Key> {
        let mut found: BTreeMap<&Key, &Slot> = BTreeMap::new();
        let (mut tags, mut prefixes) = (BTreeSet::new(), Vec::new());
        for target in targets {
            match target {
                Target::Key(key) => found.extend(self.keys.get_key_value(key)),
                Target::Tag(tag) => {
                    tags.insert(tag);
                }
                Target::Prefix(prefix) => prefixes.push(prefix.as_str()),
                Target::All => prefixes.push(""),
            }
        }
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(*shorter));
        for prefix in prefixes {
            let from = self.keys.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            found.extend(from.take_while(|(key, _)| key.as_str().starts_with(prefix)));
        }
        if !tags.is_empty() {
            found.extend(self.keys.iter().filter(|(_, slot)| slot.tags.iter().any(|tag| tags.contains(tag))));
        }
        hottest(found.into_iter().collect(), most).into_iter().map(|(key, _)| key.clone()).collect()
    }

    fn count(&mut self, key: &Key, tags: &[Tag], reads: u64) {
        if reads == 0 || self.most == 0 {
            return;
        }
        if !self.keys.contains_key(key) {
            let slot = if self.keys.len() < self.most { Slot::default() } else { self.replace_lightest() };
            self.by_weight.insert((slot.weight, key.clone()));
            self.keys.insert(key.clone(), slot);
        }
        let slot = self.keys.get_mut(key).expect("the key has a slot by now");
        let mut weighed = self.by_weight.take(&(slot.weight, key.clone())).expect("every key is weighed");
        slot.read(tags.get(..MAX_HOT_TAGS).unwrap_or(tags), reads);
        self.total = self.total.saturating_add(reads);
        weighed.0 = slot.weight;
        self.by_weight.insert(weighed);
        while self.total >= WEIGHT_PER_KEY.saturating_mul(self.most as u64) {
            self.halve();
        }
    }

    /// Drops the lightest key; returns the room for another, which inherits its weight.
    fn replace_lightest(&mut self) -> Slot {
        let Some((weight, key)) = self.by_weight.pop_first() else { return Slot::default() };
        self.keys.remove(&key);
        Slot { weight, ..Slot::default() }
    }

    /// Halves all weights and reads, so that old reads fade.
    fn halve(&mut self) {
        for slot in self.keys.values_mut() {
            slot.weight /= 2;
            slot.reads /= 2;
        }
        self.total = self.keys.values().fold(0, |total, slot| total.saturating_add(slot.weight));
        self.by_weight = self.keys.iter().map(|(key, slot)| (slot.weight, key.clone())).collect();
    }
}

impl Slot {
    fn read(&mut self, tags: &[Tag], reads: u64) {
        if self.tags != tags {
            self.tags = tags.to_vec();
        }
        self.reads = self.reads.saturating_add(reads);
        self.weight = self.weight.saturating_add(reads);
    }
}

impl HotKey {
    fn of((key, slot): (&Key, &Slot)) -> Self {
        Self { key: key.clone(), reads: slot.reads, tags: slot.tags.clone() }
    }
}

/// Returns the keys that were read, the hottest first and equally hot ones by key, at most `most`.
fn hottest<'a>(mut keys: Vec<(&'a Key, &'a Slot)>, most: usize) -> Vec<(&'a Key, &'a Slot)> {
    keys.retain(|(_, slot)| slot.reads > 0);
    keys.sort_unstable_by_key(|(key, slot)| (Reverse(slot.reads), *key));
    keys.truncate(most);
    keys
}

/// Returns a report as text, a line a key: its reads, its tags separated by commas, and the key, separated by
/// spaces. The first line that would be past [`MAX_REPORT_BYTES`], and what follows it, is left out.
#[must_use]
pub fn to_text(report: &[HotKey]) -> String {
    let mut text = String::new();
    for hot in report {
        let before = text.len();
        let _ = write!(text, "{} ", hot.reads);
        for (at, tag) in hot.tags.iter().enumerate() {
            text.push_str(if at > 0 { "," } else { "" });
            text.push_str(tag.as_str());
        }
        let _ = writeln!(text, " {}", hot.key);
        if text.len() > MAX_REPORT_BYTES {
            text.truncate(before);
            break;
        }
    }
    text
}

/// Reads a report that [`to_text`] wrote.
///
/// # Errors
/// [`ReportError`] when the text is not such a report.
pub fn parse(text: &str) -> Result<Vec<HotKey>, ReportError> {
    if text.len() > MAX_REPORT_BYTES {
        return Err(ReportError::TooLong);
    }
    let mut report = Vec::new();
    for (at, line) in text.split_terminator('\n').enumerate() {
        report.push(read(line).ok_or(ReportError::Line(at + 1))?);
    }
    Ok(report)
}

/// Reads a line of [`to_text`].
fn read(line: &str) -> Option<HotKey> {
    let (reads, rest) = line.split_once(' ')?;
    let (names, key) = rest.split_once(' ')?;
    let mut tags = Vec::new();
    if !names.is_empty() {
        for name in names.split(',') {
            tags.push(Tag::new(name).ok()?);
        }
    }
    let hot = HotKey { key: Key::new(key).ok()?, reads: whole(reads)?, tags };
    (hot.reads > 0 && hot.tags.len() <= MAX_HOT_TAGS).then_some(hot)
}

#[cfg(test)]
mod tests;
