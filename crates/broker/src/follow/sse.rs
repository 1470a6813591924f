//! The log as server-sent events: a stream that is pulled, one event at a time, so that a client that reads
//! slowly makes nothing grow; when the platform drops it, nothing is left.
//!
//! An open stream keeps the object awake, which a WebSocket does not.

use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_util::stream::try_unfold;
use newsreel_core::access::Grant;
use newsreel_core::follow::hub::BOOKMARK_EVERY;
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::claim::Claim;
use newsreel_core::wire::cursor::PageCursor;
use newsreel_core::wire::position::PositionError;
use newsreel_core::wire::query::PageQuery;
use newsreel_core::wire::{Code, Position, Problem, UnixMillis, Version, frame, sse};
use newsreel_gate::{Answer, Failure, now};
use worker::{Error, Method, Request, ResponseBuilder, console_error};

use crate::follow::permits::Permit;
use crate::follow::reader::{Found, LogPart, LogReader, VARY};
use crate::follow::streams::Streams;
use crate::http::{grant, headers};

/// How many streams may be open at once: each may hold an event, so a frame's worth of bytes.
const MAX_STREAMS: u32 = 256;
/// The longest time without a write: then the stream writes its position or a comment, so that
/// the connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One stream. It outlives the request that opened it, so it must not keep an evicted object in memory.
struct Events {
    opening: Option<String>,
    reader: Weak<LogReader>,
    streams: Rc<Streams>,
    topics: Topics,
    limit: u32,
    /// The position up to which the log was read.
    at: Claim,
    /// Where the fold goes on that is being sent; `None` between folds.
    fold: Option<PageCursor>,
    /// The version of the last id sent.
    told: Version,
    /// Whether everything up to the head has been sent.
    live: bool,
    /// When the stream has to write something, to keep the connection open.
    silent_until: UnixMillis,
    /// How often the streams had been asked to write something when this stream wrote last.
    probes: u32,
    /// The limits of the caller's token: the stream ends when the token does.
    grant: Grant,
    _permit: Permit,
}

/// Says whether a request for changes wants them as events.
pub(crate) fn wants_events(request: &Request) -> worker::Result<bool> {
    Ok(sse::is_wanted(&request.headers().get("Accept")?.unwrap_or_default()))
}

impl LogReader {
    /// Answers with the log from the query's position, or the one in `Last-Event-ID`, as events.
    pub(crate) async fn events(self: &Rc<Self>, request: &Request, query: PageQuery) -> Answer {
        let at = last_event_id(request)?.map_or(query.since, Claim::from);
        let about = [
            ("Content-Type", sse::MEDIA_TYPE),
            ("Cache-Control", "no-store, no-transform"),
            // Proxies such as nginx would keep events back until a buffer is full.
            ("X-Accel-Buffering", "no"),
            ("Vary", VARY),
        ];
        let builder = ResponseBuilder::new().with_headers(headers(&about)?);
        if request.method() == Method::Head {
            return Ok(builder.empty());
        }
        let Some(permit) = self.streams.permit(MAX_STREAMS).await else {
            let text = "too many streams of events are open; follow with a WebSocket, or try again";
            return Err(Problem::new(Code::Busy, text).into());
        };
        // A random delay: after a deploy every client reconnects at once.
        let retry = sse::retry(Duration::from_secs_f64(1.0 + js_sys::Math::random() * 4.0));
        let events = Events {
            opening: Some(retry),
            reader: Rc::downgrade(self),
            streams: Rc::clone(&self.streams),
            topics: Topics::new(query.topics),
            limit: query.limit,
            at,
            fold: None,
            told: at.version(),
            live: false,
            silent_until: UnixMillis::default(),
            probes: 0,
            grant: grant(request)?,
            _permit: permit,
        };
        let stream = try_unfold(events, |mut events| async {
            let text = events.next().await.inspect_err(|error| console_error!("events end: {error}"))?;
            Ok::<_, Error>(text.map(|text| (text, events)))
        });
        Ok(builder.from_stream(stream)?)
    }
}

impl Events {
    /// Waits for the next event; none when the object is gone, or the token has ended.
    async fn next(&mut self) -> worker::Result<Option<String>> {
        if let Some(opening) = self.opening.take() {
            return Ok(Some(opening));
        }
        self.silent_until = now().plus(KEEP_ALIVE);
        self.probes = self.streams.probes();
        loop {
            let Some(reader) = self.reader.upgrade().filter(|_| !self.grant.is_over(now())) else {
                return Ok(None);
            };
            let found = reader.read(self.at, self.fold.as_ref(), &self.topics, self.limit)?;
            let at_head = matches!(found, Found::AtHead(_));
            if let Some(text) = self.text(found) {
                // A version is shown only once it is durable (D2). The platform would hold back an answer
                // until then, but this answer has begun.
                reader.driver.durable().await?;
                return Ok(Some(text));
            }
            drop(reader);
            if at_head {
                let until = self.grant.until.map_or(self.silent_until, |end| end.min(self.silent_until));
                self.streams.moved.notified(until.since(now())).await;
                if self.streams.probes() != self.probes {
                    self.silent_until = now();
                }
            }
        }
    }

    /// Returns the event for a reading of the log, if the client is to be told of it.
    fn text(&mut self, found: Found) -> Option<String> {
        match found {
            Found::Elsewhere(head, reason) => {
                self.live = false;
                self.fold = None;
                Some(self.at_position("reset", head, &frame::reset(&head, reason.text())))
            }
            Found::Part(part) => self.part(&part),
            Found::AtHead(head) => {
                self.at = head.into();
                self.fold = None;
                let silent = now() >= self.silent_until;
                if !self.live || (silent && self.told < head.version) {
                    self.live = true;
                    return Some(self.bookmark(head));
                }
                silent.then(|| sse::KEEP_ALIVE.to_owned())
            }
        }
    }

    /// Returns a part as an event. Of a part that the topics hid, the client is told the position while it
    /// catches up, and later only every [`BOOKMARK_EVERY`] versions.
    fn part(&mut self, part: &LogPart) -> Option<String> {
        let from = self.told;
        self.fold = part.next().map(|next| PageCursor { epoch: part.to.epoch, cursor: next.clone() });
        if self.fold.is_some() {
            // The position moves only with the last part.
            return Some(part.event(from));
        }
        let hidden = part.to.version.number().saturating_sub(from.number());
        self.at = part.to.into();
        if !part.is_hidden() {
            self.told = part.to.version;
            return Some(part.event(from));
        }
        (!self.live || hidden >= BOOKMARK_EVERY).then(|| self.bookmark(part.to))
    }

    fn bookmark(&mut self, at: Position) -> String {
        self.at_position("head", at, &frame::head(self.told, &at))
    }

    /// Returns an event after which the reader stands at `at`.
    fn at_position(&mut self, kind: &str, at: Position, frame: &str) -> String {
        self.at = at.into();
        self.told = at.version;
        sse::event(kind, Some(&at), frame)
    }
}

/// Reads the position that a client which lost its connection was last told.
fn last_event_id(request: &Request) -> Result<Option<Position>, Failure> {
    let given = request.headers().get("Last-Event-ID")?.filter(|id| !id.is_empty());
    let position = given.map(|id| id.parse()).transpose();
    Ok(position
        .map_err(|why: PositionError| Problem::new(Code::BadPosition, format!("Last-Event-ID: {why}")))?)
}
