//! Reading the log without a socket: what it has for a position, and a page of that, at once or when there is one.

use std::rc::Rc;

use newsreel_core::follow::topics::Topics;
use newsreel_core::log::{Reason, Standing};
use newsreel_core::wire::claim::Claim;
use newsreel_core::wire::cursor::{FoldCursor, PageCursor};
use newsreel_core::wire::query::PageQuery;
use newsreel_core::wire::{Code, Hash, Position, Problem, UnixMillis, Version, etag, event, frame, page};
use worker::{Request, Response, ResponseBuilder, Result};

use crate::follow::notify::Seat;
use crate::js::{headers, now};
use crate::object::{Answer, Inner, grant};

/// How many answers may wait for a version at once.
const MAX_POLLS: u32 = 1_000;

/// The same address is a page or a stream of events, and answers each web page in its own name.
pub(crate) const VARY: &str = "Accept, Origin";

/// What the log has for whoever stands at a claim.
pub(crate) enum Found {
    /// It stands at the head.
    Nothing(Position),
    /// What comes next.
    Part(Part),
    /// It is not on the log, which ends here.
    Elsewhere(Position, Reason),
}

/// A part of the log as its readers get it.
pub(crate) struct Part {
    /// The position after it; of a fold, after all of it.
    pub(crate) to: Position,
    body: Body,
}

/// JSON items separated by commas: those that passed the topics.
enum Body {
    Versions(String),
    /// The so manieth part of the fold, with where it goes on, unless this is the last.
    Fold(u32, String, Option<FoldCursor>),
}

impl Part {
    /// Says whether there is nothing to tell of it but how far it went.
    pub(crate) fn is_hidden(&self) -> bool {
        match &self.body {
            Body::Versions(rows) => rows.is_empty(),
            Body::Fold(..) => false,
        }
    }

    /// Returns where a fold goes on, of which this is a part that is not the last.
    pub(crate) fn next(&self) -> Option<&FoldCursor> {
        match &self.body {
            Body::Versions(_) => None,
            Body::Fold(.., next) => next.as_ref(),
        }
    }

    /// Returns it as a page for whoever stands at `from`, which is at or before its beginning.
    fn page(&self, from: Version, head: Version) -> String {
        match &self.body {
            Body::Versions(rows) => page::text(from, &self.to, head, rows),
            Body::Fold(_, changes, next) => page::fold_text(from, &self.to, head, changes, next.as_ref()),
        }
    }

    fn etag(&self, from: Version, head: Version) -> String {
        match &self.body {
            Body::Versions(_) => page::etag(from, &self.to, head),
            Body::Fold(..) => page::fold_etag(from, &self.to, head),
        }
    }

    /// Returns it as an event for whoever was last told of `from`. A part of a fold that goes on has no id.
    pub(crate) fn event(&self, from: Version) -> String {
        match &self.body {
            Body::Versions(rows) => {
                event::event("changes", Some(&self.to), &frame::changes_text(from, &self.to, false, rows))
            }
            Body::Fold(part, changes, next) => {
                let frame = frame::fold_text(from, &self.to, *part, changes, next.is_some());
                event::event("fold", next.is_none().then_some(&self.to), &frame)
            }
        }
    }
}

impl Inner {
    /// Answers a request for changes: with a page, or with events if it asks for those.
    pub(crate) async fn changes(self: &Rc<Self>, request: &Request, query: PageQuery) -> Answer {
        let accept = request.headers().get("Accept")?.unwrap_or_default();
        if event::is_wanted(&accept) {
            return self.events(request, query);
        }
        self.page(request, query).await
    }

