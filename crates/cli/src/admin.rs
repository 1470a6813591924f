//! `newsreel admin`: the commands that take an admin token.

use newsreel_core::wire::page::NewEpoch;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, note, print};
use crate::http::{self, call_with_retries};

/// The commands of `newsreel admin`.
#[derive(clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Begin a new epoch of the log: every cache forgets everything and continues from there.
    ///
    /// For a log that can no longer be believed, as after a restore of the database. Prints the new position.
    /// A call that gets no answer is repeated, which may begin one more epoch and does no harm.
    #[command(after_long_help = "Examples:\n  newsreel admin new-epoch --catalog tv --token dev-admin")]
    NewEpoch,
}

/// Runs a command of `newsreel admin`.
pub(crate) async fn run(command: AdminCommand, at: BrokerOptions) -> Result<(), Failure> {
    match command {
        AdminCommand::NewEpoch => new_epoch(at).await,
    }
}

async fn new_epoch(at: BrokerOptions) -> Result<(), Failure> {
    let broker = BrokerClient::new(at.clone())?;
    let body = call_with_retries(&at.broker, at.retry_for(), || broker.new_epoch()).await?;
    let NewEpoch { catalog, position, previous, .. } = http::read(&at.broker, BROKER, &body)?;
    print(&format!("{position}\n"))?;
    note!("admin: catalog {catalog} has a new epoch; the old log ended at {previous}");
    note!(
        "  every follower and cache that is connected has been told to forget what it holds, or closed so that it comes back"
    );
    Ok(())
}
