//! Stories of one read, each step asserting what is done next; the clock and what is known move between them.

use std::rc::Rc;
use std::time::Duration;

use super::explain::Note;
use super::machine::{KV, MEMORY, ORIGIN, R2};
use super::*;
use crate::read::floors::{FloorKind, raised_by};
use crate::read::origin_answer::NotStored;
use crate::read::policy::{OnInvalidate, OnUnprovable, OriginCacheControl, Policy};
use crate::read::sync::{Applied, FloorLookup, Knowledge, MinVersion, SyncResponse};
use crate::wire::change::Change;
use crate::wire::name::{Key, Tag};
use crate::wire::position::{Epoch, Position, UnixMillis, Version};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod far;
mod quorum;

const BOUND: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(100);
const STALE_FOR: Duration = Duration::from_secs(50);

fn policy(lag_bound: Duration, beyond_bound: OnUnprovable) -> Policy {
    Policy {
        ttl: TTL,
        stale_for: STALE_FOR,
        lag_bound,
        beyond_bound,
        on_bump: OnInvalidate::Delete,
        quorum: false,
        origin_cache_control: OriginCacheControl::Respect,
    }
}

fn stale() -> Policy {
    policy(BOUND, OnUnprovable::Stale)
}

fn fail() -> Policy {
    policy(BOUND, OnUnprovable::Fail)
}

/// The policy of a class that asks every time.
fn always() -> Policy {
    policy(Duration::ZERO, OnUnprovable::Fail)
}

fn v(version: u64) -> Version {
    Version::new(version).unwrap()
}

fn position(epoch: u64, version: u64) -> Position {
    let genesis = Position::genesis(Epoch::new(UnixMillis(epoch), [0; 10]));
    Position { version: v(version), ..genesis }
}

fn at_least(epoch: u64, version: u64) -> MinVersion {
    let Position { epoch, version, .. } = position(epoch, version);
    MinVersion { epoch, version }
}

fn key() -> Key {
    Key::new("title:1").unwrap()
}

fn sync(max_age: Duration) -> Step {
    Step::Sync { max_age, at_least: None, look: FloorLookup::default() }
}

/// A sync with half the bound as the age of its proof, for a version.
fn syncing(at_least: Option<MinVersion>) -> Step {
    Step::Sync { max_age: BOUND / 2, at_least, look: FloorLookup::default() }
}

fn ask(tier: Tier) -> Step {
    ask_for(tier, 0)
}

fn ask_for(tier: Tier, generation: u64) -> Step {
    let tiers = match tier {
        Tier::Memory => MEMORY,
        Tier::Kv => KV,
        Tier::R2 => R2,
        Tier::Origin => ORIGIN,
    };
    Step::Ask { tiers, generation: v(generation) }
}

fn serve(from: Tier, freshness: Freshness) -> Step {
    Step::Answer(Answer::Serve { from, freshness, refresh: false, fill: Vec::new() })
}

/// Returns the step that answers a memory hit.
fn hit() -> Step {
    serve(Tier::Memory, Freshness::Fresh)
}

/// Returns the step that answers a fill that no change overtook.
fn filled() -> Step {
    let (from, freshness, fill) = (Tier::Origin, Freshness::Fresh, vec![Tier::Memory, Tier::Kv]);
    Step::Answer(Answer::Serve { from, freshness, refresh: false, fill })
}

fn revalidating(from: Tier) -> Step {
    let freshness = Freshness::Revalidating;
    Step::Answer(Answer::Serve { from, freshness, refresh: true, fill: Vec::new() })
}

fn removed(at: u64) -> Step {
    Step::Answer(Answer::Removed { at: v(at), freshness: Freshness::Fresh })
}

fn failure(failure: ReadFailure) -> Step {
    Step::Answer(Answer::Fail(failure))
}

const UPDATE: &str = r#"{"key":"title:1"}"#;
const REMOVE: &str = r#"{"key":"title:1","op":"remove"}"#;
const SOFT: &str = r#"{"key":"title:1","soft":true}"#;

