//! The flags of `newsreel source redis`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;

use crate::source::options::SourceOptions;

/// The examples that `newsreel source redis --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel source redis --map newsreel-map.toml --redis redis://127.0.0.1 --stream catalog
  newsreel source redis --map newsreel-map.toml --pattern 'catalog:netflix:*'
  newsreel source redis --map newsreel-map.toml --redis redis://10.0.0.1,redis://10.0.0.2 --cluster --stream catalog
  newsreel source redis --map newsreel-map.toml --redis redis://10.0.0.1:26379 --sentinel mymaster --stream catalog
  newsreel source redis status --stream catalog --json";

/// The examples of `status`.
const STATUS_EXAMPLES: &str = "Examples:
  newsreel source redis --redis redis://127.0.0.1 --stream catalog status";

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub(crate) struct RedisOptions {
    #[command(subcommand)]
    pub(super) command: Option<RedisCommand>,
    #[command(flatten)]
    pub(super) shared: SourceOptions,
    #[command(flatten)]
    pub(super) server: ServerOptions,
    /// A stream that is read. May be given more than once. Without --stream, --channel and --pattern the mapping says
    /// what is read: a `from` with a * is a pattern of channels, and any other is a stream.
    #[arg(
        long = "stream",
        global = true,
        env = "NEWSREEL_STREAMS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(super) streams: Vec<String>,
    /// A channel that is subscribed to. May be given more than once.
    #[arg(
        long = "channel",
        global = true,
        env = "NEWSREEL_CHANNELS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(super) channels: Vec<String>,
    /// A pattern of channels that is subscribed to. May be given more than once.
    #[arg(
        long = "pattern",
        global = true,
        env = "NEWSREEL_PATTERNS",
        value_delimiter = ',',
        value_name = "GLOB"
    )]
    pub(super) patterns: Vec<String>,
    /// The consumer group of the streams. Made if it is missing.
    #[arg(long, global = true, env = "NEWSREEL_GROUP", default_value = "newsreel", value_name = "NAME")]
    pub(super) group: String,
    /// The consumer's name within the group. Several processes may have the same.
    #[arg(long, env = "NEWSREEL_CONSUMER", default_value = "newsreel", value_name = "NAME")]
    pub(super) consumer: String,
    /// Where a group that is made begins: at the stream's beginning, or at its end.
    #[arg(long, env = "NEWSREEL_START", value_enum, default_value_t = Start::Beginning)]
    pub(super) start: Start,
    /// How long a process that reads a stream may be silent until another one takes over.
    #[arg(long, env = "NEWSREEL_LEASE_MS", default_value_t = 5_000, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=600_000))]
    lease_ms: u64,
    /// How long an entry may be another consumer's, unacknowledged, until it is claimed.
    #[arg(long, env = "NEWSREEL_CLAIM_IDLE_MS", default_value_t = 60_000, value_name = "MS")]
    claim_idle_ms: u64,
    /// Begin a connection of Pub/Sub without the wide change of what is subscribed to. What was sent while nobody
    /// was connected is then missed.
    #[arg(long, env = "NEWSREEL_NO_RESYNC", value_parser = BoolishValueParser::new())]
    pub(super) no_resync: bool,
    /// The stream of messages that cannot be mapped, with their reasons.
    #[arg(
        long,
        global = true,
        env = "NEWSREEL_DEAD_LETTERS",
        default_value = "newsreel:dead",
        value_name = "STREAM"
    )]
    pub(super) dead_letters: String,
    /// A file for messages that cannot be mapped, in the place of a stream: one JSON object a line.
    #[arg(long, env = "NEWSREEL_DEAD_LETTERS_FILE", value_name = "FILE")]
    pub(super) dead_letters_file: Option<PathBuf>,
}

/// The flags that say where Redis is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerOptions {
    /// The server: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://…` for TLS, or `unix:///PATH`. Several, with commas
    /// between them, are nodes of a cluster or sentinels.
    #[arg(long, global = true, env = "NEWSREEL_REDIS", hide_env_values = true, value_delimiter = ',')]
    #[arg(default_value = "redis://127.0.0.1:6379", value_name = "URL")]
    pub(super) redis: Vec<String>,
    /// The server is a node of a cluster.
    #[arg(long, global = true, env = "NEWSREEL_REDIS_CLUSTER", value_parser = BoolishValueParser::new())]
    pub(super) cluster: bool,
    /// The addresses are those of sentinels, which know the master by this name.
    #[arg(
        long,
        global = true,
        env = "NEWSREEL_REDIS_SENTINEL",
        value_name = "NAME",
        conflicts_with = "cluster"
    )]
    pub(super) sentinel: Option<String>,
    /// The user that the master behind the sentinels knows, where it is not in the address.
    #[arg(long, global = true, env = "NEWSREEL_REDIS_USERNAME", value_name = "NAME")]
    pub(super) redis_username: Option<String>,
    /// The password of that user.
    #[arg(
        long,
        global = true,
        env = "NEWSREEL_REDIS_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub(super) redis_password: Option<String>,
    /// A PEM file with the certificate authority of the server's certificate [default: those of the machine].
    #[arg(long, global = true, env = "NEWSREEL_REDIS_CA", value_name = "FILE")]
    pub(super) redis_ca: Option<PathBuf>,
    /// A PEM file with the client's own certificate.
    #[arg(long, global = true, env = "NEWSREEL_REDIS_CERT", value_name = "FILE", requires = "redis_key")]
    pub(super) redis_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, global = true, env = "NEWSREEL_REDIS_KEY", value_name = "FILE", requires = "redis_cert")]
    pub(super) redis_key: Option<PathBuf>,
}

/// The commands below `source redis`.
#[derive(clap::Subcommand)]
pub(super) enum RedisCommand {
    /// Show each stream: who reads it, and what is not read, not acknowledged or dead.
    ///
    /// The exit code is 6 if a wide change is owed, because something may have been missed.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(StatusOptions),
}

/// The flags of `status`.
#[derive(clap::Args)]
pub(super) struct StatusOptions {
    /// Print a JSON object.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
}

/// Where a group that is made begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Start {
    /// At the first entry that the stream has.
    Beginning,
    /// Behind the last entry; the wide change covers all before it.
    End,
}

impl Start {
    /// Returns the id that a group is made with.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Beginning => "0",
            Self::End => "$",
        }
    }
}

impl RedisOptions {
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(super) fn claim_idle(&self) -> Duration {
        Duration::from_millis(self.claim_idle_ms)
    }
}
