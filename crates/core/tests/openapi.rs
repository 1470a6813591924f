//! Holds `docs/openapi.json` to the code: its calls are the routes, its problems the codes, its limits the
//! constants.

#![cfg(not(target_arch = "wasm32"))]

use std::collections::{BTreeMap, BTreeSet};

use newsreel_core::read::origin_answer::NotStored;
use newsreel_core::wire::change::MAX_TAGS;
use newsreel_core::wire::keys::MAX_KEYS;
use newsreel_core::wire::name::{MAX_CATALOG_BYTES, MAX_KEY_BYTES, MAX_TAG_BYTES};
use newsreel_core::wire::publish::{MAX_CHANGES, MAX_IDEMPOTENCY_KEY_BYTES};
use newsreel_core::wire::query::{MAX_FOLLOWER_NAME_BYTES, MAX_PAGE_VERSIONS, MAX_TOPICS};
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Code, Route, Version};
use serde_json::Value;

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("docs/openapi.json is JSON")
}

/// Returns the value at a JSON pointer of the document.
#[track_caller]
fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or_else(|| panic!("docs/openapi.json has nothing at {pointer}"))
}

/// Returns each path of the document with its operations by method.
fn paths(document: &Value) -> BTreeMap<&str, BTreeMap<&str, &Value>> {
    let paths = at(document, "/paths").as_object().expect("paths is an object");
    paths
        .iter()
        .map(|(path, item)| {
            let item = item.as_object().expect("a path item is an object");
            let operations =
                METHODS.iter().filter_map(|method| item.get(*method).map(|operation| (*method, operation)));
            (path.as_str(), operations.collect())
        })
        .collect()
}

/// Reads a request for a path of the document, with a catalog and a key that exist, and the query that the
/// call needs.
fn route(method: &str, path: &str) -> Result<Route, Code> {
    let query = if path.ends_with("/entries") && method != "post" { "key=title:1" } else { "" };
    let address = path.replace("{catalog}", "tv").replace("{key}", "title:1").replace("{hook}", "netflix");
    Route::parse(&method.to_uppercase(), &address, query).map_err(|problem| problem.kind())
}

/// Names the call of a route as the document does. A new route does not compile until it is named here.
fn operation_id(route: &Route) -> &'static str {
    match route {
        Route::Publish(..) => "publish",
        Route::PublishSocket(_) => "publishSocket",
        Route::NewEpoch(_) => "beginEpoch",
        Route::Changes(..) => "getChanges",
        Route::Status(_) => "getStatus",
        Route::Follow(..) => "follow",
        Route::Followers(_) => "getFollowers",
        Route::Edge(_, EdgeCall::DryRun) => "dryRun",
        Route::Edge(_, EdgeCall::Settings) => "getSettings",
        Route::Series(..) | Route::Edge(_, EdgeCall::Series(_)) => "getSeries",
        Route::Hook(..) => "takeMessage",
        Route::DeadLetters(..) => "getDeadLetters",
        Route::SettleDeadLetters(_) => "settleDeadLetters",
        Route::Alerts(_) => "getAlerts",
        Route::TellAlerts(_) => "tellAlerts",
        Route::TellSource(_) => "tellSource",
        Route::Edge(_, EdgeCall::Checks) => "getChecks",
        Route::Edge(_, EdgeCall::Entry(_)) => "getEntry",
        Route::Edge(_, EdgeCall::Entries(_)) => "getEntries",
        Route::Edge(_, EdgeCall::EntriesOf) => "postEntries",
        Route::Edge(_, EdgeCall::Begin(_)) => "beginFill",
        Route::Edge(_, EdgeCall::Land(_)) => "landFill",
        Route::Edge(_, EdgeCall::Lease) => "lease",
        Route::Edge(_, EdgeCall::Floors) => "judgeLease",
        Route::Edge(_, EdgeCall::Fill) => "fill",
        Route::Edge(_, EdgeCall::Metrics) => "getMetrics",
        Route::Healthz => "getHealth",
        Route::Readyz => "getReadiness",
    }
}

const OPERATION_IDS: [&str; 28] = [
    "publish",
    "publishSocket",
    "beginEpoch",
    "getChanges",
    "getStatus",
    "follow",
    "getFollowers",
    "takeMessage",
    "getDeadLetters",
    "settleDeadLetters",
    "getAlerts",
    "tellAlerts",
    "tellSource",
    "getChecks",
    "getEntry",
    "getEntries",
    "postEntries",
    "beginFill",
    "landFill",
    "lease",
    "judgeLease",
    "fill",
    "getMetrics",
    "getSeries",
    "dryRun",
    "getSettings",
    "getHealth",
    "getReadiness",
];

#[test]
fn each_call_of_the_document_is_a_route_and_each_route_is_a_call() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, operations) in paths(&document) {
        for (method, operation) in operations {
            let id = at(operation, "/operationId").as_str().expect("an operation has an id");
            let route =
                route(method, path).unwrap_or_else(|code| panic!("{method} {path} is {}", code.text()));
            assert_eq!(operation_id(&route), id, "{method} {path}");
            described.insert(id.to_owned());
        }
    }
    assert_eq!(described, OPERATION_IDS.iter().map(|&id| id.to_owned()).collect());
}

