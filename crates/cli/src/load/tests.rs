//! Loading into an origin that only notes what it hears.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: LoadOptions,
    #[command(flatten)]
    at: BrokerOptions,
}

/// Loads `content` with these flags; returns how that ended and the transactions the origin heard.
async fn load(content: &[u8], flags: &str) -> (Result<(), Failure>, Vec<String>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    let note = move |body: String| async move {
        noted.lock().unwrap().push(body);
        "{}"
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/tv", post(note))).await });

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let path = file.path().to_str().unwrap();
    let words = ["x", path, "--origin", &url].into_iter().chain(flags.split_whitespace());
    let Line { options, at } = Line::parse_from(words);
    let outcome = run(options, at).await;
    let heard = heard.lock().unwrap().clone();
    (outcome, heard)
}

fn titles(ids: impl Iterator<Item = u32>) -> String {
    ids.map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

#[tokio::test]
async fn titles_go_in_transactions_and_a_later_one_of_an_id_wins() {
    let (outcome, heard) = load(titles(1..=7).as_bytes(), "--batch 3").await;
    outcome.unwrap();
    assert_eq!(heard.iter().map(|body| body.lines().count()).collect::<Vec<_>>(), [3, 3, 1]);
    let (outcome, heard) = load(b"{\"id\":1,\"n\":1}\n{\"id\":1,\"n\":2}", "").await;
    outcome.unwrap();
    assert_eq!(heard, ["{\"key\":\"title:1\",\"tags\":[],\"value\":{\"id\":1,\"n\":2}}\n"]);
}

#[tokio::test]
async fn what_is_packed_is_unpacked_whatever_it_is_called() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(titles(1..=3).as_bytes()).unwrap();
    let (outcome, heard) = load(&packed.finish().unwrap(), "").await;
    outcome.unwrap();
    assert_eq!(heard[0].lines().count(), 3);
}

#[tokio::test]
async fn a_bad_line_stops_with_its_number_and_what_stands_before_it_is_loaded() {
    let content = titles(1..=2) + "\nrubbish\n" + &titles(3..=4);
    let (outcome, heard) = load(content.as_bytes(), "").await;
    let why = outcome.unwrap_err();
    assert!(matches!(&why, Failure::Input(text) if text.starts_with("line 4: ")), "{why}");
    assert_eq!(heard.concat().lines().count(), 2);
}

#[tokio::test]
async fn bad_lines_are_skipped_when_asked() {
    let content = [titles(1..=2).as_bytes(), b"{\"id\":\"\xff\"}\n[]\n", titles(3..=4).as_bytes()].concat();
    let (outcome, heard) = load(&content, "--on-error skip").await;
    outcome.unwrap();
    assert_eq!(heard.concat().lines().count(), 4);
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_unreachable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(titles(1..=1).as_bytes()).unwrap();
    let origin = format!("http://{free}");
    let Line { options, at } =
        Line::parse_from(["x", file.path().to_str().unwrap(), "--origin", &origin, "--retry-for-ms", "0"]);
    assert!(matches!(run(options, at).await, Err(Failure::Unreachable { .. })));
}
