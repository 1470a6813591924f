//! The replica's tasks: a bounded list of names, the most read first. No guarantee depends on a task being done.

use newsreel_core::wire::UnixMillis;
use newsreel_sqlite_rows::integer;
use serde::Deserialize;
use worker::{Result, SqlStorageValue};

use super::Rows;

/// How many tasks of a kind are kept.
const MOST_TASKS: u64 = 100_000;

/// A kind of task, as its column says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// Delete the KV entry of this name, for which no reader will ask again.
    Delete = 0,
    /// Prefetch the key of this name.
    Fetch = 1,
}

impl From<TaskKind> for SqlStorageValue {
    fn from(kind: TaskKind) -> Self {
        (kind as i32).into()
    }
}

/// A task on the list; each kind has its own list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Task {
    /// A KV name or a key, by the kind.
    pub(crate) name: String,
    /// How often the task has been tried and has failed.
    pub(crate) attempts: u32,
}

#[derive(Deserialize)]
struct WaitingRow {
    waiting: u64,
}

impl Rows {
    /// Returns at most `most` tasks that are due, the most read first.
    pub(crate) fn due_tasks(&self, kind: TaskKind, now: UnixMillis, most: u32) -> Result<Vec<Task>> {
        let bindings = vec![kind.into(), integer(now.0), integer(most.into())];
        self.database.rows(include_str!("sql/due_tasks.sql"), bindings)
    }

    /// Says whether the list has any task, due or not.
    pub(crate) fn has_tasks(&self) -> Result<bool> {
        Ok(self.database.first_raw(include_str!("sql/any_task.sql"), vec![])?.is_some())
    }

    /// Returns how many KV entries wait to be deleted, at most 10,000: every row that is counted is paid for.
    pub(crate) fn deletes_waiting(&self) -> Result<u64> {
        let row: Option<WaitingRow> = self.database.first(include_str!("sql/deletes_waiting.sql"), vec![])?;
        Ok(row.map_or(0, |row| row.waiting))
    }

    /// Drops the least read tasks of each kind above [`MOST_TASKS`]: KV's entries end by themselves, and a
    /// key that is not prefetched is fetched when it is read.
    pub(crate) fn cut_tasks(&self) -> Result<()> {
        [TaskKind::Delete, TaskKind::Fetch].into_iter().try_for_each(|kind| {
            self.database.run(include_str!("sql/cut_tasks.sql"), vec![kind.into(), integer(MOST_TASKS)])
        })
    }

    /// Lists keys to be prefetched: a JSON array of `[key, reads]`.
    pub(crate) fn list_fetches(&self, json: &str) -> Result<()> {
        self.database.run(include_str!("sql/list_tasks.sql"), vec![TaskKind::Fetch.into(), json.into()])
    }

    /// Takes tasks off the list.
    pub(crate) fn tasks_done(&self, kind: TaskKind, names: &[String]) -> Result<()> {
        let names = serde_json::to_string(names)?;
        self.database.run(include_str!("sql/tasks_done.sql"), vec![kind.into(), names.into()])
    }

    /// Puts a task that failed off until `due`, and counts the attempt.
    pub(crate) fn task_failed(&self, kind: TaskKind, name: &str, due: UnixMillis) -> Result<()> {
        let bindings = vec![integer(due.0), kind.into(), name.into()];
        self.database.run(include_str!("sql/task_failed.sql"), bindings)
    }
}
