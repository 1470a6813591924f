//! The values that a deployment may write for each kind of variable.

use serde_json::{Map, Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::follow::hub;
use crate::log::maintenance::RetentionLimits;
use crate::read::policy::Override;

fn settings(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

#[track_caller]
fn refusal<K: Kind<Value: std::fmt::Debug>>(variable: &Variable<K>, value: Value) -> String {
    settings(variable.name, value).read(variable).unwrap_err().to_string()
}

#[test]
fn a_number_is_read_with_and_without_quotes() {
    for given in [json!("5000"), json!(5000), json!(5000.0), json!(" 5000 ")] {
        assert_eq!(
            settings("ORIGIN_TIMEOUT_MS", given.clone()).read(&ORIGIN_TIMEOUT_MS),
            Ok(5_000),
            "{given}"
        );
    }
    for absent in [json!(""), json!(" "), Value::Null] {
        assert_eq!(settings("ORIGIN_TIMEOUT_MS", absent).read(&ORIGIN_TIMEOUT_MS), Ok(10_000));
    }
    assert_eq!(Map::new().read(&ORIGIN_TIMEOUT_MS), Ok(10_000));
}

#[test]
fn a_number_outside_its_bounds_is_refused_with_the_bounds() {
    for (given, shown) in [
        (json!("60001"), "\"60001\""),
        (json!(0), "0"),
        (json!(0.5), "0.5"),
        (json!("10k"), "\"10k\""),
        (json!(-1), "-1"),
        (json!(true), "true"),
        (json!(["5"]), "[\"5\"]"),
    ] {
        let expected = format!("ORIGIN_TIMEOUT_MS is a whole number from 1 to 60000, not {shown}");
        assert_eq!(refusal(&ORIGIN_TIMEOUT_MS, given), expected);
    }
    assert_eq!(refusal(&SLOW_BYTES, json!(0)), "SLOW_BYTES is a whole number of at least 1, not 0");
    for (variable, beyond) in [(&REFRESH_PER_MINUTE, 60_001), (&FILL_TOP, 100_001)] {
        assert!(refusal(variable, json!(beyond)).contains(" to "));
        assert_eq!(settings(variable.name, json!(beyond - 1)).read(variable), Ok(beyond - 1));
    }
}

#[test]
fn a_schedule_has_five_fields() {
    assert_eq!(Map::new().read(&VERIFY_CRON).as_deref(), Ok("0-59/5 * * * *"));
    assert_eq!(settings("VERIFY_CRON", json!("7 4 * * 1")).read(&VERIFY_CRON).as_deref(), Ok("7 4 * * 1"));
    for given in [json!("hourly"), json!("* * * *"), json!(5)] {
        assert!(
            refusal(&VERIFY_CRON, given)
                .starts_with("VERIFY_CRON is a cron trigger of wrangler.toml, five fields")
        );
    }
}

#[test]
fn an_address_is_that_of_a_server() {
    for (given, read) in [
        ("https://origin.example/api/", "https://origin.example/api"),
        ("http://127.0.0.1:8788", "http://127.0.0.1:8788"),
    ] {
        assert_eq!(settings("ORIGIN_URL", json!(given)).read(&ORIGIN_URL), Ok(Some(read.to_owned())));
    }
    assert_eq!(settings("ORIGIN_URL", json!("")).read(&ORIGIN_URL), Ok(None));
    for bad in ["origin.example", "ftp://origin.example", "127.0.0.1:8788", "http://"] {
        let expected = format!("ORIGIN_URL is an http or https address, not {bad:?}");
        assert_eq!(refusal(&ORIGIN_URL, json!(bad)), expected);
    }
}

#[test]
fn a_list_names_the_item_that_is_wrong() {
    let catalogs = settings("FILL_CATALOGS", json!("tv, shop,")).read(&FILL_CATALOGS).unwrap();
    assert_eq!(catalogs.iter().map(|catalog| catalog.as_str()).collect::<Vec<_>>(), ["tv", "shop"]);
    let why = refusal(&CATALOGS, json!("tv,Shop"));
    assert!(why.starts_with("CATALOGS is a list of catalogs with commas, and \"Shop\" is none ("), "{why}");
    let why = refusal(&ALLOWED_ORIGINS, json!("https://a.example, b.example"));
    assert!(why.contains("ALLOWED_ORIGINS") && why.ends_with("and \"b.example\" is none"), "{why}");
}

#[test]
fn an_edge_has_the_name_of_a_follower() {
    assert_eq!(settings("EDGE", json!(" ams ")).read(&EDGE), Ok(Some("ams".to_owned())));
    assert!(refusal(&EDGE, json!("a\u{7}")).contains("EDGE is the name of an edge"));
    assert!(refusal(&KV_TENDER, json!("x".repeat(129))).contains("at most 128 bytes"));
}

#[test]
fn a_switch_is_true_or_false() {
    const SWITCH: Variable<Switch> =
        Variable { name: "SWITCH", half: Half::Edge, kind: Switch { default: false }, meaning: "" };
    assert_eq!(Map::new().read(&SWITCH), Ok(false));
    for given in [json!(true), json!("true")] {
        assert_eq!(settings("SWITCH", given).read(&SWITCH), Ok(true));
    }
    assert_eq!(refusal(&SWITCH, json!("yes")), "SWITCH is true or false, not \"yes\"");
}

#[test]
fn policies_are_a_table_or_its_json() {
    for given in [json!({ "fare": { "ttl_ms": 7 } }), json!(r#"{"fare":{"ttl_ms":7}}"#)] {
        let policies = settings("POLICY", given).read(&POLICY).unwrap();
        assert_eq!(policies.of("fare").ttl.as_millis(), 7);
    }
    assert!(refusal(&POLICY, json!({ "fare": { "ttl_ms": 0 } })).contains("POLICY.fare.ttl_ms"));
}

#[test]
fn a_secret_is_any_text_and_no_error_shows_it() {
    assert_eq!(settings("TOKEN_KEYS", json!("[]")).read(&TOKEN_KEYS).unwrap(), "[]");
    for secret in SECRETS {
        assert_eq!(secret.check(&json!(["x"])), Ok(()));
    }
}

#[test]
fn the_defaults_are_those_of_the_code_that_goes_by_them() {
    let none = Map::new();
    let upkeep = RetentionLimits::default();
    assert_eq!(none.read(&LOG_SEGMENT_BYTES), Ok(upkeep.segment_bytes));
    assert_eq!(none.read(&LOG_KEEP_BYTES), Ok(upkeep.keep_bytes));
    assert_eq!(none.read(&FORGET_AFTER_MS).map(u128::from), Ok(upkeep.forget_after.as_millis()));
    let pace = hub::Limits::default();
    assert_eq!(none.read(&SLOW_BYTES), Ok(pace.slow_bytes));
    assert_eq!(none.read(&SLOW_AFTER_MS).map(u128::from), Ok(pace.slow_after.as_millis()));
    assert_eq!(none.read(&SILENT_AFTER_MS).map(u128::from), Ok(pace.silent_after.as_millis()));
}

#[test]
fn every_default_is_a_value_that_is_taken() {
    for variable in VARIABLES {
        assert_eq!(variable.check(&json!(variable.default_text())), Ok(()), "{}", variable.name());
        assert!(
            !variable.default_words().is_empty() && variable.meaning().ends_with('.'),
            "{}",
            variable.name()
        );
    }
    assert_eq!(FORGET_AFTER_MS.default_words(), "15 days");
    assert_eq!(SILENT_AFTER_MS.default_words(), "300 s");
    assert_eq!(LOG_SEGMENT_BYTES.default_words(), "256 KiB");
    assert_eq!(PUBLISH_PER_SECOND.default_words(), "0: no limit");
}

#[test]
fn a_horizon_is_longer_than_any_entry_lives() {
    let policies = Policies::default();
    assert_eq!(check_horizon(&policies, FORGET_AFTER_MS.kind.default), Ok(()));
    let problem = Problem::from(check_horizon(&policies, 1).unwrap_err());
    assert_eq!(problem.kind(), Code::Misconfigured);
    assert!(problem.detail().contains("FORGET_AFTER_MS is 1"));
}

#[test]
fn the_schema_of_a_policy_has_every_field_that_a_class_may_set_and_no_other() {
    for (field, schema) in Override::schema().as_object().unwrap() {
        let value = match schema["type"].as_str() {
            Some("integer") => json!(86_400_000),
            Some("boolean") => json!(true),
            Some("array") => json!(["Origin"]),
            _ => schema["enum"][1].clone(),
        };
        let policy = json!({ "title": { field: value } });
        assert!(settings("POLICY", policy.clone()).read(&POLICY).is_ok(), "{policy}");
    }
    let every_field = refusal(&POLICY, json!({ "title": { "ttl": 1 } }));
    for (field, _) in Override::schema().as_object().unwrap() {
        assert!(every_field.contains(&format!("`{field}`")), "{every_field}");
    }
    let known = every_field.matches('`').count() / 2 - 1;
    assert_eq!(known, Override::schema().as_object().unwrap().len(), "{every_field}");
}

#[test]
fn the_schema_of_a_number_has_its_bounds() {
    let bounded = json!({ "type": "integer", "minimum": 1, "maximum": 6 });
    assert_eq!(ORIGIN_CONCURRENCY.schema()["anyOf"][0], bounded);
    assert_eq!(SLOW_BYTES.schema()["anyOf"][0], json!({ "type": "integer", "minimum": 1 }));
}
