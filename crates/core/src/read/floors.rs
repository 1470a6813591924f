//! Floors: for each target the lowest version that a cached entry may have. A floor only ever rises.
//!
//! Knows nothing of how a reader learns floors; see [`crate::read::sync`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::change::{Change, Operation, Target};
use crate::wire::name::{Key, NameError, Prefix, Tag};
use crate::wire::position::Version;

/// The lowest versions of one target. Each part only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// An entry filled below this version is never served as fresh.
    pub hard: Version,
    /// An entry filled below this version may be served, marked, while its value is fetched again.
    pub soft: Version,
    /// The newest removal, in force until a newer change names the key.
    pub removed: Version,
}

impl Floor {
    /// Returns the floor that a change at `version` makes.
    #[must_use]
    pub fn of(operation: Operation, version: Version) -> Self {
        match operation {
            Operation::Update => Self { hard: version, ..Self::default() },
            Operation::Soften => Self { soft: version, ..Self::default() },
            Operation::Remove => Self { hard: version, removed: version, ..Self::default() },
        }
    }

    /// Raises each part to at least the other's.
    pub fn raise(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
        self.removed = self.removed.max(other.removed);
    }

    /// Returns the newest version that touched the target.
    #[must_use]
    pub fn newest(&self) -> Version {
        self.hard.max(self.soft)
    }
}

/// A target and its floor, as rows and replies carry it: `[kind, name, hard, soft, removed]`.
///
/// The row of a replica, and so a reply, holds all floors that the target ever had, so no older row is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RowFields", into = "RowFields")]
pub struct FloorRow {
    /// The target of the floor.
    pub target: Target,
    /// The lowest versions of the target.
    pub floor: Floor,
}

/// Why a row is not the floor of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FloorRowError {
    /// A newer build knows more kinds of targets.
    #[error("no kind of target {0}")]
    Kind(u8),
    /// A target with a name that no target can have.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The kind (0 for a key, 1 a tag, 2 a prefix, 3 everything), the name (empty for everything), and the floor.
type RowFields = (u8, String, Version, Version, Version);

impl From<FloorRow> for RowFields {
    fn from(row: FloorRow) -> Self {
        let Floor { hard, soft, removed } = row.floor;
        let (kind, name) = match row.target {
            Target::Key(key) => (0, key.into()),
            Target::Tag(tag) => (1, tag.into()),
            Target::Prefix(prefix) => (2, prefix.into()),
            Target::All => (3, String::new()),
        };
        (kind, name, hard, soft, removed)
    }
}

impl TryFrom<RowFields> for FloorRow {
    type Error = FloorRowError;

    fn try_from((kind, name, hard, soft, removed): RowFields) -> Result<Self, FloorRowError> {
        let target = match kind {
            0 => Target::Key(Key::new(name)?),
            1 => Target::Tag(Tag::new(name)?),
            2 => Target::Prefix(Prefix::new(name)?),
            3 => Target::All,
            other => return Err(FloorRowError::Kind(other)),
        };
        Ok(Self { target, floor: Floor { hard, soft, removed } })
    }
}

/// Returns the floors that a run of versions raises, one row per target, in the order of the targets.
#[must_use]
pub fn raised_by<'a>(changes: impl IntoIterator<Item = (Version, &'a Change)>) -> Vec<FloorRow> {
    let mut raised: BTreeMap<&Target, Floor> = BTreeMap::new();
    for (version, change) in changes {
        raised.entry(&change.target).or_default().raise(Floor::of(change.operation, version));
    }
    raised.into_iter().map(|(target, floor)| FloorRow { target: target.clone(), floor }).collect()
}

/// The judgement of the floors about one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// At or above every floor.
    Clear,
    /// Below a soft floor only: may be served, marked, while it is fetched.
    Soft,
    /// Below the hard floor of a target of this kind.
    Below(FloorKind),
    /// Older than the floors that are remembered of its key or of one of its tags: look these up.
    Unknown,
}

