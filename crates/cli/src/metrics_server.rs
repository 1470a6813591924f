//! The address that Prometheus reads a command's metrics at.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::exit::{Failure, note};

/// The content type of the OpenMetrics text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics that a command serves while it runs.
pub(crate) trait Served: Send + Sync + 'static {
    /// Returns the registry that holds every metric of the command.
    fn registry(&self) -> &Registry;

    /// Returns the answer of `/healthz`.
    fn health(&self) -> Value;

    /// Returns the metrics as OpenMetrics text.
    fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, self.registry()).expect("writing to a string does not fail");
        text
    }
}

/// Reads an address to listen on: `9400` is a port of this machine alone.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    port.map_or_else(
        |_| text.parse().map_err(|_| "write a port, or ADDRESS:PORT".to_owned()),
        |port| Ok(SocketAddr::from(([127, 0, 0, 1], port))),
    )
}

/// Serves `/metrics`, and `/healthz` for a process that is alive, until the command ends. The address is told on stderr, with the
/// name of the command.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    command: &str,
    metrics: Arc<impl Served>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} for --metrics"))?;
    let address = listener.local_addr().context("the socket has an address")?;
    note!("{command}: metrics at http://{address}/metrics");
    let alive = Arc::clone(&metrics);
    let healthz = move || std::future::ready(axum::Json(alive.health()));
    let text = move || std::future::ready(([(CONTENT_TYPE, MEDIA_TYPE)], metrics.text()));
    let missing = || std::future::ready((StatusCode::NOT_FOUND, "GET /metrics or /healthz\n"));
    let router = Router::new().route("/metrics", get(text)).route("/healthz", get(healthz)).fallback(missing);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine() {
        assert_eq!(address("9400"), Ok(SocketAddr::from(([127, 0, 0, 1], 9400))));
        assert_eq!(address(":0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_eq!(address("0.0.0.0:1"), Ok(SocketAddr::from(([0, 0, 0, 0], 1))));
        assert!(address("here").is_err());
    }
}
