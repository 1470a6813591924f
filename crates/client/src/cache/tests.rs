//! The desk, driven as JavaScript drives it: what is heard while reads and fills are under way.

use std::time::Duration;

use newsreel_core::read::cache::{Freshness, Tier};
use newsreel_core::read::floors::raised_by;
use newsreel_core::wire::{Change, Epoch, Key, Position, Tag, UnixMillis, Version};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::desk::{Brought, Desk};
use super::options::{Promise, Unkept};
use super::shelf::Bounds;
use super::walk::{Turn, Wish};
use crate::session::Heard;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn at(version: u64) -> Position {
    let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
    Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) }
}

fn key() -> Key {
    Key::new("title:1".to_owned()).unwrap()
}

/// A desk that has heard everything up to version 3, as of now.
fn desk() -> Desk {
    let mut desk = Desk::new(Bounds { entries: 100, bytes: 1 << 20 });
    let minute = Duration::from_secs(60);
    let promise = Promise { ttl: minute, stale_for: minute, lag_bound: minute, unkept: Unkept::Stale };
    desk.classes.say("title".to_owned(), promise);
    assert!(!desk.hear(&[], Some(at(3)), Some(NOW), &[]), "nothing was there to be forgotten");
    desk
}

/// Hears of one change more.
fn hear(desk: &mut Desk, change: Change) {
    let held = desk.known.position().unwrap();
    let to = Position { version: held.version.next(), ..held };
    let floors = raised_by([(to.version, &change)]);
    desk.hear(&[Heard::Raised { epoch: to.epoch, floors, position: Some(to) }], Some(to), Some(NOW), &[]);
}

fn brought(tags: &[&str]) -> Brought {
    let tags = tags.iter().map(|tag| Tag::new((*tag).to_owned()).unwrap()).collect();
    Brought { found: true, tags, ttl: None, stale_for: None, bytes: 10 }
}

/// Begins a read that has to fetch, and boards.
fn begin(desk: &mut Desk) -> (u32, u32) {
    let walk = desk.begin(key(), Wish::default(), 0, NOW);
    assert_eq!(desk.turn(walk), Some(Turn::Fetch));
    (walk, desk.board(walk, 0, NOW).unwrap().0)
}

/// Lands a flight for a walk, and keeps what it brought where that is said.
fn land(desk: &mut Desk, walk: u32, flight: u32, tags: &[&str]) -> Turn {
    desk.land(flight, brought(tags));
    let turn = desk.landed(walk, flight, NOW).unwrap();
    if matches!(turn, Turn::Serve { keep: true, .. }) {
        desk.keep(walk, flight).unwrap();
    }
    turn
}

fn is_fresh(turn: Turn, tier: Tier) -> bool {
    matches!(turn, Turn::Serve { from, freshness: Freshness::Fresh, .. } if from == tier)
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
        let mut desk = desk();
        let (walk, flight) = begin(&mut desk);
        assert!(is_fresh(land(&mut desk, walk, flight, &["a"]), Tier::Origin));
        for spare in spares {
            hear(&mut desk, serde_json::from_str(spare).unwrap());
        }
        let slot = desk.shelf.slot("title:1").unwrap();
        assert!(is_fresh(desk.hit(slot, NOW).unwrap(), Tier::Memory));
        hear(&mut desk, cover.clone());
        assert_eq!(desk.hit(slot, NOW), None, "{cover:?}");
        desk.end(walk);
        desk.end_flight(flight);
        let walk = desk.begin(key(), Wish::default(), 1, NOW);
        assert_eq!(desk.turn(walk), Some(Turn::Fetch), "{cover:?}");
    }
}

#[test]
fn s2_a_fill_from_before_a_change_is_not_kept_and_who_waited_for_it_fetches_again() {
    let mut desk = desk();
    let (walk, flight) = begin(&mut desk);
    hear(&mut desk, serde_json::from_str(r#"{"tag":"a"}"#).unwrap());
    assert_eq!(land(&mut desk, walk, flight, &["a"]), Turn::Fetch);
    assert_eq!(desk.shelf.count(), 0);
    let (again, begun) = desk.board(walk, 1, NOW).unwrap();
    assert!(begun && again != flight);
    assert!(is_fresh(land(&mut desk, walk, again, &["a"]), Tier::Origin));
}

#[test]
fn s2_who_reads_after_a_change_does_not_wait_for_a_fetch_from_before_it() {
    let mut desk = desk();
    let (_, early) = begin(&mut desk);
    let (_, shared) = begin(&mut desk);
    assert_eq!(shared, early, "until something changes");
    hear(&mut desk, Change::update(key(), vec![]));
    let (_, late) = begin(&mut desk);
    assert_ne!(late, early);
    desk.end_flight(early);
    let (_, later) = begin(&mut desk);
    assert_eq!(later, late, "the newest is found, whichever has ended");
}

#[test]
fn e1_a_reset_forgets_what_is_kept_and_refuses_what_is_on_its_way() {
    let mut desk = desk();
    let (kept, flight) = begin(&mut desk);
    land(&mut desk, kept, flight, &[]);
    desk.end(kept);
    desk.end_flight(flight);
    let other = desk.begin(Key::new("title:2".to_owned()).unwrap(), Wish::default(), 0, NOW);
    let (late, _) = desk.board(other, 0, NOW).unwrap();
    let newer = Position::genesis(Epoch::new(UnixMillis(2_000_000_000_000), [0; 10]));
    assert!(desk.hear(&[Heard::Reset { position: newer }], Some(newer), Some(NOW), &[]));
    assert_eq!(desk.shelf.count(), 0);
    assert_eq!(land(&mut desk, other, late, &[]), Turn::Fetch);
}

#[test]
fn s1_a_bound_that_has_passed_asks_for_a_proof_before_the_answer() {
    let mut desk = desk();
    let (walk, flight) = begin(&mut desk);
    land(&mut desk, walk, flight, &[]);
    let slot = desk.shelf.slot("title:1").unwrap();
    let late = NOW.plus(Duration::from_secs(61));
    assert_eq!(desk.hit(slot, late), None);
    let walk = desk.begin(key(), Wish::default(), 1, late);
    assert!(matches!(desk.turn(walk), Some(Turn::Prove { .. })));
    let Some(Turn::Serve { freshness, .. }) = desk.proved(walk, false, late) else { panic!("it is marked") };
    assert_eq!(freshness, Freshness::Stale);
}

#[test]
fn floors_that_can_refuse_nothing_are_not_held() {
    let mut desk = desk();
    for id in 0..10_000 {
        hear(&mut desk, Change::update(Key::new(format!("other:{id}")).unwrap(), vec![]));
    }
    assert!(desk.floors() < 10, "{}", desk.floors());
    // Of what is on its way nobody knows yet what could refuse it; but that does not grow with time.
    for round in 0..50 {
        desk.clear();
        let (walk, flight) = begin(&mut desk);
        for id in 0..1_000 {
            hear(&mut desk, Change::update(Key::new(format!("other:{round}-{id}")).unwrap(), vec![]));
        }
        assert!(desk.floors() >= 1_000);
        desk.end(walk);
        desk.end_flight(flight);
    }
    assert!(desk.floors() < 10_000, "{}", desk.floors());
}
