//! One follower of any of the systems: counts what it is told.

use anyhow::{Result, bail};

use super::{CATALOG, System};
use crate::clients::nats::{self, Nats};
use crate::clients::redis::Redis;
use crate::clients::socket::SocketFollower;

/// Where a follower begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    Beginning,
    Head,
    /// A position at the head, as a follower that lost its connection shows it.
    Resume(Position),
}

/// A position on a log on workerd; on others there is nothing to show but the last entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    /// The query of the address to follow at.
    pub(crate) query: String,
}

/// A follower, by the connection over which its system tells it of changes.
pub(crate) enum Follower {
    Socket(Box<SocketFollower>),
    /// A subscriber of the channel.
    Channel(Box<Redis>),
    /// A reader of the stream from its beginning.
    Stream(Box<Redis>),
    Nats(Box<Nats>),
}

impl Follower {
    pub(super) async fn open(system: &System, port: u16, start: &Start) -> Result<Self> {
        match system {
            System::Newsreel(..) | System::Object(_) => {
                let query = match start {
                    Start::Beginning => "version=0",
                    Start::Head => "",
                    Start::Resume(position) => &position.query,
                };
                let mut follower = SocketFollower::open(port, CATALOG, query).await?;
                if *start != Start::Beginning {
                    follower.until_live().await?;
                }
                Ok(Self::Socket(Box::new(follower)))
            }
            System::Redis { .. } => redis(port, start).await,
            System::Nats => {
                let mut connection = Box::new(Nats::open(port).await?);
                let from = if *start == Start::Beginning { nats::From::Beginning } else { nats::From::Now };
                connection.consume(from).await?;
                Ok(Self::Nats(connection))
            }
            System::Baseline(_) => bail!("{} has no log", system.name()),
        }
    }

    /// Waits until there is more. Returns how many messages came: versions, or changes where each is a message.
    pub(crate) async fn next(&mut self) -> Result<u64> {
        match self {
            Self::Socket(socket) => socket.next().await,
            Self::Channel(connection) => connection.reply().await.map(|_| 1),
            Self::Stream(connection) => connection.read_page().await,
            Self::Nats(connection) => connection.changes().await,
        }
    }

    /// Reads a log from its beginning until so many versions have come, or until the broker says that this is all: a
    /// compacted log has fewer changes than it had versions.
    pub(crate) async fn replay(&mut self, versions: u64) -> Result<()> {
        if let Self::Socket(socket) = self {
            return socket.until_live().await;
        }
        let mut read = 0;
        while read < versions {
            read += self.next().await?;
        }
        Ok(())
    }
}

async fn redis(port: u16, start: &Start) -> Result<Follower> {
    let mut connection = Box::new(Redis::open(port).await?);
    match start {
        Start::Beginning => return Ok(Follower::Stream(connection)),
        Start::Head => connection.subscribe().await?,
        Start::Resume(_) => {
            connection.go_to_end().await?;
            connection.subscribe().await?;
        }
    }
    Ok(Follower::Channel(connection))
}
