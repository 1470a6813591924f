//! What both ways to follow a database share: why a session ends, and what goes to the broker.

use std::sync::Arc;
use std::time::Duration;

use newsreel_core::wire::Change;
use newsreel_mapping::{Batch, Limits, Mapping};
use serde_json::json;

use super::PostgresOptions;
use super::gather::History;
use super::lsn::Lsn;
use super::outbox::{OutboxError, ScanError};
use super::outgoing::{Durable, LogOutgoing, Origin};
use super::pgoutput::OutputError;
use super::slot::SetupError;
use super::upkeep::UpkeepError;
use super::watch::PostgresWatch;
use super::wire::WireError;
use crate::database::ConnectError;
use crate::exit::{Failure, print};
use crate::source::attempts::{Ended, Patience};
use crate::source::metrics::Wide;
use crate::source::outgoing::Wake;

/// Queues everything that the mapping covers as changed. With it nothing that was committed counts as durable.
pub(super) async fn publish_wide(
    mapping: &Mapping,
    history: &History,
    watch: &PostgresWatch,
    outgoing: &mut LogOutgoing,
    lsn: Option<Lsn>,
) {
    let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
    mapping.wide().into_iter().for_each(|target| batch.add(Change::of(target)));
    let publishes = batch.into_publishes();
    watch.shared.metrics.wide(Wide::Gap, publishes.iter().map(|publish| publish.changes.len()).sum());
    let of =
        Origin { xid: None, lsn, committed_at: watch.shared.now(), part: 0, rows: Arc::default(), end: None };
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

impl Ended for SessionError {
    fn passing(self) -> Result<Self, Failure> {
        match self {
            Self::Fatal(failure) => Err(failure),
            Self::Setup(_) | Self::NotInstalled(_) => Err(Failure::Input(self.to_string())),
            Self::Connect(_)
            | Self::Wire(_)
            | Self::Client(_)
            | Self::Scan(_)
            | Self::Output(_)
            | Self::Stalled(_)
            | Self::Ended
            | Self::Unpublished(_) => Ok(self),
        }
    }
}

/// Returns how long a source is patient with its database.
pub(super) fn patience(options: &PostgresOptions) -> Patience {
    Patience { good_after: options.status_interval(), max_failures: options.shared.max_failures }
}

/// Sends and hears what there is, and prints what has become durable. Says whether a wide change has.
pub(super) async fn publish(
    outgoing: &mut LogOutgoing,
    watch: &PostgresWatch,
    wake: Wake,
) -> Result<bool, Failure> {
    let durable = outgoing.on_wake(wake).await?;
    watch.published(&durable, outgoing);
    report(&durable)?;
    Ok(durable.iter().any(|durable| durable.of.xid.is_none()))
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
