//! The origin's HTTP: `GET`, `PUT` and `DELETE` of a value, many in one transaction, a listing, and the hot
//! list.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use newsreel_core::wire::keys::decoded_key;
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::problem::MEDIA_TYPE;
use newsreel_core::wire::publish::PublishError;
use newsreel_core::wire::{Catalog, Code, Key, Problem, Tag};
use serde::Deserialize;
use serde_json::json;

use super::batch;
use super::hot::Reads;
use super::store::{CommitError, Committed, Store, Value, Write, on_disk};
use crate::exit::note;

/// The largest value: what KV takes.
const MAX_BODY_BYTES: usize = 25 << 20;
/// The most lines of one page of the listing.
const MAX_LISTED: u32 = 10_000;
/// The most lines of the hot list.
pub(super) const MAX_HOT: u32 = 100_000;
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Returns the routes of an origin of one catalog.
pub(crate) fn router(store: Arc<Store>, catalog: Catalog) -> Router {
    let unknown = || async {
        Refusal(Problem::new(Code::UnknownPath, "entries are at /{catalog}/{key}, many at /{catalog}"))
    };
    let wrong_method = || async {
        Refusal(Problem::new(Code::MethodNotAllowed, "the Allow header names the methods of this address"))
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/{catalog}", get(list).post(put_many))
        .route("/{catalog}/{*key}", get(read).put(put).delete(remove))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Origin { store, catalog, reads: Arc::default() })
}

#[derive(Clone)]
struct Origin {
    store: Arc<Store>,
    catalog: Catalog,
    reads: Arc<Reads>,
}

async fn healthz(State(origin): State<Origin>) -> Result<Response, Refusal> {
    let counts = |store: &Store| Ok::<_, rusqlite::Error>((store.pending()?, store.rejections()?));
    let (pending, rejected) = on_disk(&origin.store, counts).await?;
    Ok(axum::Json(json!({ "status": "ok", "pending": pending, "rejected": rejected })).into_response())
}

async fn read(
    State(origin): State<Origin>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key_of(&uri, &origin.catalog)?;
    let wanted = key.clone();
    let Some((value, etag)) = on_disk(&origin.store, move |store| store.get(&wanted)).await? else {
        return Ok(no_value(&key));
    };
    if method == Method::GET {
        origin.reads.count(key);
    }
    Ok(respond(&headers, value, etag))
}

/// Returns the response with a value, or 304 where the caller says that it holds the value.
pub(super) fn respond(asked: &HeaderMap, value: Value, etag: String) -> Response {
    let is_held = asked.get_all(IF_NONE_MATCH).iter().any(|given| matches(given.as_bytes(), &etag));
    let tags: Vec<&str> = value.tags.iter().map(Tag::as_str).collect();
    // No `Cache-Control`: the edge honours it, and `no-cache` would keep the edge from storing the value.
    let about = [(ETAG, etag), (CACHE_TAG, tags.join(","))];
    if is_held {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(CONTENT_TYPE, value.content_type)], value.body).into_response()
}

/// Returns the answer that a key has no value.
pub(super) fn no_value(key: &Key) -> Response {
    // A problem says `no-store`; that there is no value is an answer that the edge may store, too.
    let mut response = Refusal(absent(key)).into_response();
    response.headers_mut().remove(CACHE_CONTROL);
    response
}

/// Says whether an `If-None-Match` names the entity tag, compared weakly as RFC 9110 wants it here.
fn matches(given: &[u8], etag: &str) -> bool {
    let given = String::from_utf8_lossy(given);
    given.trim() == "*"
        || given.split(',').any(|one| one.trim().strip_prefix("W/").unwrap_or(one.trim()) == etag)
}

async fn put(
    State(origin): State<Origin>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let key = key_of(&uri, &origin.catalog)?;
    let body = whole(body)?.to_vec();
    let tags = if headers.contains_key(CACHE_TAG) { CACHE_TAG } else { SURROGATE_KEY };
    let tags = batch::fitting(tags_of(&headers, &tags)?)?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
    let write = Write { key, value: Some(Value { content_type, tags, body }) };
    let committed = on_disk(&origin.store, move |store| store.commit(&[write])).await?;
    let status = if committed.existed == 0 { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, committed))
}

