//! Stories of the way past KV: R2, floors that are not remembered, fills ahead of any reader, explanations.

use super::*;
use crate::read::sync::LeftOut;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A reader with R2.
fn with_r2(policy: Policy) -> Story {
    let mut story = Story::new(policy);
    story.read = story.read.with_r2(true);
    story
}

fn fills(from: Tier, fill: &[Tier]) -> Step {
    let freshness = Freshness::Fresh;
    Step::Answer(Answer::Serve { from, freshness, refresh: false, fill: fill.to_vec() })
}

fn look(keys: &[&str], tags: &[&str]) -> FloorLookup {
    FloorLookup {
        keys: keys.iter().map(|key| Key::new(*key).unwrap()).collect(),
        tags: tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect(),
    }
}

fn looking(keys: &[&str], tags: &[&str]) -> Step {
    Step::Sync { max_age: BOUND / 2, at_least: None, look: look(keys, tags) }
}

// --- R2 ---

#[test]
fn r2_is_asked_after_kv_and_fills_what_is_above_it() {
    let mut story = with_r2(stale());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::R2));
    let entry = story.entry(3);
    story.expect(held(Tier::R2, entry), fills(Tier::R2, &[Tier::Memory, Tier::Kv]));
    story.visited(&[
        (Tier::Memory, TierResult::Miss),
        (Tier::Kv, TierResult::Miss),
        (Tier::R2, TierResult::Hit),
    ]);
}

#[test]
fn a_fill_goes_into_r2_too() {
    let mut story = with_r2(stale());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Failed(Tier::Kv), ask(Tier::R2));
    story.expect(Event::Failed(Tier::R2), ask(Tier::Origin));
    let entry = story.entry(10);
    story.expect(held(Tier::Origin, entry), fills(Tier::Origin, &[Tier::Memory, Tier::Kv, Tier::R2]));
}

#[test]
fn s2_an_entry_below_a_hard_floor_is_refused_in_r2_as_in_kv() {
    for (change, by) in [
        (UPDATE, FloorKind::Key),
        (r#"{"tag":"netflix"}"#, FloorKind::Tag),
        (r#"{"prefix":"tit"}"#, FloorKind::Prefix),
        (r#"{"all":true}"#, FloorKind::All),
    ] {
        let mut story = with_r2(stale());
        story.hears(11, &[(11, change)]);
        let generation = if by == FloorKind::Key { 11 } else { 0 };
        let old = story.entry(10);
        story.expect(Event::Begin, ask_for(Tier::Memory, generation));
        story.expect(Event::Missed(Tier::Memory), ask_for(Tier::Kv, generation));
        story.expect(Event::Missed(Tier::Kv), ask_for(Tier::R2, generation));
        story.expect(held(Tier::R2, old), ask_for(Tier::Origin, generation));
        let seen = (Tier::R2, TierResult::Below(by));
        assert!(story.read.visits().contains(&seen));
    }
}

#[test]
fn an_expired_entry_waits_for_r2_before_it_is_served_marked() {
    let mut story = with_r2(stale());
    let old = story.entry_of(position(1, 3), TTL);
    let newer = story.entry_of(position(1, 5), TTL);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::R2));
    story.expect(held(Tier::R2, newer), revalidating(Tier::R2));
}

#[test]
fn s1_a_bound_that_passes_while_r2_is_asked_is_proved_again() {
    let mut story = with_r2(fail());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::R2));
    story.later(BOUND * 2);
    let old = story.entry(10);
    story.expect(held(Tier::R2, old), sync(BOUND / 2));
    story.hears(11, &[(11, UPDATE)]);
    story.expect(Event::Synced { proved: true }, ask_for(Tier::Origin, 11));
}

// --- floors that are not remembered ---

/// A reader with a snapshot that left out the floors up to version 8.
fn forgetful() -> Story {
    let mut story = with_r2(stale());
    story.known = Knowledge::default();
    story.known.apply(story.now, story.told("[]", Some(8)));
    story
}

impl Story {
    /// A reply at version 10 without any floors, apart from those that it left out or looked up.
    fn told(&self, looked: &str, left_out: Option<u64>) -> SyncResponse {
        SyncResponse {
            traces: Vec::new(),
            position: position(1, 10),
            from: v(0),
            to: v(10),
            proof_age_ms: Some(0),
            floors: Vec::new(),
            left_out: left_out.map(|to| LeftOut { to: v(to), tags_hard: v(0), tags_soft: v(0) }),
            looked: serde_json::from_str(looked).unwrap(),
        }
    }

