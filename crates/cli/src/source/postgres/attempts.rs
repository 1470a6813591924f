//! Attempts to follow a database: each breaks sooner or later, and the next one begins after a pause.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use newsreel_core::wire::Change;
use newsreel_mapping::{Batch, Limits, Mapping};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::PostgresOptions;
use super::gather::History;
use super::lsn::Lsn;
use super::metrics::{Side, Wide};
use super::outbox::{OutboxError, ScanError};
use super::outgoing::{Durable, Origin, Outgoing, Wake};
use super::pgoutput::OutputError;
use super::slot::SetupError;
use super::upkeep::UpkeepError;
use super::watch::Watch;
use super::wire::WireError;
use crate::database::{ConnectError, Database};
use crate::exit::{Failure, asked_to_stop, note, print};
use crate::http::pause;

/// A source that publishes from a database.
pub(super) trait Follow {
    /// Connects and publishes until something breaks.
    async fn session(&mut self) -> Result<Infallible, SessionError>;

    /// Returns what waits to be published.
    fn outgoing(&mut self) -> &mut Outgoing;

    /// Returns what watches the source.
    fn watch(&self) -> &Arc<Watch>;

    /// Notes that everything that a gap may have hidden is published as changed.
    fn healed(&mut self);

    /// Sends and hears what there is, and prints what has become durable.
    async fn publish(&mut self, wake: Wake) -> Result<(), Failure> {
        let durable = self.outgoing().on_wake(wake).await?;
        let watch = Arc::clone(self.watch());
        watch.published(&durable, self.outgoing());
        if durable.iter().any(|durable| durable.of.xid.is_none()) {
            self.healed();
        }
        report(&durable)
    }
}

/// Queues everything that the mapping covers as changed. With it nothing that was committed counts as durable.
pub(super) async fn publish_wide(
    mapping: &Mapping,
    history: &History,
    watch: &Watch,
    outgoing: &mut Outgoing,
    lsn: Option<Lsn>,
) {
    let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
    mapping.wide().into_iter().for_each(|target| batch.add(Change::of(target)));
    let publishes = batch.into_publishes();
    watch.metrics.wide(Wide::Gap, publishes.iter().map(|publish| publish.changes.len()).sum());
    let of = Origin { xid: None, lsn, committed_at: watch.now(), part: 0, rows: Arc::default() };
    outgoing.add(history.entries(&of, None, publishes)).await;
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or PostgreSQL refused.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A question failed.
    #[error("{}", crate::exit::innermost(.0))]
    Client(#[from] tokio_postgres::Error),
    /// The database cannot be published from.
    #[error(transparent)]
    Setup(SetupError),
    /// The outbox cannot be published from.
    #[error(transparent)]
    NotInstalled(OutboxError),
    /// The outbox cannot be read on.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The log cannot be read.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// PostgreSQL gave no sign of life.
    #[error("PostgreSQL gave no sign of life for {} s", .0.as_secs())]
    Stalled(Duration),
    /// PostgreSQL ended the copy.
    #[error("PostgreSQL ended the replication")]
    Ended,
    /// Rows of mapped tables are not in the log any more.
    #[error("the publication lacks {0}, which it had")]
    Unpublished(String),
    /// Another attempt would fail as well.
    #[error(transparent)]
    Fatal(#[from] Failure),
}

impl From<SetupError> for SessionError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Client(error) => Self::Client(error),
            setup @ (SetupError::Version(_)
            | SetupError::WalLevel(_)
            | SetupError::Failover(_)
            | SetupError::Mapping(_)
            | SetupError::Missing { .. }
            | SetupError::ForeignSlot(_)) => Self::Setup(setup),
        }
    }
}

impl From<OutboxError> for SessionError {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Client(error) => Self::Client(error),
            install @ (OutboxError::Missing
            | OutboxError::OfAnotherFormat(_)
            | OutboxError::OfAnotherMapping(_)
            | OutboxError::Forbidden(_)) => Self::NotInstalled(install),
        }
    }
}

impl From<UpkeepError> for SessionError {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Setup(error) => error.into(),
            UpkeepError::Unpublished(tables) => Self::Unpublished(tables),
        }
    }
}

/// Publishes until it is asked to stop, or until `--max-failures` attempts in a row have failed.
pub(super) async fn follow(
    source: &mut impl Follow,
    options: &PostgresOptions,
    database: &Database,
) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = source.session() => ended,
            () = &mut stop => {
                source.outgoing().finish().await;
                return Ok(());
            }
        };
        let error = match ended {
            Err(SessionError::Fatal(failure)) => return Err(failure),
            Err(error @ (SessionError::Setup(_) | SessionError::NotInstalled(_))) => {
                return Err(Failure::Input(error.to_string()));
            }
            Err(error) => error,
            Ok(never) => match never {},
        };
        failures = if began.elapsed() > options.status_interval() { 0 } else { failures + 1 };
        if options.max_failures > 0 && failures >= options.max_failures {
            return Err(Failure::Database { what: database.name(), why: error.to_string() });
        }
        source.watch().connected(Side::Database, false);
        note!("source: {error}; connecting again");
        tokio::select! {
            outcome = wait(source, pause(failures)) => outcome?,
            () = &mut stop => return Ok(()),
        }
    }
}

/// Goes on publishing what waits, for a time.
async fn wait(source: &mut impl Follow, time: Duration) -> Result<(), Failure> {
    let over = sleep(time);
    tokio::pin!(over);
    loop {
        tokio::select! {
            wake = source.outgoing().wake() => source.publish(wake).await?,
            () = &mut over => return Ok(()),
        }
    }
}

/// Prints a line of JSON for each version.
fn report(durable: &[Durable]) -> Result<(), Failure> {
    let line = |Durable { of, receipt, .. }: &Durable| {
        let line = json!({
            "lsn": of.lsn.map(|lsn| lsn.to_string()), "xid": of.xid, "part": of.part, "committed_at": of.committed_at,
            "version": receipt.version, "position": receipt.position, "at": receipt.at,
            "changes": receipt.changes,
        });
        format!("{line}\n")
    };
    if durable.is_empty() { Ok(()) } else { print(&durable.iter().map(line).collect::<String>()) }
}
