//! Holds `PROTOCOL.md` to what the code does. On the host alone: it reads texts, and a runtime changes none of them.

use std::collections::BTreeSet;
use std::time::Duration;

use newsreel_core::access::signed;
use newsreel_core::follower::{Cursor, Effect, Follower, Input, Phase};
use newsreel_core::policy::{self, Beyond, OnBump, Policies, Policy};
use newsreel_core::upkeep::REMEMBER_FOR;
use newsreel_core::wire::frame::{self, FollowerFrame, Frame, Resume, VersionRow, close};
use newsreel_core::wire::lines::{self, Answer, Answers, answers_text};
use newsreel_core::wire::{
    Code, Epoch, Line, Position, UnixMillis, Version, change, event, name, page, problem, publish, route,
};
use newsreel_core::{counts, fold, follower, hub, sync, upkeep};
use serde_json::Value;

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

/// Every file in which a test may stand that the document names.
const SOURCES: &[&str] = &[
    include_str!("../src/cache/tests.rs"),
    include_str!("../src/cache/tests/far.rs"),
    include_str!("../src/cache/tests/quorum.rs"),
    include_str!("races.rs"),
    include_str!("../../client/src/cache/shelf.rs"),
    include_str!("../../client/src/cache/tests.rs"),
    include_str!("../../client/src/session.rs"),
    include_str!("../../edge/src/tiers/memory.rs"),
    include_str!("../../edge/src/tiers/r2.rs"),
    include_str!("../../edge/src/tiers/tests.rs"),
    include_str!("../src/floors.rs"),
    include_str!("../src/fold/tests.rs"),
    include_str!("../src/follower/tests.rs"),
    include_str!("../src/hub/tests.rs"),
    include_str!("../src/hub/tests/epochs.rs"),
    include_str!("../src/hub/tests/expiry.rs"),
    include_str!("../src/hub/tests/model.rs"),
    include_str!("../src/hub/tests/pace.rs"),
    include_str!("../src/hub/tests/replays.rs"),
    include_str!("../src/log.rs"),
    include_str!("../src/steady.rs"),
    include_str!("../src/sync.rs"),
    include_str!("../src/upkeep.rs"),
];

/// The same, end to end.
const E2E: &[&str] = &[
    include_str!("../../../e2e/away.test.mjs"),
    include_str!("../../../e2e/client-cache.test.mjs"),
    include_str!("../../../e2e/client-chaos.test.mjs"),
    include_str!("../../../e2e/contract.test.mjs"),
    include_str!("../../../e2e/crash.test.mjs"),
    include_str!("../../../e2e/doubt.test.mjs"),
    include_str!("../../../e2e/faults-crowd.test.mjs"),
    include_str!("../../../e2e/faults-disk.test.mjs"),
    include_str!("../../../e2e/faults-evicted.test.mjs"),
    include_str!("../../../e2e/faults-killed.test.mjs"),
    include_str!("../../../e2e/faults-lines.test.mjs"),
    include_str!("../../../e2e/faults-panic.test.mjs"),
    include_str!("../../../e2e/faults-tiers.test.mjs"),
    include_str!("../../../e2e/followers.test.mjs"),
    include_str!("../../../e2e/log.test.mjs"),
    include_str!("../../../e2e/main.test.mjs"),
    include_str!("../../../e2e/publishing.test.mjs"),
    include_str!("../../../e2e/reading.test.mjs"),
    include_str!("../../../e2e/bound.test.mjs"),
    include_str!("../../../e2e/floors.test.mjs"),
    include_str!("../../../e2e/many.test.mjs"),
    include_str!("../../../e2e/quorum.test.mjs"),
    include_str!("../../../e2e/races.test.mjs"),
    include_str!("../../../e2e/security.test.mjs"),
    include_str!("../../../e2e/tiers.test.mjs"),
    include_str!("../../../e2e/values.test.mjs"),
];

