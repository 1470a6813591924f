//! How old an answer can be at worst, as a sum of named parts. Only the command asks; the Worker does not.
//!
//! Worked out from `core::read::cache` and `core::read::sync`:
//!
//! - A *published* change is bounded by the lag. An entry is judged `fresh` only while the lag is within the
//!   bound, also after a tier took its time. The lag is the age that the replica's proof had when it answered, of
//!   which half the bound is asked for, and all the time since the question was sent. A fill is stamped with the
//!   position from before the origin was asked, so it adds nothing; `Cache-Control` lets shared caches reuse only
//!   what is unused of the bound, and of the ttl, so they add nothing either.
//! - With a bound of 0 each read asks and waits for a proof that begins after its question, so every change that was
//!   acknowledged when the read began is in the floors that judge the entry.
//! - A change that was *never published* raises no floor. The entry's own time bounds it, from the start of the fetch.
//! - A reader that waited for a fill serves it even if the fetch took longer than the ttl, since no newer value exists.
//! - A published change is on the clock of its acknowledgement, an entry's time on that of its fetch. The origin's
//!   own delay between a commit and its publish is not in the sums.
//!
//! Two answers have no sum. A removal that the log told of holds until something later is heard, and is marked
//! `stale` while that cannot be proved. And if changes overtake three fetches of one read, a class that says
//! `stale` gets the last of them, marked and not stored: as old as that fetch took.

use std::time::Duration;

use super::{OnUnprovable, Policy};
use crate::read::cache::Freshness;

/// The cause of an old answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A change was published.
    Published,
    /// A change was published, and the reader cannot prove that it heard everything.
    Unproved,
    /// A change was never published.
    Unpublished,
    /// A change was never published and the entry has expired, or the change was published as soft. The value is fetched
    /// behind the answer.
    Revalidating,
    /// The origin does not answer, and a change was published.
    OriginDown,
}

/// The oldest that an answer can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    /// The cause of the age.
    pub cause: Cause,
    /// The mark of such an answer; `None` when the read fails instead.
    pub marked: Option<Freshness>,
    /// The parts of the age, which add up to [`Age::total`].
    pub parts: Vec<AgePart>,
}

/// One part of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgePart {
    /// The name of the step that takes the time.
    pub name: &'static str,
    /// The longest time that the step may take.
    pub time: Duration,
}

impl Age {
    /// Returns the sum of the parts.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.parts.iter().map(|part| part.time).sum()
    }
}

impl Policy {
    /// Returns how old an answer can be at worst, one for each cause.
    #[must_use]
    pub fn ages(&self) -> Vec<Age> {
        let half = self.lag_bound / 2;
        let proof = if self.lag_bound.is_zero() {
            vec![AgePart { name: "asked", time: Duration::ZERO }]
        } else {
            let way = AgePart { name: "way", time: self.lag_bound - half };
            vec![AgePart { name: "proof", time: half }, way]
        };
        let ttl = AgePart { name: "ttl", time: self.ttl };
        let life = vec![ttl, AgePart { name: "stale time", time: self.stale_for }];
        let of = |cause, marked, parts| Age { cause, marked: Some(marked), parts };
        let or_fail = |cause| match self.beyond_bound {
            OnUnprovable::Stale => of(cause, Freshness::Stale, life.clone()),
            OnUnprovable::Fail => Age { cause, marked: None, parts: Vec::new() },
        };
        vec![
            of(Cause::Published, Freshness::Fresh, proof),
            or_fail(Cause::Unproved),
            of(Cause::Unpublished, Freshness::Fresh, vec![ttl]),
            of(Cause::Revalidating, Freshness::Revalidating, life.clone()),
            or_fail(Cause::OriginDown),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::policy::Policies;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ages(class: &str) -> Vec<(Cause, Option<Freshness>, Duration)> {
        let ages = Policies::default().of(class).ages();
        ages.iter().map(|age| (age.cause, age.marked, age.total())).collect()
    }

    #[test]
    fn a_class_that_goes_on_stale_has_five_ages() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            ages("availability"),
            [
                (Cause::Published, Some(Freshness::Fresh), Duration::from_secs(2)),
                (Cause::Unproved, Some(Freshness::Stale), 36 * hour),
                (Cause::Unpublished, Some(Freshness::Fresh), 12 * hour),
                (Cause::Revalidating, Some(Freshness::Revalidating), 36 * hour),
                (Cause::OriginDown, Some(Freshness::Stale), 36 * hour),
            ]
        );
    }

    #[test]
    fn a_class_that_fails_shows_nothing_older_than_its_bound() {
        assert_eq!(
            ages("live"),
            [
                (Cause::Published, Some(Freshness::Fresh), Duration::ZERO),
                (Cause::Unproved, None, Duration::ZERO),
                (Cause::Unpublished, Some(Freshness::Fresh), Duration::from_secs(5)),
                (Cause::Revalidating, Some(Freshness::Revalidating), Duration::from_secs(15)),
                (Cause::OriginDown, None, Duration::ZERO),
            ]
        );
    }

    #[test]
    fn the_parts_of_a_bound_add_up_to_it() {
        for bound in [250, 251, 999, 2_000, 3_600_000] {
            let json = format!(r#"{{"fare":{{"lag_bound_ms":{bound}}}}}"#);
            let policy = Policies::from_json(&json).unwrap().of("fare");
            let parts = policy.ages().remove(0).parts;
            assert_eq!(parts.len(), 2);
            assert_eq!(parts.iter().map(|part| part.time).sum::<Duration>(), policy.lag_bound);
            assert!(parts[0].time <= policy.lag_bound / 2, "what a reader asks of its replica");
        }
    }
}
