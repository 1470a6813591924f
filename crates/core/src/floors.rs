//! Floors: for each target the lowest version a cached entry may have. They only ever rise.
//!
//! Knows nothing of how they were learned; see [`crate::sync`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::change::{Change, Operation, Target};
use crate::wire::name::{Key, Prefix, Tag};
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RowFields", into = "RowFields")]
pub struct FloorRow {
    /// Whose.
    pub target: Target,
    /// What.
    pub floor: Floor,
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
    type Error = String;

    fn try_from((kind, name, hard, soft, removed): RowFields) -> Result<Self, String> {
        let named = |error: crate::wire::name::NameError| error.to_string();
        let target = match kind {
            0 => Target::Key(Key::new(name).map_err(named)?),
            1 => Target::Tag(Tag::new(name).map_err(named)?),
            2 => Target::Prefix(Prefix::new(name).map_err(named)?),
            3 => Target::All,
            other => return Err(format!("no kind of target {other}")),
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

/// The floors of a catalog, as far as one reader was told.
#[derive(Debug, Clone, Default)]
pub struct Floors {
    keys: BTreeMap<Key, Floor>,
    tags: BTreeMap<Tag, Floor>,
    prefixes: BTreeMap<Prefix, Floor>,
    /// The lengths of the prefixes, so that a key is cut only where a prefix may end.
    prefix_lengths: BTreeSet<usize>,
    /// Its `removed` stands for every removal that was dropped.
    all: Floor,
    /// The highest floors of any tag.
    any_tag: Floor,
}

impl Floors {
    /// Raises one target's floor.
    pub fn raise(&mut self, row: FloorRow) {
        match row.target {
            Target::Key(key) => self.keys.entry(key).or_default().raise(row.floor),
            Target::Tag(tag) => {
                self.tags.entry(tag).or_default().raise(row.floor);
                self.any_tag.raise(row.floor);
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

    /// Returns how many floors are held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len() + self.tags.len() + self.prefixes.len()
    }

    /// Drops the oldest floors until at most `most` are left.
    ///
    /// The floor of everything rises to the newest one dropped, so what a dropped floor would have refused is
    /// still refused: forgetting costs hits, never truth.
    pub fn bound(&mut self, most: usize) {
        if self.count() <= most {
            return;
        }
        let mut newest: Vec<Version> = self.keys.values().map(Floor::newest).collect();
        newest.extend(self.tags.values().map(Floor::newest));
        newest.extend(self.prefixes.values().map(Floor::newest));
        // Half of the room is freed at once, so the sort is paid once per `most / 2` floors.
        let (_, mark, _) = newest.select_nth_unstable(self.count() - most / 2 - 1);
        let mark = *mark;
        let dropped = self.keys.values().filter(|floor| floor.newest() <= mark);
        self.all.removed = dropped.map(|floor| floor.removed).fold(self.all.removed, Version::max);
        self.keys.retain(|_, floor| floor.newest() > mark);
        self.tags.retain(|_, floor| floor.newest() > mark);
        self.prefixes.retain(|_, floor| floor.newest() > mark);
        self.prefix_lengths = self.prefixes.keys().map(|prefix| prefix.as_str().len()).collect();
        self.raise_all(mark);
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
    /// removal is not shown even while the origin is down. Of removals that were dropped only the newest is
    /// known, and it counts for every key.
    #[must_use]
    pub fn was_removed_after(&self, key: &Key, fill: Version) -> bool {
        self.all.removed > fill || self.keys.get(key).is_some_and(|floor| floor.removed > fill)
    }

    /// Judges an entry of `key` that was filled at `fill`.
    #[must_use]
    pub fn judge(&self, key: &Key, fill: Version, carries: Carries<'_>) -> Judgement {
        let mut soft = false;
        for (by, floor) in self.over(key, carries) {
            if fill < floor.hard {
                return Judgement::Below(by);
            }
            soft |= fill < floor.soft;
        }
        if soft { Judgement::Soft } else { Judgement::Clear }
    }

    /// Returns every floor over an entry.
    fn over<'a>(&'a self, key: &'a Key, carries: Carries<'a>) -> impl Iterator<Item = (By, Floor)> + 'a {
        let own = self.keys.get(key).map(|floor| (By::Key, *floor));
        let (named, every) = match carries {
            Carries::Tags(tags) => (tags, None),
            Carries::EveryTag => (&[] as &[Tag], Some((By::Tag, self.any_tag))),
        };
        let tags = named.iter().filter_map(|tag| self.tags.get(tag)).map(|floor| (By::Tag, *floor));
        own.into_iter()
            .chain(tags)
            .chain(every)
            .chain(self.prefixes_of(key).map(|floor| (By::Prefix, floor)))
            .chain([(By::All, self.all)])
    }

    fn prefixes_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = Floor> + 'a {
        self.prefix_lengths.iter().filter_map(|length| {
            let prefix = Prefix::new(key.as_str().get(..*length)?).ok()?;
            self.prefixes.get(&prefix).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn v(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    /// Floors made by JSON changes, the first at version 1.
    fn floors(changes: &[&str]) -> Floors {
        let mut floors = Floors::default();
        for (index, json) in changes.iter().enumerate() {
            let change: Change = serde_json::from_str(json).unwrap();
            for row in raised_by([(v(index as u64 + 1), &change)]) {
                floors.raise(row);
            }
        }
        floors
    }

    fn judge(floors: &Floors, fill: u64, tags: &[&str]) -> Judgement {
        let tags: Vec<Tag> = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
        floors.judge(&key("title:1"), v(fill), Carries::Tags(&tags))
    }

    #[test]
    fn s2_an_entry_below_the_hard_floor_of_key_tag_prefix_or_everything_is_refused() {
        for (change, by) in [
            (r#"{"key":"title:1"}"#, By::Key),
            (r#"{"tag":"netflix"}"#, By::Tag),
            (r#"{"prefix":"tit"}"#, By::Prefix),
            (r#"{"all":true}"#, By::All),
        ] {
            let floors = floors(&[r#"{"key":"other:1"}"#, change]);
            assert_eq!(judge(&floors, 1, &["netflix"]), Judgement::Below(by));
            assert_eq!(judge(&floors, 2, &["netflix"]), Judgement::Clear, "filled at the floor");
        }
    }

    #[test]
    fn what_does_not_cover_the_entry_does_not_refuse_it() {
        let floors = floors(&[r#"{"key":"title:2"}"#, r#"{"tag":"hulu"}"#, r#"{"prefix":"title:12"}"#]);
        assert_eq!(judge(&floors, 0, &["netflix"]), Judgement::Clear);
    }

    #[test]
    fn a_soft_floor_marks_and_does_not_lower_a_hard_one() {
        let floors = floors(&[r#"{"key":"title:1"}"#, r#"{"key":"title:1","soft":true}"#]);
        assert_eq!(judge(&floors, 0, &[]), Judgement::Below(By::Key));
        assert_eq!(judge(&floors, 1, &[]), Judgement::Soft);
        assert_eq!(judge(&floors, 2, &[]), Judgement::Clear);
    }

    #[test]
    fn not_found_counts_as_carrying_every_tag() {
        let floors = floors(&[r#"{"tag":"hulu"}"#]);
        assert_eq!(floors.judge(&key("title:1"), v(0), Carries::EveryTag), Judgement::Below(By::Tag));
        assert_eq!(floors.judge(&key("title:1"), v(1), Carries::EveryTag), Judgement::Clear);
    }

    #[test]
    fn a_removal_holds_until_anything_later_is_said() {
        let remove = r#"{"key":"title:1","op":"remove"}"#;
        assert_eq!(floors(&[remove]).removed(&key("title:1")), Some(v(1)));
        assert_eq!(floors(&[r#"{"all":true}"#, remove]).removed(&key("title:1")), Some(v(2)));
        for later in [
            r#"{"key":"title:1"}"#,
            r#"{"tag":"any"}"#,
            r#"{"prefix":"t"}"#,
            r#"{"all":true}"#,
            r#"{"key":"title:1","soft":true}"#,
        ] {
            assert_eq!(floors(&[remove, later]).removed(&key("title:1")), None, "{later}");
        }
        assert_eq!(floors(&[r#"{"key":"title:1"}"#]).removed(&key("title:1")), None);
    }

    #[test]
    fn the_generation_is_the_keys_own_hard_floor() {
        let floors = floors(&[r#"{"key":"title:1"}"#, r#"{"all":true}"#, r#"{"key":"title:1","soft":true}"#]);
        assert_eq!(floors.generation(&key("title:1")), v(1));
        assert_eq!(floors.generation(&key("title:2")), v(0));
    }

    #[test]
    fn a_bounded_set_of_floors_forgets_hits_and_no_truth() {
        let changes: Vec<String> = (1..=100).map(|n| format!(r#"{{"key":"title:{n}"}}"#)).collect();
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let whole = floors(&changes);
        let mut bounded = whole.clone();
        bounded.bound(50);
        assert!(bounded.count() <= 50 && bounded.count() >= 20, "{}", bounded.count());
        for n in 1..=100 {
            for fill in 0..=100 {
                let name = key(&format!("title:{n}"));
                if whole.judge(&name, v(fill), Carries::EveryTag) != Judgement::Clear {
                    assert_ne!(bounded.judge(&name, v(fill), Carries::EveryTag), Judgement::Clear);
                }
            }
        }
    }

    #[test]
    fn s2_a_bounded_set_of_floors_remembers_that_there_were_removals() {
        let mut changes = vec![r#"{"key":"title:1","op":"remove"}"#.to_owned()];
        changes.extend((2..=100).map(|n| format!(r#"{{"key":"title:{n}"}}"#)));
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let mut floors = floors(&changes);
        assert!(!floors.was_removed_after(&key("title:2"), v(0)));
        floors.bound(10);
        assert!(floors.was_removed_after(&key("title:1"), v(0)), "what was there before is not shown");
        assert!(!floors.was_removed_after(&key("title:1"), v(1)));
        assert_eq!(floors.removed(&key("title:1")), None, "whether it still holds is for the origin to say");
    }

    #[test]
    fn rows_survive_their_json() {
        let changes = [
            r#"{"key":"title:1","op":"remove"}"#,
            r#"{"tag":"x"}"#,
            r#"{"prefix":"p"}"#,
            r#"{"all":true,"soft":true}"#,
        ];
        for (index, json) in changes.iter().enumerate() {
            let change: Change = serde_json::from_str(json).unwrap();
            let row = raised_by([(v(index as u64 + 1), &change)]).remove(0);
            let text = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<FloorRow>(&text).unwrap(), row, "{text}");
        }
        assert!(serde_json::from_str::<FloorRow>(r#"[9,"x",1,1,1]"#).is_err());
    }
}
