//! HTTP as every command needs it: problems read into errors, and trying again while that may help.

use std::future::Future;
use std::time::{Duration, Instant};

use newsreel_core::follow::follower::backoff_ceiling;
use newsreel_core::wire::ndjson;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::exit::{Failure, WrongServer, innermost};
use crate::proxy::is_here;

/// How long a connection may take to open.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take, when the request does not say otherwise.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The ceiling of the wait after the first failure. The ceiling doubles with each further failure.
const PAUSE_BASE: Duration = Duration::from_millis(100);
/// The highest ceiling of the wait between attempts.
const PAUSE_CAP: Duration = Duration::from_secs(5);

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Trying again may help: no answer, a fault, or too much at once.
    Passing {
        /// The reason that the last attempt gave.
        why: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// Whether it is only too much at once.
        busy: bool,
    },
    /// The answer would be the same again.
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The stable code of the problem.
        code: String,
        /// The detail that the server gives.
        detail: String,
    },
    /// The server sends the request on to another address. A token is meant for one server, and a publish
    /// that became a GET would be none, so no redirect is followed.
    Redirected {
        /// The address that was asked.
        asked: Url,
        /// The address that the answer points to.
        to: Url,
    },
    /// The answer is not one of the server that was expected at the address.
    WrongServer(WrongServer),
}

/// Returns a client for one server. The client follows no redirects, and asks no proxy for an address of this
/// machine.
pub(crate) fn client(server: &Url) -> Result<Client, Failure> {
    let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    let builder = builder.redirect(Policy::none());
    let builder = if is_here(server) { builder.no_proxy() } else { builder };
    Ok(builder.build().map_err(anyhow::Error::from)?)
}

/// A text that is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// The text is no URL. The reason is that of the URL's grammar.
    #[error("{0}; an address is http://host:port")]
    NoUrl(String),
    /// The URL is of another scheme, or has no host.
    #[error("an address begins with http:// or https://")]
    NoServer,
}

/// Reads a flag's value as the address of a server.
pub(crate) fn server(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|why| AddressError::NoUrl(why.to_string()))?;
    let is_server = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_server { Ok(url) } else { Err(AddressError::NoServer) }
}

/// An answer of any status.
pub(crate) struct Exchange {
    /// The address that was asked.
    asked: Url,
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The headers of the answer.
    pub(crate) headers: HeaderMap,
    /// The whole body of the answer.
    pub(crate) body: Vec<u8>,
}

impl Exchange {
    /// Returns how long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// Returns the address that the answer points to, if it is a redirect.
    fn redirect(&self) -> Option<Url> {
        redirect(self.status, &self.headers, &self.asked)
    }
}

/// Returns how long a server wants to be left alone.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map(Duration::from_secs)
}

/// Returns the address that an answer points to, if it is a redirect.
pub(crate) fn redirect(status: StatusCode, headers: &HeaderMap, asked: &Url) -> Option<Url> {
    let location = headers.get(LOCATION).filter(|_| status.is_redirection())?;
    asked.join(location.to_str().ok()?).ok()
}

/// Returns whether an answer is a page of HTML.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| media.eq_ignore_ascii_case("text/html"))
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    text.split(';').next().map(str::trim).filter(|media| !media.is_empty())
}

/// Returns the status and the type of an answer, in words.
pub(crate) fn described(status: StatusCode, headers: &HeaderMap) -> String {
    format!("{status} with {}", media_type(headers).unwrap_or("no content type"))
}

/// Sends a request once and returns the answer, whether a success or not.
pub(crate) async fn exchange(request: RequestBuilder) -> Result<Exchange, CallError> {
    let answer = request.send().await.map_err(|error| no_answer(&error))?;
    let (status, headers, asked) = (answer.status(), answer.headers().clone(), answer.url().clone());
    let body = answer.bytes().await.map_err(|error| broken_off(&error))?.to_vec();
    Ok(Exchange { asked, status, headers, body })
}

/// Sends a request once and returns the body of a success, which is JSON. `expected` is the kind of server
/// that is asked, such as `a broker`.
pub(crate) async fn call(request: RequestBuilder, expected: &'static str) -> Result<String, CallError> {
    let answer = exchange(request).await?;
    let (status, after) = (answer.status, answer.retry_after());
    if let Some(to) = answer.redirect() {
        return Err(CallError::Redirected { asked: answer.asked, to });
    }
    if status.is_success() && is_json(&answer.body) {
        return Ok(String::from_utf8_lossy(&answer.body).into_owned());
    }
    let (code, detail) = problem(status, &answer.body);
    // 408 too slow, 409 the same publish is under way, 425 too early, 429 too much.
    if status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429) {
        let busy = status == StatusCode::TOO_MANY_REQUESTS;
        return Err(CallError::Passing { why: format!("{status}: {code}: {detail}"), after, busy });
    }
    if status.is_success() || is_html(&answer.headers) {
        let answered = described(status, &answer.headers);
        return Err(CallError::WrongServer(WrongServer { expected, answered }));
    }
    Err(CallError::Refused { status, code, detail })
}

