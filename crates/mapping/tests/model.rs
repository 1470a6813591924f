//! The mapping against an obvious model: a table, and caches that keep every entry that was not published.

#![cfg(not(target_arch = "wasm32"))]

use std::collections::{BTreeMap, BTreeSet};

use newsreel_core::wire::publish::MAX_CHANGES;
use newsreel_core::wire::{Change, Operation, Publish, Target};
use newsreel_mapping::{Batch, Limits, Mapping, Row, RowChange, Skips};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

const RULES: &str = r#"
    [[map]]
    from = "t"
    key = "{kind}:{name}"
    tags = ["p:{list[]}"]
    also = [{ tag = "owner:{owner}" }, { key = "list:{owner}" }]
    truncate = { all = true }
"#;

/// One statement of a transaction, on a table with a few rows.
#[derive(Debug, Clone)]
enum Statement {
    Put(u8, u8, u8, Option<u8>),
    Delete(u8),
    Truncate,
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        8 => (0..20_u8, 0..3_u8, 0..12_u8, proptest::option::of(0..4_u8)).prop_map(|(id, kind, name, owner)|
            Statement::Put(id, kind, name, owner)),
        3 => (0..20_u8).prop_map(Statement::Delete),
        1 => Just(Statement::Truncate),
    ]
}

/// Returns what a cache may hold: each key with its value, the tags of its entry among them. The value is
/// every row with that key, and for a list every row of the owner.
fn entries(table: &BTreeMap<u8, Row>) -> BTreeMap<String, (BTreeSet<String>, Vec<Row>)> {
    let mut entries = BTreeMap::<String, (BTreeSet<String>, Vec<Row>)>::new();
    for row in table.values() {
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let (_, rows) = entries.entry(format!("{}:{}", text("kind"), text("name"))).or_default();
        rows.push(row.clone());
        if row["owner"] != Value::Null {
            let (_, rows) = entries.entry(format!("list:{}", text("owner"))).or_default();
            rows.push(row.clone());
            let (tags, rows) = entries.entry(format!("page:{}", text("owner"))).or_default();
            tags.insert(format!("owner:{}", text("owner")));
            rows.push(row.clone());
        }
    }
    entries
}

fn covers(change: &Change, key: &str, tags: &BTreeSet<String>) -> bool {
    match &change.target {
        Target::Key(target) => target.as_str() == key,
        Target::Tag(tag) => tags.contains(tag.as_str()),
        Target::Prefix(prefix) => key.starts_with(prefix.as_str()),
        Target::All => true,
    }
}

fn row(id: u8, kind: u8, name: u8, owner: Option<u8>) -> Row {
    let owner = owner.map(|owner| owner.to_string());
    let row = json!({ "id": id, "kind": format!("k{kind}"), "name": format!("n{name}-{id}"), "owner": owner,
        "list": ["a", name.to_string()] });
    row.as_object().expect("it is written as an object").clone()
}

/// Runs a statement, and returns the row changes that a source would see.
fn run(table: &mut BTreeMap<u8, Row>, statement: &Statement) -> Option<(Option<Row>, Option<Row>)> {
    match statement {
        Statement::Put(id, kind, name, owner) => {
            let new = row(*id, *kind, *name, *owner);
            Some((table.insert(*id, new.clone()), Some(new)))
        }
        Statement::Delete(id) => table.remove(id).map(|old| (Some(old), None)),
        Statement::Truncate => {
            table.clear();
            Some((None, None))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cache_that_drops_what_is_published_holds_what_the_table_says(
        transactions in vec(vec(statement(), 1..40), 1..12),
        wide_above in 1..30_usize,
    ) {
        let mapping = Mapping::parse(RULES).unwrap();
        let (mut table, mut skips) = (BTreeMap::new(), Skips::default());
        let mut cached = entries(&table);
        for transaction in &transactions {
            let mut batch = Batch::new(Limits { wide_above });
            for statement in transaction {
                let Some((old, new)) = run(&mut table, statement) else { continue };
                let change = match (&old, &new) {
                    (None, Some(new)) => RowChange::Insert { new },
                    (Some(old), Some(new)) => RowChange::Update { old, new },
                    (Some(old), None) => RowChange::Delete { old },
                    (None, None) => RowChange::Truncate,
                };
                mapping.apply("t", &change, &mut skips, &mut |change| batch.add(change));
            }
            prop_assert!(batch.len() <= wide_above * 11 + 1, "memory is bounded");
            let changes: Vec<Change> = batch.into_publishes().into_iter().flat_map(|publish| publish.changes).collect();
            cached.retain(|key, (tags, _)| !changes.iter().any(|change| covers(change, key, tags)));
            let now = entries(&table);
            for (key, value) in &cached {
                prop_assert_eq!(Some(value), now.get(key), "{} is stale", key);
            }
            for change in changes.iter().filter(|change| change.operation == Operation::Remove) {
                let Target::Key(key) = &change.target else { panic!("only a key can be removed") };
                prop_assert!(!now.contains_key(key.as_str()), "{} was removed and is there", key);
            }
            now.into_iter().for_each(|(key, value)| drop(cached.insert(key, value)));
        }
    }

    #[test]
    fn publishes_are_what_a_broker_takes_and_each_target_is_there_once(
        keys in vec((0..5_u8, 0..2_000_u16, any::<bool>()), 0..3_000),
        wide_above in 1..3_000_usize,
    ) {
        let mut batch = Batch::new(Limits { wide_above });
        for (class, id, remove) in &keys {
            let key: newsreel_core::wire::Key = format!("c{class}:{id}").parse().unwrap();
            batch.add(if *remove { Change::remove(key) } else { Change::update(key, Vec::new()) });
        }
        let publishes = batch.into_publishes();
        let mut targets = BTreeSet::new();
        for publish in &publishes {
            prop_assert!((1..=MAX_CHANGES).contains(&publish.changes.len()));
            let body = format!(r#"{{"changes":{}}}"#, publish.written().changes);
            prop_assert_eq!(&Publish::parse(body.as_bytes()).unwrap(), publish);
            prop_assert!(publish.changes.iter().all(|change| targets.insert(change.target.clone())));
        }
        for (class, id, _) in &keys {
            let key = format!("c{class}:{id}");
            let changes = publishes.iter().flat_map(|publish| &publish.changes);
            prop_assert!(changes.clone().any(|change| covers(change, &key, &BTreeSet::new())));
        }
    }
}
