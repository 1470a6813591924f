//! Requests to an API: conditional, unpacked, within a size and a time, with redirects.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use newsreel_mapping::Feed;
use newsreel_mapping::feed::{Address, Places};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::question::{Question, To, Validators};
use super::verdict::{self, Verdict, verdict};
use crate::exit::{Failure, innermost};
use crate::http;
use crate::proxy::is_here;

/// The letters that an address has only escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// A client of one feed's API.
pub(super) struct ApiClient {
    client: Client,
    headers: HeaderMap,
    /// The values of the variables that the address names.
    variables: BTreeMap<String, String>,
}

/// An answer that says something of the feed.
pub(super) enum Reply {
    /// Nothing changed.
    Unchanged,
    /// The API forgot what was asked for.
    Expired,
    /// The answer itself.
    Body {
        /// The body, unpacked.
        body: Vec<u8>,
        media_type: Option<String>,
        link: Option<String>,
        validators: Validators,
    },
}

/// A reply, with the time that the server said and the address that gave it.
pub(super) struct Fetched {
    pub(super) reply: Reply,
    pub(super) date: Option<i64>,
    pub(super) from: Url,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The server cannot be reached, or was too slow, or the connection broke.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The server wants to be asked later.
    #[error("{status}{}", shown(.body))]
    Later { status: u16, body: String, after: Option<Duration> },
    /// The server refuses.
    #[error("refused with {status}{}", shown(.body))]
    Refused { status: u16, body: String },
    /// The body is too large.
    #[error("the answer has more than {0} bytes: raise max_mb")]
    TooLarge(usize),
    /// The body is packed in a way that was not asked for, or is cut off.
    #[error("the answer cannot be unpacked: {0}")]
    Packed(String),
    /// The answer cannot be kept.
    #[error("the answer cannot be kept: {0}")]
    Keep(#[from] io::Error),
    /// The address is none, or leads elsewhere.
    #[error("{0}")]
    Address(String),
}

impl AskError {
    /// Returns how long the server wants to be left alone.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            Self::NoAnswer(_)
            | Self::Refused { .. }
            | Self::TooLarge(_)
            | Self::Packed(_)
            | Self::Keep(_)
            | Self::Address(_) => None,
        }
    }
}

impl ApiClient {
    /// Returns a client for a feed, with the secrets of the environment.
    ///
    /// # Errors
    /// If a variable is not set, or its value makes no header or no address.
    pub(super) fn new(feed: &Feed) -> Result<Self, Failure> {
        let named = feed.url.variables().chain(feed.headers.iter().flat_map(|(_, value)| value.variables()));
        let missing = |name: &str| {
            Failure::Input(format!("the feed {:?} needs the variable {name} in the environment", feed.name))
        };
        let variables: Result<BTreeMap<String, String>, Failure> = named
            .map(|name| Ok((name.to_owned(), std::env::var(name).map_err(|_| missing(name))?)))
            .collect();
        let variables = variables?;
        let mut headers = HeaderMap::new();
        for (name, value) in &feed.headers {
            let value = filled(value, &Places::default(), &variables);
            let wrong = || {
                Failure::Input(format!(
                    "the header {name} of the feed {:?} has letters that no header has",
                    feed.name
                ))
            };
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
        }
        let url = address(&filled(&feed.url, &Places::default(), &variables))
            .map_err(|error| Failure::Input(error.to_string()))?;
        let builder = Client::builder().connect_timeout(http::CONNECT_TIMEOUT).timeout(feed.timeout);
        let builder =
            builder.redirect(Policy::none()).user_agent(concat!("newsreel/", env!("CARGO_PKG_VERSION")));
        let builder = if is_here(&url) { builder.no_proxy() } else { builder };
        Ok(Self { client: builder.build().map_err(anyhow::Error::from)?, headers, variables })
    }

