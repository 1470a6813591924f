//! The `newsreel` command: an embedded origin, and the tools to load, publish, follow and look.
//!
//! What a program reads goes to stdout, what a person reads to stderr. Every flag has an environment variable.

mod broker;
mod exit;
mod load;
mod origin;
mod publish;
mod status;
mod tail;

use clap::{Args, Parser, Subcommand};
use newsreel_core::wire::Catalog;

use crate::exit::Failure;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed in another way
  2  the command line is wrong
  3  bad input: a line, a body, a file
  4  refused: the server says the request cannot be granted (4xx)
  5  unreachable: the server did not answer, also when asked again";

/// Keep every edge cache of a catalogue honest.
#[derive(Parser)]
#[command(name = "newsreel", version, after_help = EXIT_CODES, propagate_version = true)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serves values from SQLite and publishes every change of them: a whole origin in one process.
    Origin(origin::Options),
    /// Loads titles (NDJSON, also .gz) into an origin.
    Load(load::Options),
    /// Publishes changes.
    Publish(publish::Options),
    /// Follows a catalog: replays what was missed, then prints what happens.
    Tail(tail::Options),
    /// Shows where a catalog's log is.
    Status(status::Options),
}

/// Which broker, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct BrokerOptions {
    /// The broker's address.
    #[arg(long, env = "NEWSREEL_BROKER", default_value = "http://127.0.0.1:8787", value_name = "URL")]
    pub(crate) broker: reqwest::Url,
    /// The token to show.
    #[arg(long, env = "NEWSREEL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The catalog.
    #[arg(long, env = "NEWSREEL_CATALOG", default_value = "tv", value_name = "NAME")]
    pub(crate) catalog: Catalog,
}

fn main() -> std::process::ExitCode {
    let command = Command::parse();
    // The provider is linked in, so it is there to be installed; a second time it would already be.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Failure::Other(error.into())),
    };
    let outcome = runtime.block_on(async {
        match command.what {
            What::Origin(options) => origin::run(options).await,
            What::Load(options) => load::run(options).await,
            What::Publish(options) => publish::run(options).await,
            What::Tail(options) => tail::run(options).await,
            What::Status(options) => status::run(options).await,
        }
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}