/// A reader, its clock, and one read of `title:1` by it.
struct Story {
    known: Knowledge,
    /// The last version that the reader has heard. Its proof is of the same moment.
    heard: u64,
    now: UnixMillis,
    read: ReadMachine,
}

impl Story {
    /// A reader that has just proved that it heard everything up to version 10, of which nothing is left.
    fn new(policy: Policy) -> Self {
        let read = ReadMachine::new(key(), policy, None);
        let mut story = Self { known: Knowledge::default(), heard: 0, now: UnixMillis(1_000_000), read };
        story.hears(10, &[]);
        story
    }

    fn wanting(policy: Policy, wanted: MinVersion) -> Self {
        Self { read: ReadMachine::new(key(), policy, Some(wanted)), ..Self::new(policy) }
    }

    /// A sync arrives, with the head and the changes by version.
    fn hears(&mut self, head: u64, changes: &[(u64, &str)]) {
        let changes: Vec<(Version, Change)> = changes
            .iter()
            .map(|(version, json)| (v(*version), serde_json::from_str(json).unwrap()))
            .collect();
        let reply = SyncResponse {
            traces: Vec::new(),
            position: position(1, head),
            from: v(self.heard),
            to: v(head),
            proof_age_ms: Some(0),
            floors: raised_by(changes.iter().map(|(version, change)| (*version, change))),
            left_out: None,
            looked: Vec::new(),
        };
        assert_eq!(self.known.apply(self.now, reply), Applied::Whole);
        self.heard = head;
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// An entry filled at `version`, fetched this moment, that carries the tag `netflix`.
    fn entry(&self, version: u64) -> Envelope {
        self.entry_of(position(1, version), Duration::ZERO)
    }

    fn entry_of(&self, position: Position, age: Duration) -> Envelope {
        let fetched_at = UnixMillis(self.now.0 - u64::try_from(age.as_millis()).unwrap());
        let tags = vec![Tag::new("netflix").unwrap()];
        self.read.filled(position, fetched_at, true, tags, "text/plain".into(), etag_of(b"x"))
    }

    fn not_found(&self, version: u64) -> Envelope {
        Envelope { found: false, tags: Vec::new(), ..self.entry(version) }
    }

    #[track_caller]
    fn expect(&mut self, event: Event, step: Step) {
        assert_eq!(self.read.next(self.now, &self.known, event), step);
    }

    /// Goes on to the origin with nothing found on the way.
    #[track_caller]
    fn misses(&mut self) {
        self.expect(Event::Begin, ask(Tier::Memory));
        self.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
        self.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    }

    #[track_caller]
    fn visited(&self, visits: &[(Tier, TierResult)]) {
        assert_eq!(self.read.visits(), visits);
    }
}

fn held(tier: Tier, envelope: Envelope) -> Event {
    Event::Held(tier, Rc::new(envelope))
}

// --- hits and fills ---

#[test]
fn a_memory_hit_asks_no_tier() {
    let mut story = Story::new(stale());
    let entry = story.entry(3);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), hit());
    story.visited(&[(Tier::Memory, TierResult::Hit)]);
}

#[test]
fn a_kv_hit_is_put_into_memory_unchanged() {
    let mut story = Story::new(stale());
    let entry = story.entry(3);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    let (from, freshness, fill) = (Tier::Kv, Freshness::Fresh, vec![Tier::Memory]);
    story
        .expect(held(Tier::Kv, entry), Step::Answer(Answer::Serve { from, freshness, refresh: false, fill }));
    story.visited(&[(Tier::Memory, TierResult::Miss), (Tier::Kv, TierResult::Hit)]);
}

#[test]
fn what_the_origin_gives_is_put_into_every_tier() {
    let mut story = Story::new(stale());
    story.misses();
    let entry = story.entry(10);
    story.expect(held(Tier::Origin, entry), filled());
    story.visited(&[
        (Tier::Memory, TierResult::Miss),
        (Tier::Kv, TierResult::Miss),
        (Tier::Origin, TierResult::Hit),
    ]);
}

