//! The tail against a small broker of its own: replay, a cut, the resume file.

use std::sync::{Arc, Mutex};

use newsreel_core::log::Log;
use newsreel_core::wire::frame::{self, Resume};
use newsreel_core::wire::{Epoch, Hash};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;

/// The addresses that were dialed.
type Dialed = Arc<Mutex<Vec<String>>>;

fn log(versions: u64) -> Vec<(Position, String)> {
    let mut log = Log::ending_at(Position::genesis(Epoch::new(UnixMillis(1), [0; 10])));
    let rows = (1..=versions).map(|n| log.append(UnixMillis(n), &format!(r#"[{{"key":"title:{n}"}}]"#)));
    rows.map(|row| (row.position, row.text)).collect()
}

fn changes(rows: &[(Position, String)], from: u64, to: usize) -> String {
    let first = usize::try_from(from).unwrap();
    let texts: Vec<&str> = rows[first..to].iter().map(|(_, text)| text.as_str()).collect();
    frame::changes_text(Version::new(from).unwrap(), &rows[to - 1].0, false, &texts.join(","))
}

/// Says these frames on each connection in turn, and then keeps the last one open.
async fn broker(connections: Vec<Vec<String>>) -> (reqwest::Url, Dialed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let dialed = Dialed::default();
    let noted = Arc::clone(&dialed);
    tokio::spawn(async move {
        let last = connections.len() - 1;
        for (index, frames) in connections.into_iter().enumerate() {
            let (stream, _) = listener.accept().await.unwrap();
            let noted = Arc::clone(&noted);
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let note = move |request: &Request, mut response: Response| {
                noted.lock().unwrap().push(request.uri().to_string());
                response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
                Ok(response)
            };
            let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
            for frame in frames {
                socket.send(Message::text(frame)).await.unwrap();
            }
            if index == last {
                while socket.next().await.is_some_and(|message| message.is_ok()) {}
            }
        }
    });
    (url, dialed)
}

fn options(broker: reqwest::Url, until: u64, resume: Option<PathBuf>) -> Options {
    let broker = BrokerOptions { broker, token: None, catalog: "tv".parse().unwrap() };
    Options {
        broker,
        from: From::Start,
        json: true,
        resume,
        topics: Vec::new(),
        name: "test".into(),
        until: Version::new(until),
        exit_when_live: false,
    }
}

fn welcome(rows: &[(Position, String)]) -> String {
    frame::welcome(&rows.last().unwrap().0, Resume::Replay)
}

#[tokio::test]
async fn g5_a_cut_tail_continues_where_it_stopped() {
    let rows = log(3);
    let first = vec![welcome(&rows), changes(&rows, 0, 2)];
    let second = vec![welcome(&rows), changes(&rows, 2, 3)];
    let (url, dialed) = broker(vec![first, second]).await;
    run(options(url, 3, None)).await.unwrap();
    let dialed = dialed.lock().unwrap();
    assert!(dialed[0].contains("version=0"), "{dialed:?}");
    let Position { epoch, version, hash } = rows[1].0;
    assert!(dialed[1].contains(&format!("epoch={epoch}&version={version}&hash={hash}")), "{dialed:?}");
}

#[tokio::test]
async fn the_resume_file_holds_the_position_of_what_was_printed() {
    let rows = log(3);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    let (url, _) = broker(vec![vec![welcome(&rows), changes(&rows, 0, 2)]]).await;
    run(options(url, 2, Some(file.clone()))).await.unwrap();
    assert_eq!(read_position(&file).unwrap(), Some(rows[1].0));

    let (url, dialed) = broker(vec![vec![welcome(&rows), changes(&rows, 2, 3)]]).await;
    run(options(url, 3, Some(file.clone()))).await.unwrap();
    assert!(dialed.lock().unwrap()[0].contains("version=2"));
    assert_eq!(read_position(&file).unwrap(), Some(rows[2].0));
}

#[tokio::test]
async fn g7_a_reset_moves_the_position() {
    let rows = log(2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    let mut other = rows[1].0;
    other.hash = Hash::genesis(&other.epoch);
    let frames = vec![frame::welcome(&other, Resume::Reset), frame::reset(&other, "another history")];
    let (url, _) = broker(vec![frames]).await;
    run(options(url, 2, Some(file.clone()))).await.unwrap();
    assert_eq!(read_position(&file).unwrap(), Some(other));
}

#[test]
fn a_resume_file_that_is_no_position_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("position");
    std::fs::write(&file, "rubbish").unwrap();
    assert!(read_position(&file).unwrap_err().to_string().contains("remove the file"));
}
