//! Compaction: reduces old versions to at most one change per target and kind.
//!
//! Each target keeps its newest hard change, its newest soft change if that is newer, its newest removal, and
//! the union of its tags. A follower that applies the fold gets the same floors as from the versions
//! themselves. Knows nothing of storage: [`Compaction::of`] says what to write and which older changes a wide
//! one supersedes.

use std::collections::BTreeMap;

use crate::wire::change::{Change, MAX_TAGS, Operation, Target};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::name::Tag;
use crate::wire::position::Version;

/// The most tags of a change in the fold: the tags named last stay, so a key does not grow while its tags
/// change for years.
pub const MAX_FOLDED_TAGS: usize = MAX_TAGS;

/// The result of compacting versions into the fold that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// The changes that survive, for every target that the versions name. The survivors of a target replace
    /// all its older changes.
    pub survivors: BTreeMap<Target, Vec<FoldedChange>>,
    /// The wide changes that supersede changes of other targets, each prefix before longer ones.
    pub superseding: Vec<Superseding>,
}

/// A wide change that supersedes the changes of other targets at or below its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseding {
    /// Everything, or a prefix of keys. A prefix supersedes no tags.
    pub target: Target,
    /// The version of the wide change.
    pub version: Version,
    /// Whether the change is soft: then it supersedes only soft changes.
    pub soft: bool,
}

impl Compaction {
    /// Folds `versions`, in order, into `before`: the surviving changes of the targets that these versions
    /// name.
    #[must_use]
    pub fn of(before: Vec<FoldedChange>, versions: Vec<VersionRow>) -> Self {
        let mut targets: BTreeMap<Target, Survivors> = BTreeMap::new();
        let mut absorb = |version, Change { target, operation, tags }: Change| {
            targets.entry(target).or_default().absorb(version, operation, tags);
        };
        for FoldedChange { version, change } in before {
            absorb(version, change);
        }
        let mut wide = WideChanges::default();
        for row in versions {
            for change in row.changes {
                wide.add(row.version, &change);
                absorb(row.version, change);
            }
        }
        for (target, survivors) in &mut targets {
            wide.others_over(target).for_each(|change| survivors.drop_superseded(change));
        }
        let superseding = wide.by_prefix.into_values().flatten().collect();
        let survivors = targets.into_iter().map(|(target, survivors)| {
            let changes = survivors.changes(&target);
            (target, changes)
        });
        Self { survivors: survivors.collect(), superseding }
    }
}

/// The wide changes of some versions: of each target the newest of each kind.
#[derive(Debug, Default)]
struct WideChanges {
    /// By prefix, of which the empty one stands for everything. The order puts each prefix before longer
    /// ones.
    by_prefix: BTreeMap<String, Vec<Superseding>>,
}

impl WideChanges {
    fn add(&mut self, version: Version, change: &Change) {
        let prefix = match &change.target {
            Target::All => "",
            Target::Prefix(prefix) => prefix.as_str(),
            Target::Key(_) | Target::Tag(_) => return,
        };
        let soft = change.operation == Operation::Soften;
        let of_prefix = self.by_prefix.entry(prefix.to_owned()).or_default();
        match of_prefix.iter_mut().find(|older| older.soft == soft) {
            Some(older) => older.version = version,
            None => of_prefix.push(Superseding { target: change.target.clone(), version, soft }),
        }
    }

    /// Returns the wide changes that reach a target, without its own, looked up by every prefix of its name.
    fn others_over(&self, target: &Target) -> impl Iterator<Item = &Superseding> {
        let name = match target {
            Target::Key(key) => key.as_str(),
            Target::Prefix(prefix) => prefix.as_str(),
            Target::Tag(_) | Target::All => "",
        };
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        let over = ends.filter_map(|end| self.by_prefix.get(name.get(..end)?)).flatten();
        over.filter(move |wide| wide.target != *target)
    }
}

impl Superseding {
    /// Says whether changes of the target are superseded, if they are old enough and of the right kind. A
    /// storage that can look up ranges of keys does not need to ask for each target.
    #[must_use]
    pub fn reaches(&self, target: &Target) -> bool {
        match (&self.target, target) {
            (Target::All, _) => true,
            (Target::Prefix(prefix), Target::Key(key)) => key.as_str().starts_with(prefix.as_str()),
            (Target::Prefix(prefix), Target::Prefix(other)) => other.as_str().starts_with(prefix.as_str()),
            (Target::Prefix(_), Target::Tag(_) | Target::All) | (Target::Key(_) | Target::Tag(_), _) => false,
        }
    }
}

/// The changes of one target that survive.
#[derive(Debug, Clone, Default)]
struct Survivors {
    hard: Option<Version>,
    soft: Option<Version>,
    removed: Option<Version>,
    /// The tags, ordered by when a change named them last.
    tags: Vec<Tag>,
}

impl Survivors {
    fn absorb(&mut self, version: Version, operation: Operation, tags: Vec<Tag>) {
        let newest = |known: &mut Option<Version>| *known = (*known).max(Some(version));
        match operation {
            Operation::Update => newest(&mut self.hard),
            Operation::Soften => newest(&mut self.soft),
            Operation::Remove => newest(&mut self.removed),
        }
        // A soft floor below a hard one says nothing.
        self.soft = self.soft.filter(|soft| Some(*soft) > self.hard.max(self.removed));
        self.tags.retain(|tag| !tags.contains(tag));
        self.tags.extend(tags);
        let over = self.tags.len().saturating_sub(MAX_FOLDED_TAGS);
        self.tags.drain(..over);
    }

    /// Drops the changes that a wide change supersedes.
    ///
    /// A removal is never superseded: a value from before the removal may not even be shown while the origin
    /// is down.
    fn drop_superseded(&mut self, wide: &Superseding) {
        let later = |version: &Version| *version > wide.version;
        self.soft = self.soft.filter(later);
        if !wide.soft {
            self.hard = self.hard.filter(later);
        }
    }

    fn changes(self, target: &Target) -> Vec<FoldedChange> {
        let Self { hard, soft, removed, tags } = self;
        // Few targets have both: the tags of the others go to the one change that is left.
        let of_soft = if hard.is_some() && soft.is_some() { tags.clone() } else { Vec::new() };
        let (of_hard, of_soft) = if hard.is_some() { (tags, of_soft) } else { (Vec::new(), tags) };
        let kinds = [
            (hard, Operation::Update, of_hard),
            (soft, Operation::Soften, of_soft),
            (removed, Operation::Remove, Vec::new()),
        ];
        let left = kinds.into_iter().filter_map(|(version, operation, tags)| {
            let change = Change { target: target.clone(), operation, tags };
            version.map(|version| FoldedChange { version, change })
        });
        left.collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
