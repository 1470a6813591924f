//! Group commit: publishes queue, settle, and are committed together; each gets its own version and answer.
//!
//! A publish alone, a line of a body and a text of a socket come through this one queue.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use newsreel_core::access::Grant;
use newsreel_core::follow::hub::{PublishOutcome, Submission, not_written};
use newsreel_core::wire::{Problem, Publish, PublishLine, UnixMillis, Written, WrittenLine};
use newsreel_gate::now;
use worker::{Delay, console_error};

use crate::driver::BrokerDriver;
use crate::publish::body::Bodies;
use crate::publish::publishers::{AnswerSent, PendingAnswer, Publishers};

/// How many bytes of publishes may wait for a commit: at most three times as many as the log has them, where what
/// is not ASCII grows. An isolate has 128 MB. A body of lines may have as many, and where nothing waits is let in.
const QUEUE_BYTES: usize = 8 << 20;
/// How many bytes a queued publish counts beside its text.
pub(crate) const PUBLISH_BYTES: usize = 256;
/// How often a flush looks whether more publishes are still arriving.
const SETTLE_ROUNDS: u32 = 4;

/// Everything that publishes to one catalog.
pub(crate) struct Publishing {
    pub(crate) driver: Rc<BrokerDriver>,
    pub(super) publishers: Rc<Publishers>,
    pub(super) bodies: Bodies,
    queue: RefCell<Vec<Queued>>,
    queued_bytes: Cell<usize>,
    is_flushing: Cell<bool>,
    /// Whether the last commit was shared by several senders.
    was_shared: Cell<bool>,
    /// How many commits have answered sockets that cannot have heard it yet: a publisher that waits for its answer does not
    /// publish meanwhile.
    unheard: Cell<u32>,
    next_ticket: Cell<u64>,
}

/// Publishes of one sender that wait for their commit, in order. A publish that was refused
/// before keeps its place.
pub(super) struct Queued {
    pub(super) publishes: Vec<QueuedPublish>,
    pub(super) bytes: usize,
    pub(super) answer: AnswerTo,
    /// When the publishes arrived.
    pub(super) since: UnixMillis,
}

/// One publish, or the problem for which it is refused.
pub(super) type QueuedPublish = Result<Submission, Problem>;

/// The sender that waits for one outcome per publish.
pub(super) enum AnswerTo {
    Request(oneshot::Sender<Vec<PublishOutcome>>),
    Socket(PendingAnswer),
}

impl Publishing {
    /// Begins with nothing queued, and with the publishing sockets that stayed open.
    pub(crate) fn wake(driver: Rc<BrokerDriver>) -> Self {
        Self {
            publishers: Publishers::wake(&driver.state),
            driver,
            bodies: Bodies::default(),
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            is_flushing: Cell::new(false),
            was_shared: Cell::new(false),
            unheard: Cell::new(0),
            next_ticket: Cell::new(0),
        }
    }

    /// Reads a line; `fallback` is its idempotency key if it has none of its own.
    pub(super) fn line(
        &self,
        publisher: &str,
        grant: &Grant,
        line: &[u8],
        fallback: Option<String>,
    ) -> QueuedPublish {
        let WrittenLine { publish, idempotency_key } = match self.verbatim(grant, line) {
            Some(line) => line,
            None => {
                let PublishLine { publish, idempotency_key } = PublishLine::parse(line)?;
                WrittenLine { publish: self.written(grant, publish)?, idempotency_key }
            }
        };
        Ok(self.submission(publisher.to_owned(), publish, idempotency_key.or(fallback)))
    }

    /// Returns a text that the log can keep as it was sent: no change in it has to be checked or changed.
    pub(super) fn verbatim(&self, grant: &Grant, text: &[u8]) -> Option<WrittenLine> {
        let is_kept = grant.topics.is_empty() && !self.driver.config.fold_tags;
        if is_kept { WrittenLine::verbatim(text) } else { None }
    }

    /// Returns a publish as this deployment writes it, if the grant allows it.
    pub(super) fn written(&self, grant: &Grant, publish: Publish) -> Result<Written, Problem> {
        let publish = if self.driver.config.fold_tags { publish.folded()? } else { publish };
        grant.check(&publish.changes)?;
        Ok(publish.written())
    }

