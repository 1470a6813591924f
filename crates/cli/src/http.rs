//! HTTP as every command needs it: problems read into errors, and trying again while that may help.

use std::future::Future;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::exit::Failure;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take, when the request does not say otherwise.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The first ceiling of the wait between attempts; it doubles from there.
const PAUSE_BASE: Duration = Duration::from_millis(100);
/// The last ceiling.
const PAUSE_CAP: Duration = Duration::from_secs(5);

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Trying again may help: no answer, a fault, or too much at once.
    Passing {
        /// What happened.
        why: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// Whether it is only too much at once.
        busy: bool,
    },
    /// The answer would be the same again.
    Refused {
        /// The status.
        status: StatusCode,
        /// The stable code of the problem.
        code: String,
        /// What the server says.
        detail: String,
    },
}

/// Returns a client for one server. A proxy of the environment is not asked for this machine's own addresses.
pub(crate) fn client(server: &Url) -> Result<Client, Failure> {
    let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    let builder = if is_here(server) { builder.no_proxy() } else { builder };
    Ok(builder.build().map_err(anyhow::Error::from)?)
}

/// Reads a flag's value as the address of a server.
pub(crate) fn server(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|why| format!("{why}; an address is http://host:port"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("an address begins with http:// or https://".to_owned()),
    }
}

/// An answer of any status.
pub(crate) struct Exchange {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Exchange {
    /// Returns how long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
        seconds.map(Duration::from_secs)
    }
}

/// Sends a request once and returns what was answered, whatever it is.
pub(crate) async fn exchange(request: RequestBuilder) -> Result<Exchange, CallError> {
    let answer = request.send().await.map_err(|error| no_answer(&error))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.map_err(|error| no_answer(&error))?.to_vec();
    Ok(Exchange { status, headers, body })
}

/// Sends a request once and returns the body of a success.
pub(crate) async fn call(request: RequestBuilder) -> Result<String, CallError> {
    let answer = exchange(request).await?;
    let (status, after) = (answer.status, answer.retry_after());
    if status.is_success() {
        return Ok(String::from_utf8_lossy(&answer.body).into_owned());
    }
    let (code, detail) = problem(status, &answer.body);
    // 408 too slow, 409 the same publish is under way, 425 too early, 429 too much.
    if status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429) {
        let busy = status == StatusCode::TOO_MANY_REQUESTS;
        return Err(CallError::Passing { why: format!("{status}: {code}: {detail}"), after, busy });
    }
    Err(CallError::Refused { status, code, detail })
}

/// Makes calls until one is answered or `patience` is used up.
pub(crate) async fn call_patiently<T, F>(
    server: &Url,
    patience: Duration,
    attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    call_until(server, patience, false, attempt).await
}

/// Makes calls until one is answered, or until the server has given nothing but silence and faults for `patience`. One
/// that is busy is alive: it is asked again for as long as it takes.
pub(crate) async fn call_while_alive<T, F>(
    server: &Url,
    patience: Duration,
    attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    call_until(server, patience, true, attempt).await
}

async fn call_until<T, F>(
    server: &Url,
    patience: Duration,
    busy_is_alive: bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut alive = Instant::now();
    for failures in 0.. {
        let (why, after, busy) = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(CallError::Refused { code, detail, .. }) => return Err(Failure::Refused { code, detail }),
            Err(CallError::Passing { why, after, busy }) => (why, after, busy),
        };
        let wait = pause(failures).max(after.unwrap_or_default());
        if busy && busy_is_alive {
            alive = Instant::now() + wait;
        } else if alive.elapsed() + wait > patience {
            return Err(Failure::Unreachable { what: server.to_string(), why });
        }
        tokio::time::sleep(wait).await;
    }
    unreachable!("the attempts are counted without an end")
}

/// Returns the code and the detail of a problem, or of the first error of Cloudflare's API; of anything else, its
/// status and its text.
pub(crate) fn problem(status: StatusCode, body: &[u8]) -> (String, String) {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Problem {
        Ours { code: String, detail: String },
        Cloudflare { errors: Vec<CloudflareError> },
    }
    #[derive(Deserialize)]
    struct CloudflareError {
        code: u64,
        message: String,
    }
    let error = match serde_json::from_slice(body) {
        Ok(Problem::Ours { code, detail }) => return (code, detail),
        Ok(Problem::Cloudflare { errors }) => errors.into_iter().next(),
        Err(_) => None,
    };
    let text = || (status.as_u16().to_string(), shortened(&String::from_utf8_lossy(body)));
    error.map_or_else(text, |CloudflareError { code, message }| (format!("cloudflare-{code}"), message))
}

/// Returns how long to wait before the next attempt: full jitter under a ceiling that doubles.
pub(crate) fn pause(failures: u32) -> Duration {
    let ceiling = PAUSE_BASE.saturating_mul(1 << failures.min(16)).min(PAUSE_CAP);
    ceiling.mul_f64(f64::from(random_u32()) / f64::from(u32::MAX))
}

/// Returns a random number.
pub(crate) fn random_u32() -> u32 {
    getrandom::u32().expect("the system has randomness")
}

/// The outer text of the client's errors says only "error sending request"; the innermost says why.
fn no_answer(error: &reqwest::Error) -> CallError {
    let mut why: &dyn std::error::Error = error;
    while let Some(inner) = why.source() {
        why = inner;
    }
    CallError::Passing { why: why.to_string(), after: None, busy: false }
}

fn is_here(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An answer that is not a problem may be a whole page of HTML.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    let text = text.trim();
    text.char_indices().nth(SHOWN).and_then(|(end, _)| text.get(..end)).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_and_anything_else_is_shown() {
        let bad = StatusCode::BAD_REQUEST;
        let body = br#"{"status":400,"code":"bad-key","detail":"because"}"#;
        assert_eq!(problem(bad, body), ("bad-key".into(), "because".into()));
        let cloudflare =
            br#"{"success":false,"errors":[{"code":10000,"message":"why"}],"messages":[],"result":null}"#;
        assert_eq!(problem(bad, cloudflare), ("cloudflare-10000".into(), "why".into()));
        assert_eq!(problem(bad, br#"{"errors":[]}"#).0, "400");
        assert_eq!(problem(bad, b"<html>"), ("400".into(), "<html>".into()));
        assert_eq!(problem(bad, "é".repeat(300).as_bytes()).1, "é".repeat(200));
    }

    #[test]
    fn an_address_is_http_and_this_machine_needs_no_proxy() {
        for here in ["http://localhost:1", "http://127.0.0.1:1/x", "http://[::1]:1"] {
            assert!(is_here(&server(here).unwrap()), "{here}");
        }
        assert!(!is_here(&server("https://example.com").unwrap()));
        for bad in ["example.com", "ftp://example.com", "127.0.0.1:8787", ""] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_pause_stays_under_a_ceiling_that_doubles() {
        for failures in 0..40 {
            assert!(pause(failures) <= PAUSE_BASE.saturating_mul(1 << failures.min(16)).min(PAUSE_CAP));
        }
    }
}
