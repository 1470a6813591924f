//! Idempotency keys, and the replicas that connected lately.

use newsreel_core::follow::hub::Remembered;
use newsreel_core::log::maintenance::REMEMBER_FOR;
use newsreel_core::wire::publish::digest_of_key;
use newsreel_core::wire::{Position, UnixMillis};
use newsreel_sqlite_rows::integer;
use serde::Deserialize;
use worker::Result;

use super::{Rows, number};

/// How long a replica that does not connect is still counted as offline: 30 days.
const KNOWN_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How many keys one step forgets.
const FORGET_AT_ONCE: u32 = 5_000;

#[derive(Deserialize)]
struct KeyRow {
    fingerprint: String,
    position: Position,
    at: UnixMillis,
    changes: usize,
}

#[derive(Deserialize)]
struct NameRow {
    name: String,
}

impl Rows {
    /// Remembers the publish of an idempotency key, and its answer: in 130 bytes, so that a day
    /// of keys has room.
    pub(super) fn remember(&self, publisher: &str, key: &str, remembered: &Remembered) -> Result<()> {
        let Remembered { fingerprint, position: Position { epoch, version, hash }, at, changes } = remembered;
        self.database.run(
            include_str!("sql/remember.sql"),
            vec![
                digest_of_key(publisher, key).into(),
                fingerprint.as_str().into(),
                integer(at.0),
                epoch.as_str().into(),
                number(*version),
                hash.to_string().into(),
                integer(*changes as u64),
            ],
        )
    }

    /// Returns the publish and answer remembered of an idempotency key.
    pub(crate) fn remembered(
        &self,
        publisher: &str,
        key: &str,
        now: UnixMillis,
    ) -> Result<Option<Remembered>> {
        let bindings = vec![digest_of_key(publisher, key).into(), integer(now.minus(REMEMBER_FOR).0)];
        let row: Option<KeyRow> = self.database.first(include_str!("sql/remembered.sql"), bindings)?;
        Ok(row.map(|KeyRow { fingerprint, position, at, changes }| Remembered {
            fingerprint,
            position,
            at,
            changes,
        }))
    }

    /// Forgets keys that were used before `before`.
    pub(crate) fn forget_keys(&self, before: UnixMillis) -> Result<()> {
        let bindings = vec![integer(before.0), f64::from(FORGET_AT_ONCE).into()];
        self.database.run(include_str!("sql/forget_keys.sql"), bindings)
    }

    /// Notes that a replica connected, and forgets replicas that have not for a month.
    pub(crate) fn saw_replica(&self, name: &str, now: UnixMillis) -> Result<()> {
        self.database.run(include_str!("sql/saw_replica.sql"), vec![name.into(), integer(now.0)])?;
        let oldest = integer(now.0.saturating_sub(KNOWN_MS));
        self.database.run(include_str!("sql/forget_replicas.sql"), vec![oldest])
    }

    /// Returns the names of the replicas that connected in the last month.
    pub(crate) fn known_replicas(&self) -> Result<Vec<String>> {
        let rows: Vec<NameRow> = self.database.rows(include_str!("sql/known_replicas.sql"), vec![])?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }
}
