//! Floors: for each target the lowest version a cached entry may have. They only ever rise.
//!
//! Knows nothing of how they were learned; see [`crate::read::sync`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::change::{Change, Operation, Target};
use crate::wire::name::{Key, NameError, Prefix, Tag};
use crate::wire::position::Version;

/// The lowest versions of one target. Each part only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// An entry filled below it is never served as fresh.
    pub hard: Version,
    /// An entry filled below it may be served, marked, while it is fetched again.
    pub soft: Version,
    /// The newest removal. It holds while nothing newer was said of the key.
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
/// A replica's row, and so a reply, has all that was ever said of its target: who holds it misses nothing older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RowFields", into = "RowFields")]
pub struct FloorRow {
    /// Whose.
    pub target: Target,
    /// What.
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

/// `kind` is 0 for a key, 1 a tag, 2 a prefix, 3 everything (whose name is empty).
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

/// Returns what a run of versions raises, one row per target, in the order of the targets.
#[must_use]
pub fn raised_by<'a>(changes: impl IntoIterator<Item = (Version, &'a Change)>) -> Vec<FloorRow> {
    let mut raised: BTreeMap<&Target, Floor> = BTreeMap::new();
    for (version, change) in changes {
        raised.entry(&change.target).or_default().raise(Floor::of(change.operation, version));
    }
    raised.into_iter().map(|(target, floor)| FloorRow { target: target.clone(), floor }).collect()
}

/// What the floors say of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// At or above every floor.
    Clear,
    /// Below a soft floor only: may be served, marked, while it is fetched.
    Soft,
    /// Below the hard floor of what is named.
    Below(By),
    /// Older than what is remembered of its key, or of one of its tags: ask somebody who knows.
    Unknown,
}

/// Whose hard floor refused an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The key's own.
    Key,
    /// A tag's.
    Tag,
    /// A prefix's.
    Prefix,
    /// Everything's.
    All,
}

/// The tags an entry stands for when it is judged.
#[derive(Debug, Clone, Copy)]
pub enum Carries<'a> {
    /// These.
    Tags(&'a [Tag]),
    /// "Not found" may come to carry any tag, so it counts as carrying all.
    EveryTag,
}

/// How many floors of prefixes are held at most.
const MAX_PREFIXES: usize = 10_000;

/// The floors of a catalog, as far as one reader was told.
///
/// Bounded: the oldest floors of keys and tags may be dropped, and the mark W says up to which version. What has no
/// floor here is then judged by its fill: at or above W nothing that was dropped can refuse it, below W
/// the floor has to be asked for ([`Judgement::Unknown`]). Floors of prefixes are never dropped that way, since
/// nobody could tell which one to ask for.
#[derive(Debug, Clone, Default)]
pub struct Floors {
    keys: BTreeMap<Key, Floor>,
    tags: BTreeMap<Tag, Floor>,
    prefixes: BTreeMap<Prefix, Floor>,
    /// The lengths of the prefixes, so that a key is cut only where a prefix may end.
    prefix_lengths: BTreeSet<usize>,
    /// Its `removed` stands for every removal that was forgotten for good.
    all: Floor,
    /// The highest floors of any tag, the dropped ones too.
    any_tag: Floor,
    /// W: a floor of a key or a tag raised up to here may be missing.
    mark: Version,
}

/// A floor over an entry, as it is shown to who asks why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consulted {
    /// Whose.
    pub by: By,
    /// The name of the key, the tag, the prefix; empty for everything, and for the tags of a "not found".
    pub name: String,
    /// What; nothing when it is not remembered here.
    pub floor: Option<Floor>,
}

impl Floors {
    /// Raises one target's floor, to all that was ever said of it; to nothing where nothing was.
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

    /// Raises the hard floor of everything.
    pub fn raise_all(&mut self, version: Version) {
        self.all.raise(Floor::of(Operation::Update, version));
    }

    /// Raises the highest floors of any tag.
    pub fn raise_any_tag(&mut self, floor: Floor) {
        self.any_tag.raise(floor);
    }

