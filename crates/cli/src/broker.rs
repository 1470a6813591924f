//! The broker over HTTP: its addresses, the token, and what a publish is answered with.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use newsreel_core::alerts::SourceReport;
use newsreel_core::wire::ndjson::PublishAnswer;
use newsreel_core::wire::{Catalog, Receipt, ndjson};
use reqwest::header::HeaderValue;
use reqwest::{Client, Method, RequestBuilder, Url};

use crate::exit::{Failure, WrongServer};
use crate::http::{self, CallError, Exchange};

/// The kind of server that is expected at the address. An edge is one too, as far as a command can tell.
pub(crate) const BROKER: &str = "a broker";
/// How long a fill may take: 100 keys of an origin that takes its time over each.
const FILL_TIMEOUT: Duration = Duration::from_secs(300);

/// The broker, the catalog and the token of a command.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub(crate) struct BrokerOptions {
    /// The broker's address.
    #[arg(long, global = true, env = "NEWSREEL_BROKER", default_value = "http://127.0.0.1:8787")]
    #[arg(value_name = "URL", value_parser = http::server)]
    pub(crate) broker: Url,
    /// The token that allows the command.
    #[arg(long, global = true, env = "NEWSREEL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Token>,
    /// The catalog, one keyspace with one log.
    #[arg(long, global = true, env = "NEWSREEL_CATALOG", default_value = "tv", value_name = "NAME")]
    pub(crate) catalog: Catalog,
    /// How long a call is repeated while the server does not answer or fails. `origin` repeats its publishes
    /// until they are acknowledged.
    #[arg(long, global = true, env = "NEWSREEL_RETRY_FOR_MS", default_value_t = 15_000, value_name = "MS")]
    pub(crate) retry_for_ms: u64,
}

/// A secret that is sent to the broker and never printed.
#[derive(Clone)]
pub(crate) struct Token(String);

/// How a publish is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Once it has a version.
    Acknowledged,
    /// Once the replicas have applied it too, or this time has passed.
    Applied(Duration),
}

/// A client of one catalog's broker.
#[derive(Clone, Debug)]
pub(crate) struct BrokerClient {
    client: Client,
    options: BrokerOptions,
    bearer: Option<HeaderValue>,
}

impl BrokerOptions {
    /// Returns how long to go on asking.
    pub(crate) fn retry_for(&self) -> Duration {
        Duration::from_millis(self.retry_for_ms)
    }

    /// Returns the address of the catalog at the broker, without a slash at its end.
    pub(crate) fn address(&self) -> String {
        format!("{}/v1/catalogs/{}", self.broker.as_str().trim_end_matches('/'), self.catalog)
    }

    /// Returns the value of the `Authorization` header, if there is a token.
    pub(crate) fn bearer(&self) -> Result<Option<HeaderValue>, Failure> {
        self.token.as_ref().map(Token::bearer).transpose()
    }
}

impl BrokerClient {
    /// Returns a client of the broker of these options.
    pub(crate) fn new(options: BrokerOptions) -> Result<Self, Failure> {
        let bearer = options.bearer()?;
        Ok(Self { client: http::client(&options.broker)?, options, bearer })
    }

    /// Returns the status of the catalog's log, as the broker wrote it.
    pub(crate) async fn status(&self) -> Result<String, CallError> {
        http::call(self.request(Method::GET, ""), BROKER).await
    }

    /// Returns a page of the log, as the broker wrote it.
    pub(crate) async fn changes(&self, query: &str) -> Result<String, CallError> {
        http::call(self.request(Method::GET, &format!("/changes?{query}")), BROKER).await
    }

    /// Returns the followers of the catalog, as the broker wrote them.
    pub(crate) async fn followers(&self) -> Result<String, CallError> {
        http::call(self.request(Method::GET, "/followers"), BROKER).await
    }

    /// Begins a new epoch and returns what the broker wrote of it.
    pub(crate) async fn new_epoch(&self) -> Result<String, CallError> {
        http::call(self.request(Method::POST, "/epochs"), BROKER).await
    }

