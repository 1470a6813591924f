//! The upkeep of a session: the heartbeat, and a look at slot, publication and tables while the log is followed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::slot::{self, Needs, SetupError, SlotStatus};
use super::watch::PostgresWatch;
use crate::exit::note;
use crate::source::watch::now_millis;

/// How often the slot is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a danger that goes on is told again.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// The part of what the slot may keep above which there is a warning, in percent.
const NEAR_PERCENT: i64 = 80;

/// Why the session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpkeepError {
    /// A question failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Rows of mapped tables are not in the log any more.
    #[error("the publication does not publish what the mapping needs any more: {0}")]
    Unpublished(String),
}

impl From<tokio_postgres::Error> for UpkeepError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Setup(error.into())
    }
}

/// How often what is done.
pub(super) struct Every {
    /// The heartbeat; none is never.
    pub(super) heartbeat: Option<Duration>,
    /// The comparison of publication and tables with the mapping.
    pub(super) check: Duration,
}

/// Keeps a session up until something is not as it was.
pub(super) async fn run(
    client: &Client,
    needs: &Needs<'_>,
    watch: &PostgresWatch,
    every: Every,
) -> Result<Infallible, UpkeepError> {
    let never = Duration::from_secs(u64::from(u32::MAX));
    let mut beats = interval(every.heartbeat.unwrap_or(never));
    let (mut looks, mut checks) = (interval(LOOK_EVERY), interval(every.check));
    beats.reset();
    checks.reset();
    let (mut warned, mut told, mut refused) = (None, BTreeSet::new(), false);
    loop {
        tokio::select! {
            _ = beats.tick() => {
                if let Err(error) = beat(client).await {
                    if error.as_db_error().is_none() {
                        return Err(error.into());
                    }
                    if !refused {
                        note!("source: no heartbeat, so that an idle database keeps its log: {}", advice(client, &error).await);
                    }
                    refused = true;
                }
            }
            _ = looks.tick() => look(client, needs.slot, watch, &mut warned).await?,
            _ = checks.tick() => check(client, needs, &mut told).await?,
        }
    }
}

/// Writes a message into the log, so that the slot moves on in an idle database.
async fn beat(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("SELECT pg_logical_emit_message(false, 'newsreel-heartbeat', '')").await
}

/// Returns why there is no heartbeat, and what to run.
async fn advice(client: &Client, error: &tokio_postgres::Error) -> String {
    let why = crate::exit::innermost(error);
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return format!("{why}; --heartbeat-ms 0 does without");
    }
    // The function has another argument since PostgreSQL 17.
    let sql = "SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I;', oid::regprocedure, current_user) FROM pg_proc \
         WHERE proname = 'pg_logical_emit_message' AND pronamespace = 'pg_catalog'::regnamespace \
         AND proargtypes[2] = 'text'::regtype";
    let grant = client.query_one(sql, &[]).await.map(|row| row.get::<_, String>(0)).unwrap_or_default();
    format!("{why}; run `{grant}`, or give --heartbeat-ms 0")
}

/// Looks at the slot, and warns of what endangers it.
async fn look(
    client: &Client,
    slot: &str,
    watch: &PostgresWatch,
    warned: &mut Option<(String, Instant)>,
) -> Result<(), UpkeepError> {
    let asked = now_millis();
    let Some(status) = slot::status(client, slot).await? else { return Ok(()) };
    watch.slot(&status, asked, now_millis());
    let danger = status.critical.clone().map(|why| ("critical", format!("CRITICAL: {why}")));
    let danger = danger.or_else(|| Some(("near", near(&status)?)));
    let Some((kind, text)) = danger else {
        if warned.take().is_some() {
            note!("source: the slot keeps little enough of the log again");
        }
        return Ok(());
    };
    let is_new = warned.as_ref().is_none_or(|(before, at)| before != kind || at.elapsed() > WARN_EVERY);
    if is_new {
        note!("source: {text}");
        *warned = Some((kind.to_owned(), Instant::now()));
    }
    Ok(())
}

/// Returns a warning if the slot keeps nearly as much as it may.
fn near(status: &SlotStatus) -> Option<String> {
    let (kept, limit) = (status.kept_bytes?, status.limit_bytes);
    let is_near = limit > 0 && kept.saturating_mul(100) >= limit.saturating_mul(NEAR_PERCENT);
    is_near.then(|| {
        let most = &status.max_slot_wal_keep_size;
        format!(
            "the slot keeps {kept} bytes of the log, of {limit} that it may (max_slot_wal_keep_size = {most}): above them \
             PostgreSQL drops what the source has not read, and everything is published wide"
        )
    })
}

/// Compares publication and tables with the mapping: a column that is dropped takes its table out of the publication,
/// and the log says nothing of it.
async fn check(client: &Client, needs: &Needs<'_>, told: &mut BTreeSet<String>) -> Result<(), UpkeepError> {
    let found = slot::compare(client, needs).await?;
    if !found.unpublished.is_empty() {
        return Err(UpkeepError::Unpublished(found.unpublished.join(", ")));
    }
    for mistake in &found.mistakes {
        if told.insert(mistake.clone()) {
            note!(
                "source: {mistake}; the source goes on with what is known, and will not start again like this"
            );
        }
    }
    told.retain(|mistake| found.mistakes.contains(mistake));
    Ok(())
}
