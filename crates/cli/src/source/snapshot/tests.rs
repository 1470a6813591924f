//! Tests of snapshots: stories, and every difference of random dumps against a plain model.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_core::wire::{PublishLine, Target};
use newsreel_mapping::Mapping;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const RULES: &str = r#"
    [[map]]
    from = "titles"
    key = "title:{id}"
    tags = ["platform:{platforms[]}"]
    also = [{ tag = "owner:{owner}" }]
    publish_moved_tags = true
    [[map]]
    from = "titles"
    key = "poster:{id}"
    only_if_changed = ["poster"]
"#;

struct Story {
    snapshots: Snapshots,
    folder: tempfile::TempDir,
}

impl Story {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = open(&folder, rules, Keep::Hashes).unwrap();
        Self { snapshots, folder }
    }

    fn compare(&mut self, rows: &[serde_json::Value], initial: Initial) -> Result<Comparison, SnapshotError> {
        let mut staging = self.snapshots.stage(&["titles".to_owned()])?;
        for (index, row) in rows.iter().enumerate() {
            staging.add("titles", row.as_object().unwrap().clone(), None, index as u64 + 1)?;
        }
        staging.compare(initial, 10)
    }

    fn dump(&mut self, rows: &[serde_json::Value], initial: Initial) -> Comparison {
        let comparison = self.compare(rows, initial).unwrap();
        self.snapshots.accept(&comparison, "a dump", 7).unwrap();
        comparison
    }

    /// Returns what the outbox has, and empties it.
    fn sent(&mut self) -> Vec<PublishLine> {
        let pending = self.snapshots.pending(0, 1_000).unwrap();
        if let Some(last) = pending.last() {
            self.snapshots.acknowledged(&last.of).unwrap();
        }
        pending.iter().map(|entry| PublishLine::parse(entry.text.as_bytes()).unwrap()).collect()
    }
}

fn open(folder: &tempfile::TempDir, rules: &str, keep: Keep) -> Result<Snapshots, SnapshotError> {
    Snapshots::open(&folder.path().join("s.db"), &Mapping::parse(rules).unwrap(), keep)
}

fn written(comparison: &Comparison) -> String {
    comparison.publishes.iter().map(|publish| publish.written().changes).collect()
}

fn counts(comparison: &Comparison) -> (u64, u64, u64) {
    let counts = comparison.counts["titles"];
    (counts.added, counts.changed, counts.gone)
}

fn title(id: u32, owner: &str, platforms: &[&str]) -> serde_json::Value {
    json!({ "id": id, "owner": owner, "platforms": platforms, "poster": id })
}

