//! Which keys are read most: bounded, and forgetting what was read long ago.
//!
//! An isolate touches keys and reports the hottest to its replica, which merges the reports. This is the
//! *space-saving* count: when all room is taken, the lightest key makes room for a new one, which inherits its
//! weight; so a key that is more than one in `most` of what is read is always kept. Reads are counted beside
//! the weight and only while a key is kept, so they are never more than there were. When all weighs
//! 64 a key, everything is halved.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::metrics::counts::whole;
use crate::wire::change::Target;
use crate::wire::name::{Key, Tag};

/// How many tags of a key are kept; further ones do not find it.
pub const MAX_HOT_TAGS: usize = 16;
/// The longest report, in bytes.
pub const MAX_REPORT_BYTES: usize = 64 << 10;
/// What all keys may weigh, for each that there is room for, before everything is halved.
const WEIGHT_PER_KEY: u64 = 64;

/// A key that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotKey {
    /// Which.
    pub key: Key,
    /// How often it was read, lately.
    pub reads: u64,
    /// The tags its entry had when it was last read, at most [`MAX_HOT_TAGS`].
    pub tags: Vec<Tag>,
}

/// The keys that are read most.
#[derive(Debug, Clone)]
pub struct Hot {
    most: usize,
    /// What all slots weigh together.
    total: u64,
    slots: Vec<Slot>,
    /// Every slot, in the order of their keys.
    by_key: Vec<usize>,
    /// Once there is no more room: every slot as a binary heap, the lightest first.
    by_weight: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Slot {
    hot: HotKey,
    /// Its reads, and what it inherited.
    weight: u64,
    /// Where it stands in `by_weight`.
    place: usize,
}

/// Why a text is not one of [`to_text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// More than [`MAX_REPORT_BYTES`].
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
        Self { most, total: 0, slots: Vec::new(), by_key: Vec::new(), by_weight: Vec::new() }
    }

    /// Counts a read of a key whose entry carries these tags.
    ///
    /// Takes log n comparisons, and for a new key moves up to n numbers; once in 32 reads a key it halves all.
    pub fn touch(&mut self, key: &Key, tags: &[Tag]) {
        self.count(key, tags, 1);
    }

    /// Counts what an isolate reported.
    pub fn merge(&mut self, report: &[HotKey]) {
        for hot in report {
            self.count(&hot.key, &hot.tags, hot.reads);
        }
    }

    /// Hands over the `n` hottest keys, the hottest first, to be reported; the others are kept for the next report.
    #[must_use]
    pub fn take_top(&mut self, n: usize) -> Vec<HotKey> {
        let top: Vec<HotKey> =
            hottest(self.slots.iter().map(|slot| &slot.hot).collect(), n).into_iter().cloned().collect();
        let slots = std::mem::replace(self, Self::new(self.most)).slots;
        for Slot { hot, .. } in slots {
            if top.last().is_none_or(|last| hot.order(last).is_gt()) {
                self.count(&hot.key, &hot.tags, hot.reads);
            }
        }
        top
    }

    /// Returns how often a key was read, lately; 0 if it is not kept.
    #[must_use]
    pub fn reads(&self, key: &Key) -> u64 {
        self.get(key).map_or(0, |hot| hot.reads)
    }

    /// Returns the keys that were read and that a run of changes covers, the hottest first, at most `most`.
    #[must_use]
    pub fn hottest_of(&self, targets: &[Target], most: usize) -> Vec<Key> {
        let (mut keys, mut tags, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            match target {
                Target::Key(key) => keys.extend(self.get(key)),
                Target::Tag(tag) => tags.push(tag.as_str()),
                Target::Prefix(prefix) => prefixes.push(prefix.as_str()),
                Target::All => prefixes.push(""),
            }
        }
        tags.sort_unstable();
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(*shorter));
        if !tags.is_empty() || !prefixes.is_empty() {
            let hots = self.slots.iter().map(|slot| &slot.hot);
            keys.extend(hots.filter(|hot| hot.carries(&tags) || hot.begins(&prefixes)));
        }
        hottest(keys, most).into_iter().map(|hot| hot.key.clone()).collect()
    }

    fn get(&self, key: &Key) -> Option<&HotKey> {
        let slot = self.find(key).ok().and_then(|at| self.by_key.get(at));
        slot.and_then(|slot| self.slots.get(*slot)).map(|slot| &slot.hot)
    }

    /// Returns where the key stands in `by_key`, or where it would.
    fn find(&self, key: &Key) -> Result<usize, usize> {
        self.by_key.binary_search_by(|slot| self.slots.get(*slot).map(|slot| &slot.hot.key).cmp(&Some(key)))
    }

    fn count(&mut self, key: &Key, tags: &[Tag], reads: u64) {
        if reads == 0 || self.most == 0 {
            return;
        }
        let slot = match self.find(key) {
            Ok(at) => self.by_key.get(at).copied(),
            Err(at) if self.slots.len() < self.most => Some(self.add(at, key)),
            Err(_) => self.replace_lightest(key),
        };
        let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot)) else { return };
        let tags = tags.get(..MAX_HOT_TAGS).unwrap_or(tags);
        if slot.hot.tags != tags {
            slot.hot.tags = tags.to_vec();
        }
        slot.hot.reads = slot.hot.reads.saturating_add(reads);
        slot.weight = slot.weight.saturating_add(reads);
        self.total = self.total.saturating_add(reads);
        let place = slot.place;
        self.sink(place);
        while self.total >= WEIGHT_PER_KEY.saturating_mul(self.most as u64) {
            self.halve();
        }
    }

    /// Takes free room for a key; returns its slot.
    fn add(&mut self, at: usize, key: &Key) -> usize {
        let slot = self.slots.len();
        let hot = HotKey { key: key.clone(), reads: 0, tags: Vec::new() };
        self.slots.push(Slot { hot, weight: 0, place: slot });
        self.by_key.insert(at, slot);
        if self.slots.len() == self.most {
            self.by_weight = (0..self.most).collect();
            for place in (0..self.most / 2).rev() {
                self.sink(place);
            }
        }
        slot
    }

    /// Takes the room of the lightest key for another; returns its slot.
    fn replace_lightest(&mut self, key: &Key) -> Option<usize> {
        let slot = *self.by_weight.first()?;
        let left = self.slots.get(slot)?.hot.key.clone();
        if let Ok(at) = self.find(&left) {
            self.by_key.remove(at);
        }
        let (Ok(at) | Err(at)) = self.find(key);
        self.by_key.insert(at, slot);
        let taken = self.slots.get_mut(slot)?;
        taken.hot = HotKey { key: key.clone(), reads: 0, tags: Vec::new() };
        Some(slot)
    }

    /// Puts the slot at this place of the heap below those that are lighter: weights only grow.
    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let Some((weight, child)) = children.filter_map(|at| Some((self.weight(at)?, at))).min() else {
                return;
            };
            if self.weight(place).is_none_or(|mine| mine <= weight) {
                return;
            }
            self.by_weight.swap(place, child);
            for at in [place, child] {
                let slot = self.by_weight.get(at).and_then(|slot| self.slots.get_mut(*slot));
                if let Some(slot) = slot {
                    slot.place = at;
                }
            }
            place = child;
        }
    }

    /// Returns the weight of the slot at a place of the heap.
    fn weight(&self, place: usize) -> Option<u64> {
        self.by_weight.get(place).and_then(|slot| self.slots.get(*slot)).map(|slot| slot.weight)
    }

    /// Halves every weight. Their order stays, so the heap does.
    fn halve(&mut self) {
        self.total = 0;
        for slot in &mut self.slots {
            slot.weight /= 2;
            slot.hot.reads /= 2;
            self.total = self.total.saturating_add(slot.weight);
        }
    }
}

