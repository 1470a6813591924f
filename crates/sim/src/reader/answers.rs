//! Every answer is checked, by what its reader had heard and by what was acknowledged when.

use newsreel_core::read::cache::{Answer, Freshness, Tier};
use newsreel_core::wire::{Position, Version};

use super::Walk;
use crate::model::{Kept, Served, broken};
use crate::tiers::Entry;
use crate::world::World;

impl World {
    /// Checks the answer to a request.
    pub(super) fn check_answer(&mut self, isolate: u64, walk: &Walk, answer: &Answer) -> Kept {
        let key = &self.origin.keys[walk.key].key;
        if let Answer::Fail(failure) = answer {
            self.tally.failed += 1;
            let late = self.answers_are_checked;
            return if late { broken("alive", format!("{key} in the end: {failure:?}")) } else { Ok(()) };
        }
        let Some(known) = self.isolates[&isolate].known.position() else {
            return broken("S1", "an answer by who has heard nothing");
        };
        match answer {
            Answer::Fail(_) => Ok(()),
            Answer::Removed { at, freshness } => {
                self.check_wish(walk, known, *freshness)?;
                self.check_removed(walk, known, *at, *freshness)
            }
            Answer::Serve { from, freshness, .. } => {
                self.check_wish(walk, known, *freshness)?;
                self.check_served(isolate, walk, known, *from, *freshness)
            }
        }
    }

    /// Whoever wants a version to have been heard gets no marked answer, and none from before it.
    fn check_wish(&self, walk: &Walk, known: Position, freshness: Freshness) -> Kept {
        match walk.at_least {
            Some(wanted) if freshness == Freshness::Stale || !wanted.is_met_by(&known) => {
                broken("S1", format!("{wanted:?} was asked for, and {known} answers, {freshness:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns until when everything that was acknowledged is in a fresh answer.
    fn promised_until(&self, walk: &Walk) -> u64 {
        let bound = self.origin.keys[walk.key].policy.lag_bound.as_millis();
        // A class that always asks promises what was acknowledged when the read began.
        if bound == 0 {
            walk.began
        } else {
            self.now.saturating_sub(u64::try_from(bound).unwrap_or(u64::MAX))
        }
    }

    fn check_removed(&mut self, walk: &Walk, known: Position, at: Version, freshness: Freshness) -> Kept {
        self.tally.removed += 1;
        let marked = freshness == Freshness::Stale;
        // What waited for others too long is not judged once more, but marked.
        if !marked || walk.rounds == 0 {
            self.model.check_removed(&self.origin.keys[walk.key].key, at, &known)?;
        }
        let made = self.origin.made_by(known.epoch, at, walk.key);
        match made.filter(|_| !marked) {
            Some(index) => {
                let until = self.promised_until(walk);
                self.model.check_removed_fresh(walk.key, index, &known, self.now, until)
            }
            None => Ok(()),
        }
    }

    fn check_served(
        &mut self,
        isolate: u64,
        walk: &Walk,
        known: Position,
        from: Tier,
        freshness: Freshness,
    ) -> Kept {
        let (key, until) = (&self.origin.keys[walk.key].key, self.promised_until(walk));
        let held = walk.held.iter().rev().find(|(tier, _)| *tier == from);
        let Some((_, entry)) = held else {
            return broken("S2", format!("{key} was served from {from:?}, which gave nothing"));
        };
        let Entry { envelope, index } = entry;
        let (fill, found, tags) = (envelope.position, envelope.found, envelope.tags.as_slice());
        let served = Served { key, number: walk.key, fill, found, tags, index: *index, known };
        let newest = self.origin.values[walk.key].index;
        if self.answers_are_checked && (*index != newest || freshness == Freshness::Stale) {
            return broken("alive", format!("{key} in the end: value {index} of {newest}, {freshness:?}"));
        }
        self.tally.hits[from as usize] += 1;
        let now = self.now;
        let local = self.isolates.get_mut(&isolate).expect("whose walk it is").clock.read(now);
        // A fill is the newest there is, and what waited was judged before.
        if from != Tier::Origin && walk.rounds == 0 {
            let until =
                if freshness == Freshness::Fresh { envelope.expires_at } else { envelope.stale_until };
            if local >= until {
                return broken(
                    "S1",
                    format!("{key} was served after its time, {freshness:?}, from {from:?}"),
                );
            }
        }
        self.model.check_marked(&served)?;
        match freshness {
            Freshness::Fresh => self.model.check_served(&served, true, now, until),
            Freshness::Revalidating => self.model.check_served(&served, false, now, until),
            Freshness::Stale => {
                self.tally.stale += 1;
                Ok(())
            }
        }
    }
}
