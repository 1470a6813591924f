//! The fold: what is left of versions that are no longer kept one by one. One change per target and kind.
//!
//! Of each target there stays the newest hard change, the newest soft one if it is newer, the newest removal,
//! and the union of its tags. So whoever hears the fold has the floors that the versions would have given.
//! Knows nothing of storage: [`Fold::of`] says what to write and which older changes a wide one covers.

use std::collections::BTreeMap;

use crate::wire::change::{Change, MAX_TAGS, Operation, Target};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::name::Tag;
use crate::wire::position::Version;

/// The most tags that a folded change carries: of more, those named last. So a key whose tags change for years
/// does not grow with them.
pub const MAX_FOLDED_TAGS: usize = MAX_TAGS;

/// What folding some versions into what was folded before leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// What is left of every target that the versions name; takes the place of what was left of it before.
    pub left: BTreeMap<Target, Vec<FoldedChange>>,
    /// What no longer counts for other targets; a prefix before those that it begins.
    pub covers: Vec<Cover>,
}

/// A wide change: what it covers at or below its version need not be told any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Everything, or a prefix of keys. A prefix covers no tags.
    pub target: Target,
    /// When.
    pub version: Version,
    /// Whether it is soft; then it covers only soft changes.
    pub soft: bool,
}

impl Fold {
    /// Folds `versions`, in order, into what `before` says is left of the targets that they name.
    #[must_use]
    pub fn of(before: Vec<FoldedChange>, versions: &[VersionRow]) -> Self {
        let mut targets: BTreeMap<Target, Left> = BTreeMap::new();
        for FoldedChange { version, change } in before {
            targets.entry(change.target.clone()).or_default().absorb(version, &change);
        }
        let mut covers = Covers::default();
        for row in versions {
            for change in &row.changes {
                targets.entry(change.target.clone()).or_default().absorb(row.version, change);
                covers.add(row.version, change);
            }
        }
        for (target, left) in &mut targets {
            covers.others_over(target).for_each(|cover| left.forget(cover));
        }
        let covers = covers.by_prefix.into_values().flatten().collect();
        let left = targets.into_iter().map(|(target, left)| {
            let changes = left.changes(&target);
            (target, changes)
        });
        Self { left: left.collect(), covers }
    }
}

/// The wide changes of some versions: of each target the newest of each kind.
#[derive(Debug, Default)]
struct Covers {
    /// By the prefix they name; everything is the empty one. So a prefix comes before those that are longer.
    by_prefix: BTreeMap<String, Vec<Cover>>,
}

impl Covers {
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
            None => of_prefix.push(Cover { target: change.target.clone(), version, soft }),
        }
    }

    /// Returns those that reach a target, but for its own: looked up by every prefix that its name has.
    fn others_over(&self, target: &Target) -> impl Iterator<Item = &Cover> {
        let name = match target {
            Target::Key(key) => key.as_str(),
            Target::Prefix(prefix) => prefix.as_str(),
            Target::Tag(_) | Target::All => "",
        };
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        let over = ends.filter_map(|end| self.by_prefix.get(name.get(..end)?)).flatten();
        over.filter(move |cover| cover.target != *target)
    }
}

impl Cover {
    /// Says whether changes of the target are covered, if they are old enough and of the right kind: for whoever looks
    /// through what it stores, and cannot look up ranges.
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

/// What is left of one target.
#[derive(Debug, Clone, Default)]
struct Left {
    hard: Option<Version>,
    soft: Option<Version>,
    removed: Option<Version>,
    /// In the order they were named last.
    tags: Vec<Tag>,
}

impl Left {
    fn absorb(&mut self, version: Version, change: &Change) {
        let newest = |known: &mut Option<Version>| *known = (*known).max(Some(version));
        match change.operation {
            Operation::Update => newest(&mut self.hard),
            Operation::Soften => newest(&mut self.soft),
            Operation::Remove => newest(&mut self.removed),
        }
        // A soft floor below a hard one says nothing.
        self.soft = self.soft.filter(|soft| Some(*soft) > self.hard.max(self.removed));
        self.tags.retain(|tag| !change.tags.contains(tag));
        self.tags.extend(change.tags.iter().cloned());
        let over = self.tags.len().saturating_sub(MAX_FOLDED_TAGS);
        self.tags.drain(..over);
    }

    /// Forgets what a wide change covers. A removal is never covered: what was there before it may not even be
    /// shown while the origin is down, whatever came after.
    fn forget(&mut self, cover: &Cover) {
        let later = |version: &Version| *version > cover.version;
        self.soft = self.soft.filter(later);
        if !cover.soft {
            self.hard = self.hard.filter(later);
        }
    }

    fn changes(&self, target: &Target) -> Vec<FoldedChange> {
        let kinds = [
            (self.hard, Operation::Update, self.tags.as_slice()),
            (self.soft, Operation::Soften, self.tags.as_slice()),
            (self.removed, Operation::Remove, &[]),
        ];
        let change =
            |operation, tags: &[Tag]| Change { target: target.clone(), operation, tags: tags.to_vec() };
        let left = kinds.into_iter().filter_map(|(version, operation, tags)| {
            version.map(|version| FoldedChange { version, change: change(operation, tags) })
        });
        left.collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
