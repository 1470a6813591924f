//! Addresses: an accepted call keeps its limits, and a refusal says so within bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use newsreel_core::wire::address::Address;
use newsreel_core::wire::dead_letters::MAX_LETTERS_AT_ONCE;
use newsreel_core::wire::keys::{MAX_KEYS, keys_of_body};
use newsreel_core::wire::problem::{MAX_DETAIL_CHARS, Problem};
use newsreel_core::wire::query::MAX_PAGE_VERSIONS;
use newsreel_core::wire::query::{FollowQuery, MAX_FOLLOWER_NAME_BYTES, MAX_TOPICS, MAX_TOPICS_BYTES};
use newsreel_core::wire::route::{EdgeCall, Route};
use newsreel_core::wire::series::SeriesQuery;
use newsreel_core::wire::{Catalog, Key, UnixMillis};

use crate::memory::assert_bounded;
use crate::names::check_key;

/// Asserts the properties of every problem that a stranger can cause.
pub(crate) fn check_problem(problem: &Problem) {
    assert!((400..600).contains(&problem.status()));
    assert!(problem.detail().chars().count() <= MAX_DETAIL_CHARS, "{} characters", problem.detail().len());
    let body: serde_json::Value = serde_json::from_str(&problem.to_json()).expect("a problem is JSON");
    assert_eq!(body.get("detail").and_then(|detail| detail.as_str()), Some(problem.detail()));
    assert_eq!(body.get("code").and_then(|code| code.as_str()), Some(problem.code()));
    for (name, value) in problem.headers() {
        let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        assert!(plain, "{name}: {value:?} is no header");
    }
}

/// An input is a method, a space and an address.
pub(crate) fn route(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (method, url) = text.split_once(' ').unwrap_or(("GET", text));
    // An address that is not absolute tries texts that no platform would hand on.
    let address = url.parse::<Address>();
    let (path, query) = match &address {
        Ok(address) => (address.path(), address.query()),
        Err(_) => url.split_once('?').unwrap_or((url, "")),
    };
    assert!(address.is_err() || !(path.contains(['?', '#']) || query.contains('#')));
    match assert_bounded(text.len(), 32, || Route::parse(method, path, query)) {
        Ok(route) => check_route(method, &route),
        Err(problem) => {
            assert!((400..500).contains(&problem.status()));
            check_problem(&problem);
        }
    }
}

fn check_route(method: &str, route: &Route) {
    let is_landing = matches!(route, Route::Edge(_, EdgeCall::Land(_)));
    assert!(if is_landing { method == "PUT" } else { ["GET", "HEAD", "POST"].contains(&method) });
    match route {
        Route::Changes(_, page) => {
            assert!((1..=MAX_PAGE_VERSIONS).contains(&page.limit));
            assert!(page.wait <= Duration::from_secs(30));
            check_topics(&page.topics);
        }
        Route::Follow(catalog, follow) => {
            assert!(follow.name.len() <= MAX_FOLLOWER_NAME_BYTES && !follow.name.contains(char::is_control));
            check_topics(&follow.topics);
            check_follow(catalog, follow, route);
        }
        Route::Publish(_, query) => {
            assert_eq!(method, "POST");
            assert!(query.wait_applied.is_none_or(|wait| wait <= Duration::from_secs(30)));
        }
        Route::Edge(_, EdgeCall::Entry(key) | EdgeCall::Land(key)) => check_key(key),
        Route::Edge(_, EdgeCall::Entries(keys)) => check_keys(keys),
        Route::Edge(_, EdgeCall::Begin(key)) => {
            assert_eq!(method, "POST");
            check_key(key);
        }
        Route::Hook(..) => assert_eq!(method, "POST"),
        Route::DeadLetters(_, query) => {
            assert_ne!(method, "POST");
            assert!((1..=MAX_LETTERS_AT_ONCE).contains(&query.limit));
        }
        Route::NewEpoch(_)
        | Route::TellAlerts(_)
        | Route::TellSource(_)
        | Route::SettleDeadLetters(_)
        | Route::Edge(
            _,
            EdgeCall::EntriesOf | EdgeCall::Fill | EdgeCall::Lease | EdgeCall::Floors | EdgeCall::DryRun,
        ) => {
            assert_eq!(method, "POST")
        }
        Route::Series(_, query) | Route::Edge(_, EdgeCall::Series(query)) => {
            assert_ne!(method, "POST");
            check_series(query);
        }
        Route::Edge(_, EdgeCall::Metrics | EdgeCall::Checks | EdgeCall::Settings)
        | Route::PublishSocket(_)
        | Route::Status(_)
        | Route::Followers(_)
        | Route::Alerts(_)
        | Route::Healthz
        | Route::Readyz => assert_ne!(method, "POST"),
    }
}

fn check_follow(catalog: &Catalog, follow: &FollowQuery, route: &Route) {
    let query = follow.to_query();
    let query = query.strip_prefix('?').unwrap_or_default();
    let path = format!("/v1/catalogs/{catalog}/follow");
    assert_eq!(Route::parse("GET", &path, query).as_ref(), Ok(route), "a follow is what it is written as");
}

fn check_series(query: &SeriesQuery) {
    let again = SeriesQuery::parse(&query.to_query());
    assert_eq!(again.as_ref(), Ok(query), "a query is what it is written as");
    for now in [0, 1_793_491_200_000, u64::MAX] {
        let points = query.span(UnixMillis(now)).map_or(0, |span| span.points());
        assert!(points <= 4_321);
    }
}

fn check_topics(topics: &[String]) {
    assert!(topics.len() <= MAX_TOPICS && topics.iter().map(String::len).sum::<usize>() <= MAX_TOPICS_BYTES);
    assert!(topics.iter().all(|topic| !topic.is_empty() && !topic.contains(char::is_control)));
}

fn check_keys(keys: &[Key]) {
    assert!((1..=MAX_KEYS).contains(&keys.len()));
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "no key is named twice");
    keys.iter().for_each(check_key);
}

/// The body of a bulk read.
pub(crate) fn keys(bytes: &[u8]) {
    match assert_bounded(bytes.len(), 32, || keys_of_body(bytes)) {
        Ok(keys) => {
            check_keys(&keys);
            let body = serde_json::json!({ "keys": keys }).to_string();
            assert_eq!(keys_of_body(body.as_bytes()), Ok(keys));
        }
        Err(problem) => check_problem(&problem),
    }
}
