//! The HTTP of an origin on PostgreSQL: `GET` of a value, and the hot list.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::problem::MEDIA_TYPE;
use newsreel_core::wire::{Catalog, Code, Problem, ndjson};
use serde::Deserialize;
use serde_json::json;

use super::statements::{ReadError, Statements};
use crate::origin::serve::{MAX_HOT, Refusal, check_own, key_of, no_value, respond};

/// Returns the routes of an origin of one catalog.
pub(super) fn router(statements: Arc<Statements>, catalog: Catalog) -> Router {
    let unknown = || async { Refusal(Problem::new(Code::UnknownPath, "entries are at /{catalog}/{key}")) };
    let wrong_method = || async {
        let text = "this origin serves what PostgreSQL has: change the rows there";
        Refusal(Problem::new(Code::MethodNotAllowed, text))
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/{catalog}", get(list))
        .route("/{catalog}/{*key}", get(read))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Origin { statements, catalog })
}

#[derive(Clone)]
struct Origin {
    statements: Arc<Statements>,
    catalog: Catalog,
}

async fn healthz(State(origin): State<Origin>) -> Result<Response, Failed> {
    origin.statements.ping().await?;
    Ok(axum::Json(json!({ "status": "ok" })).into_response())
}

async fn read(State(origin): State<Origin>, uri: Uri, headers: HeaderMap) -> Result<Response, Failed> {
    let key = key_of(&uri, &origin.catalog)?;
    let Some(value) = origin.statements.value(&key).await? else { return Ok(no_value(&key)) };
    let etag = etag_of(&value.body);
    Ok(respond(&headers, value, etag))
}

#[derive(Deserialize)]
struct ListingQuery {
    hot: Option<u32>,
}

async fn list(
    State(origin): State<Origin>,
    Path(catalog): Path<String>,
    Query(ListingQuery { hot }): Query<ListingQuery>,
) -> Result<Response, Failed> {
    check_own(&catalog, &origin.catalog)?;
    let Some(most) = hot else {
        let text = "this origin lists only what is read most: ask with ?hot=N";
        return Err(Problem::new(Code::BadRequest, text).into());
    };
    let Some(hottest) = origin.statements.hottest(most.min(MAX_HOT)).await? else {
        let text = "the mapping has no hot: write hot = \"SELECT key, reads FROM … ORDER BY reads DESC\"";
        return Err(Problem::new(Code::NotFound, text).into());
    };
    let line = |(key, reads): &(String, i64)| json!({ "key": key, "reads": reads }).to_string() + "\n";
    let lines: String = hottest.iter().map(line).collect();
    Ok(([(CONTENT_TYPE, ndjson::MEDIA_TYPE)], lines).into_response())
}

/// Why a request has no answer.
enum Failed {
    /// The request is wrong, or a statement is.
    Refused(Problem),
    /// The database is away or busy.
    Away(String),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            ReadError::Away(_) => Self::Away(text),
            ReadError::Statement { .. } => Self::Refused(Problem::new(Code::Internal, text)),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let detail = match self {
            Self::Refused(problem) => return Refusal(problem).into_response(),
            Self::Away(detail) => detail,
        };
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = json!({ "type": "about:blank", "title": "The database is away", "status": status.as_u16(), "detail": detail });
        let headers = [(CONTENT_TYPE, MEDIA_TYPE), (RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store")];
        (status, headers, problem.to_string()).into_response()
    }
}
