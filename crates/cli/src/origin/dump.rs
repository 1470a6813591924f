//! `newsreel origin --from`: serves what the newest dump of a catalogue says.
//!
//! A dump is compared with the one before it as `newsreel source files` does, and its rows take the place of the earlier
//! ones in one transaction. A request that finds a dump which was not taken yet waits for it. So a value that is served
//! is never older than the dump that was there when the request began, and a source publishes a dump only after it
//! was there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::problem::MEDIA_TYPE;
use newsreel_core::wire::{Catalog, Code, Key, Problem, Tag};
use newsreel_mapping::{Mapping, Row};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::serve::{Refusal, key_of, no_value, respond};
use super::store::Value;
use crate::exit::{Failure, note};
use crate::source::dump::options::DumpOptions;
use crate::source::dump::place::{Found, Look, Looked, Naming};
use crate::source::dump::take::{Reading, TakeError, compared};
use crate::source::snapshot::{Guard, Keep, Snapshots, last};
use crate::source::watch::now_millis;

/// How long a request waits for a dump that is being read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dumps of an origin, and the values of the newest.
pub(super) struct DumpOrigin {
    dumps: Dumps,
    catalog: Catalog,
    reader: Mutex<Connection>,
    looked: Mutex<Looked>,
    /// Told of each dump that was taken.
    taken: watch::Sender<()>,
    column: Option<String>,
}

/// Where dumps are, and how they are taken.
struct Dumps {
    path: PathBuf,
    naming: Naming,
    reading: Reading,
    guard: Guard,
    quiet: Duration,
    poll: Duration,
}

impl DumpOrigin {
    /// Takes the dump that is there, and goes on to take each that comes.
    ///
    /// # Errors
    /// If there is no dump that can be taken, now or from an earlier run.
    pub(super) async fn start(
        path: PathBuf,
        db: &Path,
        mapping: &Mapping,
        catalog: Catalog,
        options: &DumpOptions,
        column: Option<String>,
    ) -> Result<Arc<Self>, Failure> {
        let dumps = Dumps {
            naming: options.naming(mapping)?,
            reading: Reading::of(options, 0),
            guard: options.guard(),
            quiet: options.quiet(),
            poll: options.poll(),
            path,
        };
        let mut snapshots = Snapshots::open(db, mapping, Keep::Rows)?;
        let reader = Connection::open(db).with_context(|| db.display().to_string())?;
        let (reader, looked, taken) = (Mutex::new(reader), Mutex::default(), watch::Sender::new(()));
        let origin = Arc::new(Self { dumps, catalog, reader, looked, taken, column });
        while !origin.is_current().with_context(|| origin.dumps.path.display().to_string())? {
            snapshots = origin.look(snapshots).await?;
        }
        if snapshots.last()?.is_none() {
            return Err(Failure::Input(format!("{}: no dump was taken", origin.dumps.path.display())));
        }
        tokio::spawn(Arc::clone(&origin).follow(snapshots));
        Ok(origin)
    }

    /// Returns the routes.
    pub(super) fn router(self: Arc<Self>) -> Router {
        let unknown =
            || async { Refusal(Problem::new(Code::UnknownPath, "entries are at /{catalog}/{key}")) };
        Router::new()
            .route("/healthz", get(healthz))
            .route("/{catalog}/{*key}", get(read))
            .fallback(unknown)
            .with_state(self)
    }

    async fn follow(self: Arc<Self>, mut snapshots: Snapshots) {
        loop {
            sleep(self.dumps.poll).await;
            snapshots = match self.look(snapshots).await {
                Ok(snapshots) => snapshots,
                Err(failure) => {
                    note!(
                        "origin: {failure}; no dump is taken any more, and what is there is served as long as it is current"
                    );
                    return;
                }
            };
        }
    }

    /// Takes a dump, if there is one that was not taken.
    async fn look(&self, snapshots: Snapshots) -> Result<Snapshots, Failure> {
        let Dumps { path, naming, quiet, .. } = &self.dumps;
        let looked = self.looked().look(path, naming, *quiet);
        let found = match looked {
            Ok(Look::Dump(found)) => found,
            Ok(Look::Unquiet(_)) => {
                sleep(self.dumps.poll).await;
                return Ok(snapshots);
            }
            // A file that is away for a moment is on its way to be replaced.
            Ok(Look::Nothing) | Err(_) => return Ok(snapshots),
        };
        self.take(snapshots, found).await
    }

