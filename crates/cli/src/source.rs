//! `newsreel source`: publishes what changes in another system.
//!
//! Each source has a folder. What they share: `options` are their flags, `attempts` begins a session again that broke,
//! `outgoing` sends publishes in order, and `watch` tells how it goes, by `metrics`, `delay` and `lateness`. `dump` reads whole
//! catalogues, and `snapshot` compares them.

mod attempts;
mod delay;
pub(crate) mod dump;
mod files;
mod http;
mod lateness;
pub(crate) mod metrics;
mod options;
mod outgoing;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod snapshot;
pub(crate) mod watch;

use crate::broker::BrokerOptions;
use crate::exit::Failure;

/// The commands below `source`.
#[derive(clap::Subcommand)]
pub(crate) enum SourceCommand {
    /// Publish every committed change of a PostgreSQL database, by logical replication.
    ///
    /// A transaction is one version. The slot is confirmed only up to what the broker has acknowledged, and
    /// each publish has an idempotency key, so that nothing is lost and nothing is published twice, whatever
    /// is killed. Prints one line of JSON for each version: its LSN, xid, version and position.
    #[command(after_long_help = postgres::EXAMPLES)]
    Postgres(Box<postgres::PostgresOptions>),
    /// Publish what changes behind APIs that can only be asked, by the `[[feed]]` tables of the mapping.
    ///
    /// A feed asks by ETag, by a window of time, by a cursor, or for a whole file. Everything that an answer tells is durable
    /// before the next question moves on, and what two answers report is published once. Prints one line of JSON
    /// for each version: its feed, version and position.
    #[command(after_long_help = http::EXAMPLES)]
    Http(Box<http::HttpOptions>),
    /// Publish what differs between a catalogue's dump and the one before: a file, a folder that is watched, an address, or
    /// stdin.
    ///
    /// The dump is lines of JSON, a JSON array or CSV, also as gzip or zstd. Nothing is published before the whole dump was
    /// read and judged. Prints one line of JSON for each version: the snapshot, the version and the position.
    #[command(after_long_help = files::EXAMPLES)]
    Files(Box<files::FilesOptions>),
    /// Publish the messages of Redis or Valkey: of streams, by a consumer group, and of channels.
    ///
    /// An entry of a stream is acknowledged only when it is durable at the broker, and each publish has an
    /// idempotency key. What may have been missed of a stream or channel is published as changed, as a whole. Prints
    /// one line of JSON for each version: its stream and id or its channel, version and position.
    #[command(after_long_help = redis::EXAMPLES)]
    Redis(Box<redis::RedisOptions>),
}

/// Runs one of the commands.
pub(crate) async fn run(command: SourceCommand, broker: BrokerOptions) -> Result<(), Failure> {
    match command {
        SourceCommand::Postgres(options) => postgres::run(*options, broker).await,
        SourceCommand::Http(options) => http::run(*options, broker).await,
        SourceCommand::Files(options) => files::run(*options, broker).await,
        SourceCommand::Redis(options) => redis::run(*options, broker).await,
    }
}
