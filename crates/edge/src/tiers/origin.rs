//! The origin, where values come from: asked with a time-out, its answers read with suspicion.

use std::time::Duration;

use futures_util::future::{Either, select};
use newsreel_core::read::cache::{Envelope, ReadMachine, etag_of};
use newsreel_core::read::entry_names::r2_name;
use newsreel_core::read::origin_answer::{OriginAnswer, OriginFailure, OriginResponse, OriginValue};
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::{Catalog, Key, Position, Traceparent, UnixMillis};
use newsreel_gate::spans;
use wasm_bindgen::{JsCast as _, JsValue};
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, AbortController, ReadableStream};
use worker::{Delay, Env, Fetch, Headers, Request, Response};

use super::{Body, Entry, KV_VALUE_BYTES, r2};
use crate::clock::now;
use crate::config::Config;
use crate::http::abortable_get;
use crate::streams;

/// How often a fetch that waits for the origin reports that it is alive.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// How long a value too large for memory may take, once its answer has begun.
const LARGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The reason that a fetch of the origin brings no entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    /// The origin, or R2 that its value streams into, took too long.
    #[error("the origin did not answer in time")]
    Late,
    /// The origin's answer is neither a value nor "not found".
    #[error(transparent)]
    Answer(#[from] OriginFailure),
    /// The origin cannot be reached, its body breaks off, or R2 does not take it.
    #[error(transparent)]
    Platform(#[from] worker::Error),
}

/// One question to the origin.
pub(crate) struct Question<'a> {
    pub(crate) env: &'a Env,
    pub(crate) config: &'a Config,
    pub(crate) catalog: &'a Catalog,
    pub(crate) key: &'a Key,
    pub(crate) read: &'a ReadMachine,
    /// The reader's position before the origin is asked; the fill is stamped with it.
    pub(crate) position: Position,
    /// The trace of the change that the fetch follows from, if that change has one.
    pub(crate) traceparent: Option<Traceparent>,
    /// The caller's function that has the value; `None` where the deployment's origin has it.
    pub(crate) function: Option<&'a Function>,
}

