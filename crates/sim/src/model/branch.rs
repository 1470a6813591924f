//! One log of the model: every version of it, with its hash and the moment it was made.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::wire::{Epoch, Hash, Operation, Position, Target, VersionRow};

/// One log, or the log that a restore made of it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) epoch: Epoch,
    /// The hashes, indexed by version from 0.
    pub(super) hashes: Vec<Hash>,
    /// The rows, indexed by version from 1, with the true time at which each was made.
    pub(super) rows: Vec<(Rc<VersionRow>, u64)>,
    /// The versions of hard changes, soft changes and removals, by target.
    pub(super) named: BTreeMap<Target, TargetHistory>,
    /// The last version whose position was forgotten.
    pub(super) forgotten: u64,
    /// A restore made this log from an older state, so acknowledged publishes may be missing.
    pub(super) restored: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TargetHistory {
    pub(super) hard: Vec<u64>,
    pub(super) soft: Vec<u64>,
    pub(super) removed: Vec<u64>,
}

impl Branch {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            hashes: vec![Hash::genesis(&epoch)],
            rows: Vec::new(),
            named: BTreeMap::new(),
            forgotten: 0,
            restored: false,
        }
    }

    pub(super) fn has(&self, at: &Position) -> bool {
        let number = usize::try_from(at.version.number()).unwrap_or(usize::MAX);
        self.epoch == at.epoch && self.hashes.get(number) == Some(&at.hash)
    }

    pub(super) fn head(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(super) fn push(&mut self, row: VersionRow, hash: Hash, now: u64) {
        for change in &row.changes {
            let named = self.named.entry(change.target.clone()).or_default();
            match change.operation {
                Operation::Update => named.hard.push(row.version.number()),
                Operation::Soften => named.soft.push(row.version.number()),
                Operation::Remove => {
                    named.hard.push(row.version.number());
                    named.removed.push(row.version.number());
                }
            }
        }
        self.hashes.push(hash);
        self.rows.push((Rc::new(row), now));
    }

    /// Returns the log as it was at a version.
    pub(super) fn cut(&self, version: u64) -> Self {
        let mut older = Self::new(self.epoch);
        for (row, made) in self.rows.iter().take(usize::try_from(version).unwrap_or(usize::MAX)) {
            let number = usize::try_from(row.version.number()).unwrap_or(0);
            older.push(VersionRow::clone(row), self.hashes[number], *made);
        }
        older.restored = true;
        older
    }

    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Rc<VersionRow>> {
        let index = |number: u64| usize::try_from(number).unwrap_or(0).min(self.rows.len());
        self.rows[index(from)..index(to)].iter().map(|(row, _)| row)
    }

    /// Returns the versions that changed a target.
    pub(super) fn said(&self, target: &Target) -> Option<&TargetHistory> {
        self.named.get(target)
    }
}

pub(super) fn any_in(versions: &[u64], after: u64, to: u64) -> bool {
    let first = versions.partition_point(|version| *version <= after);
    versions.get(first).is_some_and(|version| *version <= to)
}