#[test]
fn a_method_that_the_document_does_not_have_is_not_allowed() {
    let document = document();
    for (path, operations) in paths(&document) {
        for method in METHODS {
            let allowed = operations.contains_key(if method == "head" { "get" } else { method });
            let found = route(method, path);
            assert_eq!(found.is_ok(), allowed, "{method} {path}: {found:?}");
            if !allowed {
                assert_eq!(found, Err(Code::MethodNotAllowed), "{method} {path}");
            }
        }
    }
}

#[test]
fn the_problems_of_the_document_are_the_codes() {
    let document = document();
    let listed = at(&document, "/components/schemas/ProblemCode/enum").as_array().expect("a list of codes");
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.text()).collect();
    assert_eq!(listed.iter().filter_map(Value::as_str).collect::<Vec<_>>(), codes);

    let responses = at(&document, "/components/responses").as_object().expect("responses are an object");
    let described: BTreeSet<&str> =
        responses.values().filter_map(|response| response.get("description")?.as_str()).collect();
    let mut by_status = BTreeMap::<u16, Vec<String>>::new();
    for code in Code::ALL {
        by_status.entry(code.status()).or_default().push(format!("`{}`", code.text()));
    }
    for (status, codes) in by_status {
        let wanted = codes.join(", ");
        assert!(described.contains(wanted.as_str()), "no response describes status {status}: {wanted}");
    }
}

#[test]
fn the_reasons_not_to_store_a_value_are_those_of_the_document() {
    let document = document();
    let listed = at(&document, "/components/schemas/NotStored/properties/code/enum");
    let reasons =
        [NotStored::NoStore, NotStored::Private, NotStored::NoCache, NotStored::Vary(String::new())];
    let codes: Vec<&str> = reasons.iter().map(NotStored::code).collect();
    assert_eq!(listed, &Value::from(codes));
}

#[test]
fn the_statuses_of_an_operation_name_the_responses_of_that_status() {
    let document = document();
    let responses = at(&document, "/components/responses");
    for (path, operations) in paths(&document) {
        for (method, operation) in operations {
            for (status, response) in at(operation, "/responses").as_object().expect("an object") {
                let Some(name) = response.get("$ref").and_then(Value::as_str) else { continue };
                let name = name.trim_start_matches("#/components/responses/");
                let codes = at(responses, &format!("/{name}/description")).as_str().expect("a description");
                let first = codes.split('`').nth(1).expect("a code in backticks");
                let code = Code::ALL.iter().find(|code| code.text() == first).expect("a code that exists");
                assert_eq!(&code.status().to_string(), status, "{method} {path}: {name}");
            }
        }
    }
}

#[test]
fn the_limits_of_the_document_are_the_constants() {
    let document = document();
    let schemas = at(&document, "/components/schemas");
    let number = |from: &Value, pointer: &str| at(from, pointer).as_u64().expect("a number");
    assert_eq!(number(schemas, "/Publish/anyOf/0/properties/changes/maxItems"), MAX_CHANGES as u64);
    assert_eq!(number(schemas, "/KeyUpdate/properties/tags/maxItems"), MAX_TAGS as u64);
    assert_eq!(number(schemas, "/Key/maxLength"), MAX_KEY_BYTES as u64);
    assert_eq!(number(schemas, "/Version/maximum"), Version::MAX.number());
    let pattern = |pointer: &str| at(schemas, pointer).as_str().expect("a pattern").to_owned();
    assert!(pattern("/Catalog/pattern").contains(&format!("{{1,{MAX_CATALOG_BYTES}}}")));
    assert!(pattern("/Tag/pattern").contains(&format!("{{1,{MAX_TAG_BYTES}}}")));

    let parameter = |path: &str, method: &str, name: &str| -> Value {
        let operation =
            paths(&document).remove(path).and_then(|mut of| of.remove(method)).expect("an operation");
        let parameters = at(operation, "/parameters").as_array().expect("parameters are a list");
        let found = parameters.iter().find(|parameter| parameter.get("name").is_some_and(|one| one == name));
        at(found.unwrap_or_else(|| panic!("{method} {path} has no {name}")), "/schema").clone()
    };
    let changes = "/v1/catalogs/{catalog}/changes";
    assert_eq!(
        number(&parameter(changes, "post", "Idempotency-Key"), "/maxLength"),
        MAX_IDEMPOTENCY_KEY_BYTES as u64
    );
    assert_eq!(number(&parameter(changes, "get", "limit"), "/maximum"), u64::from(MAX_PAGE_VERSIONS));
    assert_eq!(number(&parameter(changes, "get", "topic"), "/maxItems"), MAX_TOPICS as u64);
    assert_eq!(
        number(&parameter("/v1/catalogs/{catalog}/entries", "get", "key"), "/maxItems"),
        MAX_KEYS as u64
    );
    let name = parameter("/v1/catalogs/{catalog}/follow", "get", "name");
    assert_eq!(number(&name, "/maxLength"), MAX_FOLLOWER_NAME_BYTES as u64);
}