    /// Sends a body to a hook, with the headers of its provider; returns the answer.
    pub(crate) async fn send_to_hook(
        &self,
        name: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<Exchange, CallError> {
        let request = self.request(Method::POST, &format!("/hooks/{name}")).body(body);
        let with = |request: RequestBuilder, (name, value): &(String, String)| request.header(name, value);
        http::exchange(headers.iter().fold(request, with)).await
    }

    /// Returns a page of the messages of hooks that could not be published.
    pub(crate) async fn dead_letters(&self, after: u64) -> Result<String, CallError> {
        http::call(self.request(Method::GET, &format!("/dead-letters?after={after}")), BROKER).await
    }

    /// Has such messages published again or forgotten; returns what became of each.
    pub(crate) async fn settle(&self, body: String) -> Result<String, CallError> {
        http::call(self.request(Method::POST, "/dead-letters").body(body), BROKER).await
    }

    /// Returns the alerts of the catalog, as the deployment wrote them.
    pub(crate) async fn alerts(&self) -> Result<String, CallError> {
        http::call(self.request(Method::GET, "/alerts"), BROKER).await
    }

    /// Has a message sent to every receiver of alerts.
    pub(crate) async fn test_alerts(&self) -> Result<String, CallError> {
        http::call(self.post("/alerts", r#"{"test":true}"#.to_owned()), BROKER).await
    }

    /// Tells the deployment how late a source is.
    pub(crate) async fn tell_source(&self, report: &SourceReport) -> Result<String, CallError> {
        let body = serde_json::to_string(report).expect("a report is JSON");
        http::call(self.post("/sources", body), BROKER).await
    }

    /// Has a source forgotten that is gone for good.
    pub(crate) async fn forget_source(&self, name: &str) -> Result<String, CallError> {
        let body = serde_json::json!({ "forget": name }).to_string();
        http::call(self.post("/alerts", body), BROKER).await
    }

    /// Has the edge at this address fill the keys of the body; returns what it wrote of them.
    pub(crate) async fn fill(&self, body: String) -> Result<String, CallError> {
        http::call(self.post("/fill", body).timeout(FILL_TIMEOUT), BROKER).await
    }

    /// Publishes once and returns the receipt as the broker wrote it. Only a receipt is an acknowledgement:
    /// a success without one came from something else than a broker.
    pub(crate) async fn publish(&self, key: &str, body: String, wait: Wait) -> Result<String, CallError> {
        let request = match wait {
            Wait::Acknowledged => self.post("/changes", body),
            Wait::Applied(time) => {
                let path = format!("/changes?wait=applied&timeout_ms={}", time.as_millis());
                self.post(&path, body).timeout(time + http::ANSWER_TIMEOUT)
            }
        };
        let answer = http::call(request.header("Idempotency-Key", key), BROKER).await?;
        match serde_json::from_str::<Receipt>(&answer) {
            Ok(_) => Ok(answer),
            Err(error) => {
                let answered = format!("JSON that is no receipt ({error})");
                Err(CallError::WrongServer(WrongServer { expected: BROKER, answered }))
            }
        }
    }

    /// Publishes lines, each with an idempotency key of its own, in their order. Returns how many of them, counted from the
    /// first, have a version for certain; a line that has none ends the count, also where later ones have one.
    pub(crate) async fn publish_lines(&self, lines: String) -> Result<usize, CallError> {
        let answer = self.answers_to_lines(lines).await?;
        Ok(answer.lines().take_while(|line| serde_json::from_str::<Receipt>(line).is_ok()).count())
    }

    /// Publishes lines, each with an idempotency key of its own, in their order. Returns their answers.
    pub(crate) async fn publish_in_order(&self, lines: String) -> Result<Vec<PublishAnswer>, CallError> {
        let answers = self.answers_to_lines(lines).await?;
        let read: Result<_, _> = answers.lines().map(serde_json::from_str).collect();
        read.map_err(|error| {
            let answered = format!("lines that are no answers to publishes ({error})");
            CallError::WrongServer(WrongServer { expected: BROKER, answered })
        })
    }

    async fn answers_to_lines(&self, lines: String) -> Result<String, CallError> {
        let request = self.request(Method::POST, "/changes").header("Content-Type", ndjson::MEDIA_TYPE);
        http::call(request.body(lines), BROKER).await
    }

    fn post(&self, path: &str, json: String) -> RequestBuilder {
        self.request(Method::POST, path).header("Content-Type", "application/json").body(json)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.options.address() + path);
        match &self.bearer {
            Some(bearer) => request.header("Authorization", bearer),
            None => request,
        }
    }
}

impl Token {
    /// Returns the secret itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Returns the value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> Result<HeaderValue, Failure> {
        let plain = !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_graphic());
        let value = plain.then(|| HeaderValue::try_from(format!("Bearer {}", self.0)).ok()).flatten();
        let wrong = || Failure::Input("the token is not printable ASCII without spaces".to_owned());
        let mut value = value.ok_or_else(wrong)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Takes any text: a refusal of the command line would show it.
impl FromStr for Token {
    type Err = Infallible;

    fn from_str(token: &str) -> Result<Self, Infallible> {
        Ok(Self(token.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let token: Token = "dev-publish".parse().unwrap();
        let bearer = token.bearer().unwrap();
        assert_eq!(format!("{token:?} {bearer:?}"), "Token(…) Sensitive");
        assert_eq!(bearer.to_str().unwrap(), "Bearer dev-publish");
        for bad in ["", "a b", "a\nb", "é"] {
            let why = bad.parse::<Token>().unwrap().bearer().unwrap_err().to_string();
            assert!(bad.is_empty() || !why.contains(bad), "{why}");
        }
    }
}
