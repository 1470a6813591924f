//! Numbers: every constant of the table "Numbers" has the value that the code gives to it.

use newsreel_core::access::rate;
use newsreel_core::access::signed;
use newsreel_core::follow::{follower, hub};
use newsreel_core::log::compaction;
use newsreel_core::log::maintenance::{REMEMBER_FOR, RetentionLimits};
use newsreel_core::metrics::counts;
use newsreel_core::read::lease;
use newsreel_core::read::policy;
use newsreel_core::read::sync;
use newsreel_core::read::traces;
use newsreel_core::wire::{cause, change, frame, keys, name, ndjson, problem, publish, query};

use crate::document::{PROTOCOL, amount, millis, quoted, table};
use crate::sources::{self, Source};

/// Constants of the table that no test can name, because they are private or belong to a crate that this one
/// does not know. The check finds them in the sources by their names.
const PRIVATE: [&str; 39] = [
    "LARGEST_TAKEN",
    "ASK_AGAIN",
    "UNDER_WAY",
    "DRAIN_BYTES",
    "BODIES_BYTES",
    "LARGE_BODIES_BYTES",
    "SMALL_BODY_BYTES",
    "QUEUE_BYTES",
    "PUBLISH_BYTES",
    "COMMIT_BYTES",
    "FAILURES",
    "KEYS_UNTIL_BYTES",
    "MAX_UNANSWERED",
    "MAX_UNANSWERED_BYTES",
    "MAX_POLLS",
    "MAX_STREAMS",
    "KEEP_ALIVE",
    "FOLD_ROWS",
    "BOOKMARK_EVERY",
    "DEFAULT_WAIT",
    "MAX_WAIT",
    "BUDGET",
    "MAX_NAME_BYTES",
    "LEEWAY_MS",
    "ASK_EVERY",
    "ASK_BYTES",
    "MOMENT",
    "FETCHES",
    "MEMORY_BYTES",
    "MAX_CATALOGS",
    "QUEUE",
    "SMALL_BYTES",
    "KV_VALUE_BYTES",
    "WRAPPED_BYTES",
    "SYNC_WAIT",
    "PONG_WAIT",
    "SYNC_WAIT_AFTER_FAILURE",
    "OPEN_FOR",
    "REPORT_EVERY",
];

/// Constants of the same name that the table does not mean, each with its crate.
const HOMONYMS: [(&str, &str); 3] = [("KEEP_ALIVE", "core"), ("KEEP_ALIVE", "edge"), ("MOMENT", "broker")];

