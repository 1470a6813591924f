//! Shapes: what the golden files hold has the fields that the document's grammar gives.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::PROTOCOL;
use crate::sources;

/// The fields of a shape in the grammar, each with whether it may be absent.
fn shape(name: &str) -> Vec<(&'static str, bool)> {
    let block =
        PROTOCOL.split("```shapes").nth(1).and_then(|rest| rest.split("```").next()).expect("the block");
    let line = format!("\n{name:<9} = {{ ");
    let fields = block.split(&line).nth(1).and_then(|rest| rest.split(" }\n").next());
    let fields = fields.unwrap_or_else(|| panic!("{name} has a shape")).split(',').map(str::trim);
    let named = fields.map(|field| field.split(':').next().unwrap_or_default());
    named.map(|field| (field.trim_end_matches('?'), field.ends_with('?'))).collect()
}

/// Says whether a JSON object has the fields of a shape and no others, but for those that are allowed.
#[track_caller]
fn check_shape(name: &str, object: &Value, besides: &[&str]) {
    let fields = shape(name);
    let object = object.as_object().expect("an object");
    for (field, may_be_absent) in fields.iter().filter(|(field, _)| !field.starts_with('…')) {
        assert!(*may_be_absent || object.contains_key(*field), "{name} has {field}: {object:?}");
    }
    for field in object.keys().filter(|field| !besides.contains(&field.as_str())) {
        assert!(fields.iter().any(|(known, _)| known == field), "the shape of {name} has {field}");
    }
}

#[test]
fn what_the_golden_files_hold_has_the_shapes_of_the_grammar() {
    let files = ["frames.jsonl", "follower-frames.jsonl", "answers.jsonl"].map(sources::golden);
    let mut seen = BTreeSet::new();
    for case in files.iter().flat_map(|file| file.lines()) {
        let case: Value = serde_json::from_str(case).expect("a case");
        let kind = case["case"].as_str().expect("a kind");
        // Only frames that this broker writes have exactly these fields; others may have more.
        if kind == "frame" && case["ours"] != true {
            continue;
        }
        let Ok(body) = serde_json::from_str::<Value>(case["text"].as_str().unwrap_or_default()) else {
            continue;
        };
        let (name, besides): (&str, &[&str]) = match kind {
            "frame" | "answers" => (body["type"].as_str().expect("a type"), &["type"]),
            "problem" => (kind, &["allow", "epoch", "hash", "position", "reason", "subprotocol", "version"]),
            "fold-page" => ("fold page", &[]),
            "new-epoch" => ("begun", &[]),
            "receipt" | "page" | "status" | "followers" => (kind, &[]),
            _ => continue,
        };
        check_shape(name, &body, besides);
        body["followers"].as_array().into_iter().flatten().for_each(|one| check_shape("one", one, &[]));
        let rows = body["versions"].as_array().into_iter().flatten();
        rows.for_each(|row| check_shape("row", row, &[]));
        seen.insert(name.to_owned());
    }
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    let frames = ["ack", "answers", "changes", "error", "fold", "head", "live", "reset", "welcome"];
    let answers = ["begun", "fold page", "followers", "page", "problem", "receipt", "status"];
    let mut expected = [&frames[..], &answers[..]].concat();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}
