//! The publishes of a log on their way to the broker, and up to where in the log everything is durable.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::lsn::Lsn;
use super::rows::Rows;
use crate::broker::BrokerOptions;
use crate::exit::Failure;
use crate::source::outgoing::{self, Outgoing, Wake};

/// A publish that is durable.
pub(super) type Durable = outgoing::Durable<Origin>;
/// A publish that waits to be durable.
pub(super) type Entry = outgoing::Entry<Origin>;

/// The transaction that a publish is of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Origin {
    /// The xid of the transaction; none for a wide change of the source's own.
    pub(super) xid: Option<u64>,
    /// The LSN of the commit, where the source knows one.
    pub(super) lsn: Option<Lsn>,
    /// The time of the commit, in Unix milliseconds.
    pub(super) committed_at: i64,
    /// The number of the publish within the transaction, from 0.
    pub(super) part: usize,
    /// The rows of the transaction.
    pub(super) rows: Arc<Rows>,
    /// Up to where everything is durable with it; none but for the last publish of a transaction.
    pub(super) end: Option<Lsn>,
}

impl outgoing::Origin for Origin {
    fn at(&self) -> i64 {
        self.committed_at
    }
}

/// The queue of publishes, and the place in the log that it has reached.
pub(super) struct LogOutgoing {
    queue: Outgoing<Origin>,
    /// Everything up to here is durable.
    durable: Lsn,
}

impl LogOutgoing {
    /// Returns an empty queue, and begins to dial.
    pub(super) fn new(at: BrokerOptions) -> Self {
        Self { queue: Outgoing::new(at), durable: Lsn::default() }
    }

    /// Returns up to where everything is durable.
    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Begins a new history: what waits says nothing about the LSNs that follow.
    pub(super) fn begin_at(&mut self, confirmed: Lsn) {
        self.durable = confirmed;
        self.queue.origins().for_each(|of| of.end = None);
    }

    /// Notes that nothing is to be published up to here.
    pub(super) fn pass(&mut self, end: Lsn) {
        match self.queue.origins().next_back() {
            Some(last) => last.end = last.end.max(Some(end)),
            None => self.durable = self.durable.max(end),
        }
    }

    /// Acts, and returns what has become durable.
    ///
    /// # Errors
    /// If the broker refuses for good.
    pub(super) async fn on_wake(&mut self, wake: Wake) -> Result<Vec<Durable>, Failure> {
        let durable = self.queue.on_wake(wake).await?;
        let end = durable.iter().filter_map(|durable| durable.of.end).max();
        self.durable = self.durable.max(end.unwrap_or_default());
        Ok(durable)
    }
}

impl Deref for LogOutgoing {
    type Target = Outgoing<Origin>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl DerefMut for LogOutgoing {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.queue
    }
}
