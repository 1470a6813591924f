//! The origin's HTTP: `GET`, `PUT` and `DELETE` of a value, many in one transaction, and a listing.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::problem::MEDIA_TYPE;
use newsreel_core::wire::publish::MAX_CHANGES;
use newsreel_core::wire::{Catalog, Code, Key, Problem, Tag};
use serde::Deserialize;

use super::store::{Committed, Store, Value, Write};

/// The largest value: what KV takes.
const MAX_BODY_BYTES: usize = 25 << 20;
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

#[derive(Clone)]
struct Origin {
    store: Arc<Store>,
    catalog: Catalog,
}

/// Returns the routes of an origin of one catalog.
pub(crate) fn router(store: Arc<Store>, catalog: Catalog) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/{catalog}", get(list).post(put_many))
        .route("/{catalog}/{*key}", get(read).put(put).delete(remove))
        .fallback(|| async { Refusal(Problem::new(Code::UnknownPath, "an entry is at /{catalog}/{key}")) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Origin { store, catalog })
}

/// A problem as a response.
struct Refusal(Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, MEDIA_TYPE)], self.0.to_json()).into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        eprintln!("origin: {error:#}");
        Self(Problem::new(Code::Internal, "the database failed; nothing was changed"))
    }
}

async fn healthz(State(origin): State<Origin>) -> Result<Response, Refusal> {
    let pending = origin.store.pending()?;
    Ok(axum::Json(serde_json::json!({ "status": "ok", "pending": pending })).into_response())
}

async fn read(
    State(origin): State<Origin>,
    Path((catalog, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = origin.key(&catalog, key)?;
    let Some((value, etag)) = origin.store.get(&key)? else {
        return Err(Problem::new(Code::NotFound, format!("{catalog} has no {key}")).into());
    };
    let tags: Vec<&str> = value.tags.iter().map(Tag::as_str).collect();
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let proof = [(ETAG, etag), (CACHE_TAG, tags.join(","))];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, proof).into_response());
    }
    Ok((proof, [(CONTENT_TYPE, value.content_type)], value.body).into_response())
}

async fn put(
    State(origin): State<Origin>,
    Path((catalog, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let key = origin.key(&catalog, key)?;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let tags = text(CACHE_TAG).or_else(|| text(SURROGATE_KEY)).unwrap_or_default();
    let tags = tags_from_header(tags).map_err(|why| Problem::new(Code::BadTag, why.to_string()))?;
    let content_type = text(CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned();
    let value = Value { content_type, tags, body: body.to_vec() };
    let committed = origin.commit(vec![Write { key, value: Some(value) }]).await?;
    let status = if committed.existed == 0 { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &committed))
}

async fn remove(
    State(origin): State<Origin>,
    Path((catalog, key)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let key = origin.key(&catalog, key)?;
    if origin.store.get(&key)?.is_none() {
        return Err(Problem::new(Code::NotFound, format!("{catalog} has no {key}")).into());
    }
    let committed = origin.commit(vec![Write { key, value: None }]).await?;
    Ok(answer(StatusCode::OK, &committed))
}

/// One line of a transaction of many: `{"key","value":…}`, `{"key","text","content_type"}` or
/// `{"key","op":"remove"}`, each with `tags`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Key,
    value: Option<serde_json::Value>,
    text: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    op: Option<Op>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Update,
    Remove,
}

async fn put_many(
    State(origin): State<Origin>,
    Path(catalog): Path<String>,
    body: String,
) -> Result<Response, Refusal> {
    origin.own(&catalog)?;
    let mut writes = Vec::new();
    for (index, text) in body.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line: Result<Line, _> = serde_json::from_str(text);
        let write = line.map_err(|error| error.to_string()).and_then(Write::try_from);
        writes.push(write.map_err(|why| Problem::new(Code::BadJson, format!("line {}: {why}", index + 1)))?);
    }
    match writes.len() {
        0 => return Err(Problem::new(Code::NoChanges, "a transaction has at least one line").into()),
        1..=MAX_CHANGES => {}
        more => {
            let text = format!("{more} lines; a transaction has at most {MAX_CHANGES}");
            return Err(Problem::new(Code::TooManyChanges, text).into());
        }
    }
    let committed = origin.commit(writes).await?;
    Ok(answer(StatusCode::OK, &committed))
}

impl TryFrom<Line> for Write {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let Line { key, value, text, content_type, tags, op } = line;
        let remove = op == Some(Op::Remove);
        let (kind, body) = match (value, text) {
            (Some(value), None) if !remove => ("application/json", value.to_string()),
            (None, Some(text)) if !remove => ("text/plain; charset=utf-8", text),
            (None, None) if remove => return Ok(Self { key, value: None }),
            (_, _) => return Err("give value or text, or op \"remove\" without them".to_owned()),
        };
        let content_type = content_type.unwrap_or_else(|| kind.to_owned());
        Ok(Self { key, value: Some(Value { content_type, tags, body: body.into_bytes() }) })
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Page {
    after: String,
    limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: String::new(), limit: 10_000 }
    }
}

