//! The reader's end of a follow window: for up to 25 s the isolate is told of floors as its replica learns them.
//!
//! A request opens the window and `wait_until` holds it. Each message changes plain isolate state, so every request of
//! the isolate sees a publish milliseconds after the replica did, and none has to ask.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use newsreel_core::read::sync::{Anchor, Applied, FloorLookup};
use newsreel_core::wire::{Catalog, UnixMillis};
use worker::{Delay, Headers, Result, WebsocketEvent};

use crate::clock::now;
use crate::http;
use crate::protocol::{WINDOW_ASK, WINDOW_URL, WindowMessage};
use crate::reader::context::ReadContext;
use crate::reader::metrics;
use crate::reader::state::{reader, take_turn};
use crate::reader::sync::replica;

/// How long a window stays open. `wait_until` ends a request 30 s after its response.
const OPEN_FOR: Duration = Duration::from_secs(25);
/// The back-off after a window that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Says whether a window should open, and if so keeps other requests from opening one too.
pub(crate) fn may_open(catalog: &Catalog) -> bool {
    take_turn(catalog, |reader| &mut reader.window_until, OPEN_FOR)
}

/// Opens a window and listens until it closes; for `wait_until`.
///
/// # Errors
/// When the replica cannot be reached. The next read may try again.
pub(crate) async fn follow(context: &ReadContext) -> Result<()> {
    let outcome = listen(context).await;
    let again = if outcome.is_ok() { UnixMillis(0) } else { now().plus(AFTER_ERROR) };
    reader(&context.catalog, |reader| reader.window_until = again);
    outcome
}

async fn listen(context: &ReadContext) -> Result<()> {
    let catalog = &context.catalog;
    let ask = reader(catalog, |reader| reader.known.ask(OPEN_FOR, None, FloorLookup::default()));
    let headers = Headers::new();
    headers.set("Upgrade", "websocket")?;
    headers.set(WINDOW_ASK, &serde_json::to_string(&ask)?)?;
    let sent_at = now();
    let request = http::get(WINDOW_URL, &headers)?;
    let response = replica(&context.env, catalog, &context.edge)?.fetch_with_request(request).await?;
    let socket = response.websocket().ok_or("the replica opened no window")?;
    let mut anchor: Option<Anchor> = None;
    {
        let mut events = socket.events()?;
        socket.accept()?;
        let mut end = Box::pin(Delay::from(OPEN_FOR));
        while let Either::Left((Some(Ok(WebsocketEvent::Message(message))), _)) =
            select(events.next(), &mut end).await
        {
            let WindowMessage { said_at, mut reply } =
                WindowMessage::parse(&message.text().unwrap_or_default())?;
            let anchor = anchor.get_or_insert(Anchor { sent_at, answered_at: said_at });
            // A reply that would leave a hole in the floors, or that cannot be dated, ends the window. The
            // next read opens another.
            let Some(dated) = anchor.dated(said_at, now()) else { break };
            let applied = reader(catalog, |reader| {
                reader.traces.learn(reply.position.epoch, std::mem::take(&mut reply.traces));
                let applied = reader.known.apply(dated, reply);
                reader.note_heard(now());
                applied
            });
            if applied == Applied::Ignored {
                break;
            }
            if let Some(report) = metrics::due(context) {
                socket.send_with_str(report)?;
            }
        }
    }
    if let Some(report) = metrics::report(context) {
        socket.send_with_str(report)?;
    }
    // A window that its replica has closed already has nothing left to close.
    let _ = socket.close(Some(1000), Some("enough"));
    Ok(())
}
