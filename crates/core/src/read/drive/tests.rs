//! Stories of reads that are driven together; each step asserts everything that is asked.

use std::collections::BTreeMap;

use super::*;
use crate::read::cache::{Freshness, ReadFailure};
use crate::read::policy::{OnInvalidate, OnUnprovable, OriginCacheControl, Policy};
use crate::read::sync::SyncResponse;
use crate::wire::position::Epoch;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: UnixMillis = UnixMillis(1_000_000);
const BOUND: Duration = Duration::from_secs(2);

impl HasEnvelope for Rc<Envelope> {
    fn envelope(&self) -> &Rc<Envelope> {
        self
    }
}

#[derive(Default)]
struct Isolate {
    known: Knowledge,
    memory: BTreeMap<Key, Rc<Envelope>>,
}

impl Local for Isolate {
    type Entry = Rc<Envelope>;
    fn known(&self) -> &Knowledge {
        &self.known
    }
    fn recall(&mut self, key: &Key) -> Option<Rc<Envelope>> {
        self.memory.get(key).cloned()
    }
}

impl Isolate {
    /// An isolate that was told of everything up to `version`, at `NOW`.
    fn at(version: u64) -> Self {
        let mut isolate = Self::default();
        isolate.hears(NOW, version, "[]");
        isolate
    }

    fn hears(&mut self, sent_at: UnixMillis, version: u64, floors: &str) {
        let (position, floors) = (position(version), serde_json::from_str(floors).unwrap());
        let to = position.version;
        let (from, looked) = (Version::ZERO, Vec::new());
        let reply = SyncResponse {
            traces: Vec::new(),
            position,
            from,
            to,
            proof_age_ms: Some(0),
            left_out: None,
            looked,
            floors,
        };
        self.known.apply(sent_at, reply);
    }

    fn poll(&mut self, driver: &mut ReadDriver<Rc<Envelope>>, now: UnixMillis) -> Poll {
        driver.poll(now, self)
    }
}

fn position(version: u64) -> Position {
    let epoch = Epoch::new(UnixMillis(1), [0; 10]);
    Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) }
}

fn key(id: u64) -> Key {
    Key::new(format!("title:{id}")).unwrap()
}

fn read(id: u64) -> ReadMachine {
    let (ttl, stale_for) = (Duration::from_secs(100), Duration::from_secs(50));
    let (lag_bound, beyond_bound, on_bump) = (BOUND, OnUnprovable::Stale, OnInvalidate::Delete);
    let (quorum, origin_cache_control) = (false, OriginCacheControl::Respect);
    let policy = Policy { ttl, stale_for, lag_bound, beyond_bound, on_bump, quorum, origin_cache_control };
    ReadMachine::new(key(id), policy, None)
}

fn entry(version: u64) -> Rc<Envelope> {
    read(0).filled(position(version), NOW, true, Vec::new(), "text/plain".into(), "\"x\"".into()).into()
}

fn ask(read: usize, tier: Tier, at: u64) -> TierQuestion {
    TierQuestion { read, tier, generation: Version::ZERO, position: position(at) }
}

#[track_caller]
fn freshness(driver: &ReadDriver<Rc<Envelope>>, read: usize) -> Freshness {
    match driver.task(read).unwrap().answer() {
        Some(Answer::Serve { freshness, .. } | Answer::Removed { freshness, .. }) => *freshness,
        other => panic!("it is no answer: {other:?}"),
    }
}

#[test]
fn a_value_in_memory_asks_no_tier() {
    let mut isolate = Isolate::at(5);
    isolate.memory.insert(key(1), entry(5));
    let mut driver = ReadDriver::begin([read(1)], NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    assert_eq!(driver.task(0).unwrap().entry(), Some(&entry(5)));
}

#[test]
fn tiers_of_several_reads_are_asked_together_and_heard_together() {
    let mut isolate = Isolate::at(5);
    let mut driver = ReadDriver::begin([read(1), read(2)], NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(vec![ask(0, Tier::Kv, 5), ask(1, Tier::Kv, 5)]));
    driver.replied(0, Tier::Kv, TierReply::Entry(entry(5)));
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Wait);
    assert!(driver.task(0).unwrap().answer().is_none(), "the other may take its time");
    driver.replied(1, Tier::Kv, TierReply::Nothing);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(vec![ask(1, Tier::Origin, 5)]));
    driver.replied(1, Tier::Origin, TierReply::Failed);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    let tasks = driver.into_tasks();
    assert_eq!(tasks[0].entry(), Some(&entry(5)));
    assert_eq!(tasks[1].answer(), Some(&Answer::Fail(ReadFailure::Origin)));
}