    /// The replica tells the floors that were looked up.
    fn learns(&mut self, look: &FloorLookup, looked: &str) {
        let reply = self.told(looked, None);
        assert_eq!(self.known.learn(self.now, look, reply), Applied::Whole);
    }
}

#[test]
fn an_entry_filled_since_the_mark_needs_no_floor_of_its_key() {
    let mut story = forgetful();
    let entry = story.entry(8);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), hit());
}

#[test]
fn s2_an_older_entry_is_judged_after_its_floors_were_looked_up() {
    for (looked, next) in [
        ("[]", hit()),
        (r#"[[0,"title:1",5,0,0]]"#, hit()),
        (r#"[[0,"title:1",7,0,0]]"#, ask_for(Tier::Kv, 7)),
        (r#"[[1,"netflix",7,0,0]]"#, ask(Tier::Kv)),
    ] {
        let mut story = forgetful();
        let entry = story.entry(5);
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(held(Tier::Memory, entry), looking(&["title:1"], &["netflix"]));
        story.learns(&look(&["title:1"], &["netflix"]), looked);
        story.expect(Event::Synced { proved: true }, next);
    }
}

#[test]
fn kv_is_not_asked_before_the_generation_is_known() {
    let mut story = forgetful();
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), looking(&["title:1"], &[]));
    story.learns(&look(&["title:1"], &[]), r#"[[0,"title:1",6,0,0]]"#);
    story.expect(Event::Synced { proved: true }, ask_for(Tier::Kv, 6));
    let tagged = story.entry(6);
    story.expect(held(Tier::Kv, tagged), looking(&["title:1"], &["netflix"]));
    story.learns(&look(&["title:1"], &["netflix"]), "[]");
    story.expect(Event::Synced { proved: true }, fills(Tier::Kv, &[Tier::Memory]));
}

#[test]
fn s2_a_removal_that_was_forgotten_is_the_answer_once_it_is_looked_up() {
    let mut story = forgetful();
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), looking(&["title:1"], &[]));
    story.learns(&look(&["title:1"], &[]), r#"[[0,"title:1",6,0,6]]"#);
    story.expect(Event::Synced { proved: true }, removed(6));
}

#[test]
fn s2_what_cannot_be_looked_up_is_refused_and_no_spare() {
    let mut story = forgetful();
    let entry = story.entry(5);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), looking(&["title:1"], &["netflix"]));
    story.expect(Event::Synced { proved: false }, looking(&["title:1"], &[]));
    story.expect(Event::Synced { proved: false }, ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), looking(&["title:1"], &[]));
    story.expect(Event::Synced { proved: false }, ask(Tier::R2));
    story.expect(Event::Missed(Tier::R2), looking(&["title:1"], &[]));
    story.expect(Event::Synced { proved: false }, ask(Tier::Origin));
    story.expect(Event::Failed(Tier::Origin), failure(ReadFailure::Origin));
    assert_eq!(story.read.visits()[0], (Tier::Memory, TierResult::Unknown));
}

// --- prefetch ---

#[test]
fn a_fill_ahead_begins_at_kv_and_leaves_memory_alone() {
    let ahead = || {
        let mut story = with_r2(stale());
        story.read = story.read.prefetching();
        story.expect(Event::Begin, ask(Tier::Kv));
        story
    };
    let mut story = ahead();
    let entry = story.entry(3);
    story.expect(held(Tier::Kv, entry.clone()), fills(Tier::Kv, &[]));

    let mut story = ahead();
    story.expect(Event::Missed(Tier::Kv), ask(Tier::R2));
    story.expect(held(Tier::R2, entry), fills(Tier::R2, &[Tier::Kv]));

    let mut story = ahead();
    let expired = story.entry_of(position(1, 3), TTL);
    story.expect(held(Tier::Kv, expired), ask(Tier::R2));
    story.expect(Event::Missed(Tier::R2), ask(Tier::Origin));
    let entry = story.entry(10);
    story.expect(held(Tier::Origin, entry), fills(Tier::Origin, &[Tier::Kv, Tier::R2]));
}

