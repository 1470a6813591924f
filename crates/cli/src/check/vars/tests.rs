//! Files that are right and wrong, in TOML.

use std::time::Duration;

use super::*;

const BINDINGS: &str = "
    kv_namespaces = [{ binding = 'ENTRIES', id = 'x' }]
    durable_objects.bindings = [{ name = 'BROKER', class_name = 'Broker' }, { name = 'REPLICA', class_name = 'Replica' }]
    ";

fn found(rest: &str) -> Findings {
    let root = toml::from_str(&format!("{BINDINGS}{rest}")).unwrap();
    check(&DeploymentFile::pick(root, None).unwrap())
}

/// Checks variables and expects a complaint that holds each of these, in order.
#[track_caller]
fn expect(vars: &str, complaints: &[&str]) -> Findings {
    let found = found(&format!("[vars]\nORIGIN_URL = 'https://origin.example'\n{vars}"));
    assert_eq!(found.complaints.len(), complaints.len(), "{:?}", found.complaints);
    for (complaint, wanted) in found.complaints.iter().zip(complaints) {
        assert!(complaint.contains(wanted), "{complaint}: {wanted}");
    }
    found
}

#[test]
fn the_repositorys_own_file_is_right() {
    let root = toml::from_str(include_str!("../../../../../wrangler.toml")).unwrap();
    let found = check(&DeploymentFile::pick(root, None).unwrap());
    assert!(found.complaints.is_empty() && found.warnings.is_empty(), "{found:?}");
}

#[test]
fn a_variable_is_of_its_kind() {
    expect("SLOW_BYTES = '1'\nLOG_KEEP_BYTES = ''\nFILL_CATALOGS = 'tv, shop'\nALLOWED_ORIGINS = '*'", &[]);
    expect("SLOW_BYTES = 4194304\nORIGIN_TIMEOUT_MS = 5000\nEDGE = 5\nFILL_TOP = 5.0", &[]);
    expect("FILL_TOP = true", &["FILL_TOP is a whole number from 1 to 100000, not true"]);
    expect("FILL_TOP = 0.5", &["not 0.5"]);
    expect("EDGE = ['x']", &["EDGE is the name of an edge"]);
    for (vars, wanted) in [
        ("SLOW_BYTES = '0'", "SLOW_BYTES is a whole number of at least 1, not \"0\""),
        ("ORIGIN_TIMEOUT_MS = '60001'", "from 1 to 60000"),
        ("ORIGIN_CONCURRENCY = '7'", "from 1 to 6"),
        ("REFRESH_PER_MINUTE = '-1'", "from 0 to 60000"),
        ("REFRESH_PER_MINUTE = '60001'", "from 0 to 60000"),
        ("FILL_TOP = '100001'", "from 1 to 100000"),
        ("FILL_TOP = '10k'", "not \"10k\""),
        ("BROKER_URL = 'broker.example'", "BROKER_URL is an http or https address"),
        ("FILL_CATALOGS = 'tv,Shop'", "\"Shop\" is none"),
        ("ALLOWED_ORIGINS = 'https://a.example, b.example'", "and \"b.example\" is none"),
        ("EDGE = \"a\\u0007\"", "EDGE is the name of an edge"),
    ] {
        expect(vars, &[wanted]);
    }
}

#[test]
fn all_complaints_come_at_once() {
    let vars = "FILL_TOP = 0\nSLOW_BYTES = 'x'\nPOLICY = { a = { ttl_ms = 0, ttl = 1 }, b = { lag_bound_ms = '5' }, c = 7, \
                d = { beyond_bound = 'maybe' } }";
    let found = expect(
        vars,
        &[
            "FILL_TOP",
            "SLOW_BYTES",
            "POLICY.a.ttl: unknown field `ttl`, expected one of `ttl_ms`",
            "POLICY.b.lag_bound_ms is a whole number: write it without quotes",
            "POLICY.c is a table",
            "POLICY.d.beyond_bound: unknown variant `maybe`",
            "POLICY.a.ttl_ms is 0",
        ],
    );
    assert_eq!(found.policies.of("d"), Policies::default().of("d"));
}

