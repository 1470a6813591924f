//! Stories of compaction, and random logs with folds that must raise the same floors as the logs.

use proptest::prelude::*;

use super::*;
use crate::read::floors::{self, EntryTags, Floors, Judgement};
use crate::wire::name::Key;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn v(version: u64) -> Version {
    Version::new(version).unwrap()
}

/// Version 1, 2, 3 …, each of these changes.
fn log(changes: &[&str]) -> Vec<VersionRow> {
    let rows = changes.iter().zip(1..).map(|(change, version)| {
        serde_json::from_str(&format!(r#"{{"version":{version},"at":0,"changes":[{change}]}}"#)).unwrap()
    });
    rows.collect()
}

/// Returns the changes of a fold, in the order in which the broker sends them.
fn told(fold: &Compaction) -> Vec<String> {
    let mut changes: Vec<&FoldedChange> = fold.survivors.values().flatten().collect();
    changes.sort_by_key(|folded| (folded.version, folded.change.target.clone()));
    changes.into_iter().map(FoldedChange::to_json).collect()
}

#[track_caller]
fn expect(changes: &[&str], left: &[&str]) {
    assert_eq!(told(&Compaction::of(Vec::new(), log(changes))), left);
}

#[test]
fn of_each_target_the_newest_change_is_left() {
    expect(
        &[r#"{"key":"t:1"}"#, r#"{"tag":"x"}"#, r#"{"key":"t:1"}"#, r#"{"key":"t:2"}"#],
        &[r#"{"version":2,"tag":"x"}"#, r#"{"version":3,"key":"t:1"}"#, r#"{"version":4,"key":"t:2"}"#],
    );
}

#[test]
fn hard_soft_and_remove_are_kept_apart() {
    expect(
        &[
            r#"{"key":"t:1"}"#,
            r#"{"key":"t:1","op":"remove"}"#,
            r#"{"key":"t:1"}"#,
            r#"{"key":"t:1","soft":true}"#,
        ],
        &[
            r#"{"version":2,"key":"t:1","op":"remove"}"#,
            r#"{"version":3,"key":"t:1"}"#,
            r#"{"version":4,"key":"t:1","soft":true}"#,
        ],
    );
}

#[test]
fn a_soft_change_below_a_hard_one_is_not_left() {
    expect(&[r#"{"key":"t:1","soft":true}"#, r#"{"key":"t:1"}"#], &[r#"{"version":2,"key":"t:1"}"#]);
}

#[test]
fn the_tags_of_a_key_are_united_and_bounded() {
    expect(
        &[r#"{"key":"t:1","tags":["a","b"]}"#, r#"{"key":"t:1","tags":["c","a"]}"#],
        &[r#"{"version":2,"key":"t:1","tags":["b","c","a"]}"#],
    );
    let many: Vec<String> = (0..400).map(|n| format!(r#"{{"key":"t:1","tags":["tag-{n}"]}}"#)).collect();
    let fold = Compaction::of(Vec::new(), log(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    let tags = &fold.survivors.values().next().unwrap()[0].change.tags;
    assert_eq!(tags.len(), MAX_FOLDED_TAGS);
    assert_eq!(tags.last().unwrap().as_str(), "tag-399");
}

#[test]
fn a_hard_wide_change_covers_what_is_below_it_and_no_removal() {
    expect(
        &[
            r#"{"key":"t:1"}"#,
            r#"{"key":"t:2","op":"remove"}"#,
            r#"{"tag":"x"}"#,
            r#"{"prefix":"t:"}"#,
            r#"{"key":"t:3"}"#,
            r#"{"all":true}"#,
            r#"{"key":"u:1"}"#,
        ],
        &[
            r#"{"version":2,"key":"t:2","op":"remove"}"#,
            r#"{"version":6,"all":true}"#,
            r#"{"version":7,"key":"u:1"}"#,
        ],
    );
}

#[test]
fn what_shares_a_version_with_a_hard_or_a_wide_change_is_not_left_either() {
    expect(&[r#"{"key":"t:1"},{"key":"t:1","soft":true}"#], &[r#"{"version":1,"key":"t:1"}"#]);
    expect(&[r#"{"key":"t:1"},{"key":"t:2","soft":true},{"all":true}"#], &[r#"{"version":1,"all":true}"#]);
}

#[test]
fn a_cover_reaches_what_begins_with_its_prefix() {
    let target = |json: &str| serde_json::from_str::<Change>(json).unwrap().target;
    let others = [
        r#"{"key":"t:1"}"#,
        r#"{"prefix":"t:9"}"#,
        r#"{"key":"u:1"}"#,
        r#"{"tag":"t:1"}"#,
        r#"{"all":true}"#,
    ];
    let reached = |json: &str| {
        let cover = Superseding { target: target(json), version: v(1), soft: false };
        others.map(|other| cover.reaches(&target(other)))
    };
    assert_eq!(reached(r#"{"prefix":"t:"}"#), [true, true, false, false, false]);
    assert_eq!(reached(r#"{"all":true}"#), [true; 5]);
    assert_eq!(reached(r#"{"key":"t:1"}"#), [false; 5]);
}

#[test]
fn a_prefix_covers_keys_and_longer_prefixes_and_no_tags() {
    expect(
        &[
            r#"{"key":"t:1"}"#,
            r#"{"prefix":"t:9"}"#,
            r#"{"tag":"t:1"}"#,
            r#"{"key":"u:1"}"#,
            r#"{"prefix":"t:"}"#,
        ],
        &[r#"{"version":3,"tag":"t:1"}"#, r#"{"version":4,"key":"u:1"}"#, r#"{"version":5,"prefix":"t:"}"#],
    );
}

#[test]
fn a_soft_wide_change_covers_no_hard_one() {
    expect(
        &[r#"{"key":"t:1"}"#, r#"{"key":"t:2","soft":true}"#, r#"{"all":true,"soft":true}"#],
        &[r#"{"version":1,"key":"t:1"}"#, r#"{"version":3,"all":true,"soft":true}"#],
    );
}

#[test]
fn the_same_wide_change_again_and_again_covers_once() {
    let wide =
        log(&[r#"{"prefix":"t:"}"#, r#"{"all":true}"#, r#"{"all":true,"soft":true}"#, r#"{"all":true}"#]);
    let covers: Vec<_> = Compaction::of(Vec::new(), wide)
        .superseding
        .into_iter()
        .map(|cover| (cover.version, cover.soft))
        .collect();
    assert_eq!(covers, [(v(4), false), (v(3), true), (v(1), false)], "everything before prefixes");
}

#[test]
fn what_was_folded_before_is_folded_on() {
    let rows = log(&[
        r#"{"key":"t:1","tags":["a"]}"#,
        r#"{"key":"t:1","soft":true}"#,
        r#"{"key":"t:1","tags":["b"]}"#,
    ]);
    let first = Compaction::of(Vec::new(), rows[..2].to_vec());
    let both = Compaction::of(first.survivors.into_values().flatten().collect(), rows[2..].to_vec());
    assert_eq!(told(&both), [r#"{"version":3,"key":"t:1","tags":["a","b"]}"#]);
}

#[test]
fn a_target_of_which_nothing_is_left_is_named_so_that_it_is_cleared() {
    let fold = Compaction::of(Vec::new(), log(&[r#"{"key":"t:1"}"#, r#"{"all":true}"#]));
    assert_eq!(fold.survivors.get(&Target::Key(Key::new("t:1").unwrap())), Some(&Vec::new()));
}

const TARGETS: [&str; 9] = [
    r#""key":"t:1""#,
    r#""key":"t:12""#,
    r#""key":"u:1""#,
    r#""tag":"x""#,
    r#""tag":"y""#,
    r#""prefix":"t:""#,
    r#""prefix":"t:1""#,
    r#""prefix":"u""#,
    r#""all":true"#,
];

fn change() -> impl Strategy<Value = String> {
    (0..TARGETS.len(), 0..4_usize).prop_map(|(target, operation)| {
        let target_text = TARGETS[target];
        match operation {
            0 => format!(r#"{{{target_text},"soft":true}}"#),
            1 if target < 3 => format!(r#"{{{target_text},"op":"remove"}}"#),
            _ => format!("{{{target_text}}}"),
        }
    })
}

/// The storage of a fold: keeps the survivors, and deletes the changes that wide changes supersede.
#[derive(Default)]
pub(crate) struct Stored(BTreeMap<Target, Vec<FoldedChange>>);

impl Stored {
    /// Returns the changes that survive after `from`, in the order in which the broker sends them.
    pub(crate) fn after(&self, from: Version) -> Vec<&FoldedChange> {
        let mut left: Vec<&FoldedChange> =
            self.0.values().flatten().filter(|folded| folded.version > from).collect();
        left.sort_by_key(|folded| (folded.version, folded.change.target.clone()));
        left
    }

    pub(crate) fn fold(&mut self, versions: &[VersionRow]) {
        let named = versions.iter().flat_map(|row| &row.changes).map(|change| &change.target);
        let before = named.filter_map(|target| self.0.remove(target)).flatten().collect();
        let fold = Compaction::of(before, versions.to_vec());
        for cover in &fold.superseding {
            for (_, changes) in self.0.iter_mut().filter(|(target, _)| cover.reaches(target)) {
                changes.retain(|folded| match folded.change.operation {
                    Operation::Update => cover.soft || folded.version > cover.version,
                    Operation::Soften => folded.version > cover.version,
                    Operation::Remove => true,
                });
            }
        }
        self.0.extend(fold.survivors);
    }
}

/// Checks that two sets of floors say the same of every entry of a key, whenever it was filled up to `head`.
#[track_caller]
pub(crate) fn check_same(key: &Key, head: u64, one: &Floors, other: &Floors) {
    for fill in (0..=head).map(v) {
        for tags in [&[][..], &["x"][..], &["x", "y"][..]] {
            let tags: Vec<Tag> = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
            // Several floors may refuse the entry, and the fold may name another of them.
            let judge = |floors: &Floors| match floors.judge(key, fill, EntryTags::Tags(&tags)) {
                Judgement::Unknown => unreachable!("nothing was dropped"),
                Judgement::Below(_) => "below",
                Judgement::Soft => "soft",
                Judgement::Clear => "clear",
            };
            assert_eq!(judge(one), judge(other), "{} filled at {fill}, tags {tags:?}", key.as_str());
        }
        assert_eq!(one.was_removed_after(key, fill), other.was_removed_after(key, fill), "{}", key.as_str());
    }
    assert_eq!(one.removed(key), other.removed(key), "{}", key.as_str());
}

pub(crate) fn heard<'a>(changes: impl Iterator<Item = (Version, &'a Change)>) -> Floors {
    let mut floors = Floors::default();
    floors::raised_by(changes).into_iter().for_each(|row| floors.raise(row));
    floors
}

proptest! {
    #[test]
    fn s2_a_fold_says_of_every_entry_what_the_log_would_have_said(
        changes in proptest::collection::vec(change(), 1..40),
        cuts in proptest::collection::vec(0..40_usize, 0..3),
        from in 0..40_u64,
    ) {
        let rows = log(&changes.iter().map(String::as_str).collect::<Vec<_>>());
        let mut stored = Stored::default();
        let mut done = 0;
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).chain([rows.len()]).collect();
        cuts.sort_unstable();
        for cut in cuts {
            stored.fold(&rows[done..cut.max(done)]);
            done = cut.max(done);
        }
        let from = v(from.min(rows.len() as u64));
        // A follower at `from` gets the rest as a fold, or version by version.
        let missed = rows.iter().filter(|row| row.version > from);
        let by_versions = heard(missed.flat_map(|row| row.changes.iter().map(|change| (row.version, change))));
        let left = stored.after(from);
        let by_fold = heard(left.into_iter().map(|folded| (folded.version, &folded.change)));
        // Entries that it filled at or before `from`, and any that it fills later.
        for key in ["t:1", "t:12", "t:2", "u:1", "v:1"].map(|key| Key::new(key).unwrap()) {
            check_same(&key, rows.len() as u64, &by_versions, &by_fold);
        }
    }
}
