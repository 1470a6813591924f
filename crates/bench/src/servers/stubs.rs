//! Servers in this process that workerd's bindings speak to: KV, R2, a cache and an origin, each as little as it can be.
//!
//! The CPU time of these servers is the load generator's, so no figure of workerd contains it.

mod cache;
mod r2;

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The answer of a server to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Kv,
    R2,
    Cache,
    Origin,
}

/// A running server. Dropping it stops it.
pub(crate) struct Stub {
    pub(crate) port: u16,
    store: Arc<Store>,
    accepting: JoinHandle<()>,
}

/// The values that a server holds, by name.
#[derive(Default)]
struct Store(Mutex<HashMap<String, Stored>>);

/// Bytes with what was told about them: a header, or R2's metadata as JSON.
#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    about: String,
}

/// A request, read to its end.
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = Response<Full<Bytes>>;

impl Stub {
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let store = Arc::new(Store::default());
        let shared = Arc::clone(&store);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let store = Arc::clone(&shared);
                let service = service_fn(move |request| answer(kind, Arc::clone(&store), request));
                tokio::spawn(async move {
                    // A connection that breaks is workerd's, which then asks on another one.
                    let _ = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service)).await;
                });
            }
        });
        Ok(Self { port, store, accepting })
    }

    /// Puts a value under a name, as a binding would.
    pub(crate) fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.store.set(name, Stored { bytes: bytes.into(), about: String::new() });
    }

    pub(crate) fn len(&self) -> usize {
        self.store.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn clear(&self) {
        self.store.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Store {
    fn get(&self, name: &str) -> Option<Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, name: &str, stored: Stored) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), stored);
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

async fn answer(kind: Kind, store: Arc<Store>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let answer = match kind {
        Kind::Kv => kv(&store, asked),
        Kind::R2 => r2::answer(&store, &asked),
        Kind::Cache => cache::answer(&store, &asked),
        Kind::Origin => Some(value()),
    };
    Ok(answer.unwrap_or_else(|| empty(StatusCode::NOT_FOUND)))
}

/// The value of every key: JSON of a kilobyte.
fn value() -> Answer {
    let text = format!(r#"{{"title":"The Lantern Keepers","text":"{}"}}"#, "x".repeat(1000));
    let mut answer = Response::new(Full::from(text));
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    answer.headers_mut().insert("cache-tag", hyper::header::HeaderValue::from_static("platform:quay"));
    answer
}

fn kv(store: &Store, asked: Asked) -> Option<Answer> {
    // The binding sends a name as one segment of the path.
    let encoded = asked.path.strip_prefix('/').unwrap_or_default();
    let name = percent_decode_str(encoded).decode_utf8_lossy();
    if asked.method == Method::PUT {
        let about = header(&asked.headers, "cf-kv-metadata").to_owned();
        store.set(&name, Stored { bytes: asked.body, about });
        return Some(empty(StatusCode::OK));
    }
    if asked.method == Method::DELETE {
        store.remove(&name);
        return Some(empty(StatusCode::OK));
    }
    let stored = store.get(&name)?;
    let mut answer = Response::builder();
    if !stored.about.is_empty() {
        answer = answer.header("cf-kv-metadata", stored.about);
    }
    answer.body(Full::new(stored.bytes)).ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::http::Connection;

    #[tokio::test]
    async fn what_is_put_is_served_until_it_is_cleared() {
        let stub = Stub::start(Kind::Kv).await.expect("a server");
        let mut connection = Connection::open(stub.port).await.expect("a connection");
        stub.put("/v1/a:1", "1");
        let answer = connection.get("/%2Fv1%2Fa%3A1?urlencoded=true").await.expect("an answer");
        assert_eq!(answer.body, "1");
        assert_eq!(stub.len(), 1);
        stub.clear();
        assert!(connection.get("/%2Fv1%2Fa%3A1").await.is_err());
    }
}