#[test]
fn what_the_origin_forbids_to_store_is_served_and_put_into_no_tier() {
    for (soft, freshness) in [(false, Freshness::Fresh), (true, Freshness::Revalidating)] {
        let mut story = Story::new(stale());
        story.misses();
        let private = Envelope { not_stored: Some(NotStored::Private), ..story.entry(10) };
        if soft {
            story.hears(11, &[(11, SOFT)]);
        }
        story.expect(held(Tier::Origin, private), serve(Tier::Origin, freshness));
        story.visited(&[
            (Tier::Memory, TierResult::Miss),
            (Tier::Kv, TierResult::Miss),
            (Tier::Origin, TierResult::Hit),
        ]);
    }
}

#[test]
fn a_fill_expires_counted_from_the_start_of_its_fetch() {
    let story = Story::new(stale());
    let envelope = story.entry_of(position(1, 3), Duration::from_secs(4));
    assert_eq!(envelope.fetched_at, UnixMillis(996_000));
    assert_eq!(envelope.expires_at, envelope.fetched_at.plus(TTL));
    assert_eq!(envelope.stale_until, envelope.expires_at.plus(STALE_FOR));
}

#[test]
fn a_tier_that_fails_is_a_tier_that_has_nothing() {
    let mut story = Story::new(stale());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Failed(Tier::Kv), ask(Tier::Origin));
    story.visited(&[(Tier::Memory, TierResult::Miss), (Tier::Kv, TierResult::Failed)]);
}

#[test]
fn kv_is_asked_under_the_keys_own_generation() {
    let mut story = Story::new(stale());
    story.hears(12, &[(11, UPDATE), (12, r#"{"all":true}"#)]);
    let asking = |tier| ask_for(tier, 11);
    story.expect(Event::Begin, asking(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), asking(Tier::Kv));
}

#[test]
fn not_found_is_an_entry_too_and_counts_as_carrying_every_tag() {
    let mut story = Story::new(stale());
    let entry = story.not_found(3);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry.clone()), hit());

    let mut story = Story::new(stale());
    story.hears(11, &[(11, r#"{"tag":"hulu"}"#)]);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), ask(Tier::Kv));
    story.visited(&[(Tier::Memory, TierResult::Below(FloorKind::Tag))]);
    // An entry that is known not to carry the tag is not touched.
    let found = story.entry(3);
    story.expect(
        held(Tier::Kv, found),
        Step::Answer(Answer::Serve {
            from: Tier::Kv,
            freshness: Freshness::Fresh,
            refresh: false,
            fill: vec![Tier::Memory],
        }),
    );
}

// --- refusals ---

#[test]
fn s2_an_entry_below_any_hard_floor_is_refused_in_every_tier() {
    for (change, by) in [
        (UPDATE, FloorKind::Key),
        (r#"{"tag":"netflix"}"#, FloorKind::Tag),
        (r#"{"prefix":"tit"}"#, FloorKind::Prefix),
        (r#"{"all":true}"#, FloorKind::All),
    ] {
        let mut story = Story::new(stale());
        story.hears(11, &[(11, change)]);
        let generation = if by == FloorKind::Key { 11 } else { 0 };
        let asking = |tier| ask_for(tier, generation);
        let old = story.entry(10);
        story.expect(Event::Begin, asking(Tier::Memory));
        story.expect(held(Tier::Memory, old.clone()), asking(Tier::Kv));
        story.expect(held(Tier::Kv, old), asking(Tier::Origin));
        let new = story.entry(11);
        story.expect(held(Tier::Origin, new), filled());
        story.visited(&[
            (Tier::Memory, TierResult::Below(by)),
            (Tier::Kv, TierResult::Below(by)),
            (Tier::Origin, TierResult::Hit),
        ]);
    }
}

#[test]
fn s2_an_entry_filled_at_its_floor_is_served() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, UPDATE)]);
    let entry = story.entry(11);
    story.expect(Event::Begin, ask_for(Tier::Memory, 11));
    story.expect(held(Tier::Memory, entry), hit());
}

#[test]
fn e1_an_entry_of_another_epoch_is_a_miss_and_never_a_spare() {
    for other in [0, 2] {
        let mut story = Story::new(stale());
        let foreign = story.entry_of(position(other, 99), Duration::ZERO);
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(held(Tier::Memory, foreign.clone()), ask(Tier::Kv));
        story.expect(held(Tier::Kv, foreign), ask(Tier::Origin));
        story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
        story.visited(&[
            (Tier::Memory, TierResult::OtherEpoch),
            (Tier::Kv, TierResult::OtherEpoch),
            (Tier::Origin, TierResult::Failed),
        ]);
    }
}

// --- expired and soft ---

#[test]
fn an_expired_entry_is_served_marked_while_it_is_fetched() {
    let mut story = Story::new(stale());
    let old = story.entry_of(position(1, 3), TTL);
    story.expect(Event::Begin, ask(Tier::Memory));
    // KV may have an entry that another reader fetched meanwhile.
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), revalidating(Tier::Memory));
    story.visited(&[(Tier::Memory, TierResult::Expired), (Tier::Kv, TierResult::Miss)]);
}

#[test]
fn an_entry_below_a_soft_floor_is_served_marked_while_it_is_fetched() {
    let mut story = Story::new(fail());
    story.hears(11, &[(11, SOFT)]);
    let old = story.entry(10);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(held(Tier::Kv, old), revalidating(Tier::Kv));
    story.visited(&[(Tier::Memory, TierResult::Miss), (Tier::Kv, TierResult::Soft)]);
}

#[test]
fn the_newer_of_two_marked_entries_is_served() {
    for (memory, kv, from) in [(3, 4, Tier::Kv), (4, 3, Tier::Memory)] {
        let mut story = Story::new(stale());
        let of = |version| story.entry_of(position(1, version), TTL);
        let (memory, kv) = (of(memory), of(kv));
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(held(Tier::Memory, memory), ask(Tier::Kv));
        story.expect(held(Tier::Kv, kv), revalidating(from));
    }
}

#[test]
fn an_older_entry_that_no_floor_refuses_goes_before_a_newer_one_that_is_refused() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    let refused = story.entry(10);
    let expired = Envelope { tags: Vec::new(), ..story.entry_of(position(1, 3), TTL) };
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, refused), ask(Tier::Kv));
    story.expect(held(Tier::Kv, expired), revalidating(Tier::Kv));
}

