//! The tail against a small broker of its own: replay, a cut, a gap, a reset, the resume file.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use newsreel_core::log::Log;
use newsreel_core::wire::frame::{self, Resume, SUBPROTOCOL, close};
use newsreel_core::wire::{Cause, Epoch, Hash, UnixMillis};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

/// The reaction of the broker to one connection.
enum Connection {
    /// Says these frames, and then goes.
    Says(Vec<String>),
    /// Says these frames, and stays.
    Stays(Vec<String>),
    /// Closes with this code.
    Closes(u16),
    /// Answers the handshake with this status.
    Answers(u16),
    /// Goes in the middle of the handshake.
    Drops,
}
use Connection::{Answers, Closes, Drops, Says, Stays};

#[derive(Default)]
struct Heard {
    /// The addresses that were dialed.
    dialed: Mutex<Vec<String>>,
    /// The texts that came.
    texts: Mutex<Vec<String>>,
    /// Told when the last connection has ended.
    done: Notify,
}

/// Treats each connection in turn as it is told.
async fn broker(connections: Vec<Connection>) -> (reqwest::Url, Arc<Heard>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let heard = Arc::new(Heard::default());
    let noted = Arc::clone(&heard);
    tokio::spawn(async move {
        for connection in connections {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, connection, &noted).await;
        }
        noted.done.notify_one();
    });
    (url, heard)
}

async fn serve(stream: TcpStream, connection: Connection, heard: &Arc<Heard>) {
    let noted = Arc::clone(heard);
    if let Drops = connection {
        noted.dialed.lock().unwrap().push("dropped".to_owned());
        stream.readable().await.unwrap();
        stream.try_read(&mut [0; 4096]).unwrap();
        return stream.try_write(b"HTTP/1.1 101 Switching").map(drop).unwrap();
    }
    let refusal = if let Answers(status) = connection { Some(status) } else { None };
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let greet = move |request: &Request, mut response: Response| {
        noted.dialed.lock().unwrap().push(request.uri().to_string());
        assert_eq!(request.headers()["authorization"], "Bearer t");
        if let Some(status) = refusal {
            let body = r#"{"code":"a-code","detail":"because"}"#.to_owned();
            let mut answer = ErrorResponse::new(Some(body));
            *answer.status_mut() = status.try_into().unwrap();
            return Err(answer);
        }
        response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, greet).await else { return };
    let (frames, stays) = match connection {
        Says(frames) => (frames, false),
        Stays(frames) => (frames, true),
        Closes(code) => {
            let _ = socket.close(Some(CloseFrame { code: code.into(), reason: "because".into() })).await;
            (Vec::new(), true)
        }
        Answers(_) | Drops => return,
    };
    for frame in frames {
        let _ = socket.send(Message::text(frame)).await;
    }
    while stays && let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            heard.texts.lock().unwrap().push(text.as_str().to_owned());
        }
    }
}

