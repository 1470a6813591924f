//! Group commit: publishes queue, settle, and are committed together; each gets its own version and answer.
//! Whether alone, line by line or over a socket, they come through this one queue.

use std::iter::Peekable;
use std::rc::Rc;
use std::time::Duration;
use std::vec::IntoIter;

use futures_channel::oneshot;
use newsreel_core::access::Grant;
use newsreel_core::follow::hub::{Applied, Input, Outcome, Submission};
use newsreel_core::wire::lines;
use newsreel_core::wire::publish::check_idempotency_key;
use newsreel_core::wire::query::PublishQuery;
use newsreel_core::wire::{Code, Line, Problem, Publish, Receipt, UnixMillis, internal};
use worker::{Delay, Request, Response, Result, console_error};

use crate::js::{json_response, now};
use crate::object::{Answer, Inner, grant};
use crate::publish::body::{Mark, most_bytes, read_body};
use crate::publish::socket::{Owed, Told};

/// How many bytes of publishes may wait for a commit: at most three times as many as the log has them, where what
/// is not ASCII grows. An isolate has 128 MB. A body of lines may have as many, and where nothing waits is let in.
const QUEUE_BYTES: usize = 8 << 20;
/// What each counts beside its text.
pub(crate) const PUBLISH_BYTES: usize = 256;
/// How many bytes of changes one transaction writes, if it is not one publish. Rows, what is sent and what is
/// kept in case it fails make several copies.
const COMMIT_BYTES: usize = 1 << 20;
/// No more idempotency keys are remembered when the database, which may have 10 GB, is so large: what is left is
/// for the log, which is bounded, while a day of keys is not.
const KEYS_UNTIL_BYTES: u64 = 8 << 30;
/// After so many publishes in a row that could not be written the others are not tried: each failure costs to load
/// the hub anew, and a full disk fails them all.
const FAILURES: u32 = 3;
/// How often a flush looks whether more publishes are still arriving.
const SETTLE_ROUNDS: u32 = 4;

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
    grant: Grant,
    idempotency_key: Option<String>,
    body: Vec<u8>,
}

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
        let most = most_bytes(request)?;
        let posted = match self.posted(request, most).await? {
            Ok(posted) => posted,
            Err(problem) => return Ok(Err(problem)),
        };
        let bytes = posted.body.len();
        let asked = if lined { self.lines(posted) } else { self.alone(posted, query) };
        let asked = match asked {
            Ok(asked) if self.has_room(bytes + asked.len() * PUBLISH_BYTES) => asked,
            Ok(_) => return Ok(Err(busy())),
            Err(problem) => return Ok(Err(problem)),
        };
        let (answer, outcomes) = oneshot::channel();
        self.enqueue(Queued {
            bytes: bytes + asked.len() * PUBLISH_BYTES,
            asked,
            answer: AnswerTo::Request(answer),
        });
        let Ok(mut outcomes) = outcomes.await else { return Ok(Err(unknown())) };
        if lined {
            return answered_lines(&outcomes).map(Ok);
        }
        let (receipt, repeated) = match outcomes.pop() {
            Some(Outcome::Committed(receipt)) => (receipt, false),
            Some(Outcome::Repeated(receipt)) => (receipt, true),
            Some(Outcome::Refused(problem)) => return Ok(Err(problem)),
            None => return Ok(Err(unknown())),
        };
        let json = match query.wait_applied {
            Some(timeout) => self.when_applied(&receipt, now().plus(timeout)).await?,
            None => serde_json::to_string(&receipt)?,
        };
        let response = json_response(json)?;
        if repeated {
            response.headers().set("Idempotent-Replayed", "true")?;
        }
        Ok(Ok(response))
    }

    fn alone(&self, posted: Posted, query: PublishQuery) -> std::result::Result<Vec<Asked>, Problem> {
        let publish = Publish::parse(&posted.body)?;
        posted.grant.check(&publish.changes)?;
        let mut submission = self.submission(posted.publisher, &publish, posted.idempotency_key);
        submission.wants_acks = query.wait_applied.is_some();
        Ok(vec![Ok(submission)])
    }

    fn lines(&self, posted: Posted) -> std::result::Result<Vec<Asked>, Problem> {
        let lines = lines::split(&posted.body)?;
        let mut asked = Vec::with_capacity(lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let fallback = posted.idempotency_key.as_deref().map(|key| lines::nth_key(key, index + 1));
            asked.push(self.asked(&posted.publisher, &posted.grant, line, fallback));
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
        let grant = grant(request)?;
        let idempotency_key = request.headers().get("Idempotency-Key")?;
        if let Some(Err(error)) = idempotency_key.as_deref().map(check_idempotency_key) {
            return Ok(Err(error.into()));
        }
        let Some(mark) = Mark::set(&self.under_way, self.ticket(), &publisher, &idempotency_key) else {
            let text = "this Idempotency-Key is being published; ask again for its answer";
            return Ok(Err(Problem::new(Code::IdempotencyInFlight, text)));
        };
        let body = read_body(request, most, &mark).await?;
        Ok(body.map(|body| Posted { publisher, grant, idempotency_key, body }))
    }

    /// Reads a line; `fallback` is its idempotency key if it has none of its own.
    pub(crate) fn asked(
        &self,
        publisher: &str,
        grant: &Grant,
        line: &[u8],
        fallback: Option<String>,
    ) -> Asked {
        let Line { publish, idempotency_key } = Line::parse(line)?;
        grant.check(&publish.changes)?;
        Ok(self.submission(publisher.to_owned(), &publish, idempotency_key.or(fallback)))
    }

    fn submission(
        &self,
        publisher: String,
        publish: &Publish,
        idempotency_key: Option<String>,
    ) -> Submission {
        let (ticket, publish) = (self.ticket(), publish.written());
        Submission { ticket, publisher, publish, idempotency_key, remembered: None, wants_acks: false }
    }

    fn ticket(&self) -> u64 {
        self.next_ticket.replace(self.next_ticket.get() + 1)
    }

    /// Waits until every replica and every live follower has acknowledged a publish, or until the deadline; returns
    /// its receipt with the names of the replicas that have, that have not, and that are not connected, and how many
    /// followers have and have not.
    async fn when_applied(&self, receipt: &Receipt, deadline: UnixMillis) -> Result<String> {
        let Receipt { epoch, version, .. } = *receipt;
        let Applied { applied, pending, acked, unacked } = loop {
            let all = self.settled()?.applied(epoch, version);
            let left = deadline.since(now());
            if all.is_complete() || left.is_zero() {
                break all;
            }
            // Woken or late, the loop looks again.
            self.awaiting.woken(left).await;
        };
        let mut offline = self.rows.known_replicas()?;
        offline.retain(|name| !applied.contains(name) && !pending.contains(name));
        let names = |names: &[String]| serde_json::to_string(names);
        let (applied, pending, offline) = (names(&applied)?, names(&pending)?, names(&offline)?);
        let receipt = serde_json::to_string(receipt)?;
        let receipt = receipt.trim_end_matches('}');
        Ok(format!(
            r#"{receipt},"applied":{applied},"pending":{pending},"offline":{offline},"followers":{{"acked":{acked},"pending":{unacked}}}}}"#
        ))
    }

    /// Says whether the queue takes so many bytes more. What comes alone is never too much.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.get();
        queued == 0 || queued + bytes <= QUEUE_BYTES
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

    /// Commits publishes, a transaction's worth at a time, and returns their outcomes, in order. What cannot be
    /// written together is tried one by one, so that one that can never be written does not fail its neighbours.
    fn commit_all(&self, submissions: Vec<Submission>) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::with_capacity(submissions.len());
        let mut failures = 0;
        let mut left = submissions.into_iter().peekable();
        while left.peek().is_some() && failures < FAILURES {
            let some = together(&mut left);
            let error = match self.commit(some.clone()) {
                Ok(made) => {
                    outcomes.extend(made);
                    continue;
                }
                Err(error) => error,
            };
            console_error!("a commit of {} publishes failed: {error}", some.len());
            for one in some {
                if failures < FAILURES {
                    let made = self.commit(vec![one]);
                    failures = if made.is_ok() { 0 } else { failures + 1 };
                    outcomes.extend(made.unwrap_or_default());
                }
            }
        }
        outcomes
    }

    /// Decides and writes publishes in one synchronous step; returns their outcomes by ticket.
    fn commit(&self, mut submissions: Vec<Submission>) -> Result<Vec<(u64, Outcome)>> {
        let now = now();
        if now.since(self.looked.get()) >= self.config.pace.look_every() {
            self.close_silent(now, self.sockets.last_pings())?;
        }
        for submission in &mut submissions {
            if let Some(key) = &submission.idempotency_key {
                submission.remembered = self.rows.remembered(&submission.publisher, key, now)?;
            }
        }
        if self.rows.size()? > KEYS_UNTIL_BYTES {
            // Without an outcome they are not written. The log is bounded, so what has no key goes on.
            submissions.retain(|one| one.idempotency_key.is_none() || one.remembered.is_some());
        }
        self.step(now, Input::Publish(submissions))
    }
}

/// Takes what one transaction writes.
fn together(left: &mut Peekable<IntoIter<Submission>>) -> Vec<Submission> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while let Some(one) =
        left.next_if(|one| some.is_empty() || bytes + one.publish.changes.len() <= COMMIT_BYTES)
    {
        bytes += one.publish.changes.len();
        some.push(one);
    }
    some
}

/// Says that a flush is under way, and stops saying so however it ends.
struct Flushing<'a>(&'a Inner);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.set(false);
        // Nothing waits any more, unless a panic came first: whoever waits is told, and not left waiting.
        self.0.queued_bytes.set(0);
        drop(self.0.queue.take());
    }
}

pub(crate) fn not_written() -> Problem {
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
        Outcome::Committed(receipt) | Outcome::Repeated(receipt) => {
            serde_json::to_string(receipt).expect("a receipt serializes")
        }
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
