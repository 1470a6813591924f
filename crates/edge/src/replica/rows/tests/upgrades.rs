//! Rows that an older release wrote, and those of a newer one.

use newsreel_core::wire::Epoch;

use newsreel_in_workerd::sql::{run, schema, tables, texts};
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::replica::rows::MIGRATIONS;
use newsreel_sqlite_rows::OpenError;

/// The tables of the first release, with rows in all of them.
const V1: &str = include_str!("../v1.sql");

#[test]
async fn the_first_schema_is_used_with_all_that_it_holds() {
    in_object("first", async |state| {
        run(&state, V1).unwrap();
        let rows = Rows::open(&state).unwrap();
        let epoch: Epoch = "01M8CE7JJJ5RBQR9ZBFC7CTREQ".parse().unwrap();
        let hash = "185b606a317ea888".parse().unwrap();
        assert_eq!(rows.position().unwrap(), Some(Position { epoch, version: at(11), hash }));
        let floor = |target, hard, soft, removed| FloorRow {
            target,
            floor: Floor { hard: at(hard), soft: at(soft), removed: at(removed) },
        };
        let page = rows.floors_after(at(8), at(11)).unwrap();
        let genre = Target::Tag(Tag::new("genre:soft").unwrap());
        assert_eq!(
            floors(&page.floors),
            [floor(key(0), 9, 0, 0), floor(key(1), 10, 0, 10), floor(genre, 0, 11, 0)]
        );
        assert_eq!(floors(&rows.floors_after(Version::ZERO, at(11)).unwrap().floors).len(), 9);
        let later = UnixMillis(1_795_713_912_600);
        let deletes = rows.due_tasks(TaskKind::Delete, later, 9).unwrap();
        let name = format!("tv/{epoch}/title:0@1");
        assert_eq!(deletes, [Task { name, attempts: 2 }]);
        assert_eq!(
            rows.due_tasks(TaskKind::Fetch, later, 9).unwrap(),
            [Task { name: "title:3".into(), attempts: 0 }]
        );
        // The mark that the first release wrote says which floors are old.
        rows.forget(at(11), later, Duration::from_millis(1)).unwrap();
        assert_eq!(
            floors(&rows.floors_after(Version::ZERO, at(11)).unwrap().floors).len(),
            9 - 3 + 1,
            "those up to the mark are one"
        );
    })
    .await;
}

#[test]
async fn an_upgraded_database_has_the_tables_of_a_new_one() {
    let upgraded = in_object("upgraded", async |state| {
        run(&state, V1).unwrap();
        Rows::open(&state).unwrap();
        (tables(&state), schema(&state))
    })
    .await;
    let new = in_object("new", async |state| {
        Rows::open(&state).unwrap();
        (tables(&state), schema(&state))
    })
    .await;
    assert_eq!(upgraded, new);
    assert_eq!(new.1, [MIGRATIONS.len().to_string()]);
}

#[test]
async fn a_migration_that_fails_half_way_leaves_the_schema_before_it() {
    in_object("half-way", async |state| {
        run(&state, V1).unwrap();
        let broken = [
            MIGRATIONS,
            &[
                "CREATE TABLE good (a)",
                "DROP TABLE floors; INSERT INTO good VALUES (1); INSERT INTO nowhere VALUES (1)",
            ],
        ]
        .concat();
        for _ in 0..2 {
            let failed = Rows::open_as(&state, &broken).err().unwrap();
            assert!(matches!(failed, OpenError::Failed(_)), "{failed:?}: it may be tried again");
            assert_eq!(
                schema(&state),
                [(MIGRATIONS.len() + 1).to_string()],
                "the one before it is done, once"
            );
            assert!(texts(&state, "SELECT a AS one FROM good").is_empty());
            assert_eq!(texts(&state, "SELECT name AS one FROM floors").len(), 9);
        }
    })
    .await;
}

#[test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    in_object("newer", async |state| {
        run(&state, V1).unwrap();
        for newer in [(MIGRATIONS.len() + 1).to_string(), "v2".to_owned()] {
            run(&state, &format!("UPDATE meta SET value = '{newer}' WHERE name = 'schema'")).unwrap();
            let before = (tables(&state), texts(&state, "SELECT name || value AS one FROM meta"));
            let Err(OpenError::Refused(problem)) = Rows::open(&state) else {
                panic!("schema {newer} is opened")
            };
            assert_eq!((problem.code(), problem.status()), ("newer-schema", 503));
            assert_eq!((tables(&state), texts(&state, "SELECT name || value AS one FROM meta")), before);
        }
    })
    .await;
}