/// The kind of the target that a floor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorKind {
    /// The key of the entry.
    Key,
    /// A tag of the entry.
    Tag,
    /// A prefix of the key.
    Prefix,
    /// All entries of the catalog.
    All,
}

/// The tags an entry stands for when it is judged.
#[derive(Debug, Clone, Copy)]
pub enum EntryTags<'a> {
    /// The tags that the entry carries.
    Tags(&'a [Tag]),
    /// "Not found" may come to carry any tag, so it counts as carrying all.
    EveryTag,
}

/// How many floors of prefixes are held at most.
const MAX_PREFIXES: usize = 10_000;

/// The floors of a catalog, as far as one reader was told.
///
/// Bounded: the oldest floors of keys and tags may be dropped, and the watermark W says up to which version. A key or tag
/// without a floor here is judged by the fill of the entry: at or above W no dropped floor can refuse the entry, below W
/// the floor has to be looked up ([`Judgement::Unknown`]). Floors of prefixes are never dropped that way, since a reader
/// could not tell which one to look up.
#[derive(Debug, Clone, Default)]
pub struct Floors {
    keys: BTreeMap<Key, Floor>,
    tags: BTreeMap<Tag, Floor>,
    prefixes: BTreeMap<Prefix, Floor>,
    /// The lengths of the prefixes, so that a key is cut only where a prefix may end.
    prefix_lengths: BTreeSet<usize>,
    /// The floor of every entry. Its `removed` stands for all removals that the replica forgot for good.
    all: Floor,
    /// The highest floors of any tag, the dropped ones too.
    any_tag: Floor,
    /// W: a floor of a key or a tag raised up to here may be missing.
    watermark: Version,
}

/// A floor over an entry, as `?explain=1` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consulted {
    /// The target of the floor.
    pub by: FloorKind,
    /// The name of the key, the tag, the prefix; empty for everything, and for the tags of a "not found".
    pub name: String,
    /// The floor; `None` when this reader does not remember it.
    pub floor: Option<Floor>,
}

impl Floors {
    /// Raises one target's floor to that of a row.
    pub fn raise(&mut self, row: FloorRow) {
        match row.target {
            Target::Key(key) => self.keys.entry(key).or_default().raise(row.floor),
            Target::Tag(tag) => {
                self.tags.entry(tag).or_default().raise(row.floor);
                self.raise_any_tag(row.floor);
            }
            Target::Prefix(prefix) => {
                self.prefix_lengths.insert(prefix.as_str().len());
                self.prefixes.entry(prefix).or_default().raise(row.floor);
            }
            Target::All => self.all.raise(row.floor),
        }
    }

    /// Raises one target's floor to that of a row, unless the target is a key or a tag without a floor here: such a
    /// floor was dropped, and one from before the watermark would pass for the newest.
    pub fn raise_held(&mut self, row: FloorRow) {
        let is_held = match &row.target {
            Target::Key(key) => self.keys.contains_key(key),
            Target::Tag(tag) => self.tags.contains_key(tag),
            Target::Prefix(_) | Target::All => true,
        };
        if is_held {
            self.raise(row);
        }
    }

    /// Raises the hard floor of everything.
    pub fn raise_all(&mut self, version: Version) {
        self.all.raise(Floor::of(Operation::Update, version));
    }

    /// Raises the highest floors of any tag.
    pub fn raise_any_tag(&mut self, floor: Floor) {
        self.any_tag.raise(floor);
    }

