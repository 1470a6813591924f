//! Reads one stream for its group: one process at a time, by a lease, so that entries are published in their order.
//!
//! A process that takes the lease first claims all that was given to any consumer of the group and never acknowledged,
//! oldest first, and then reads on. So each process publishes the entries in one and the same order, from the oldest that
//! is not acknowledged; and of two that publish the same entry, the broker takes the first by its idempotency key. A
//! process that was stopped for longer than its lease and wakes up therefore changes neither content nor order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Value, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::connect::{Connection, Server};
use super::event::Event;
use super::metrics::Metrics;
use super::scripts::{Claim, Gap, Read, Seat, StreamEntry};
use crate::exit::note;

/// The most entries of the first read, when nothing is known of their size.
const FIRST_COUNT: usize = 50;
/// The most entries of one read.
const MAX_COUNT: usize = 500;
/// How many bytes of fields a read should have.
const READ_BYTES: usize = 1 << 20;
/// The longest wait for an entry, in which the lease is not renewed.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The reader of one stream.
pub(super) struct Reader {
    pub(super) stream: usize,
    pub(super) seat: Seat,
    pub(super) claim_idle: Duration,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) metrics: Arc<Metrics>,
    redis: Connection,
    waiting: Connection,
    wait: Duration,
    count: usize,
    /// Whether this process has the lease, as far as is known.
    has_lease: bool,
    told_standby: bool,
    claimed: Option<Instant>,
    /// The newest entry that this reader was given, as long as it has the lease.
    last: Option<String>,
}

/// The parts of a reader that the session has.
pub(super) struct ReaderParts {
    pub(super) stream: usize,
    pub(super) seat: Seat,
    pub(super) claim_idle: Duration,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) metrics: Arc<Metrics>,
}

impl Reader {
    /// Connects.
    pub(super) async fn connect(parts: ReaderParts, server: &Server) -> Result<Self, RedisError> {
        let ReaderParts { stream, seat, claim_idle, events, metrics } = parts;
        let lease = Duration::from_millis(u64::try_from(seat.lease_ms).unwrap_or(u64::MAX));
        let wait = MAX_WAIT.min(lease / 3).max(Duration::from_millis(20));
        Ok(Self {
            redis: server.connect().await?,
            waiting: server.connect_waiting(wait).await?,
            stream,
            seat,
            claim_idle,
            events,
            metrics,
            wait,
            count: FIRST_COUNT,
            has_lease: false,
            told_standby: false,
            claimed: None,
            last: None,
        })
    }

    /// Reads until the connection breaks.
    pub(super) async fn run(mut self) -> Result<Infallible, RedisError> {
        loop {
            if !self.has_lease && !self.take().await? {
                sleep(self.wait.min(Duration::from_millis(500))).await;
                continue;
            }
            match self.claimed {
                None => self.claim(Duration::ZERO).await?,
                Some(at) if at.elapsed() >= self.claim_idle / 2 => self.claim(self.claim_idle).await?,
                Some(_) => {}
            }
            if self.has_lease {
                self.read().await?;
            }
        }
    }

    async fn take(&mut self) -> Result<bool, RedisError> {
        let had_lease = std::mem::replace(&mut self.has_lease, self.seat.take(&mut self.redis).await?);
        self.metrics.reads(&self.seat.names.stream, self.has_lease);
        let stream = &self.seat.names.stream;
        match (had_lease, self.has_lease) {
            (false, true) if self.told_standby => {
                self.told_standby = false;
                note!("source: reading {stream}, which another process read before");
            }
            (_, false) if !self.told_standby => {
                self.told_standby = true;
                note!("source: another process reads {stream}; waiting to take over");
            }
            (_, _) => {}
        }
        if !had_lease {
            (self.claimed, self.last) = (None, None);
        }
        Ok(self.has_lease)
    }

    fn lost(&mut self) {
        self.has_lease = false;
        self.metrics.reads(&self.seat.names.stream, false);
    }

    /// Claims what was given to a consumer and idle for so long.
    async fn claim(&mut self, idle: Duration) -> Result<(), RedisError> {
        let mut cursor = Some("0-0".to_owned());
        while let Some(from) = cursor {
            match self.seat.claim(&mut self.redis, idle.as_millis(), &from, self.count.min(100)).await? {
                Claim::Lost => {
                    self.lost();
                    return Ok(());
                }
                Claim::Nothing => cursor = None,
                Claim::Entries { incarnation, next, entries } => {
                    self.metrics.claimed(&self.seat.names.stream, entries.len());
                    self.hand_over(&incarnation, entries).await?;
                    cursor = next;
                }
            }
        }
        self.claimed = Some(Instant::now());
        Ok(())
    }

    async fn read(&mut self) -> Result<(), RedisError> {
        match self.seat.read(&mut self.redis, self.count, self.last.as_deref()).await? {
            Read::Lost => self.lost(),
            Read::Moved => (self.claimed, self.last) = (None, None),
            Read::Gap(gap) => {
                self.last = None;
                self.heal(&gap).await?;
            }
            Read::Entries { incarnation, lag, pending, last, entries } => {
                self.metrics.group(&self.seat.names.stream, lag, pending);
                self.last = Some(last.clone());
                if entries.is_empty() {
                    return self.wait_for_more(&last).await;
                }
                self.adapt(&entries);
                self.hand_over(&incarnation, entries).await?;
            }
        }
        Ok(())
    }

    /// Chooses how many entries the next read may have by the size of these.
    fn adapt(&mut self, entries: &[StreamEntry]) {
        let bytes: usize = entries.iter().map(StreamEntry::size).sum();
        let each = (bytes / entries.len().max(1)).max(1);
        self.count = (READ_BYTES / each).clamp(1, MAX_COUNT);
    }

    async fn hand_over(&mut self, incarnation: &str, entries: Vec<StreamEntry>) -> Result<(), RedisError> {
        if entries.is_empty() {
            return Ok(());
        }
        let scope = self.seat.names.scope(&self.seat.group, incarnation);
        self.send(Event::Entries { stream: self.stream, scope, entries }).await
    }

    /// Has the wide change published, and notes that it is durable.
    async fn heal(&mut self, gap: &Gap) -> Result<(), RedisError> {
        let (durable, mut is_durable) = oneshot::channel();
        self.send(Event::Gap { stream: self.stream, why: gap.why(), durable }).await?;
        loop {
            tokio::select! {
                outcome = &mut is_durable => {
                    if outcome.is_ok() {
                        self.seat.heal(&mut self.redis, gap).await?;
                    }
                    return Ok(());
                }
                () = sleep(self.wait) => drop(self.take().await?),
            }
        }
    }

    /// Tells the loop; keeps the lease while the loop has no room.
    async fn send(&mut self, event: Event) -> Result<(), RedisError> {
        let events = self.events.clone();
        loop {
            tokio::select! {
                permit = events.reserve() => {
                    if let Ok(permit) = permit {
                        permit.send(event);
                    }
                    return Ok(());
                }
                () = sleep(self.wait) => drop(self.take().await?),
            }
        }
    }

    /// Waits until the stream has an entry behind this one, or until it is time to renew the lease.
    async fn wait_for_more(&mut self, last: &str) -> Result<(), RedisError> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(self.wait.as_millis().to_string());
        command.arg("STREAMS").arg(&self.seat.names.stream).arg(last);
        drop(self.waiting.ask::<Value>(&command).await?);
        Ok(())
    }
}
