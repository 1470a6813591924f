//! The state file: where a source was, so that the next one notices a database that is not the same any more.

use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lsn::Lsn;
use crate::exit::Failure;
use crate::kept;

/// The state of a source: the database that it published from, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The identity of the database cluster.
    pub(super) system: String,
    /// The timeline, which changes when a standby is promoted.
    pub(super) timeline: u32,
    /// The replication slot.
    pub(super) slot: String,
    /// Everything up to here is durable at the broker.
    pub(super) durable: String,
    /// Everything that was committed before this time is: Unix milliseconds by the database's clock.
    #[serde(default)]
    pub(super) as_of: Option<i64>,
}

/// Why a source cannot go on where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gap {
    /// There is no state file: nothing is known of what was published.
    #[error("nothing is known of an earlier run")]
    Unknown,
    /// The database is another one.
    #[error("the database is another one (system identifier {now}, before {before})")]
    System { before: String, now: String },
    /// The database is on another timeline, so that transactions may be gone that were published.
    #[error("the database is on timeline {now}, before {before}")]
    Timeline { before: u32, now: u32 },
    /// The log of the database ends before what was published.
    #[error(
        "the log of the database ends at {end}, before {durable}, up to which was published: it was restored"
    )]
    Restored { durable: Lsn, end: Lsn },
    /// The slot begins behind what was published.
    #[error("the slot begins at {slot}, after {durable}, up to which was published: it is not the same slot")]
    Skipped { durable: Lsn, slot: Lsn },
    /// The slot was made anew.
    #[error("the slot is new")]
    NewSlot,
    /// The publication was not whole.
    #[error("the publication lacked some of what the mapping covers")]
    Unpublished,
    /// The slot was lost.
    #[error("the slot was lost: PostgreSQL removed log that it still needed")]
    LostSlot,
}

/// The database's own account of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) system: String,
    pub(super) timeline: u32,
    /// The end of the log.
    pub(super) end: Lsn,
    /// The place up to which the slot is confirmed.
    pub(super) confirmed: Lsn,
}

impl State {
    /// Returns the gap between what was known and what is there, if there is one.
    pub(super) fn gap(before: Option<&Self>, now: &Present) -> Option<Gap> {
        let Some(before) = before else { return Some(Gap::Unknown) };
        let durable = before.durable.parse().unwrap_or_default();
        if before.system != now.system {
            Some(Gap::System { before: before.system.clone(), now: now.system.clone() })
        } else if before.timeline != now.timeline {
            Some(Gap::Timeline { before: before.timeline, now: now.timeline })
        } else if durable > now.end {
            Some(Gap::Restored { durable, end: now.end })
        } else if now.confirmed > durable {
            Some(Gap::Skipped { durable, slot: now.confirmed })
        } else {
            None
        }
    }

    /// Reads the file. One that cannot be read is none.
    pub(super) fn read(path: &Path, slot: &str) -> Option<Self> {
        read::<Self>(path).filter(|state| state.slot == slot)
    }

    /// Writes the file, so that a crash leaves the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        write(self, path)
    }
}

/// Reads a state file. One that cannot be read is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a state file, so that a crash leaves the old one or the new one.
pub(super) fn write(state: &impl Serialize, path: &Path) -> Result<(), Failure> {
    let text = serde_json::json!(state).to_string() + "\n";
    let written = kept::replace(path, &text);
    let written = written.with_context(|| format!("cannot keep the state in {}", path.display()));
    written.map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_the_same_is_noticed() {
        let state =
            State { system: "7".into(), timeline: 1, slot: "s".into(), durable: "0/20".into(), as_of: None };
        let now = Present { system: "7".into(), timeline: 1, end: Lsn(0x30), confirmed: Lsn(0x20) };
        let gap = |now: Present| State::gap(Some(&state), &now);
        assert_eq!(gap(now.clone()), None);
        assert_eq!(gap(Present { confirmed: Lsn(0x10), ..now.clone() }), None, "a slot may be behind");
        assert!(matches!(gap(Present { system: "8".into(), ..now.clone() }), Some(Gap::System { .. })));
        assert!(matches!(gap(Present { timeline: 2, ..now.clone() }), Some(Gap::Timeline { .. })));
        assert!(matches!(gap(Present { end: Lsn(0x1f), ..now.clone() }), Some(Gap::Restored { .. })));
        assert!(matches!(gap(Present { confirmed: Lsn(0x21), ..now.clone() }), Some(Gap::Skipped { .. })));
        assert_eq!(State::gap(None, &now), Some(Gap::Unknown));
    }

    #[test]
    fn the_state_comes_back_for_its_slot_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.state");
        assert_eq!(State::read(&path, "s"), None);
        let state =
            State { system: "7".into(), timeline: 1, slot: "s".into(), durable: "0/20".into(), as_of: None };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path, "s"), Some(state));
        assert_eq!(State::read(&path, "t"), None);
    }
}
