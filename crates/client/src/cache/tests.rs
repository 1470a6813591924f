//! The state of a cache, driven as JavaScript drives it: changes come while reads and fills are under way.

use std::time::Duration;

use newsreel_core::read::cache::{Freshness, ReadFailure};
use newsreel_core::read::floors::raised_by;
use newsreel_core::wire::{Change, Epoch, Key, Position, Tag, UnixMillis, Version};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::entry_index::Bounds;
use super::options::{BeyondBound, Promise};
use super::pending::{Behind, NextStep, ReadOptions, Source};
use super::state::{Brought, CacheState};
use crate::session::Heard;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn at(version: u64) -> Position {
    let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
    Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) }
}

fn key() -> Key {
    Key::new("title:1".to_owned()).unwrap()
}

/// A cache that has heard everything up to version 3, as of now.
fn state() -> CacheState {
    let mut state = CacheState::new(Bounds { entries: 100, bytes: 1 << 20 });
    let minute = Duration::from_secs(60);
    let promise =
        Promise { ttl: minute, stale_for: minute, lag_bound: minute, beyond_bound: BeyondBound::Stale };
    state.classes.say("title".to_owned(), promise);
    assert!(!state.hear(&[], Some(at(3)), Some(NOW), &[]), "nothing was there to be forgotten");
    state
}

/// Hears of one change more.
fn hear(state: &mut CacheState, change: Change) {
    let held = state.known.position().unwrap();
    let to = Position { version: held.version.next(), ..held };
    let floors = raised_by([(to.version, &change)]);
    state.hear(&[Heard::Raised { epoch: to.epoch, floors, position: Some(to) }], Some(to), Some(NOW), &[]);
}

fn brought(tags: &[&str]) -> Brought {
    let tags = tags.iter().map(|tag| Tag::new((*tag).to_owned()).unwrap()).collect();
    Brought { found: true, tags, ttl: None, stale_for: None, bytes: 10 }
}

/// Begins a read that has to fetch, and boards.
fn begin(state: &mut CacheState) -> (u32, u32) {
    let walk = state.begin(key(), ReadOptions::default(), 0, NOW);
    assert_eq!(state.step(walk), NextStep::Fetch);
    (walk, state.board(walk, 0, NOW))
}

/// Lands a flight for a read, and keeps its value if the read's step says so.
fn land(state: &mut CacheState, walk: u32, flight: u32, tags: &[&str]) -> NextStep {
    state.land(flight, brought(tags));
    let step = state.landed(walk, flight, NOW);
    if matches!(step, NextStep::Serve { keep: true, .. }) {
        state.keep(walk, flight).unwrap();
    }
    step
}

fn is_fresh(step: NextStep, source: Source) -> bool {
    matches!(step, NextStep::Serve { from, freshness: Freshness::Fresh, .. } if from == source)
}