    async fn take(&self, snapshots: Snapshots, found: Found) -> Result<Snapshots, Failure> {
        let (snapshots, compared) = compared(snapshots, &found, &self.dumps.reading).await;
        let mut snapshots = snapshots.ok_or_else(|| anyhow!("the state was lost"))?;
        let left_out = |why: String| note!("origin: {why}; the dump before it is served on");
        match compared {
            Err(TakeError::Written(_) | TakeError::Open(_)) => return Ok(snapshots),
            Err(why) if why.is_of_state() => return Err(anyhow!(why).into()),
            Err(why) => left_out(why.to_string()),
            Ok(comparison) => match self.dumps.guard.judge(&comparison) {
                Err(why) => {
                    snapshots.refuse();
                    left_out(format!("{}: {why}", found.label));
                }
                Ok(()) => {
                    let dump = &found.label;
                    let rows: u64 = comparison.counts.values().map(|counts| counts.rows).sum();
                    snapshots.accept(&comparison.without_publishes(), dump, now_millis())?;
                    note!("origin: {rows} rows of {dump}");
                }
            },
        }
        self.looked().took(found);
        // Nobody may wait.
        self.taken.send_replace(());
        Ok(snapshots)
    }

    /// Says whether every dump that is there was taken.
    fn is_current(&self) -> std::io::Result<bool> {
        self.looked().is_current(&self.dumps.path, &self.dumps.naming)
    }

    /// Waits until every dump that is there was taken. Says whether it was in time.
    async fn becomes_current(&self) -> bool {
        let mut taken = self.taken.subscribe();
        let current = async {
            // A dump that is away has been read, or will be another one: what was taken is the newest there is.
            while !self.is_current().unwrap_or(true) {
                if taken.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(PATIENCE, current).await.is_ok()
    }

    /// Returns the value of a key.
    fn value(&self, key: &Key) -> rusqlite::Result<Option<Value>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut select = reader.prepare_cached("SELECT row, tags FROM entries WHERE key = ?")?;
        let entry = select.query_row([key.as_str()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let Some((row, tags)) = entry.optional()? else { return Ok(None) };
        let tags = tags.split(',').filter_map(|tag| Tag::new(tag).ok()).collect();
        Ok(body(row, self.column.as_deref()).map(|(content_type, body)| Value { content_type, tags, body }))
    }

    fn looked(&self) -> std::sync::MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the bytes that are served of a row, with their media type: the row, or one of its columns. A column that is null
/// is no value.
fn body(row: String, column: Option<&str>) -> Option<(String, Vec<u8>)> {
    let json = || "application/json".to_owned();
    let Some(column) = column else { return Some((json(), row.into_bytes())) };
    match serde_json::from_str::<Row>(&row).ok()?.remove(column)? {
        Json::Null => None,
        Json::String(text) => Some(("text/plain; charset=utf-8".to_owned(), text.into_bytes())),
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Some((json(), other.to_string().into_bytes()))
        }
    }
}

async fn read(
    State(origin): State<Arc<DumpOrigin>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key_of(&uri, &origin.catalog)?;
    if !origin.becomes_current().await {
        return Ok(behind());
    }
    let Some(value) = tokio::task::block_in_place(|| origin.value(&key))? else { return Ok(no_value(&key)) };
    let etag = etag_of(&value.body);
    Ok(respond(&headers, value, etag))
}

/// Returns the answer to a request that waited too long for a newer dump.
fn behind() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let problem = json!({
        "type": "about:blank", "title": "A newer dump is being read", "status": status.as_u16(),
    });
    let headers = [(CONTENT_TYPE, MEDIA_TYPE), (RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store")];
    (status, headers, problem.to_string()).into_response()
}

async fn healthz(State(origin): State<Arc<DumpOrigin>>) -> Result<Response, Refusal> {
    let last = last(&origin.reader.lock().unwrap_or_else(PoisonError::into_inner))?;
    let current = origin.is_current().unwrap_or(false);
    Ok(axum::Json(json!({ "status": "ok", "current": current, "last": last })).into_response())
}
