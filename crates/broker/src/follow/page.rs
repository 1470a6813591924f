//! A page of the log: at once, or by a long poll as soon as there is one.

use newsreel_core::follow::topics::Topics;
use newsreel_core::log::ResetReason;
use newsreel_core::wire::query::PageQuery;
use newsreel_core::wire::{Code, Position, Problem, UnixMillis, etag, page};
use newsreel_gate::{Answer, now};
use worker::{Request, ResponseBuilder, Result};

use crate::follow::reader::{Found, LogPart, LogReader, VARY};
use crate::http::{grant, headers};

/// How many requests may wait for a version at once.
const MAX_POLLS: u32 = 1_000;

/// Answers with a page of the log.
pub(crate) async fn page(reader: &LogReader, request: &Request, mut query: PageQuery) -> Answer {
    let waits = !query.wait.is_zero();
    let permit = if waits { reader.polls.take(MAX_POLLS) } else { None };
    if waits && permit.is_none() {
        return Err(Problem::new(Code::Busy, "too many are waiting for a version; try again").into());
    }
    let topics = Topics::new(std::mem::take(&mut query.topics));
    let mut until = now().plus(query.wait);
    // The answer does not wait past the end of the caller's token.
    until = grant(request)?.until.map_or(until, |end| end.min(until));
    let found = wait_for_part(reader, &query, &topics, until).await?;
    drop(permit);
    let head = reader.driver.head()?.version;
    let from = query.since.version();
    let part = match found {
        Found::AtHead(at) => LogPart::empty(at),
        Found::Part(part) => part,
        Found::Elsewhere(head, reason) => return Err(elsewhere(&head, reason).into()),
    };
    let cache_control =
        if part.is_folded() { "no-store" } else { page::cache_control(&query, part.to.version, head) };
    page_response(request, &part.etag(from, head), cache_control, part.page(from, head))
}

/// Reads once. At the head, waits for a version that passes the topics, but at most until `until`.
async fn wait_for_part(
    reader: &LogReader,
    query: &PageQuery,
    topics: &Topics,
    until: UnixMillis,
) -> Result<Found> {
    let (mut at, mut has_waited) = (query.since, false);
    loop {
        match reader.read(at, query.fold.as_ref(), topics, query.limit)? {
            Found::AtHead(head) => {
                let left = until.since(now());
                if left.is_zero() {
                    return Ok(Found::AtHead(head));
                }
                at = head.into();
                has_waited = true;
                reader.driver.moved.notified(left).await;
            }
            Found::Part(part) if has_waited && part.is_hidden() => at = part.to.into(),
            found @ (Found::Part(_) | Found::Elsewhere(..)) => return Ok(found),
        }
    }
}

/// Returns a page, or 304 where its reader has it already.
fn page_response(request: &Request, etag: &str, cache_control: &str, text: String) -> Answer {
    let headers = headers(&[("ETag", etag), ("Cache-Control", cache_control), ("Vary", VARY)])?;
    let known = request.headers().get("If-None-Match")?;
    if known.is_some_and(|known| etag::is_named(&known, etag)) {
        return Ok(ResponseBuilder::new().with_headers(headers).with_status(304).empty());
    }
    headers.set("Content-Type", "application/json")?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text.into_bytes()))
}

fn elsewhere(head: &Position, reason: ResetReason) -> Problem {
    Problem::new(Code::Reset, "forget everything cached; continue from this position")
        .with("reason", reason.text())
        .with("epoch", head.epoch)
        .with("version", head.version)
        .with("hash", head.hash)
}
