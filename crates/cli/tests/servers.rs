//! The command against servers that are no brokers, behind redirects and behind a proxy; and files with a
//! byte order mark.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test is to panic")]

use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use newsreel_core::wire::frame::{self, Resume, SUBPROTOCOL};
use newsreel_core::wire::{Epoch, Position, UnixMillis, ndjson};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

mod common;
use common::newsreel;

const RECEIPT: &str = r#"{"catalog":"tv","epoch":"01ARYZ6S410000000000000000","version":1,"position":"01ARYZ6S410000000000000000:1:0011223344556677","at":1,"changes":1}"#;
const STATUS: &str = r#"{"catalog":"tv","epoch":"01ARYZ6S410000000000000000","version":1,"position":"01ARYZ6S410000000000000000:1:0011223344556677","oldest":0,"followers":0,"bytes":9}"#;

/// The heads, and what came with them, that a server or a proxy has read.
type Heard = Arc<Mutex<Vec<String>>>;

/// Reads the head of a request and what came with it.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(more) => read.extend_from_slice(&buffer[..more]),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// A server that answers every request with the same bytes and closes.
async fn server(answer: impl Into<String>) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let (answer, record) = (answer.into(), Arc::clone(&heard));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, record) = (answer.clone(), Arc::clone(&record));
            tokio::spawn(async move {
                let request = head(&mut stream).await;
                record.lock().unwrap().push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                // Bytes of the request that are still on their way are read, or the platform resets the
                // connection.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    (url, heard)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs commands that speak to a server, each with some input on stdin.
async fn all_commands(url: &str, check: impl Fn(&str, &Output)) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), "title:1\n").unwrap();
    std::fs::write(folder.path().join("lines"), "{\"key\":\"title:1\"}\n").unwrap();
    std::fs::write(folder.path().join("titles"), "{\"id\":1}\n").unwrap();
    for words in [
        "status",
        "status --json",
        "publish --all",
        "publish --ndjson lines",
        "tail",
        "admin new-epoch",
        "fill keys",
        "load titles",
    ] {
        let mut command = newsreel(url, words);
        command.current_dir(&folder).env("NEWSREEL_TOKEN", "s3cret").env("NEWSREEL_ORIGIN", url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        check(words, &output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_the_address_it_points_to_is_named() {
    let (elsewhere, heard) = server(answer("200 OK", "", RECEIPT)).await;
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"] {
        let location = format!("Location: {elsewhere}/new/v1/catalogs/tv/changes\r\n");
        let (url, asked) = server(answer(status, &location, "")).await;
        all_commands(&url, |words, output| {
            let told = told(output);
            assert_eq!(output.status.code(), Some(4), "{status} {words}: {told}");
            let named = told.contains(&format!("sends requests on to {elsewhere}/new"));
            assert!(named && told.contains("not followed"), "{status} {words}: {told}");
            assert!(!told.contains("s3cret") && output.stdout.is_empty(), "{status} {words}: {told}");
        })
        .await;
        assert_eq!(asked.lock().unwrap().len(), 8, "each command asked once");
    }
    assert!(heard.lock().unwrap().is_empty(), "nothing went elsewhere: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_names_the_address_to_use_instead() {
    let (url, _) =
        server(answer("308 Permanent Redirect", "Location: https://b.example/x/v1/catalogs/tv\r\n", ""))
            .await;
    let output = newsreel(&url, "status").output().unwrap();
    assert!(told(&output).contains("https://b.example/x as the address"), "{}", told(&output));
    let (relative, _) = server(answer("302 Found", "Location: /login\r\n", "")).await;
    let output = newsreel(&relative, "status").output().unwrap();
    assert!(told(&output).contains(&format!("sends requests on to {relative}/login")), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_a_page_of_html_is_no_broker() {
    let html = "<!doctype html>\n<title>Sign in</title>";
    for status in ["200 OK", "403 Forbidden"] {
        let (url, _) = server(answer(status, "Content-Type: text/html; charset=utf-8\r\n", html)).await;
        all_commands(&url, |words, output| {
            let told = told(output);
            assert_eq!(output.status.code(), Some(4), "{status} {words}: {told}");
            let what = if words.starts_with("load") { "an origin" } else { "a broker" };
            let sentence = format!("is not {what}: it answered {status} with text/html");
            assert!(told.contains(&sentence), "{status} {words}: {told}");
            assert!(output.stdout.is_empty(), "{status} {words}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_shape_is_none_of_a_broker() {
    let (url, _) = server(answer("200 OK", "Content-Type: application/json\r\n", "{\"ok\":true}")).await;
    for words in ["status", "publish --all", "admin new-epoch"] {
        let output = newsreel(&url, words).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{words}");
        assert!(told(&output).contains("is not a broker: it answered"), "{words}: {}", told(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_named() {
    for rest in
        ["Transfer-Encoding: chunked\r\n\r\n40\r\n{\"catalog\":", "Content-Length: 400\r\n\r\n{\"catalog\":"]
    {
        let (url, _) = server(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{rest}")).await;
        for words in ["status", "publish --all"] {
            let output = newsreel(&url, words).output().unwrap();
            assert_eq!(output.status.code(), Some(5), "{words}");
            assert!(told(&output).contains("in the middle of its answer"), "{words}: {}", told(&output));
        }
    }
}

/// A proxy that knows one host, `broker.test`, and remembers the requests.
async fn proxy(broker: String) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let record = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (broker, record) = (broker.clone(), Arc::clone(&record));
            tokio::spawn(async move {
                let request = head(&mut client).await;
                record.lock().unwrap().push(request.lines().next().unwrap_or_default().to_owned());
                let mut server = TcpStream::connect(broker).await.unwrap();
                if request.starts_with("CONNECT ") {
                    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                } else {
                    let forwarded = request.replacen("http://broker.test:8787", "", 1);
                    server.write_all(forwarded.as_bytes()).await.unwrap();
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, heard)
}

/// A broker that says these frames on one socket, after as many texts as `reads`.
async fn socket_broker(reads: usize, frames: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let greet = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, greet).await.unwrap();
        for _ in 0..reads {
            let _ = socket.next().await;
        }
        for frame in frames {
            socket.send(Message::text(frame)).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    });
    address
}

fn first_version() -> Vec<String> {
    let genesis = Position::genesis(Epoch::new(UnixMillis(1), [0; 10]));
    let row = r#"{"version":1,"at":1,"changes":[{"key":"title:1"}]}"#;
    let at = genesis.then(row.as_bytes());
    let changes = frame::changes_text(genesis.version, &at, false, row);
    vec![frame::welcome(&at, Resume::Replay), changes, frame::live(at.version)]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_goes_through_the_proxy_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lines"), "{\"key\":\"title:1\"}\n").unwrap();
    let status = server(answer("200 OK", "Content-Type: application/json\r\n", STATUS)).await.0;
    let tail = socket_broker(0, first_version()).await;
    let lines = socket_broker(1, vec![ndjson::answers_text(RECEIPT)]).await;
    for (words, broker, request) in [
        ("status", status.replace("http://", ""), "GET http://broker.test:8787/v1/catalogs/tv HTTP/1.1"),
        ("tail --from start --exit-when-live", tail, "CONNECT broker.test:8787 HTTP/1.1"),
        ("publish --ndjson lines", lines, "CONNECT broker.test:8787 HTTP/1.1"),
    ] {
        let (proxy, heard) = proxy(broker).await;
        let mut command = newsreel("http://broker.test:8787", words);
        command.current_dir(&folder).env("HTTP_PROXY", &proxy);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{words}: {}", told(&output));
        assert_eq!(*heard.lock().unwrap(), [request], "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_asked_for_what_needs_none() {
    let (proxy, heard) = proxy("127.0.0.1:1".to_owned()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lines"), "{\"key\":\"title:1\"}\n").unwrap();
    for (broker, no_proxy) in [("http://broker.test:8787", "broker.test"), ("http://127.0.0.1:1", "")] {
        for words in ["status", "tail", "publish --ndjson lines"] {
            let mut command = newsreel(broker, words);
            command.current_dir(&folder).env("HTTP_PROXY", &proxy).env("NO_PROXY", no_proxy);
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert_eq!(output.status.code(), Some(5), "{words}: {}", told(&output));
        }
    }
    assert!(heard.lock().unwrap().is_empty(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named() {
    let (proxy, _) = server(answer("403 Forbidden", "", "")).await;
    let output = newsreel("http://broker.test:8787", "tail").env("HTTP_PROXY", &proxy).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    assert!(told(&output).contains(&format!("the proxy {proxy}")), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_at_the_beginning_of_a_file_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), format!("\u{feff}{text}")).unwrap();
    write("publish", r#"{"changes":[{"key":"title:1"}]}"#);
    write("keys", "title:1\n");
    write("titles", "{\"id\":1}\n");
    write("wrangler.toml", include_str!("../../../wrangler.toml"));
    let filled = r#"{"filled":["title:1"],"kept":[],"absent":[],"failed":[]}"#;
    for (words, body, sent) in [
        ("publish --file publish", RECEIPT, Some(r#"{"changes":[{"key":"title:1"}]}"#)),
        ("fill keys", filled, Some(r#"{"keys":["title:1"]}"#)),
        ("load titles", RECEIPT, Some(r#"{"key":"title:1","tags":[],"value":{"id":1}}"#)),
        ("check-config", "", None),
    ] {
        let (url, heard) = server(answer("200 OK", "Content-Type: application/json\r\n", body)).await;
        let mut command = newsreel(&url, words);
        command.current_dir(&folder).env("NEWSREEL_ORIGIN", &url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{words}: {}", told(&output));
        let heard = heard.lock().unwrap();
        if let Some(sent) = sent {
            assert!(
                heard[0].ends_with(sent) || heard[0].ends_with(&format!("{sent}\n")),
                "{words}: {heard:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_at_the_beginning_of_stdin_is_skipped() {
    let broker = socket_broker(1, vec![ndjson::answers_text(RECEIPT)]).await;
    let mut command = newsreel(&format!("http://{broker}"), "publish --ndjson -");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let line = "\u{feff}{\"key\":\"title:1\"}\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{RECEIPT}\n"));
}
