//! The replica's floors, position and KV to-do list in SQLite. Decides nothing.
//!
//! One frame is one transaction: floors, position and to-do list move together, and the ack follows. A page of
//! floors is made by one statement, so no row crosses into wasm.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use js_sys::Reflect;
use newsreel_core::floors::FloorRow;
use newsreel_core::wire::{Position, UnixMillis, Version};
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

/// How many floors one reply to a reader holds; more come in the next. A version has at most 1,000.
const FLOORS_A_REPLY: u32 = 20_000;
/// How many floors one statement writes: their JSON stays far below the 2 MB of a bound text.
const FLOORS_A_WRITE: usize = 1_000;

#[wasm_bindgen]
extern "C" {
    type Transactions;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn run(
        this: &Transactions,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// The rows of one replica.
pub(crate) struct Rows {
    sql: SqlStorage,
    transactions: Transactions,
}

/// A KV entry that no reader will ask for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KvTask {
    /// Its name.
    pub(crate) name: String,
    /// How often deleting it has failed.
    pub(crate) attempts: u32,
}

impl Rows {
    /// Opens the rows, making the tables where there are none.
    pub(crate) fn open(state: &State) -> worker::Result<Self> {
        let storage = state.storage();
        let transactions = AsRef::<JsValue>::as_ref(storage.as_raw()).clone().unchecked_into();
        let rows = Self { sql: storage.sql(), transactions };
        rows.sql.exec(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS floors (
               kind INTEGER, name TEXT, hard INTEGER NOT NULL, soft INTEGER NOT NULL, removed INTEGER NOT NULL,
               newest INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS floors_newest ON floors (newest);
             CREATE TABLE IF NOT EXISTS kv_tasks (
               name TEXT PRIMARY KEY, attempts INTEGER NOT NULL, due INTEGER NOT NULL) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS kv_tasks_due ON kv_tasks (due);
             INSERT OR IGNORE INTO meta VALUES ('schema', '1');",
            None,
        )?;
        Ok(rows)
    }

    /// Returns the position that everything here was applied up to.
    pub(crate) fn position(&self) -> worker::Result<Option<Position>> {
        let Some(row) = self.first("SELECT value FROM meta WHERE name = 'position'", vec![])? else {
            return Ok(None);
        };
        let text = string(&row, "value")?;
        text.parse().map(Some).map_err(|why| format!("the stored position {text:?}: {why}").into())
    }

    /// Raises floors and moves the position, in one transaction. With `kv_prefix` (`catalog/epoch/`) the KV
    /// entries of raised keys' old generations join the to-do list.
    pub(crate) fn apply(
        &self,
        floors: &[FloorRow],
        position: Option<Position>,
        kv_prefix: Option<&str>,
    ) -> worker::Result<()> {
        self.transaction(|| {
            for some in floors.chunks(FLOORS_A_WRITE) {
                let json = serde_json::to_string(some)?;
                if let Some(prefix) = kv_prefix {
                    self.list_old_generations(prefix, &json)?;
                }
                self.raise(&json)?;
            }
            position.map_or(Ok(()), |position| self.set_position(position))
        })
    }

    /// Forgets every floor and task: without a position nobody knows which log they are of.
    pub(crate) fn clear(&self) -> worker::Result<()> {
        self.sql
            .exec("DELETE FROM floors; DELETE FROM kv_tasks; DELETE FROM meta WHERE name = 'mark';", None)?;
        Ok(())
    }

    /// Forgets every floor and task and moves to `position`, below which nothing is served any more.
    ///
    /// Other edges may have filled entries of this epoch before it, and what happened up to it was not heard.
    pub(crate) fn reset(&self, position: Position) -> worker::Result<()> {
        self.transaction(|| {
            self.clear()?;
            let version = position.version.number();
            self.raise(&format!(r#"[[3,"",{version},0,0]]"#))?;
            self.set_position(position)
        })
    }

    /// Returns the floors raised after `since` as a JSON array, and the version up to which it has them all.
    pub(crate) fn floors_after(&self, since: Version, head: Version) -> worker::Result<(String, Version)> {
        let past = self.first(
            "SELECT newest FROM floors WHERE newest > ? ORDER BY newest LIMIT 1 OFFSET ?",
            vec![number(since.number()), f64::from(FLOORS_A_REPLY).into()],
        )?;
        // A version's floors are never split: the page ends before the version that would not fit whole.
        let to = match past {
            Some(row) => version(&row, "newest")?.map_or(head, |past| before(past).max(since)),
            None => head,
        };
        let floors = self.first(
            "SELECT json_group_array(json_array(kind, name, hard, soft, removed)) AS floors
             FROM floors WHERE newest > ? AND newest <= ?",
            vec![number(since.number()), number(to.number())],
        )?;
        Ok((floors.map_or(Ok("[]".to_owned()), |row| string(&row, "floors"))?, to))
    }

    /// Forgets some of the floors that are older than `life`, the longest of any entry.
    ///
    /// The floor of everything rises to the newest of them, as in [`newsreel_core::floors::Floors::bound`], so what
    /// they would have refused is still refused. How old floors are is known by a mark: what was `held`, and when.
    /// It moves once what is below it is forgotten, so a floor stays for one life to two.
    pub(crate) fn forget(&self, held: Version, now: UnixMillis, life: Duration) -> worker::Result<()> {
        // Raised before anything is deleted, so that what fails in between costs hits. There may be removals among
        // them, and no change removes everything: so what stands there as removed is what is forgotten.
        let statements = format!(
            "INSERT INTO floors SELECT 3, '', old, 0, old, old FROM (SELECT max(newest) AS old FROM (\
             SELECT newest FROM floors, meta WHERE meta.name = 'mark' AND value ->> 1 <= {before} \
             AND newest <= value ->> 0 AND kind < 3 ORDER BY newest LIMIT 20000)) WHERE old > 0 \
             ON CONFLICT DO UPDATE SET hard = max(hard, excluded.hard), removed = excluded.hard, \
             newest = max(newest, excluded.hard);\
             DELETE FROM floors WHERE kind < 3 AND newest <= (SELECT removed FROM floors WHERE kind = 3);\
             INSERT INTO meta VALUES ('mark', '[{held},{now}]') ON CONFLICT DO UPDATE SET value = excluded.value \
             WHERE value ->> 1 <= {before} AND value ->> 0 < (SELECT min(newest) FROM floors WHERE kind < 3)",
            before = now.minus(life).0,
            now = now.0,
        );
        self.sql.exec(&statements, None)?;
        Ok(())
    }

    /// Returns KV entries whose deletion is due, the longest waiting first.
    pub(crate) fn due_kv_tasks(&self, now: u64, most: u32) -> worker::Result<Vec<KvTask>> {
        let rows = self.sql.exec(
            "SELECT name, attempts FROM kv_tasks WHERE due <= ? ORDER BY due LIMIT ?",
            vec![number(now), f64::from(most).into()],
        )?;
        rows.map(|row| {
            let row = row?;
            let attempts = version(&row, "attempts")?.map_or(0, Version::number);
            Ok(KvTask { name: string(&row, "name")?, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
        })
        .collect()
    }

    /// Returns when the next deletion is due.
    pub(crate) fn next_kv_task(&self) -> worker::Result<Option<u64>> {
        let row = self.first("SELECT min(due) AS due FROM kv_tasks", vec![])?;
        Ok(row.map(|row| version(&row, "due")).transpose()?.flatten().map(Version::number))
    }

    /// Takes tasks off the list.
    pub(crate) fn kv_tasks_done(&self, names: &[String]) -> worker::Result<()> {
        let names = serde_json::to_string(names)?;
        self.sql.exec(
            "DELETE FROM kv_tasks WHERE name IN (SELECT value FROM json_each(?))",
            vec![names.into()],
        )?;
        Ok(())
    }

    /// Puts a task off.
    pub(crate) fn kv_task_failed(&self, name: &str, due: u64) -> worker::Result<()> {
        let bindings = vec![number(due), name.into()];
        self.sql.exec("UPDATE kv_tasks SET attempts = attempts + 1, due = ? WHERE name = ?", bindings)?;
        Ok(())
    }

    fn raise(&self, json: &str) -> worker::Result<()> {
        self.sql.exec(
            "INSERT INTO floors (kind, name, hard, soft, removed, newest)
               SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                      max(value ->> 2, value ->> 3)
               FROM json_each(?) WHERE true
             ON CONFLICT (kind, name) DO UPDATE SET
               hard = max(hard, excluded.hard), soft = max(soft, excluded.soft),
               removed = max(removed, excluded.removed), newest = max(newest, excluded.newest)",
            vec![json.into()],
        )?;
        Ok(())
    }

    /// Lists the entries under the generations that hard changes of keys are about to end.
    fn list_old_generations(&self, prefix: &str, json: &str) -> worker::Result<()> {
        self.sql.exec(
            "INSERT OR IGNORE INTO kv_tasks (name, attempts, due)
               SELECT ?1 || (new.value ->> 1) || '@' || coalesce(old.hard, 0), 0, 0
               FROM json_each(?2) AS new
               LEFT JOIN floors AS old ON old.kind = 0 AND old.name = (new.value ->> 1)
               WHERE (new.value ->> 0) = 0 AND (new.value ->> 2) > coalesce(old.hard, 0)",
            vec![prefix.into(), json.into()],
        )?;
        Ok(())
    }

    fn set_position(&self, position: Position) -> worker::Result<()> {
        let value = position.to_string();
        self.sql.exec("INSERT OR REPLACE INTO meta VALUES ('position', ?)", vec![value.into()])?;
        Ok(())
    }

    fn transaction(&self, writes: impl FnMut() -> worker::Result<()>) -> worker::Result<()> {
        // A panic in `writes` undoes the transaction, as an error does, and leaves the follower in doubt.
        let mut writes = AssertUnwindSafe(writes);
        self.transactions.run(&mut move || {
            let writes = &mut writes;
            (writes.0)().map(|()| JsValue::UNDEFINED).map_err(JsValue::from)
        })?;
        Ok(())
    }

    fn first(&self, query: &str, bindings: Vec<SqlStorageValue>) -> worker::Result<Option<JsValue>> {
        let mut cursor = self.sql.exec(query, bindings)?;
        Iterator::next(&mut cursor).transpose()
    }
}

fn string(row: &JsValue, name: &str) -> worker::Result<String> {
    let value = Reflect::get(row, &name.into())?.as_string();
    value.ok_or_else(|| format!("column {name} is not a text").into())
}

/// Reads a whole number; `None` where it is NULL.
fn version(row: &JsValue, name: &str) -> worker::Result<Option<Version>> {
    let Some(value) = Reflect::get(row, &name.into())?.as_f64() else { return Ok(None) };
    let whole = format!("{value}").parse().map_err(|_| format!("column {name} is not a whole number"))?;
    Ok(Some(whole))
}

fn before(version: Version) -> Version {
    Version::new(version.number().saturating_sub(1)).unwrap_or(Version::ZERO)
}

fn number(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
