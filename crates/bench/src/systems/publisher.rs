//! One publisher of any of the systems.

use anyhow::{Result, bail};

use super::{CATALOG, System, publish};
use crate::clients::http::Connection;
use crate::clients::nats::Nats;
use crate::clients::redis::Redis;
use crate::clients::socket::SocketPublisher;

/// How a publisher publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One publish, and its acknowledgement before the next.
    Single,
    /// So many publishes together, and all of their acknowledgements before the next: NDJSON over HTTP.
    Lines(u64),
    /// So many publishes under way at any time: the publishing socket.
    Window(u64),
}

/// A publisher on one connection.
pub(crate) struct Publisher {
    connection: Connected,
    way: Way,
    /// Publishes that are sent and not acknowledged; only a window leaves any.
    unanswered: u64,
}

enum Connected {
    Http(Connection),
    Socket(Box<SocketPublisher>),
    Redis(Box<Redis>),
    Nats(Box<Nats>),
}

impl Publisher {
    pub(crate) async fn open(system: &System, port: u16, way: Way) -> Result<Self> {
        let connection = match (system, way) {
            (System::Newsreel(..) | System::Object(_), Way::Window(_)) => {
                Connected::Socket(Box::new(SocketPublisher::open(port, CATALOG).await?))
            }
            (System::Newsreel(..) | System::Object(_), Way::Single | Way::Lines(_)) => {
                Connected::Http(Connection::open(port).await?)
            }
            (System::Redis { .. }, _) => Connected::Redis(Box::new(Redis::open(port).await?)),
            (System::Baseline(_), _) => bail!("{} has no log", system.name()),
            (System::Nats, _) => Connected::Nats(Box::new(Nats::open(port).await?)),
        };
        Ok(Self { connection, way, unanswered: 0 })
    }

    /// Publishes once, with so many changes from a number on, or as often as the way has it. Returns how many publishes
    /// were acknowledged meanwhile, which with a window are earlier ones.
    pub(crate) async fn publish(&mut self, first: u64, changes: u64) -> Result<u64> {
        let together = match self.way {
            Way::Single => 1,
            Way::Lines(lines) => lines,
            Way::Window(window) => window - self.unanswered,
        };
        let texts = (0..together).map(|nth| publish(first + nth * changes, changes));
        match &mut self.connection {
            Connected::Http(connection) => over_http(connection, self.way, texts).await?,
            Connected::Socket(socket) => {
                for text in texts {
                    socket.feed(text).await?;
                }
                socket.flush().await?;
            }
            Connected::Redis(redis) => to_redis(redis, first, together, changes).await?,
            Connected::Nats(nats) => {
                (first..first + together * changes).for_each(|number| nats.append(&super::change(number)));
                nats.flush().await?;
            }
        }
        self.unanswered += together;
        self.answers(changes).await
    }

    /// Waits for what is under way. Returns how many publishes that were.
    pub(crate) async fn finish(&mut self, changes: u64) -> Result<u64> {
        let mut answered = 0;
        while self.unanswered > 0 {
            answered += self.answers(changes).await?;
        }
        Ok(answered)
    }

    async fn answers(&mut self, changes: u64) -> Result<u64> {
        let answered = match (&mut self.connection, self.way) {
            (Connected::Http(_), _) => self.unanswered,
            (Connected::Socket(socket), _) => socket.answers().await?,
            (connection, way) => {
                // Replies come one by one: a window is refilled by its half, so that both ends have work.
                let wanted =
                    if matches!(way, Way::Window(_)) { self.unanswered.div_ceil(2) } else { self.unanswered };
                for _ in 0..wanted {
                    connection.acknowledgement(changes).await?;
                }
                wanted
            }
        };
        if answered > self.unanswered {
            bail!("{answered} answers to {} publishes", self.unanswered);
        }
        self.unanswered -= answered;
        Ok(answered)
    }
}

impl Connected {
    /// Reads what the server says to one publish.
    async fn acknowledgement(&mut self, changes: u64) -> Result<()> {
        match self {
            // Each change is an entry and a message; several are one transaction, whose replies are 2 lines and an
            // acknowledgement for each command before its result.
            Self::Redis(redis) => {
                let replies = if changes == 1 { 2 } else { 2 * changes + 2 };
                for _ in 0..replies {
                    redis.reply().await?;
                }
            }
            Self::Nats(nats) => {
                for _ in 0..changes {
                    nats.ack().await?;
                }
            }
            Self::Http(_) | Self::Socket(_) => {}
        }
        Ok(())
    }
}

async fn over_http(connection: &mut Connection, way: Way, texts: impl Iterator<Item = String>) -> Result<()> {
    let path = format!("/v1/catalogs/{CATALOG}/changes");
    let body = texts.collect::<Vec<_>>().join("\n");
    if !matches!(way, Way::Lines(_)) {
        return connection.post(&path, "application/json", body).await.map(drop);
    }
    let answer = connection.post(&path, "application/x-ndjson", body).await?;
    let answers = String::from_utf8_lossy(&answer.body);
    if let Some(problem) = answers.lines().find(|line| line.contains("urn:newsreel:problem")) {
        bail!("a line was refused: {problem}");
    }
    Ok(())
}

async fn to_redis(redis: &mut Redis, first: u64, publishes: u64, changes: u64) -> Result<()> {
    for nth in 0..publishes {
        if changes > 1 {
            redis.transaction("MULTI");
        }
        let from = first + nth * changes;
        (from..from + changes).for_each(|number| redis.append(&super::change(number)));
        if changes > 1 {
            redis.transaction("EXEC");
        }
    }
    redis.flush().await
}
