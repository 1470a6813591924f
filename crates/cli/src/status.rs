//! `newsreel status`: where a catalog's log is.

use newsreel_core::wire::Status;
use reqwest::Method;

use crate::BrokerOptions;
use crate::broker::Broker;
use crate::exit::Failure;

/// How often a broker that does not answer is asked.
const TRIES: u32 = 4;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    broker: BrokerOptions,
    /// Print the broker's answer as it came.
    #[arg(long, env = "NEWSREEL_JSON")]
    json: bool,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let broker = Broker::new(options.broker)?;
    let body = broker.call_again(TRIES, || broker.request(Method::GET, "")).await?;
    if options.json {
        println!("{body}");
        return Ok(());
    }
    let status: Status = serde_json::from_str(&body).map_err(anyhow::Error::from)?;
    println!("catalog    {}", status.catalog);
    println!("epoch      {}", status.epoch);
    println!("version    {}", status.version);
    println!("position   {}", status.position);
    println!("oldest     {}", status.oldest);
    println!("followers  {}", status.followers);
    Ok(())
}
