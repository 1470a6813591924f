//! The two connections of a source by logical replication, to one server.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_postgres::Client;
use tokio_postgres::config::Host;

use super::attempts::SessionError;
use super::wire::{Login, Wire};
use crate::database::Database;

/// Two connections to one server.
pub(super) struct Connected {
    /// For the log.
    pub(super) wire: Wire,
    /// For questions.
    pub(super) client: Client,
}

/// Connects to the first host that answers and is of the right kind.
pub(super) async fn connect(database: &Database) -> Result<Connected, SessionError> {
    database.first(|host, port| connect_to(database, host, port).boxed()).await
}

async fn connect_to(database: &Database, host: &Host, port: u16) -> Result<Connected, SessionError> {
    let (client, _) = database.client_of(host, port, Arc::default()).await?;
    let login = Login {
        user: database.user().to_owned(),
        database: database.dbname().to_owned(),
        password: database.password_for(host, port),
        application: database.application().to_owned(),
        binding: database.channel_binding(),
    };
    let wire = Wire::log_in(database.open(host, port).await?, &login).await?;
    Ok(Connected { wire, client })
}
