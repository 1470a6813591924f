//! `newsreel origin postgres`: serves an edge from a PostgreSQL database, by the statements of a mapping file.
//!
//! The origin reads the primary, so a read that begins after a publish sees what was published. A standby is refused.

mod parameter;
mod plan;
mod pool;
mod serve;
mod statements;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use newsreel_mapping::Mapping;

use crate::broker::BrokerOptions;
use crate::database::Database;
use crate::exit::{Failure, asked_to_stop, note, print};
use crate::map;
use statements::Statements;

/// The examples that `newsreel origin postgres --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel origin postgres --map newsreel-map.toml --database postgres://tv@127.0.0.1/tv
  curl http://127.0.0.1:8788/tv/title:603";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct PostgresOriginOptions {
    /// The mapping file: `[[read]]` says which statement gives the value of which keys, `[[map]]` gives their tags.
    #[arg(long, env = "NEWSREEL_MAP", value_name = "FILE")]
    map: PathBuf,
    /// The database, as a URL or as `host=… user=…`. The variables PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
    /// PGSSLMODE and the file .pgpass fill in what it leaves out. Of several hosts the primary is taken.
    #[arg(long, env = "NEWSREEL_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// The address to listen on. There is no authentication: listen on this machine or a trusted network
    /// only.
    #[arg(long, env = "NEWSREEL_LISTEN", default_value = "127.0.0.1:8788", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How many connections the origin opens at most.
    #[arg(long, env = "NEWSREEL_CONNECTIONS", default_value_t = 8, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// How long a statement may take.
    #[arg(long, env = "NEWSREEL_STATEMENT_TIMEOUT_MS", default_value_t = 2_000, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    statement_timeout_ms: u32,
    /// Serve also where a statement reads a whole table for each key.
    #[arg(long, env = "NEWSREEL_ALLOW_SCANS", value_parser = clap::builder::BoolishValueParser::new())]
    allow_scans: bool,
}

/// Serves until it is asked to stop.
pub(super) async fn run(options: PostgresOriginOptions, at: BrokerOptions) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    let mapping = map::mapping(&options.map)?;
    let catalog = mapping.catalog.clone().unwrap_or(at.catalog);
    let statements = prepared(&options, mapping).await?;
    let listener = tokio::net::TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; another --listen address may be free", options.listen)
    })?;
    let address = listener.local_addr().context("the socket has an address")?;
    note!("origin: {catalog} from PostgreSQL, by {}", options.map.display());
    // The origin serves on when stdout is closed.
    let _ = print(&format!("ready http://{address}/{catalog}\n"));
    let router = serve::router(Arc::new(statements), catalog);
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop).await.context("serving")?)
}

/// Connects, and checks every statement on the database.
async fn prepared(options: &PostgresOriginOptions, mapping: Mapping) -> Result<Statements, Failure> {
    if mapping.reads.is_empty() {
        let text = "the mapping has no [[read]]: write [[read]], key = \"title:{id}\" and sql = \"SELECT … WHERE id = $1\"";
        return Err(Failure::Input(text.to_owned()));
    }
    let settings = format!("-c statement_timeout={}", options.statement_timeout_ms);
    let database = Database::of(options.database.as_deref())?.primary().with_settings(&settings);
    let pool = pool::pool(database, options.connections).context("the pool of connections")?;
    let statements = Statements::new(pool, mapping);
    statements.check(options.allow_scans).await?;
    Ok(statements)
}