    /// Returns the number of floors held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len() + self.tags.len() + self.prefixes.len()
    }

    /// Forgets every floor of keys and tags: a reply left out floors up to `mark`, so some held here may be
    /// too low.
    pub fn drop_untold(&mut self, mark: Version) {
        self.keys.clear();
        self.tags.clear();
        self.watermark = self.watermark.max(mark);
    }

    /// Drops the oldest floors of keys and tags when there are more than `most`, until `keep` are left, and raises the
    /// watermark to the newest one dropped. An entry that a dropped floor could refuse is looked up, never served.
    pub fn evict_oldest(&mut self, most: usize, keep: usize) {
        if self.keys.len() + self.tags.len() > most {
            let mut newest: Vec<Version> = newest_of(&self.keys).chain(newest_of(&self.tags)).collect();
            let last = newest.len() - keep.min(most) - 1;
            let (_, mark, _) = newest.select_nth_unstable(last);
            let mark = *mark;
            keep_newer(&mut self.keys, mark);
            keep_newer(&mut self.tags, mark);
            self.watermark = self.watermark.max(mark);
        }
        self.evict_oldest_prefixes(MAX_PREFIXES);
    }

    /// Drops the older half of the floors of prefixes when there are more than `most`. The floor of everything rises
    /// to the newest one dropped: forgetting costs hits, never truth.
    fn evict_oldest_prefixes(&mut self, most: usize) {
        if self.prefixes.len() <= most {
            return;
        }
        let mut newest: Vec<Version> = newest_of(&self.prefixes).collect();
        let (_, mark, _) = newest.select_nth_unstable(self.prefixes.len() - most / 2 - 1);
        let mark = *mark;
        keep_newer(&mut self.prefixes, mark);
        self.prefix_lengths = self.prefixes.keys().map(|prefix| prefix.as_str().len()).collect();
        self.raise_all(mark);
    }

    /// Drops the floors of keys, tags and prefixes that no held entry needs.
    ///
    /// Every later fill is above these floors, so nothing has to be looked up, and the watermark W stays.
    pub fn retain(&mut self, needed: impl Fn(FloorKind, &str, &Floor) -> bool) {
        self.keys.retain(|key, floor| needed(FloorKind::Key, key.as_str(), floor));
        self.tags.retain(|tag, floor| needed(FloorKind::Tag, tag.as_str(), floor));
        self.prefixes.retain(|prefix, floor| needed(FloorKind::Prefix, prefix.as_str(), floor));
        self.prefix_lengths = self.prefixes.keys().map(|prefix| prefix.as_str().len()).collect();
    }

    /// Returns W: a floor of a key or a tag raised up to here may be missing. 0 while none was dropped.
    #[must_use]
    pub fn watermark(&self) -> Version {
        self.watermark
    }

    /// Says whether the key's own floor is the one here: its generation and its removal can be told.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.watermark == Version::ZERO || self.keys.contains_key(key)
    }

    /// Returns the key's generation: its own hard floor, or 0. The generation is a part of the entry's name in KV.
    #[must_use]
    pub fn generation(&self, key: &Key) -> Version {
        self.keys.get(key).map_or(Version::ZERO, |floor| floor.hard)
    }

    /// Returns the version at which the key was removed, unless a later change concerns the key.
    ///
    /// A removal counts as a not-found entry filled at its version, which any later floor over the key ends.
    #[must_use]
    pub fn removed(&self, key: &Key) -> Option<Version> {
        let removed = self.keys.get(key).map(|floor| floor.removed).filter(|at| *at > Version::ZERO)?;
        (self.judge(key, removed, EntryTags::EveryTag) == Judgement::Clear).then_some(removed)
    }

    /// Says whether the key was removed after `fill`, even if it was updated since.
    ///
    /// A value from before a removal is not shown even while the origin is down. A key whose floors were forgotten counts
    /// as removed.
    #[must_use]
    pub fn was_removed_after(&self, key: &Key, fill: Version) -> bool {
        let forgotten = self.all.removed > fill || (fill < self.watermark && !self.keys.contains_key(key));
        forgotten || self.keys.get(key).is_some_and(|floor| floor.removed > fill)
    }

    /// Judges an entry of `key` that was filled at `fill`.
    #[must_use]
    pub fn judge(&self, key: &Key, fill: Version, carries: EntryTags<'_>) -> Judgement {
        self.judgement_of(self.covering(key, carries), fill)
    }

    fn judgement_of<'a>(
        &self,
        over: impl Iterator<Item = (FloorKind, &'a str, Option<Floor>)>,
        fill: Version,
    ) -> Judgement {
        let (mut soft, mut unknown) = (false, false);
        for (by, _, floor) in over {
            match floor {
                Some(floor) if fill < floor.hard => return Judgement::Below(by),
                Some(floor) => soft |= fill < floor.soft,
                None => unknown |= fill < self.watermark,
            }
        }
        match (unknown, soft) {
            (true, _) => Judgement::Unknown,
            (false, true) => Judgement::Soft,
            (false, false) => Judgement::Clear,
        }
    }

    /// Judges something that was filled at `fill` and is made of several keys and tags: the strictest judgement counts.
    #[must_use]
    pub fn judge_all(&self, keys: &[Key], fill: Version, carries: EntryTags<'_>) -> Judgement {
        let of_tags =
            self.judgement_of(self.carried(carries).chain([(FloorKind::All, "", Some(self.all))]), fill);
        let of_keys = keys.iter().map(|key| self.judge(key, fill, carries));
        let strictness = |judgement: &Judgement| match judgement {
            Judgement::Clear => 0,
            Judgement::Soft => 1,
            Judgement::Unknown => 2,
            Judgement::Below(_) => 3,
        };
        of_keys.fold(of_tags, |one, other| if strictness(&other) > strictness(&one) { other } else { one })
    }

    /// Returns the newest version that is known to concern an entry of `key`.
    #[must_use]
    pub fn newest_over(&self, key: &Key, carries: EntryTags<'_>) -> Version {
        let floors = self.covering(key, carries).filter_map(|(_, _, floor)| floor);
        floors.map(|floor| floor.newest()).max().unwrap_or(Version::ZERO)
    }

    /// Returns the floors that [`Self::judge`] consults, for people.
    #[must_use]
    pub fn consulted(&self, key: &Key, carries: EntryTags<'_>) -> Vec<Consulted> {
        let over = self.covering(key, carries);
        over.map(|(by, name, floor)| Consulted { by, name: name.to_owned(), floor }).collect()
    }

    /// Returns every floor over an entry, with the kind and the name of its target; `None` for a floor that is not held.
    fn covering<'a>(
        &'a self,
        key: &'a Key,
        carries: EntryTags<'a>,
    ) -> impl Iterator<Item = (FloorKind, &'a str, Option<Floor>)> + 'a {
        let own = (FloorKind::Key, key.as_str(), self.keys.get(key).copied());
        [own].into_iter().chain(self.carried(carries)).chain(self.prefixes_of(key)).chain([(
            FloorKind::All,
            "",
            Some(self.all),
        )])
    }

    /// Returns the floors of the tags that an entry carries.
    fn carried<'a>(
        &'a self,
        carries: EntryTags<'a>,
    ) -> impl Iterator<Item = (FloorKind, &'a str, Option<Floor>)> + 'a {
        let (named, every) = match carries {
            EntryTags::Tags(tags) => (tags, None),
            EntryTags::EveryTag => (&[] as &[Tag], Some((FloorKind::Tag, "", Some(self.any_tag)))),
        };
        let tags = named.iter().map(|tag| (FloorKind::Tag, tag.as_str(), self.tags.get(tag).copied()));
        tags.chain(every)
    }

    fn prefixes_of<'a>(
        &'a self,
        key: &'a Key,
    ) -> impl Iterator<Item = (FloorKind, &'a str, Option<Floor>)> + 'a {
        self.prefix_lengths.iter().filter_map(|length| {
            let prefix = key.as_str().get(..*length)?;
            self.prefixes.get(prefix).map(|floor| (FloorKind::Prefix, prefix, Some(*floor)))
        })
    }
}

/// Returns the newest version that touched each target.
fn newest_of<K>(floors: &BTreeMap<K, Floor>) -> impl Iterator<Item = Version> {
    floors.values().map(Floor::newest)
}

fn keep_newer<K: Ord>(floors: &mut BTreeMap<K, Floor>, mark: Version) {
    floors.retain(|_, floor| floor.newest() > mark);
}

#[cfg(test)]
mod tests;
