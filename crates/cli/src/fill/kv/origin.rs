//! Values from the origin, as an edge would take them: the same headers, the same stamp, the same stored
//! bytes.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use newsreel_core::read::cache::{Envelope, ReadMachine, etag_of};
use newsreel_core::read::entry_codec;
use newsreel_core::read::origin_answer::{Coding, OriginAnswer, OriginFailure, OriginResponse};
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::{Catalog, Position, UnixMillis};
use reqwest::{Client, Url};

use super::super::keys::Hot;
use crate::exit::Failure;
use crate::http::{self, CallError, Exchange, exchange, pause};

/// The largest value of KV.
pub(super) const KV_VALUE_BYTES: usize = 25 << 20;
/// How often a key is asked for before it has failed.
const ATTEMPTS: u32 = 3;

/// The origin of a catalog.
#[derive(Clone)]
pub(super) struct OriginClient {
    client: Client,
    /// Up to the slash before the key.
    url: String,
    policies: Arc<Policies>,
    fold_tags: bool,
}

/// An entry as it is to be stored.
pub(super) struct Fetched {
    pub(super) hot: Hot,
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// A key that the origin gave nothing for.
pub(super) struct Missed {
    pub(super) hot: Hot,
    /// The stable code of the reason, for programs.
    pub(super) code: &'static str,
    /// The reason in words, for people.
    pub(super) why: String,
    /// Whether the origin answered at all.
    pub(super) answered: bool,
}

/// Why an answer is no entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Failure(#[from] OriginFailure),
    #[error("the origin's body is not of the content coding {}: {why}", coding.name())]
    Undecoded { coding: Coding, why: std::io::Error },
}

impl OriginClient {
    /// Returns the origin at an address, whose values live as `policies` say. `fold_tags` is the deployment's
    /// `TAGS_FOLD_CASE`.
    pub(super) fn new(
        address: &Url,
        catalog: &Catalog,
        policies: Policies,
        fold_tags: bool,
    ) -> Result<Self, Failure> {
        let url = format!("{}/{catalog}/", address.as_str().trim_end_matches('/'));
        Ok(Self { client: http::client(address)?, url, policies: Arc::new(policies), fold_tags })
    }

    /// Asks for a value, a few times if need be. The entry is stamped with `position`, which was known
    /// before.
    pub(super) async fn fetch(self, hot: Hot, position: Position) -> Result<Fetched, Missed> {
        let mut missed = (String::new(), false);
        for failures in 0..ATTEMPTS {
            if failures > 0 {
                tokio::time::sleep(pause(failures)).await;
            }
            let fetched_at = now();
            let request = self.client.get(format!("{}{}", self.url, encoded_key(&hot.key)));
            let request = request.header("Newsreel-Version", position.to_string());
            let answer = match exchange(request.header("Accept-Encoding", "gzip, identity;q=0.5")).await {
                Ok(answer) => answer,
                Err(CallError::Passing { why, .. } | CallError::Refused { detail: why, .. }) => {
                    missed = (why, false);
                    continue;
                }
                Err(CallError::Redirected { to, .. }) => {
                    missed = (format!("the origin sends requests on to {to}"), true);
                    continue;
                }
                Err(CallError::WrongServer(why)) => {
                    missed = (why.to_string(), true);
                    continue;
                }
            };
            match self.entry(&hot, position, fetched_at, &answer) {
                Ok((Envelope { not_stored: Some(why), .. }, _)) => {
                    let why = why.to_string();
                    return Err(Missed { hot, code: "not-storable", why, answered: true });
                }
                Ok((envelope, body)) => {
                    let bytes = entry_codec::encode(&envelope, &body);
                    return Ok(Fetched { hot, envelope, bytes });
                }
                Err(why) => missed = (why.to_string(), true),
            }
            if let Some(after) = answer.retry_after() {
                tokio::time::sleep(after.min(Duration::from_secs(5))).await;
            }
        }
        let (why, answered) = missed;
        Err(Missed { hot, code: "origin-failed", why, answered })
    }

    /// Returns the entry that an answer is.
    fn entry(
        &self,
        hot: &Hot,
        position: Position,
        fetched_at: UnixMillis,
        answer: &Exchange,
    ) -> Result<(Envelope, Vec<u8>), AnswerError> {
        let header = |name: &str| {
            let lines = answer.headers.get_all(name).iter();
            let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
            (!lines.is_empty()).then(|| lines.join(", "))
        };
        let status = answer.status.as_u16();
        let response = OriginResponse {
            status,
            header: &header,
            received_at: now(),
            on_workerd: false,
            fold_tags: self.fold_tags,
        };
        let class = hot.key.class();
        let read = ReadMachine::new(hot.key.clone(), self.policies.of(class), None);
        Ok(match response.meaning(&self.policies, class)? {
            OriginAnswer::Value(value) => {
                let body = undone(&value.codings, answer.body.clone())?;
                (value.envelope(&read, position, fetched_at, || etag_of(&body)), body)
            }
            OriginAnswer::NotFound(keeping) => (keeping.envelope(&read, position, fetched_at), Vec::new()),
        })
    }
}

/// Undoes the content codings of a body. A value that grows past the largest of KV is cut there, since KV
/// would not take the value.
pub(crate) fn undone(codings: &[Coding], mut body: Vec<u8>) -> Result<Vec<u8>, AnswerError> {
    for coding in codings {
        let (most, mut plain) = (KV_VALUE_BYTES as u64 + 1, Vec::new());
        let read = match coding {
            Coding::Gzip => MultiGzDecoder::new(body.as_slice()).take(most).read_to_end(&mut plain),
            Coding::Deflate => ZlibDecoder::new(body.as_slice()).take(most).read_to_end(&mut plain),
        };
        read.map_err(|why| AnswerError::Undecoded { coding: *coding, why })?;
        body = plain;
    }
    Ok(body)
}

/// Returns the moment by this machine's clock.
pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::default().plus(since)
}