async fn list(
    State(origin): State<Origin>,
    Path(catalog): Path<String>,
    Query(page): Query<Page>,
) -> Result<Response, Refusal> {
    origin.own(&catalog)?;
    let mut lines = String::new();
    for listed in origin.store.list(&page.after, page.limit)? {
        lines += &serde_json::to_string(&listed).map_err(anyhow::Error::from)?;
        lines.push('\n');
    }
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

impl Origin {
    fn own(&self, catalog: &str) -> Result<(), Problem> {
        let ours = self.catalog.as_str() == catalog;
        let text = format!("this is the origin of {}, not of {catalog}", self.catalog);
        if ours { Ok(()) } else { Err(Problem::new(Code::UnknownPath, text)) }
    }

    fn key(&self, catalog: &str, key: String) -> Result<Key, Problem> {
        self.own(catalog)?;
        Key::new(key).map_err(|why| Problem::new(Code::BadKey, why.to_string()))
    }

    /// Commits away from the threads that serve: it waits for the disk.
    async fn commit(&self, writes: Vec<Write>) -> anyhow::Result<Committed> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.commit(&writes)).await?
    }
}

fn answer(status: StatusCode, committed: &Committed) -> Response {
    (status, axum::Json(serde_json::json!({ "transaction": committed.transaction }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn origin() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("origin.sqlite")).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tv", listener.local_addr().unwrap());
        let router = router(store, Catalog::new("tv").unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        (folder, url)
    }

    #[tokio::test]
    async fn a_value_comes_back_with_its_type_tags_and_etag() {
        let (_folder, url) = origin().await;
        let http = reqwest::Client::new();
        let at = format!("{url}/title%3Aa%2Fb%20%C3%BC");
        let put =
            http.put(&at).header("Cache-Tag", "x, y").header("Content-Type", "text/plain").body("hello");
        assert_eq!(put.send().await.unwrap().status(), 201);
        let got = http.get(&at).send().await.unwrap();
        let header = |name: &str| got.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("cache-tag"), header("content-type")), ("x,y".into(), "text/plain".into()));
        let etag = header("etag");
        assert_eq!(got.text().await.unwrap(), "hello");
        assert_eq!(http.get(&at).header("If-None-Match", etag).send().await.unwrap().status(), 304);
        assert_eq!(http.put(&at).body("again").send().await.unwrap().status(), 200);
        assert_eq!(http.delete(&at).send().await.unwrap().status(), 200);
        assert_eq!(http.delete(&at).send().await.unwrap().status(), 404);
        assert_eq!(http.get(&at).send().await.unwrap().status(), 404);
    }

    #[tokio::test]
    async fn a_transaction_of_many_is_all_or_nothing() {
        let (_folder, url) = origin().await;
        let http = reqwest::Client::new();
        let post = |body: &str| http.post(&url).body(body.to_owned()).send();
        let bad = post("{\"key\":\"a:1\",\"value\":1}\n{\"key\":\"a\",\"value\":1}").await.unwrap();
        assert_eq!(bad.status(), 400);
        assert!(bad.text().await.unwrap().contains("line 2"));
        assert_eq!(http.get(format!("{url}/a:1")).send().await.unwrap().status(), 404);
        let good =
            post("{\"key\":\"a:1\",\"value\":{\"n\":1}}\n\n{\"key\":\"a:2\",\"text\":\"é\"}").await.unwrap();
        assert_eq!(good.status(), 200);
        let list = http.get(&url).send().await.unwrap().text().await.unwrap();
        assert_eq!(list.lines().count(), 2);
    }

    #[tokio::test]
    async fn bad_names_and_other_catalogs_are_problems() {
        let (_folder, url) = origin().await;
        let http = reqwest::Client::new();
        for (address, code) in
            [(format!("{url}/title"), "bad-key"), (url.replace("/tv", "/shop/a:1"), "unknown-path")]
        {
            let answer = http.get(address).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], MEDIA_TYPE);
            assert!(answer.text().await.unwrap().contains(code));
        }
    }
}
