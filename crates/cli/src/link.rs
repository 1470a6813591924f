//! The WebSocket to the broker: being dialed, open, or neither. Reports events and decides nothing.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use newsreel_core::wire::frame::SUBPROTOCOL;
use reqwest::{StatusCode, Url};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::broker::{BROKER, BrokerOptions};
use crate::exit::{Failure, WrongServer};
use crate::http::{CONNECT_TIMEOUT, described, is_html, problem, redirect, redirected};
use crate::proxy::{ConnectError, connect};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Dialing = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

/// How long a text may take to leave before the socket counts as dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest frame: what the platform lets a socket carry.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// The one socket of a follower or a publisher.
pub(crate) enum Link {
    /// No socket, and none on its way.
    Down,
    /// A socket that is opening, to the broker at this address.
    Dialing(Url, Dialing),
    /// An open socket, on which frames are sent and received.
    Up(Box<Socket>),
    /// A socket that broke, with the reason. The next event reports it.
    Broken(String),
}

/// Why a socket did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection did not open in time.
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    /// There is a connection, and no socket on it.
    #[error(transparent)]
    Socket(Box<SocketError>),
}

impl From<SocketError> for DialError {
    fn from(error: SocketError) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// An event of the socket.
pub(crate) enum SocketEvent {
    /// The socket has opened.
    Opened,
    /// A text has arrived.
    Text(String),
    /// The socket has closed, with this code and reason.
    Closed(u16, String),
    /// The socket did not open, and another attempt would fail as well.
    Refused(Failure),
}

impl Link {
    /// Begins to dial an address of the catalog. [`Link::next`] reports the outcome.
    pub(crate) fn dial(at: &BrokerOptions, path: &str) -> Result<Self, Failure> {
        let request = request(at, path)?;
        let server = at.broker.clone();
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let dialing = async move {
            let stream = match timeout(CONNECT_TIMEOUT, connect(&server)).await {
                Ok(stream) => stream?,
                Err(_) => return Err(DialError::TimedOut),
            };
            let (socket, _) = client_async_tls_with_config(request, stream, Some(config), None).await?;
            Ok(socket)
        };
        Ok(Self::Dialing(at.broker.clone(), Box::pin(dialing)))
    }

    /// Waits for an event; for ever when there is no socket. May be dropped and called again: no event is
    /// lost.
    pub(crate) async fn next(&mut self) -> SocketEvent {
        loop {
            let event = match self {
                Self::Down => std::future::pending().await,
                Self::Broken(why) => SocketEvent::Closed(1006, std::mem::take(why)),
                Self::Dialing(server, dialing) => match dialing.await {
                    Ok(socket) => {
                        *self = Self::Up(Box::new(socket));
                        return SocketEvent::Opened;
                    }
                    Err(DialError::Socket(error)) => not_opened(server, *error),
                    Err(error @ (DialError::Connect(_) | DialError::TimedOut)) => {
                        SocketEvent::Closed(1006, error.to_string())
                    }
                },
                Self::Up(socket) => match socket.next().await {
                    Some(Ok(Message::Text(text))) => return SocketEvent::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Close(Some(frame)))) => {
                        SocketEvent::Closed(frame.code.into(), frame.reason.as_str().to_owned())
                    }
                    Some(Ok(Message::Close(None))) | None => SocketEvent::Closed(1005, String::new()),
                    // The library answers pings; the protocol has no binary frames.
                    Some(Ok(
                        Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                    )) => continue,
                    Some(Err(error)) => SocketEvent::Closed(1006, error.to_string()),
                },
            };
            *self = Self::Down;
            return event;
        }
    }

    /// Sends a text. [`Link::next`] reports a failure.
    pub(crate) async fn send(&mut self, text: String) {
        let Self::Up(socket) = self else { return };
        let why = match timeout(SEND_TIMEOUT, socket.send(Message::text(text))).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the broker reads nothing".to_owned(),
        };
        *self = Self::Broken(why);
    }

    /// Sends a close frame if the socket is open, and drops the socket.
    pub(crate) async fn hang_up(&mut self, code: u16, reason: &'static str) {
        if let Self::Up(mut socket) = std::mem::replace(self, Self::Down) {
            let frame = CloseFrame { code: code.into(), reason: reason.into() };
            // The socket is dropped whether or not the broker receives the close frame.
            let _ = timeout(CLOSE_TIMEOUT, (*socket).close(Some(frame))).await;
        }
    }
}

fn request(at: &BrokerOptions, path: &str) -> Result<Request, Failure> {
    let address = at.address();
    // The address is checked to be http or https.
    let address = address.replacen("http", "ws", 1);
    let url = format!("{address}{path}");
    let mut request = url.into_client_request().context("the broker's address")?;
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    if let Some(bearer) = at.bearer()? {
        headers.insert("Authorization", bearer);
    }
    Ok(request)
}

/// Returns the event for a socket that did not open: refused for good, or closed and worth another attempt.
fn not_opened(server: &Url, error: SocketError) -> SocketEvent {
    let refused = |code: String, detail: String| SocketEvent::Refused(Failure::Refused { code, detail });
    let wrong_server = |answered: String| {
        let why = WrongServer { expected: BROKER, answered };
        SocketEvent::Refused(Failure::WrongServer { server: server.to_string(), why })
    };
    match error {
        SocketError::Http(answer) => {
            let status = answer.status();
            if let Some(to) = redirect(status, answer.headers(), server) {
                return SocketEvent::Refused(redirected(server, server, &to));
            }
            if status.is_success() || (is_html(answer.headers()) && !status.is_server_error()) {
                return wrong_server(described(status, answer.headers()));
            }
            let (code, detail) = match (answer.body().as_deref().unwrap_or_default(), status) {
                // The library hands on only as much of the body as came together with the head.
                ([], StatusCode::UNAUTHORIZED) => ("unauthorized".to_owned(), "no valid token".to_owned()),
                ([], StatusCode::FORBIDDEN) => {
                    ("forbidden".to_owned(), "the token does not allow it".to_owned())
                }
                ([], _) => (status.as_u16().to_string(), status.to_string()),
                (body, _) => problem(status, body),
            };
            let passing = status.is_server_error()
                || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            if passing {
                SocketEvent::Closed(1006, format!("{code}: {detail}"))
            } else {
                refused(code, detail)
            }
        }
        // Any other breach of the protocol may be a broker that went down in the middle of its answer.
        SocketError::Protocol(
            why @ (ProtocolError::SecWebSocketSubProtocolError(_)
            | ProtocolError::SecWebSocketAcceptKeyMismatch
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingConnectionUpgradeHeader),
        ) => wrong_server(format!("a socket that does not speak {SUBPROTOCOL} ({why})")),
        SocketError::Url(why) => refused("bad-address".to_owned(), why.to_string()),
        other @ (SocketError::Protocol(_)
        | SocketError::ConnectionClosed
        | SocketError::AlreadyClosed
        | SocketError::Io(_)
        | SocketError::Tls(_)
        | SocketError::Capacity(_)
        | SocketError::WriteBufferFull(_)
        | SocketError::Utf8(_)
        | SocketError::AttackAttempt
        | SocketError::HttpFormat(_)) => SocketEvent::Closed(1006, other.to_string()),
    }
}
