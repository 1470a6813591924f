//! Reads the log from a position, for callers without a socket: pages and streams of events.

use std::rc::Rc;

use newsreel_core::follow::topics::Topics;
use newsreel_core::log::{ClaimStatus, ResetReason};
use newsreel_core::wire::claim::Claim;
use newsreel_core::wire::cursor::{FoldCursor, PageCursor};
use newsreel_core::wire::{Position, Version, frame, page, sse};
use worker::Result;

use crate::driver::BrokerDriver;
use crate::follow::permits::Permits;
use crate::follow::streams::Streams;

/// The same address is a page or a stream of events, and answers each web page in its own name.
pub(crate) const VARY: &str = "Accept, Origin";

/// Reads the log of one catalog for callers without a socket.
pub(crate) struct LogReader {
    pub(crate) driver: Rc<BrokerDriver>,
    /// The permits of long polls, which wait for a version.
    pub(crate) polls: Permits,
    /// The open streams of server-sent events, and their permits.
    pub(crate) streams: Rc<Streams>,
}

/// The part of the log that follows a claimed position.
pub(crate) enum Found {
    /// The claim is the head.
    AtHead(Position),
    /// The versions that follow the claim, or a part of the fold that holds them.
    Part(LogPart),
    /// The claim is not on the log, which ends here.
    Elsewhere(Position, ResetReason),
}

/// A part of the log.
pub(crate) struct LogPart {
    /// The position after it; of a fold, after all of it.
    pub(crate) to: Position,
    body: PartBody,
}

/// The JSON items that passed the topics, separated by commas.
enum PartBody {
    Versions(String),
    /// The zero-based part number of the fold, and where the fold goes on, unless this is its last part.
    Fold(u32, String, Option<FoldCursor>),
}

impl LogReader {
    pub(crate) fn new(driver: Rc<BrokerDriver>) -> Self {
        let streams = Rc::new(Streams::new(Rc::clone(&driver.moved)));
        Self { driver, polls: Permits::default(), streams }
    }

    /// Reads the log after `claim`: at most `limit` versions, and of those the changes that pass the topics.
    /// Where the versions are folded, reads the part of the fold at `fold`. A reader that has a part of
    /// another epoch's fold is not on this log.
    pub(crate) fn read(
        &self,
        claim: Claim,
        fold: Option<&PageCursor>,
        topics: &Topics,
        limit: u32,
    ) -> Result<Found> {
        let head = self.driver.head()?;
        if fold.is_some_and(|fold| fold.epoch != head.epoch) {
            return Ok(Found::Elsewhere(head, ResetReason::Epoch));
        }
        if claim == Claim::from(head) {
            return Ok(Found::AtHead(head));
        }
        let logged = self.driver.logged(claim)?;
        let standing = self.driver.hub()?.log().claim_status(claim, logged);
        let from = match standing {
            ClaimStatus::Current => return Ok(Found::AtHead(head)),
            ClaimStatus::NotOnLog(reason) => return Ok(Found::Elsewhere(head, reason)),
            ClaimStatus::Behind { after } => after,
        };
        let folded = self.driver.hub()?.log().folded();
        if from < folded.version {
            let cursor = fold.map(|fold| fold.cursor.clone()).unwrap_or_default();
            let part = self.driver.rows().fold_part(from, &cursor)?;
            let mut changes = String::from(part.changes);
            if !topics.is_everything() {
                changes = topics.filtered_fold(&changes)?;
            }
            return Ok(Found::Part(LogPart {
                to: folded,
                body: PartBody::Fold(cursor.part, changes, part.next),
            }));
        }
        let page =
            self.driver.rows().page(&head, from, limit)?.ok_or("a version below the head has no row")?;
        let mut rows = String::from(page.rows);
        if !topics.is_everything() {
            rows = topics.filtered(&rows)?;
        }
        Ok(Found::Part(LogPart { to: page.to, body: PartBody::Versions(rows) }))
    }
}

impl LogPart {
    /// Returns the part that brings nothing to a reader at the head.
    pub(crate) fn empty(at: Position) -> Self {
        Self { to: at, body: PartBody::Versions(String::new()) }
    }

    /// Says whether this is a part of the fold.
    pub(crate) fn is_folded(&self) -> bool {
        matches!(self.body, PartBody::Fold(..))
    }

    /// Says whether the topics hid every version, so that only the new position is left to send.
    pub(crate) fn is_hidden(&self) -> bool {
        match &self.body {
            PartBody::Versions(rows) => rows.is_empty(),
            PartBody::Fold(..) => false,
        }
    }

    /// Returns where the fold goes on; `None` after its last part, and for versions.
    pub(crate) fn next(&self) -> Option<&FoldCursor> {
        match &self.body {
            PartBody::Versions(_) => None,
            PartBody::Fold(.., next) => next.as_ref(),
        }
    }

    /// Returns the part as a page for a reader at `from`, which is at or before its beginning.
    pub(crate) fn page(&self, from: Version, head: Version) -> String {
        match &self.body {
            PartBody::Versions(rows) => page::text(from, &self.to, head, rows),
            PartBody::Fold(_, changes, next) => page::fold_text(from, &self.to, head, changes, next.as_ref()),
        }
    }

    /// Returns the entity tag of that page.
    pub(crate) fn etag(&self, from: Version, head: Version) -> String {
        match &self.body {
            PartBody::Versions(_) => page::etag(from, &self.to, head),
            PartBody::Fold(..) => page::fold_etag(from, &self.to, head),
        }
    }

    /// Returns the part as an event for a stream that was last told of `from`. A part of a fold that goes
    /// on has no id.
    pub(crate) fn event(&self, from: Version) -> String {
        match &self.body {
            PartBody::Versions(rows) => {
                sse::event("changes", Some(&self.to), &frame::changes_text(from, &self.to, false, rows))
            }
            PartBody::Fold(part, changes, next) => {
                let frame = frame::fold_text(from, &self.to, *part, changes, next.is_some());
                sse::event("fold", next.is_none().then_some(&self.to), &frame)
            }
        }
    }
}
