//! `newsreel origin`: values in SQLite, served over HTTP, and every change of them published.
//!
//! A transaction is a version: the rows and the publish that announces them are committed together, and the
//! publisher sends them on in order. A crash at any moment loses no change and publishes none twice:
//! before the commit nothing happened; after it the outbox has the publish; after the broker's answer the
//! same idempotency key finds the same version. A read that begins after a commit sees it, so an
//! edge that has heard a version and asks gets that value or a newer one.

mod batch;
mod dump;
mod hot;
mod outbox;
mod postgres;
mod publisher;
mod sample;
mod serve;
mod store;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use newsreel_core::wire::Catalog;
use tokio::net::TcpListener;

use crate::broker::{BrokerClient, BrokerOptions};
use crate::exit::{Failure, asked_to_stop, note, print};
use crate::map;
use crate::source::dump::options::DumpOptions;
use dump::DumpOrigin;
use publisher::Publisher;
use store::Store;

/// How long the requests under way may take to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(3);

/// The examples that `newsreel origin --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel origin --sample --token dev-publish
  newsreel origin --from titles.ndjson.gz --map newsreel-map.toml
  newsreel origin --db shop.sqlite --listen 127.0.0.1:9000 --catalog shop --token dev-publish
  curl -X PUT --data hello -H 'Cache-Tag: platform:netflix' http://127.0.0.1:8788/tv/title:1";

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OriginOptions {
    #[command(subcommand)]
    command: Option<OriginCommand>,
    /// The address to listen on. There is no authentication: listen on this machine or a trusted network
    /// only.
    #[arg(long, env = "NEWSREEL_LISTEN", default_value = "127.0.0.1:8788", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The database file [default: origin.sqlite; with --from, newsreel-origin.state].
    #[arg(long, env = "NEWSREEL_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// Begin with a made-up sample catalogue, if the database is new.
    #[arg(long, env = "NEWSREEL_SAMPLE", value_parser = BoolishValueParser::new())]
    sample: bool,
    /// For tests of crashes: hold every publish back for so long after its commit.
    #[arg(long, env = "NEWSREEL_HOLD_PUBLISH_MS", default_value_t = 0, hide = true)]
    hold_publish_ms: u64,
    /// Serve what the newest dump of a catalogue says, a file or a folder, and publish nothing: `newsreel source files`
    /// does. While a newer dump is being read, requests wait for it.
    #[arg(
        long,
        env = "NEWSREEL_FROM_DUMP",
        value_name = "PATH",
        requires = "map",
        conflicts_with = "sample"
    )]
    #[arg(help_heading = "With --from")]
    from: Option<PathBuf>,
    /// The mapping file: which keys and tags a row is called.
    #[arg(long, env = "NEWSREEL_MAP", value_name = "FILE", help_heading = "With --from")]
    map: Option<PathBuf>,
    /// Serve this column of the row, in the place of the row as JSON.
    #[arg(long, env = "NEWSREEL_COLUMN", value_name = "NAME", help_heading = "With --from")]
    column: Option<String>,
    #[command(flatten, next_help_heading = "With --from")]
    dumps: DumpOptions,
}

/// The commands below `origin`.
#[derive(clap::Subcommand)]
enum OriginCommand {
    /// Serve the rows of a PostgreSQL database, by the statements of a mapping file.
    ///
    /// Publishes nothing: `newsreel source postgres` does. Reads the primary, so a read that begins after a publish sees
    /// what was published; a standby is refused. A statement that reads a whole table for each key is refused at the start.
    /// Prints `ready ADDRESS` once it serves.
    #[command(after_long_help = postgres::EXAMPLES)]
    Postgres(Box<postgres::PostgresOriginOptions>),
}

/// Serves, and publishes what it stores, until it is asked to stop.
pub(crate) async fn run(options: OriginOptions, at: BrokerOptions) -> Result<(), Failure> {
    if let Some(OriginCommand::Postgres(options)) = options.command {
        return postgres::run(*options, at).await;
    }
    if let (Some(from), Some(map)) = (options.from.clone(), options.map.clone()) {
        return serve_dumps(options, from, &map, at.catalog).await;
    }
    let (stop, give_up) = (asked_to_stop()?, asked_to_stop()?);
    let catalog = at.catalog.clone();
    let db = options.db.unwrap_or_else(|| "origin.sqlite".into());
    let store = Arc::new(Store::open(&db, &catalog).with_context(|| db.display().to_string())?);
    if options.sample && store.is_untouched().context("reading the database")? {
        store.commit(&sample::writes()).context("committing the sample catalogue")?;
    }
    let pending = store.pending().context("reading the outbox")?;
    let (listener, address) = listen(options.listen).await?;

    note!("origin: {catalog} from {}, {pending} publishes to send to {}", db.display(), at.broker);
    let hold = Duration::from_millis(options.hold_publish_ms);
    let publisher = Publisher::new(Arc::clone(&store), BrokerClient::new(at)?, hold);
    tokio::spawn(publisher.run());
    // The origin serves on when stdout is closed.
    let _ = print(&format!("ready http://{address}/{catalog}\n"));
    let served = axum::serve(listener, serve::router(store, catalog)).with_graceful_shutdown(stop);
    tokio::select! {
        served = served => Ok(served.context("serving")?),
        // Publishes that are not acknowledged by then stay in the outbox for the next start.
        () = async { give_up.await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

/// Serves what dumps say until it is asked to stop.
async fn serve_dumps(
    options: OriginOptions,
    from: PathBuf,
    map: &Path,
    catalog: Catalog,
) -> Result<(), Failure> {
    let (stop, give_up) = (asked_to_stop()?, asked_to_stop()?);
    let mapping = map::mapping(map)?;
    let catalog = mapping.catalog.clone().unwrap_or(catalog);
    let db = options.db.unwrap_or_else(|| "newsreel-origin.state".into());
    let start = DumpOrigin::start(from, &db, &mapping, catalog.clone(), &options.dumps, options.column);
    let give_up = async {
        give_up.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::pin!(give_up);
    let origin = tokio::select! {
        origin = start => origin?,
        () = &mut give_up => return Ok(()),
    };
    let (listener, address) = listen(options.listen).await?;
    note!("origin: {catalog} by {}", map.display());
    // The origin serves on when stdout is closed.
    let _ = print(&format!("ready http://{address}/{catalog}\n"));
    tokio::select! {
        served = axum::serve(listener, origin.router()).with_graceful_shutdown(stop) => {
            Ok(served.context("serving")?)
        }
        () = give_up => Ok(()),
    }
}

async fn listen(on: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(on).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {on}; another --listen address may be free"))?;
    let address = listener.local_addr().context("the socket has an address")?;
    Ok((listener, address))
}