/// Where the numbers of the document stand that are nobody's but the code's.
const PRIVATE: &[(&str, &str)] = &[
    ("UNDER_WAY", include_str!("../../broker/src/bodies.rs")),
    ("HEARD_OUT", include_str!("../../broker/src/bodies.rs")),
    ("BODIES_BYTES", include_str!("../../broker/src/bodies.rs")),
    ("LARGE_BODIES_BYTES", include_str!("../../broker/src/bodies.rs")),
    ("SMALL_BODY_BYTES", include_str!("../../broker/src/bodies.rs")),
    ("QUEUE_BYTES", include_str!("../../broker/src/publishes.rs")),
    ("PUBLISH_BYTES", include_str!("../../broker/src/publishes.rs")),
    ("COMMIT_BYTES", include_str!("../../broker/src/publishes.rs")),
    ("FAILURES", include_str!("../../broker/src/publishes.rs")),
    ("KEYS_UNTIL_BYTES", include_str!("../../broker/src/publishes.rs")),
    ("MAX_UNANSWERED", include_str!("../../broker/src/publishing.rs")),
    ("MAX_UNANSWERED_BYTES", include_str!("../../broker/src/publishing.rs")),
    ("MAX_POLLS", include_str!("../../broker/src/reading.rs")),
    ("MAX_STREAMS", include_str!("../../broker/src/events.rs")),
    ("KEEP_ALIVE", include_str!("../../broker/src/events.rs")),
    ("FOLD_ROWS", include_str!("../../broker/src/rows/past.rs")),
    ("BOOKMARK_EVERY", include_str!("../src/hub/fan_out.rs")),
    ("DEFAULT_WAIT", include_str!("../src/wire/route.rs")),
    ("MAX_WAIT", include_str!("../src/wire/route.rs")),
    ("BUDGET", include_str!("../src/hub/replay.rs")),
    ("MAX_NAME_BYTES", include_str!("../src/access/signed.rs")),
    ("FAILURES_PER_SECOND", include_str!("../src/rate.rs")),
    ("MOST_KNOWN", include_str!("../src/rate.rs")),
    ("LEEWAY_MS", include_str!("../src/access/signed.rs")),
    ("ASK_EVERY", include_str!("../src/hub/pace.rs")),
    ("ASK_BYTES", include_str!("../src/hub/pace.rs")),
    ("MOMENT", include_str!("../src/hub/pace.rs")),
    ("FETCHES", include_str!("../src/cache.rs")),
    ("MEMORY_BYTES", include_str!("../../edge/src/sync.rs")),
    ("MAX_CATALOGS", include_str!("../../edge/src/sync.rs")),
    ("QUEUE", include_str!("../../edge/src/flights.rs")),
    ("SMALL_BYTES", include_str!("../../edge/src/tiers.rs")),
    ("KV_VALUE_BYTES", include_str!("../../edge/src/tiers.rs")),
    ("WRAPPED_BYTES", include_str!("../../edge/src/value.rs")),
    ("SYNC_WAIT", include_str!("../../edge/src/readers.rs")),
    ("PONG_WAIT", include_str!("../../edge/src/readers.rs")),
    ("SYNC_WAIT_IN_VAIN", include_str!("../../edge/src/readers.rs")),
    ("OPEN_FOR", include_str!("../../edge/src/window.rs")),
    ("REPORT_EVERY", include_str!("../../edge/src/metrics.rs")),
];

/// The cells of the rows of the table under a heading's first words.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let start = PROTOCOL.find(heading).expect("the heading stands in the document");
    let rows = PROTOCOL[start..].lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The texts between back quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_problem_code_stands_in_its_table_in_order() {
    let listed: Vec<(&str, u16)> =
        table("## Problems").iter().map(|row| (row[0].trim_matches('`'), row[1].parse().unwrap())).collect();
    let codes: Vec<(&str, u16)> = Code::ALL.iter().map(|code| (code.text(), code.status())).collect();
    assert_eq!(listed, codes);
}

#[test]
fn every_close_code_stands_in_its_table() {
    let listed: Vec<u16> = table("### Close codes").iter().map(|row| row[0].parse().unwrap()).collect();
    let mut codes = vec![
        close::GOING_AWAY,
        close::TOO_SLOW,
        close::TOO_CHATTY,
        close::RESYNC,
        close::EXPIRED,
        close::BAD_FRAME,
        close::UNAUTHORIZED,
        close::REPLACED,
    ];
    codes.sort_unstable();
    assert_eq!(listed, codes);
}

#[test]
fn every_example_frame_is_one() {
    let mut blocks = PROTOCOL.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for line in blocks.next().expect("frames from the broker").lines() {
        let frame = Frame::parse(line).unwrap();
        assert!(!matches!(frame, Frame::Unknown(_)), "{line}");
    }
    for line in blocks.next().expect("frames to the broker").lines() {
        assert!(matches!(FollowerFrame::parse(line).unwrap(), FollowerFrame::Ack { .. }), "{line}");
    }
}

#[test]
fn every_example_event_is_one() {
    let stream = PROTOCOL.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let blocks: Vec<String> = stream.trim_end().split("\n\n").map(|block| format!("{block}\n\n")).collect();
    assert_eq!(blocks.first(), Some(&event::retry(Duration::from_millis(2_741))));
    assert_eq!(blocks.last().map(String::as_str), Some(event::KEEP_ALIVE));
    for block in &blocks[1..blocks.len() - 1] {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let (kind, id, frame) = (field("event: "), field("id: ").parse().unwrap(), field("data: "));
        assert_eq!(*block, event::event(kind, Some(&id), frame));
        assert!(!matches!(Frame::parse(frame).unwrap(), Frame::Unknown(_)));
    }
}

