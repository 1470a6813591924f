//! The log over HTTP pages: the floors, and the position that a fetch is stamped with.

use newsreel_core::read::floors::{Floors, raised_by};
use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::{Epoch, Hash, Position, Version};
use serde::Deserialize;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::Failure;
use crate::http::{self, CallError, call_while_alive};

/// The log as far as it has been read: the floors and the position.
pub(super) struct LogReader {
    at: BrokerOptions,
    broker: BrokerClient,
    floors: Floors,
    /// Every floor up to here is held.
    position: Option<Position>,
}

/// A page of versions, or of a fold.
#[derive(Deserialize)]
struct LogPage {
    epoch: Epoch,
    to: Version,
    head: Version,
    hash: Hash,
    #[serde(default)]
    versions: Vec<VersionRow>,
    #[serde(default)]
    changes: Vec<FoldedChange>,
    #[serde(default)]
    more: bool,
    #[serde(default)]
    next: String,
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
        let mut fold = String::new();
        loop {
            let claim = match &self.position {
                None => "since=0".to_owned(),
                Some(Position { epoch, version, hash }) => {
                    format!("epoch={epoch}&since={version}&hash={hash}")
                }
            };
            let Some(page) = self.page(&format!("{claim}{fold}")).await? else {
                // Nothing is carried over to another log.
                (self.floors, self.position) = (Floors::default(), None);
                fold.clear();
                continue;
            };
            let rows =
                page.versions.iter().flat_map(|row| row.changes.iter().map(|change| (row.version, change)));
            let folded = page.changes.iter().map(|folded| (folded.version, &folded.change));
            for row in raised_by(rows.chain(folded)) {
                self.floors.raise(row);
            }
            if page.more {
                fold = format!("&fold={}", page.next);
                continue;
            }
            fold.clear();
            let position = Position { epoch: page.epoch, version: page.to, hash: page.hash };
            self.position = Some(position);
            if page.to >= page.head {
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
