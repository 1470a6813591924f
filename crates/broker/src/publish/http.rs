//! Publishing over HTTP: one publish, or many as lines; and waiting until a publish is applied.

use std::rc::Rc;

use futures_channel::oneshot;
use newsreel_core::access::Grant;
use newsreel_core::follow::hub::{Applied, PublishOutcome};
use newsreel_core::wire::ndjson;
use newsreel_core::wire::publish::check_idempotency_key;
use newsreel_core::wire::query::PublishQuery;
use newsreel_core::wire::{Code, Problem, Publish, Receipt, Traceparent, UnixMillis, WrittenLine};
use newsreel_gate::{Failure, now};
use serde::Serialize;
use worker::web_sys;

use crate::http::{REPLAYED, RawAnswer, RequestHead, raw_json, raw_text};
use crate::publish::body::{BodyMark, max_body_bytes, read_body};
use crate::publish::problems::{busy, in_flight, unknown};
use crate::publish::publishers::outcome_json;
use crate::publish::queue::{AnswerTo, PUBLISH_BYTES, Publishing, Queued, QueuedPublish};

/// A publish over HTTP whose body has been read.
pub(super) struct Posted {
    pub(super) publisher: String,
    pub(super) grant: Grant,
    pub(super) idempotency_key: Option<String>,
    /// The trace of the request, of which the publishes are that name none of their own.
    pub(super) traceparent: Option<Traceparent>,
    pub(super) body: Vec<u8>,
}

/// A receipt with how far its version has got.
#[derive(Serialize)]
struct AppliedReceipt<'a> {
    #[serde(flatten)]
    receipt: &'a Receipt,
    applied: Vec<String>,
    pending: Vec<String>,
    offline: Vec<String>,
    followers: FollowerAcks,
}

/// How many live followers without topics have acknowledged a version.
#[derive(Serialize)]
struct FollowerAcks {
    acked: usize,
    pending: usize,
}

impl Publishing {
    /// Publishes, and answers once the platform may show the answer: when the rows are durable.
    ///
    /// The lines of a body queue all at once, in order.
    pub(crate) async fn publish(
        self: &Rc<Self>,
        request: &web_sys::Request,
        head: RequestHead,
        query: PublishQuery,
    ) -> RawAnswer {
        let lined = ndjson::are_in(&head.content_type);
        if lined && query.wait_applied.is_some() {
            let text = "wait is not for many publishes at once: publish alone to wait";
            return Err(Problem::new(Code::BadRequest, text).into());
        }
        let posted = self.posted(request, head).await?;
        let body_bytes = posted.body.len();
        let publishes = if lined {
            self.lines(&posted)?
        } else {
            let mut submission = self.alone(posted)?;
            submission.wants_acks = query.wait_applied.is_some();
            vec![Ok(submission)]
        };
        let mut outcomes = self.committed(publishes, body_bytes).await?;
        if lined {
            let lines: String = outcomes.iter().map(|outcome| outcome_json(outcome) + "\n").collect();
            return Ok(raw_text(ndjson::MEDIA_TYPE, &lines)?);
        }
        let (receipt, repeated) = match outcomes.pop() {
            Some(PublishOutcome::Committed(receipt)) => (receipt, false),
            Some(PublishOutcome::Repeated(receipt)) => (receipt, true),
            Some(PublishOutcome::Refused(problem)) => return Err(problem.into()),
            None => return Err(unknown().into()),
        };
        let response = match query.wait_applied {
            Some(timeout) => raw_json(&self.when_applied(&receipt, now().plus(timeout)).await?)?,
            None => raw_json(&receipt)?,
        };
        if repeated {
            response.headers().set(REPLAYED, "true").map_err(worker::Error::from)?;
        }
        Ok(response)
    }

    /// Queues publishes of a request or a call, whose bodies have so many bytes, and waits for their outcomes.
    pub(super) async fn committed(
        self: &Rc<Self>,
        publishes: Vec<QueuedPublish>,
        body_bytes: usize,
    ) -> Result<Vec<PublishOutcome>, Problem> {
        let bytes = body_bytes + publishes.len() * PUBLISH_BYTES;
        if !self.has_room(bytes) {
            return Err(busy());
        }
        let (answer, outcomes) = oneshot::channel();
        self.enqueue(Queued { publishes, bytes, answer: AnswerTo::Request(answer), since: now() });
        outcomes.await.map_err(|_| unknown())
    }

    pub(super) fn alone(&self, posted: Posted) -> QueuedPublish {
        let publish = match self.verbatim(&posted.grant, &posted.body) {
            Some(WrittenLine { publish, idempotency_key: None }) => publish,
            Some(_) | None => self.written(&posted.grant, Publish::parse(&posted.body)?)?,
        };
        let mut submission = self.submission(posted.publisher, publish, posted.idempotency_key);
        submission.publish.cause.trace(posted.traceparent);
        Ok(submission)
    }

    fn lines(&self, posted: &Posted) -> Result<Vec<QueuedPublish>, Problem> {
        let mut publishes = Vec::new();
        for (index, line) in ndjson::split(&posted.body)?.into_iter().enumerate() {
            let fallback = posted.idempotency_key.as_deref().map(|key| ndjson::nth_key(key, index + 1));
            let mut publish = self.line(&posted.publisher, &posted.grant, line, fallback);
            if let Ok(submission) = &mut publish {
                submission.publish.cause.trace(posted.traceparent.clone());
            }
            publishes.push(publish);
        }
        Ok(publishes)
    }

    /// Reads a request. If another request with the same idempotency key is being read, refuses at once;
    /// after that the order in the queue decides.
    async fn posted(&self, request: &web_sys::Request, head: RequestHead) -> Result<Posted, Failure> {
        let RequestHead { content_type, content_length, idempotency_key, grant, traceparent, .. } = head;
        let publisher = head.caller;
        idempotency_key.as_deref().map(check_idempotency_key).transpose().map_err(Problem::from)?;
        let Some(mark) = BodyMark::set(&self.bodies, self.ticket(), &publisher, &idempotency_key) else {
            return Err(in_flight().into());
        };
        let body = read_body(request, content_length, max_body_bytes(&content_type), &mark).await?;
        Ok(Posted { publisher, grant, idempotency_key, traceparent, body })
    }

    /// Waits until every replica and every live follower has acknowledged a publish, or until the deadline.
    async fn when_applied<'a>(
        &self,
        receipt: &'a Receipt,
        deadline: UnixMillis,
    ) -> worker::Result<AppliedReceipt<'a>> {
        let Applied { applied, pending, acked, unacked } = loop {
            let all = self.driver.hub()?.applied(receipt.epoch, receipt.version);
            let left = deadline.since(now());
            if all.is_complete() || left.is_zero() {
                break all;
            }
            // Woken or timed out, the loop counts the acks again.
            self.driver.stepped.notified(left).await;
        };
        let mut offline = self.driver.rows().known_replicas()?;
        offline.retain(|name| !applied.contains(name) && !pending.contains(name));
        let followers = FollowerAcks { acked, pending: unacked };
        Ok(AppliedReceipt { receipt, applied, pending, offline, followers })
    }
}
