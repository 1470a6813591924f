//! WebSockets of Newsreel's protocol: a follower and a publisher. The JavaScript object speaks enough of it for both.

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::connect;
use super::http::TOKEN;

/// How much of a frame is looked at for its head: type, versions, hash and the wish for an ack stand there.
const HEAD_BYTES: usize = 220;

/// An open WebSocket that carries texts.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens a socket as a server wants it that does not speak Newsreel's protocol.
    pub(crate) async fn plain(port: u16, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Self(tokio_tungstenite::client_async(format!("ws://127.0.0.1:{port}{path}"), stream).await?.0))
    }

    pub(crate) async fn open(port: u16, path: &str) -> Result<Self> {
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
        let offered = format!("newsreel.v1, newsreel.bearer.{}", BASE64_URL_SAFE_NO_PAD.encode(TOKEN));
        request.headers_mut().insert("sec-websocket-protocol", offered.parse()?);
        let stream = connect(port).await?;
        Ok(Self(tokio_tungstenite::client_async(request, stream).await?.0))
    }

    pub(crate) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<()> {
        Ok(self.0.send(Message::text(text)).await?)
    }

    /// Waits for the next text. The end of the socket is an error here.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the server closed the socket")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => bail!("the server closed the socket: {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

/// A follower of a log: applies nothing, counts versions, and acknowledges as the protocol wants.
pub(crate) struct SocketFollower {
    socket: Socket,
    at: u64,
    is_live: bool,
}

impl SocketFollower {
    /// Connects, from the head or from a position (the query of the address), and waits for the first frame.
    pub(crate) async fn open(port: u16, catalog: &str, position: &str) -> Result<Self> {
        let path = format!("/v1/catalogs/{catalog}/follow?{position}");
        let mut socket = Socket::open(port, &path).await?;
        let welcome = socket.next().await?;
        let head = number_after(&welcome, "\"head\":")
            .with_context(|| format!("the first frame is no welcome: {welcome}"))?;
        // A follower that resumes does so at the head here.
        let at = if position == "version=0" { 0 } else { head };
        Ok(Self { socket, at, is_live: false })
    }

    /// Waits for the next frame. Returns how many versions further the follower is.
    pub(crate) async fn next(&mut self) -> Result<u64> {
        let frame = self.socket.next().await?;
        let head = head_of(&frame);
        if head.contains("\"type\":\"live\"") {
            self.is_live = true;
            return Ok(0);
        }
        let Some(to) = number_after(head, "\"to\":") else {
            return Ok(0);
        };
        if !self.is_live || head.contains("\"ack\":true") {
            self.socket.send(format!("{{\"type\":\"ack\",\"version\":{to}}}")).await?;
        }
        // Several pages of a fold end at the same version.
        let gained = to.saturating_sub(self.at);
        self.at = self.at.max(to);
        Ok(gained)
    }

    /// Waits until the broker says that the follower has caught up.
    pub(crate) async fn until_live(&mut self) -> Result<()> {
        while !self.is_live {
            self.next().await?;
        }
        Ok(())
    }
}

/// A publisher over a socket, with many texts under way.
pub(crate) struct SocketPublisher(Socket);

impl SocketPublisher {
    pub(crate) async fn open(port: u16, catalog: &str) -> Result<Self> {
        Ok(Self(Socket::open(port, &format!("/v1/catalogs/{catalog}/publish")).await?))
    }

    /// Queues a text without flushing it to the network.
    pub(crate) async fn feed(&mut self, text: String) -> Result<()> {
        Ok(self.0.0.feed(Message::text(text)).await?)
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.0.0.flush().await?)
    }

    /// Waits for the next frame of answers. Returns how many it had; a refusal is an error.
    pub(crate) async fn answers(&mut self) -> Result<u64> {
        let frame = self.0.next().await?;
        let answered = u64::try_from(frame.matches("\"catalog\":").count())?;
        if answered == 0 || frame.contains("urn:newsreel:problem") {
            bail!("a publish was refused: {}", head_of(&frame));
        }
        Ok(answered)
    }
}

/// Returns the beginning of a frame, cut at a character.
fn head_of(frame: &str) -> &str {
    let mut end = frame.len().min(HEAD_BYTES);
    while !frame.is_char_boundary(end) {
        end -= 1;
    }
    frame.get(..end).unwrap_or(frame)
}

/// Reads the number after the first place of a name.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_a_frame_stand_in_its_head() {
        let frame =
            r#"{"type":"changes","from":46,"to":48,"hash":"68af3c045ca45573","ack":true,"versions":[]}"#;
        assert_eq!(number_after(head_of(frame), "\"to\":"), Some(48));
        assert_eq!(number_after(r#"{"type":"live","version":7}"#, "\"to\":"), None);
    }

    #[test]
    fn the_head_of_a_long_frame_ends_between_characters() {
        let frame = "é".repeat(HEAD_BYTES);
        assert_eq!(head_of(&frame).len(), HEAD_BYTES);
        assert_eq!(head_of(&format!("x{frame}")).len(), HEAD_BYTES - 1);
    }
}
