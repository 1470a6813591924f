//! The replica's rows in the object's real SQLite, inside workerd.

use std::time::Duration;

use newsreel_core::read::floors::{Floor, FloorRow};
use newsreel_core::read::sync::{FloorLookup, SNAPSHOT_FLOORS};
use newsreel_core::wire::{Key, Position, Tag, Target, UnixMillis, Version};
use newsreel_in_workerd::{Statements, expect_panic, in_object};
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{FLOORS_A_REPLY, Rows, Task, TaskKind};
use crate::protocol::FloorsJson;

mod upgrades;

const NOW: UnixMillis = UnixMillis(1_793_491_200_000);
const PREFIX: &str = "tv/E/";

fn at(version: u64) -> Version {
    Version::new(version).unwrap()
}

fn position(version: u64) -> Position {
    Position { version: at(version), ..Position::genesis("01ARYZ6S410000000000000000".parse().unwrap()) }
}

fn key(id: u64) -> Target {
    Target::Key(Key::new(format!("title:{id}")).unwrap())
}

fn hard(target: Target, version: u64) -> FloorRow {
    FloorRow { target, floor: Floor { hard: at(version), ..Floor::default() } }
}

/// The floors of a page, as a reader reads them.
fn floors(json: &FloorsJson) -> Vec<FloorRow> {
    json.rows().unwrap()
}

#[test]
async fn floors_position_and_list_move_together_and_outlive_the_event() {
    in_object("apply", async |state| {
        let rows = Rows::open(&state).unwrap();
        assert_eq!(rows.position().unwrap(), None);
        rows.apply(&[hard(key(1), 5), hard(Target::All, 4)], Some(position(5)), Some(PREFIX)).unwrap();
        rows.apply(&[hard(key(1), 8)], Some(position(8)), Some(PREFIX)).unwrap();
    })
    .await;
    in_object("apply", async |state| {
        let rows = Rows::open(&state).unwrap();
        assert_eq!(rows.position().unwrap(), Some(position(8)));
        let page = rows.floors_after(Version::ZERO, at(8)).unwrap();
        assert_eq!((floors(&page.floors).len(), page.to), (2, at(8)));
        let mut names: Vec<String> =
            rows.due_tasks(TaskKind::Delete, NOW, 10).unwrap().into_iter().map(|task| task.name).collect();
        names.sort();
        assert_eq!(names, ["tv/E/title:1@0", "tv/E/title:1@5"], "the generations that ended");
    })
    .await;
}

#[test]
async fn a_floor_never_goes_down() {
    in_object("down", async |state| {
        let rows = Rows::open(&state).unwrap();
        let both = Floor { hard: at(9), soft: at(7), removed: at(3) };
        rows.apply(&[FloorRow { target: key(1), floor: both }], Some(position(9)), None).unwrap();
        rows.apply(&[hard(key(1), 2)], Some(position(10)), None).unwrap();
        let page = rows.floors_after(Version::ZERO, at(10)).unwrap();
        assert_eq!(floors(&page.floors), [FloorRow { target: key(1), floor: both }]);
    })
    .await;
}

