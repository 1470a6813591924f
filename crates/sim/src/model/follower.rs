//! The checks of what followers are given: G1 to G7, D2 and E1.

use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::frame::FoldedChange;
use newsreel_core::wire::{Change, Operation, Position, Target, VersionRow};

use super::branch::Branch;
use super::{Check, Model, Violation, broken};

impl Model {
    /// Checks G1 to G6 and D2 of the versions that took a follower from `held` (none: the beginning) to `to`.
    pub(crate) fn check_applied(
        &self,
        held: Option<Position>,
        to: Position,
        versions: &[VersionRow],
        topics: &Topics,
    ) -> Check {
        let branch = self.on_one_log(held, to)?;
        let from = held.map_or(0, |held| held.version.number());
        let numbers: Vec<u64> = versions.iter().map(|row| row.version.number()).collect();
        if numbers.iter().any(|number| *number <= from) {
            return broken("G2", format!("who holds {from} was given {numbers:?}"));
        }
        if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
            return broken("G1", format!("given in the order {numbers:?}"));
        }
        let mut given = versions.iter();
        for row in branch.between(from, to.version.number()) {
            let passing: Vec<&Change> = row.changes.iter().filter(|change| topics.pass(change)).collect();
            if passing.is_empty() {
                continue;
            }
            match given.next() {
                Some(got) if got.version == row.version => {
                    if !got.changes.iter().eq(passing.iter().copied()) || got.at != row.at {
                        return broken("G4", format!("version {} came as {:?}", row.version, got.changes));
                    }
                }
                Some(_) | None => {
                    return broken("G3", format!("version {} never came to who got to {to}", row.version));
                }
            }
        }
        match given.next() {
            Some(more) => broken("G3", format!("version {} is not on the way to {to}", more.version)),
            None => Ok(()),
        }
    }

    /// Returns the log on which both are, `held` no later than `to`.
    fn on_one_log(&self, held: Option<Position>, to: Position) -> Result<&Branch, Violation> {
        let Some(branch) = self.branch(&to) else {
            let shown = self.undurable.contains(&to);
            let (guarantee, why) = if shown { ("D2", "not durable") } else { ("G7", "on no log") };
            return broken(guarantee, format!("a follower got to {to}, which is {why}"));
        };
        let Some(held) = held else { return Ok(branch) };
        let all = &self.branches[&to.epoch];
        let both = all.iter().find(|branch| branch.has(&held) && branch.has(&to));
        match both {
            Some(branch) if held.version <= to.version => Ok(branch),
            Some(_) => broken("G1", format!("from {held} back to {to}")),
            None => broken("G7", format!("from {held} to {to}, which is on another log")),
        }
    }

    /// Checks G3 of a fold: a follower that held `held` and was given these changes misses nothing up to
    /// `to`.
    pub(crate) fn check_folded(
        &self,
        held: Option<Position>,
        to: Position,
        given: &[FoldedChange],
        topics: &Topics,
    ) -> Check {
        let branch = self.on_one_log(held, to)?;
        let from = held.map_or(branch.forgotten, |held| held.version.number());
        for folded in given {
            let row =
                branch.between(folded.version.number().saturating_sub(1), folded.version.number()).next();
            let said = row.is_some_and(|row| row.changes.iter().any(|change| same(change, &folded.change)));
            if !said {
                return broken("G3", format!("the fold to {to} tells {folded:?}, which never was"));
            }
        }
        for row in branch.between(from, to.version.number()) {
            for change in row.changes.iter().filter(|change| topics.pass(change)) {
                if !given
                    .iter()
                    .any(|folded| folded.version >= row.version && stands_for(&folded.change, change))
                {
                    return broken("G3", format!("the fold to {to} has lost {change:?} of {}", row.version));
                }
            }
        }
        Ok(())
    }

    /// G7: only a follower that is not on the log is reset.
    pub(crate) fn check_reset(&self, held: Option<Position>, to: Position) -> Check {
        let Some(branch) = self.branch(&to) else {
            return broken("G7", format!("a reset to {to}, which is on no log"));
        };
        match held {
            Some(held) if held.epoch > to.epoch => broken("E1", format!("a reset from {held} to {to}")),
            Some(held) if branch.has(&held) && held.version.number() > branch.forgotten => {
                broken("G5", format!("{held} is on the log of {to}, and was reset"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn same(change: &Change, folded: &Change) -> bool {
    change.target == folded.target && change.operation == folded.operation
}

/// Says whether a later change says all that an earlier one did.
fn stands_for(later: &Change, earlier: &Change) -> bool {
    let covers = later.target == earlier.target
        || match (&later.target, &earlier.target) {
            (Target::All, _) => true,
            (Target::Prefix(prefix), Target::Key(key)) => prefix.covers(key),
            (Target::Prefix(prefix), Target::Prefix(other)) => other.as_str().starts_with(prefix.as_str()),
            (_, _) => false,
        };
    covers
        && match earlier.operation {
            Operation::Remove => later.operation == Operation::Remove && later.target == earlier.target,
            Operation::Update => later.operation != Operation::Soften,
            Operation::Soften => true,
        }
}
