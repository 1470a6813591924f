//! Clients of the servers: HTTP, WebSockets, and the plain protocols of Redis and NATS.

use std::io::Result;

use tokio::net::TcpStream;

pub(crate) mod http;
pub(crate) mod nats;
pub(crate) mod redis;
pub(crate) mod socket;

/// Connects to a server on 127.0.0.1. What is written leaves at once.
async fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
