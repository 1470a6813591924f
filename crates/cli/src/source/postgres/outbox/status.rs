//! `newsreel source postgres status --outbox`: how much waits in the outbox.

use serde_json::json;

use super::install::OutboxError;
use crate::database::Database;
use crate::exit::{Failure, print};

/// Prints how much waits in the outbox, and since when.
pub(in crate::source::postgres) async fn show(database: &Database, as_json: bool) -> Result<(), Failure> {
    let client = database.client().await.map_err(|error| super::super::unreachable(database, &error))?;
    let wrong = |error: tokio_postgres::Error| Failure::Input(OutboxError::from(error).to_string());
    let there = client.query_one("SELECT to_regclass('newsreel.outbox') IS NOT NULL", &[]).await;
    if !there.map_err(wrong)?.get::<_, bool>(0) {
        return Err(Failure::Input(OutboxError::Missing.to_string()));
    }
    let sql = "SELECT (SELECT count(*) FROM newsreel.outbox),
        (SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM newsreel.outbox ORDER BY seq LIMIT 1),
        (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1852143475 AND objid = 0
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND granted LIMIT 1),
        h.published, h.id::text, (SELECT coalesce(array_agg(source ORDER BY source), '{}') FROM newsreel.mapped)
        FROM newsreel.history h";
    let row = client.query_one(sql, &[]).await.map_err(wrong)?;
    let (rows, oldest, pid): (i64, Option<f64>, Option<i32>) = (row.get(0), row.get(1), row.get(2));
    let (published, id): (i64, String) = (row.get(3), row.get(4));
    let tables: Vec<String> = row.get(5);
    if as_json {
        let status = json!({
            "outbox": id, "rows": rows, "oldest_seconds": oldest, "active": pid.is_some(), "active_pid": pid,
            "deletions": published, "tables": tables,
        });
        return print(&format!("{status}\n"));
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    print(&format!(
        "outbox         {id}\nactive         {}\nactive pid     {}\nrows           {rows}\n\
         oldest seconds {}\ndeletions      {published}\ntables         {}\n",
        if pid.is_some() { "yes" } else { "no" },
        text(pid.map(|pid| pid.to_string())),
        text(oldest.map(|seconds| format!("{seconds:.1}"))),
        tables.join(", "),
    ))
}
