//! Hears the messages of channels. Pub/Sub forgets whoever is away, so each connection begins with a wide change.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Msg, PushInfo, PushKind, RedisError, Value, cmd};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Inputs;
use super::connect::Server;
use super::event::{ChannelMessage, Event};
use crate::source::watch::now_millis;

/// How many messages may wait for the loop. What comes above them is missed, and published wide.
const WAITING: usize = 100_000;
/// The most messages of one event.
const MAX_MESSAGES: usize = 500;
/// How often the connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Hears until the connection breaks.
pub(super) async fn run(
    server: &Server,
    inputs: &Inputs,
    is_resynced: bool,
    events: &mpsc::Sender<Event>,
) -> Result<Infallible, RedisError> {
    let (sender, mut pushed) = mpsc::channel(WAITING);
    let missed = Arc::new(AtomicBool::new(false));
    let has_missed = Arc::clone(&missed);
    let push = move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            return Ok(());
        }
        let Some(message) = message(push) else { return Ok(()) };
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(message) {
            has_missed.store(true, Ordering::Relaxed);
        }
        Ok::<(), std::fmt::Error>(())
    };
    let mut connection = server.connect_pushing(push).await?;
    for channel in &inputs.channels {
        connection.subscribe(channel).await?;
    }
    for pattern in &inputs.patterns {
        connection.psubscribe(pattern).await?;
    }
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
                    return Err((redis::ErrorKind::Io, "the connection of Pub/Sub was lost").into());
                }
            }
            permit = events.reserve(), if !messages.is_empty() => {
                if let Ok(permit) = permit {
                    permit.send(Event::Messages(std::mem::take(&mut messages)));
                }
            }
            _ = ping.tick() => {
                cmd("PING").query_async::<Value>(&mut connection).await?;
            }
        }
        if messages.is_empty() && missed.swap(false, Ordering::Relaxed) {
            let why = "more messages came than the broker takes";
            let _ = events.send(Event::Missed { why }).await;
        }
    }
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
