//! The replica's floors, position and to-do list in SQLite. Decides nothing.
//!
//! One frame is one transaction: floors, position and to-do list move together, and the ack follows. A page of
//! floors is made by one statement, so no row crosses into wasm.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use js_sys::Reflect;
use newsreel_core::log::schema;
use newsreel_core::read::floors::FloorRow;
use newsreel_core::read::sync::{LeftOut, Look, SNAPSHOT_FLOORS};
use newsreel_core::wire::{Position, Problem, UnixMillis, Version};
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

use crate::js;
use crate::protocol::FloorsJson;

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

/// How many floors one reply to a reader holds; more come in the next. A version has at most 1,000, and a text that SQLite
/// makes at most 2 MB: 4,999 of the longest keys just fit.
const FLOORS_A_REPLY: u32 = 4_000;
/// How many things of a kind are left to do at most.
const MOST_TASKS: u32 = 100_000;
/// How many floors one statement writes: their JSON stays far below the 2 MB of a bound text.
const FLOORS_A_WRITE: usize = 1_000;

/// Where the schema is said, in every schema.
const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";
/// Each makes the next schema of the one before it, the first of nothing. What was released is never changed:
/// `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &["CREATE TABLE IF NOT EXISTS floors ( \
       kind INTEGER, name TEXT, hard INTEGER NOT NULL, soft INTEGER NOT NULL, removed INTEGER NOT NULL, \
       newest INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID; \
     CREATE INDEX IF NOT EXISTS floors_newest ON floors (newest); \
     CREATE TABLE IF NOT EXISTS tasks ( \
       kind INTEGER, name TEXT, reads INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, \
       PRIMARY KEY (kind, name)) WITHOUT ROWID; \
     CREATE INDEX IF NOT EXISTS tasks_next ON tasks (kind, reads DESC);"];

