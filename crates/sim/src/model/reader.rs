//! The checks of answers: S1, S2 and E1.

use newsreel_core::wire::{Key, Position, Tag, Target, Version};

use super::branch::{Branch, any_in};
use super::{Check, Model, broken};

/// An answer as the model checks it.
pub(crate) struct Served<'a> {
    pub(crate) key: &'a Key,
    pub(crate) number: usize,
    pub(crate) fill: Position,
    pub(crate) found: bool,
    pub(crate) tags: &'a [Tag],
    /// The number of the value, counted by key.
    pub(crate) index: u64,
    /// The position that the reader had reached.
    pub(crate) known: Position,
}

impl Model {
    /// S1, S2 and E1 of an answer that is marked fresh or revalidating.
    pub(crate) fn check_served(&self, served: &Served<'_>, fresh: bool, now: u64, until: u64) -> Check {
        let Served { key, fill, known, .. } = served;
        if fill.epoch != known.epoch {
            return broken("E1", format!("{key}: an entry of {fill} was served at {known}"));
        }
        self.check_epoch(known, now, until)?;
        let Some(branch) = self.branch(known) else {
            return broken("D2", format!("a reader has heard {known}, which is on no log"));
        };
        if self.branches[&known.epoch].iter().any(|branch| branch.restored) {
            // The restore undid acknowledged publishes, until the new epoch that follows.
            return Ok(());
        }
        if let Some(target) = self.refused(branch, served) {
            return broken("S2", format!("{key} filled at {fill} was served at {known}, below {target:?}"));
        }
        let required = self.required(served.number, until, !fresh);
        if served.index < required {
            let what = format!(
                "{key}: value {} of {fill} was served at {known} ({now} ms), and value {required} was acknowledged \
                 by {until} ms",
                served.index
            );
            return broken("S1", what);
        }
        Ok(())
    }

    /// E1 and S1: an epoch that ended longer ago than the bound makes no answer current.
    fn check_epoch(&self, known: &Position, now: u64, until: u64) -> Check {
        if known.epoch != self.current && self.epoch_since <= until && self.overlap <= until {
            let what = format!("{known} passed for current at {now} ms; {} began", self.current);
            return broken("S1", format!("{what} at {} ms", self.epoch_since));
        }
        Ok(())
    }

    /// Returns the target whose change refuses an entry, by everything that its reader has heard.
    fn refused(&self, branch: &Branch, served: &Served<'_>) -> Option<Target> {
        let (after, to) = (served.fill.version.number(), served.known.version.number());
        let refuses =
            |target: &Target| branch.said(target).is_some_and(|named| any_in(&named.hard, after, to));
        let own = Target::Key(served.key.clone());
        if refuses(&own) {
            return Some(own);
        }
        if refuses(&Target::All) {
            return Some(Target::All);
        }
        let over = |target: &&Target| match target {
            Target::Prefix(prefix) => prefix.covers(served.key),
            Target::Tag(tag) => !served.found || served.tags.contains(tag),
            Target::Key(_) | Target::All => false,
        };
        self.prefixes.iter().chain(&self.tags).filter(over).find(|target| refuses(target)).cloned()
    }

    /// S2: a removed value does not stand in for a dead origin either.
    pub(crate) fn check_marked(&self, served: &Served<'_>) -> Check {
        let Served { key, fill, known, found, .. } = served;
        if fill.epoch != known.epoch {
            return broken("E1", format!("{key}: an entry of {fill} was served at {known}"));
        }
        let Some(branch) = self.branch(known) else { return Ok(()) };
        let removed = branch
            .said(&Target::Key((*key).clone()))
            .is_some_and(|named| any_in(&named.removed, fill.version.number(), known.version.number()));
        if *found && removed {
            return broken("S2", format!("{key} filled at {fill} was served at {known}, and it was removed"));
        }
        Ok(())
    }

    /// S2 of the answer "removed": the log removed the key, and no later change covers it.
    pub(crate) fn check_removed(&self, key: &Key, at: Version, known: &Position) -> Check {
        let Some(branch) = self.branch(known) else { return Ok(()) };
        let own = branch.said(&Target::Key(key.clone()));
        if !own.is_some_and(|named| named.removed.contains(&at.number())) {
            return broken("S2", format!("{key} was said to be removed at {at}, and was not"));
        }
        let (after, to) = (at.number(), known.version.number());
        let later = |target: &Target| {
            branch
                .said(target)
                .is_some_and(|named| any_in(&named.hard, after, to) || any_in(&named.soft, after, to))
        };
        let covers = |target: &&Target| match target {
            Target::Prefix(prefix) => prefix.covers(key),
            Target::Tag(_) | Target::Key(_) | Target::All => true,
        };
        let own = [Target::Key(key.clone()), Target::All];
        if self.prefixes.iter().chain(&self.tags).chain(&own).filter(covers).any(later) {
            return broken(
                "S2",
                format!("{key} was said to be removed at {at}, and {known} says more of it"),
            );
        }
        Ok(())
    }

    /// S1 of the answer "removed", if it is marked as fresh: no later value was acknowledged.
    pub(crate) fn check_removed_fresh(
        &self,
        key: usize,
        index: u64,
        known: &Position,
        now: u64,
        until: u64,
    ) -> Check {
        self.check_epoch(known, now, until)?;
        if self.branches[&known.epoch].iter().any(|branch| branch.restored) {
            return Ok(());
        }
        let required = self.required(key, until, false);
        if index < required {
            return broken(
                "S1",
                format!("key {key} was said to be removed by {index}; {required} was acknowledged"),
            );
        }
        Ok(())
    }
}
