//! The board and the messages that wait, in the object's SQLite.

use newsreel_core::alerts::{Board, Notice, Sources};
use newsreel_core::wire::UnixMillis;
use newsreel_sqlite_rows::{Database, OpenError, integer};
use serde::{Deserialize, Serialize};
use worker::{Result, State};

/// Each migration makes the next schema of the one before it. A released migration is never changed.
const MIGRATIONS: &[&str] = &[include_str!("sql/schema_1.sql")];
/// The name of the board in the table `meta`.
const BOARD: &str = "board";
/// The name of the sources in the table `meta`.
const SOURCES: &str = "sources";
/// How many messages may wait for one receiver; further ones are dropped, the newest first.
const MAX_WAITING: u64 = 1_000;

/// The rows of one catalog's alerts.
pub(super) struct Rows {
    database: Database,
}

/// A message that waits for a receiver.
#[derive(Deserialize)]
pub(super) struct Waiting {
    pub(super) number: u64,
    notice: String,
    pub(super) attempts: u32,
    pub(super) due: UnixMillis,
    pub(super) made: UnixMillis,
}

/// A moment, which is NULL where an aggregate found none.
#[derive(Deserialize)]
struct DueRow {
    due: Option<UnixMillis>,
}

/// How many messages wait for a receiver, as `GET alerts` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) receiver: String,
    pub(super) waiting: u64,
}

impl Waiting {
    /// Reads the message, which the row keeps as JSON.
    pub(super) fn notice(&self) -> serde_json::Result<Notice> {
        serde_json::from_str(&self.notice)
    }
}

impl Rows {
    pub(super) fn open(state: &State) -> std::result::Result<Self, OpenError> {
        Ok(Self { database: Database::open(state, MIGRATIONS)? })
    }

    /// Returns the board; an empty one if there is none that can be read.
    pub(super) fn board(&self) -> Result<Board> {
        let json = self.database.meta(BOARD)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    /// Returns the sources; none if there are none that can be read.
    pub(super) fn sources(&self) -> Result<Sources> {
        let json = self.database.meta(SOURCES)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    /// Writes the sources of the catalog, and how late each is, in the place of those that were written before.
    pub(super) fn keep_sources(&self, sources: &Sources) -> Result<()> {
        self.database.set_meta(SOURCES, &serde_json::to_string(sources)?)
    }

    /// Writes the board, and the messages about its changes for each receiver, in one transaction.
    pub(super) fn keep(
        &self,
        board: &Board,
        notices: &[Notice],
        receivers: &[String],
        now: UnixMillis,
    ) -> Result<()> {
        if notices.is_empty() {
            return self.database.set_meta(BOARD, &serde_json::to_string(board)?);
        }
        let full: Vec<String> = self
            .queues()?
            .into_iter()
            .filter(|queue| queue.waiting >= MAX_WAITING)
            .map(|queue| queue.receiver)
            .collect();
        self.database.transaction(|| {
            self.database.set_meta(BOARD, &serde_json::to_string(board)?)?;
            for notice in notices {
                let text = serde_json::to_string(notice)?;
                for receiver in receivers.iter().filter(|receiver| !full.contains(receiver)) {
                    let values =
                        vec![receiver.as_str().into(), text.as_str().into(), integer(now.0), integer(now.0)];
                    self.database.run(
                        "INSERT INTO notices (receiver, notice, attempts, due, made) VALUES (?, ?, 0, ?, ?)",
                        values,
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Returns the oldest message of a receiver.
    pub(super) fn first(&self, receiver: &str) -> Result<Option<Waiting>> {
        self.database.first(include_str!("sql/first.sql"), vec![receiver.into()])
    }

    /// Returns when the first message may be sent; `None` if none waits.
    pub(super) fn next_due(&self) -> Result<Option<UnixMillis>> {
        let row: Option<DueRow> = self.database.first(include_str!("sql/next_due.sql"), vec![])?;
        Ok(row.and_then(|row| row.due))
    }

    /// Deletes a message that its receiver has, or that is given up.
    pub(super) fn done(&self, number: u64) -> Result<()> {
        self.database.run("DELETE FROM notices WHERE number = ?", vec![integer(number)])
    }

    /// Notes that a message was sent in vain and is to be sent again.
    pub(super) fn again(&self, number: u64, due: UnixMillis) -> Result<()> {
        let statement = "UPDATE notices SET attempts = attempts + 1, due = ? WHERE number = ?";
        self.database.run(statement, vec![integer(due.0), integer(number)])
    }

    /// Returns how many messages wait for each receiver.
    pub(super) fn queues(&self) -> Result<Vec<Queue>> {
        self.database.rows(include_str!("sql/waiting.sql"), vec![])
    }

    /// Forgets the messages of receivers that are receivers no more.
    pub(super) fn forget_others(&self, receivers: &[String]) -> Result<()> {
        for queue in self.queues()?.into_iter().filter(|queue| !receivers.contains(&queue.receiver)) {
            self.database.run("DELETE FROM notices WHERE receiver = ?", vec![queue.receiver.into()])?;
        }
        Ok(())
    }
}