    pub(super) fn submission(
        &self,
        publisher: String,
        publish: Written,
        idempotency_key: Option<String>,
    ) -> Submission {
        let ticket = self.ticket();
        Submission { ticket, publisher, publish, idempotency_key, remembered: None, wants_acks: false }
    }

    pub(super) fn ticket(&self) -> u64 {
        self.next_ticket.replace(self.next_ticket.get() + 1)
    }

    /// Says whether the queue has room for `bytes` more. An empty queue takes anything.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.get();
        queued == 0 || queued + bytes <= QUEUE_BYTES
    }

    /// Puts publishes in the queue, and starts a flush unless one is under way.
    pub(super) fn enqueue(self: &Rc<Self>, queued: Queued) {
        self.queued_bytes.set(self.queued_bytes.get() + queued.bytes);
        self.queue.borrow_mut().push(queued);
        if !self.is_flushing.replace(true) {
            let this = Rc::clone(self);
            worker::wasm_bindgen_futures::spawn_local(async move {
                let answered = {
                    let _done = Flushing(&this);
                    this.settle().await;
                    this.flush()
                };
                this.clear_busy(&answered).await;
            });
        }
    }

    /// Waits while more publishes keep arriving: those share a commit, and a frame per follower. A publish that nothing
    /// says has company does not wait.
    async fn settle(&self) {
        if !self.was_shared.get() && self.unheard.get() == 0 && self.bodies.borrow().is_empty() {
            return;
        }
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

    /// Commits everything that waits and answers; returns the publishing sockets among the senders.
    fn flush(&self) -> Vec<AnswerSent> {
        self.queued_bytes.set(0);
        let queue = self.queue.take();
        self.was_shared.set(queue.len() > 1);
        let (mut submissions, mut waiting) = (Vec::new(), Vec::new());
        for Queued { publishes, answer, since, .. } in queue {
            let mut tickets: Vec<Result<u64, Problem>> = Vec::with_capacity(publishes.len());
            for publish in publishes {
                tickets.push(publish.map(|submission| {
                    let ticket = submission.ticket;
                    submissions.push(submission);
                    ticket
                }));
            }
            waiting.push((tickets, answer, since));
        }
        let mut outcomes = self.driver.publish(submissions);
        let mut due = Vec::new();
        let committed_at = now();
        for (tickets, answer, since) in waiting {
            self.driver.series.publish_took(tickets.len(), committed_at.since(since));
            let outcome = |ticket| match ticket {
                Ok(ticket) => {
                    outcomes.remove(&ticket).unwrap_or_else(|| PublishOutcome::Refused(not_written()))
                }
                Err(problem) => PublishOutcome::Refused(problem),
            };
            let outcomes: Vec<PublishOutcome> = tickets.into_iter().map(outcome).collect();
            match answer {
                // A publisher that left does not undo its publish.
                AnswerTo::Request(answer) => drop(answer.send(outcomes)),
                AnswerTo::Socket(pending) => due.push((pending, outcomes)),
            }
        }
        self.publishers.answer(due)
    }

    /// Takes the busy marks off the sockets that are owed no more answers, once their answers are durable.
    /// Until then the platform holds the answers back, and a crash may lose them.
    async fn clear_busy(&self, answered: &[AnswerSent]) {
        if answered.is_empty() {
            return;
        }
        self.unheard.set(self.unheard.get() + 1);
        let durable = self.driver.durable().await;
        self.unheard.set(self.unheard.get() - 1);
        match durable {
            Ok(()) => self.publishers.clear_busy(answered),
            Err(error) => console_error!("{}: answers may be lost: {error}", self.driver.catalog()),
        }
    }
}

/// Says that a flush is under way, and stops saying so however it ends.
struct Flushing<'a>(&'a Publishing);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.is_flushing.set(false);
        // The queue is empty, unless a panic came first. Its senders are then told, and not left waiting.
        self.0.queued_bytes.set(0);
        drop(self.0.queue.take());
    }
}
