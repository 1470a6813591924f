//! The checks of every answer, by the position its reader knew and the times of the acknowledgements.

use newsreel_core::read::cache::{Answer, Freshness, Tier};
use newsreel_core::wire::{Position, Version};

use super::Answered;
use crate::model::{Check, Served, broken};
use crate::tiers::Entry;
use crate::world::World;

impl World {
    /// Checks the answer to a request.
    pub(super) fn check_answer(&mut self, isolate: u64, answered: &Answered<'_>) -> Check {
        let answer = answered.answer;
        let key = &self.origin.keys[answered.want.key].key;
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
                self.check_wish(answered, known, *freshness)?;
                self.check_removed(answered, known, *at, *freshness)
            }
            Answer::Serve { from, freshness, .. } => {
                self.check_wish(answered, known, *freshness)?;
                self.check_served(answered, known, *from, *freshness)
            }
        }
    }

    /// Checks S1 of a read with `at_least`: its answer is not marked as stale, and is not from before that
    /// version.
    fn check_wish(&self, answered: &Answered<'_>, known: Position, freshness: Freshness) -> Check {
        match answered.task.read().at_least() {
            Some(wanted) if freshness == Freshness::Stale || !wanted.is_met_by(&known) => {
                broken("S1", format!("{wanted:?} was asked for, and {known} answers, {freshness:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns until when everything that was acknowledged is in a fresh answer.
    fn promised_until(&self, answered: &Answered<'_>) -> u64 {
        let bound = self.origin.keys[answered.want.key].policy.lag_bound.as_millis();
        // A class that always asks promises what was acknowledged when the read began.
        if bound == 0 {
            answered.began
        } else {
            self.now.saturating_sub(u64::try_from(bound).unwrap_or(u64::MAX))
        }
    }

    fn check_removed(
        &mut self,
        answered: &Answered<'_>,
        known: Position,
        at: Version,
        freshness: Freshness,
    ) -> Check {
        self.tally.removed += 1;
        let marked = freshness == Freshness::Stale;
        // A read that waited too often is not judged once more; its answer is marked as stale.
        if !marked || !answered.task.is_overdue() {
            self.model.check_removed(&self.origin.keys[answered.want.key].key, at, &known)?;
        }
        let made = self.origin.made_by(known.epoch, at, answered.want.key);
        match made.filter(|_| !marked) {
            Some(index) => {
                let until = self.promised_until(answered);
                self.model.check_removed_fresh(answered.want.key, index, &known, self.now, until)
            }
            None => Ok(()),
        }
    }

    fn check_served(
        &mut self,
        answered: &Answered<'_>,
        known: Position,
        from: Tier,
        freshness: Freshness,
    ) -> Check {
        let (key, until) = (&self.origin.keys[answered.want.key].key, self.promised_until(answered));
        let Some(entry) = answered.task.held_by(from) else {
            return broken("S2", format!("{key} was served from {from:?}, which gave nothing"));
        };
        let Entry { envelope, index } = entry;
        let (fill, found, tags) = (envelope.position, envelope.found, envelope.tags.as_slice());
        let served = Served { key, number: answered.want.key, fill, found, tags, index: *index, known };
        let newest = self.origin.values[answered.want.key].index;
        if self.answers_are_checked && (*index != newest || freshness == Freshness::Stale) {
            return broken("alive", format!("{key} in the end: value {index} of {newest}, {freshness:?}"));
        }
        self.tally.hits[from as usize] += 1;
        let now = self.now;
        let judged_at = answered.task.judged_at();
        // A fill is the newest there is.
        if from != Tier::Origin && !answered.task.is_overdue() {
            let until =
                if freshness == Freshness::Fresh { envelope.expires_at } else { envelope.stale_until };
            if judged_at >= until {
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
