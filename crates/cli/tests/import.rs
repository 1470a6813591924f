//! `newsreel import` against a broker that refuses publishes for a moment, in the middle of a batch.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test is to panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod common;
use common::newsreel;

const EPOCH: &str = "01ARYZ6S410000000000000000";
const HASH: &str = "0011223344556677";

/// A log that keeps what PROTOCOL.md says of `expect` and of idempotency keys, and is busy once for every third line.
#[derive(Default)]
struct FakeLog {
    versions: Vec<Value>,
    receipts: BTreeMap<String, (String, Value)>,
    asked: usize,
    /// The lines that were refused for a moment.
    busy: Vec<String>,
}

impl FakeLog {
    fn publish(&mut self, line: &str) -> Value {
        let publish: Value = serde_json::from_str(line).unwrap();
        let key = publish["idempotency_key"].as_str().unwrap().to_owned();
        if let Some((first, receipt)) = self.receipts.get(&key) {
            assert_eq!(first, line, "the same publish under the same key");
            return receipt.clone();
        }
        self.asked += 1;
        if self.asked.is_multiple_of(3) && !self.busy.contains(&key) {
            self.busy.push(key);
            return json!({ "status": 429, "code": "busy", "detail": "later" });
        }
        let expected = publish["expect"]["version"].as_u64();
        if expected.is_some_and(|expected| expected != self.versions.len() as u64) {
            return json!({ "status": 412, "code": "expect-failed", "detail": "another head" });
        }
        self.versions.push(publish["changes"].clone());
        let version = self.versions.len();
        let position = format!("{EPOCH}:{version}:{HASH}");
        let receipt = json!({ "catalog": "tv", "epoch": EPOCH, "version": version, "position": position, "at": 1, "changes": 1 });
        self.receipts.insert(key, (line.to_owned(), receipt.clone()));
        receipt
    }

    fn publish_all(&mut self, lines: &str) -> String {
        lines.lines().map(|line| self.publish(line).to_string() + "\n").collect()
    }
}

async fn broker() -> (String, Arc<Mutex<FakeLog>>) {
    let log = Arc::<Mutex<FakeLog>>::default();
    let published = Arc::clone(&log);
    let status = json!({
        "catalog": "tv", "epoch": EPOCH, "version": 0, "position": format!("{EPOCH}:0:{HASH}"), "oldest": 1, "followers": 0, "bytes": 0,
    });
    let router =
        Router::new().route("/v1/catalogs/tv", get(move || async move { status.to_string() })).route(
            "/v1/catalogs/tv/changes",
            axum::routing::post(
                move |lines: String| async move { published.lock().unwrap().publish_all(&lines) },
            ),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, log)
}

fn line(version: usize) -> String {
    format!("{{\"version\":{version},\"at\":5,\"changes\":[{{\"key\":\"title:{version}\"}}]}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_keep_their_order_over_refusals_in_the_middle_of_a_batch() {
    let (url, log) = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tv.ndjson");
    std::fs::write(&file, (1..=40).map(line).collect::<String>()).unwrap();
    for _ in 0..2 {
        let mut command = newsreel(&url, "import");
        command.env("NEWSREEL_RETRY_FOR_MS", "15000");
        let ended = tokio::task::spawn_blocking({
            let file = file.clone();
            move || command.arg(file).output().unwrap()
        });
        let ended = ended.await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        let log = log.lock().unwrap();
        let keys: Vec<&str> =
            log.versions.iter().map(|changes| changes[0]["key"].as_str().unwrap()).collect();
        let wanted: Vec<String> = (1..=40).map(|version| format!("title:{version}")).collect();
        assert_eq!(keys, wanted, "each once, in the order of the file");
        assert!(log.busy.len() > 5);
    }
}