// --- delayed ---

#[test]
fn s1_an_answer_that_waited_for_others_is_judged_anew() {
    let mut story = with_r2(stale());
    let entry = story.entry(10);
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry.clone()), hit());
    story.expect(Event::Delayed, hit());
    story.visited(&[(Tier::Memory, TierResult::Hit)]);
    story.later(BOUND * 2);
    story.expect(Event::Delayed, sync(BOUND / 2));
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    story.expect(Event::Synced { proved: true }, ask(Tier::Kv));

    let mut story = with_r2(stale());
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
    story.expect(Event::Missed(Tier::Kv), ask(Tier::R2));
    story.expect(Event::Missed(Tier::R2), ask(Tier::Origin));
    story.expect(held(Tier::Origin, entry), fills(Tier::Origin, &[Tier::Memory, Tier::Kv, Tier::R2]));
    story.hears(11, &[(11, UPDATE)]);
    story.expect(Event::Delayed, ask_for(Tier::Origin, 11));

    let mut story = with_r2(stale());
    story.hears(11, &[(11, REMOVE)]);
    story.expect(Event::Begin, removed(11));
    story.hears(12, &[(12, r#"{"all":true}"#)]);
    story.expect(Event::Delayed, ask_for(Tier::Memory, 11));
}

#[test]
fn s1_an_answer_without_a_proof_does_not_become_fresh_by_waiting() {
    let mut story = with_r2(policy(Duration::ZERO, OnUnprovable::Stale));
    let entry = story.entry(10);
    story.expect(Event::Begin, sync(Duration::ZERO));
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), serve(Tier::Memory, Freshness::Stale));
    story.expect(Event::Delayed, serve(Tier::Memory, Freshness::Stale));
}

#[test]
fn an_answer_without_a_proof_is_fresh_if_the_proof_comes_while_it_waits() {
    let mut story = with_r2(stale());
    let entry = story.entry(10);
    story.later(BOUND * 2);
    story.expect(Event::Begin, sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, ask(Tier::Memory));
    story.expect(held(Tier::Memory, entry), serve(Tier::Memory, Freshness::Stale));
    story.hears(10, &[]);
    story.expect(Event::Delayed, hit());
}

#[test]
fn s1_an_answer_that_waited_too_often_is_marked_or_fails() {
    let begun = |policy| {
        let mut story = with_r2(policy);
        let entry = story.entry(10);
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(held(Tier::Memory, entry), hit());
        story
    };
    let Step::Answer(answer) = hit() else { panic!("a hit is an answer") };
    let late = |story: &Story| Step::Answer(story.read.expired_answer(story.now, &story.known, &answer));
    assert_eq!(late(&begun(stale())), serve(Tier::Memory, Freshness::Stale));
    assert_eq!(late(&begun(fail())), failure(ReadFailure::BoundNotKept));
    let mut story = begun(stale());
    story.hears(11, &[(11, REMOVE)]);
    assert_eq!(
        late(&story),
        failure(ReadFailure::BoundNotKept),
        "what was removed is not shown, marked or not"
    );
}

// --- why ---

#[test]
fn a_read_that_takes_notes_tells_its_steps_and_its_floors() {
    let mut story = with_r2(stale());
    story.read = story.read.explained();
    story.hears(11, &[(11, UPDATE)]);
    let old = story.entry(10);
    story.expect(Event::Begin, ask_for(Tier::Memory, 11));
    story.expect(held(Tier::Memory, old), ask_for(Tier::Kv, 11));
    story.later(BOUND * 2);
    story.expect(Event::Missed(Tier::Kv), sync(BOUND / 2));
    story.expect(Event::Synced { proved: false }, ask_for(Tier::R2, 11));
    story.expect(Event::Missed(Tier::R2), ask_for(Tier::Origin, 11));
    let entry = story.entry(11);
    let Step::Answer(answer) = story.read.next(story.now, &story.known, held(Tier::Origin, entry)) else {
        panic!("it has an answer")
    };
    let steps: Vec<serde_json::Value> = story.read.notes().iter().map(Note::to_json).collect();
    let told: Vec<_> =
        steps.iter().map(|step| (step["step"].as_str().unwrap(), step["found"].as_str())).collect();
    assert_eq!(
        told,
        [
            ("memory", Some("below-floor-of-key")),
            ("sync", None),
            ("kv", Some("miss")),
            ("r2", Some("miss")),
            ("origin", Some("hit"))
        ]
    );
    assert_eq!(steps[0]["entry"]["position"], position(1, 10).to_string());
    let own = serde_json::json!({ "target": "key", "name": "title:1", "hard": 11, "soft": 0, "removed": 0, "held": true });
    assert_eq!(steps[0]["floors"][0], own);
    assert!(steps.iter().all(|step| step.get("not_stored").is_none()), "the value is stored");
    assert_eq!((&steps[1]["proved"], &steps[1]["lag_ms"]), (&false.into(), &4_000.into()));
    let (serve, freshness) = (answer.to_json()["serve"].clone(), answer.to_json()["freshness"].clone());
    assert_eq!((serve, freshness), ("origin".into(), "stale".into()));
    assert!(Story::new(stale()).read.notes().is_empty(), "who is not asked takes none");
}