#[test]
fn one_sync_serves_all_and_the_strictest_bound_is_asked_for() {
    let mut isolate = Isolate::default();
    let wants =
        |version| Some(MinVersion { epoch: position(version).epoch, version: position(version).version });
    let strict = |version| {
        ReadMachine::new(key(2), Policy { lag_bound: BOUND / 4, ..*read(2).policy() }, wants(version))
    };
    let mut driver = ReadDriver::begin([read(1), strict(3), strict(4)], NOW, &mut isolate);
    let (max_age, at_least) = (BOUND / 8, wants(4));
    assert_eq!(
        isolate.poll(&mut driver, NOW),
        Poll::Sync(SyncQuestion { max_age, at_least, look: FloorLookup::default() })
    );
    isolate.hears(NOW, 4, "[]");
    driver.synced(true);
    let asked = (0..3).map(|read| ask(read, Tier::Kv, 4)).collect();
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(asked));
    assert_eq!(driver.task(1).unwrap().syncs(), 1);
}

#[test]
fn where_nothing_is_known_no_tier_is_asked() {
    let mut isolate = Isolate::default();
    let mut driver = ReadDriver::refetch(read(1), NOW, &mut isolate);
    let (max_age, at_least, look) = (BOUND / 2, None, FloorLookup::default());
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Sync(SyncQuestion { max_age, at_least, look }));
    driver.synced(false);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    assert_eq!(driver.task(0).unwrap().answer(), Some(&Answer::Fail(ReadFailure::BoundNotKept)));
}

#[test]
fn s2_an_answer_that_waited_is_judged_by_what_was_heard_meanwhile() {
    let mut isolate = Isolate::at(5);
    isolate.memory.insert(key(1), entry(5));
    let mut driver = ReadDriver::begin([read(1), read(2)], NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(vec![ask(1, Tier::Kv, 5)]));
    isolate.hears(NOW, 6, r#"[[0,"title:1",6,0,0]]"#);
    driver.replied(1, Tier::Kv, TierReply::Entry(entry(6)));
    let asked = TierQuestion { generation: position(6).version, ..ask(0, Tier::Kv, 6) };
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(vec![asked]), "memory's entry is below a floor now");
    driver.replied(0, Tier::Kv, TierReply::Entry(entry(6)));
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    assert_eq!(freshness(&driver, 0), Freshness::Fresh);
    assert_eq!(driver.task(0).unwrap().generation(), position(6).version);
}