/// Returns the numbers that a test can name.
#[expect(clippy::too_many_lines, reason = "a list")]
fn public_numbers() -> Vec<(&'static str, u64)> {
    let bytes = |bytes: usize| bytes as u64;
    let (upkeep, pace) = (RetentionLimits::default(), hub::Limits::default());
    let follower = follower::FollowerConfig::default();
    vec![
        ("MAX_CHANGES", bytes(publish::MAX_CHANGES)),
        ("MAX_OBJECTS", bytes(publish::MAX_OBJECTS)),
        ("MAX_BODY_BYTES", bytes(publish::MAX_BODY_BYTES)),
        ("MAX_IDEMPOTENCY_KEY_BYTES", bytes(publish::MAX_IDEMPOTENCY_KEY_BYTES)),
        ("MAX_DETAIL_CHARS", bytes(problem::MAX_DETAIL_CHARS)),
        ("MAX_LINES", bytes(ndjson::MAX_LINES)),
        ("MAX_LINES_BYTES", bytes(ndjson::MAX_LINES_BYTES)),
        ("MAX_KEY_BYTES", bytes(name::MAX_KEY_BYTES)),
        ("MAX_TAG_BYTES", bytes(name::MAX_TAG_BYTES)),
        ("MAX_TAGS", bytes(change::MAX_TAGS)),
        ("MAX_SOURCE_NAME_BYTES", bytes(cause::MAX_SOURCE_NAME_BYTES)),
        ("MAX_SOURCE_ID_BYTES", bytes(cause::MAX_SOURCE_ID_BYTES)),
        ("MAX_TRACES", bytes(traces::MAX_TRACES)),
        ("MAX_CATALOG_BYTES", bytes(name::MAX_CATALOG_BYTES)),
        ("MIN_LAG_BOUND", millis(policy::MIN_LAG_BOUND)),
        ("MAX_POLICY_TIME", millis(policy::MAX_POLICY_TIME)),
        ("LEASE_FOR", millis(lease::LEASE_FOR)),
        ("MAX_FOLDED_TAGS", bytes(compaction::MAX_FOLDED_TAGS)),
        ("MAX_KEYS", bytes(keys::MAX_KEYS)),
        ("SNAPSHOT_FLOORS", sync::SNAPSHOT_FLOORS.into()),
        ("MAX_FLOORS", bytes(sync::MAX_FLOORS)),
        ("MAX_CLASSES", bytes(counts::MAX_CLASSES)),
        ("MAX_TOKEN_BYTES", bytes(signed::MAX_TOKEN_BYTES)),
        ("MAX_TOKEN_KEYS", bytes(signed::MAX_TOKEN_KEYS)),
        ("MIN_SECRET_BYTES", bytes(signed::MIN_SECRET_BYTES)),
        ("FAILURES_PER_SECOND", rate::FAILURES_PER_SECOND.into()),
        ("MAX_RATE_KEYS", bytes(rate::MAX_RATE_KEYS)),
        ("MAX_TOPICS", bytes(query::MAX_TOPICS)),
        ("MAX_TOPICS_BYTES", bytes(query::MAX_TOPICS_BYTES)),
        ("MAX_FOLLOWER_NAME_BYTES", bytes(query::MAX_FOLLOWER_NAME_BYTES)),
        ("MAX_PAGE_VERSIONS", query::MAX_PAGE_VERSIONS.into()),
        ("FRAME_BYTES", bytes(frame::FRAME_BYTES)),
        ("LIVE_BYTES", bytes(frame::LIVE_BYTES)),
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

/// Returns the values that the sources give to the constants of a name.
fn private_numbers(name: &str, sources: &[Source]) -> Vec<u64> {
    let declared = format!("const {name}: ");
    let meant = sources.iter().filter(|source| !HOMONYMS.contains(&(name, source.krate())));
    let values: Vec<u64> = meant.flat_map(|one| one.text.split(&declared).skip(1)).map(value_of).collect();
    assert!(!values.is_empty(), "no source declares {name}");
    values
}

/// Reads what follows `const NAME: ` in a source: the type, and a value that is a number or a time.
fn value_of(declared: &str) -> u64 {
    let (_, rest) = declared.split_once('=').expect("a value");
    let (value, _) = rest.split_once(';').expect("the end of the declaration");
    let value = value.trim();
    let whole = |text: &str| text.replace('_', "").parse::<u64>().expect("a whole number");
    let inside = |call: &str| value.strip_prefix(call).and_then(|rest| rest.strip_suffix(')'));
    if let Some(seconds) = inside("Duration::from_secs(") {
        whole(seconds) * 1_000
    } else if let Some(millis) = inside("Duration::from_millis(") {
        whole(millis)
    } else if let Some((number, by)) = value.split_once(" << ") {
        whole(number) << whole(by)
    } else {
        whole(value)
    }
}

#[test]
fn every_number_is_the_one_in_the_code() {
    let deployed = sources::deployed();
    let private = PRIVATE.iter().flat_map(|name| {
        let values = private_numbers(name, &deployed);
        values.into_iter().map(|value| (*name, value))
    });
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
    let deployed = sources::deployed();
    let holds = |text: &str| deployed.iter().any(|one| one.krate() == "core" && one.text.contains(text));
    assert!(holds("Bucket<2_000, 2>"));
    assert!(PROTOCOL.contains("2,000 sockets open at once and 500 a second after that."));
    assert!(holds("Bucket<200, 50>"));
    assert!(PROTOCOL.contains("costs patience: 200 at once, 20 a second"));
}