#[test]
fn a_value_that_no_tier_stores_is_explained_and_counted_by_its_reason() {
    use crate::metrics::counts::{Count, Counts};
    use crate::read::origin_answer::NotStored;
    for (why, code, counter) in [
        (NotStored::NoStore, "no-store", Count::NotStoredNoStore),
        (NotStored::Private, "private", Count::NotStoredPrivate),
        (NotStored::NoCache, "no-cache", Count::NotStoredNoCache),
        (NotStored::Vary("Cookie".to_owned()), "vary", Count::NotStoredVary),
    ] {
        let mut story = Story::new(stale());
        story.read = story.read.explained();
        let entry = Envelope { not_stored: Some(why.clone()), ..story.entry(10) };
        story.expect(Event::Begin, ask(Tier::Memory));
        story.expect(Event::Missed(Tier::Memory), ask(Tier::Kv));
        story.expect(Event::Missed(Tier::Kv), ask(Tier::Origin));
        let Step::Answer(answer) = story.read.next(story.now, &story.known, held(Tier::Origin, entry)) else {
            panic!("it has an answer")
        };
        let step = story.read.notes().last().unwrap().to_json();
        let told = serde_json::json!({ "code": code, "detail": why.to_string() });
        assert_eq!((&step["step"], &step["not_stored"]), (&"origin".into(), &told));
        let mut counts = Counts::default();
        story.read.count(&answer, true, &mut counts);
        assert_eq!((counts.get("title", counter), counts.get("title", Count::MemoryFill)), (1, 0), "{code}");
        let mut behind = Counts::default();
        story.read.count_not_stored(&mut behind);
        assert_eq!((behind.get("title", counter), behind.get("title", Count::Reads)), (1, 0), "{code}");
    }
}

// --- counted ---

#[test]
fn a_read_is_counted_once_by_its_answer_and_by_each_tier_it_asked() {
    use crate::metrics::counts::{Count, Counts};
    let mut story = with_r2(stale());
    story.hears(11, &[(11, r#"{"tag":"netflix"}"#)]);
    let (old, new) = (story.entry(10), story.not_found(11));
    story.expect(Event::Begin, ask(Tier::Memory));
    story.expect(held(Tier::Memory, old), ask(Tier::Kv));
    story.expect(Event::Failed(Tier::Kv), ask(Tier::R2));
    story.expect(Event::Missed(Tier::R2), ask(Tier::Origin));
    let Step::Answer(answer) = story.read.next(story.now, &story.known, held(Tier::Origin, new)) else {
        panic!("it has an answer")
    };
    let mut counts = Counts::default();
    story.read.count(&answer, false, &mut counts);
    let counted: Vec<Count> =
        Count::ALL.iter().copied().filter(|one| counts.get("title", *one) == 1).collect();
    let expected = [
        Count::Reads,
        Count::MemoryMiss,
        Count::KvFailed,
        Count::R2Miss,
        Count::OriginMiss,
        Count::BelowTag,
        Count::NotFound,
        Count::MemoryFill,
        Count::KvFill,
        Count::R2Fill,
    ];
    assert_eq!(counted, expected);

    let mut counts = Counts::default();
    story.read.count(&Answer::Fail(ReadFailure::Origin), false, &mut counts);
    assert_eq!((counts.get("title", Count::OriginDown), counts.get("title", Count::Reads)), (1, 1));
}
