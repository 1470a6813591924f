//! The proxy of the environment: which connections go through one, and how a socket does.
//!
//! `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are read by the rules that the HTTP client goes
//! by, so every command treats them alike. A connection to this machine itself never goes through a proxy.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use tokio::net::TcpStream;
use tower_service::Service as _;

use crate::exit::innermost;

/// Why there is no connection to a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The server itself cannot be reached.
    #[error(transparent)]
    Server(#[from] io::Error),
    /// The proxy cannot be reached, or does not connect to the server.
    #[error("the proxy {proxy} does not connect to {host}:{port} ({why})")]
    Proxy {
        /// The address of the proxy.
        proxy: String,
        /// The host of the server.
        host: String,
        /// The port of the server.
        port: u16,
        /// The proxy's answer, or what went wrong before there was one.
        why: String,
    },
}

/// Says whether a server is on this machine.
pub(crate) fn is_here(server: &Url) -> bool {
    let host = host_of(server);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Opens a connection to a server, through the proxy of the environment if there is one for it.
pub(crate) async fn connect(server: &Url) -> Result<TcpStream, ConnectError> {
    let (host, port) = (host_of(server), server.port_or_known_default().unwrap_or(80));
    let stream = match proxy_for(server) {
        None => TcpStream::connect((host, port)).await?,
        Some(proxy) => through(&proxy, server.host_str().unwrap_or_default(), port).await?,
    };
    // Frames are small and each is answered: none waits for another.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn host_of(server: &Url) -> &str {
    server.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

fn proxy_for(server: &Url) -> Option<Intercept> {
    let server = Some(server).filter(|server| !is_here(server))?;
    // The system's own settings are those of the HTTP client too.
    Matcher::from_system().intercept(&server.as_str().parse().ok()?)
}

/// Opens a tunnel through a proxy, by `CONNECT`.
async fn through(proxy: &Intercept, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let failed = |error: &(dyn Error + 'static)| ConnectError::Proxy {
        proxy: proxy.uri().to_string().trim_end_matches('/').to_owned(),
        host: host.to_owned(),
        port,
        why: innermost(error),
    };
    let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    let target = format!("http://{host}:{port}")
        .parse()
        .map_err(|error: axum::http::uri::InvalidUri| failed(&error))?;
    let tunnel = tunnel.call(target).await.map_err(|error| failed(&error))?;
    Ok(tunnel.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_needs_no_proxy() {
        for here in ["http://localhost:1", "http://127.0.0.1:1/x", "http://[::1]:1"] {
            assert!(is_here(&here.parse().unwrap()), "{here}");
        }
        assert!(!is_here(&"https://example.com".parse().unwrap()));
    }
}