#[test]
fn every_example_line_and_its_answers_are_read() {
    let block = |kind: &str| PROTOCOL.split(kind).nth(1).unwrap().split("```").next().unwrap().lines();
    let lines: Vec<Line> = block("```ndjson\n").map(|line| Line::parse(line.as_bytes()).unwrap()).collect();
    assert!(lines.iter().any(|line| line.idempotency_key.is_some() && line.publish.changes.len() == 2));
    assert!(lines.iter().any(|line| line.publish.expect.is_some()));
    for frame in block("```answers\n") {
        let Answers { answers } = serde_json::from_str::<Answers<Answer>>(frame).unwrap();
        assert!(matches!(answers.as_slice(), [Answer::Published(_), Answer::Refused(_)]));
        let texts: Vec<&str> = frame.split("\"answers\":[").nth(1).unwrap().split("]}").collect();
        assert_eq!(answers_text(texts[0]), frame);
    }
}

#[test]
fn the_example_rows_are_canonical_and_hash_to_their_positions() {
    let epoch: Epoch = "01ARYZ6S410000000000000000".parse().unwrap();
    let mut position = Position::genesis(epoch);
    for (index, row) in table("## Positions").iter().enumerate() {
        if index > 0 {
            let text = quoted(row[1])[0];
            let parsed: VersionRow = serde_json::from_str(text).unwrap();
            assert_eq!(parsed.to_json(), text);
            position = position.then(text.as_bytes());
        }
        assert_eq!(quoted(row[0]), [position.to_string()]);
    }
    assert_eq!(position.version.number(), 3);
}

/// An invariant: its id, the tests of this crate that show it, and those of `e2e/`.
struct Invariant {
    id: &'static str,
    tests: Vec<&'static str>,
    e2e: Vec<String>,
}

fn invariants() -> Vec<Invariant> {
    let (_, section) = PROTOCOL.split_once("## Invariants").expect("the section");
    let each = section.split("\n**").skip(1);
    let read = each.map(|text| {
        let id = text.split([' ', '.']).next().unwrap_or_default();
        let (tests, e2e) = text.split_once("\n- e2e: ").unwrap_or((text, ""));
        // A title may go over the end of a line.
        let e2e = e2e.split_whitespace().collect::<Vec<_>>().join(" ");
        let e2e = e2e.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        Invariant { id, tests: quoted(tests), e2e }
    });
    read.collect()
}

#[test]
fn every_test_named_under_the_invariants_exists() {
    let invariants = invariants();
    let ids: Vec<&str> = invariants.iter().map(|one| one.id).collect();
    assert_eq!(ids, ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "D1", "D2", "D3", "S1", "S2", "E1"]);
    for Invariant { id, tests, e2e } in &invariants {
        assert!(!tests.is_empty() && !e2e.is_empty(), "{id} is shown by tests of both kinds");
        for name in tests {
            let declared = format!("fn {name}(");
            assert!(SOURCES.iter().any(|source| source.contains(&declared)), "{id}: there is no test {name}");
        }
        for title in e2e {
            let declared = format!("test('{title}'");
            assert!(E2E.iter().any(|source| source.contains(&declared)), "{id}: there is no test {title:?}");
        }
    }
}

#[test]
fn every_test_of_an_invariant_is_named_there() {
    let invariants = invariants();
    let declared = SOURCES.iter().flat_map(|source| source.split("fn ").skip(1));
    let names = declared.filter_map(|rest| rest.split('(').next());
    for name in names {
        let ids = name.split('_').map(str::to_uppercase);
        // Its first words are the ids of what it shows.
        for id in ids.take_while(|word| invariants.iter().any(|one| one.id == word)) {
            let named = |one: &Invariant| one.id == id && one.tests.contains(&name);
            // Those of a reader's promises are many, and a selection stands for them.
            assert!(id.starts_with('S') || invariants.iter().any(named), "{name} is not named under {id}");
        }
    }
}

#[test]
fn every_end_to_end_test_of_an_invariant_is_named_there() {
    let invariants = invariants();
    for title in E2E
        .iter()
        .flat_map(|source| source.split("test('").skip(1))
        .filter_map(|rest| rest.split('\'').next())
    {
        let (ids, _) = title.split_once(": ").unwrap_or_default();
        for one in invariants.iter().filter(|one| ids.split(", ").any(|id| id == one.id)) {
            assert!(one.e2e.iter().any(|named| named == title), "{title:?} is not named under {}", one.id);
        }
    }
}

/// The number in a cell, in bytes or milliseconds where it has a unit.
fn amount(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "" | "B" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1_000,
        "h" => 3_600_000,
        "days" => 24 * 3_600_000,
        other => panic!("no unit {other}"),
    };
    number.replace(',', "").parse::<u64>().expect("a number") * factor
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().expect("a short time")
}

