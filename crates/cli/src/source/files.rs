//! `newsreel source files`: from a catalogue's dump to versions of the log.
//!
//! `places` waits for the next dump, `crate::source::dump` reads it, `crate::source::snapshot` compares it with the one
//! before and keeps what is to be published, and `session` is the loop around them. `tell` says what happened or would.

mod address;
mod metrics;
mod places;
mod session;
mod status;
mod tell;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use super::dump::options::DumpOptions;
use super::dump::place::Place;
use super::options::SourceOptions;
use crate::broker::BrokerOptions;
use crate::exit::Failure;
use crate::map;

/// The examples that `newsreel source files --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel source files titles.ndjson.gz --map newsreel-map.toml --once
  newsreel source files /srv/dumps --map newsreel-map.toml --metrics 9465
  newsreel source files https://partner.example/titles.csv --map newsreel-map.toml --every-s 600
  zcat titles.ndjson.gz | newsreel source files - --map newsreel-map.toml --dry-run
  newsreel source files status --json";

/// The examples of `status`.
const STATUS_EXAMPLES: &str = "Examples:
  newsreel source files status --state /var/lib/newsreel/titles.state";

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub(crate) struct FilesOptions {
    #[command(subcommand)]
    command: Option<FilesCommand>,
    /// The dump: a file, a folder whose newest dump of each name is taken, an address, or `-` for stdin.
    #[arg(env = "NEWSREEL_DUMP", value_name = "PATH|URL", required = true)]
    place: Option<Place>,
    #[command(flatten)]
    shared: SourceOptions,
    #[command(flatten)]
    dump: DumpOptions,
    /// The state: what is known of the dump before, and what is still to be published. A run that finds none publishes what
    /// --initial says.
    #[arg(
        long,
        global = true,
        env = "NEWSREEL_STATE",
        default_value = "newsreel-files.state",
        value_name = "FILE"
    )]
    state: PathBuf,
    /// Take the dump that is there, publish what differs, and end.
    #[arg(long, env = "NEWSREEL_ONCE", value_parser = BoolishValueParser::new())]
    once: bool,
    /// Say what would be published, and publish nothing. The state stays as it is.
    #[arg(long, env = "NEWSREEL_DRY_RUN", value_parser = BoolishValueParser::new())]
    dry_run: bool,
    /// How many rows of each kind --dry-run names.
    #[arg(long, env = "NEWSREEL_SAMPLES", default_value_t = 10, value_name = "N")]
    samples: usize,
    /// How often an address is asked.
    #[arg(long, env = "NEWSREEL_EVERY_S", default_value_t = 60, value_name = "S")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    every_s: u64,
    /// Print --dry-run or the status as a JSON object.
    #[arg(long, global = true, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// The commands below `source files`.
#[derive(clap::Subcommand)]
enum FilesCommand {
    /// Show the state: the dump that was taken last, its rows, and what is still to be published.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status,
}

/// Publishes until it is asked to stop or the dump was taken, or does what the command below says.
pub(crate) async fn run(options: FilesOptions, mut broker: BrokerOptions) -> Result<(), Failure> {
    if let Some(FilesCommand::Status) = options.command {
        return status::show(&options.state, options.json);
    }
    let missing = |flag: &str| Failure::Input(format!("give {flag}"));
    let path = options.shared.map.clone().ok_or_else(|| missing("the mapping with --map"))?;
    let place = options.place.clone().ok_or_else(|| missing("the dump"))?;
    let mapping = map::mapping(&path)?;
    if let Some(catalog) = &mapping.catalog {
        broker.catalog = catalog.clone();
    }
    session::run(&options, place, &mapping, broker).await
}
