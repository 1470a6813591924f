//! The pool of connections to the primary, each with its prepared statements.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, BuildError, Metrics, RecycleError, RecycleResult, Timeouts};
use deadpool_postgres::ClientWrapper;

use crate::database::{ConnectError, Database};

/// How long a read waits for a connection of the pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to the primary that reads share.
pub(super) type Pool = managed::Pool<Primary>;
/// A connection of the pool.
pub(super) type Connection = managed::Object<Primary>;
/// Why the pool gave no connection.
pub(super) type PoolError = managed::PoolError<ConnectError>;

/// What makes the connections.
pub(super) struct Primary(Database);

impl managed::Manager for Primary {
    type Type = ClientWrapper;
    type Error = ConnectError;

    async fn create(&self) -> Result<ClientWrapper, ConnectError> {
        let (client, task) = self.0.client_and_task().await?;
        Ok(ClientWrapper::new(client, task))
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

/// Returns a pool of so many connections at most.
pub(super) fn pool(database: Database, connections: u16) -> Result<Pool, BuildError> {
    let timeouts = Timeouts { wait: Some(WAIT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: None };
    let builder = Pool::builder(Primary(database)).max_size(connections.into()).timeouts(timeouts);
    builder.runtime(Runtime::Tokio1).build()
}
