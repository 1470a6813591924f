//! Variables and policies: every variable is read, and the policies in the document are those in the code and
//! in the npm package.

use std::time::Duration;

use newsreel_core::read::policy::{self, OnInvalidate, OnUnprovable, OriginCacheControl, Policies, Policy};
use newsreel_core::variables::{SECRETS, VARIABLES};

use crate::document::table;
use crate::sources;

#[test]
fn every_variable_is_read_by_the_worker() {
    let deployed = sources::deployed();
    for variable in VARIABLES.iter().chain(SECRETS) {
        let read = format!("variables::{}", variable.name());
        let reads = deployed.iter().any(|one| one.text.contains(&read));
        assert!(reads, "no source reads {}", variable.name());
    }
}

#[test]
fn the_policy_table_is_the_one_in_the_code() {
    let policies = Policies::default();
    let rows = table("### Policies");
    let classes: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(classes, ["embedding", "availability", "trending", "live", "any other"]);
    for (class, row) in classes.iter().zip(&rows) {
        let written = Policy {
            ttl: duration(row[1]),
            stale_for: duration(row[2]),
            lag_bound: duration(row[3]),
            beyond_bound: if row[4] == "fail" { OnUnprovable::Fail } else { OnUnprovable::Stale },
            on_bump: OnInvalidate::Delete,
            quorum: false,
            origin_cache_control: OriginCacheControl::Respect,
        };
        assert_eq!(policies.of(class), written, "{class}");
    }
}

/// The package repeats the table, since it checks options before its wasm is loaded. Where a reader fails,
/// the package fetches.
#[test]
fn the_package_promises_what_the_protocol_does() {
    let package = sources::package();
    let start = "Required<ClassPolicy>>> = {";
    let source = &package.iter().find(|one| one.text.contains(start)).expect("a file with the table").text;
    let after = |name: &str| source.split_once(name).unwrap_or_else(|| panic!("{name} is there")).1;
    let term = |term: &str| match term.trim() {
        "HOUR" => 3_600_000,
        number => number.replace('_', "").parse::<u64>().unwrap_or_else(|_| panic!("{number} is a number")),
    };
    let value = |text: &str| match text.split_once('/') {
        Some((whole, part)) => term(whole) / term(part),
        None => text.split('*').map(term).product(),
    };
    let field = |row: &str, name: &str| {
        let (_, rest) = row.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("{row} has {name}"));
        rest.split([',', '}']).next().unwrap_or_default().trim().to_owned()
    };
    let policies = Policies::default();
    let (rows, _) = after(start).split_once("};").expect("the table ends");
    let mut classes = 0;
    for row in rows.trim().lines() {
        let (class, promise) = row.trim().split_once(": {").expect("a class");
        let Policy { ttl, stale_for, lag_bound, beyond_bound, .. } = policies.of(class);
        let beyond = if beyond_bound == OnUnprovable::Fail { "'fetch'" } else { "'stale'" };
        let times = ["ttlMs", "staleForMs", "lagBoundMs"]
            .map(|name| Duration::from_millis(value(&field(promise, name))));
        assert_eq!(
            (times, field(promise, "beyondBound").as_str()),
            ([ttl, stale_for, lag_bound], beyond),
            "{class}"
        );
        classes += 1;
    }
    assert_eq!(classes, table("### Policies").len());
    for (name, time) in
        [("LONGEST_MS = ", policy::MAX_POLICY_TIME), ("LEAST_BOUND_MS = ", policy::MIN_LAG_BOUND)]
    {
        let (text, _) = after(name).split_once(';').expect("a statement");
        assert_eq!(Duration::from_millis(value(text)), time, "{name}");
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_once(' ').expect("a number and a unit");
    let seconds = match unit {
        "h" => 3_600,
        "min" => 60,
        "s" => 1,
        other => panic!("no unit {other}"),
    };
    Duration::from_secs(number.parse::<u64>().expect("a number") * seconds)
}
