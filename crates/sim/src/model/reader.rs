//! What a reader may answer: S1, S2 and E1.

use newsreel_core::wire::{Key, Position, Tag, Target, Version};

use super::branch::{Branch, any_in};
use super::{Kept, Model, broken};

/// What an answer was made of.
pub(crate) struct Served<'a> {
    pub(crate) key: &'a Key,
    pub(crate) number: usize,
    pub(crate) fill: Position,
    pub(crate) found: bool,
    pub(crate) tags: &'a [Tag],
    /// Which value of the key it is.
    pub(crate) index: u64,
    /// What the reader had heard.
    pub(crate) known: Position,
}

impl Model {
    /// S1, S2 and E1 of an answer that is marked fresh or revalidating.
    pub(crate) fn check_served(&self, served: &Served<'_>, fresh: bool, now: u64, until: u64) -> Kept {
        let Served { key, fill, known, .. } = served;
        if fill.epoch != known.epoch {
            return broken("E1", format!("{key}: an entry of {fill} was served at {known}"));
        }
        self.check_epoch(known, now, until)?;
        let Some(branch) = self.branch(known) else {
            return broken("D2", format!("a reader has heard {known}, which is on no log"));
        };
        if self.branches[&known.epoch].iter().any(|branch| branch.restored) {
            // What was acknowledged is gone until the new epoch that follows.
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

    /// E1 and S1: nobody is current by an epoch that ended longer ago than the bound.
    fn check_epoch(&self, known: &Position, now: u64, until: u64) -> Kept {
        if known.epoch != self.current && self.epoch_since <= until && self.overlap <= until {
            let what = format!("{known} passed for current at {now} ms; {} began", self.current);
            return broken("S1", format!("{what} at {} ms", self.epoch_since));
        }
        Ok(())
    }

    /// Returns what refuses an entry that was filled, by all that its reader has heard.
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

    /// S2: what was removed does not stand in for a dead origin either.
    pub(crate) fn check_marked(&self, served: &Served<'_>) -> Kept {
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

    /// S2 of an answer that the log itself gives: it was removed, and nothing was said of it since.
    pub(crate) fn check_removed(&self, key: &Key, at: Version, known: &Position) -> Kept {
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

    /// S1 of the same answer, if it is marked fresh: no later value was acknowledged.
    pub(crate) fn check_removed_fresh(
        &self,
        key: usize,
        index: u64,
        known: &Position,
        now: u64,
        until: u64,
    ) -> Kept {
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