async fn remove(State(origin): State<Origin>, uri: Uri) -> Result<Response, Refusal> {
    let key = key_of(&uri, &origin.catalog)?;
    let gone = key.clone();
    match on_disk(&origin.store, move |store| store.remove(gone)).await {
        Err(CommitError::Absent) => Err(absent(&key).into()),
        committed => Ok(answer(StatusCode::OK, committed?)),
    }
}

async fn put_many(
    State(origin): State<Origin>,
    Path(catalog): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    check_own(&catalog, &origin.catalog)?;
    let body = whole(body)?;
    let body = std::str::from_utf8(&body).map_err(|why| Problem::new(Code::BadJson, why.to_string()))?;
    let writes = batch::parse(body)?;
    let committed = on_disk(&origin.store, move |store| store.commit(&writes)).await?;
    Ok(answer(StatusCode::OK, committed))
}

/// The part of the listing that is asked for: `limit` entries after the key `after`, or the `hot` keys that
/// are read most.
#[derive(Deserialize)]
#[serde(default)]
struct ListingQuery {
    after: String,
    limit: u32,
    hot: Option<u32>,
}

impl Default for ListingQuery {
    fn default() -> Self {
        Self { after: String::new(), limit: 1_000, hot: None }
    }
}

async fn list(
    State(origin): State<Origin>,
    Path(catalog): Path<String>,
    page: Result<Query<ListingQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    check_own(&catalog, &origin.catalog)?;
    let Query(ListingQuery { after, limit, hot }) =
        page.map_err(|why| Problem::new(Code::BadRequest, why.body_text()))?;
    let lines: String = if let Some(most) = hot {
        let reads = Arc::clone(&origin.reads);
        let hottest = on_disk(&origin.store, move |store| reads.hottest(store, most.min(MAX_HOT))).await?;
        hottest.iter().map(|(key, reads)| json!({ "key": key, "reads": reads }).to_string() + "\n").collect()
    } else {
        let listed = on_disk(&origin.store, move |store| store.list(&after, limit.min(MAX_LISTED))).await?;
        listed.iter().map(|entry| json!(entry).to_string() + "\n").collect()
    };
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

/// Says no to a catalog that is not the origin's own.
pub(super) fn check_own(asked: &str, own: &Catalog) -> Result<(), Problem> {
    let text = format!("this is the origin of {own}, not of {asked}");
    if own.as_str() == asked { Ok(()) } else { Err(Problem::new(Code::UnknownPath, text)) }
}

/// Reads the key from the path as it was sent: a slash in it may be escaped or not.
pub(super) fn key_of(uri: &Uri, own: &Catalog) -> Result<Key, Problem> {
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let (catalog, key) = path.split_once('/').unwrap_or_default();
    check_own(catalog, own)?;
    decoded_key(key)
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|why| match why.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::BodyTooLarge, format!("at most {MAX_BODY_BYTES} bytes are taken"))
        }
        _ => Problem::new(Code::BadRequest, why.body_text()),
    })
}

fn tags_of(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<Tag>, Problem> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    tags_from_header(&lines.join(",")).map_err(|why| Problem::new(Code::BadTag, why.to_string()))
}

fn absent(key: &Key) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {key}"))
}

fn answer(status: StatusCode, committed: Committed) -> Response {
    let Committed { transaction, changes, existed: _ } = committed;
    (status, axum::Json(json!({ "transaction": transaction, "changes": changes }))).into_response()
}

/// A problem as a response.
pub(super) struct Refusal(pub(super) Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], self.0.to_json()).into_response();
        for (name, value) in self.0.headers() {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value.parse()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        note!("origin: the database failed: {error}");
        Self(Problem::new(Code::Internal, "the database failed; nothing was changed"))
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Publish(PublishError::TooLarge(bytes)) => {
                let text = format!("keys and tags make a publish of {bytes} bytes: split the transaction");
                Self(Problem::new(Code::BodyTooLarge, text))
            }
            CommitError::Publish(other) => Self(other.into()),
            CommitError::Absent => Self(Problem::new(Code::NotFound, error.to_string())),
            CommitError::Database(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
