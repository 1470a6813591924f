//! Real sockets of the real object, inside workerd: which sessions outlive its sleep, and
//! which followers are gone.

use futures_util::StreamExt;
use newsreel_core::follow::hub::{Session, SessionId};
use newsreel_core::wire::frame::FRAME_BYTES;
use newsreel_in_workerd::{self as workerd, in_object};
use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test as test;
use worker::{EventStream, Headers, Method, Request, RequestInit, WebSocket, WebSocketPair, WebsocketEvent};

use super::Sockets;
use crate::js::{attach, attached};
use crate::tags::{SocketTag, tag_of};

const CATALOG: &str = "tv";

/// A follower's end of a socket.
struct Follower<'a> {
    socket: &'a WebSocket,
    events: EventStream<'a>,
}

impl Follower<'_> {
    /// Waits for the next frame that is no pong, and returns it.
    async fn frame(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    async fn text(&mut self) -> String {
        match self.events.next().await.expect("the socket is open").unwrap() {
            WebsocketEvent::Message(message) => message.text().expect("frames are texts"),
            WebsocketEvent::Close(close) => panic!("closed: {} {}", close.code(), close.reason()),
        }
    }

    /// Waits for the frame that says that the follower is live.
    async fn live(&mut self) {
        while self.frame().await["type"] != "live" {}
    }
}

async fn call(method: Method, path: &str, body: Option<&str>) -> Value {
    let mut init = RequestInit::new();
    init.with_method(method).with_body(body.map(Into::into));
    let url = format!("https://broker/v1/catalogs/{CATALOG}{path}");
    let request = Request::new_with_init(&url, &init).unwrap();
    let mut response = workerd::fetch("Broker", CATALOG, request).await;
    assert_eq!(response.status_code(), 200, "{}", response.text().await.unwrap());
    response.json().await.unwrap()
}

