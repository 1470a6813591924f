//! Floors: what is raised, dropped, bounded and judged.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn v(number: u64) -> Version {
    Version::new(number).unwrap()
}

/// Floors made by JSON changes, the first at version 1.
fn floors(changes: &[&str]) -> Floors {
    let mut floors = Floors::default();
    for (index, json) in changes.iter().enumerate() {
        let change: Change = serde_json::from_str(json).unwrap();
        for row in raised_by([(v(index as u64 + 1), &change)]) {
            floors.raise(row);
        }
    }
    floors
}

fn judge(floors: &Floors, fill: u64, tags: &[&str]) -> Judgement {
    let tags: Vec<Tag> = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
    floors.judge(&key("title:1"), v(fill), EntryTags::Tags(&tags))
}

#[test]
fn s2_an_entry_below_the_hard_floor_of_key_tag_prefix_or_everything_is_refused() {
    for (change, by) in [
        (r#"{"key":"title:1"}"#, FloorKind::Key),
        (r#"{"tag":"netflix"}"#, FloorKind::Tag),
        (r#"{"prefix":"tit"}"#, FloorKind::Prefix),
        (r#"{"all":true}"#, FloorKind::All),
    ] {
        let floors = floors(&[r#"{"key":"other:1"}"#, change]);
        assert_eq!(judge(&floors, 1, &["netflix"]), Judgement::Below(by));
        assert_eq!(judge(&floors, 2, &["netflix"]), Judgement::Clear, "filled at the floor");
    }
}

#[test]
fn what_does_not_cover_the_entry_does_not_refuse_it() {
    let floors = floors(&[r#"{"key":"title:2"}"#, r#"{"tag":"hulu"}"#, r#"{"prefix":"title:12"}"#]);
    assert_eq!(judge(&floors, 0, &["netflix"]), Judgement::Clear);
}

#[test]
fn a_soft_floor_marks_and_does_not_lower_a_hard_one() {
    let floors = floors(&[r#"{"key":"title:1"}"#, r#"{"key":"title:1","soft":true}"#]);
    assert_eq!(judge(&floors, 0, &[]), Judgement::Below(FloorKind::Key));
    assert_eq!(judge(&floors, 1, &[]), Judgement::Soft);
    assert_eq!(judge(&floors, 2, &[]), Judgement::Clear);
}

#[test]
fn not_found_counts_as_carrying_every_tag() {
    let floors = floors(&[r#"{"tag":"hulu"}"#]);
    assert_eq!(floors.judge(&key("title:1"), v(0), EntryTags::EveryTag), Judgement::Below(FloorKind::Tag));
    assert_eq!(floors.judge(&key("title:1"), v(1), EntryTags::EveryTag), Judgement::Clear);
}

#[test]
fn a_removal_holds_until_anything_later_is_said() {
    let remove = r#"{"key":"title:1","op":"remove"}"#;
    assert_eq!(floors(&[remove]).removed(&key("title:1")), Some(v(1)));
    assert_eq!(floors(&[r#"{"all":true}"#, remove]).removed(&key("title:1")), Some(v(2)));
    for later in [
        r#"{"key":"title:1"}"#,
        r#"{"tag":"any"}"#,
        r#"{"prefix":"t"}"#,
        r#"{"all":true}"#,
        r#"{"key":"title:1","soft":true}"#,
    ] {
        assert_eq!(floors(&[remove, later]).removed(&key("title:1")), None, "{later}");
    }
    assert_eq!(floors(&[r#"{"key":"title:1"}"#]).removed(&key("title:1")), None);
}

#[test]
fn a_key_of_which_only_a_soft_change_or_nothing_is_known_was_not_removed() {
    let mut known = floors(&[r#"{"key":"title:2","soft":true}"#]);
    known.raise(FloorRow { target: Target::Key(key("title:1")), floor: Floor::default() });
    assert_eq!(known.removed(&key("title:1")), None, "it was looked up, and nothing was ever said of it");
    assert_eq!(known.removed(&key("title:2")), None);
}

#[test]
fn the_generation_is_the_keys_own_hard_floor() {
    let floors = floors(&[r#"{"key":"title:1"}"#, r#"{"all":true}"#, r#"{"key":"title:1","soft":true}"#]);
    assert_eq!(floors.generation(&key("title:1")), v(1));
    assert_eq!(floors.generation(&key("title:2")), v(0));
}

/// Floors of a hundred keys, `title:1` at version 1 and so on, of which the newest forty are left.
fn bounded() -> (Floors, Floors) {
    let mut changes = vec![r#"{"key":"title:1","op":"remove"}"#.to_owned()];
    changes.extend((2..=100).map(|n| format!(r#"{{"key":"title:{n}"}}"#)));
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let whole = floors(&changes);
    let mut bounded = whole.clone();
    bounded.evict_oldest(100, 40);
    assert_eq!(bounded.count(), 100, "there is room");
    bounded.evict_oldest(99, 40);
    assert_eq!(bounded.count(), 40);
    (whole, bounded)
}

#[test]
fn s2_a_dropped_floor_is_asked_for_where_it_could_refuse() {
    let (whole, bounded) = bounded();
    for n in 1..=101 {
        for fill in 0..=101 {
            let name = key(&format!("title:{n}"));
            let (known, judged) = (
                whole.judge(&name, v(fill), EntryTags::Tags(&[])),
                bounded.judge(&name, v(fill), EntryTags::Tags(&[])),
            );
            assert!(judged == known || judged == Judgement::Unknown, "title:{n} filled at {fill}");
            assert!(judged == known || fill < 60, "nothing at or above W is asked for");
        }
    }
    let tags = [Tag::new("netflix").unwrap()];
    assert_eq!(bounded.judge(&key("title:90"), v(95), EntryTags::Tags(&tags)), Judgement::Clear);
    let mut known = bounded.clone();
    known.raise(FloorRow { target: Target::Key(key("title:2")), floor: Floor::default() });
    assert_eq!(known.judge(&key("title:2"), v(5), EntryTags::Tags(&tags)), Judgement::Unknown, "the tag");
    known.raise(FloorRow { target: Target::Tag(tags[0].clone()), floor: Floor::default() });
    assert_eq!(known.judge(&key("title:2"), v(5), EntryTags::Tags(&tags)), Judgement::Clear);
}

#[test]
fn a_key_whose_floor_was_dropped_has_no_generation_until_it_is_told_again() {
    let (whole, mut bounded) = bounded();
    assert!(bounded.knows(&key("title:90")) && !bounded.knows(&key("title:2")));
    assert!(whole.knows(&key("title:2")) && whole.knows(&key("never:1")), "nothing was dropped");
    bounded
        .raise(FloorRow { target: Target::Key(key("title:2")), floor: Floor::of(Operation::Update, v(2)) });
    assert!(bounded.knows(&key("title:2")));
    assert_eq!(bounded.generation(&key("title:2")), v(2));
}

#[test]
fn s2_a_dropped_removal_is_taken_for_one_until_it_is_told_again() {
    let (whole, mut bounded) = bounded();
    assert!(!whole.was_removed_after(&key("title:2"), v(0)));
    assert!(bounded.was_removed_after(&key("title:1"), v(0)), "what was there before is not shown");
    assert!(bounded.was_removed_after(&key("title:2"), v(0)), "it may have been");
    assert!(!bounded.was_removed_after(&key("title:2"), v(60)), "not since W");
    assert_eq!(bounded.removed(&key("title:1")), None, "whether it still holds is for the origin to say");
    bounded
        .raise(FloorRow { target: Target::Key(key("title:1")), floor: Floor::of(Operation::Remove, v(1)) });
    assert_eq!(bounded.removed(&key("title:1")), Some(v(1)));
    assert!(!bounded.was_removed_after(&key("title:1"), v(1)));
}

#[test]
fn s2_dropped_floors_of_tags_refuse_what_is_not_found() {
    let mut floors = floors(&[r#"{"key":"title:1"}"#, r#"{"tag":"hulu"}"#, r#"{"key":"title:3"}"#]);
    floors.evict_oldest(2, 1);
    assert_eq!(floors.count(), 1);
    assert_eq!(floors.judge(&key("title:9"), v(1), EntryTags::EveryTag), Judgement::Below(FloorKind::Tag));
}

#[test]
fn s2_dropped_floors_of_prefixes_become_one_of_everything() {
    let changes: Vec<String> = (1..=20).map(|n| format!(r#"{{"prefix":"title:{n}"}}"#)).collect();
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let whole = floors(&changes);
    let mut bounded = whole.clone();
    bounded.evict_oldest_prefixes(10);
    assert!(bounded.count() <= 10 && bounded.count() >= 5, "{}", bounded.count());
    for n in 1..=20 {
        for fill in 0..=20 {
            let name = key(&format!("title:{n}"));
            if whole.judge(&name, v(fill), EntryTags::EveryTag) != Judgement::Clear {
                assert_ne!(bounded.judge(&name, v(fill), EntryTags::EveryTag), Judgement::Clear);
            }
        }
    }
}

#[test]
fn floors_that_no_read_needs_are_dropped_and_the_rest_judges_as_before() {
    let changes = [r#"{"key":"title:1"}"#, r#"{"tag":"a"}"#, r#"{"prefix":"tit"}"#, r#"{"key":"title:2"}"#];
    let mut floors = floors(&changes);
    floors.retain(|by, name, floor| by != FloorKind::Prefix && name != "title:2" && floor.newest() > v(0));
    assert_eq!((floors.count(), floors.watermark()), (2, v(0)));
    assert_eq!(judge(&floors, 0, &[]), Judgement::Below(FloorKind::Key));
    assert_eq!(judge(&floors, 1, &["a"]), Judgement::Below(FloorKind::Tag));
    assert_eq!(judge(&floors, 1, &[]), Judgement::Clear, "the prefix is forgotten");
    assert_eq!(floors.judge(&key("title:2"), v(0), EntryTags::Tags(&[])), Judgement::Clear);
}

#[test]
fn what_was_left_out_takes_what_is_held_with_it() {
    let mut floors = floors(&[r#"{"key":"title:1"}"#]);
    floors.drop_untold(v(9));
    assert_eq!(floors.judge(&key("title:1"), v(1), EntryTags::Tags(&[])), Judgement::Unknown);
    assert_eq!(floors.judge(&key("title:1"), v(9), EntryTags::Tags(&[])), Judgement::Clear);
}

#[test]
fn an_explanation_shows_every_floor_over_the_entry() {
    let floors = floors(&[r#"{"key":"title:1"}"#, r#"{"prefix":"tit"}"#, r#"{"tag":"a"}"#]);
    let tags = [Tag::new("a").unwrap(), Tag::new("b").unwrap()];
    let shown = floors.consulted(&key("title:1"), EntryTags::Tags(&tags));
    let shown: Vec<(FloorKind, &str, Option<u64>)> = shown
        .iter()
        .map(|one| (one.by, one.name.as_str(), one.floor.map(|floor| floor.hard.number())))
        .collect();
    assert_eq!(
        shown,
        [
            (FloorKind::Key, "title:1", Some(1)),
            (FloorKind::Tag, "a", Some(3)),
            (FloorKind::Tag, "b", None),
            (FloorKind::Prefix, "tit", Some(2)),
            (FloorKind::All, "", Some(0)),
        ]
    );
}

#[test]
fn rows_survive_their_json() {
    let changes = [
        r#"{"key":"title:1","op":"remove"}"#,
        r#"{"tag":"x"}"#,
        r#"{"prefix":"p"}"#,
        r#"{"all":true,"soft":true}"#,
    ];
    for (index, json) in changes.iter().enumerate() {
        let change: Change = serde_json::from_str(json).unwrap();
        let row = raised_by([(v(index as u64 + 1), &change)]).remove(0);
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<FloorRow>(&text).unwrap(), row, "{text}");
    }
    assert!(serde_json::from_str::<FloorRow>(r#"[9,"x",1,1,1]"#).is_err());
}