#[test]
async fn what_fails_half_way_has_not_happened() {
    expect_panic();
    in_object("half", async |state| {
        let rows = Rows::open(&state).unwrap();
        rows.apply(&[hard(key(1), 1)], Some(position(1)), None).unwrap();
        for panics in [false, true] {
            let failed = rows.database.transaction(|| {
                rows.raise(r#"[[0,"title:2",9,0,0]]"#)?;
                rows.set_position(position(9))?;
                assert!(!panics, "half-way");
                Err("no more room".into())
            });
            assert!(failed.is_err());
            assert_eq!(rows.position().unwrap(), Some(position(1)));
            assert_eq!(floors(&rows.floors_after(Version::ZERO, at(9)).unwrap().floors).len(), 1);
        }
    })
    .await;
}

#[test]
async fn a_reply_ends_before_the_version_that_would_not_fit_whole() {
    in_object("pages", async |state| {
        let rows = Rows::open(&state).unwrap();
        let each = u64::from(FLOORS_A_REPLY) / 4;
        for version in 1..=6 {
            let some: Vec<_> = (0..each).map(|id| hard(key(version * each + id), version)).collect();
            rows.apply(&some, Some(position(version)), None).unwrap();
        }
        let first = rows.floors_after(Version::ZERO, at(6)).unwrap();
        assert_eq!((first.to, floors(&first.floors).len()), (at(4), FLOORS_A_REPLY as usize));
        let rest = rows.floors_after(first.to, at(6)).unwrap();
        assert_eq!((rest.to, floors(&rest.floors).len()), (at(6), 2_000));
        assert_eq!(floors(&rows.floors_after(at(6), at(6)).unwrap().floors), []);
    })
    .await;
}

#[test]
async fn the_greatest_version_is_kept_exactly() {
    in_object("greatest", async |state| {
        let rows = Rows::open(&state).unwrap();
        let last = Position { version: Version::MAX, ..position(1) };
        let row = FloorRow { target: key(1), floor: Floor { hard: Version::MAX, ..Floor::default() } };
        rows.apply(std::slice::from_ref(&row), Some(last), Some(PREFIX)).unwrap();
        let page = rows.floors_after(at(Version::MAX.number() - 1), Version::MAX).unwrap();
        assert_eq!((floors(&page.floors), page.to), (vec![row], Version::MAX));
        assert_eq!(rows.position().unwrap(), Some(last));
    })
    .await;
}

#[test]
async fn names_are_values_whatever_is_in_them() {
    in_object("names", async |state| {
        let rows = Rows::open(&state).unwrap();
        let odd = Key::new("title:'); DROP TABLE floors; -- \"\u{6620}\\".to_owned()).unwrap();
        let tag = Tag::new("it's".to_owned()).unwrap();
        let told = [hard(Target::Key(odd.clone()), 1), hard(Target::Tag(tag.clone()), 1)];
        rows.apply(&told, Some(position(1)), Some(PREFIX)).unwrap();
        let found = rows.floors_of(&FloorLookup { keys: vec![odd], tags: vec![tag] }).unwrap();
        assert_eq!(floors(&found), told);
    })
    .await;
}

/// The statements of the rows, file by file.
const SQL: [&str; 18] = [
    include_str!("sql/any_task.sql"),
    include_str!("sql/clear.sql"),
    include_str!("sql/cut_tasks.sql"),
    include_str!("sql/due_tasks.sql"),
    include_str!("sql/floors_of_targets.sql"),
    include_str!("sql/floors_page.sql"),
    include_str!("sql/forget_delete.sql"),
    include_str!("sql/forget_mark.sql"),
    include_str!("sql/forget_raise.sql"),
    include_str!("sql/highest_of_tags.sql"),
    include_str!("sql/list_ended_generations.sql"),
    include_str!("sql/list_tasks.sql"),
    include_str!("sql/past_the_page.sql"),
    include_str!("sql/raise_floors.sql"),
    include_str!("sql/schema_1.sql"),
    include_str!("sql/task_failed.sql"),
    include_str!("sql/tasks_done.sql"),
    include_str!("sql/untold_mark.sql"),
];

#[test]
async fn every_statement_runs() {
    let missing = in_object("statements", async |state| {
        let statements = Statements::of(&state);
        let rows = Rows::open(&state).unwrap();
        rows.apply(&[hard(key(1), 1)], Some(position(1)), Some(PREFIX)).unwrap();
        rows.apply(&[hard(key(2), 2)], None, None).unwrap();
        assert!(rows.is_folding().unwrap());
        rows.apply(&[], Some(position(2)), None).unwrap();
        assert!(!rows.is_folding().unwrap());
        let tags: Vec<_> = (0..=u64::from(SNAPSHOT_FLOORS))
            .map(|id| hard(Target::Tag(Tag::new(format!("tag-{id}")).unwrap()), 3 + id / 4_000))
            .collect();
        rows.apply(&tags, Some(position(20)), None).unwrap();
        let page = rows.floors_after(Version::ZERO, at(20)).unwrap();
        assert!(page.left_out.is_some(), "more than a snapshot has");
        rows.floors_of(&FloorLookup::default()).unwrap();
        assert_eq!(rows.position().unwrap(), Some(position(20)));
        rows.list_fetches(r#"[["title:1",7]]"#).unwrap();
        rows.task_failed(TaskKind::Fetch, "title:1", NOW).unwrap();
        assert_eq!(
            rows.due_tasks(TaskKind::Fetch, NOW, 5).unwrap(),
            [Task { name: "title:1".to_owned(), attempts: 1 }]
        );
        rows.cut_tasks().unwrap();
        rows.tasks_done(TaskKind::Fetch, &["title:1".to_owned()]).unwrap();
        rows.tasks_done(TaskKind::Delete, &["tv/E/title:1@0".to_owned()]).unwrap();
        assert!(!rows.has_tasks().unwrap());
        rows.keep_counts("counted").unwrap();
        assert_eq!(rows.counts().unwrap(), "counted");
        let life = Duration::from_secs(60);
        rows.forget(at(20), NOW, life).unwrap();
        rows.forget(at(20), NOW.plus(2 * life), life).unwrap();
        rows.reset(position(30)).unwrap();
        assert_eq!(floors(&rows.floors_after(Version::ZERO, at(30)).unwrap().floors).len(), 1);
        statements.missing_in(&SQL)
    })
    .await;
    assert_eq!(missing, Vec::<String>::new(), "these never ran");
}
