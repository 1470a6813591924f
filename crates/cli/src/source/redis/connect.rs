//! The way to Redis: one server, a cluster, or the master that sentinels know.

use std::path::Path;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo as _, ProtocolVersion, RedisError, TlsCertificates, TlsMode,
};

use super::options::ServerOptions;
use crate::exit::Failure;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take that does not wait for an event.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where Redis is.
#[derive(Debug, Clone)]
pub(super) struct Server {
    kind: Kind,
    nodes: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Single,
    Cluster,
    Sentinel(String),
}

/// A connection to Redis.
#[derive(Clone)]
pub(super) enum Connection {
    /// A connection to one server.
    Single(MultiplexedConnection),
    /// Connections to the nodes of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends a command, and returns its answer.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl Server {
    /// Reads the flags.
    ///
    /// # Errors
    /// If an address is none, or a file of certificates cannot be read.
    pub(super) fn of(options: &ServerOptions) -> Result<Self, Failure> {
        // redis-rs takes the provider of the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nodes = options.redis.iter().map(|address| node(address)).collect::<Result<Vec<_>, _>>()?;
        let kind = match (&options.sentinel, options.cluster) {
            (Some(name), _) => Kind::Sentinel(name.clone()),
            (None, true) => Kind::Cluster,
            (None, false) => Kind::Single,
        };
        if kind == Kind::Single && nodes.len() != 1 {
            let why =
                "several addresses are those of a cluster or of sentinels: give --cluster or --sentinel NAME";
            return Err(Failure::Input(why.to_owned()));
        }
        Ok(Self {
            kind,
            nodes,
            certificates: certificates(options)?,
            username: options.redis_username.clone(),
            password: options.redis_password.clone(),
        })
    }

    /// Returns the address, without a password.
    pub(super) fn name(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        match &self.kind {
            Kind::Single => format!("Redis at {}", nodes.join(", ")),
            Kind::Cluster => format!("the Redis cluster at {}", nodes.join(", ")),
            Kind::Sentinel(name) => format!("the Redis {name:?} of the sentinels at {}", nodes.join(", ")),
        }
    }

    /// Says whether keys that are used together must have the same hash slot.
    pub(super) fn has_slots(&self) -> bool {
        self.kind == Kind::Cluster
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<Connection, RedisError> {
        self.connect_waiting(Duration::ZERO).await
    }

    /// Connects for commands that wait for an event for up to so long.
    pub(super) async fn connect_waiting(&self, wait: Duration) -> Result<Connection, RedisError> {
        let timeout = ANSWER_TIMEOUT + wait;
        match &self.kind {
            Kind::Cluster => {
                let client = self.cluster(timeout)?;
                Ok(Connection::Cluster(client.get_async_connection().await?))
            }
            Kind::Single | Kind::Sentinel(_) => {
                let config = config(timeout);
                let client = self.client().await?;
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Connection::Single(connection))
            }
        }
    }

    /// Connects for Pub/Sub; what is sent to the channels goes to `messages`. The nodes of a cluster pass messages on
    /// to each other, so that one of them is enough.
    pub(super) async fn connect_pushing(
        &self,
        messages: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = config(ANSWER_TIMEOUT).set_push_sender(messages);
        self.client().await?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Returns the client of one server: the only one, the master, or the first node of a cluster that answers.
    async fn client(&self) -> Result<Client, RedisError> {
        if let Kind::Sentinel(name) = &self.kind {
            return self.sentinels(name)?.async_get_client().await;
        }
        let mut last = None;
        for node in &self.nodes {
            let client = match &self.certificates {
                Some(certificates) => Client::build_with_tls(node.clone(), certificates.clone())?,
                None => Client::open(node.clone())?,
            };
            if self.nodes.len() == 1 {
                return Ok(client);
            }
            match client.get_multiplexed_async_connection_with_config(&config(ANSWER_TIMEOUT)).await {
                Ok(_) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| (redis::ErrorKind::InvalidClientConfig, "there is no address").into()))
    }

    fn cluster(&self, timeout: Duration) -> Result<ClusterClient, RedisError> {
        let mut builder = ClusterClientBuilder::new(self.nodes.clone())
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(timeout);
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder.build()
    }

    fn sentinels(&self, name: &str) -> Result<SentinelClient, RedisError> {
        let addresses: Vec<ConnectionAddr> = self.nodes.iter().map(|node| node.addr().clone()).collect();
        let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(first) = self.nodes.first() {
            let settings = first.redis_settings();
            builder = builder.set_client_to_redis_db(settings.db());
            if let Some(password) = settings.password() {
                builder = builder.set_client_to_sentinel_password(password);
            }
            if let Some(username) = settings.username() {
                builder = builder.set_client_to_sentinel_username(username);
            }
            if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
        }
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
            builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }
}

fn config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(timeout))
}

/// Reads an address; RESP3 is spoken unless it says otherwise.
fn node(address: &str) -> Result<ConnectionInfo, Failure> {
    let wrong = |error: RedisError| {
        // The text of an address may have a password in it.
        Failure::Input(format!("an address of --redis is wrong: {error}: write redis://HOST:PORT"))
    };
    let node = address.into_connection_info().map_err(wrong)?;
    if address.contains("protocol=") {
        return Ok(node);
    }
    let settings = node.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(node.set_redis_settings(settings))
}

fn certificates(options: &ServerOptions) -> Result<Option<TlsCertificates>, Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
    };
    let root_cert = options.redis_ca.as_deref().map(read).transpose()?;
    let client_tls = match (&options.redis_cert, &options.redis_key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (_, _) => None,
    };
    let is_given = root_cert.is_some() || client_tls.is_some();
    Ok(is_given.then_some(TlsCertificates { client_tls, root_cert }))
}
