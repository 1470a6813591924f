//! The follow window: for up to 25 s a reader's isolate is told of floors as the replica learns them.
//!
//! A request opens it and `wait_until` holds it; what comes in changes plain isolate state, so that every
//! request of the isolate sees a publish milliseconds after the replica did and none has to ask. Both ends are
//! here: [`follow`] in the reader, [`Windows`] in the replica.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use newsreel_core::read::sync::{Anchor, Applied, Ask, Look, Reply};
use newsreel_core::wire::{Catalog, UnixMillis};
use worker::{Delay, Headers, Request, Response, Result, State, WebSocket, WebSocketPair, WebsocketEvent};

use crate::now;
use crate::reader::context::Place;
use crate::reader::metrics;
use crate::reader::sync::{reader, replica, take_turn};
use crate::replica::broker_socket;

/// How long a window stays open. `wait_until` ends a request 30 s after its response.
const OPEN_FOR: Duration = Duration::from_secs(25);
/// How long after one that could not be opened no other is tried.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The header that carries the question with which a window opens.
const ASK: &str = "Newsreel-Ask";
/// The tag of the replica's ends.
const TAG: &str = "window";

/// Says whether a window should open, and if so keeps other requests from opening one too.
pub(crate) fn may_open(catalog: &Catalog) -> bool {
    take_turn(catalog, |reader| &mut reader.window_until, OPEN_FOR)
}

/// Opens a window and listens until it closes; for `wait_until`.
///
/// # Errors
/// When the replica cannot be reached. The next read may try again.
pub(crate) async fn follow(place: &Place) -> Result<()> {
    let outcome = listen(place).await;
    let again = if outcome.is_ok() { UnixMillis(0) } else { now().plus(AFTER_ERROR) };
    reader(&place.catalog, |reader| reader.window_until = again);
    outcome
}

async fn listen(place: &Place) -> Result<()> {
    let catalog = &place.catalog;
    let ask = reader(catalog, |reader| reader.known.ask(OPEN_FOR, None, Look::default()));
    let headers = Headers::new();
    headers.set("Upgrade", "websocket")?;
    headers.set(ASK, &serde_json::to_string(&ask)?)?;
    let sent_at = now();
    let request = broker_socket::get("https://replica/window", &headers)?;
    let response = replica(&place.env, catalog, &place.edge)?.fetch_with_request(request).await?;
    let socket = response.websocket().ok_or("the replica opened no window")?;
    let mut anchor: Option<Anchor> = None;
    {
        let mut events = socket.events()?;
        socket.accept()?;
        let mut end = Box::pin(Delay::from(OPEN_FOR));
        while let Either::Left((Some(Ok(WebsocketEvent::Message(message))), _)) =
            select(events.next(), &mut end).await
        {
            let (said_at, reply) = heard(&message.text().unwrap_or_default())?;
            let anchor = anchor.get_or_insert(Anchor { sent_at, answered_at: said_at });
            // What would leave a hole, or cannot be dated, ends the window; the next read opens another.
            let Some(dated) = anchor.dated(said_at, now()) else { break };
            if reader(catalog, |reader| reader.known.apply(dated, reply)) == Applied::Ignored {
                break;
            }
            if let Some(report) = metrics::due(place) {
                socket.send_with_str(report)?;
            }
        }
    }
    if let Some(report) = metrics::report(place) {
        socket.send_with_str(report)?;
    }
    // A window that its replica has closed already has nothing left to close.
    let _ = socket.close(Some(1000), Some("enough"));
    Ok(())
}

/// The replica's ends of all windows open on it.
pub(crate) struct Windows<'a>(pub(crate) &'a State);

impl Windows<'_> {
    /// Returns the question a request opens a window with; `None` when it opens none.
    pub(crate) fn asked(request: &Request) -> Result<Option<Ask>> {
        let Some(ask) = request.headers().get(ASK)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&ask)?))
    }

    /// Opens a window that begins with this reply.
    pub(crate) fn open(&self, reply: &str) -> Result<Response> {
        let pair = WebSocketPair::new()?;
        self.0.accept_websocket_with_tags(&pair.server, &[TAG]);
        pair.server.send_with_str(said(reply))?;
        Response::from_websocket(pair.client)
    }

    /// Says whether nobody listens.
    pub(crate) fn none_open(&self) -> bool {
        self.all().is_empty()
    }

    /// Tells every window a reply.
    pub(crate) fn tell(&self, reply: &str) {
        let text = said(reply);
        for socket in self.all() {
            // A window that is closing needs to hear no more; its reader opens another.
            let _ = socket.send_with_str(&text);
        }
    }

    fn all(&self) -> Vec<WebSocket> {
        self.0.get_websockets_with_tag(TAG)
    }
}

/// Writes a message of a window: the replica's time, a line break, the reply.
fn said(reply: &str) -> String {
    format!("{}\n{reply}", now().0)
}

fn heard(message: &str) -> Result<(UnixMillis, Reply)> {
    let (said_at, reply) = message.split_once('\n').ok_or("a window's message has a time and a reply")?;
    let said_at = said_at.parse().map_err(|_| "a window's message begins with a time")?;
    Ok((UnixMillis(said_at), serde_json::from_str(reply)?))
}