    /// Returns how many floors are held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len() + self.tags.len() + self.prefixes.len()
    }

    /// Forgets every floor of keys and tags, for those up to `mark` were not told and some held here may be too low.
    pub fn leave_out(&mut self, mark: Version) {
        self.keys.clear();
        self.tags.clear();
        self.mark = self.mark.max(mark);
    }

    /// Drops the oldest floors of keys and tags when there are more than `most`, until `keep` are left, and raises the
    /// mark to the newest one dropped. What a dropped floor would have refused is asked for, never served.
    pub fn bound(&mut self, most: usize, keep: usize) {
        if self.keys.len() + self.tags.len() > most {
            let mut newest: Vec<Version> = newest_of(&self.keys).chain(newest_of(&self.tags)).collect();
            let last = newest.len() - keep.min(most) - 1;
            let (_, mark, _) = newest.select_nth_unstable(last);
            let mark = *mark;
            keep_newer(&mut self.keys, mark);
            keep_newer(&mut self.tags, mark);
            self.mark = self.mark.max(mark);
        }
        self.bound_prefixes(MAX_PREFIXES);
    }

    /// Drops the older half of the floors of prefixes when there are more than `most`. The floor of everything rises
    /// to the newest one dropped: forgetting costs hits, never truth.
    fn bound_prefixes(&mut self, most: usize) {
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

    /// Drops the floors of keys, tags and prefixes that are not needed: nothing is held that they could refuse, and
    /// what is filled from here on is filled above them. So nothing has to be asked for, and W stays.
    pub fn retain(&mut self, needed: impl Fn(By, &str, &Floor) -> bool) {
        self.keys.retain(|key, floor| needed(By::Key, key.as_str(), floor));
        self.tags.retain(|tag, floor| needed(By::Tag, tag.as_str(), floor));
        self.prefixes.retain(|prefix, floor| needed(By::Prefix, prefix.as_str(), floor));
        self.prefix_lengths = self.prefixes.keys().map(|prefix| prefix.as_str().len()).collect();
    }

    /// Returns W: a floor of a key or a tag raised up to here may be missing. 0 while none was dropped.
    #[must_use]
    pub fn mark(&self) -> Version {
        self.mark
    }

    /// Says whether the key's own floor is the one here: its generation and its removal can be told.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.mark == Version::ZERO || self.keys.contains_key(key)
    }

    /// Returns the key's generation: its own hard floor, or 0. It names the KV entry to ask for.
    #[must_use]
    pub fn generation(&self, key: &Key) -> Version {
        self.keys.get(key).map_or(Version::ZERO, |floor| floor.hard)
    }

    /// Returns the version at which the key was removed, while that is the last that was said of it.
    ///
    /// A removal is a not-found entry filled at its version: any later floor over it ends it.
    #[must_use]
    pub fn removed(&self, key: &Key) -> Option<Version> {
        let removed = self.keys.get(key).map(|floor| floor.removed).filter(|at| *at > Version::ZERO)?;
        (self.judge(key, removed, Carries::EveryTag) == Judgement::Clear).then_some(removed)
    }

    /// Says whether the key was removed after `fill`, whatever was said of it since. What was there before a
    /// removal is not shown even while the origin is down. Where that is not remembered, it may have been.
    #[must_use]
    pub fn was_removed_after(&self, key: &Key, fill: Version) -> bool {
        let forgotten = self.all.removed > fill || (fill < self.mark && !self.keys.contains_key(key));
        forgotten || self.keys.get(key).is_some_and(|floor| floor.removed > fill)
    }

    /// Judges an entry of `key` that was filled at `fill`.
    #[must_use]
    pub fn judge(&self, key: &Key, fill: Version, carries: Carries<'_>) -> Judgement {
        let (mut soft, mut unknown) = (false, false);
        for (by, _, floor) in self.over(key, carries) {
            match floor {
                Some(floor) if fill < floor.hard => return Judgement::Below(by),
                Some(floor) => soft |= fill < floor.soft,
                None => unknown |= fill < self.mark,
            }
        }
        match (unknown, soft) {
            (true, _) => Judgement::Unknown,
            (false, true) => Judgement::Soft,
            (false, false) => Judgement::Clear,
        }
    }

    /// Returns what [`Self::judge`] goes by, for people.
    #[must_use]
    pub fn consulted(&self, key: &Key, carries: Carries<'_>) -> Vec<Consulted> {
        let over = self.over(key, carries);
        over.map(|(by, name, floor)| Consulted { by, name: name.to_owned(), floor }).collect()
    }

    /// Returns every floor over an entry, with whose it is; nothing where none is held.
    fn over<'a>(
        &'a self,
        key: &'a Key,
        carries: Carries<'a>,
    ) -> impl Iterator<Item = (By, &'a str, Option<Floor>)> + 'a {
        let (named, every) = match carries {
            Carries::Tags(tags) => (tags, None),
            Carries::EveryTag => (&[] as &[Tag], Some((By::Tag, "", Some(self.any_tag)))),
        };
        let own = (By::Key, key.as_str(), self.keys.get(key).copied());
        let tags = named.iter().map(|tag| (By::Tag, tag.as_str(), self.tags.get(tag).copied()));
        [own].into_iter().chain(tags).chain(every).chain(self.prefixes_of(key)).chain([(
            By::All,
            "",
            Some(self.all),
        )])
    }

    fn prefixes_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (By, &'a str, Option<Floor>)> + 'a {
        self.prefix_lengths.iter().filter_map(|length| {
            let prefix = key.as_str().get(..*length)?;
            self.prefixes.get(prefix).map(|floor| (By::Prefix, prefix, Some(*floor)))
        })
    }
}

/// Returns the newest version that touched each.
fn newest_of<K>(floors: &BTreeMap<K, Floor>) -> impl Iterator<Item = Version> {
    floors.values().map(Floor::newest)
}

fn keep_newer<K: Ord>(floors: &mut BTreeMap<K, Floor>, mark: Version) {
    floors.retain(|_, floor| floor.newest() > mark);
}

#[cfg(test)]
mod tests;