async fn publish(key: &str) {
    call(Method::Post, "/changes", Some(&format!(r#"{{"key":"{key}"}}"#))).await;
}

async fn open(query: &str) -> WebSocket {
    let headers = Headers::new();
    headers.set("Upgrade", "websocket").unwrap();
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let url = format!("https://broker/v1/catalogs/{CATALOG}/follow{query}");
    let request = Request::new_with_init(&url, &init).unwrap();
    workerd::fetch("Broker", CATALOG, request).await.websocket().expect("a socket")
}

fn listen(socket: &WebSocket) -> Follower<'_> {
    let events = socket.events().unwrap();
    socket.accept().unwrap();
    Follower { socket, events }
}

#[test]
async fn a_session_outlives_the_sleep_of_its_object_with_all_its_topics() {
    // As much as a follower may ask for: 32 topics of 4 KiB together.
    let topics: String = (0..32).map(|nth| format!("&topic=t{nth:02}:{}", "x".repeat(124))).collect();
    let (all, some) = (open("?name=all").await, open(&format!("?name=some{topics}")).await);
    let (mut all, mut some) = (listen(&all), listen(&some));
    all.live().await;
    some.live().await;
    assert_eq!(some.frame().await["type"], "head", "a filtered follower is told where it stands");
    workerd::evict("Broker", CATALOG, workerd::Sockets::Hibernate).await;
    publish("other:1").await;
    publish(&format!("t31:{}", "x".repeat(124))).await;
    assert_eq!(all.frame().await["to"], 1);
    assert_eq!(all.frame().await["to"], 2);
    let frame = some.frame().await;
    assert_eq!((&frame["from"], &frame["to"]), (&Value::from(0), &Value::from(2)), "{frame}");
    assert_eq!(frame["versions"].as_array().unwrap().len(), 1);
    let followers = call(Method::Get, "/followers", None).await;
    let names: Vec<_> = followers["followers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["all", "some"]);
}

#[test]
async fn an_ack_is_in_the_attachment_and_a_ping_is_answered_in_its_sleep() {
    let socket = open("?name=one").await;
    let mut follower = listen(&socket);
    follower.live().await;
    publish("title:1").await;
    follower.frame().await;
    follower.socket.send_with_str(r#"{"type":"ack","version":1}"#).unwrap();
    // An ack has no answer; a frame that comes later has been read after it.
    publish("title:2").await;
    follower.frame().await;
    workerd::evict("Broker", CATALOG, workerd::Sockets::Hibernate).await;
    follower.socket.send_with_str("ping").unwrap();
    assert!(follower.text().await.contains(":2:"), "the pong is the head");
    let one = call(Method::Get, "/followers", None).await["followers"][0].clone();
    assert_eq!((&one["acked"], &one["lag"]), (&Value::from(1), &Value::from(1)));
    assert!(one["last_ping"].as_u64() >= one["since"].as_u64(), "{one}");
}

#[test]
async fn a_follower_that_left_without_a_word_stops_no_other() {
    let (gone, there) = (open("?name=gone").await, open("?name=there").await);
    let mut there = listen(&there);
    there.live().await;
    {
        let mut gone = listen(&gone);
        gone.live().await;
        gone.socket.close(Some(1000), None::<&str>).unwrap();
    }
    publish("title:1").await;
    assert_eq!(there.frame().await["to"], 1);
    let followers = call(Method::Get, "/followers", None).await;
    assert_eq!(followers["followers"].as_array().unwrap().len(), 1, "{followers}");
}

#[test]
async fn an_object_that_the_platform_moves_resumes_its_followers() {
    let socket = open("").await;
    let mut follower = listen(&socket);
    let epoch = follower.frame().await["epoch"].clone();
    publish("title:1").await;
    workerd::evict("Broker", CATALOG, workerd::Sockets::Close).await;
    publish("title:2").await;
    let epoch = epoch.as_str().unwrap();
    let again = open(&format!("?epoch={epoch}&version=0")).await;
    let mut again = listen(&again);
    assert_eq!(again.frame().await["resume"], "replay");
    let page = again.frame().await;
    assert_eq!((&page["from"], &page["to"]), (&Value::from(0), &Value::from(2)));
}

#[test]
async fn a_socket_keeps_its_tag_and_an_attachment_of_16_kib_and_no_more() {
    in_object("attachments", async |state| {
        let pair = WebSocketPair::new().unwrap();
        let sockets = Sockets::wake(&state);
        sockets.accept(&state, SessionId(7), pair.server.clone());
        pair.client.accept().unwrap();
        assert_eq!(tag_of(&state, &pair.server), Some(SocketTag::Follower(SessionId(7))));
        let text = "x".repeat(16_000);
        attach(&pair.server, Some(&text)).unwrap();
        assert!(attach(&pair.server, Some(&"x".repeat(17_000))).is_err());
        let held = state.get_websockets();
        assert_eq!((held.len(), attached(&held[0])), (1, Some(text)), "what fitted is still there");
        attach(&pair.server, None).unwrap();
        assert_eq!(attached(&held[0]), None);
        assert!(Sockets::wake(&state).sessions().is_empty(), "without a session it is closed");
    })
    .await;
}

#[test]
async fn a_socket_that_is_closed_takes_no_frame_and_says_nothing_of_it() {
    in_object("dead", async |state| {
        let sockets = Sockets::wake(&state);
        let pair = WebSocketPair::new().unwrap();
        sockets.accept(&state, SessionId(1), pair.server.clone());
        pair.client.accept().unwrap();
        pair.server.close(Some(1000), Some("done")).unwrap();
        sockets.broadcast(&[SessionId(1), SessionId(2)], &"x".repeat(FRAME_BYTES));
        sockets.close(SessionId(1), 4010, "again");
        assert!(!sockets.forget(SessionId(1), &pair.server), "it is forgotten already");
    })
    .await;
}

#[test]
async fn sockets_that_slept_through_a_deploy_are_found_with_what_the_first_release_attached() {
    in_object("v1", async |state| {
        let attachments: Vec<&str> =
            include_str!("../../../../core/tests/attachments/v1.jsonl").lines().collect();
        let sockets = Sockets::wake(&state);
        for (id, attachment) in (1..).zip(&attachments) {
            let pair = WebSocketPair::new().unwrap();
            sockets.accept(&state, SessionId(id), pair.server.clone());
            pair.client.accept().unwrap();
            attach(&pair.server, Some(attachment)).unwrap();
        }
        let found = Sockets::wake(&state).sessions();
        assert_eq!(found.values().map(Session::to_json).collect::<Vec<_>>(), attachments);
        // A socket whose attachment cannot be read is closed, and its follower resumes.
        attach(&state.get_websockets()[0], Some("of tomorrow")).unwrap();
        assert_eq!(Sockets::wake(&state).sessions().len(), attachments.len() - 1);
    })
    .await;
}
