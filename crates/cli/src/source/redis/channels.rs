//! Hears the messages of channels. Pub/Sub forgets whoever is away, so each connection begins with a wide change.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Msg, PushInfo, RedisError, Value, cmd};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Inputs;
use super::connect::Server;
use super::event::{ChannelMessage, Event};
use crate::source::watch::now_millis;

/// How many messages may wait for the loop, and how many bytes of them. More are missed, and published wide.
const WAITING: usize = 100_000;
const WAITING_BYTES: usize = 64 << 20;
/// The most messages of one event.
const MAX_MESSAGES: usize = 500;
/// How often the connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(5);

/// What the connection and the loop both know of the messages between them.
#[derive(Debug, Default)]
struct Between {
    bytes: AtomicUsize,
    /// Whether a message found no room.
    missed: AtomicBool,
}

impl Between {
    /// Takes a message that was pushed, if there is room.
    fn push(&self, to: &mpsc::Sender<ChannelMessage>, message: ChannelMessage) {
        let size = message.payload.len();
        let has_room = self.bytes.fetch_add(size, Ordering::Relaxed) < WAITING_BYTES;
        if !has_room || to.try_send(message).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            self.missed.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that messages have gone on.
    fn gone(&self, messages: &[ChannelMessage]) {
        let size = messages.iter().map(|message| message.payload.len()).sum();
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }

    fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }
}

/// Hears until the connection breaks.
pub(super) async fn run(
    server: &Server,
    inputs: &Inputs,
    is_resynced: bool,
    events: &mpsc::Sender<Event>,
) -> Result<Infallible, RedisError> {
    let (sender, mut pushed) = mpsc::channel(WAITING);
    let between = Arc::new(Between::default());
    let filled = Arc::clone(&between);
    let push = move |push: PushInfo| {
        if let Some(message) = message(push) {
            filled.push(&sender, message);
        }
        Ok::<(), fmt::Error>(())
    };
    let mut connection = server.connect_pushing(push).await?;
    subscribe(&mut connection, inputs).await?;
    if is_resynced {
        // Behind the subscriptions: what is sent from here on is heard.
        let why = "Pub/Sub keeps nothing for whoever is away";
        let _ = events.send(Event::Missed { why }).await;
    }
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = Vec::new();
    loop {
        tokio::select! {
            count = pushed.recv_many(&mut messages, MAX_MESSAGES), if messages.is_empty() => {
                if count == 0 {
                    return Err((redis::ErrorKind::Io, "the connection was lost").into());
                }
            }
            permit = events.reserve(), if !messages.is_empty() => {
                let messages = std::mem::take(&mut messages);
                between.gone(&messages);
                if let Ok(permit) = permit {
                    permit.send(Event::Messages(messages));
                }
            }
            _ = ping.tick() => {
                cmd("PING").query_async::<Value>(&mut connection).await?;
            }
        }
        if messages.is_empty() && between.take_missed() {
            let why = "more messages came than the broker takes";
            let _ = events.send(Event::Missed { why }).await;
        }
    }
}

async fn subscribe(connection: &mut MultiplexedConnection, inputs: &Inputs) -> Result<(), RedisError> {
    for channel in &inputs.channels {
        connection.subscribe(channel).await?;
    }
    for pattern in &inputs.patterns {
        connection.psubscribe(pattern).await?;
    }
    Ok(())
}

/// Returns the message of a push; `None` for an answer to a subscription.
fn message(push: PushInfo) -> Option<ChannelMessage> {
    let message = Msg::from_push_info(push)?;
    let channel: Vec<u8> = message.get_channel().ok()?;
    Some(ChannelMessage {
        channel: String::from_utf8_lossy(&channel).into_owned(),
        payload: message.get_payload_bytes().to_vec(),
        at: now_millis(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(bytes: usize) -> ChannelMessage {
        ChannelMessage { channel: "c".to_owned(), payload: vec![0; bytes], at: 0 }
    }

    #[test]
    fn more_messages_or_bytes_than_there_is_room_for_are_missed_once() {
        let (sender, mut pushed) = mpsc::channel(2);
        let between = Between::default();
        between.push(&sender, message_of(WAITING_BYTES));
        assert!(!between.take_missed());
        between.push(&sender, message_of(1));
        assert!(between.take_missed(), "no room for its bytes");
        assert!(!between.take_missed());
        let first = pushed.try_recv().unwrap();
        between.gone(&[first]);
        (0..2).for_each(|_| between.push(&sender, message_of(1)));
        assert!(!between.take_missed());
        between.push(&sender, message_of(1));
        assert!(between.take_missed(), "no room for another one");
        assert_eq!(between.bytes.load(Ordering::Relaxed), 2);
    }
}
