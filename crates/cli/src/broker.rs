//! The broker over HTTP: addresses, the token, problems as errors, and when to try again.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};

use crate::BrokerOptions;
use crate::exit::Failure;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one catalog's broker.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    http: Client,
    options: BrokerOptions,
}

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Trying again may help: no answer, a fault, or too much at once.
    Retry(String),
    /// The answer would be the same again.
    Refused {
        /// The status.
        status: StatusCode,
        /// The stable code of the problem.
        code: String,
        /// What the broker says.
        detail: String,
    },
}

impl Broker {
    /// Returns a client.
    pub(crate) fn new(options: BrokerOptions) -> Result<Self, Failure> {
        let http = Client::builder().timeout(TIMEOUT).build().map_err(anyhow::Error::from)?;
        Ok(Self { http, options })
    }

    /// Returns a request below the catalog's address; `path` is empty or begins with `/`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.options.broker.as_str().trim_end_matches('/');
        let url = format!("{base}/v1/catalogs/{}{path}", self.options.catalog);
        let request = self.http.request(method, url);
        match &self.options.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request once and returns the body of a success.
    pub(crate) async fn call(&self, request: RequestBuilder) -> Result<String, CallError> {
        let answer = request.send().await.map_err(|error| CallError::Retry(plain(&error)))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| CallError::Retry(plain(&error)))?;
        if status.is_success() {
            return Ok(body);
        }
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let member = |name: &str| problem.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let detail = member("detail").unwrap_or(body);
        if status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 429) {
            return Err(CallError::Retry(format!("{status}: {detail}")));
        }
        Err(CallError::Refused { status, code: member("code").unwrap_or_else(|| status.to_string()), detail })
    }

    /// Sends a request until it is answered, at most `tries` times.
    pub(crate) async fn call_again(
        &self,
        tries: u32,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<String, Failure> {
        let mut last = String::new();
        for attempt in 0..tries {
            if attempt > 0 {
                tokio::time::sleep(pause(attempt - 1)).await;
            }
            match self.call(request()).await {
                Ok(body) => return Ok(body),
                Err(CallError::Refused { code, detail, .. }) => {
                    return Err(Failure::Refused { code, detail });
                }
                Err(CallError::Retry(why)) => last = why,
            }
        }
        Err(Failure::Unreachable { what: format!("the broker at {}", self.options.broker), why: last })
    }
}

/// Returns how long to wait before the next attempt: full jitter under a ceiling that doubles up to 5 s.
pub(crate) fn pause(attempt: u32) -> Duration {
    let ceiling = Duration::from_millis(100).saturating_mul(1 << attempt.min(6)).min(Duration::from_secs(5));
    ceiling.mul_f64(f64::from(random_u32()) / f64::from(u32::MAX))
}

/// Returns a random number.
pub(crate) fn random_u32() -> u32 {
    getrandom::u32().expect("the system has randomness")
}

/// Returns an error of the HTTP client with its cause: the outer text alone says only "error sending request".
pub(crate) fn plain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
