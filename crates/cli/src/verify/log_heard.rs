//! What a checker has heard of the log: the ledger, the newest rows, and how far it was when.

use std::collections::VecDeque;
use std::time::Duration;

use newsreel_core::follow::follower::Phase;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Key, Position, Tag, UnixMillis, Version};

use super::judge::{Hearing, overdue_at};
use super::ledger::{Covering, HeardVersion, Ledger};
use crate::exit::note;

/// How many versions of the log are remembered for traces.
const MOST_ROWS: usize = 500;
/// How many versions a trace shows before and after the last one of the key.
const ROWS_AROUND: usize = 4;
/// How many moments of hearing are remembered, and the shortest time between two of them.
const MOST_HEARD: usize = 20_000;
const HEARD_EVERY: Duration = Duration::from_millis(20);

/// The log as it was heard.
#[derive(Default)]
pub(super) struct LogHeard {
    ledger: Ledger,
    heard: VecDeque<HeardVersion>,
    rows: VecDeque<VersionRow>,
    position: Option<Position>,
    live_since: Option<UnixMillis>,
}

impl LogHeard {
    /// Takes a version.
    pub(super) fn hear(&mut self, row: &VersionRow, now: UnixMillis) {
        self.ledger.hear(row, now);
        self.rows.push_back(row.clone());
        if self.rows.len() > MOST_ROWS {
            self.rows.pop_front();
        }
    }

    /// Takes the follower's phase. Returns whether the log is followed.
    pub(super) fn phase(&mut self, phase: Phase, now: UnixMillis) -> bool {
        let was_live = self.live_since.is_some();
        self.live_since = (phase == Phase::Live).then(|| self.live_since.unwrap_or(now));
        match (was_live, self.is_live()) {
            (false, true) => note!("verify: the log is followed"),
            (true, false) => {
                note!("verify: cut off from the log; nothing is decided until it is followed again");
            }
            (true, true) | (false, false) => {}
        }
        self.is_live()
    }

    /// Notes how far the log was heard, and when.
    pub(super) fn stand_at(&mut self, position: Option<Position>, now: UnixMillis) {
        let Some(at) = position else { return };
        let is_first = self.position.is_none_or(|held| held.epoch != at.epoch);
        if is_first {
            self.heard.clear();
        }
        if is_first || self.position.is_some_and(|held| held.version < at.version) {
            match self.heard.back_mut() {
                Some(last) if last.at.plus(HEARD_EVERY) > now => last.version = at.version,
                _ => self.heard.push_back(HeardVersion { version: at.version, at: now }),
            }
            if self.heard.len() > MOST_HEARD {
                self.heard.pop_front();
            }
        }
        self.position = position;
    }

    /// Forgets what the log said: another one follows.
    pub(super) fn forget(&mut self) {
        self.ledger = Ledger::default();
        self.rows.clear();
    }

    /// Returns what covers an entry of a key, by its name alone.
    pub(super) fn by_name(&self, key: &Key) -> Covering {
        self.ledger.by_name(key)
    }

    /// Returns what covers an entry of a key with these tags.
    pub(super) fn covering(&self, key: &Key, tags: &[Tag]) -> Covering {
        self.ledger.covering(key, tags)
    }

    /// Returns the newest version that a reader with this bound has to have heard when it is asked.
    pub(super) fn overdue_at(&self, bound: Duration, asked_at: UnixMillis) -> Option<Version> {
        overdue_at(&self.heard, bound, asked_at)
    }

    /// Returns how far the log has been heard.
    pub(super) fn hearing(&self, proved_at: Option<UnixMillis>, settle: Duration) -> Hearing {
        Hearing { proved_at, live_since: self.live_since, settle }
    }

    /// Returns the versions around the newest that covers a key; where none does, the newest of all.
    pub(super) fn around(&self, key: &Key, tags: &[Tag]) -> Vec<&VersionRow> {
        let newest = self.covering(key, tags).newest();
        let version = newest.map_or(Version::ZERO, |newest| newest.version);
        let place = self.rows.iter().position(|row| row.version == version);
        let place = place.unwrap_or_else(|| self.rows.len().saturating_sub(1));
        let from = place.saturating_sub(ROWS_AROUND);
        self.rows.iter().skip(from).take(place - from + 1 + ROWS_AROUND).collect()
    }

    /// Returns the position.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Says whether the log is followed.
    pub(super) fn is_live(&self) -> bool {
        self.live_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Epoch, Hash};

    use super::*;

    fn row(version: u64, key: &str) -> VersionRow {
        let row = format!(r#"{{"version":{version},"at":1,"changes":[{{"key":"{key}"}}]}}"#);
        serde_json::from_str(&row).unwrap()
    }

    fn position(epoch: u64, version: u64) -> Option<Position> {
        let epoch = Epoch::new(UnixMillis(epoch), [0; 10]);
        Some(Position { epoch, version: Version::new(version).unwrap(), hash: Hash::genesis(&epoch) })
    }

    #[test]
    fn the_log_around_a_key_is_shown() {
        let mut log = LogHeard::default();
        for version in 1..=20 {
            log.hear(&row(version, &format!("title:{version}")), UnixMillis(version));
        }
        let around = |key: &str| -> Vec<u64> {
            let rows = log.around(&Key::new(key).unwrap(), &[]);
            rows.into_iter().map(|row| row.version.number()).collect()
        };
        assert_eq!(around("title:10"), [6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(around("title:1"), [1, 2, 3, 4, 5]);
        assert_eq!(around("title:99"), [16, 17, 18, 19, 20], "nothing covers the key: the newest");
        assert!(LogHeard::default().around(&Key::new("title:1").unwrap(), &[]).is_empty());
    }

    #[test]
    fn what_was_heard_before_the_bound_is_overdue() {
        let mut log = LogHeard::default();
        log.stand_at(position(1, 7), UnixMillis(1_000));
        log.stand_at(position(1, 8), UnixMillis(2_000));
        let overdue = |log: &LogHeard, at| log.overdue_at(Duration::from_secs(1), UnixMillis(at));
        let number = |version: Option<Version>| version.map(Version::number);
        assert_eq!(number(overdue(&log, 2_000)), None);
        assert_eq!(number(overdue(&log, 2_300)), Some(7));
        assert_eq!(number(overdue(&log, 3_300)), Some(8));
        log.stand_at(position(2, 1), UnixMillis(3_000));
        assert_eq!(number(overdue(&log, 3_300)), None, "another epoch");
    }
}
