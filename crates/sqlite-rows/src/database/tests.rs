//! The real SQLite of an object, inside workerd.

use newsreel_core::wire::Version;
use newsreel_in_workerd::in_object;
use serde::Deserialize;
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const MIGRATIONS: &[&str] = &["CREATE TABLE things (name TEXT, version INTEGER, size INTEGER);"];

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Thing {
    name: String,
    version: Version,
    size: Option<u64>,
}

fn things(database: &Database) -> Vec<Thing> {
    database.rows("SELECT * FROM things ORDER BY name", vec![]).unwrap()
}

fn put(database: &Database, name: &str, version: u64) -> Result<()> {
    database.run("INSERT INTO things VALUES (?, ?, NULL)", vec![name.into(), integer(version)])
}

#[test]
async fn rows_are_read_by_the_names_of_their_columns() {
    in_object("columns", async |state| {
        let database = Database::open(&state, MIGRATIONS).unwrap();
        put(&database, "a", 7).unwrap();
        put(&database, "b", Version::MAX.number()).unwrap();
        let thing = |name: &str, version| Thing { name: name.to_owned(), version, size: None };
        assert_eq!(things(&database), [thing("a", Version::new(7).unwrap()), thing("b", Version::MAX)]);
        let none: Option<Thing> = database.first("SELECT * FROM things WHERE name = 'c'", vec![]).unwrap();
        assert_eq!(none, None);
        database.run("UPDATE things SET version = 1.5", vec![]).unwrap();
        assert!(database.first::<Thing>("SELECT * FROM things", vec![]).is_err(), "1.5 is no version");
    })
    .await;
}

#[test]
async fn a_transaction_that_fails_leaves_nothing() {
    in_object("transaction", async |state| {
        let database = Database::open(&state, MIGRATIONS).unwrap();
        let failed = database.transaction(|| {
            put(&database, "a", 1)?;
            Err("no".into())
        });
        assert!(failed.is_err() && things(&database).is_empty());
        database.transaction(|| put(&database, "a", 1)).unwrap();
        assert_eq!(things(&database).len(), 1);
    })
    .await;
}

#[test]
async fn rows_of_a_newer_schema_are_refused_and_left_alone() {
    in_object("newer", async |state| {
        let newer = [MIGRATIONS[0], "ALTER TABLE things ADD COLUMN colour TEXT;"];
        drop(Database::open(&state, &newer).unwrap());
        let refused = Database::open(&state, MIGRATIONS).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Refused(problem) if problem.code() == "newer-schema"),
            "{refused}"
        );
        let database = Database::open(&state, &newer).unwrap();
        assert_eq!(database.meta("schema").unwrap().as_deref(), Some("2"));
        database.remove_meta("schema").unwrap();
        assert_eq!(database.meta("schema").unwrap(), None);
    })
    .await;
}
