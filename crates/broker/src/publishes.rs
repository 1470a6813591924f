//! Group commit: publishes queue, settle, and are committed together; each gets its own version and answer.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt as _;
use newsreel_core::hub::{Input, Outcome, Submission};
use newsreel_core::wire::publish::{MAX_BODY_BYTES, MAX_IDEMPOTENCY_KEY_BYTES};
use newsreel_core::wire::route::PublishQuery;
use newsreel_core::wire::{Code, Problem, Publish, Receipt, UnixMillis, internal};
use worker::{Delay, Error, Request, Result, console_error};

use crate::convert::{json_response, now};
use crate::object::{Answer, Inner};

/// How many bytes of publishes may wait for a commit.
const QUEUE_BYTES: usize = 16 << 20;
/// How often a flush looks whether more publishes are still arriving.
const SETTLE_ROUNDS: u32 = 4;

/// A publish that waits for its commit.
pub(crate) struct Queued {
    submission: Submission,
    bytes: usize,
    answer: oneshot::Sender<Outcome>,
}

impl Inner {
    /// Publishes, and answers once the platform may show the answer: when the row is durable.
    pub(crate) async fn publish(self: &Rc<Self>, request: &mut Request, query: PublishQuery) -> Answer {
        let publisher = request.headers().get(internal::CALLER)?.unwrap_or_default();
        let idempotency_key = request.headers().get("Idempotency-Key")?;
        if let Some(problem) = idempotency_key.as_deref().and_then(bad_idempotency_key) {
            return Ok(Err(problem));
        }
        let body = match read_body(request).await? {
            Ok(body) => body,
            Err(problem) => return Ok(Err(problem)),
        };
        let publish = match Publish::parse(&body) {
            Ok(publish) => publish,
            Err(error) => return Ok(Err(error.into())),
        };
        let ticket = self.next_ticket.replace(self.next_ticket.get() + 1);
        let wants_acks = query.wait_applied.is_some();
        let submission =
            Submission { ticket, publisher, publish, idempotency_key, remembered: None, wants_acks };
        let Some(outcome) = self.enqueue(submission, body.len()) else {
            return Ok(Err(Problem::new(
                Code::Busy,
                "too many publishes are waiting; try again in a second",
            )));
        };
        let (receipt, repeated) = match outcome.await {
            Ok(Outcome::Committed(receipt)) => (serde_json::to_string(&receipt)?, false),
            Ok(Outcome::Repeated(receipt)) => (receipt, true),
            Ok(Outcome::Refused(problem)) => return Ok(Err(problem)),
            Err(oneshot::Canceled) => return Ok(Err(not_written())),
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

    /// Waits until every connected replica has acknowledged a publish, or until the deadline; returns its
    /// receipt with the names of those that have, that have not, and that are not connected.
    async fn when_applied(&self, receipt: &str, deadline: UnixMillis) -> Result<String> {
        let Receipt { version, .. } = serde_json::from_str(receipt)?;
        let (applied, pending) = loop {
            let (applied, pending) = self.hub.borrow().applied(version);
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

    /// Puts a publish in the queue; `None` when the queue is full.
    fn enqueue(self: &Rc<Self>, submission: Submission, bytes: usize) -> Option<oneshot::Receiver<Outcome>> {
        if self.queued_bytes.get() + bytes > QUEUE_BYTES {
            return None;
        }
        let (answer, outcome) = oneshot::channel();
        self.queued_bytes.set(self.queued_bytes.get() + bytes);
        self.queue.borrow_mut().push(Queued { submission, bytes, answer });
        if !self.flushing.replace(true) {
            let inner = Rc::clone(self);
            worker::wasm_bindgen_futures::spawn_local(async move {
                let _done = Flushing(&inner);
                inner.settle().await;
                inner.flush();
            });
        }
        Some(outcome)
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

    /// Commits everything that waits. If it cannot be written together, each is tried alone, so that one
    /// that can never be written does not fail its neighbours.
    fn flush(&self) {
        let queued = self.queue.take();
        self.queued_bytes.set(self.queued_bytes.get() - queued.iter().map(|one| one.bytes).sum::<usize>());
        let mut waiting: Vec<(u64, oneshot::Sender<Outcome>)> = Vec::new();
        let mut submissions = Vec::new();
        for one in queued {
            waiting.push((one.submission.ticket, one.answer));
            submissions.push(one.submission);
        }
        let outcomes = self.commit(submissions.clone()).or_else(|error| {
            console_error!("a commit of {} publishes failed: {error}", submissions.len());
            let alone = submissions.into_iter().map(|one| self.commit(vec![one]));
            Ok::<_, Error>(alone.filter_map(Result::ok).flatten().collect())
        });
        let mut outcomes: BTreeMap<u64, Outcome> = outcomes.unwrap_or_default().into_iter().collect();
        for (ticket, answer) in waiting {
            let outcome = outcomes.remove(&ticket).unwrap_or_else(|| Outcome::Refused(not_written()));
            // A publisher that left does not undo its publish.
            let _ = answer.send(outcome);
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

fn bad_idempotency_key(key: &str) -> Option<Problem> {
    let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len());
    let plain = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let text = format!("an Idempotency-Key is 1 to {MAX_IDEMPOTENCY_KEY_BYTES} printable ASCII characters");
    (!(fits && plain)).then(|| Problem::new(Code::BadRequest, text))
}

/// Reads a body up to the limit; nothing past it is buffered.
async fn read_body(request: &mut Request) -> Result<std::result::Result<Vec<u8>, Problem>> {
    let too_large = || {
        let text = format!("a publish has at most {MAX_BODY_BYTES} bytes: publish in several versions");
        Problem::new(Code::BodyTooLarge, text)
    };
    let announced = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Ok(Err(too_large()));
    }
    if announced.is_some() {
        // The runtime holds a body to its announced length.
        return Ok(Ok(request.bytes().await?));
    }
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(Ok(body));
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > MAX_BODY_BYTES {
            return Ok(Err(too_large()));
        }
    }
    Ok(Ok(body))
}