#[wasm_bindgen]
extern "C" {
    type Transactions;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn run(
        this: &Transactions,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// Why rows were not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// They are not this build's to use: whoever asks is told so.
    Refused(Problem),
    /// They could not be read: the next event may try again.
    Failed(worker::Error),
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<worker::Error> for OpenError {
    fn from(error: worker::Error) -> Self {
        Self::Failed(error)
    }
}

/// The rows of one replica.
pub(crate) struct Rows {
    sql: SqlStorage,
    transactions: Transactions,
}

/// What there is to do for the tiers that isolates share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chore {
    /// Delete the KV entry of this name, for which no reader will ask again.
    Delete = 0,
    /// Fetch the key of this name ahead of its readers.
    Fetch = 1,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// Of what.
    pub(crate) name: String,
    /// How often it has failed.
    pub(crate) attempts: u32,
}

/// Some of the floors, as a reader is told them.
pub(crate) struct FloorPage {
    pub(crate) floors: FloorsJson,
    /// The page has every floor raised up to this version, but for what is left out.
    pub(crate) to: Version,
    pub(crate) left_out: Option<LeftOut>,
}

impl Rows {
    /// Opens the rows, bringing them to the schema of this build.
    pub(crate) fn open(state: &State) -> Result<Self, OpenError> {
        Self::open_as(state, MIGRATIONS)
    }

    fn open_as(state: &State, migrations: &[&str]) -> Result<Self, OpenError> {
        let storage = state.storage();
        let transactions = AsRef::<JsValue>::as_ref(storage.as_raw()).clone().unchecked_into();
        let rows = Self { sql: storage.sql(), transactions };
        rows.migrate(migrations)?;
        Ok(rows)
    }

    fn migrate(&self, migrations: &[&str]) -> Result<(), OpenError> {
        self.sql.exec(META, None)?;
        let stored = self.first("SELECT value FROM meta WHERE name = 'schema'", vec![])?;
        let stored = stored.map(|row| string(&row, "value")).transpose()?;
        for (schema, statements) in schema::pending(stored.as_deref(), migrations)? {
            self.transaction(|| {
                self.sql.exec(statements, None)?;
                let schema = schema.to_string();
                self.sql
                    .exec("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", vec![schema.into()])
                    .map(|_| ())
            })?;
        }
        Ok(())
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
    /// entries of raised keys' old generations join the list of what is to be deleted.
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
            match position {
                Some(position) => self.set_position(position),
                None => {
                    self.sql.exec("INSERT OR REPLACE INTO meta VALUES ('folding', '1')", None).map(|_| ())
                }
            }
        })
    }

    /// Says whether a fold is half applied: then some floors are told of a later version than the position's only.
    pub(crate) fn is_folding(&self) -> worker::Result<bool> {
        Ok(self.first("SELECT 1 AS one FROM meta WHERE name = 'folding'", vec![])?.is_some())
    }

    /// Forgets every floor and task: without a position nobody knows which log they are of.
    pub(crate) fn clear(&self) -> worker::Result<()> {
        self.sql
            .exec("DELETE FROM floors; DELETE FROM tasks; DELETE FROM meta WHERE name = 'mark';", None)?;
        Ok(())
    }

    /// Forgets every floor and task and moves to `position`, below which nothing is served any more.
    ///
    /// Other edges may have filled entries of this epoch before it, and what happened up to it was not heard.
    pub(crate) fn reset(&self, position: Position) -> worker::Result<()> {
        self.transaction(|| {
            self.clear()?;
            let version = position.version.number();
            // There may have been removals among what was not heard.
            self.raise(&format!(r#"[[3,"",{version},0,{version}]]"#))?;
            self.set_position(position)
        })
    }

    /// Returns the floors raised after `since`, up to the head or as many as fit. Of keys and tags only the newest
    /// [`SNAPSHOT_FLOORS`] are told.
    pub(crate) fn floors_after(&self, since: Version, head: Version) -> worker::Result<FloorPage> {
        let since_then = number(since.number());
        let too_many = self.first(
            "SELECT newest FROM floors WHERE newest > ? AND kind < 2 ORDER BY newest DESC LIMIT 1 OFFSET ?",
            vec![since_then.clone(), f64::from(SNAPSHOT_FLOORS).into()],
        )?;
        let mark = too_many.map(|row| version(&row, "newest")).transpose()?.flatten();
        let told_from = mark.map_or(since, |mark| mark.max(since));
        let past = self.first(
            "SELECT newest FROM floors WHERE newest > ? ORDER BY newest LIMIT 1 OFFSET ?",
            vec![number(told_from.number()), f64::from(FLOORS_A_REPLY).into()],
        )?;
        // A version's floors are never split: the page ends before the version that would not fit whole.
        let past = past.map(|row| version(&row, "newest")).transpose()?.flatten();
        let to = past.map_or(head, |past| before(past).max(told_from)).min(head.max(told_from));
        let floors = self.first(
            "SELECT json_group_array(json_array(kind, name, hard, soft, removed)) AS floors FROM ( \
               SELECT * FROM floors WHERE newest > ?1 AND newest <= ?2 \
               UNION ALL SELECT * FROM floors WHERE kind >= 2 AND newest > ?3 AND newest <= ?1)",
            vec![number(told_from.number()), number(to.number()), since_then],
        )?;
        let floors = floors.map_or(Ok(FloorsJson::default()), |row| floors_json(&row))?;
        let left_out = mark.map(|mark| self.left_out(mark)).transpose()?;
        Ok(FloorPage { floors, to, left_out })
    }

    /// Returns what is said of the floors up to `mark` that are not told.
    fn left_out(&self, mark: Version) -> worker::Result<LeftOut> {
        let row =
            self.first("SELECT max(hard) AS hard, max(soft) AS soft FROM floors WHERE kind = 1", vec![])?;
        let row = row.ok_or("an aggregate has a row")?;
        let highest = |name: &str| version(&row, name).map(Option::unwrap_or_default);
        Ok(LeftOut { to: mark, tags_hard: highest("hard")?, tags_soft: highest("soft")? })
    }

    /// Returns the floors of these targets, and that of everything, which stands for those that were forgotten; none for
    /// those that have none.
    pub(crate) fn floors_of(&self, look: &Look) -> worker::Result<FloorsJson> {
        let keys = look.keys.iter().map(|key| (0, key.as_str()));
        let targets: Vec<(u8, &str)> = keys.chain(look.tags.iter().map(|tag| (1, tag.as_str()))).collect();
        let row = self.first(
            "SELECT json_group_array(json_array(kind, name, hard, soft, removed)) AS floors \
             FROM floors WHERE kind = 3 OR (kind, name) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
            vec![serde_json::to_string(&targets)?.into()],
        )?;
        row.map_or(Ok(FloorsJson::default()), |row| floors_json(&row))
    }

    /// Forgets some of the floors that are older than `life`, the longest of any entry.
    ///
    /// The floor of everything rises to the newest of them, as in [`newsreel_core::read::floors::Floors::bound`], so what
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

    /// Returns some of what is due, the most read first.
    pub(crate) fn due_tasks(&self, chore: Chore, now: UnixMillis, most: u32) -> worker::Result<Vec<Task>> {
        let rows = self.sql.exec(
            "SELECT name, attempts FROM tasks WHERE kind = ? AND due <= ? ORDER BY reads DESC LIMIT ?",
            vec![(chore as i32).into(), number(now.0), f64::from(most).into()],
        )?;
        rows.map(|row| {
            let row = row?;
            let attempts = version(&row, "attempts")?.map_or(0, Version::number);
            Ok(Task { name: string(&row, "name")?, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
        })
        .collect()
    }

    /// Says whether there is anything to do, due or not.
    pub(crate) fn has_tasks(&self) -> worker::Result<bool> {
        Ok(self.first("SELECT 1 AS one FROM tasks LIMIT 1", vec![])?.is_some())
    }

    /// Takes off the list what is more than so many things: KV's entries end by themselves, and a key that is not
    /// fetched ahead is fetched when it is read.
    pub(crate) fn cut_tasks(&self) -> worker::Result<()> {
        for chore in [Chore::Delete, Chore::Fetch] {
            self.sql.exec(
                "DELETE FROM tasks WHERE kind = ?1 AND name IN ( \
                   SELECT name FROM tasks WHERE kind = ?1 ORDER BY reads DESC LIMIT -1 OFFSET ?2)",
                vec![(chore as i32).into(), f64::from(MOST_TASKS).into()],
            )?;
        }
        Ok(())
    }

    /// Lists keys to be fetched ahead: a JSON array of `[key, reads]`.
    pub(crate) fn list_fetches(&self, json: &str) -> worker::Result<()> {
        self.sql.exec(
            "INSERT INTO tasks SELECT ?, value ->> 0, value ->> 1, 0, 0 FROM json_each(?) WHERE true \
             ON CONFLICT DO UPDATE SET reads = max(reads, excluded.reads), attempts = 0, due = 0",
            vec![(Chore::Fetch as i32).into(), json.into()],
        )?;
        Ok(())
    }

    /// Takes tasks off the list.
    pub(crate) fn tasks_done(&self, chore: Chore, names: &[String]) -> worker::Result<()> {
        let names = serde_json::to_string(names)?;
        self.sql.exec(
            "DELETE FROM tasks WHERE kind = ? AND name IN (SELECT value FROM json_each(?))",
            vec![(chore as i32).into(), names.into()],
        )?;
        Ok(())
    }

    /// Puts a task off.
    pub(crate) fn task_failed(&self, chore: Chore, name: &str, due: UnixMillis) -> worker::Result<()> {
        let bindings = vec![number(due.0), (chore as i32).into(), name.into()];
        self.sql.exec(
            "UPDATE tasks SET attempts = attempts + 1, due = ? WHERE kind = ? AND name = ?",
            bindings,
        )?;
        Ok(())
    }

    /// Returns what readers have counted, as it was kept.
    pub(crate) fn counts(&self) -> worker::Result<String> {
        let row = self.first("SELECT value FROM meta WHERE name = 'counts'", vec![])?;
        row.map_or(Ok(String::new()), |row| string(&row, "value"))
    }

    /// Keeps what readers have counted.
    pub(crate) fn keep_counts(&self, text: &str) -> worker::Result<()> {
        self.sql.exec("INSERT OR REPLACE INTO meta VALUES ('counts', ?)", vec![text.into()])?;
        Ok(())
    }

    fn raise(&self, json: &str) -> worker::Result<()> {
        self.sql.exec(
            "INSERT INTO floors (kind, name, hard, soft, removed, newest) \
               SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
                      max(value ->> 2, value ->> 3) \
               FROM json_each(?) WHERE true \
             ON CONFLICT (kind, name) DO UPDATE SET \
               hard = max(hard, excluded.hard), soft = max(soft, excluded.soft), \
               removed = max(removed, excluded.removed), newest = max(newest, excluded.newest)",
            vec![json.into()],
        )?;
        Ok(())
    }

    /// Lists the entries under the generations that hard changes of keys are about to end.
    fn list_old_generations(&self, prefix: &str, json: &str) -> worker::Result<()> {
        self.sql.exec(
            "INSERT OR IGNORE INTO tasks \
               SELECT 0, ?1 || (new.value ->> 1) || '@' || coalesce(old.hard, 0), 0, 0, 0 \
               FROM json_each(?2) AS new \
               LEFT JOIN floors AS old ON old.kind = 0 AND old.name = (new.value ->> 1) \
               WHERE (new.value ->> 0) = 0 AND (new.value ->> 2) > coalesce(old.hard, 0)",
            vec![prefix.into(), json.into()],
        )?;
        Ok(())
    }

    fn set_position(&self, position: Position) -> worker::Result<()> {
        let value = position.to_string();
        self.sql.exec("INSERT OR REPLACE INTO meta VALUES ('position', ?)", vec![value.into()])?;
        self.sql.exec("DELETE FROM meta WHERE name = 'folding'", None)?;
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

fn floors_json(row: &JsValue) -> worker::Result<FloorsJson> {
    Ok(FloorsJson::new(string(row, "floors")?)?)
}

fn string(row: &JsValue, name: &str) -> worker::Result<String> {
    let value = Reflect::get(row, &name.into())?.as_string();
    value.ok_or_else(|| format!("column {name} is not a text").into())
}

/// Reads a whole number; `None` where it is NULL.
fn version(row: &JsValue, name: &str) -> worker::Result<Option<Version>> {
    let Some(value) = Reflect::get(row, &name.into())?.as_f64() else { return Ok(None) };
    let whole = js::whole(value).and_then(Version::new);
    whole.map(Some).ok_or_else(|| format!("column {name} is not a whole number").into())
}

fn before(version: Version) -> Version {
    Version::new(version.number().saturating_sub(1)).unwrap_or(Version::ZERO)
}

fn number(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
