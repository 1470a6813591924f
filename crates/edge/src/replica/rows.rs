//! The replica's floors, position and tasks in SQLite. Decides nothing.
//!
//! One frame of the broker is one transaction: floors, position and tasks move together, and the ack follows. A page of
//! floors is made by one statement, so no row crosses into wasm.

use std::time::Duration;

use newsreel_core::read::floors::{Floor, FloorRow};
use newsreel_core::read::sync::{FloorLookup, LeftOut, SNAPSHOT_FLOORS};
use newsreel_core::wire::{Position, Target, UnixMillis, Version};
use newsreel_sqlite_rows::{Database, OpenError, SeriesTables, integer};
use serde::Deserialize;
use worker::{Result, State};

use crate::protocol::FloorsJson;

mod tasks;
#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

pub(crate) use tasks::{Task, TaskKind};

/// How many floors one reply to a reader holds; more come in the next. A version has at most 1,000, and a text that SQLite
/// makes at most 2 MB: 4,999 of the longest keys just fit.
const FLOORS_A_REPLY: u32 = 4_000;
/// How many floors one statement writes: their JSON stays far below the 2 MB of a bound text.
const FLOORS_A_WRITE: usize = 1_000;

/// Each migration makes the next schema of the one before it. A released migration
/// is never changed: `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &[include_str!("rows/sql/schema_1.sql")];

/// The names of the table `meta`.
const POSITION: &str = "position";
const FOLDING: &str = "folding";
const COUNTS: &str = "counts";
const ALERTS: &str = "alerts";
const FINDINGS: &str = "findings";

/// The rows of one replica.
pub(crate) struct Rows {
    database: Database,
}

/// A page of floors, as JSON for a reader.
pub(crate) struct FloorPage {
    pub(crate) floors: FloorsJson,
    /// The page has every floor raised up to this version, but for what is left out.
    pub(crate) to: Version,
    pub(crate) left_out: Option<LeftOut>,
}

/// A row with one version, which is NULL where an aggregate found none.
#[derive(Deserialize)]
struct VersionRow {
    version: Option<Version>,
}

/// A row with floors as one JSON text.
#[derive(Deserialize)]
struct FloorsRow {
    floors: String,
}

/// The highest floors of any tag, which are NULL where there are none.
#[derive(Deserialize)]
struct HighestRow {
    hard: Option<Version>,
    soft: Option<Version>,
}

impl Rows {
    /// Opens the rows, bringing them to the schema of this build.
    pub(crate) fn open(state: &State) -> std::result::Result<Self, OpenError> {
        Self::open_as(state, MIGRATIONS)
    }

    fn open_as(state: &State, migrations: &[&str]) -> std::result::Result<Self, OpenError> {
        let rows = Self { database: Database::open(state, migrations)? };
        rows.series().create()?;
        Ok(rows)
    }

