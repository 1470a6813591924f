//! `newsreel source files status`: what the state knows.

use std::path::Path;

use newsreel_core::wire::UnixMillis;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::exit::{Failure, print};
use crate::source::snapshot::{Last, last};
use crate::utc::utc;

/// What a state knows.
struct Known {
    last: Option<Last>,
    rows: Vec<(String, i64)>,
    waiting: i64,
    waiting_since: Option<i64>,
}

/// Prints what a state knows. A source may use it meanwhile.
pub(super) fn show(state: &Path, as_json: bool) -> Result<(), Failure> {
    let known = read(state).map_err(|why| Failure::Input(format!("{}: {why}", state.display())))?;
    let Known { last, rows, waiting, waiting_since } = known;
    if as_json {
        let rows: serde_json::Map<_, _> = rows.into_iter().map(|(name, rows)| (name, rows.into())).collect();
        let line = json!({
            "last": last, "rows": rows, "waiting_publishes": waiting, "waiting_since": waiting_since,
        });
        return print(&format!("{line}\n"));
    }
    let none = || "-".to_owned();
    let time = |at: i64| utc(UnixMillis(at.unsigned_abs()));
    let of_last = |text: fn(&Last) -> String| last.as_ref().map_or_else(none, text);
    let mut text = format!(
        "last dump          {}\nsnapshot           {}\naccepted at        {}\ncontent            {}\n",
        of_last(|last| last.dump.clone()),
        of_last(|last| last.snapshot.to_string()),
        last.as_ref().map_or_else(none, |last| time(last.at)),
        of_last(|last| last.digest.clone()),
    );
    for (name, rows) in rows {
        text += &format!("rows of {name:<11}{rows}\n");
    }
    text += &format!(
        "waiting publishes  {waiting}\nwaiting since      {}\n",
        waiting_since.map_or_else(none, time)
    );
    print(&text)
}

fn read(state: &Path) -> rusqlite::Result<Known> {
    let db = Connection::open_with_flags(state, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut select = db.prepare("SELECT name, rows FROM sources ORDER BY name")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let waiting =
        db.query_row("SELECT count(*), min(at) FROM outbox", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Known { last: last(&db)?, rows, waiting: waiting.0, waiting_since: waiting.1 })
}
