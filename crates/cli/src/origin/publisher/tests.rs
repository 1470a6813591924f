//! The publisher against a small broker of its own, which fails as it is told.

use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use newsreel_core::wire::{Key, Tag};
use tokio::sync::Notify;

use super::*;
use crate::broker::BrokerOptions;
use crate::origin::store::{Value, Write};

/// The reaction of the broker to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// Gives it a version.
    Receipt,
    /// Answers with this status; of many publishes, where it finds fault with a publish, the first alone has it.
    Status(u16),
    /// Takes it and closes the connection without an answer.
    Silence,
    /// Answers 200 with something that is no receipt, as a captive portal does.
    Portal,
}
use Answer::{Portal, Receipt, Silence, Status};

#[derive(Default)]
struct Heard {
    /// Key and body of every publish, in order.
    publishes: Mutex<Vec<(String, String)>>,
    /// The bodies that have a version, in the order in which they got it.
    versions: Mutex<Vec<String>>,
    answers: Mutex<Vec<Answer>>,
    done: Notify,
}

/// A store and a broker; the answers are given in turn, then receipts.
struct Story {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    broker: BrokerClient,
    heard: Arc<Heard>,
}

impl Story {
    async fn new(answers: &[Answer]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let heard = Arc::new(Heard::default());
        heard.answers.lock().unwrap().extend(answers.iter().rev());
        let router =
            Router::new().route("/v1/catalogs/tv/changes", post(answer)).with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let catalog = "tv".parse().unwrap();
        let options = BrokerOptions { broker, token: Some("t".parse().unwrap()), catalog, retry_for_ms: 0 };
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder);
        Self { folder, store, broker: BrokerClient::new(options).unwrap(), heard }
    }

    fn commit(&self, key: &str) {
        let value = Value { content_type: "x".into(), tags: vec![Tag::new("t").unwrap()], body: Vec::new() };
        self.store.commit(&[Write { key: Key::new(key).unwrap(), value: Some(value) }]).unwrap();
    }

    /// Runs the publisher until a receipt was given and nothing is pending, and returns what the broker
    /// heard.
    async fn drained(&self) -> Vec<(String, String)> {
        let publisher = Publisher::new(Arc::clone(&self.store), self.broker.clone(), Duration::ZERO);
        let publisher = tokio::spawn(publisher.run());
        while self.store.pending().unwrap() > 0 {
            tokio::select! {
                () = self.heard.done.notified() => {}
                () = tokio::task::yield_now() => {}
            }
        }
        publisher.abort();
        self.heard.publishes.lock().unwrap().clone()
    }
}

fn opened(folder: &tempfile::TempDir) -> Arc<Store> {
    Arc::new(Store::open(&folder.path().join("o.db"), &"tv".parse().unwrap()).unwrap())
}

/// Reads the publishes of a request: one under the key of a header, or lines that each have a key.
fn publishes(headers: &HeaderMap, body: &str) -> Vec<(String, String)> {
    if headers["content-type"] == "application/json" {
        return vec![(headers["idempotency-key"].to_str().unwrap().to_owned(), body.to_owned())];
    }
    let read = |line: &str| {
        let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let key = line.remove("idempotency_key").unwrap().as_str().unwrap().to_owned();
        (key, serde_json::Value::from(line).to_string())
    };
    body.lines().map(read).collect()
}

