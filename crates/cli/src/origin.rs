//! `newsreel origin`: values in SQLite, served over HTTP, and every change of them published.
//!
//! A transaction is a version: the rows and the publish that tells of them are committed together, and the
//! publisher sends them on in order. A crash at any moment loses no change and publishes none twice:
//! before the commit nothing happened; after it the outbox has the publish; after the broker's answer the
//! same idempotency key finds the same version.

mod outbox;
mod sample;
mod serve;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::BrokerOptions;
use crate::broker::Broker;
use crate::exit::Failure;
use store::Store;
pub(crate) use store::{Value, Write};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    broker: BrokerOptions,
    /// Where to listen.
    #[arg(long, env = "NEWSREEL_LISTEN", default_value = "127.0.0.1:8788", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The database file.
    #[arg(long, env = "NEWSREEL_DB", default_value = "origin.sqlite", value_name = "FILE")]
    db: PathBuf,
    /// Put a made-up sample catalogue into an empty database.
    #[arg(long, env = "NEWSREEL_SAMPLE")]
    sample: bool,
    /// For tests of crashes: wait so long between a commit and its publish.
    #[arg(long, env = "NEWSREEL_HOLD_PUBLISH_MS", default_value_t = 0, hide = true)]
    hold_publish_ms: u64,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let store = Arc::new(Store::open(&options.db)?);
    if options.sample && store.is_empty()? {
        store.commit(&sample::writes()?)?;
    }
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr().context("the socket has an address")?;
    let catalog = options.broker.catalog.clone();
    let broker = Broker::new(options.broker)?;
    let hold = Duration::from_millis(options.hold_publish_ms);
    let publisher = tokio::spawn(outbox::drain(Arc::clone(&store), broker, hold));
    eprintln!("origin of {catalog} on http://{address}/{catalog}/, {} publishes waiting", store.pending()?);
    let router = serve::router(Arc::clone(&store), catalog);
    let served = axum::serve(listener, router).with_graceful_shutdown(async {
        // Without a signal handler the process ends at once, which loses nothing either.
        let _ = tokio::signal::ctrl_c().await;
    });
    served.await.context("serving")?;
    publisher.abort();
    Ok(())
}