/// The numbers that everybody can ask the code for.
#[expect(clippy::too_many_lines, reason = "a list")]
fn public_numbers() -> Vec<(&'static str, u64)> {
    let bytes = |bytes: usize| bytes as u64;
    let (upkeep, pace) = (upkeep::Limits::default(), hub::Limits::default());
    let follower = follower::Config::default();
    vec![
        ("MAX_CHANGES", bytes(publish::MAX_CHANGES)),
        ("MAX_OBJECTS", bytes(publish::MAX_OBJECTS)),
        ("MAX_BODY_BYTES", bytes(publish::MAX_BODY_BYTES)),
        ("MAX_IDEMPOTENCY_KEY_BYTES", bytes(publish::MAX_IDEMPOTENCY_KEY_BYTES)),
        ("MAX_DETAIL_CHARS", bytes(problem::MAX_DETAIL_CHARS)),
        ("MAX_LINES", bytes(lines::MAX_LINES)),
        ("MAX_LINES_BYTES", bytes(lines::MAX_LINES_BYTES)),
        ("MAX_KEY_BYTES", bytes(name::MAX_KEY_BYTES)),
        ("MAX_TAG_BYTES", bytes(name::MAX_TAG_BYTES)),
        ("MAX_TAGS", bytes(change::MAX_TAGS)),
        ("MAX_CATALOG_BYTES", bytes(name::MAX_CATALOG_BYTES)),
        ("LEAST_LAG_BOUND", millis(policy::LEAST_LAG_BOUND)),
        ("LONGEST_TIME", millis(policy::LONGEST_TIME)),
        ("MAX_FOLDED_TAGS", bytes(fold::MAX_FOLDED_TAGS)),
        ("MAX_KEYS", bytes(route::MAX_KEYS)),
        ("SNAPSHOT_FLOORS", sync::SNAPSHOT_FLOORS.into()),
        ("MAX_FLOORS", bytes(sync::MAX_FLOORS)),
        ("MAX_CLASSES", bytes(counts::MAX_CLASSES)),
        ("MAX_TOKEN_BYTES", bytes(signed::MAX_TOKEN_BYTES)),
        ("MAX_TOKEN_KEYS", bytes(signed::MAX_TOKEN_KEYS)),
        ("LEAST_SECRET_BYTES", bytes(signed::LEAST_SECRET_BYTES)),
        ("MAX_TOPICS", bytes(route::MAX_TOPICS)),
        ("MAX_TOPICS_BYTES", bytes(route::MAX_TOPICS_BYTES)),
        ("MAX_FOLLOWER_NAME_BYTES", bytes(route::MAX_FOLLOWER_NAME_BYTES)),
        ("MAX_PAGE_VERSIONS", page::MAX_PAGE_VERSIONS.into()),
        ("FRAME_BYTES", bytes(frame::FRAME_BYTES)),
        ("FOLD_BYTES", bytes(frame::FOLD_BYTES)),
        ("MAX_FOLLOWER_FRAME_BYTES", bytes(frame::MAX_FOLLOWER_FRAME_BYTES)),
        ("REPLAY_WINDOW", bytes(hub::REPLAY_WINDOW)),
        ("stuck_after", millis(pace.stuck_after)),
        ("slow_after", millis(pace.slow_after)),
        ("silent_after", millis(pace.silent_after)),
        ("slow_bytes", pace.slow_bytes),
        ("segment_bytes", upkeep.segment_bytes),
        ("keep_bytes", upkeep.keep_bytes),
        ("forget_after", millis(upkeep.forget_after)),
        ("REMEMBER_FOR", millis(REMEMBER_FOR)),
        ("connect_timeout", millis(follower.connect_timeout)),
        ("ping_every", millis(follower.ping_every)),
        ("pong_timeout", millis(follower.pong_timeout)),
        ("behind_grace", millis(follower.behind_grace)),
        ("page_timeout", millis(follower.page_timeout)),
        ("ack_every", millis(follower.ack_every)),
        ("backoff_base", millis(follower.backoff_base)),
        ("backoff_cap", millis(follower.backoff_cap)),
        ("LONGEST_RETRY", millis(follower::LONGEST_RETRY)),
    ]
}

/// The value that a source gives to a constant.
fn private_number(name: &str, source: &str) -> u64 {
    let declared = source.split(&format!("const {name}: ")).nth(1).expect("the constant stands in its file");
    let (_, rest) = declared.split_once(" = ").expect("a value");
    let (value, _) = rest.split_once(';').expect("its end");
    let whole = |text: &str| text.replace('_', "").parse::<u64>().expect("a whole number");
    let inside = |call: &str| value.strip_prefix(call).and_then(|rest| rest.strip_suffix(')'));
    match (inside("Duration::from_secs("), value.split_once(" << ")) {
        (Some(seconds), _) => whole(seconds) * 1_000,
        (None, None) if value.starts_with("Duration::from_millis(") => {
            whole(inside("Duration::from_millis(").expect("its end"))
        }
        (None, Some((number, by))) => whole(number) << whole(by),
        (None, None) => whole(value),
    }
}

