//! Group commit: publishes queue, settle, and are committed together; each gets its own version and answer.
//! Whether alone, line by line or over a socket, they come through this one queue.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt as _;
use newsreel_core::hub::{Input, Outcome, Submission};
use newsreel_core::wire::lines::{self, MAX_LINES_BYTES};
use newsreel_core::wire::publish::{MAX_BODY_BYTES, check_idempotency_key};
use newsreel_core::wire::route::PublishQuery;
use newsreel_core::wire::{Code, Line, Problem, Publish, Receipt, UnixMillis, internal};
use worker::{Delay, Request, Response, Result, console_error};

use crate::convert::{json_response, now};
use crate::object::{Answer, Inner};
use crate::publishing::{Owed, Told};

/// How many bytes of publishes may wait for a commit.
const QUEUE_BYTES: usize = 16 << 20;
/// How often a flush looks whether more publishes are still arriving.
const SETTLE_ROUNDS: u32 = 4;
/// How long a body may take before the same publish is let in beside it: its sender may be gone unheard.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// How much of a body that is too large is read, and dropped, before it is refused.
const HEARD_OUT: usize = 32 << 20;

/// Publishes of one sender that wait for their commit.
pub(crate) struct Queued {
    /// In order; what is refused already keeps its place.
    pub(crate) asked: Vec<Asked>,
    pub(crate) bytes: usize,
    pub(crate) answer: AnswerTo,
}

/// One publish, or why it is none.
pub(crate) type Asked = std::result::Result<Submission, Problem>;

/// Who waits, for one outcome per publish.
pub(crate) enum AnswerTo {
    Request(oneshot::Sender<Vec<Outcome>>),
    Socket(Owed),
}

/// A publish over HTTP, read.
struct Posted {
    publisher: String,
    idempotency_key: Option<String>,
    body: Vec<u8>,
}

/// The idempotency keys, each with its publisher, of requests whose bodies are being read.
/// Few at a time.
pub(crate) type UnderWay = RefCell<Vec<Reading>>;

impl Inner {
    /// Publishes, and answers once the platform may show the answer: when the rows are durable.
    ///
    /// The lines of a body queue all at once, in order.
    pub(crate) async fn publish(self: &Rc<Self>, request: &mut Request, query: PublishQuery) -> Answer {
        let lined = lines::are_in(&request.headers().get("Content-Type")?.unwrap_or_default());
        if lined && query.wait_applied.is_some() {
            let text = "wait is not for many publishes at once: publish alone to wait";
            return Ok(Err(Problem::new(Code::BadRequest, text)));
        }
        let most = if lined { MAX_LINES_BYTES } else { MAX_BODY_BYTES };
        let posted = match self.posted(request, most).await? {
            Ok(posted) => posted,
            Err(problem) => return Ok(Err(problem)),
        };
        let bytes = posted.body.len();
        let asked = if lined { self.lines(posted) } else { self.alone(posted, query) };
        let asked = match asked {
            Ok(asked) if self.has_room(bytes) => asked,
            Ok(_) => return Ok(Err(busy())),
            Err(problem) => return Ok(Err(problem)),
        };
        let (answer, outcomes) = oneshot::channel();
        self.enqueue(Queued { asked, bytes, answer: AnswerTo::Request(answer) });
        let Ok(mut outcomes) = outcomes.await else { return Ok(Err(unknown())) };
        if lined {
            return answered_lines(&outcomes).map(Ok);
        }
        let (receipt, repeated) = match outcomes.pop() {
            Some(Outcome::Committed(receipt)) => (serde_json::to_string(&receipt)?, false),
            Some(Outcome::Repeated(receipt)) => (receipt, true),
            Some(Outcome::Refused(problem)) => return Ok(Err(problem)),
            None => return Ok(Err(unknown())),
        };
        let json = match query.wait_applied {
            Some(timeout) => self.when_applied(&receipt, now().plus(timeout)).await?,
            None => receipt,
        };
        let response = json_response(json)?;
        if repeated {
            response.headers().set("Idempotent-Replayed", "true")?;
        }
        Ok(Ok(response))
    }

    fn alone(&self, posted: Posted, query: PublishQuery) -> std::result::Result<Vec<Asked>, Problem> {
        let publish = Publish::parse(&posted.body)?;
        let mut submission = self.submission(posted.publisher, publish, posted.idempotency_key);
        submission.wants_acks = query.wait_applied.is_some();
        Ok(vec![Ok(submission)])
    }

    fn lines(&self, posted: Posted) -> std::result::Result<Vec<Asked>, Problem> {
        let lines = lines::split(&posted.body)?;
        let mut asked = Vec::with_capacity(lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let fallback = posted.idempotency_key.as_deref().map(|key| lines::nth_key(key, index + 1));
            asked.push(self.asked(&posted.publisher, line, fallback));
        }
        Ok(asked)
    }

