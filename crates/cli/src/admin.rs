//! `newsreel admin`: what takes an admin token.

use newsreel_core::wire::page::NewEpoch;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, note, print};
use crate::http::{self, call_with_retries};

/// AdminCommand to do.
#[derive(clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Starts a new epoch of the log: every cache forgets everything and continues from there.
    ///
    /// For when the log cannot be believed any more, as after a restore. Prints the new position. If no answer
    /// comes it is asked for again, which may start one more; that does no harm.
    NewEpoch,
}

/// Does it.
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