#[test]
fn every_number_is_the_one_in_the_code() {
    let private = PRIVATE.iter().map(|(name, source)| (*name, private_number(name, source)));
    let numbers: Vec<(&str, u64)> = public_numbers().into_iter().chain(private).collect();
    let rows = table("## Numbers");
    for row in &rows {
        let name = quoted(row[2])[0];
        let known: Vec<u64> =
            numbers.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect();
        assert!(!known.is_empty(), "no constant is called {name}");
        assert!(known.iter().all(|value| *value == amount(row[1])), "{name} is {known:?}, not {}", row[1]);
    }
    for (name, _) in &numbers {
        assert!(rows.iter().any(|row| quoted(row[2]) == [*name]), "{name} is not in the table");
    }
}

#[test]
fn how_often_sockets_open_and_followers_speak_is_as_written() {
    assert!(include_str!("../src/hub/replay.rs").contains("bucket: Bucket<2_000, 2>"));
    assert!(PROTOCOL.contains("2,000 sockets open at once and 500 a second after that."));
    assert!(include_str!("../src/hub/session.rs").contains("Patience = Bucket<200, 50>"));
    assert!(PROTOCOL.contains("costs patience: 200 at once, 20 a second"));
}

#[test]
fn every_variable_is_read_and_has_its_default() {
    let config = include_str!("../../broker/src/config.rs");
    let browser = include_str!("../../broker/src/browser.rs");
    let edge = include_str!("../../edge/src/config.rs");
    let gate = include_str!("../../gate/src/lib.rs");
    let (upkeep, pace) = (upkeep::Limits::default(), hub::Limits::default());
    let rows = table("### Variables of a deployment");
    let listed: Vec<(&str, Option<u64>)> = rows
        .iter()
        .map(|row| (quoted(row[0])[0], Some(row[1]).filter(|default| *default != "none").map(amount)))
        .collect();
    let expected = [
        ("LOG_SEGMENT_BYTES", Some(upkeep.segment_bytes)),
        ("LOG_KEEP_BYTES", Some(upkeep.keep_bytes)),
        ("FORGET_AFTER_MS", Some(millis(upkeep.forget_after))),
        ("SLOW_AFTER_MS", Some(millis(pace.slow_after))),
        ("SLOW_BYTES", Some(pace.slow_bytes)),
        ("SILENT_AFTER_MS", Some(millis(pace.silent_after))),
        ("ALLOWED_ORIGINS", None),
        ("CATALOGS", None),
        ("PUBLISH_PER_SECOND", Some(0)),
        ("FOLLOW_PER_SECOND", Some(0)),
        ("ORIGIN_TIMEOUT_MS", Some(10_000)),
        ("ORIGIN_CONCURRENCY", Some(4)),
        ("REFRESH_PER_MINUTE", Some(300)),
        ("FILL_CATALOGS", None),
        ("FILL_TOP", Some(10_000)),
    ];
    assert_eq!(listed, expected);
    for (name, default) in listed {
        let read = format!("\"{name}\"");
        assert!([config, browser, edge, gate].iter().any(|one| one.contains(&read)), "nobody reads {name}");
        // The edge writes its defaults where it reads them.
        let given =
            edge.split(&format!("number(env, {read}, ")).nth(1).and_then(|rest| rest.split(',').next());
        let given = given.map(|number| number.replace('_', "").parse::<u64>().expect("a whole number"));
        assert!(given.is_none_or(|given| Some(given) == default), "{name} is {given:?}");
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
            beyond_bound: if row[4] == "fail" { Beyond::Fail } else { Beyond::Stale },
            on_bump: OnBump::Delete,
            quorum: false,
        };
        assert_eq!(policies.of(class), written, "{class}");
    }
}

