//! The fold: what is left of versions that are no longer kept one by one. One change per target and kind.
//!
//! Of each target there stays the newest hard change, the newest soft one if it is newer, the newest removal,
//! and the union of its tags. So whoever hears the fold has the floors that the versions would have given.
//! Knows nothing of storage: [`Fold::of`] says what to write and which older changes a wide one covers.

use std::collections::BTreeMap;

use crate::wire::change::{Change, Operation, Target};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::name::Tag;
use crate::wire::position::Version;

/// The most tags that a folded change carries: of more, those named last. So a key whose tags change for years
/// does not grow with them.
pub const MAX_FOLDED_TAGS: usize = 256;

/// What folding some versions into what was folded before leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// What is left of every target that the versions name; takes the place of what was left of it before.
    pub left: BTreeMap<Target, Vec<FoldedChange>>,
    /// What no longer counts for other targets.
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
        let mut covers = Vec::new();
        for row in versions {
            for change in &row.changes {
                targets.entry(change.target.clone()).or_default().absorb(row.version, change);
                Cover::of(row.version, change).into_iter().for_each(|cover| cover.join(&mut covers));
            }
        }
        for cover in &covers {
            for (target, left) in targets.iter_mut().filter(|(target, _)| cover.reaches(target)) {
                if *target != cover.target {
                    left.forget(cover);
                }
            }
        }
        let left = targets.into_iter().map(|(target, left)| {
            let changes = left.changes(&target);
            (target, changes)
        });
        Self { left: left.collect(), covers }
    }
}

impl Cover {
    fn of(version: Version, change: &Change) -> Option<Self> {
        let wide = matches!(change.target, Target::All | Target::Prefix(_));
        let soft = change.operation == Operation::Soften;
        wide.then(|| Self { target: change.target.clone(), version, soft })
    }

    /// Puts a cover among older ones, in the place of the one that it says more than.
    fn join(self, covers: &mut Vec<Self>) {
        match covers.iter_mut().find(|older| older.target == self.target && older.soft == self.soft) {
            Some(older) => older.version = self.version,
            None => covers.push(self),
        }
    }

    /// Says whether changes of the target are covered, if they are old enough and of the right kind.
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
