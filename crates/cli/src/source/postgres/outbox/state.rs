//! Where a source of an outbox was, so that the next one notices an outbox that is not the same any more.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::install::OutboxError;
use crate::source::postgres::state;

/// An outbox and how far it was published. The database and the state file each have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutboxState {
    /// The identity of the database cluster and of the database in it.
    pub(super) system: String,
    /// The timeline, which changes when a standby is promoted.
    pub(super) timeline: u32,
    /// The id of the outbox, which changes when others delete from it or triggers are made.
    pub(super) outbox: String,
    /// How many times rows were deleted because they were published. The file is written first.
    pub(super) published: u64,
}

/// Why a source cannot go on where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutboxGap {
    /// Nothing is known, or the database is another one.
    #[error(transparent)]
    Database(#[from] state::Gap),
    /// The outbox is another one.
    #[error("the outbox was emptied, or has other tables or triggers")]
    Other,
    /// The outbox says that less was published.
    #[error("the outbox was published {now} times, and {before} times before: the database was restored")]
    Restored { before: u64, now: u64 },
    /// The outbox says that more was published.
    #[error("the outbox was published {now} times, and {before} times before: another source read it")]
    Skipped { before: u64, now: u64 },
}

impl OutboxState {
    /// Returns the outbox as the database has it.
    pub(super) async fn of(client: &Client) -> Result<Self, OutboxError> {
        // Some hosts keep this function to themselves.
        let system = client.query_one("SELECT system_identifier::text FROM pg_control_system()", &[]).await;
        let system = system.map_or_else(|_| "unknown".to_owned(), |row| row.get(0));
        let sql = "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), \
             left(pg_walfile_name(pg_current_wal_lsn()), 8), id::text, published FROM newsreel.history";
        let row = client.query_one(sql, &[]).await?;
        let (database, timeline): (u32, &str) = (row.get(0), row.get(1));
        Ok(Self {
            system: format!("{system}/{database}"),
            timeline: u32::from_str_radix(timeline, 16).unwrap_or_default(),
            outbox: row.get(2),
            published: u64::try_from(row.get::<_, i64>(3)).unwrap_or_default(),
        })
    }

    /// Returns the gap between what was known and what is there, if there is one.
    pub(super) fn gap(before: Option<&Self>, now: &Self) -> Option<OutboxGap> {
        let Some(before) = before else { return Some(state::Gap::Unknown.into()) };
        let counts = (before.published, now.published);
        if before.system != now.system {
            Some(state::Gap::System { before: before.system.clone(), now: now.system.clone() }.into())
        } else if before.timeline != now.timeline {
            Some(state::Gap::Timeline { before: before.timeline, now: now.timeline }.into())
        } else if before.outbox != now.outbox {
            Some(OutboxGap::Other)
        } else if now.published > before.published {
            Some(OutboxGap::Skipped { before: counts.0, now: counts.1 })
        } else if before.published > now.published + 1 {
            Some(OutboxGap::Restored { before: counts.0, now: counts.1 })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_that_is_not_the_same_is_noticed() {
        let at = |published| OutboxState { system: "7/5".into(), timeline: 1, outbox: "a".into(), published };
        let gap = |now: OutboxState| OutboxState::gap(Some(&at(8)), &now);
        assert_eq!(gap(at(8)), None);
        assert_eq!(gap(at(7)), None, "killed between the file and the database");
        assert!(matches!(gap(at(6)), Some(OutboxGap::Restored { before: 8, now: 6 })));
        assert!(matches!(gap(at(9)), Some(OutboxGap::Skipped { .. })));
        assert_eq!(gap(OutboxState { outbox: "b".into(), ..at(8) }), Some(OutboxGap::Other));
        let other = |gap| matches!(gap, Some(OutboxGap::Database(_)));
        assert!(other(gap(OutboxState { system: "7/6".into(), ..at(8) })));
        assert!(other(gap(OutboxState { timeline: 2, ..at(8) })));
        assert!(other(OutboxState::gap(None, &at(8))));
    }
}