    /// Reads what comes after `claim`: at most `limit` versions, and of those what passes the topics. Of what is
    /// folded, the part after `fold`; whoever has a part of another log's fold is not on this one.
    ///
    /// Everything that is read without a socket is read here.
    pub(crate) fn read(
        &self,
        claim: Claim,
        fold: Option<&PageCursor>,
        topics: &Topics,
        limit: u32,
    ) -> Result<Found> {
        let head = self.head()?;
        if fold.is_some_and(|fold| fold.epoch != head.epoch) {
            return Ok(Found::Elsewhere(head, Reason::Epoch));
        }
        if claim == Claim::from(head) {
            return Ok(Found::Nothing(head));
        }
        let logged = self.logged(claim)?;
        let standing = self.settled()?.log().standing(claim, logged);
        let from = match standing {
            Standing::Current => return Ok(Found::Nothing(head)),
            Standing::Elsewhere(reason) => return Ok(Found::Elsewhere(head, reason)),
            Standing::Behind { after } => after,
        };
        let folded = self.settled()?.log().folded();
        if from < folded.version {
            let cursor = fold.map(|fold| fold.cursor.clone()).unwrap_or_default();
            let part = self.rows.fold_part(from, &cursor)?;
            let mut changes = String::from(part.changes);
            if !topics.is_everything() {
                changes = topics.filtered_fold(&changes)?;
            }
            return Ok(Found::Part(Part { to: folded, body: Body::Fold(cursor.part, changes, part.next) }));
        }
        let page = self.rows.page(&head, from, limit)?.ok_or("a version below the head has no row")?;
        let mut rows = String::from(page.rows);
        if !topics.is_everything() {
            rows = topics.filtered(&rows)?;
        }
        Ok(Found::Part(Part { to: page.to, body: Body::Versions(rows) }))
    }

    /// Returns the log's own hash at the claimed version.
    pub(crate) fn logged(&self, claim: Claim) -> Result<Option<Hash>> {
        self.rows.hash_at(self.settled()?.log(), claim.version())
    }

    /// Answers with a page of the log.
    async fn page(&self, request: &Request, mut query: PageQuery) -> Answer {
        let seat = if query.wait.is_zero() { None } else { self.readers.polls.take(MAX_POLLS) };
        if seat.is_none() && !query.wait.is_zero() {
            return Ok(Err(Problem::new(Code::Busy, "too many are waiting for a version; try again")));
        }
        let topics = Topics::new(std::mem::take(&mut query.topics));
        let mut until = now().plus(query.wait);
        // What the token no longer allows is not waited for.
        until = grant(request)?.until.map_or(until, |end| end.min(until));
        let found = self.found(&query, &topics, until, seat).await?;
        let head = self.head()?.version;
        let from = query.since.version();
        let part = match found {
            Found::Nothing(at) => Part { to: at, body: Body::Versions(String::new()) },
            Found::Part(part) => part,
            Found::Elsewhere(head, reason) => return Ok(Err(elsewhere(&head, reason))),
        };
        let cache_control = match part.body {
            Body::Versions(_) => page::cache_control(&query, part.to.version, head),
            Body::Fold(..) => "no-store",
        };
        page_response(request, &part.etag(from, head), cache_control, part.page(from, head)).map(Ok)
    }

    /// Reads once; at the head, waits for a version that passes the topics or for the end of the time.
    async fn found(
        &self,
        query: &PageQuery,
        topics: &Topics,
        until: UnixMillis,
        _seat: Option<Seat>,
    ) -> Result<Found> {
        let (mut at, mut waited) = (query.since, false);
        loop {
            match self.read(at, query.fold.as_ref(), topics, query.limit)? {
                Found::Nothing(head) => {
                    let left = until.since(now());
                    if left.is_zero() {
                        return Ok(Found::Nothing(head));
                    }
                    at = head.into();
                    waited = true;
                    self.readers.moved(left).await;
                }
                Found::Part(part) if waited && part.is_hidden() => at = part.to.into(),
                found @ (Found::Part(_) | Found::Elsewhere(..)) => return Ok(found),
            }
        }
    }
}

/// Returns a page, or 304 where its reader has it already.
fn page_response(request: &Request, etag: &str, cache_control: &str, text: String) -> Result<Response> {
    let headers = headers(&[("ETag", etag), ("Cache-Control", cache_control), ("Vary", VARY)])?;
    let known = request.headers().get("If-None-Match")?;
    if known.is_some_and(|known| etag::is_named(&known, etag)) {
        return Ok(ResponseBuilder::new().with_headers(headers).with_status(304).empty());
    }
    headers.set("Content-Type", "application/json")?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text.into_bytes()))
}

fn elsewhere(head: &Position, reason: Reason) -> Problem {
    Problem::new(Code::Reset, "forget everything cached; continue from this position")
        .with("reason", reason.text())
        .with("epoch", head.epoch)
        .with("version", head.version)
        .with("hash", head.hash)
}
