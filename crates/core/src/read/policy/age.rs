//! How old an answer can be at worst, as a sum of named parts. Only the command asks; the Worker does not.
//!
//! Worked out from `core::read::cache` and `core::read::sync`:
//!
//! - What was *published* is bounded by the lag. An entry is judged `fresh` only while the lag is within the
//!   bound, also after a tier took its time. The lag is the age that the replica's proof had when it answered, of
//!   which half the bound is asked for, and all the time since the question was sent. A fill is stamped with the
//!   position from before the origin was asked, so it adds nothing; `Cache-Control` lets shared caches reuse only
//!   what is unused of the bound, and of the ttl, so they add nothing either.
//! - With a bound of 0 each read asks and waits for a proof that begins after its question: what was acknowledged
//!   when the read began is in the floors it is judged by.
//! - What was *never published* no floor knows. It is bounded by the entry's own time, which counts from the start
//!   of its fetch.
//! - A fill is served by whoever waited for it even if its fetch took longer than the ttl: it is the newest there is.
//! - A published change is on the clock of its acknowledgement, an entry's time on that of its fetch. The origin's
//!   own delay between a commit and its publish is not in the sums.
//!
//! Two answers have no sum. A removal that the log told of holds until something later is heard, and is marked
//! `stale` while that cannot be proved. And if changes overtake three fetches of one read, a class that says
//! `stale` gets the last of them, marked and not stored: as old as that fetch took.

use std::time::Duration;

use super::{OnUnprovable, Policy};
use crate::read::cache::Freshness;

/// What may make an answer old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A change was published.
    Published,
    /// A change was published, and the reader cannot prove that it heard everything.
    Unproved,
    /// A change was never published.
    Unpublished,
    /// A change was never published, and the entry has expired; or it was published as soft. It is fetched
    /// behind the answer.
    Revalidating,
    /// The origin does not answer, and a change was published.
    OriginDown,
}

/// The oldest that an answer can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    /// What may make it old.
    pub cause: Cause,
    /// How it is marked; absent when nothing that old is answered: the read fails.
    pub marked: Option<Freshness>,
    /// What it consists of. They add up to [`Age::total`].
    pub parts: Vec<Part>,
}

/// One part of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What takes the time.
    pub name: &'static str,
    /// At most so much.
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
            vec![Part { name: "asked", time: Duration::ZERO }]
        } else {
            let way = Part { name: "way", time: self.lag_bound - half };
            vec![Part { name: "proof", time: half }, way]
        };
        let ttl = Part { name: "ttl", time: self.ttl };
        let life = vec![ttl, Part { name: "stale time", time: self.stale_for }];
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
