//! The replica's socket to the broker: dials it, and hands its events on.

use futures_util::StreamExt as _;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Catalog, internal_headers};
use worker::{Env, Headers, Response, Result, WebSocket, WebsocketEvent};

use crate::broker;
use crate::config::Config;

/// Opens a socket to the broker, this deployment's or the one that `BROKER_URL` names.
///
/// # Errors
/// When the broker does not answer, or answers with something else than a socket; the text says which.
pub(crate) async fn dial(
    env: &Env,
    config: &Config,
    catalog: &Catalog,
    query: &FollowQuery,
) -> Result<WebSocket> {
    let headers = Headers::new();
    headers.set("Upgrade", "websocket")?;
    headers.set("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
    headers.set(internal_headers::REPLICA, "1")?;
    let path = format!("/v1/catalogs/{catalog}/follow{}", query.to_query());
    let mut response = broker::ask(env, config, catalog, &query.name, &path, &headers).await?;
    if response.status_code() != 101 {
        return Err(refused(&mut response).await);
    }
    response.websocket().ok_or_else(|| "the broker answered 101 without a socket".into())
}

/// Hands every text and at last the close code to `on_event`. Must be polled before the broker sends anything.
pub(crate) async fn listen(socket: &WebSocket, mut on_event: impl FnMut(SocketEvent)) -> Result<()> {
    let mut events = socket.events()?;
    socket.accept()?;
    on_event(SocketEvent::Opened);
    while let Some(event) = events.next().await {
        match event {
            Ok(WebsocketEvent::Message(message)) => {
                on_event(SocketEvent::Text(message.text().unwrap_or_default()))
            }
            Ok(WebsocketEvent::Close(close)) => {
                on_event(SocketEvent::Closed(close.code()));
                return Ok(());
            }
            Err(_) => break,
        }
    }
    on_event(SocketEvent::Closed(1006));
    Ok(())
}

/// An event of the socket to the broker.
pub(crate) enum SocketEvent {
    /// The socket is accepted; every later event is heard.
    Opened,
    /// The broker sent a text; a binary message counts as an empty one.
    Text(String),
    /// The socket closed with this code, or broke (1006); no event follows.
    Closed(u16),
}

async fn refused(response: &mut Response) -> worker::Error {
    let status = response.status_code();
    if let Ok(Some(location)) = response.headers().get("Location") {
        return format!("the broker answered {status}, a redirect, which is not followed, to {location:?}")
            .into();
    }
    let body = response.text().await.unwrap_or_default();
    format!("the broker refused to be followed: {status} {body}").into()
}

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;
