//! `newsreel source postgres`: from a committed row to a version of the log, by logical replication.
//!
//! `connect` finds the database, `mapped` its tables, `slot` makes or checks publication and slot, `wire` and
//! `pgoutput` read the log, `tables` makes rows of it, `gather` makes publishes of transactions by the mapping,
//! `outgoing` sends them, and `session` is the loop of one connection, which `attempts` begins again. `state`
//! notices a database that is not the same any more, `upkeep` looks after slot and publication, and `watch` shows
//! it all, by `metrics`, `delay` and `trace`. `outbox` is the
//! other way, by triggers.

mod attempts;
mod connect;
mod gather;
pub(crate) mod lsn;
mod mapped;
mod marks;
mod metrics;
mod outbox;
mod outgoing;
mod pgoutput;
mod rows;
mod session;
mod slot;
mod state;
mod status;
mod tables;
pub(crate) mod trace;
mod upkeep;
mod values;
mod watch;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;

use crate::broker::BrokerOptions;
use crate::database::{ConnectError, Database};
use crate::exit::{Failure, note};
use crate::map;
use crate::source::options::SourceOptions;

/// The examples that `newsreel source postgres --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel source postgres --map newsreel-map.toml --database postgres://app@127.0.0.1/shop --create
  newsreel source postgres --map newsreel-map.toml --slot edge --state /var/lib/newsreel/edge.state
  newsreel source postgres status --json
  newsreel source postgres drop
  newsreel source postgres --outbox --map newsreel-map.toml --database postgres://app@127.0.0.1/shop";

/// The examples of `status`.
const STATUS_EXAMPLES: &str = "Examples:
  newsreel source postgres --database postgres://app@127.0.0.1/shop status";

/// The examples of `drop`.
const DROP_EXAMPLES: &str = "Examples:
  newsreel source postgres --slot edge drop";

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub(crate) struct PostgresOptions {
    #[command(subcommand)]
    command: Option<PostgresCommand>,
    #[command(flatten)]
    shared: SourceOptions,
    /// The database, as a URL or as `host=… user=…`. The variables PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
    /// PGSSLMODE and the file .pgpass fill in what it leaves out.
    #[arg(long, global = true, env = "NEWSREEL_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// The replication slot.
    #[arg(long, global = true, env = "NEWSREEL_SLOT", default_value = "newsreel", value_name = "NAME")]
    slot: String,
    /// The publication.
    #[arg(
        long,
        global = true,
        env = "NEWSREEL_PUBLICATION",
        default_value = "newsreel",
        value_name = "NAME"
    )]
    publication: String,
    /// Make the publication (of the mapped tables, and where PostgreSQL can, of the columns that the mapping
    /// needs) and the slot, if they are missing. With --outbox, do what `install --run` does.
    #[arg(long, env = "NEWSREEL_CREATE", value_parser = BoolishValueParser::new())]
    create: bool,
    /// Make a slot that is copied to standbys. PostgreSQL 17 and newer.
    #[arg(long, env = "NEWSREEL_FAILOVER", value_parser = BoolishValueParser::new())]
    failover: bool,
    /// Read the outbox that `install` makes in the database, in the place of a replication slot.
    #[arg(long, global = true, env = "NEWSREEL_OUTBOX", value_parser = BoolishValueParser::new())]
    outbox: bool,
    /// How often the outbox is read without a notification.
    #[arg(long, env = "NEWSREEL_POLL_MS", default_value_t = 1_000, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    poll_ms: u64,
    /// The file that tells a later run up to where was published [default: newsreel-SLOT.state, or
    /// newsreel-outbox.state]. A run that finds none publishes everything that the mapping covers as changed, once.
    #[arg(long, env = "NEWSREEL_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// How often PostgreSQL is told what is durable, at least. After three times as long without a sign of
    /// life the connection counts as dead.
    #[arg(long, env = "NEWSREEL_STATUS_INTERVAL_MS", default_value_t = 10_000, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    status_interval_ms: u64,
    /// How often a message is written into the log, so that an idle database keeps none of it; 0 is never.
    #[arg(long, env = "NEWSREEL_HEARTBEAT_MS", default_value_t = 60_000, value_name = "MS")]
    heartbeat_ms: u64,
    /// How many MiB of traces are kept beside the state file, for `newsreel trace`; 0 is none.
    #[arg(long, env = "NEWSREEL_TRACE_MB", default_value_t = 64, value_name = "MIB")]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    trace_mb: u64,
}

/// The commands below `source postgres`.
#[derive(clap::Subcommand)]
enum PostgresCommand {
    /// Show the slot: whether it is in use, what is confirmed, and how much of the log it keeps.
    ///
    /// The exit code is 6 if the slot is about to be lost, or is. The lag in seconds is known where the state file is.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(StatusOptions),
    /// Drop the slot and the publication. PostgreSQL then keeps no log for the source.
    #[command(after_long_help = DROP_EXAMPLES)]
    Drop,
    /// Print the SQL of an outbox: a schema `newsreel`, and triggers that note there what changes in the mapped
    /// tables. May be run again, also with another mapping.
    #[command(after_long_help = outbox::INSTALL_EXAMPLES)]
    Install(outbox::InstallOptions),
    /// Print the SQL that takes the outbox and its triggers out.
    #[command(after_long_help = outbox::UNINSTALL_EXAMPLES)]
    Uninstall(outbox::UninstallOptions),
}

/// The flags of `status`.
#[derive(clap::Args)]
struct StatusOptions {
    /// Print a JSON object.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

impl PostgresOptions {
    fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| format!("newsreel-{}.state", self.slot).into())
    }

    fn outbox_state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| "newsreel-outbox.state".into())
    }

    fn status_interval(&self) -> Duration {
        Duration::from_millis(self.status_interval_ms)
    }
}

/// Publishes until it is asked to stop, or does what the command below says.
pub(crate) async fn run(options: PostgresOptions, mut broker: BrokerOptions) -> Result<(), Failure> {
    let database = Database::of(options.database.as_deref())?;
    match &options.command {
        Some(PostgresCommand::Install(flags)) => return outbox::install(flags, &database).await,
        Some(PostgresCommand::Uninstall(flags)) => {
            return outbox::uninstall(&options, flags, &database).await;
        }
        Some(PostgresCommand::Status(status)) if options.outbox => {
            return outbox::show_status(&database, status.json).await;
        }
        Some(PostgresCommand::Status(status)) => return status::show(&options, &database, status.json).await,
        Some(PostgresCommand::Drop) => {
            let client = database.client().await.map_err(|error| unreachable(&database, &error))?;
            let dropped = slot::drop_all(&client, &options.slot, &options.publication).await;
            dropped.map_err(|error| Failure::Input(error.to_string()))?;
            // A later source begins anew.
            let _ = std::fs::remove_file(options.state());
            note!(
                "source: the slot {:?} and the publication {:?} are gone",
                options.slot,
                options.publication
            );
            return Ok(());
        }
        None => {}
    }
    let path =
        options.shared.map.clone().ok_or_else(|| Failure::Input("give the mapping with --map".to_owned()))?;
    let mapping = map::mapping_of_tables(&path)?;
    if let Some(catalog) = &mapping.catalog {
        broker.catalog = catalog.clone();
    }
    if options.outbox {
        return outbox::follow(&options, &database, &mapping, broker).await;
    }
    session::follow(&options, &database, &mapping, broker).await
}

fn unreachable(database: &Database, error: &ConnectError) -> Failure {
    Failure::Unreachable { what: database.name(), why: error.to_string() }
}
