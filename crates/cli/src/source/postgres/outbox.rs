//! `newsreel source postgres --outbox`: from a committed row to a version of the log, by triggers.
//!
//! For databases without logical replication. `install` has the SQL of the outbox and of its triggers, `scan`
//! reads the transactions that wait there, `session` publishes them and deletes what `awaited` says, and `state` notices an outbox
//! that is not the same any more.

mod awaited;
mod install;
mod scan;
mod session;
mod state;
mod status;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::PostgresOptions;
use crate::database::Database;
use crate::exit::{Failure, note, print};
use crate::map;
pub(super) use install::OutboxError;
pub(super) use scan::ScanError;
pub(super) use session::follow;
pub(super) use status::show as show_status;

/// The examples of `install`.
pub(super) const INSTALL_EXAMPLES: &str = "Examples:
  newsreel source postgres install --map newsreel-map.toml > outbox.sql
  newsreel source postgres --database postgres://owner@127.0.0.1/shop install --map newsreel-map.toml --run";

/// The examples of `uninstall`.
pub(super) const UNINSTALL_EXAMPLES: &str = "Examples:
  newsreel source postgres --database postgres://owner@127.0.0.1/shop uninstall --run";

/// The flags of `install`.
#[derive(clap::Args)]
pub(super) struct InstallOptions {
    /// The mapping file: its tables get triggers.
    #[arg(long, env = "NEWSREEL_MAP", value_name = "FILE")]
    map: PathBuf,
    /// Run the SQL in the database, as the owner of the tables.
    #[arg(long, env = "NEWSREEL_RUN", value_parser = BoolishValueParser::new())]
    run: bool,
}

/// The flags of `uninstall`.
#[derive(clap::Args)]
pub(super) struct UninstallOptions {
    /// Run the SQL in the database, as the owner of the tables.
    #[arg(long, env = "NEWSREEL_RUN", value_parser = BoolishValueParser::new())]
    run: bool,
}

/// Prints or runs the SQL of the outbox.
pub(super) async fn install(options: &InstallOptions, database: &Database) -> Result<(), Failure> {
    let mapping = map::mapping_of_tables(&options.map)?;
    let sql = install::sql(&mapping);
    if !options.run {
        return print(&sql);
    }
    run_sql(database, &sql).await?;
    note!("source: the outbox notes what changes in {}", install::names(&mapping));
    Ok(())
}

/// Prints or runs the SQL that takes the outbox out.
pub(super) async fn uninstall(
    options: &PostgresOptions,
    flags: &UninstallOptions,
    database: &Database,
) -> Result<(), Failure> {
    if !flags.run {
        return print(install::UNINSTALL);
    }
    run_sql(database, install::UNINSTALL).await?;
    // A later source begins anew.
    let _ = std::fs::remove_file(options.outbox_state());
    note!("source: the outbox and its triggers are gone");
    Ok(())
}

async fn run_sql(database: &Database, sql: &str) -> Result<(), Failure> {
    let client = database.client().await.map_err(|error| super::unreachable(database, &error))?;
    let ran = client.batch_execute(sql).await;
    ran.map_err(|error| Failure::Input(crate::exit::innermost(&error)))
}