#[test]
fn rows_that_came_changed_and_went_are_published_and_others_are_not() {
    let mut story = Story::new(RULES);
    let first = story.dump(&[title(1, "x", &["a"]), title(2, "x", &[]), title(3, "x", &[])], Initial::Wide);
    assert_eq!(written(&first), r#"[{"all":true}]"#, "tags of rows are in no prefix");
    let second =
        story.dump(&[title(1, "y", &["b"]), title(4, "z", &["a"]), title(3, "x", &[])], Initial::Wide);
    assert_eq!(counts(&second), (1, 1, 1));
    let changes = concat!(
        r#"[{"key":"title:2","op":"remove"},{"key":"poster:2","op":"remove"},{"key":"title:1","tags":["platform:b"]},"#,
        r#"{"tag":"owner:x"},{"tag":"owner:y"},{"tag":"platform:a"},{"tag":"platform:b"},"#,
        r#"{"key":"title:4","tags":["platform:a"]},{"tag":"owner:z"},{"key":"poster:4"}]"#
    );
    assert_eq!(sorted(&written(&second)), sorted(changes));
    let samples: Vec<_> = second.samples.iter().map(|one| (one.kind, one.key.as_str(), one.line)).collect();
    assert_eq!(
        samples,
        [
            (Kind::Added, "title:4", Some(2)),
            (Kind::Changed, "title:1", Some(1)),
            (Kind::Gone, "title:2", None)
        ]
    );
    let again =
        story.dump(&[title(3, "x", &[]), title(4, "z", &["a"]), title(1, "y", &["b"])], Initial::Wide);
    assert_eq!(
        (counts(&again), again.publishes.len()),
        ((0, 0, 0), 0),
        "the order of the rows does not matter"
    );
}

fn sorted(changes: &str) -> Vec<String> {
    let changes: Vec<serde_json::Value> = serde_json::from_str(changes).unwrap();
    let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    changes.sort();
    changes
}

#[test]
fn a_first_dump_publishes_what_it_is_told_to() {
    for (initial, published) in [
        (Initial::Wide, r#"[{"all":true}]"#),
        (Initial::Rows, r#"[{"key":"title:1"},{"tag":"owner:x"},{"key":"poster:1"}]"#),
        (Initial::Nothing, ""),
    ] {
        let mut story = Story::new(RULES);
        let first = story.dump(&[title(1, "x", &[])], initial);
        assert_eq!((written(&first).as_str(), counts(&first)), (published, (1, 0, 0)), "{initial:?}");
    }
}

#[test]
fn a_column_that_does_not_matter_to_a_rule_publishes_nothing_of_it() {
    let mut story = Story::new(RULES);
    let row = |poster: u32, views: u32| json!({ "id": 1, "owner": null, "poster": poster, "views": views });
    story.dump(&[row(1, 1)], Initial::Nothing);
    assert_eq!(written(&story.dump(&[row(1, 2)], Initial::Wide)), r#"[{"key":"title:1"}]"#);
    assert_eq!(
        written(&story.dump(&[row(2, 2)], Initial::Wide)),
        r#"[{"key":"title:1"},{"key":"poster:1"}]"#
    );
}

#[test]
fn a_row_that_a_rule_does_not_take_is_not_there_for_it() {
    let rules = "[[map]]\nfrom = \"titles\"\nkey = \"title:{id}\"\nwhen = { public = [true] }\nremoved_when = { state = [\"deleted\"] }\n\
        [[map]]\nfrom = \"titles\"\nkey = \"draft:{id}\"\nwhen = { public = [false] }\n";
    let mut story = Story::new(rules);
    let row = |id: u32, public: bool, state: &str| json!({ "id": id, "public": public, "state": state });
    let first =
        story.dump(&[row(1, true, "live"), row(2, false, "live"), row(3, true, "deleted")], Initial::Rows);
    assert_eq!(written(&first), r#"[{"key":"draft:2"},{"key":"title:1"}]"#);
    let second =
        story.dump(&[row(1, true, "deleted"), row(2, true, "live"), row(3, true, "deleted")], Initial::Wide);
    let published = r#"[{"key":"title:1","op":"remove"},{"key":"draft:2","op":"remove"},{"key":"title:2"}]"#;
    assert_eq!(sorted(&written(&second)), sorted(published));
    assert!(story.dump(&[row(2, true, "live")], Initial::Wide).publishes.is_empty());
}

#[test]
fn a_key_that_one_row_leaves_and_another_gets_is_no_remove() {
    let rules = "[[map]]\nfrom = \"titles\"\nkey = \"title:{id}\"\n[[map]]\nfrom = \"titles\"\nkey = \"slug:{slug}\"\n";
    let mut story = Story::new(rules);
    let row = |id: u32, slug: &str| json!({ "id": id, "slug": slug });
    story.dump(&[row(1, "a"), row(2, "b")], Initial::Nothing);
    let swapped = written(&story.dump(&[row(1, "b"), row(2, "a")], Initial::Wide));
    assert_eq!(
        sorted(&swapped),
        sorted(r#"[{"key":"slug:a"},{"key":"slug:b"},{"key":"title:1"},{"key":"title:2"}]"#)
    );
}

#[test]
fn two_rows_with_one_key_are_told_with_both_lines_and_nothing_changes() {
    let mut story = Story::new(RULES);
    story.dump(&[title(1, "x", &[])], Initial::Nothing);
    let twice = story.compare(&[title(2, "x", &[]), title(1, "x", &[]), title(2, "y", &[])], Initial::Wide);
    let why = twice.unwrap_err().to_string();
    assert!(why.starts_with("line 3: title:2 is there twice, first in line 1: "), "{why}");
    assert_eq!(counts(&story.compare(&[title(1, "x", &[])], Initial::Wide).unwrap()), (0, 0, 0));
}

#[test]
fn rows_without_a_key_are_told_apart_by_their_content() {
    let mut story = Story::new("[[map]]\nfrom = \"titles\"\nalso = [{ tag = \"owner:{owner}\" }]\n");
    let row = |owner: &str, n: u32| json!({ "owner": owner, "n": n });
    story.dump(&[row("x", 1), row("x", 1), row("y", 1)], Initial::Nothing);
    let second = story.dump(&[row("x", 2), row("y", 1)], Initial::Wide);
    assert_eq!((written(&second).as_str(), counts(&second)), (r#"[{"tag":"owner:x"}]"#, (1, 0, 1)));
}

#[test]
fn another_mapping_publishes_all_that_it_and_the_one_before_cover() {
    let one = "[[map]]\nfrom = \"titles\"\nkey = \"title:{id}\"\n";
    let mut story = Story::new(one);
    story.dump(&[title(1, "x", &[])], Initial::Nothing);
    let Story { snapshots, folder } = story;
    drop(snapshots);
    let snapshots = open(&folder, &one.replace("title:", "film:"), Keep::Hashes).unwrap();
    let mut story = Story { snapshots, folder };
    let other = story.dump(&[title(1, "x", &[])], Initial::Nothing);
    assert_eq!(
        (written(&other).as_str(), other.wide.form),
        (r#"[{"prefix":"film:"},{"prefix":"title:"}]"#, 2)
    );
    assert!(story.dump(&[title(1, "x", &[])], Initial::Nothing).publishes.is_empty());
}

#[test]
fn more_than_wide_above_of_a_class_are_its_prefix() {
    let mut story = Story::new(&format!("wide_above = 5\n{}", RULES.split("also").next().unwrap()));
    story.dump(&[], Initial::Nothing);
    let rows: Vec<_> = (0..9).map(|id| title(id, "x", &[])).collect();
    let many = story.dump(&rows, Initial::Wide);
    assert_eq!((written(&many).as_str(), many.wide.large), (r#"[{"prefix":"title:"}]"#, 1));
}

#[test]
fn the_same_difference_twice_has_another_key_each_time_and_a_crash_keeps_what_was_accepted() {
    let mut story = Story::new(RULES);
    story.dump(&[title(1, "x", &[])], Initial::Nothing);
    let (mut keys, mut lines) = (BTreeSet::new(), Vec::new());
    for owner in ["y", "x", "y", "x"] {
        story.dump(&[title(1, owner, &[])], Initial::Wide);
        lines.extend(story.sent().into_iter().map(|line| (line.publish, line.idempotency_key.unwrap())));
    }
    keys.extend(lines.iter().map(|(_, key)| key.clone()));
    assert_eq!((lines.len(), keys.len()), (4, 4), "{lines:?}");
    story.dump(&[title(1, "z", &[])], Initial::Wide);
    let Story { snapshots, folder } = story;
    drop(snapshots);
    let mut story = Story { snapshots: open(&folder, RULES, Keep::Hashes).unwrap(), folder };
    assert_eq!(story.snapshots.last().unwrap().unwrap().snapshot, 6);
    assert_eq!(story.sent().len(), 1, "what was accepted is still to be sent");
    assert_eq!(story.sent().len(), 0);
}

#[test]
fn a_dump_that_is_not_accepted_changes_nothing() {
    let mut story = Story::new(RULES);
    story.dump(&[title(1, "x", &[]), title(2, "x", &[])], Initial::Nothing);
    let less = story.compare(&[title(2, "x", &[])], Initial::Wide).unwrap();
    let guard = Guard { most: "20%".parse().unwrap(), allow_removals: false };
    let why = guard.judge(&less).unwrap_err().to_string();
    assert!(why.starts_with("titles: the dump has 1 rows, and 1 of the 2 before it are gone"), "{why}");
    assert_eq!(Guard { allow_removals: true, ..guard }.judge(&less), Ok(()));
    story.snapshots.refuse();
    assert_eq!(counts(&story.dump(&[title(2, "x", &[])], Initial::Wide)), (0, 0, 1));
}

#[test]
fn a_state_is_used_by_one_process_at_a_time() {
    let story = Story::new(RULES);
    let why = open(&story.folder, RULES, Keep::Hashes).map(drop).unwrap_err();
    assert!(matches!(why, SnapshotError::InUse(_)), "{why}");
}

/// A row of the model: what its title, its poster and its owner's page show.
type Rows = BTreeMap<u8, (u8, u8, Vec<u8>)>;

fn dumps() -> impl Strategy<Value = Vec<Rows>> {
    let row = (0..3u8, 0..3u8, prop::collection::vec(0..3u8, 0..3));
    prop::collection::vec(prop::collection::btree_map(0..12u8, row, 0..12), 1..6)
}

fn as_json((id, (owner, poster, platforms)): (&u8, &(u8, u8, Vec<u8>))) -> serde_json::Value {
    json!({ "id": id, "owner": owner, "poster": poster, "platforms": platforms })
}

/// Returns what every cached page shows of a catalogue: entries by key, pages by tag.
fn pages(rows: &Rows) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::<String, String>::new();
    for row @ (id, (owner, poster, platforms)) in rows {
        pages.insert(format!("title:{id}"), as_json(row).to_string());
        pages.insert(format!("poster:{id}"), poster.to_string());
        *pages.entry(format!("owner:{owner}")).or_default() += &as_json(row).to_string();
        for platform in platforms.iter().collect::<BTreeSet<_>>() {
            *pages.entry(format!("platform:{platform}")).or_default() += &format!("{id},");
        }
    }
    pages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever a cache holds after a dump's publishes is what the dump says, and no target is named for nothing.
    #[test]
    fn what_differs_is_published_and_nothing_else(dumps in dumps()) {
        let mut story = Story::new(RULES);
        let mut before = Rows::new();
        story.dump(&[], Initial::Nothing);
        for dump in dumps {
            let rows: Vec<_> = dump.iter().map(as_json).collect();
            story.dump(&rows, Initial::Wide);
            let changes = story.sent().into_iter().flat_map(|line| line.publish.changes);
            let named: BTreeSet<String> = changes.map(|change| match change.target {
                Target::Key(key) => key.into(),
                Target::Tag(tag) => tag.as_str().to_owned(),
                wide @ (Target::Prefix(_) | Target::All) => panic!("{wide:?} is not asked for"),
            }).collect();
            let (old, new) = (pages(&before), pages(&dump));
            let differ: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|page| old.get(*page) != new.get(*page)).collect();
            let missed: Vec<_> = differ.iter().filter(|page| !named.contains(**page)).collect();
            prop_assert!(missed.is_empty(), "{missed:?} differ and are not published: {named:?}");
            let entries = |page: &&String| page.starts_with("title:") || page.starts_with("poster:");
            let needless: Vec<_> = named.iter().filter(entries).filter(|page| !differ.contains(page)).collect();
            prop_assert!(needless.is_empty(), "{needless:?} are published for nothing");
            before = dump;
        }
    }
}
