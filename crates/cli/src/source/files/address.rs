//! A dump at an address: asked for on the condition that it is another one, and kept in a file while it is read.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Client, Response, StatusCode, Url};

use crate::exit::{Failure, innermost};
use crate::http::{CONNECT_TIMEOUT, is_html, retry_after};
use crate::proxy::is_here;

/// How long the server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Why an address gave no dump.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// There was no answer, or it broke off.
    #[error("{}", innermost(.0))]
    Call(#[from] reqwest::Error),
    /// The answer is none with a dump.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer is a page, such as one to log in at.
    #[error("the answer is a page of HTML, and no dump")]
    Page,
    /// The dump cannot be kept.
    #[error("{path}: {why}")]
    Keep {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        why: io::Error,
    },
}

/// An answer.
pub(super) enum Fetched {
    /// The dump is that which was taken.
    Same,
    /// The dump is another one, kept in this file.
    Dump(PathBuf),
}

/// An address, and what tells the dump that was taken from another one.
pub(super) struct Address {
    url: Url,
    client: Client,
    file: PathBuf,
    /// The conditions that the dump which was fetched last does not meet.
    fetched: Vec<(HeaderName, HeaderValue)>,
    /// Those of the dump that was taken last.
    taken: Vec<(HeaderName, HeaderValue)>,
    /// How long the server wants to be left alone.
    retry_after: Option<Duration>,
}

impl Address {
    /// Returns an address of which nothing was taken.
    pub(super) fn new(url: Url, file: PathBuf) -> Result<Self, Failure> {
        let builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENCE);
        let builder = if is_here(&url) { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(anyhow::Error::from)?;
        Ok(Self { url, client, file, fetched: Vec::new(), taken: Vec::new(), retry_after: None })
    }

    /// Asks for a dump that is another one than that which was taken.
    pub(super) async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let request = self.client.get(self.url.clone());
        let conditions = self.taken.iter().cloned();
        let answer =
            conditions.fold(request, |request, (name, value)| request.header(name, value)).send().await?;
        self.retry_after = retry_after(answer.headers());
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Same),
            StatusCode::OK if is_html(answer.headers()) => return Err(FetchError::Page),
            StatusCode::OK => {}
            status => return Err(FetchError::Status(status)),
        }
        let of = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
        let condition = |(told, asked)| Some((asked, answer.headers().get(told)?.clone()));
        self.fetched = of.into_iter().filter_map(condition).collect();
        self.keep(answer).await?;
        Ok(Fetched::Dump(self.file.clone()))
    }

    /// Returns how long the server wants to be left alone, if it said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Notes that the dump which was fetched was taken, or cannot be.
    pub(super) fn took(&mut self) {
        self.taken = std::mem::take(&mut self.fetched);
        // The next dump takes the file's place.
        let _ = std::fs::remove_file(&self.file);
    }

    async fn keep(&self, mut answer: Response) -> Result<(), FetchError> {
        let wrong = |why| FetchError::Keep { path: self.file.display().to_string(), why };
        let mut file = File::create(&self.file).map_err(wrong)?;
        while let Some(part) = answer.chunk().await? {
            file.write_all(&part).map_err(wrong)?;
        }
        Ok(())
    }
}