#[test]
fn s1_an_answer_that_others_keep_waiting_again_and_again_is_given_marked() {
    let mut isolate = Isolate::at(5);
    isolate.memory.extend([(key(0), entry(5)), (key(1), entry(5))]);
    let mut driver = ReadDriver::begin([read(0), read(1)], NOW, &mut isolate);
    // While one of the two asks a tier, the other one's key changes.
    for (version, asks, tier) in [(6, 0, Tier::Kv), (7, 1, Tier::Kv), (8, 0, Tier::Origin)] {
        isolate.hears(NOW, version, &format!(r#"[[0,"title:{asks}",{version},0,0]]"#));
        if version > 6 {
            driver.replied(1 - asks, Tier::Kv, TierReply::Entry(entry(version)));
        }
        let generation = position(version).version;
        let asked = TierQuestion { generation, ..ask(asks, tier, version) };
        assert_eq!(isolate.poll(&mut driver, NOW), Poll::Ask(vec![asked]));
    }
    isolate.hears(NOW, 9, r#"[[0,"title:1",9,0,0]]"#);
    driver.replied(0, Tier::Origin, TierReply::Entry(entry(9)));
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    assert_eq!((freshness(&driver, 0), freshness(&driver, 1)), (Freshness::Fresh, Freshness::Stale));
    assert!(driver.task(1).unwrap().is_overdue() && !driver.task(0).unwrap().is_overdue());
}

/// Returns a read as the landing of a value that was fetched from `version` on, for a caller that has heard that version.
fn leased(id: u64, version: u64) -> ReadMachine {
    let Position { epoch, version, .. } = position(version);
    let read = read(id);
    ReadMachine::new(read.key().clone(), *read.policy(), Some(MinVersion { epoch, version }))
}

#[test]
fn a_value_that_a_caller_hands_in_fills_every_tier() {
    let mut isolate = Isolate::at(7);
    let mut driver = ReadDriver::land(leased(1, 5).with_r2(true), entry(5), NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    let tasks = driver.into_tasks();
    let (from, freshness, refresh) = (Tier::Origin, Freshness::Fresh, false);
    let fill = vec![Tier::Memory, Tier::Kv, Tier::R2];
    assert_eq!(tasks[0].answer(), Some(&Answer::Serve { from, freshness, refresh, fill }));
    assert_eq!(tasks[0].entry().unwrap().position, position(5), "as the lease says, not as the reader knows");
}

#[test]
fn a_value_that_a_change_overtook_is_refused_and_not_asked_for_again() {
    let mut isolate = Isolate::at(5);
    isolate.hears(NOW, 7, r#"[[0,"title:1",6,0,0]]"#);
    let mut driver = ReadDriver::land(leased(1, 5), entry(5), NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    let tasks = driver.into_tasks();
    assert_eq!(tasks[0].answer(), Some(&Answer::Fail(ReadFailure::Overtaken)));
    let mut driver = ReadDriver::land(leased(1, 6), entry(6), NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    let tasks = driver.into_tasks();
    assert!(matches!(tasks[0].answer(), Some(Answer::Serve { .. })));
    assert_eq!(tasks[0].generation(), position(6).version, "KV's name holds the key's hard floor");
}

#[test]
fn a_reader_that_has_not_heard_the_position_of_a_lease_asks_before_it_judges() {
    let mut isolate = Isolate::at(5);
    let mut driver = ReadDriver::land(leased(1, 6), entry(6), NOW, &mut isolate);
    let Poll::Sync(question) = isolate.poll(&mut driver, NOW) else { panic!("it judges by what it knows") };
    assert_eq!(question.at_least.unwrap().version, position(6).version);
    isolate.hears(NOW, 8, r#"[[0,"title:1",8,0,0]]"#);
    driver.synced(true);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    assert_eq!(driver.into_tasks()[0].answer(), Some(&Answer::Fail(ReadFailure::Overtaken)));
}

#[test]
fn a_value_whose_floors_cannot_be_proved_is_not_taken() {
    let mut isolate = Isolate::at(5);
    let late = NOW.plus(BOUND * 2);
    let mut driver = ReadDriver::land(leased(1, 5), entry(5), late, &mut isolate);
    assert!(matches!(isolate.poll(&mut driver, late), Poll::Sync(_)));
    driver.synced(false);
    assert_eq!(isolate.poll(&mut driver, late), Poll::Done);
    assert_eq!(driver.into_tasks()[0].answer(), Some(&Answer::Fail(ReadFailure::BoundNotKept)));
}

#[test]
fn a_value_of_a_key_that_the_log_removed_is_not_taken() {
    let mut isolate = Isolate::at(5);
    isolate.hears(NOW, 6, r#"[[0,"title:1",6,0,6]]"#);
    let mut driver = ReadDriver::land(leased(1, 6), entry(6), NOW, &mut isolate);
    assert_eq!(isolate.poll(&mut driver, NOW), Poll::Done);
    let (at, freshness) = (position(6).version, Freshness::Fresh);
    assert_eq!(driver.into_tasks()[0].answer(), Some(&Answer::Removed { at, freshness }));
}