impl Question<'_> {
    /// Asks the origin. Calls `heartbeat` every [`HEARTBEAT_EVERY`] while the answer is awaited.
    ///
    /// # Errors
    /// When the origin gives no answer in time, or one that is neither a value nor "not found".
    pub(crate) async fn ask(&self, heartbeat: impl Fn()) -> Result<Entry, OriginError> {
        let fetched_at = now();
        let abort = AbortController::new().map_err(worker::Error::from)?;
        let deadline = fetched_at.plus(self.config.origin_timeout);
        let response = match self.function {
            Some(function) => in_time(deadline, &abort, &heartbeat, self.call(function)).await?,
            None => {
                let request = self.request(&abort)?;
                in_time(deadline, &abort, &heartbeat, Fetch::Request(request).send()).await?
            }
        };
        self.entry_of(&response, fetched_at, &abort, &heartbeat).await
    }

    /// Returns the entry that a response makes, whoever gave it.
    ///
    /// # Errors
    /// When the response is neither a value nor "not found", or breaks off.
    pub(crate) async fn entry_of(
        &self,
        response: &Response,
        fetched_at: UnixMillis,
        abort: &AbortController,
        heartbeat: &impl Fn(),
    ) -> Result<Entry, OriginError> {
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let answer = response_of(response, &header, self.config);
        let vary = self.config.policies.origin_vary(self.key.class());
        match answer.meaning_by(self.read.policy(), vary)? {
            OriginAnswer::Value(value) => self.found(value, fetched_at, response, abort, heartbeat).await,
            OriginAnswer::NotFound(keeping) => {
                let envelope = keeping.envelope(self.read, self.position, fetched_at);
                Ok(Entry::new(envelope, Body::Bytes([].into())))
            }
        }
    }

    fn request(&self, abort: &AbortController) -> worker::Result<Request> {
        let headers = Headers::new();
        headers.set("Newsreel-Version", &self.position.to_string())?;
        if let Some(traceparent) = &self.traceparent {
            // Unchanged, as by whatever passes a trace on without recording spans in it.
            headers.set("traceparent", traceparent.as_str())?;
            spans::belongs_to(traceparent);
            spans::about_key(self.key.as_str());
        }
        let origin = self.config.origin().map_err(|problem| problem.detail().to_owned())?;
        let url = format!("{origin}/{}/{}", self.catalog, encoded_key(self.key));
        abortable_get(&url, &headers, Some(&abort.signal()))
    }

    /// Calls the caller's function; returns the response that it promises.
    async fn call(&self, function: &Function) -> worker::Result<Response> {
        let promised = function.call1(&JsValue::NULL, &self.position.to_string().into())?;
        let response = JsFuture::from(Promise::resolve(&promised)).await?;
        let response: web_sys::Response =
            response.dyn_into().map_err(|_| "the function of the caller returned no response")?;
        Ok(response.into())
    }

    async fn found(
        &self,
        value: OriginValue,
        fetched_at: UnixMillis,
        response: &Response,
        abort: &AbortController,
        heartbeat: &impl Fn(),
    ) -> Result<Entry, OriginError> {
        let large = value.length.filter(|length| *length > u64::from(KV_VALUE_BYTES));
        if let (Some(length), Some(stream)) = (large, streams::body_of(response)) {
            let envelope = value
                .envelope(self.read, self.position, fetched_at, || self.etag_of_large(length, fetched_at));
            let taken = self.take(envelope, &stream, length);
            return in_time(now().plus(LARGE_TIMEOUT), abort, heartbeat, taken).await;
        }
        let deadline = now().plus(self.config.origin_timeout);
        let array = in_time(deadline, abort, heartbeat, streams::read_body(response, &value.codings)).await?;
        let length = u64::from(array.length());
        let body = Body::of(array);
        let envelope = value.envelope(self.read, self.position, fetched_at, || match &body {
            Body::Bytes(bytes) => etag_of(bytes),
            Body::Array(_) | Body::Stored(_) | Body::Stream(..) | Body::Omitted(_) => {
                self.etag_of_large(length, fetched_at)
            }
        });
        Ok(Entry::new(envelope, body))
    }

    /// Takes a value that is too large for memory: through R2, or just once where there is no R2 or the origin forbids
    /// to store the value.
    async fn take(&self, envelope: Envelope, stream: &ReadableStream, length: u64) -> worker::Result<Entry> {
        if !self.config.has_r2 || envelope.not_stored.is_some() {
            return Ok(Entry::new(envelope, Body::Stream(stream.clone(), length)));
        }
        let name = r2_name(self.catalog, &self.position.epoch, self.key);
        r2::take(self.env, &name, envelope, stream, length).await
    }

    /// Returns an entity tag for a value whose bytes are not hashed here. The tag names this fetch, so no
    /// other value has it.
    fn etag_of_large(&self, length: u64, fetched_at: UnixMillis) -> String {
        let Position { epoch, version, .. } = self.position;
        format!("\"{epoch}-{version}-{}-{length}\"", fetched_at.0)
    }
}

/// Returns an answer of the origin as the core reads it.
pub(crate) fn response_of<'a>(
    response: &Response,
    header: &'a dyn Fn(&str) -> Option<String>,
    config: &Config,
) -> OriginResponse<'a> {
    let (status, fold_tags) = (response.status_code(), config.fold_tags);
    OriginResponse { status, header, received_at: now(), on_workerd: true, fold_tags }
}

/// Waits for the origin until the deadline, then lets go of it.
async fn in_time<T>(
    deadline: UnixMillis,
    abort: &AbortController,
    heartbeat: &impl Fn(),
    answer: impl Future<Output = worker::Result<T>>,
) -> Result<T, OriginError> {
    let mut answer = Box::pin(answer);
    loop {
        let left = deadline.since(now());
        if left.is_zero() {
            abort.abort();
            return Err(OriginError::Late);
        }
        match select(answer, Box::pin(Delay::from(left.min(HEARTBEAT_EVERY)))).await {
            Either::Left((answer, _)) => return Ok(answer?),
            Either::Right(((), waiting)) => answer = waiting,
        }
        heartbeat();
    }
}
