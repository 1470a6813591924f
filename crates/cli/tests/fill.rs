//! `newsreel fill` as a user runs it, against an edge that is only its answers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test is to panic")]

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod common;
use common::newsreel;

/// Serves a router on the loopback; returns its address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// An edge that answers a fill by the ids of its keys, and remembers the keys that it was asked for.
#[derive(Clone, Default)]
struct Edge {
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    /// The refusals before the first answer, the last first: status and `Retry-After`.
    refusals: Arc<Mutex<Vec<(u16, &'static str)>>>,
}

impl Edge {
    async fn start(&self) -> String {
        let edge = self.clone();
        let answer = move |headers: HeaderMap, body: String| async move { edge.answer(&headers, &body) };
        serve(Router::new().route("/v1/catalogs/tv/fill", post(answer))).await
    }

    fn answer(&self, headers: &HeaderMap, body: &str) -> axum::response::Response {
        if headers.get("authorization").is_none_or(|token| token != "Bearer admin") {
            let problem = r#"{"status":401,"code":"unauthorized","detail":"no token"}"#;
            return (StatusCode::UNAUTHORIZED, problem).into_response();
        }
        if let Some((status, after)) = self.refusals.lock().unwrap().pop() {
            return (StatusCode::from_u16(status).unwrap(), [("Retry-After", after)], "").into_response();
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let keys: Vec<String> = serde_json::from_value(body["keys"].clone()).unwrap();
        assert!((1..=100).contains(&keys.len()));
        self.asked.lock().unwrap().push(keys.clone());
        let of = |ending: &str| keys.iter().filter(|key| key.ends_with(ending)).collect::<Vec<_>>();
        let filled = keys.iter().filter(|key| !key.ends_with(['7', '8', '9'])).collect::<Vec<_>>();
        let failed = |key: &&String| json!({ "key": key, "code": "origin-failed", "detail": "down" });
        let failed: Vec<Value> = of("9").iter().map(failed).collect();
        let answer = json!({ "catalog": "tv", "position": "x", "filled": filled, "kept": of("7"),
            "absent": of("8"), "failed": failed });
        answer.to_string().into_response()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().concat()
    }
}

fn keys(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{{\"key\":\"title:{n}\"}}\n")).collect()
}

fn fill(url: &str, folder: &Path, text: &str, words: &str) -> Output {
    std::fs::write(folder.join("hot"), text).unwrap();
    let mut command = newsreel(url, &format!("fill hot --token admin {words}"));
    command.current_dir(folder).env("NEWSREEL_RETRY_FOR_MS", "5000").output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, told: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for told in told {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_keys_are_filled_and_what_became_of_them_is_told() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    let url = edge.start().await;
    let text = keys(0..250) + "rubbish\n";
    let output = fill(&url, folder.path(), &text, "--top 230 --rate 100000");
    let told = [
        "line 251: a key is class:id",
        "fill: 161 filled, 23 kept, 23 absent, 23 failed\n",
        "23 keys could not",
    ];
    let failed = expect(&output, 1, &told);
    assert_eq!(failed.lines().count(), 23);
    assert!(failed.contains(r#"{"key":"title:9","code":"origin-failed","detail":"down"}"#), "{failed}");
    assert_eq!(edge.asked().len(), 230);
    assert!(!edge.asked().contains(&"title:230".to_owned()));
    let output =
        fill(&url, folder.path(), "title:1\ntitle:1\n{\"key\":\"title:2\",\"reads\":4}\n", "--top 1");
    assert_eq!(expect(&output, 0, &["1 filled, 0 kept, 0 absent, 0 failed"]), "");
    assert_eq!(edge.asked().last().unwrap(), "title:2", "the most read");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_not_asked_for_again() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    let url = edge.start().await;
    let words = "--rate 100000 --resume done";
    expect(&fill(&url, folder.path(), &keys(0..20), &format!("{words} --top 5")), 0, &["5 filled"]);
    let told = ["9 filled, 2 kept, 2 absent, 2 failed, 5 done before"];
    expect(&fill(&url, folder.path(), &keys(0..20), words), 1, &told);
    edge.asked.lock().unwrap().clear();
    let told = ["0 filled, 0 kept, 0 absent, 2 failed, 18 done before"];
    expect(&fill(&url, folder.path(), &keys(0..20), words), 1, &told);
    assert_eq!(edge.asked(), ["title:9", "title:19"], "what failed is tried again");
    let text = std::fs::read_to_string(folder.path().join("done")).unwrap();
    assert_eq!(text.lines().count(), 19);

    expect(&fill(&url, folder.path(), &keys(0..21), words), 3, &["another input file"]);
    let other = fill(&url, folder.path(), &keys(0..20), &format!("{words} --catalog shop"));
    expect(&other, 3, &["of the catalog tv, not of shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_was_killed_goes_on() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    let url = edge.start().await;
    std::fs::write(folder.path().join("hot"), keys(0..6)).unwrap();
    let mut command = newsreel(&url, "fill hot --token admin --rate 2 --resume done");
    let mut killed = command.current_dir(&folder).spawn().unwrap();
    let done = folder.path().join("done");
    while std::fs::read_to_string(&done).unwrap_or_default().lines().count() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = fill(&url, folder.path(), &keys(0..6), "--resume done");
    let before = edge.asked.lock().unwrap().len() - 1;
    expect(&output, 0, &[&format!("{} filled", 6 - 2 * before), &format!("{} done before", 2 * before)]);
    assert_eq!(edge.asked().len(), 6, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_edge_is_asked_again_when_it_wants_to_be() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    *edge.refusals.lock().unwrap() = vec![(503, "0"), (429, "1"), (429, "0")];
    let url = edge.start().await;
    let began = Instant::now();
    expect(&fill(&url, folder.path(), "title:1", ""), 0, &["1 filled"]);
    assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After is obeyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_begin_no_faster_than_they_may() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    let url = edge.start().await;
    let began = Instant::now();
    let output = fill(&url, folder.path(), &keys(0..4).replace("title", "a"), "--rate 2 --parallel 8");
    expect(&output, 0, &["4 filled"]);
    assert!(began.elapsed() >= Duration::from_secs(1), "two in the first second, two in the next");
    assert_eq!(edge.asked.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_fill_from_going_on_is_told_by_its_exit_code() {
    let (edge, folder) = (Edge::default(), tempfile::tempdir().unwrap());
    let url = edge.start().await;
    let hot = folder.path().join("hot");
    std::fs::write(&hot, "title:1\n").unwrap();
    std::fs::write(folder.path().join("none"), "title\n").unwrap();
    let nobody = "http://127.0.0.1:1".to_owned();
    for (url, words, code, told) in [
        (&url, "fill", 2, "FILE"),
        (&url, "fill /nowhere", 3, "/nowhere"),
        (&url, "fill none --token admin", 3, "names no key"),
        (&url, "fill hot", 4, "refused: unauthorized"),
        (&url, "fill hot --rate 0 --token admin", 2, "--rate"),
        (&nobody, "fill hot", 5, "1 not asked for"),
    ] {
        let output = newsreel(url, words).current_dir(&folder).output().unwrap();
        expect(&output, code, &[told]);
    }
}