impl HotKey {
    /// Orders the hotter before the less hot, and equally hot ones by key.
    fn order(&self, other: &Self) -> Ordering {
        other.reads.cmp(&self.reads).then_with(|| self.key.cmp(&other.key))
    }

    /// Says whether it carries one of these, which are in order.
    fn carries(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.binary_search(&tag.as_str()).is_ok())
    }

    /// Says whether its key begins with one of these, which are in order and none begins with another.
    fn begins(&self, prefixes: &[&str]) -> bool {
        let key = self.key.as_str();
        // What stands between a prefix and its key begins with the prefix too, so only the last can be it.
        let at = prefixes.partition_point(|prefix| *prefix <= key);
        at.checked_sub(1).and_then(|at| prefixes.get(at)).is_some_and(|prefix| key.starts_with(prefix))
    }
}

/// Returns those that were read, each once, the hottest first, at most `most`.
fn hottest(mut hots: Vec<&HotKey>, most: usize) -> Vec<&HotKey> {
    hots.retain(|hot| hot.reads > 0);
    hots.sort_unstable_by(|one, other| one.order(other));
    hots.dedup_by(|one, other| one.key == other.key);
    hots.truncate(most);
    hots
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

/// Reads what [`to_text`] wrote.
///
/// # Errors
/// [`ReportError`] when any part of it is something else.
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