    /// Returns the numbers of this edge's readers over time.
    pub(crate) const fn series(&self) -> SeriesTables<'_> {
        SeriesTables::of(&self.database)
    }

    /// Returns the position that everything here was applied up to.
    pub(crate) fn position(&self) -> Result<Option<Position>> {
        let Some(text) = self.database.meta(POSITION)? else { return Ok(None) };
        text.parse().map(Some).map_err(|why| format!("the stored position {text:?}: {why}").into())
    }

    /// Raises floors and moves the position, in one transaction. With `kv_prefix` (`catalog/epoch/`) the KV
    /// entries of raised keys' old generations join the tasks, to be deleted.
    pub(crate) fn apply(
        &self,
        floors: &[FloorRow],
        position: Option<Position>,
        kv_prefix: Option<&str>,
    ) -> Result<()> {
        self.database.transaction(|| {
            for some in floors.chunks(FLOORS_A_WRITE) {
                let json = serde_json::to_string(some)?;
                if let Some(prefix) = kv_prefix {
                    let bindings = vec![prefix.into(), json.as_str().into()];
                    self.database.run(include_str!("rows/sql/list_ended_generations.sql"), bindings)?;
                }
                self.raise(&json)?;
            }
            match position {
                Some(position) => self.set_position(position),
                None => self.database.set_meta(FOLDING, "1"),
            }
        })
    }

    /// Says whether a fold is half applied. Some floors may then be of later versions than the position.
    pub(crate) fn is_folding(&self) -> Result<bool> {
        Ok(self.database.meta(FOLDING)?.is_some())
    }

    /// Forgets every floor and task: without a position nothing says which log they are of.
    pub(crate) fn clear(&self) -> Result<()> {
        self.database.run_all(include_str!("rows/sql/clear.sql"))
    }

    /// Forgets every floor and task and moves to `position`, below which nothing is served any more.
    ///
    /// Other edges may have filled entries of this epoch before `position`, and the changes up to
    /// it were not heard.
    pub(crate) fn reset(&self, position: Position) -> Result<()> {
        self.database.transaction(|| {
            self.clear()?;
            // The changes that were not heard may include removals.
            let (hard, removed) = (position.version, position.version);
            let floor = FloorRow { target: Target::All, floor: Floor { hard, soft: Version::ZERO, removed } };
            self.raise(&serde_json::to_string(&[floor])?)?;
            self.set_position(position)
        })
    }

    /// Returns the floors raised after `since`, up to the head or as many as fit. Of the floors of keys and
    /// tags, only the newest [`SNAPSHOT_FLOORS`] are told.
    pub(crate) fn floors_after(&self, since: Version, head: Version) -> Result<FloorPage> {
        let mark = self.version_at(include_str!("rows/sql/untold_mark.sql"), since, SNAPSHOT_FLOORS)?;
        let told_from = mark.map_or(since, |mark| mark.max(since));
        // A version's floors are never split: the page ends before the version that would not fit whole.
        let past = self.version_at(include_str!("rows/sql/past_the_page.sql"), told_from, FLOORS_A_REPLY)?;
        let to = past.map_or(head, |past| before(past).max(told_from)).min(head.max(told_from));
        let bindings = [told_from, to, since].map(|version| integer(version.number()));
        let row = self.database.first(include_str!("rows/sql/floors_page.sql"), bindings.to_vec())?;
        let left_out = mark.map(|mark| self.left_out(mark)).transpose()?;
        Ok(FloorPage { floors: floors_json(row)?, to, left_out })
    }

    fn version_at(&self, query: &str, after: Version, nth: u32) -> Result<Option<Version>> {
        let bindings = vec![integer(after.number()), integer(nth.into())];
        let row: Option<VersionRow> = self.database.first(query, bindings)?;
        Ok(row.and_then(|row| row.version))
    }

    /// Returns the summary of the floors up to `mark`, which are not told one by one.
    fn left_out(&self, mark: Version) -> Result<LeftOut> {
        let row: Option<HighestRow> =
            self.database.first(include_str!("rows/sql/highest_of_tags.sql"), vec![])?;
        let HighestRow { hard, soft } = row.ok_or("an aggregate has a row")?;
        let (tags_hard, tags_soft) = (hard.unwrap_or_default(), soft.unwrap_or_default());
        Ok(LeftOut { to: mark, tags_hard, tags_soft })
    }

    /// Returns the floors of these targets, and the floor of everything, which stands for forgotten floors. A
    /// target missing from the result has no floor.
    pub(crate) fn floors_of(&self, look: &FloorLookup) -> Result<FloorsJson> {
        let keys = look.keys.iter().map(|key| (0, key.as_str()));
        let targets: Vec<(u8, &str)> = keys.chain(look.tags.iter().map(|tag| (1, tag.as_str()))).collect();
        let bindings = vec![serde_json::to_string(&targets)?.into()];
        floors_json(self.database.first(include_str!("rows/sql/floors_of_targets.sql"), bindings)?)
    }

    /// Forgets some of the floors that are older than `life`, the longest of any entry.
    ///
    /// The floor of everything rises to the newest of them, as in
    /// [`newsreel_core::read::floors::Floors::evict_oldest`], so an entry that they would have refused is
    /// still refused. A mark tells how old floors are: the version `held`, and the time. The mark moves once
    /// everything below it is forgotten, so a floor stays for one life to two.
    pub(crate) fn forget(&self, held: Version, now: UnixMillis, life: Duration) -> Result<()> {
        let before = integer(now.minus(life).0);
        // Raised before anything is deleted, so that a failure in between costs hits and nothing else.
        self.database.run(include_str!("rows/sql/forget_raise.sql"), vec![before.clone()])?;
        self.database.run(include_str!("rows/sql/forget_delete.sql"), vec![])?;
        let mark = serde_json::to_string(&(held, now))?;
        self.database.run(include_str!("rows/sql/forget_mark.sql"), vec![mark.into(), before])
    }

    /// Returns the readers' counts, as they were kept.
    pub(crate) fn counts(&self) -> Result<String> {
        Ok(self.database.meta(COUNTS)?.unwrap_or_default())
    }

    /// Returns the alerts, as they were kept.
    pub(crate) fn alerts(&self) -> Result<Option<String>> {
        self.database.meta(ALERTS)
    }

    /// Keeps the alerts.
    pub(crate) fn keep_alerts(&self, json: &str) -> Result<()> {
        self.database.set_meta(ALERTS, json)
    }

    /// Returns the wrong answers that were found, as they were kept.
    pub(crate) fn findings(&self) -> Result<Option<String>> {
        self.database.meta(FINDINGS)
    }

    /// Keeps the wrong answers that were found.
    pub(crate) fn keep_findings(&self, json: &str) -> Result<()> {
        self.database.set_meta(FINDINGS, json)
    }

    /// Keeps the readers' counts.
    pub(crate) fn keep_counts(&self, text: &str) -> Result<()> {
        self.database.set_meta(COUNTS, text)
    }

    fn raise(&self, json: &str) -> Result<()> {
        self.database.run(include_str!("rows/sql/raise_floors.sql"), vec![json.into()])
    }

    fn set_position(&self, position: Position) -> Result<()> {
        self.database.set_meta(POSITION, &position.to_string())?;
        self.database.remove_meta(FOLDING)
    }
}

fn floors_json(row: Option<FloorsRow>) -> Result<FloorsJson> {
    row.map_or(Ok(FloorsJson::default()), |row| Ok(FloorsJson::new(row.floors)?))
}

fn before(version: Version) -> Version {
    Version::new(version.number().saturating_sub(1)).unwrap_or(Version::ZERO)
}
