//! Rows that an older release wrote, and those of a newer one.

use newsreel_core::wire::Hash;

use newsreel_in_workerd::sql::{run, schema, tables, texts};
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::driver::rows::{MIGRATIONS, OpenError};

/// The tables of the first release, with rows in all of them.
const V1: &str = include_str!("../v1.sql");
/// The time at which the first release wrote them.
const THEN: UnixMillis = UnixMillis(1_795_713_912_600);

/// Everything that a database of these tables holds, to be compared.
fn everything(state: &State) -> Vec<Vec<String>> {
    let mut all = vec![tables(state)];
    all.extend(
        [
            "SELECT name || value AS one FROM meta",
            "SELECT version || hash || text AS one FROM log",
            "SELECT last || first || hash || rows AS one FROM segments",
            "SELECT last || first || at || hex(hashes) AS one FROM hashes",
            "SELECT place || version || text AS one FROM folded",
            "SELECT hex(digest) || at || version AS one FROM keys",
            "SELECT name || seen AS one FROM replicas",
        ]
        .map(|query| texts(state, query)),
    );
    all
}

/// Asserts that the log is the one that the first release wrote.
fn is_the_first_log(state: &State) {
    let kept = Kept::open(state);
    let epoch: Epoch = "01M8CE7JJJ5RBQR9ZBFC7CTREQ".parse().unwrap();
    let hash = |text: &str| text.parse::<Hash>().unwrap();
    let head = Position { epoch, version: at(11), hash: hash("185b606a317ea888") };
    assert_eq!(kept.log.head(), head);
    assert_eq!(kept.log.folded(), Position { epoch, version: at(3), hash: hash("f1795b4da6baf509") });
    assert_eq!(
        kept.rows.persisted().unwrap().last_ack_request,
        Some(AckRequest { version: at(2), at: UnixMillis(1_795_713_911_556) })
    );
    let folded: Vec<u64> = kept.fold().iter().map(|change| change.version.number()).collect();
    assert_eq!(folded, [1, 2, 3]);
    let (to, rows) = kept.read(at(3), PAGE_ROWS);
    let versions: Vec<u64> = rows.iter().map(|row| row.version.number()).collect();
    assert_eq!((to, versions), (head, (4..=11).collect()));
    // Each position is known, and the rows after the fold have the hashes that were told of them.
    let mut position = kept.log.folded();
    for row in rows {
        position = position.then(row.to_json().as_bytes());
        assert_eq!(kept.rows.hash_at(&kept.log, row.version).unwrap(), Some(position.hash));
    }
    assert_eq!(kept.rows.hash_at(&kept.log, at(1)).unwrap(), Some(hash("21eedb197d90e4a9")));
    let remembered = kept.rows.remembered("e2e", "kept", THEN).unwrap().expect("a key of that day");
    assert_eq!((remembered.position, remembered.changes), (head, 1));
    assert_eq!(kept.rows.known_replicas().unwrap(), ["e2e"]);
}

#[test]
async fn the_first_schema_is_used_with_all_that_it_holds() {
    in_object("first", async |state| {
        run(&state, V1).unwrap();
        is_the_first_log(&state);
        let mut kept = Kept::open(&state);
        assert_eq!(kept.publish_keys(12..=12)[0].position.version, at(12));
        kept.age(u64::MAX, 3);
        assert_eq!(kept.log.folded().version, at(12), "it is sealed and folded on");
    })
    .await;
}

#[test]
async fn an_upgraded_database_has_the_tables_of_a_new_one() {
    let upgraded = in_object("upgraded", async |state| {
        run(&state, V1).unwrap();
        Rows::open(&state).unwrap();
        (tables(&state), schema(&state))
    });
    let new = in_object("new", async |state| {
        Rows::open(&state).unwrap();
        (tables(&state), schema(&state))
    });
    let (upgraded, new) = (upgraded.await, new.await);
    assert_eq!(upgraded, new);
    assert_eq!(new.1, [MIGRATIONS.len().to_string()]);
}

#[test]
async fn migrations_come_in_order_and_once_and_keep_the_rows() {
    in_object("next", async |state| {
        run(&state, V1).unwrap();
        // Neither can be done twice, and the second needs the first.
        let next = [
            MIGRATIONS,
            &[
                "ALTER TABLE replicas ADD COLUMN place TEXT; UPDATE replicas SET place = 'AMS'",
                "CREATE TABLE places AS SELECT place, name FROM replicas; ALTER TABLE replicas DROP COLUMN place",
            ],
        ]
        .concat();
        for _ in 0..2 {
            Rows::open_as(&state, &next).unwrap();
            assert_eq!(texts(&state, "SELECT place || name AS one FROM places"), ["AMSe2e"]);
            assert_eq!(schema(&state), [next.len().to_string()]);
        }
        // Of the same tables but one: what was kept is all there.
        run(&state, &format!("UPDATE meta SET value = '{}' WHERE name = 'schema'", MIGRATIONS.len())).unwrap();
        is_the_first_log(&state);
    })
    .await;
}

#[test]
async fn a_migration_that_fails_half_way_leaves_the_schema_before_it() {
    in_object("half-way", async |state| {
        run(&state, V1).unwrap();
        Rows::open(&state).unwrap();
        let broken = [
            MIGRATIONS,
            &[
                "CREATE TABLE good (a)",
                "DROP TABLE log; INSERT INTO good VALUES (1); INSERT INTO nowhere VALUES (1)",
            ],
        ]
        .concat();
        for _ in 0..2 {
            let failed = Rows::open_as(&state, &broken).err().unwrap();
            assert!(matches!(failed, OpenError::Failed(_)), "{failed:?}: it may be tried again");
            assert_eq!(schema(&state), [(MIGRATIONS.len() + 1).to_string()], "the one before it is done");
            assert!(texts(&state, "SELECT a AS one FROM good").is_empty());
            assert_eq!(
                texts(&state, "SELECT hash AS one FROM log"),
                ["a2c7d2cad5ce5893", "185b606a317ea888"]
            );
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
            let before = everything(&state);
            let Err(OpenError::Refused(problem)) = Rows::open(&state) else {
                panic!("schema {newer} is opened")
            };
            assert_eq!((problem.code(), problem.status()), ("newer-schema", 503));
            assert!(before.iter().all(|rows| !rows.is_empty()));
            assert_eq!(everything(&state), before);
        }
    })
    .await;
}