#[test]
fn what_was_fetched_is_a_hit_until_something_covers_it() {
    let covers = [
        Change::update(key(), vec![]),
        serde_json::from_str(r#"{"tag":"a"}"#).unwrap(),
        serde_json::from_str(r#"{"prefix":"tit"}"#).unwrap(),
        serde_json::from_str(r#"{"all":true}"#).unwrap(),
    ];
    let spares = [r#"{"key":"title:12"}"#, r#"{"tag":"b"}"#, r#"{"prefix":"title:12"}"#];
    for cover in covers {
        let mut state = state();
        let (walk, flight) = begin(&mut state);
        assert!(is_fresh(land(&mut state, walk, flight, &["a"]), Source::Origin));
        for spare in spares {
            hear(&mut state, serde_json::from_str(spare).unwrap());
        }
        let slot = state.entries.slot("title:1").unwrap();
        assert_eq!(state.try_hit(slot, NOW), Some(Behind::default()));
        hear(&mut state, cover.clone());
        assert_eq!(state.try_hit(slot, NOW), None, "{cover:?}");
        state.end(walk);
        state.end_flight(flight);
        let walk = state.begin(key(), ReadOptions::default(), 1, NOW);
        assert_eq!(state.step(walk), NextStep::Fetch, "{cover:?}");
    }
}

#[test]
fn s2_a_fill_from_before_a_change_is_not_kept_and_its_readers_fetch_again() {
    let mut state = state();
    let (walk, flight) = begin(&mut state);
    hear(&mut state, serde_json::from_str(r#"{"tag":"a"}"#).unwrap());
    assert_eq!(land(&mut state, walk, flight, &["a"]), NextStep::Fetch);
    assert_eq!(state.entries.count(), 0);
    let again = state.board(walk, 1, NOW);
    assert_ne!(again, flight);
    assert!(is_fresh(land(&mut state, walk, again, &["a"]), Source::Origin));
}

#[test]
fn s2_a_read_after_a_change_does_not_wait_for_a_fetch_from_before_it() {
    let mut state = state();
    let (_, early) = begin(&mut state);
    let (_, shared) = begin(&mut state);
    assert_eq!(shared, early, "until something changes");
    hear(&mut state, Change::update(key(), vec![]));
    let (_, late) = begin(&mut state);
    assert_ne!(late, early);
    state.end_flight(early);
    let (_, later) = begin(&mut state);
    assert_eq!(later, late, "the newest is found, whichever has ended");
}

#[test]
fn e1_a_reset_forgets_what_is_kept_and_refuses_what_is_on_its_way() {
    let mut state = state();
    let (kept, flight) = begin(&mut state);
    land(&mut state, kept, flight, &[]);
    state.end(kept);
    state.end_flight(flight);
    let other = state.begin(Key::new("title:2".to_owned()).unwrap(), ReadOptions::default(), 0, NOW);
    let late = state.board(other, 0, NOW);
    let newer = Position::genesis(Epoch::new(UnixMillis(2_000_000_000_000), [0; 10]));
    assert!(state.hear(&[Heard::Reset { position: newer }], Some(newer), Some(NOW), &[]));
    assert_eq!(state.entries.count(), 0);
    assert_eq!(land(&mut state, other, late, &[]), NextStep::Fetch);
}

#[test]
fn s1_a_bound_that_has_passed_asks_for_a_proof_before_the_answer() {
    let mut state = state();
    let (walk, flight) = begin(&mut state);
    land(&mut state, walk, flight, &[]);
    let slot = state.entries.slot("title:1").unwrap();
    let late = NOW.plus(Duration::from_secs(61));
    assert_eq!(state.try_hit(slot, late), None);
    let walk = state.begin(key(), ReadOptions::default(), 1, late);
    assert!(matches!(state.step(walk), NextStep::Prove { .. }));
    let NextStep::Serve { freshness, .. } = state.proved(walk, false, late) else { panic!("it is marked") };
    assert_eq!(freshness, Freshness::Stale);
}

#[test]
fn floors_that_can_refuse_nothing_are_not_held() {
    let mut state = state();
    for id in 0..10_000 {
        hear(&mut state, Change::update(Key::new(format!("other:{id}")).unwrap(), vec![]));
    }
    assert!(state.floors() < 10, "{}", state.floors());
    // The tags of a value under way are not known yet, so every floor is held; their number does not grow
    // with time.
    for round in 0..50 {
        state.clear();
        let (walk, flight) = begin(&mut state);
        for id in 0..1_000 {
            hear(&mut state, Change::update(Key::new(format!("other:{round}-{id}")).unwrap(), vec![]));
        }
        assert!(state.floors() >= 1_000);
        state.end(walk);
        state.end_flight(flight);
    }
    assert!(state.floors() < 10_000, "{}", state.floors());
}

#[test]
fn javascript_reads_a_step_by_these_names() {
    let (freshness, behind) = (Freshness::Revalidating, Behind { refresh: true, prove: false });
    for (step, text) in [
        (NextStep::Prove { max_age: Duration::from_millis(250) }, r#"{"do":"prove","maxAgeMs":250}"#),
        (NextStep::Fetch, r#"{"do":"fetch"}"#),
        (
            NextStep::Serve { from: Source::Memory, freshness, keep: false, behind },
            r#"{"do":"serve","from":"memory","freshness":"revalidating","keep":false,"refresh":true,"prove":false}"#,
        ),
        (NextStep::Removed { freshness: Freshness::Stale }, r#"{"do":"removed","freshness":"stale"}"#),
        (NextStep::Fail { failure: ReadFailure::MinVersion }, r#"{"do":"fail","failure":"min-version"}"#),
    ] {
        assert_eq!(serde_json::to_string(&step).unwrap(), text);
    }
}