    /// Reads a request. One whose publish is being read from another request is refused at once; after that
    /// the order in the queue decides.
    async fn posted(
        &self,
        request: &mut Request,
        most: usize,
    ) -> Result<std::result::Result<Posted, Problem>> {
        let publisher = request.headers().get(internal::CALLER)?.unwrap_or_default();
        let idempotency_key = request.headers().get("Idempotency-Key")?;
        let _mark = match &idempotency_key {
            None => None,
            Some(key) => {
                if let Err(error) = check_idempotency_key(key) {
                    return Ok(Err(error.into()));
                }
                let Some(mark) = Mark::set(&self.under_way, &publisher, key) else {
                    let text = "this Idempotency-Key is being published; ask again for its answer";
                    return Ok(Err(Problem::new(Code::IdempotencyInFlight, text)));
                };
                Some(mark)
            }
        };
        let body = read_body(request, most).await?;
        Ok(body.map(|body| Posted { publisher, idempotency_key, body }))
    }

    /// Reads a line; `fallback` is its idempotency key if it has none of its own.
    pub(crate) fn asked(&self, publisher: &str, line: &[u8], fallback: Option<String>) -> Asked {
        let Line { publish, idempotency_key } = Line::parse(line)?;
        Ok(self.submission(publisher.to_owned(), publish, idempotency_key.or(fallback)))
    }

    fn submission(&self, publisher: String, publish: Publish, idempotency_key: Option<String>) -> Submission {
        let ticket = self.next_ticket.replace(self.next_ticket.get() + 1);
        Submission { ticket, publisher, publish, idempotency_key, remembered: None, wants_acks: false }
    }

    /// Waits until every connected replica has acknowledged a publish, or until the deadline; returns its
    /// receipt with the names of those that have, that have not, and that are not connected.
    async fn when_applied(&self, receipt: &str, deadline: UnixMillis) -> Result<String> {
        let Receipt { epoch, version, .. } = serde_json::from_str(receipt)?;
        let (applied, pending) = loop {
            let (applied, pending) = self.settled()?.applied(epoch, version);
            let left = deadline.since(now());
            if pending.is_empty() || left.is_zero() {
                break (applied, pending);
            }
            // Woken or late, the loop looks again.
            self.awaiting.woken(left).await;
        };
        let mut offline = self.rows.known_replicas()?;
        offline.retain(|name| !applied.contains(name) && !pending.contains(name));
        let names = |names: &[String]| serde_json::to_string(names);
        let (applied, pending, offline) = (names(&applied)?, names(&pending)?, names(&offline)?);
        let receipt = receipt.trim_end_matches('}');
        Ok(format!(r#"{receipt},"applied":{applied},"pending":{pending},"offline":{offline}}}"#))
    }

    /// Says whether the queue takes so many bytes more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.queued_bytes.get() + bytes <= QUEUE_BYTES
    }

    /// Puts publishes in the queue, and sees to it that it is flushed.
    pub(crate) fn enqueue(self: &Rc<Self>, queued: Queued) {
        self.queued_bytes.set(self.queued_bytes.get() + queued.bytes);
        self.queue.borrow_mut().push(queued);
        if !self.flushing.replace(true) {
            let inner = Rc::clone(self);
            worker::wasm_bindgen_futures::spawn_local(async move {
                let sockets = {
                    let _done = Flushing(&inner);
                    inner.settle().await;
                    inner.flush()
                };
                inner.calm(&sockets).await;
            });
        }
    }

    /// Waits while more publishes keep arriving: those share a commit, and a frame per follower.
    async fn settle(&self) {
        let mut seen = 0;
        for _ in 0..SETTLE_ROUNDS {
            let waiting = self.queue.borrow().len();
            if waiting == seen {
                break;
            }
            seen = waiting;
            Delay::from(Duration::ZERO).await;
        }
    }

    /// Commits everything that waits and answers; returns the publishing sockets among those who waited.
    fn flush(&self) -> Vec<Told> {
        self.queued_bytes.set(0);
        let mut submissions = Vec::new();
        let mut waiting = Vec::new();
        for Queued { asked, answer, .. } in self.queue.take() {
            let mut places: Vec<std::result::Result<u64, Problem>> = Vec::with_capacity(asked.len());
            for one in asked {
                places.push(one.map(|submission| {
                    let ticket = submission.ticket;
                    submissions.push(submission);
                    ticket
                }));
            }
            waiting.push((places, answer));
        }
        let mut outcomes = self.commit_all(submissions).into_iter().peekable();
        let mut due = Vec::new();
        for (places, answer) in waiting {
            let mut told = Vec::with_capacity(places.len());
            for place in places {
                told.push(match place {
                    // In the order of the tickets; of those that could not be written there is none.
                    Ok(ticket) => outcomes
                        .next_if(|(of, _)| *of == ticket)
                        .map_or_else(|| Outcome::Refused(not_written()), |(_, outcome)| outcome),
                    Err(problem) => Outcome::Refused(problem),
                });
            }
            match answer {
                // A publisher that left does not undo its publish.
                AnswerTo::Request(answer) => drop(answer.send(told)),
                AnswerTo::Socket(owed) => due.push((owed, told)),
            }
        }
        self.publishers.answer(due)
    }

    /// Commits publishes and returns their outcomes, in order. If they cannot be written together, each is tried
    /// alone, so that one that can never be written does not fail its neighbours.
    fn commit_all(&self, submissions: Vec<Submission>) -> Vec<(u64, Outcome)> {
        if submissions.is_empty() {
            return Vec::new();
        }
        match self.commit(submissions.clone()) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                console_error!("a commit of {} publishes failed: {error}", submissions.len());
                let mut outcomes = Vec::new();
                for one in submissions {
                    outcomes.extend(self.commit(vec![one]).unwrap_or_default());
                }
                outcomes
            }
        }
    }

    /// Decides and writes publishes in one synchronous step; returns their outcomes by ticket.
    fn commit(&self, mut submissions: Vec<Submission>) -> Result<Vec<(u64, Outcome)>> {
        let now = now();
        for submission in &mut submissions {
            if let Some(key) = &submission.idempotency_key {
                submission.remembered = self.rows.remembered(&submission.publisher, key, now)?;
            }
        }
        self.step(now, Input::Publish(submissions))
    }
}

