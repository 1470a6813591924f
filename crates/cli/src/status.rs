//! `newsreel status`: where a catalog's log is.

use clap::builder::BoolishValueParser;
use newsreel_core::wire::Status;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, print};
use crate::http::{self, call_with_retries};

/// The examples that `newsreel status --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel status --token dev-follow
  newsreel status --json --broker https://newsreel.example.workers.dev --catalog shop";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct StatusOptions {
    /// Print the broker's answer, a JSON object.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Prints the status of the catalog, as the broker gives it.
pub(crate) async fn run(options: StatusOptions, at: BrokerOptions) -> Result<(), Failure> {
    let broker = BrokerClient::new(at.clone())?;
    let body = call_with_retries(&at.broker, at.retry_for(), || broker.status()).await?;
    if options.json {
        return print(&format!("{body}\n"));
    }
    let Status { catalog, epoch, version, position, oldest, followers, bytes } =
        http::read(&at.broker, BROKER, &body)?;
    print(&format!(
        "catalog    {catalog}\nepoch      {epoch}\nversion    {version}\nposition   {position}\n\
         oldest     {oldest}\nfollowers  {followers}\nbytes      {bytes}\n"
    ))
}