    /// Asks a question. `from` is the address that gave the last answer, which links are relative to. With `into` the body is
    /// put into a file as it comes.
    pub(super) async fn ask(
        &self,
        feed: &Feed,
        question: &Question,
        from: Option<&Url>,
        into: Option<&Path>,
    ) -> Result<Fetched, AskError> {
        let mut url = self.url(feed, &question.to, from)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get(feed, &url, question.validators.as_ref()).await?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let date = header("date").and_then(verdict::date);
            let now = date.unwrap_or_else(crate::source::watch::now_millis);
            let status = response.status().as_u16();
            let reply = match verdict(status, header("retry-after"), &feed.expired, now) {
                Verdict::Redirect => {
                    url = redirected(&url, header("location"))?;
                    continue;
                }
                Verdict::Unchanged => Reply::Unchanged,
                Verdict::Expired => Reply::Expired,
                Verdict::Later { after } => {
                    return Err(AskError::Later { status, body: beginning(response).await, after });
                }
                Verdict::Refused => {
                    return Err(AskError::Refused { status, body: beginning(response).await });
                }
                Verdict::Body => match into {
                    Some(path) => self.file(feed, response, path).await?,
                    None => self.body(feed, response).await?,
                },
            };
            return Ok(Fetched { reply, date, from: url });
        }
        Err(AskError::Address(format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn url(&self, feed: &Feed, to: &To, from: Option<&Url>) -> Result<Url, AskError> {
        let own = |places: &Places| address(&filled(&feed.url, places, &self.variables));
        match to {
            To::Places(places) => own(places),
            To::Link(link) => {
                let own = own(&Places::default())?;
                let url = from.unwrap_or(&own).join(link);
                let url = url.map_err(|why| {
                    AskError::Address(format!("the next page {link:?} is no address: {why}"))
                })?;
                // The headers have secrets of this server alone.
                if url.origin() != own.origin() {
                    return Err(AskError::Address(format!("the next page {link:?} is on another server")));
                }
                Ok(url)
            }
        }
    }

    async fn get(&self, feed: &Feed, url: &Url, known: Option<&Validators>) -> Result<Response, AskError> {
        let own = address(&filled(&feed.url, &Places::default(), &self.variables))?;
        let mut request = self.client.get(url.clone()).header("Accept-Encoding", "gzip");
        if url.origin() == own.origin() {
            request = request.headers(self.headers.clone());
        }
        if let Some(Validators { etag, last_modified, .. }) = known {
            let both = [("If-None-Match", etag), ("If-Modified-Since", last_modified)];
            for (name, value) in both {
                request = value.iter().fold(request, |request, value| request.header(name, value));
            }
        }
        request.send().await.map_err(|error| AskError::NoAnswer(innermost(&error.without_url())))
    }

    /// Puts a body into a file. Its compression is told by its first bytes when the file is read.
    async fn file(&self, feed: &Feed, mut response: Response, path: &Path) -> Result<Reply, AskError> {
        let (validators, media_type) =
            (validators_of(response.headers()), text_of(response.headers(), "content-type"));
        if http::is_html(response.headers()) {
            return Err(AskError::Packed("a page of HTML, and no file".to_owned()));
        }
        let (mut file, mut bytes) = (File::create(path)?, 0);
        while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error.without_url()))? {
            bytes += chunk.len();
            if bytes > feed.max_bytes {
                return Err(AskError::TooLarge(feed.max_bytes));
            }
            file.write_all(&chunk)?;
        }
        Ok(Reply::Body { body: Vec::new(), media_type, link: None, validators })
    }

    async fn body(&self, feed: &Feed, mut response: Response) -> Result<Reply, AskError> {
        let text = |name: &str| text_of(response.headers(), name);
        let validators = validators_of(response.headers());
        let (media_type, link, packed) = (text("content-type"), text("link"), text("content-encoding"));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(&error.without_url()))? {
            if body.len() + chunk.len() > feed.max_bytes {
                return Err(AskError::TooLarge(feed.max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        let body = match packed.as_deref() {
            None | Some("identity" | "") => body,
            Some("gzip" | "x-gzip") => unpacked(&body, feed.max_bytes)?,
            Some(other) => return Err(AskError::Packed(format!("by {other:?}, which was not asked for"))),
        };
        Ok(Reply::Body { body, media_type, link, validators })
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

fn validators_of(headers: &HeaderMap) -> Validators {
    let text = |name| text_of(headers, name);
    Validators { of: String::new(), etag: text("etag"), last_modified: text("last-modified") }
}

/// Fills an address. What an answer said is escaped: a cursor may have any letters.
fn filled(text: &Address, places: &Places, variables: &BTreeMap<String, String>) -> String {
    text.fill(places, |name| variables.get(name).cloned().unwrap_or_default(), escaped)
}

/// Escapes a value for a query or a path.
fn escaped(value: &str) -> String {
    utf8_percent_encode(value, ESCAPED).to_string()
}

fn address(text: &str) -> Result<Url, AskError> {
    // The text may have a secret in it, so no message shows it.
    http::server(text).map_err(|why| AskError::Address(format!("the url of the feed: {why}")))
}

fn redirected(from: &Url, location: Option<&str>) -> Result<Url, AskError> {
    let location = location.ok_or_else(|| AskError::Address("a redirect without an address".to_owned()))?;
    let to =
        from.join(location).map_err(|why| AskError::Address(format!("a redirect to {location:?}: {why}")))?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(AskError::Address(format!(
            "a redirect from https to {location:?}, which is not followed"
        )));
    }
    Ok(to)
}

fn unpacked(body: &[u8], most: usize) -> Result<Vec<u8>, AskError> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(most as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|error| AskError::Packed(error.to_string()))?;
    if unpacked.len() > most { Err(AskError::TooLarge(most)) } else { Ok(unpacked) }
}

fn cut_off(error: &reqwest::Error) -> AskError {
    let why = if error.is_timeout() { "it took too long".to_owned() } else { innermost(error) };
    AskError::NoAnswer(format!("the connection ended in the middle of it ({why})"))
}

/// Returns the beginning of a body, for people.
async fn beginning(mut response: Response) -> String {
    let chunk = response.chunk().await.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&chunk).trim().chars().take(200).collect()
}

fn shown(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_packed_body_is_unpacked_within_its_limit() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[b' '; 10_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpacked(&packed, 10_000).unwrap().len(), 10_000);
        assert!(matches!(unpacked(&packed, 9_999), Err(AskError::TooLarge(9_999))));
        assert!(matches!(unpacked(&packed[..packed.len() - 4], 10_000), Err(AskError::Packed(_))));
    }

    #[test]
    fn a_redirect_never_leaves_tls() {
        let from: Url = "https://h/a".parse().unwrap();
        assert_eq!(redirected(&from, Some("/b")).unwrap().as_str(), "https://h/b");
        assert!(redirected(&from, Some("http://h/b")).is_err());
        assert!(redirected(&from, None).is_err());
    }

    #[test]
    fn what_an_answer_said_is_escaped_in_the_address() {
        assert_eq!(escaped("a/b?c=d&é"), "a%2Fb%3Fc%3Dd%26%C3%A9");
    }
}