/// Says that a flush is under way, and stops saying so however it ends.
struct Flushing<'a>(&'a Inner);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.set(false);
    }
}

fn not_written() -> Problem {
    Problem::new(Code::NotWritten, "the publish could not be written and left nothing behind; try it again")
}

/// The object failed between the commit and the answer, or before it.
fn unknown() -> Problem {
    let text = "it is not known whether the publish was written; send it again with the same Idempotency-Key";
    Problem::new(Code::Internal, text)
}

pub(crate) fn busy() -> Problem {
    Problem::new(Code::Busy, "too many publishes are waiting; try again in a second")
}

/// Writes an outcome as one answer among many.
pub(crate) fn answer_json(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed(receipt) => serde_json::to_string(receipt).expect("a receipt serializes"),
        Outcome::Repeated(receipt) => receipt.clone(),
        Outcome::Refused(problem) => problem.to_json(),
    }
}

fn answered_lines(outcomes: &[Outcome]) -> Result<Response> {
    let mut text = String::new();
    for outcome in outcomes {
        text += &answer_json(outcome);
        text.push('\n');
    }
    let response = json_response(text)?;
    response.headers().set("Content-Type", lines::MEDIA_TYPE)?;
    Ok(response)
}

/// A publish whose body is being read.
#[derive(Clone, PartialEq)]
pub(crate) struct Reading {
    publisher: String,
    key: String,
    since: UnixMillis,
}

/// Says that a body is being read, and stops saying so however that ends.
struct Mark<'a> {
    under_way: &'a UnderWay,
    reading: Reading,
}

impl<'a> Mark<'a> {
    /// Returns nothing when the same publish is under way already.
    fn set(under_way: &'a UnderWay, publisher: &str, key: &str) -> Option<Self> {
        let reading = Reading { publisher: publisher.to_owned(), key: key.to_owned(), since: now() };
        let mut all = under_way.borrow_mut();
        all.retain(|one| reading.since.since(one.since) < UNDER_WAY);
        if all.iter().any(|one| one.key == key && one.publisher == publisher) {
            return None;
        }
        all.push(reading.clone());
        Some(Self { under_way, reading })
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.under_way.borrow_mut().retain(|one| *one != self.reading);
    }
}

/// Reads a body up to the limit; nothing past it is buffered.
async fn read_body(request: &mut Request, most: usize) -> Result<std::result::Result<Vec<u8>, Problem>> {
    let too_large = || {
        let text = format!("this body may have at most {most} bytes: publish in several versions");
        Problem::new(Code::BodyTooLarge, text)
    };
    let announced = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length <= most) {
        // The runtime holds a body to its announced length.
        return Ok(Ok(request.bytes().await?));
    }
    let mut body = Vec::new();
    let mut bytes: usize = 0;
    if request.inner().body().is_none() {
        return Ok(Ok(body));
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes = bytes.saturating_add(chunk.len());
        if bytes <= most {
            body.extend_from_slice(&chunk);
        } else {
            body = Vec::new();
        }
        // Who is still sending does not hear an answer: what is somewhat too large is heard out.
        if bytes > HEARD_OUT {
            break;
        }
    }
    if bytes > most { Ok(Err(too_large())) } else { Ok(Ok(body)) }
}