async fn answer(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: String) -> Response {
    assert_eq!(headers["authorization"], "Bearer t");
    let publishes = publishes(&headers, &body);
    heard.publishes.lock().unwrap().extend(publishes.clone());
    let answer = heard.answers.lock().unwrap().pop().unwrap_or(Receipt);
    let refused = match answer {
        Status(status @ (400 | 413 | 422)) if publishes.len() > 1 => Some(status),
        Status(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Portal => return "<html>Sign in to the network</html>".into_response(),
        // A body that breaks off: the server closes the connection in the middle of the answer.
        Silence => {
            let body = futures_util::stream::once(async {
                Err::<axum::body::Bytes, _>(std::io::Error::other("gone"))
            });
            return axum::body::Body::from_stream(body).into_response();
        }
        Receipt => None,
    };
    let lines = publishes.into_iter().enumerate().map(|(index, (_, body))| match refused {
        Some(status) if index == 0 => format!(r#"{{"status":{status},"code":"refused","detail":""}}"#),
        _ => {
            let mut versions = heard.versions.lock().unwrap();
            if !versions.contains(&body) {
                versions.push(body);
            }
            let epoch = "01ARYZ6S410000000000000000";
            format!(
                r#"{{"catalog":"tv","epoch":"{epoch}","version":1,"position":"{epoch}:1:0011223344556677","at":1,"changes":1}}"#
            )
        }
    });
    let answer = lines.collect::<Vec<_>>().join("\n");
    heard.done.notify_one();
    answer.into_response()
}

#[tokio::test]
async fn a_publish_is_sent_again_with_the_same_key_and_bytes_until_it_is_acknowledged() {
    let story = Story::new(&[Status(503), Silence, Portal]).await;
    story.commit("a:1");
    let heard = story.drained().await;
    assert_eq!(heard.len(), 4);
    assert!(heard.iter().all(|one| *one == heard[0]), "{heard:?}");
}

#[tokio::test]
async fn a_wrong_token_or_address_waits_for_a_person_and_loses_nothing() {
    let story = Story::new(&[Status(401), Status(403), Status(404)]).await;
    story.commit("a:1");
    let heard = story.drained().await;
    assert_eq!(heard.len(), 4);
    assert!(heard.iter().all(|one| *one == heard[0]), "{heard:?}");
    assert_eq!(story.store.rejections().unwrap(), 0);
}

#[tokio::test]
async fn publishes_get_their_versions_in_order_over_failures() {
    let story = Story::new(&[Status(503), Receipt, Silence, Status(500), Receipt, Status(409)]).await;
    let keys = ["a:1", "a:2", "a:3"];
    for key in keys {
        story.commit(key);
    }
    let heard = story.drained().await;
    let versions = story.heard.versions.lock().unwrap().clone();
    assert_eq!(versions, keys.map(|key| format!(r#"{{"changes":[{{"key":"{key}","tags":["t"]}}]}}"#)));
    let once: std::collections::BTreeSet<_> = heard.into_iter().collect();
    assert_eq!(once.len(), 3, "each goes out again under the same key, with the same body");
}

#[tokio::test]
async fn publishes_that_wait_are_sent_in_one_request() {
    let story = Story::new(&[Status(503)]).await;
    for number in 0..1_200 {
        story.commit(&format!("a:{number}"));
    }
    // One request that fails, one publish alone, and the rest 500 at a time.
    let heard = story.drained().await;
    assert_eq!(heard.len(), 500 + 1 + 1_199);
    let versions = story.heard.versions.lock().unwrap().clone();
    assert!(versions.iter().enumerate().all(|(n, body)| body.contains(&format!(r#""a:{n}""#))), "in order");
    assert_eq!(versions.len(), 1_200);
}

#[tokio::test]
async fn a_crash_after_the_acknowledgement_publishes_nothing_twice() {
    let story = Story::new(&[]).await;
    story.commit("a:1");
    let crashed = story.store.next_outgoing().unwrap().unwrap();
    // Acknowledged, and the process is gone before it could note that.
    story.broker.publish(&crashed.key, crashed.body.clone(), Wait::Acknowledged).await.unwrap();
    let Story { folder, broker, heard, store } = story;
    drop(store);
    let again = Story { store: opened(&folder), folder, broker, heard };
    let heard = again.drained().await;
    assert_eq!(heard, vec![(crashed.key.clone(), crashed.body.clone()); 2], "the key makes them one version");
}

#[tokio::test]
async fn a_commit_wakes_the_publisher() {
    let story = Story::new(&[]).await;
    let publisher = Publisher::new(Arc::clone(&story.store), story.broker.clone(), Duration::ZERO);
    let publisher = tokio::spawn(publisher.run());
    for round in 1..=3 {
        story.commit(&format!("a:{round}"));
        story.heard.done.notified().await;
        assert_eq!(story.heard.publishes.lock().unwrap().len(), round);
    }
    publisher.abort();
}

#[tokio::test]
async fn a_publish_refused_for_good_does_not_block_those_after_it() {
    let story = Story::new(&[Status(400), Status(400), Status(413), Receipt]).await;
    story.commit("a:1");
    story.commit("a:2");
    let heard = story.drained().await;
    let bodies: Vec<&str> = heard.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(
        bodies,
        [
            // Together: the first is refused, and the second has its version.
            r#"{"changes":[{"key":"a:1","tags":["t"]}]}"#,
            r#"{"changes":[{"key":"a:2","tags":["t"]}]}"#,
            r#"{"changes":[{"key":"a:1","tags":["t"]}]}"#,
            r#"{"changes":[{"key":"a:1"}]}"#,
            r#"{"changes":[{"all":true}]}"#,
            r#"{"changes":[{"key":"a:2","tags":["t"]}]}"#,
        ]
    );
    let keys: std::collections::BTreeSet<&str> = heard.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys.len(), 4, "no key stands for two bodies");
    assert_eq!(story.store.rejections().unwrap(), 2);
}

#[tokio::test]
async fn an_idempotency_key_that_was_used_is_exchanged() {
    let story = Story::new(&[Status(422)]).await;
    story.commit("a:1");
    let heard = story.drained().await;
    assert_eq!(heard[0].1, heard[1].1);
    assert_ne!(heard[0].0, heard[1].0);
}
