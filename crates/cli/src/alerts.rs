//! `newsreel alerts`: what is wrong in a catalog, and who is told.

use clap::builder::BoolishValueParser;
use newsreel_core::alerts::Alert;
use serde::Deserialize;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, note, print};
use crate::http::{self, call_with_retries};
use crate::utc::utc;

/// The examples that `newsreel alerts --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel alerts --token dev-admin
  newsreel alerts --check --token dev-admin
  newsreel alerts test --token dev-admin
  newsreel alerts forget postgres:newsreel --token dev-admin";

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AlertsOptions {
    #[command(subcommand)]
    command: Option<AlertsCommand>,
    /// Print the answer of the deployment, a JSON object.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Show also alerts that are over, up to 100.
    #[arg(long, env = "NEWSREEL_ALL", value_parser = BoolishValueParser::new())]
    all: bool,
    /// End with exit code 1 if an alert is open.
    #[arg(long, env = "NEWSREEL_CHECK", value_parser = BoolishValueParser::new())]
    check: bool,
}

/// The commands below `alerts`.
#[derive(clap::Subcommand)]
enum AlertsCommand {
    /// Send a message to every receiver of ALERT_HOOKS, to see that it arrives.
    #[command(after_long_help = "Examples:\n  newsreel alerts test --catalog tv --token dev-admin")]
    Test,
    /// Forget a source that is gone for good; its alert is over.
    #[command(after_long_help = "Examples:\n  newsreel alerts forget postgres:newsreel --token dev-admin")]
    Forget {
        /// The source, as `newsreel alerts --json` names it.
        #[arg(env = "NEWSREEL_SOURCE", value_name = "NAME")]
        source: String,
    },
}

/// The answer of `GET alerts`.
#[derive(Deserialize)]
struct Shown {
    alerts: Vec<Alert>,
    receivers: Vec<Receiver>,
}

#[derive(Deserialize)]
struct Receiver {
    name: String,
    waiting: u64,
    #[serde(default)]
    last_failure: Option<String>,
}

/// Prints the alerts of the catalog, or sends a message to try the receivers out.
pub(crate) async fn run(options: AlertsOptions, at: BrokerOptions) -> Result<(), Failure> {
    let broker = BrokerClient::new(at.clone())?;
    if let Some(AlertsCommand::Forget { source }) = &options.command {
        call_with_retries(&at.broker, at.retry_for(), || broker.forget_source(source)).await?;
        note!("alerts: {source} is forgotten until it reports again");
        return Ok(());
    }
    if let Some(AlertsCommand::Test) = options.command {
        call_with_retries(&at.broker, at.retry_for(), || broker.test_alerts()).await?;
        note!(
            "alerts: a message is on its way to every receiver; `newsreel alerts` shows those that it did not reach"
        );
        return Ok(());
    }
    let body = call_with_retries(&at.broker, at.retry_for(), || broker.alerts()).await?;
    let Shown { alerts, receivers } = http::read(&at.broker, BROKER, &body)?;
    let open = alerts.iter().filter(|alert| alert.resolved_at.is_none()).count();
    if options.json {
        print(&format!("{body}\n"))?;
    } else {
        let shown = alerts.iter().filter(|alert| options.all || alert.resolved_at.is_none());
        print(&shown.map(line).collect::<String>())?;
        if open == 0 {
            note!("alerts: none is open");
        }
        if receivers.is_empty() {
            note!("alerts: nobody is told: write [[vars.ALERT_HOOKS]] into wrangler.toml (docs/alerts.md)");
        }
        for Receiver { name, waiting, last_failure } in
            receivers.iter().filter(|receiver| receiver.waiting > 0)
        {
            let why = last_failure.as_deref().unwrap_or("not sent yet");
            note!("alerts: {waiting} messages wait for {name}: {why}");
        }
    }
    if options.check && open > 0 { Err(Failure::AlertsOpen { open }) } else { Ok(()) }
}

fn line(alert: &Alert) -> String {
    let Alert { severity, since, says, resolved_at, .. } = alert;
    let state = match resolved_at {
        Some(at) => format!("over since {}", utc(*at)),
        None => severity.name().to_owned(),
    };
    format!("{state}\t{}\t{says}\n", utc(*since))
}
