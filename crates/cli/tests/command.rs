//! The command as a user runs it: exit codes, variables, signals, and an origin that is killed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test is to panic")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::{SinkExt as _, StreamExt as _};
use newsreel_core::wire::frame::{self, Resume, SUBPROTOCOL};
use newsreel_core::wire::{Epoch, Position, UnixMillis, ndjson};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

mod common;
use common::newsreel;

const RECEIPT: &str = r#"{"catalog":"tv","epoch":"01ARYZ6S410000000000000000","version":1,"position":"01ARYZ6S410000000000000000:1:0011223344556677","at":1,"changes":1}"#;
const NEW_EPOCH: &str = r#"{"catalog":"tv","epoch":"01ARYZ6S420000000000000000","version":0,"position":"01ARYZ6S420000000000000000:0:7ae264e1fd7e3c55","previous":"01ARYZ6S410000000000000000:1:0011223344556677"}"#;
/// Long enough for a slow machine; nothing waits for so long when it works.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(broker: &str, words: &str) -> Output {
    newsreel(broker, words).output().unwrap()
}

/// Key and body of a publish.
type Heard = (String, String);

/// A broker that answers every publish with this and tells of each.
async fn broker(status: u16, body: &'static str) -> (String, mpsc::UnboundedReceiver<Heard>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let answer = move |headers: HeaderMap, publish: String| async move {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        tell.send((key, publish)).unwrap();
        if status == 0 {
            // An answer that never comes.
            std::future::pending::<()>().await;
        }
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let new_epoch = move || async move {
        (StatusCode::from_u16(status).unwrap(), if status == 200 { NEW_EPOCH } else { body })
    };
    let router = Router::new()
        .route("/v1/catalogs/tv/changes", post(answer))
        .route("/v1/catalogs/tv/epochs", post(new_epoch));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

/// An origin in a process of its own.
struct Origin {
    process: Child,
    url: String,
}

impl Origin {
    fn start(folder: &tempfile::TempDir, broker: &str, hold_ms: u32) -> Self {
        let mut command = newsreel(broker, "origin --listen 127.0.0.1:0");
        command.arg("--db").arg(folder.path().join("o.db"));
        command.env("NEWSREEL_HOLD_PUBLISH_MS", hold_ms.to_string()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("ready ").expect("the origin is ready").to_owned();
        Self { process, url }
    }

    fn http() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    async fn put(&self, key: &str, value: &'static str) {
        let request = Self::http().put(format!("{}/{key}", self.url)).header("Cache-Tag", "t").body(value);
        assert!(request.send().await.unwrap().status().is_success());
    }

    async fn get(&self, key: &str) -> String {
        Self::http().get(format!("{}/{key}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    /// Ends it as a crash does: `SIGKILL`.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("a publish arrives").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_killed_between_commit_and_publish_still_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut heard) = broker(200, RECEIPT).await;
    let origin = Origin::start(&folder, &url, 3_600_000);
    origin.put("title:1", "one").await;
    origin.put("title:2", "two").await;
    origin.kill();
    assert!(heard.try_recv().is_err(), "nothing was published yet");

    let origin = Origin::start(&folder, &url, 0);
    let (first, second) = (next(&mut heard).await, next(&mut heard).await);
    assert_eq!(first.1, r#"{"changes":[{"key":"title:1","tags":["t"]}]}"#);
    assert_eq!(second.1, r#"{"changes":[{"key":"title:2","tags":["t"]}]}"#);
    assert!(first.0.ends_with("-1") && second.0.ends_with("-2"), "{first:?} {second:?}");
    assert_eq!(origin.get("title:2").await, "two");
    origin.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_killed_before_the_answer_came_publishes_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let (silent, mut unanswered) = broker(0, "").await;
    let origin = Origin::start(&folder, &silent, 0);
    origin.put("title:1", "one").await;
    let before = next(&mut unanswered).await;
    origin.kill();

    let (url, mut heard) = broker(200, RECEIPT).await;
    let origin = Origin::start(&folder, &url, 0);
    assert_eq!(next(&mut heard).await, before, "the same key and the same bytes");
    origin.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_what_went_wrong() {
    let refusal = r#"{"status":412,"code":"expect-failed","detail":"the head is 7"}"#;
    let (good, _heard) = broker(200, RECEIPT).await;
    let (refusing, _heard_too) = broker(412, refusal).await;
    let (failing, _heard_as_well) = broker(503, "").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    for (broker, words, code) in [
        (&good, "publish --key title:1 --tags a,b", 0),
        (&good, "--help", 0),
        (&good, "publish", 2),
        (&good, "publish --key title", 2),
        (&good, "publish --all --file x", 2),
        (&good, "publish --all --expect-epoch 01ARYZ6S410000000000000000", 2),
        (&good, "status --broker ftp://x", 2),
        (&good, "tail --from yesterday", 2),
        (&good, "publish --key title:1 --op remove --soft", 3),
        (&good, "publish --file /nowhere", 3),
        (&good, "load /nowhere", 3),
        (&good, "publish --ndjson x --all", 2),
        (&good, "publish --ndjson x --wait-applied", 2),
        (&good, "publish --ndjson /nowhere", 3),
        (&good, "admin", 2),
        (&refusing, "publish --all", 4),
        (&refusing, "admin new-epoch", 4),
        (&failing, "admin new-epoch", 5),
        (&nobody, "admin new-epoch", 5),
        (&nobody, "publish --ndjson -", 5),
        (&refusing, "tail", 4),
        (&failing, "publish --all", 5),
        (&nobody, "status", 5),
        (&nobody, "tail", 5),
    ] {
        let output = run(broker, words);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {told}");
        assert_eq!(told.is_empty(), code == 0, "{words}: {told}");
    }
    let receipt = run(&good, "publish --all").stdout;
    assert_eq!(String::from_utf8(receipt).unwrap(), format!("{RECEIPT}\n"));
    assert!(String::from_utf8(run(&good, "--help").stdout).unwrap().contains("Exit codes:"));
}

#[test]
fn shells_get_completions_and_man_gets_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run("http://127.0.0.1:1", &format!("completions {shell}"));
        let script = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(script.contains("check-config") && script.contains("idempotency-key"), "{shell}");
    }
    assert_eq!(run("http://127.0.0.1:1", "completions csh").status.code(), Some(2));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = run("http://127.0.0.1:1", &format!("man {}", pages.display()));
    assert_eq!(output.status.code(), Some(0));
    let page = std::fs::read_to_string(pages.join("newsreel-publish.1")).unwrap();
    assert!(page.contains("idempotency") && page.contains("Examples"), "{page}");
    assert!(pages.join("newsreel-token-sign.1").exists() && pages.join("newsreel.1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_is_printed_and_explained() {
    let (url, _heard) = broker(200, RECEIPT).await;
    let output = run(&url, "admin new-epoch");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "01ARYZ6S420000000000000000:0:7ae264e1fd7e3c55\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the old log ended at 01ARYZ6S410000000000000000:1:0011223344556677"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_is_tried_again_under_one_idempotency_key() {
    let (failing, mut heard) = broker(503, "").await;
    let output = newsreel(&failing, "publish --all").env("NEWSREEL_RETRY_FOR_MS", "1000").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let first = next(&mut heard).await;
    assert_eq!(next(&mut heard).await, first);
    run(&failing, "publish --all --idempotency-key mine");
    while let Ok((key, _)) = heard.try_recv() {
        assert!(key == first.0 || key == "mine");
    }
}

#[test]
fn a_token_is_never_shown() {
    for words in
        ["--help", "publish --help", "publish", "publish --all", "publish --token", "status --token s3cret+é"]
    {
        let mut command = newsreel("http://127.0.0.1:1", words);
        let output = command.env("NEWSREEL_TOKEN", "s3cret").output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&shown).contains("s3cret"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_stands_for_its_flag() {
    let (url, mut heard) = broker(200, RECEIPT).await;
    for (variables, publish) in [
        (&[("NEWSREEL_ALL", "1")][..], r#"{"changes":[{"all":true}]}"#),
        (
            &[("NEWSREEL_KEY", "a:1"), ("NEWSREEL_OP", "remove")],
            r#"{"changes":[{"key":"a:1","op":"remove"}]}"#,
        ),
        (
            &[("NEWSREEL_KEY", "a:1"), ("NEWSREEL_TAGS", "x,y")],
            r#"{"changes":[{"key":"a:1","tags":["x","y"]}]}"#,
        ),
        (&[("NEWSREEL_TAG", "x"), ("NEWSREEL_SOFT", "true")], r#"{"changes":[{"soft":true,"tag":"x"}]}"#),
    ] {
        let output = newsreel(&url, "publish").envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{variables:?}");
        assert_eq!(next(&mut heard).await.1, publish);
    }
}

#[test]
fn a_deployment_is_checked_and_all_that_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, words: &str| {
        let file = folder.path().join("wrangler.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = newsreel("http://127.0.0.1:1", words);
        let output = command.current_dir(&folder).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let right = include_str!("../../../wrangler.toml");
    let (code, table, told) = check(right, "check-config");
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert!(table.contains("\navailability  fresh: ≤ 2 s = 1 s proof + 1 s way "), "{table}");

    let wrong = right.replace("COPIES", "OTHERS")
        + "\n[vars.POLICY.fare]\nlag_bound_ms = 1\nquorum = true\nttl_ms = 1296000000\n";
    let (code, table, told) = check(&wrong, "check-config wrangler.toml");
    assert_eq!((code, table.as_str()), (Some(3), ""));
    for complaint in
        ["POLICY.fare.lag_bound_ms is 1", "FORGET_AFTER_MS is 1296000000", "POLICY.fare.quorum is true"]
    {
        assert!(told.contains(complaint), "{complaint}: {told}");
    }
    let (code, json, _) = check(&wrong, "check-config --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json["ok"], json["complaints"].as_array().unwrap().len()),
        (Some(3), &false.into(), 3)
    );
    let (code, json, _) = check(right, "check-config --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["classes"][0]["ages"][0]["total_ms"]), (Some(0), &2_000.into()));
    let staging = right.to_owned() + "\n[env.staging.vars]\nORIGIN_URl = 'https://x.example'\n";
    let (code, _, told) = check(&staging, "check-config --env staging");
    assert_eq!(code, Some(3));
    assert!(
        told.contains("did you mean ORIGIN_URL?") && told.contains("[[env.staging.kv_namespaces]]"),
        "{told}"
    );
    assert_eq!(check(right, "check-config --env staging").0, Some(3));
    assert_eq!(check("[vars", "check-config").0, Some(3));
    assert_eq!(check(right, "check-config /nowhere").0, Some(3));
}

/// A broker that sends these frames to its first follower, and keeps the socket open.
async fn follow_broker(frames: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(Mutex::new(Some(frames)));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let greet = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, greet).await.unwrap();
        let frames = served.lock().unwrap().take().unwrap();
        for frame in frames {
            socket.send(Message::text(frame)).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    });
    url
}

/// A broker whose publishing sockets end after so many publishes each, of which so many are answered.
async fn publish_broker(sockets: Vec<(usize, usize)>) -> (String, mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (most, answered) in sockets {
            let (stream, _) = listener.accept().await.unwrap();
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let greet = |request: &Request, mut response: Response| {
                assert_eq!(request.uri().path(), "/v1/catalogs/tv/publish");
                response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
                Ok(response)
            };
            let mut socket = tokio_tungstenite::accept_hdr_async(stream, greet).await.unwrap();
            let mut texts = Vec::new();
            while texts.len() < most
                && let Some(Ok(message)) = socket.next().await
            {
                texts.push(message.into_text().unwrap().as_str().to_owned());
            }
            let answers = vec![RECEIPT; answered].join(",");
            socket.send(Message::text(ndjson::answers_text(&answers))).await.unwrap();
            tell.send(texts).unwrap();
            if answered == most {
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_were_not_answered_are_sent_again_as_they_were() {
    let (url, mut heard) = publish_broker(vec![(5, 2), (3, 3)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    let keys = (1..=5).map(|n| format!("{{\"key\":\"a:{n}\"}}\n\n"));
    std::fs::write(&file, keys.collect::<String>() + "{\"key\":\"a\"}\n").unwrap();
    let mut command = newsreel(&url, "publish --idempotency-key k --ndjson");
    let output = command.arg(&file).env("NEWSREEL_RETRY_FOR_MS", "10000").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("5 published, 1 refused") && told.contains("refused: bad-key: publish 6: "),
        "{told}"
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), 6);
    assert!(printed[..5].iter().all(|line| *line == RECEIPT) && printed[5].contains("bad-key"));
    let (first, second) = (heard.recv().await.unwrap(), heard.recv().await.unwrap());
    assert_eq!(first[0], r#"{"key":"a:1","idempotency_key":"k#1"}"#);
    assert_eq!(first[2..], second);
}

fn first_version() -> Vec<String> {
    let genesis = Position::genesis(Epoch::new(UnixMillis(1), [0; 10]));
    let row = r#"{"version":1,"at":1,"changes":[{"key":"title:1"}]}"#;
    let at = genesis.then(row.as_bytes());
    let changes = frame::changes_text(genesis.version, &at, false, row);
    vec![frame::welcome(&at, Resume::Replay), changes, frame::live(at.version)]
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_interrupted_ends_well() {
    for signal in ["-INT", "-TERM"] {
        let url = follow_broker(first_version()).await;
        let mut command = newsreel(&url, "tail --from start --json");
        let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(tail.stderr.take().unwrap()).lines().map(Result::unwrap);
        let told: Vec<String> = told.take_while(|line| line != "tail: live at 1").collect();
        assert!(told.iter().any(|line| line.contains("catching up: 1 version,")), "{told:?}");
        let id = tail.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = tail.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "{signal}: {ended}");
        let mut printed = String::new();
        tail.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert_eq!(printed.lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_with_a_closed_stderr_goes_on() {
    let url = follow_broker(first_version()).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = newsreel(&url, "tail --from start --exit-when-live").stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("title:1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_with_a_closed_stdout_ends_quietly_and_keeps_no_position() {
    let url = follow_broker(first_version()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    let mut command = newsreel(&url, "tail --from start");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.arg("--resume").arg(&file).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8(output.stderr).unwrap().contains("newsreel:"));
    assert!(!file.exists());
}
