//! The origin, where values come from: asked with a time-out, its answers read with suspicion.

use std::time::Duration;

use futures_util::future::{Either, select};
use newsreel_core::read::cache::{Read, etag_of};
use newsreel_core::read::entry_names::r2_name;
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::{Catalog, Key, Position, UnixMillis};
use worker::web_sys::{self, AbortController, RequestCache, RequestInit};
use worker::{Delay, Env, Result};

use super::{Body, Entry, KV_VALUE_BYTES, r2};
use crate::clock::now;
use crate::config::Config;
use crate::js;

/// How often who waits for the origin says that it still does.
const BREATH: Duration = Duration::from_millis(250);
/// How long a value may take that is too large for memory, once it has begun.
const LARGE_TIMEOUT: Duration = Duration::from_secs(60);

/// One question to the origin.
pub(crate) struct Question<'a> {
    pub(crate) env: &'a Env,
    pub(crate) config: &'a Config,
    pub(crate) catalog: &'a Catalog,
    pub(crate) key: &'a Key,
    pub(crate) read: &'a Read,
    /// What is known before it is asked; the fill is stamped with it.
    pub(crate) position: Position,
}

impl Question<'_> {
    /// Asks it. `alive` is called every now and then while the answer is waited for.
    ///
    /// # Errors
    /// When the origin gives no answer in time, or one that is neither a value nor "not found".
    pub(crate) async fn ask(&self, alive: impl Fn()) -> Result<Entry> {
        let fetched_at = now();
        let abort = AbortController::new()?;
        let request = self.request(&abort)?;
        let deadline = fetched_at.plus(self.config.origin_timeout);
        let response = in_time(deadline, &abort, &alive, js::fetch(&request)).await?;
        match response.status() {
            200 => self.found(fetched_at, &response, &abort, &alive).await,
            404 | 410 => {
                let (tags, none) = (Vec::new(), String::new());
                let envelope = self.read.filled(self.position, fetched_at, false, tags, none.clone(), none);
                Ok(Entry { envelope, body: Body::Bytes([].into()) })
            }
            other => Err(format!("the origin answered {other}").into()),
        }
    }

    fn request(&self, abort: &AbortController) -> Result<web_sys::Request> {
        let headers = web_sys::Headers::new()?;
        headers.set("Newsreel-Version", &self.position.to_string())?;
        let init = RequestInit::new();
        init.set_headers(&headers);
        init.set_cache(RequestCache::NoStore);
        init.set_signal(Some(&abort.signal()));
        let url = format!("{}/{}/{}", self.config.origin, self.catalog, encoded_key(self.key));
        Ok(web_sys::Request::new_with_str_and_init(&url, &init)?)
    }

    async fn found(
        &self,
        fetched_at: UnixMillis,
        response: &web_sys::Response,
        abort: &AbortController,
        alive: &impl Fn(),
    ) -> Result<Entry> {
        let header = |name: &str| response.headers().get(name).map(Option::unwrap_or_default);
        let mut tags = tags_from_header(&header("Cache-Tag")?).map_err(|why| format!("Cache-Tag: {why}"))?;
        if tags.is_empty() {
            tags =
                tags_from_header(&header("Surrogate-Key")?).map_err(|why| format!("Surrogate-Key: {why}"))?;
        }
        let content_type = Some(header("Content-Type")?).filter(|text| !text.is_empty());
        let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        let etag = Some(header("ETag")?).filter(|text| !text.is_empty());
        let fill = |etag: String| {
            self.read.filled(self.position, fetched_at, true, tags.clone(), content_type.clone(), etag)
        };
        // A value of another encoding is longer or shorter than it says.
        let length = header("Content-Length")?
            .parse()
            .ok()
            .filter(|_| header("Content-Encoding") == Ok(String::new()));
        if let (Some(length), Some(stream)) =
            (length.filter(|length| *length > u64::from(KV_VALUE_BYTES)), response.body())
        {
            let etag = etag.unwrap_or_else(|| self.etag_of_large(length, fetched_at));
            let taken = self.take(fill(etag), &stream, length);
            return in_time(now().plus(LARGE_TIMEOUT), abort, alive, taken).await;
        }
        let deadline = now().plus(self.config.origin_timeout);
        let array = in_time(deadline, abort, alive, js::body_of(response)).await?;
        let length = u64::from(array.length());
        let body = Body::of(array);
        let etag = etag.unwrap_or_else(|| match &body {
            Body::Bytes(bytes) => etag_of(bytes),
            Body::Array(_) | Body::Stored(_) | Body::Stream(..) | Body::Left(_) => {
                self.etag_of_large(length, fetched_at)
            }
        });
        Ok(Entry { envelope: fill(etag), body })
    }

    /// Takes a value that is too large for memory: through R2, or where there is none just once.
    async fn take(
        &self,
        envelope: newsreel_core::read::cache::Envelope,
        stream: &web_sys::ReadableStream,
        length: u64,
    ) -> Result<Entry> {
        if !self.config.has_r2 {
            return Ok(Entry { envelope, body: Body::Stream(stream.clone(), length) });
        }
        let name = r2_name(self.catalog, &self.position.epoch, self.key);
        r2::take(self.env, &name, envelope, stream, length).await
    }

    /// Returns an entity tag for a value that is not read here: of this fetch, so no other value has it.
    fn etag_of_large(&self, length: u64, fetched_at: UnixMillis) -> String {
        let Position { epoch, version, .. } = self.position;
        format!("\"{epoch}-{version}-{}-{length}\"", fetched_at.0)
    }
}

/// Waits for the origin until the deadline, then lets go of it.
async fn in_time<T>(
    deadline: UnixMillis,
    abort: &AbortController,
    alive: &impl Fn(),
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut answer = Box::pin(answer);
    loop {
        let left = deadline.since(now());
        if left.is_zero() {
            abort.abort();
            return Err("the origin did not answer in time".into());
        }
        match select(answer, Box::pin(Delay::from(left.min(BREATH)))).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), waiting)) => answer = waiting,
        }
        alive();
    }
}
