//! Stories of reads that ask KV, R2 and the origin at once.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const ALL: &[Tier] = &[Tier::Kv, Tier::R2, Tier::Origin];

/// A reader of a class that asks for a quorum; it has begun.
fn quorum(policy: Policy) -> Story {
    let mut story = Story::new(Policy { quorum: true, ..policy });
    story.read = story.read.with_r2(true);
    story.expect(Event::Begin, Step::Ask { tiers: ALL, generation: v(0) });
    story
}

impl Story {
    /// Hands in the answers of KV and R2, so that only the origin's answer is missing.
    #[track_caller]
    fn copies_say(&mut self, kv: Event, r2: Event) {
        self.expect(kv, Step::Listen);
        self.expect(r2, Step::Listen);
    }

    /// An entry like [`Story::entry`] with another value.
    fn other(&self, version: u64) -> Envelope {
        Envelope { etag: etag_of(b"other"), ..self.entry(version) }
    }
}

fn elects(from: Tier, fill: &[Tier]) -> Step {
    let freshness = Freshness::Fresh;
    Step::Answer(Answer::Serve { from, freshness, refresh: false, fill: fill.to_vec() })
}

#[test]
fn a_copy_that_agrees_is_left_alone() {
    let mut story = quorum(stale());
    let (kv, r2, origin) = (story.entry(3), story.entry(4), story.entry(10));
    story.copies_say(held(Tier::Kv, kv), held(Tier::R2, r2));
    story.expect(held(Tier::Origin, origin), elects(Tier::Origin, &[]));
    story.visited(&[
        (Tier::Kv, TierResult::Hit),
        (Tier::R2, TierResult::Hit),
        (Tier::Origin, TierResult::Hit),
    ]);
}

#[test]
fn the_newest_copy_wins_and_another_is_counted_and_overwritten() {
    let mut story = quorum(stale());
    let (kv, r2, origin) = (story.other(3), story.entry(4), story.entry(10));
    story.copies_say(held(Tier::Kv, kv), held(Tier::R2, r2));
    story.expect(held(Tier::Origin, origin), elects(Tier::Origin, &[Tier::Kv]));
    story.visited(&[
        (Tier::Kv, TierResult::Outvoted),
        (Tier::R2, TierResult::Hit),
        (Tier::Origin, TierResult::Hit),
    ]);

    // Another reader, which had heard more changes, filled KV from the origin after those changes.
    let mut story = quorum(stale());
    let (kv, origin) = (story.other(12), story.entry(10));
    story.copies_say(held(Tier::Kv, kv), Event::Missed(Tier::R2));
    story.expect(held(Tier::Origin, origin), elects(Tier::Kv, &[Tier::R2]));
    story.visited(&[
        (Tier::Kv, TierResult::Hit),
        (Tier::R2, TierResult::Miss),
        (Tier::Origin, TierResult::Outvoted),
    ]);
}

#[test]
fn what_the_origin_forbids_to_store_wins_and_overwrites_nothing() {
    let mut story = quorum(stale());
    let (kv, r2) = (story.other(3), story.entry(4));
    let private = Envelope { not_stored: Some(NotStored::Private), ..story.entry(10) };
    story.copies_say(held(Tier::Kv, kv), held(Tier::R2, r2));
    story.expect(held(Tier::Origin, private), elects(Tier::Origin, &[]));
}

#[test]
fn a_copy_below_a_floor_has_no_vote() {
    let mut story = Story::new(Policy { quorum: true, ..stale() });
    story.read = story.read.with_r2(true);
    story.hears(11, &[(11, UPDATE)]);
    story.expect(Event::Begin, Step::Ask { tiers: ALL, generation: v(11) });
    let (kv, r2, origin) = (story.other(10), story.other(10), story.entry(11));
    story.copies_say(held(Tier::Kv, kv), held(Tier::R2, r2));
    story.expect(held(Tier::Origin, origin), elects(Tier::Origin, &[Tier::Kv, Tier::R2]));
    let below = TierResult::Below(FloorKind::Key);
    story.visited(&[(Tier::Kv, below), (Tier::R2, below), (Tier::Origin, TierResult::Hit)]);
}

#[test]
fn without_the_origin_two_copies_are_enough_and_one_is_not() {
    let mut story = quorum(fail());
    let (kv, r2) = (story.entry(3), story.other(4));
    story.copies_say(held(Tier::Kv, kv), held(Tier::R2, r2.clone()));
    story.expect(Event::Failed(Tier::Origin), elects(Tier::R2, &[Tier::Kv]));

    for other in [Event::Failed(Tier::Kv), Event::Missed(Tier::Kv)] {
        let mut story = quorum(fail());
        story.copies_say(other, held(Tier::R2, r2.clone()));
        story.expect(Event::Failed(Tier::Origin), serve(Tier::R2, Freshness::Stale));
    }

    let mut story = quorum(fail());
    story.copies_say(Event::Missed(Tier::Kv), Event::Missed(Tier::R2));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn the_origin_alone_is_enough() {
    let mut story = quorum(fail());
    let origin = story.entry(10);
    story.copies_say(Event::Failed(Tier::Kv), Event::Failed(Tier::R2));
    story.expect(held(Tier::Origin, origin), elects(Tier::Origin, &[]));
}

#[test]
fn s2_a_fill_of_a_quorum_that_a_change_overtook_is_asked_for_again() {
    let mut story = quorum(fail());
    let (kv, slow) = (story.entry(3), story.entry(10));
    story.copies_say(held(Tier::Kv, kv), Event::Missed(Tier::R2));
    story.hears(11, &[(11, UPDATE)]);
    story.expect(held(Tier::Origin, slow), ask_for(Tier::Origin, 11));
    let new = story.entry(11);
    story.expect(held(Tier::Origin, new), elects(Tier::Origin, &[Tier::Memory, Tier::Kv, Tier::R2]));
}

#[test]
fn s1_a_bound_that_passes_while_they_are_asked_is_proved_again_before_they_are_counted() {
    let mut story = quorum(fail());
    let (kv, origin) = (story.entry(3), story.entry(10));
    story.copies_say(held(Tier::Kv, kv), Event::Missed(Tier::R2));
    story.later(BOUND * 2);
    story.expect(held(Tier::Origin, origin), sync(BOUND / 2));
    story.hears(11, &[(11, r#"{"tag":"other"}"#)]);
    story.expect(Event::Synced { proved: true }, elects(Tier::Origin, &[Tier::R2]));
}

#[test]
fn a_soft_change_marks_the_winner_and_refreshes_it() {
    let mut story = quorum(stale());
    let origin = story.entry(10);
    story.copies_say(Event::Missed(Tier::Kv), Event::Missed(Tier::R2));
    story.hears(11, &[(11, SOFT)]);
    let answer = Answer::Serve {
        from: Tier::Origin,
        freshness: Freshness::Revalidating,
        refresh: true,
        fill: vec![Tier::Kv, Tier::R2],
    };
    story.expect(held(Tier::Origin, origin), Step::Answer(answer));
}

#[test]
fn without_r2_kv_and_the_origin_are_asked() {
    let mut story = Story::new(Policy { quorum: true, ..stale() });
    story.expect(Event::Begin, Step::Ask { tiers: &[Tier::Kv, Tier::Origin], generation: v(0) });
    let origin = story.entry(10);
    story.expect(Event::Missed(Tier::Kv), Step::Listen);
    story.expect(held(Tier::Origin, origin), elects(Tier::Origin, &[Tier::Kv]));
}
