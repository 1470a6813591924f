//! The log over HTTP pages: the floors, and the position that a fetch is stamped with.

use newsreel_core::read::floors::{Floors, raised_by};
use newsreel_core::wire::Position;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::Failure;
use crate::http::{self, CallError, call_while_alive};
use crate::log_page::{LogPage, query_after};

/// The log as far as it has been read: the floors and the position.
pub(super) struct LogReader {
    at: BrokerOptions,
    broker: BrokerClient,
    floors: Floors,
    /// Every floor up to here is held.
    position: Option<Position>,
}

impl LogReader {
    /// Returns a reader at no position, without floors.
    pub(super) fn new(at: &BrokerOptions) -> Result<Self, Failure> {
        let (at, broker) = (at.clone(), BrokerClient::new(at.clone())?);
        Ok(Self { at, broker, floors: Floors::default(), position: None })
    }

    /// Returns the floors up to the position.
    pub(super) fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Reads the log to its head; from the beginning if it is not the log that was read before. Returns the
    /// head's position as it was when this began, or a later one.
    pub(super) async fn catch_up(&mut self) -> Result<Position, Failure> {
        let mut fold: Option<String> = None;
        loop {
            let Some(page) = self.page(&query_after(self.position, fold.as_deref())).await? else {
                // Nothing is carried over to another log.
                (self.floors, self.position) = (Floors::default(), None);
                fold = None;
                continue;
            };
            let rows =
                page.versions.iter().flat_map(|row| row.changes.iter().map(|change| (row.version, change)));
            let folded = page.changes.iter().flatten().map(|folded| (folded.version, &folded.change));
            for row in raised_by(rows.chain(folded)) {
                self.floors.raise(row);
            }
            let position = page.position();
            fold = page.next;
            if fold.is_some() {
                continue;
            }
            self.position = Some(position);
            if position.version >= page.head {
                return Ok(position);
            }
        }
    }

    /// Asks for a page; none if the position is not on the log.
    async fn page(&self, query: &str) -> Result<Option<LogPage>, Failure> {
        let ask = || async {
            match self.broker.changes(query).await {
                Err(CallError::Refused { code, .. }) if code == "reset" => Ok(None),
                answer => answer.map(Some),
            }
        };
        let answer = call_while_alive(&self.at.broker, self.at.retry_for(), ask).await?;
        answer.map(|text| http::read(&self.at.broker, BROKER, &text)).transpose()
    }
}