/// The package says the table once more: it checks options before its wasm is there. Where a reader fails, it fetches.
#[test]
fn the_package_promises_what_the_protocol_does() {
    let source = include_str!("../../client/npm/src/cache-options.ts");
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
    let (rows, _) = after("Required<ClassPolicy>>> = {").split_once("};").expect("the table ends");
    let mut classes = 0;
    for row in rows.trim().lines() {
        let (class, promise) = row.trim().split_once(": {").expect("a class");
        let Policy { ttl, stale_for, lag_bound, beyond_bound, .. } = policies.of(class);
        let beyond = if beyond_bound == Beyond::Fail { "'fetch'" } else { "'stale'" };
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
        [("LONGEST_MS = ", policy::LONGEST_TIME), ("LEAST_BOUND_MS = ", policy::LEAST_LAG_BOUND)]
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
    let files = [
        include_str!("golden/frames.jsonl"),
        include_str!("golden/follower-frames.jsonl"),
        include_str!("golden/answers.jsonl"),
    ];
    let mut seen = BTreeSet::new();
    for case in files.iter().flat_map(|file| file.lines()) {
        let case: Value = serde_json::from_str(case).expect("a case");
        let kind = case["case"].as_str().expect("a kind");
        // What the broker writes; what it must put up with may look otherwise.
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

// --- the tables of the follower, run ---

const EPOCH: &str = "01ARYZ6S410000000000000000";
const NOW: UnixMillis = UnixMillis(1_000_000);

fn version(number: u64) -> Version {
    Version::new(number).expect("a small number")
}

fn position(epoch: &str, number: u64) -> Position {
    let hash = format!("{number:016x}").parse().expect("a hash");
    Position { epoch: epoch.parse().expect("an epoch"), version: version(number), hash }
}

fn at(number: u64) -> Position {
    position(EPOCH, number)
}

fn changes(from: u64, to: u64, ack: bool) -> String {
    let row = |number| frame::row_text(version(number), NOW, r#"[{"all":true}]"#);
    let rows: Vec<String> = (from + 1..=to).map(row).collect();
    frame::changes_text(version(from), &at(to), ack, &rows.join(","))
}

fn fold_part(from: u64, to: u64, more: bool) -> String {
    frame::fold_text(version(from), &at(to), 0, "", more)
}

/// A follower that was driven into a state of the table, and what its last input led to.
struct Driven {
    follower: Follower,
    now: UnixMillis,
}

impl Driven {
    fn new(filtered: bool, cursor: Cursor) -> Self {
        let config = follower::Config { filtered, ..follower::Config::default() };
        Self { follower: Follower::new(config, cursor, 1), now: NOW }
    }

    /// One that holds version 5.
    fn into_state(state: &str) -> Self {
        Self::filtered_into_state(state, false)
    }

    fn filtered_into_state(state: &str, filtered: bool) -> Self {
        let mut driven = Self::new(filtered, Cursor::At(at(5)));
        let welcome = Input::Text(frame::welcome(&at(9), Resume::Replay));
        let live = Input::Text(frame::live(version(5)));
        let way = [Input::Start, Input::Opened, welcome, live];
        let (steps, last) = match state {
            "Idle" => (0, None),
            "Dialing" => (1, None),
            "Waiting" => (1, Some(Input::Closed { code: 1006 })),
            "Closed" => (1, Some(Input::Closed { code: close::BAD_FRAME })),
            "Greeting" => (2, None),
            "CatchingUp" => (3, None),
            "Live" => (4, None),
            other => panic!("no state is called {other}"),
        };
        for input in way.into_iter().take(steps).chain(last) {
            driven.tell(input);
        }
        driven
    }

    fn open(&mut self) {
        self.tell(Input::Start);
        self.tell(Input::Opened);
    }

    fn tell(&mut self, input: Input) -> Vec<Effect> {
        self.follower.handle(self.now, input);
        let effects = std::iter::from_fn(|| self.follower.poll_effect());
        effects.filter(|effect| !matches!(effect, Effect::Phase(_))).collect()
    }

    fn acks_within_10_s(&mut self) -> bool {
        self.hear(frame::pong(&at(5)));
        self.now = NOW.plus(Duration::from_secs(10));
        self.tell(Input::Timer).iter().any(|effect| *effect == Effect::Send(frame::ack(version(5))))
    }

    fn hear(&mut self, text: String) -> Vec<Effect> {
        self.tell(Input::Text(text))
    }
}

fn hangs_up(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Hangup { code: close::RESYNC, .. }])
}

/// Does what a cell of the first table says of an input, and checks it.
#[track_caller]
fn check_input(state: &str, input: &str, cell: &str) {
    let mut driven = Driven::into_state(state);
    let before = driven.follower.phase();
    let sent = match input {
        "start" => Input::Start,
        "opened" => Input::Opened,
        "closed" => Input::Closed { code: 1006 },
        "timer" => Input::Timer,
        "prove" => Input::Prove,
        "stop" => Input::Stop,
        other => panic!("no input is called {other}"),
    };
    let due = driven.follower.poll_timeout();
    if input == "timer" && cell.contains("when due") {
        assert_eq!(driven.tell(Input::Timer), [], "{state}: not before it is due");
        driven.now = due.expect("it is due some time");
    }
    let effects = driven.tell(sent);
    let phase = driven.follower.phase();
    let met = match cell {
        "—" => effects.is_empty() && phase == before,
        "dial" | "dial when due" => {
            matches!(effects.as_slice(), [Effect::Dial(_)]) && phase == Phase::Connecting
        }
        "Greeting" => effects.is_empty() && !driven.hear(frame::welcome(&at(5), Resume::Live)).is_empty(),
        "Idle" => effects.is_empty() && phase == Phase::Idle,
        "leave, Idle" => {
            matches!(effects.as_slice(), [Effect::Hangup { code: 1000, .. }]) && phase == Phase::Idle
        }
        "hang up when due (10 s)" => {
            let waited = due.map(|due| due.since(NOW)) == Some(Duration::from_secs(10));
            waited && hangs_up(&effects) && phase == Phase::Waiting
        }
        "wait, or Closed" => {
            let mut other = Driven::into_state(state);
            let nothing = effects.is_empty() && other.tell(Input::Closed { code: 4_999 }).is_empty();
            nothing && phase == Phase::Waiting && other.follower.phase() == Phase::Closed
        }
        "ping" => effects == [Effect::Send(frame::PING.to_owned())] && phase == before,
        other => panic!("a cell that nobody checks: {other}"),
    };
    assert!(met, "{state}, {input}: {cell:?}, and {effects:?}");
}

#[test]
fn the_follower_does_what_the_table_of_its_states_says() {
    let inputs = ["start", "opened", "text", "closed", "timer", "prove", "stop"];
    let rows = table("| state | start | opened |");
    let states: Vec<&str> = rows.iter().map(|row| row[0].split(' ').next().unwrap_or_default()).collect();
    assert_eq!(states, ["Idle", "Waiting", "Dialing", "Greeting", "CatchingUp", "Live", "Closed"]);
    for (state, row) in states.iter().zip(&rows) {
        for (input, cell) in inputs.iter().zip(&row[1..]) {
            match (*input, *cell) {
                (_, "see below") => {}
                ("text", "—") => {
                    assert_eq!(Driven::into_state(state).hear(frame::live(version(5))), [], "{state}")
                }
                (input, cell) => check_input(state, input, cell),
            }
        }
    }
}

/// The frames that a row of the second table is about, for whoever holds version 5.
fn frames_of(row: &str) -> Vec<String> {
    let older = "01ARYZ6S400000000000000000";
    match row {
        "`welcome`" => vec![frame::welcome(&at(5), Resume::Live)],
        "`changes`, `fold`, `head`: `from` above its own" => {
            vec![changes(6, 7, false), fold_part(6, 7, false), frame::head(version(6), &at(7))]
        }
        "`fold`: a `part` after one that has not come" => {
            vec![frame::fold_text(version(5), &at(7), 1, "", false)]
        }
        "`changes` that asks, `fold` with `more`: `to` at or below its own" => {
            vec![changes(3, 5, true), changes(5, 5, true), fold_part(3, 5, true)]
        }
        "`changes`, `fold`: `to` at or below its own" => vec![changes(3, 5, false), fold_part(3, 5, false)],
        "`head`: at or below its own" => vec![frame::head(version(5), &at(5))],
        "`changes`, `head`: anything new" => vec![changes(3, 7, false), frame::head(version(5), &at(7))],
        "`fold` with `more`" => vec![fold_part(5, 7, true)],
        "`fold`, the last part" => vec![fold_part(5, 7, false)],
        "`live`" => vec![frame::live(version(5))],
        "`reset` to an older epoch than the one held" => vec![frame::reset(&position(older, 9), "")],
        "`reset` back on the log held, where the `welcome` told of none, or that has come" => {
            vec![frame::reset(&at(3), "")]
        }
        "`reset`" => vec![frame::reset(&at(9), "")],
        "`error`" => vec![frame::error("busy", "later", Some(1))],
        "`pong` of another epoch, or of the version held with another hash" => {
            let other = Position { hash: at(6).hash, ..at(5) };
            vec![frame::pong(&position(older, 5)), frame::pong(&other)]
        }
        "`pong` at or below its own version" => vec![frame::pong(&at(5)), frame::pong(&at(4))],
        "`pong` above it" => vec![frame::pong(&at(7))],
        "an unknown type" => vec![r#"{"type":"weather"}"#.to_owned()],
        "what is no frame" => vec!["hello".to_owned(), "pong 5".to_owned()],
        // Those that need another beginning have tests of their own.
        "`changes`, `fold`, `head`, `live` of another epoch than the one held"
        | "`pong`: no ping is open, or nothing is held" => Vec::new(),
        other => panic!("no frames are known for {other}"),
    }
}

/// Checks what a frame led to against what its cell says.
#[track_caller]
fn check_frame(driven: &mut Driven, cell: &str, effects: &[Effect]) {
    let holds = driven.follower.position();
    let phase = driven.follower.phase();
    let acks = |number| Effect::Send(frame::ack(version(number)));
    let met = match cell.split_once(':').map_or(cell, |(first, _)| first) {
        "hang up" => hangs_up(effects) && holds == Some(at(5)),
        "nothing new; ack" => effects == [acks(5)],
        "nothing new; ack within 10 s" => effects.is_empty() && driven.acks_within_10_s(),
        "ignored" | "ignored; but who holds nothing takes the position" | "owed, if it has no topics" => {
            effects.is_empty() && driven.follower.proved_at().is_none()
        }
        "CatchingUp, and a ping" => {
            effects == [Effect::Send(frame::PING.to_owned())] && phase == Phase::CatchingUp
        }
        "applied without what it has; ack" => {
            matches!(effects, [Effect::Apply { position, versions }, ack]
                if *position == at(7) && *ack == acks(7) && versions.iter().all(|row| row.version > version(5)))
        }
        "applied; ack if asked, else within 10 s" => {
            let asked = driven.hear(changes(7, 8, true));
            matches!(effects, [Effect::Apply { .. }]) && asked.last() == Some(&acks(8))
        }
        "changes applied; ack of the version held" => {
            matches!(effects, [Effect::ApplyFold { position: None, .. }, ack] if *ack == acks(5))
        }
        "changes and position applied; ack" => {
            matches!(effects, [Effect::ApplyFold { position: Some(_), .. }, ack] if *ack == acks(7))
        }
        "changes and position applied; ack within 10 s" => {
            matches!(effects, [Effect::ApplyFold { position: Some(_), .. }]) && holds == Some(at(7))
        }
        "Live; hang up if something is missing and it has no topics" => {
            let missing = driven.hear(frame::live(version(6)));
            effects.is_empty() && phase == Phase::Live && hangs_up(&missing)
        }
        "forget, CatchingUp from there; ack" => {
            let forgets = matches!(effects, [Effect::Reset { position, .. }, ack]
                if *position == at(9) && *ack == acks(9));
            forgets && phase == Phase::CatchingUp
        }
        "told to whoever watches" => matches!(effects, [Effect::Complaint { .. }]),
        "a proof" => effects.is_empty() && driven.follower.proved_at() == Some(NOW),
        other => panic!("a cell that nobody checks: {other}"),
    };
    assert!(met, "{cell:?}, and {effects:?}");
}

#[test]
fn the_follower_does_what_the_table_of_frames_says() {
    for row in table("| frame | Greeting | CatchingUp | Live |") {
        let mut said = "";
        for (state, cell) in ["Greeting", "CatchingUp", "Live"].iter().zip(&row[1..]) {
            if *cell != "the same" {
                said = cell;
            }
            for text in frames_of(row[0]) {
                let mut driven = Driven::into_state(state);
                println!("{state}, {}: {text}", row[0]);
                let effects = driven.hear(text);
                check_frame(&mut driven, said, &effects);
            }
        }
    }
}

#[test]
fn the_rows_that_need_another_beginning_hold_too() {
    // Of another epoch than the one held.
    for text in [
        changes(0, 1, false),
        fold_part(0, 1, true),
        frame::head(version(1), &at(1)),
        frame::live(version(0)),
    ] {
        let mut driven = Driven::new(false, Cursor::At(position("01ARYZ6S400000000000000000", 5)));
        driven.open();
        driven.hear(frame::welcome(&at(9), Resume::Reset));
        assert!(hangs_up(&driven.hear(text)));
    }
    // No ping is open.
    let mut driven = Driven::into_state("Live");
    driven.hear(frame::pong(&at(5)));
    assert_eq!(driven.hear(frame::pong(&position("01ARYZ6S400000000000000000", 5))), []);
    // Nothing is held: whatever says where it ends is taken.
    for text in [changes(0, 0, false), fold_part(0, 0, false), frame::head(version(0), &at(0))] {
        let mut driven = Driven::new(false, Cursor::Nothing);
        driven.open();
        driven.hear(frame::welcome(&at(9), Resume::Replay));
        assert_eq!(driven.hear(frame::pong(&at(9))), [], "a pong proves nothing to it");
        let effects = driven.hear(text);
        assert_eq!(effects.last(), Some(&Effect::Send(frame::ack(Version::ZERO))));
        assert_eq!(driven.follower.position(), Some(at(0)));
    }
    // With topics a pong above its own is no promise, and `live` may come before the bookmark.
    let mut driven = Driven::filtered_into_state("CatchingUp", true);
    assert_eq!(driven.hear(frame::live(version(9))), []);
    assert_eq!(driven.follower.phase(), Phase::Live);
    driven.hear(frame::pong(&at(9)));
    driven.now = NOW.plus(Duration::from_secs(2));
    assert_eq!(driven.tell(Input::Timer), []);
}
