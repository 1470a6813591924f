//! `newsreel status`: where a catalog's log is.

use clap::builder::BoolishValueParser;
use newsreel_core::wire::Status;

use crate::broker::{BROKER, Broker, BrokerOptions};
use crate::exit::{Failure, print};
use crate::http::{self, call_patiently};

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print the broker's answer as it came.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Prints the status.
pub(crate) async fn run(options: Options, at: BrokerOptions) -> Result<(), Failure> {
    let broker = Broker::new(at.clone())?;
    let body = call_patiently(&at.broker, at.patience(), || broker.status()).await?;
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