fn log(versions: u64) -> Vec<(Position, String)> {
    let mut log = Log::ending_at(Position::genesis(Epoch::new(UnixMillis(1), [0; 10])));
    let rows = (1..=versions)
        .map(|n| log.append(UnixMillis(n), &format!(r#"[{{"key":"title:{n}"}}]"#), &Cause::default()));
    rows.map(|row| (row.position, row.text)).collect()
}

fn changes(rows: &[(Position, String)], from: u64, to: usize) -> String {
    let first = usize::try_from(from).unwrap();
    let texts: Vec<&str> = rows[first..to].iter().map(|(_, text)| text.as_str()).collect();
    frame::changes_text(Version::new(from).unwrap(), &rows[to - 1].0, false, &texts.join(","))
}

fn welcome(rows: &[(Position, String)]) -> String {
    frame::welcome(&rows.last().unwrap().0, Resume::Replay)
}

fn at(broker: reqwest::Url) -> BrokerOptions {
    let (token, catalog) = (Some("t".parse().unwrap()), "tv".parse().unwrap());
    BrokerOptions { broker, token, catalog, retry_for_ms: 60_000 }
}

fn options(until: Option<u64>, resume: Option<&Path>) -> TailOptions {
    TailOptions {
        from: StartAt::Start,
        json: true,
        resume: resume.map(Path::to_owned),
        topics: Vec::new(),
        name: "test".into(),
        until: until.and_then(Version::new),
        exit_when_live: until.is_none(),
    }
}

fn held(position: &Position) -> String {
    let Position { epoch, version, hash } = position;
    format!("epoch={epoch}&version={version}&hash={hash}")
}

#[tokio::test]
async fn g5_a_cut_tail_continues_where_it_stopped() {
    let rows = log(3);
    let first = Says(vec![welcome(&rows), changes(&rows, 0, 2)]);
    let second = Stays(vec![welcome(&rows), changes(&rows, 2, 3)]);
    let (url, heard) = broker(vec![first, second]).await;
    run(options(Some(3), None), at(url)).await.unwrap();
    let dialed = heard.dialed.lock().unwrap();
    assert!(dialed[0].starts_with("/v1/catalogs/tv/follow?version=0&name=test"), "{dialed:?}");
    assert!(dialed[1].contains(&held(&rows[1].0)), "{dialed:?}");
}

#[tokio::test]
async fn g3_a_gap_makes_the_tail_connect_again_from_what_it_holds() {
    let rows = log(3);
    let first = Stays(vec![welcome(&rows), changes(&rows, 0, 1), changes(&rows, 2, 3)]);
    let second = Stays(vec![welcome(&rows), changes(&rows, 1, 3)]);
    let (url, heard) = broker(vec![first, second]).await;
    run(options(Some(3), None), at(url)).await.unwrap();
    assert!(heard.dialed.lock().unwrap()[1].contains(&held(&rows[0].0)));
}

#[tokio::test]
async fn the_resume_file_holds_the_position_of_what_was_printed() {
    let rows = log(4);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    let (url, _) = broker(vec![Stays(vec![welcome(&rows), changes(&rows, 0, 3)])]).await;
    run(options(Some(2), Some(&file)), at(url)).await.unwrap();
    assert_eq!(
        resume::read(&file).unwrap(),
        Some(rows[1].0),
        "3 came in the same frame, and was not printed"
    );

    let (url, heard) = broker(vec![Stays(vec![welcome(&rows), changes(&rows, 2, 4)])]).await;
    run(options(Some(4), Some(&file)), at(url)).await.unwrap();
    assert!(heard.dialed.lock().unwrap()[0].contains(&held(&rows[1].0)), "the file comes before --from");
    assert_eq!(resume::read(&file).unwrap(), Some(rows[3].0));
}

#[tokio::test]
async fn every_replayed_page_is_acknowledged() {
    let rows = log(2);
    let live = frame::live(rows[1].0.version);
    let frames = vec![welcome(&rows), changes(&rows, 0, 1), changes(&rows, 1, 2), live];
    let (url, heard) = broker(vec![Stays(frames)]).await;
    run(options(None, None), at(url)).await.unwrap();
    heard.done.notified().await;
    let texts = heard.texts.lock().unwrap().clone();
    assert_eq!(texts, ["ping", r#"{"type":"ack","version":1}"#, r#"{"type":"ack","version":2}"#]);
}

#[tokio::test]
async fn g7_a_reset_moves_the_position() {
    let rows = log(2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    let mut other = rows[1].0;
    other.hash = Hash::genesis(&other.epoch);
    let frames = vec![frame::welcome(&other, Resume::Reset), frame::reset(&other, "another history")];
    let (url, _) = broker(vec![Stays(frames)]).await;
    run(options(Some(2), Some(&file)), at(url)).await.unwrap();
    assert_eq!(resume::read(&file).unwrap(), Some(other));
}

#[tokio::test]
async fn a_broker_that_is_busy_or_broken_is_tried_again() {
    let rows = log(1);
    let whole = Stays(vec![welcome(&rows), changes(&rows, 0, 1)]);
    let (url, heard) = broker(vec![Answers(503), Drops, Answers(429), Closes(close::TOO_SLOW), whole]).await;
    run(options(Some(1), None), at(url)).await.unwrap();
    assert_eq!(heard.dialed.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_broker_that_refuses_is_not_tried_again() {
    for connection in [Answers(401), Answers(404), Closes(close::UNAUTHORIZED)] {
        let (url, heard) = broker(vec![connection]).await;
        let outcome = run(options(Some(1), None), at(url)).await;
        assert!(matches!(outcome, Err(Failure::Refused { .. })), "{outcome:?}");
        assert_eq!(heard.dialed.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_broker_that_was_never_there_is_unreachable_after_a_while() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut at = at(format!("http://{free}").parse().unwrap());
    at.retry_for_ms = 0;
    let outcome = run(options(Some(1), None), at).await;
    assert!(matches!(outcome, Err(Failure::Unreachable { .. })), "{outcome:?}");
}
