//! A real socket inside workerd.

use std::cell::RefCell;

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use wasm_bindgen_test::wasm_bindgen_test as test;
use worker::{WebSocketPair, WebsocketEvent};

use super::{SocketEvent, listen};

#[test]
async fn a_message_that_comes_after_the_listener_is_gone_panics_nowhere() {
    let pair = WebSocketPair::new().unwrap();
    pair.server.accept().unwrap();
    let texts = RefCell::new(Vec::new());
    let (sender, mut received) = mpsc::unbounded();
    let listening = Box::pin(listen(&pair.client, |event| {
        if let SocketEvent::Text(text) = event {
            texts.borrow_mut().push(text);
            sender.unbounded_send(()).unwrap();
        }
    }));
    pair.server.send_with_str("first").unwrap();
    match select(listening, received.next()).await {
        Either::Left(_) => panic!("the socket is open"),
        // The listener is dropped as it waits for the next event.
        Either::Right((_, listening)) => drop(listening),
    }
    let mut later = pair.client.events().unwrap();
    pair.server.send_with_str("second").unwrap();
    let Some(Ok(WebsocketEvent::Message(message))) = later.next().await else { panic!("it is a message") };
    assert_eq!(message.text().as_deref(), Some("second"));
    assert_eq!(*texts.borrow(), ["first"]);
}
