//! Publishes: an accepted publish keeps its limits, and is the same in the log.

use std::collections::BTreeSet;

use newsreel_core::follow::topics;
use newsreel_core::wire::change::MAX_TAGS;
use newsreel_core::wire::frame::row_text;
use newsreel_core::wire::ndjson::{self, PublishLine};
use newsreel_core::wire::problem::Problem;
use newsreel_core::wire::publish::{
    MAX_CHANGES, MAX_IDEMPOTENCY_KEY_BYTES, Publish, PublishError, check_idempotency_key, digest_of_key,
};
use newsreel_core::wire::{Change, UnixMillis, Version, WrittenLine};

use crate::memory::assert_bounded;
use crate::routes::check_problem;
use crate::rows::check_change;

/// How many times its size a body may take while it is read.
const TIMES: usize = 64;

/// The body of a publish.
pub(crate) fn publish(bytes: &[u8]) {
    let line = assert_bounded(bytes.len(), TIMES, || PublishLine::parse(bytes));
    if let Some(verbatim) = assert_bounded(bytes.len(), TIMES, || WrittenLine::verbatim(bytes)) {
        let PublishLine { publish, idempotency_key } = line.clone().expect("only a publish is kept as it is");
        assert_eq!((verbatim.publish, verbatim.idempotency_key), (publish.written(), idempotency_key));
    }
    match Publish::parse(bytes) {
        Ok(publish) => {
            check(&publish);
            let line = line.expect("every publish is a line");
            assert_eq!((line.publish, line.idempotency_key), (publish, None));
        }
        Err(error) => {
            check_error(error);
            if let Ok(line) = line {
                check(&line.publish);
                let key = line.idempotency_key.expect("only its key keeps a line from being a publish");
                assert!((1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()));
                assert!(key.is_ascii() && !key.contains(char::is_control));
            }
        }
    }
}

fn check(publish: &Publish) {
    assert!((1..=MAX_CHANGES).contains(&publish.changes.len()));
    publish.changes.iter().for_each(check_change);
    assert!(publish.changes.iter().all(|change| change.tags.len() <= MAX_TAGS));
    let targets: BTreeSet<_> = publish.changes.iter().map(|change| &change.target).collect();
    assert_eq!(targets.len(), publish.changes.len(), "no target is named twice");

    let written = publish.written();
    assert!(written.changes.is_ascii());
    assert_eq!(written.count, publish.changes.len());
    // The log keeps the changes as they were published.
    let row = row_text(Version::MAX, UnixMillis(u64::MAX), &written.changes, &written.cause);
    assert!(row.len() < 2_000_000, "a row has its place in a database: {} bytes", row.len());
    let rows = topics::versions(&row).expect("a row is read");
    let kept: Vec<&Change> = rows.iter().flat_map(|row| &row.changes).collect();
    assert_eq!(kept, publish.changes.iter().collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row.cause == publish.cause), "and what they are of");
    // A publisher that sends the written form again publishes the same.
    let expect = serde_json::to_string(&publish.expect).expect("what is expected is JSON");
    let (changes, cause) = (&written.changes, written.cause.members());
    let again = format!(r#"{{"expect":{expect},"changes":{changes}{cause}}}"#);
    if let Ok(again) = Publish::parse(again.as_bytes()) {
        assert_eq!(again, *publish);
        assert_eq!(again.written().fingerprint(), written.fingerprint());
    } else {
        assert!(again.len() > 1 << 20, "only for its size is a publish refused that was taken");
    }
    let fingerprint = written.fingerprint();
    assert!(fingerprint.len() == 32 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

fn check_error(error: PublishError) {
    let problem = Problem::from(error);
    assert!((400..500).contains(&problem.status()));
    check_problem(&problem);
}

/// A body of lines.
pub(crate) fn lines(bytes: &[u8]) {
    let split = match assert_bounded(bytes.len(), 16, || ndjson::split(bytes)) {
        Ok(split) => split,
        Err(problem) => return check_problem(&problem),
    };
    assert!((1..=ndjson::MAX_LINES).contains(&split.len()));
    let filled = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    assert!(filled.eq(split.iter().copied()), "every line that says something, in order");
    for line in split {
        match PublishLine::parse(line) {
            Ok(line) => {
                check(&line.publish);
                let key = line.idempotency_key.unwrap_or_default();
                assert!(key.is_empty() || check_idempotency_key(&key).is_ok());
                assert_eq!(digest_of_key("guide", &key).len(), 32);
            }
            Err(error) => check_error(error),
        }
    }
}