/// Says whether a body is JSON, or lines of JSON.
fn is_json(body: &[u8]) -> bool {
    let reads = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
    reads(body) || ndjson::split(body).is_ok_and(|lines| lines.into_iter().all(reads))
}

/// Makes calls until one is answered or the time for retries has run out.
pub(crate) async fn call_with_retries<T, F>(
    server: &Url,
    retry_for: Duration,
    attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    call_until(server, retry_for, false, attempt).await
}

/// Makes calls until one is answered, or until the server has failed or been silent for the time of retries.
/// A server that says that it is busy is alive, and is asked again for as long as it takes.
pub(crate) async fn call_while_alive<T, F>(
    server: &Url,
    retry_for: Duration,
    attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, CallError>>,
{
    call_until(server, retry_for, true, attempt).await
}

async fn call_until<T, F>(
    server: &Url,
    retry_for: Duration,
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
            Err(CallError::Redirected { asked, to }) => return Err(redirected(server, &asked, &to)),
            Err(CallError::WrongServer(why)) => {
                return Err(Failure::WrongServer { server: server.to_string(), why });
            }
            Err(CallError::Passing { why, after, busy }) => (why, after, busy),
        };
        let wait = pause(failures).max(after.unwrap_or_default());
        if busy && busy_is_alive {
            alive = Instant::now() + wait;
        } else if alive.elapsed() + wait > retry_for {
            return Err(Failure::Unreachable { what: server.to_string(), why });
        }
        tokio::time::sleep(wait).await;
    }
    unreachable!("the attempts are counted without an end")
}

/// Returns the code and the detail of a problem, or of the first error of Cloudflare's API; of anything else,
/// its status and its text.
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
    let ceiling = backoff_ceiling(PAUSE_BASE, PAUSE_CAP, failures);
    ceiling.mul_f64(f64::from(random_u32()) / f64::from(u32::MAX))
}

/// Returns a random number.
pub(crate) fn random_u32() -> u32 {
    getrandom::u32().expect("the system has randomness")
}

/// Reads the JSON of a success. JSON of another shape came from another server.
pub(crate) fn read<T: DeserializeOwned>(
    server: &Url,
    expected: &'static str,
    answer: &str,
) -> Result<T, Failure> {
    serde_json::from_str(answer).map_err(|error| {
        let answered = format!("JSON of another shape ({error})");
        Failure::WrongServer { server: server.to_string(), why: WrongServer { expected, answered } }
    })
}

/// Returns the failure of a call that was sent on. If the new address ends as the one that was asked, the
/// beginning is the address to give instead.
pub(crate) fn redirected(server: &Url, asked: &Url, to: &Url) -> Failure {
    let of_call = asked.path().strip_prefix(server.path().trim_end_matches('/')).unwrap_or_default();
    let instead = to.path().strip_suffix(of_call).filter(|_| !of_call.is_empty()).map(|path| {
        let mut instead = to.clone();
        instead.set_path(path);
        instead.set_query(None);
        instead.to_string()
    });
    Failure::Redirected { server: server.to_string(), to: to.to_string(), instead }
}

fn no_answer(error: &reqwest::Error) -> CallError {
    CallError::Passing { why: innermost(error), after: None, busy: false }
}

fn broken_off(error: &reqwest::Error) -> CallError {
    let why = if error.is_timeout() {
        "the answer took too long".to_owned()
    } else {
        format!("the connection ended in the middle of its answer ({})", innermost(error))
    };
    CallError::Passing { why, after: None, busy: false }
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
    fn an_address_is_http() {
        assert!(server("https://example.com").is_ok());
        for bad in ["example.com", "ftp://example.com", "127.0.0.1:8787", ""] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_pause_stays_under_a_ceiling_that_doubles() {
        for failures in 0..40 {
            let ceiling = PAUSE_BASE * 2_u32.pow(failures.min(6));
            assert!(pause(failures) <= ceiling.min(PAUSE_CAP));
        }
    }
}
