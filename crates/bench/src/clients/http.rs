//! One HTTP connection that stays open, one request at a time.

use std::pin::pin;

use anyhow::{Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::connect;

/// The token that every system under load takes for every scope.
pub(crate) const TOKEN: &str = "bench";

/// A connection to a server on 127.0.0.1.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let stream = connect(port).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The next request on the connection tells its failure.
            let _ = pin!(connection).await;
        });
        Ok(Self { sender, host: format!("127.0.0.1:{port}") })
    }

    /// Sends a request and reads its answer, whatever the status is.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", kind)
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Returns the body of an answer that must be a success.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        succeeded(self.ask(Method::GET, path, "application/json", Bytes::new()).await?)
    }

    /// Posts a body; the answer must be a success.
    pub(crate) async fn post(&mut self, path: &str, kind: &str, body: String) -> Result<Answer> {
        succeeded(self.ask(Method::POST, path, kind, body.into()).await?)
    }
}

impl Answer {
    /// Returns a header's text, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Reads a JSON body.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

fn succeeded(answer: Answer) -> Result<Answer> {
    if !answer.status.is_success() {
        bail!("the answer is {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(answer)
}