#[test]
fn an_entry_past_its_stale_time_is_a_miss() {
    let mut story = Story::new(stale());
    let old = story.entry_of(position(1, 3), TTL + STALE_FOR);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn a_refresh_behind_an_answer_asks_the_origin_and_fills() {
    let mut story = Story::new(stale());
    assert_eq!(story.read.refetch(&story.known), ask(Tier::Origin));
    let entry = story.entry(10);
    story.expect(held(Tier::Origin, entry), filled());
}

#[test]
fn s1_a_hard_floor_that_rises_while_kv_is_asked_refuses_the_entry_in_hand() {
    let mut story = Story::new(stale());
    let old = story.entry_of(position(1, 3), TTL);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
}

// --- the origin is down ---

#[test]
fn a_read_that_wants_a_version_is_never_given_a_marked_entry() {
    let mut story = Story::wanting(fail(), at_least(1, 10));
    let old = story.entry_of(position(1, 3), TTL);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    // A caller that asks for a version is never given a marked answer.
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn a_refused_entry_stands_in_for_a_dead_origin_only_if_the_class_says_so() {
    for (policy, answer) in
        [(stale(), serve(Tier::Kv, Freshness::Stale)), (fail(), failure(ReadFailure::Origin))]
    {
        let mut story = Story::new(policy);
        story.hears(11, &[(11, r#"{"prefix":"title:"}"#)]);
        let old = story.entry(10);
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
        story.expect(held(Tier::Kv, old), ask(Tier::Origin));
        story.expect(Event::Failed(Tier::Origin), answer);
        story.visited(&[
            (Tier::Memory, TierResult::Miss),
            (Tier::Kv, TierResult::Below(FloorKind::Prefix)),
            (Tier::Origin, TierResult::Failed),
        ]);
    }
}

#[test]
fn s2_a_removed_value_never_stands_in_for_a_dead_origin() {
    let mut story = Story::new(stale());
    // Removed, then something was said of it again: there may be a new value, and the old one is gone for good.
    story.hears(12, &[(11, REMOVE), (12, UPDATE)]);
    let asking = |tier| ask_for(tier, 12);
    let old = story.entry(10);
    story.expect(Event::Begin, asking(Tier::Memory));
    story.expect(held(Tier::Memory, old), asking(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), asking(Tier::Origin));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn s2_a_removal_heard_while_the_origin_is_asked_takes_the_spare_away() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, UPDATE)]);
    let asking = |tier| ask_for(tier, 11);
    let old = story.entry(10);
    story.expect(Event::Begin, asking(Tier::Memory));
    story.expect(held(Tier::Memory, old), asking(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), asking(Tier::Origin));
    story.hears(13, &[(12, REMOVE), (13, UPDATE)]);
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn a_spare_outlives_its_stale_time_while_the_origin_is_asked_and_is_not_served() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, r#"{"all":true}"#)]);
    let old = story.entry_of(position(1, 3), TTL + STALE_FOR - Duration::from_secs(1));
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    story.later(Duration::from_secs(1));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn with_nothing_in_hand_a_dead_origin_is_a_failure() {
    let mut story = Story::new(stale());
    story.misses();
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
    // An origin that says nothing at all is no better.
    let mut story = Story::new(stale());
    story.misses();
    story.expect(Event::Missed(Tier::Origin), failure(ReadFailure::Origin));
}

// --- stale refill ---

#[test]
fn s2_a_fill_that_a_change_overtook_is_not_stored_and_the_origin_is_asked_again() {
    for change in [UPDATE, r#"{"tag":"netflix"}"#, r#"{"prefix":"t"}"#, r#"{"all":true}"#] {
        let mut story = Story::new(stale());
        story.misses();
        let slow = story.entry(10);
        story.hears(11, &[(11, change)]);
        let generation = story.known.floors().generation(&key());
        story.expect(held(Tier::Origin, slow), ask_for(Tier::Origin, generation.number()));
        let quick = story.entry(11);
        story.expect(held(Tier::Origin, quick), filled());
    }
}

#[test]
fn s2_a_fill_that_a_change_overtakes_after_it_was_stored_is_a_miss() {
    let mut story = Story::new(stale());
    story.misses();
    let entry = story.entry(10);
    story.expect(held(Tier::Origin, entry.clone()), filled());
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    story.read = ReadMachine::new(key(), stale(), None);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), ask(Tier::Kv));
}

#[test]
fn s2_a_late_fill_that_reached_kv_is_a_miss_there() {
    let mut story = Story::new(stale());
    let late = story.entry(10);
    story.hears(11, &[(11, r#"{"all":true}"#)]);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(held(Tier::Kv, late), ask(Tier::Origin));
}

#[test]
fn s2_a_change_heard_before_the_origin_was_asked_does_not_refuse_the_fill() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, r#"{"all":true}"#)]);
    story.misses();
    let entry = story.entry(11);
    story.expect(held(Tier::Origin, entry), filled());
}

#[test]
fn a_fill_that_is_always_overtaken_is_served_marked_and_not_stored() {
    let mut story = Story::new(stale());
    story.misses();
    for version in 11..=13 {
        let slow = story.entry(version - 1);
        story.hears(version, &[(version, r#"{"tag":"netflix"}"#)]);
        let step = if version < 13 { ask(Tier::Origin) } else { serve(Tier::Origin, Freshness::Stale) };
        story.expect(held(Tier::Origin, slow), step);
    }
    story.visited(&[
        (Tier::Memory, TierResult::Miss),
        (Tier::Kv, TierResult::Miss),
        (Tier::Origin, TierResult::Hit),
    ]);
}

#[test]
fn a_class_that_fails_gives_no_fill_that_is_always_overtaken() {
    let mut story = Story::new(fail());
    story.misses();
    for version in 11..=13 {
        let slow = story.entry(version - 1);
        story.hears(version, &[(version, r#"{"tag":"netflix"}"#)]);
        let step = if version < 13 { ask(Tier::Origin) } else { failure(ReadFailure::BoundNotKept) };
        story.expect(held(Tier::Origin, slow), step);
    }
}

#[test]
fn a_fill_that_a_soft_change_overtook_is_stored_served_marked_and_fetched_again() {
    let mut story = Story::new(stale());
    story.misses();
    let slow = story.entry(10);
    story.hears(11, &[(11, SOFT)]);
    let (from, freshness, fill) = (Tier::Origin, Freshness::Revalidating, vec![Tier::Memory, Tier::Kv]);
    story.expect(
        held(Tier::Origin, slow),
        Step::Answer(Answer::Serve { from, freshness, refresh: true, fill }),
    );
}

#[test]
fn e1_a_fill_of_an_epoch_that_ended_meanwhile_is_not_stored() {
    let mut story = Story::new(stale());
    story.misses();
    let slow = story.entry(10);
    let reply = SyncResponse {
        traces: Vec::new(),
        position: position(2, 0),
        from: v(0),
        to: v(0),
        proof_age_ms: Some(0),
        floors: Vec::new(),
        left_out: None,
        looked: Vec::new(),
    };
    assert_eq!(story.known.apply(story.now, reply), Applied::Whole);
    story.expect(held(Tier::Origin, slow), ask(Tier::Origin));
    let quick = story.entry_of(position(2, 0), Duration::ZERO);
    story.expect(held(Tier::Origin, quick), filled());
}

#[test]
fn s2_a_removal_that_overtakes_a_fill_is_the_answer() {
    let mut story = Story::new(stale());
    story.misses();
    let slow = story.entry(10);
    story.hears(11, &[(11, REMOVE)]);
    story.expect(held(Tier::Origin, slow), removed(11));
}

#[test]
fn s2_a_value_from_before_a_removal_is_never_served_however_often_it_is_overtaken() {
    let mut story = Story::new(stale());
    story.misses();
    for version in [12, 14, 16] {
        let slow = story.entry(version - 2);
        story.hears(version, &[(version - 1, REMOVE), (version, UPDATE)]);
        let again = ask_for(Tier::Origin, version);
        let step = if version < 16 { again } else { failure(ReadFailure::Origin) };
        story.expect(held(Tier::Origin, slow), step);
    }
}

// --- removal ---

#[test]
fn s2_a_removal_is_answered_without_asking_anybody() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, REMOVE)]);
    story.expect(Event::Begin, removed(11));
    story.visited(&[]);
}

#[test]
fn a_removal_heard_on_the_way_is_the_answer() {
    let mut story = Story::new(stale());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.hears(11, &[(11, REMOVE)]);
    story.expect(Event::Missed(Tier::Memory), removed(11));
}

#[test]
fn a_removal_ends_with_any_later_floor_over_its_key() {
    for later in [
        UPDATE,
        SOFT,
        r#"{"tag":"whatever"}"#,
        r#"{"prefix":"title"}"#,
        r#"{"all":true}"#,
        r#"{"all":true,"soft":true}"#,
    ] {
        let mut story = Story::new(stale());
        story.hears(12, &[(11, REMOVE), (12, later)]);
        let generation = if later == UPDATE { 12 } else { 11 };
        story.expect(Event::Begin, ask_for(Tier::Memory, generation));
    }
}

#[test]
fn a_removal_that_cannot_be_proved_recent_is_marked() {
    let mut story = Story::new(stale());
    story.hears(11, &[(11, REMOVE)]);
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(
        Event::Synced { proved: false },
        Step::Answer(Answer::Removed { at: v(11), freshness: Freshness::Stale }),
    );
}

// --- lag ---

#[test]
fn s1_a_read_within_its_bound_asks_for_no_proof_and_past_it_does() {
    for (lag, first) in [
        (Duration::ZERO, ask(Tier::Memory)),
        (BOUND, ask(Tier::Memory)),
        (BOUND + Duration::from_millis(1), sync(BOUND / 2)),
    ] {
        let mut story = Story::new(stale());
        story.later(lag);
        story.expect(Event::Begin, first);
    }
}

#[test]
fn past_half_the_bound_the_floors_are_proved_anew_behind_the_answer() {
    let mut story = Story::new(stale());
    assert!(!story.read.sync_behind(story.now, &story.known));
    story.later(BOUND / 2);
    assert!(!story.read.sync_behind(story.now, &story.known));
    story.later(Duration::from_millis(1));
    assert!(story.read.sync_behind(story.now, &story.known));
    assert!(story.read.sync_behind(story.now, &Knowledge::default()), "what was never proved");
}

#[test]
fn a_class_that_always_asks_needs_no_proof_behind_its_answer() {
    let mut story = Story::new(always());
    story.later(Duration::from_secs(9));
    assert!(!story.read.sync_behind(story.now, &story.known));
}

#[test]
fn s1_a_class_with_bound_zero_asks_every_time() {
    let mut story = Story::new(always());
    story.expect(Event::Begin, sync(Duration::ZERO));
    story.expect(Event::Synced { proved: true }, ask(Tier::Memory));
    let mut story = Story::new(always());
    story.expect(Event::Begin, sync(Duration::ZERO));
    // A proof from a moment ago, for another read, does not count.
    story.expect(Event::Synced { proved: false }, failure(ReadFailure::BoundNotKept));
}

#[test]
fn s1_a_reader_that_never_synced_fails_closed_whatever_the_class() {
    for policy in [stale(), fail(), always()] {
        let mut story = Story { known: Knowledge::default(), ..Story::new(policy) };
        story.expect(Event::Begin, sync(policy.lag_bound / 2));
        story.expect(Event::Synced { proved: false }, failure(ReadFailure::BoundNotKept));
    }
}

#[test]
fn s1_a_sync_that_failed_fails_the_read_or_marks_it_as_the_class_says() {
    let mut story = Story::new(fail());
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, failure(ReadFailure::BoundNotKept));

    let mut story = Story::new(stale());
    let entry = story.entry(3);
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), serve(Tier::Memory, Freshness::Stale));
}

#[test]
fn s1_a_fill_behind_a_sync_that_failed_is_marked_and_stored_as_what_it_is() {
    let mut story = Story::new(stale());
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    let entry = story.entry(10);
    let (from, freshness, fill) = (Tier::Origin, Freshness::Stale, vec![Tier::Memory, Tier::Kv]);
    story.expect(
        held(Tier::Origin, entry),
        Step::Answer(Answer::Serve { from, freshness, refresh: false, fill }),
    );
}

#[test]
fn s1_a_sync_that_failed_is_no_matter_when_another_brought_the_proof() {
    let mut story = Story::new(fail());
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.hears(10, &[]);
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
}

#[test]
fn s1_a_bound_that_passes_while_a_tier_is_asked_is_proved_again_before_the_answer() {
    let mut story = Story::new(fail());
    let entry = story.entry(3);
    story.later(BOUND);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.later(Duration::from_millis(80));
    story.expect(held(Tier::Kv, entry.clone()), sync(BOUND / 2));
    // The change that had not been heard was one of this very entry.
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    story.expect(Event::Synced { proved: true }, ask(Tier::Origin));
    assert_eq!(story.read.awaited_change(&story.known), Some(v(11)));
    story.later(BOUND * 2);
    let slow = story.entry(11);
    story.expect(held(Tier::Origin, slow.clone()), sync(BOUND / 2));
    story.hears(11, &[]);
    story.expect(Event::Synced { proved: true }, filled());
    story.visited(&[
        (Tier::Memory, TierResult::Miss),
        (Tier::Kv, TierResult::Below(FloorKind::Tag)),
        (Tier::Origin, TierResult::Hit),
    ]);
}

#[test]
fn an_entry_that_only_expired_awaits_no_change() {
    let mut story = Story::new(fail());
    story.hears(11, &[(11, r#"{"key":"title:1"}"#)]);
    assert_eq!(story.read.awaited_change(&story.known), Some(v(11)), "nothing was found that has it");
    let entry = story.entry(11);
    story.later(Duration::from_secs(24 * 3_600));
    story.hears(12, &[]);
    let ask = |tier| ask_for(tier, 11);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    assert_eq!(story.read.awaited_change(&story.known), None);
}

#[test]
fn s1_a_bound_that_passes_on_the_way_and_cannot_be_proved_fails_or_marks() {
    for (policy, answer) in [
        (fail(), failure(ReadFailure::BoundNotKept)),
        (
            stale(),
            Step::Answer(Answer::Serve {
                from: Tier::Kv,
                freshness: Freshness::Stale,
                refresh: false,
                fill: vec![Tier::Memory],
            }),
        ),
    ] {
        let mut story = Story::new(policy);
        let entry = story.entry(3);
        story.later(BOUND);
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
        story.later(Duration::from_millis(1));
        story.expect(held(Tier::Kv, entry), sync(BOUND / 2));
        story.expect(Event::Synced { proved: false }, answer);
    }
}

#[test]
fn an_expired_entry_of_a_lagging_reader_is_stale() {
    let mut story = Story::new(stale());
    story.later(BOUND * 2);
    let old = story.entry_of(position(1, 3), TTL);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    let (from, freshness) = (Tier::Memory, Freshness::Stale);
    story.expect(
        Event::Missed(Tier::Kv),
        Step::Answer(Answer::Serve { from, freshness, refresh: true, fill: Vec::new() }),
    );
}

// --- a version asked for ---

#[test]
fn s1_a_version_that_was_heard_needs_no_sync() {
    for wanted in [at_least(1, 10), at_least(1, 1), at_least(0, 999)] {
        Story::wanting(stale(), wanted).expect(Event::Begin, ask(Tier::Memory));
    }
}

#[test]
fn s1_a_version_that_was_not_heard_is_asked_for_and_else_the_read_fails() {
    for wanted in [at_least(1, 11), at_least(2, 0)] {
        let syncing = syncing(Some(wanted));
        let mut story = Story::wanting(stale(), wanted);
        story.expect(Event::Begin, syncing);
        story.expect(Event::Synced { proved: true }, failure(ReadFailure::MinVersion));
    }
    let mut story = Story::wanting(stale(), at_least(1, 11));
    let old = story.entry(10);
    story.expect(Event::Begin, syncing(Some(at_least(1, 11))));
    story.hears(12, &[(11, r#"{"tag":"netflix"}"#)]);
    story.expect(Event::Synced { proved: true }, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
}

#[test]
fn s1_a_read_that_wants_a_version_is_never_answered_past_the_bound() {
    let mut story = Story::wanting(stale(), at_least(1, 10));
    story.later(BOUND * 2);
    story.expect(Event::Begin, syncing(Some(at_least(1, 10))));
    story.expect(Event::Synced { proved: false }, failure(ReadFailure::BoundNotKept));
}

#[test]
fn a_read_that_wants_a_version_is_given_nothing_refused_when_the_origin_is_down() {
    let mut story = Story::wanting(stale(), at_least(1, 10));
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    let old = story.entry(10);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
}

#[test]
fn a_read_that_wants_a_version_is_not_given_a_fill_that_is_always_superseded() {
    let mut story = Story::wanting(stale(), at_least(1, 10));
    story.misses();
    for version in 11..=13 {
        let slow = story.entry(version - 1);
        story.hears(version, &[(version, r#"{"tag":"netflix"}"#)]);
        let step = if version < 13 { ask(Tier::Origin) } else { failure(ReadFailure::MinVersion) };
        story.expect(held(Tier::Origin, slow), step);
    }
}