#[test]
fn a_policy_may_be_json_in_a_text() {
    let found = expect(r#"POLICY = '{"fare":{"ttl_ms":7}}'"#, &[]);
    assert_eq!(found.policies.of("fare").ttl, Duration::from_millis(7));
    expect("POLICY = 'fare'", &["POLICY is a table, or the JSON of one"]);
    expect("POLICY = 5", &["POLICY is a table"]);
    expect("POLICY = ''", &[]);
}

#[test]
fn the_log_must_remember_for_longer_than_entries_live() {
    expect("FORGET_AFTER_MS = '1209600001'", &[]);
    expect("FORGET_AFTER_MS = '1209600000'", &["FORGET_AFTER_MS is 1209600000"]);
    expect("POLICY = { fare = { ttl_ms = 2592000000 } }", &["FORGET_AFTER_MS is 1296000000"]);
}

#[test]
fn a_quorum_needs_three() {
    let quorum = "POLICY = { fare = { quorum = true } }";
    expect(quorum, &["POLICY.fare.quorum is true"]);
    expect(&format!("{quorum}\n[[r2_buckets]]\nbinding = 'COPIES'\nbucket_name = 'x'"), &[]);
    expect("POLICY = { other = { quorum = true } }", &["POLICY.other.quorum is true"]);
}

#[test]
fn bindings_are_there_and_an_environment_has_its_own() {
    let of = |text: &str, env| {
        check(&DeploymentFile::pick(toml::from_str(text).unwrap(), env).unwrap()).complaints
    };
    assert_eq!(of("", None).len(), 3);
    let complaints = of(&format!("{BINDINGS}[env.prod.vars]\nEDGE = 'x'"), Some("prod"));
    assert_eq!(complaints.len(), 3);
    for (complaint, wanted) in complaints.iter().zip([
        "[[env.prod.durable_objects.bindings]] name = \"BROKER\"",
        "name = \"REPLICA\"",
        "[[env.prod.kv_namespaces]] binding = \"ENTRIES\"",
    ]) {
        assert!(complaint.contains(wanted) && complaint.contains("inherits no bindings"), "{complaint}");
    }
    let other_class = BINDINGS.replace("'Replica'", "'Broker'");
    assert!(of(&other_class, None)[0].contains("REPLICA is of another class"));
    let follower = BINDINGS.replace("'BROKER'", "'X'") + "[vars]\nBROKER_URL = 'https://b.example'";
    assert_eq!(of(&follower, None), [""; 0], "the broker is another deployment's");
}

#[test]
fn what_may_be_a_mistake_is_a_warning() {
    let warning = |vars: &str| expect(vars, &[]).warnings.join("\n");
    assert!(warning("FORGET_AFTER = '1'").contains("did you mean FORGET_AFTER_MS?"));
    assert!(warning("origin_url = 'x'").contains("did you mean ORIGIN_URL?"));
    assert_eq!(warning("GREETING = 'x'"), "GREETING in [vars] is no variable of Newsreel");
    assert!(warning("ADMIN_TOKENS = 'x'").contains("wrangler secret put ADMIN_TOKENS"));
    assert!(warning("FILL_CATALOGS = 'tv'").contains("nothing is scheduled"));
    assert!(warning("VERIFY_CATALOGS = 'tv'").contains("add \"0-59/5 * * * *\" to crons"));
    let checks =
        |cron: &str| warning(&format!("VERIFY_CATALOGS = 'tv'\n[triggers]\ncrons = ['0 4 * * *', '{cron}']"));
    assert!(checks("5 * * * *").contains("nothing is scheduled for it"));
    assert_eq!(checks("0-59/5 * * * *"), "");
    assert!(warning("POLICY = { others = { ttl_ms = 5 } }").contains("did you mean other?"));
    assert_eq!(warning("FILL_CATALOGS = 'tv'\n[triggers]\ncrons = ['0 4 * * *']"), "");
    assert!(found("").warnings.join("").contains("ORIGIN_URL is not set"));
}

#[test]
fn what_cannot_be_read_hides_no_other_complaint() {
    let policy =
        "POLICY = { a = { ttl_ms = 'x', quorum = true }, b = { ttl_ms = 1296000000, stale_for_ms = 0 } }";
    expect(policy, &["POLICY.a.ttl_ms", "FORGET_AFTER_MS", "POLICY.a.quorum"]);
}
