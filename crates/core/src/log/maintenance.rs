//! Maintenance of a log: when rows are sealed into segments, segments compacted, and the past forgotten.
//!
//! Each task is one bounded step in one transaction, so an interruption leaves the log as it was. Knows
//! nothing of storage: takes the sizes and ages of a log, and returns the next task.

use std::time::Duration;

use crate::wire::frame::FRAME_BYTES;
use crate::wire::position::UnixMillis;

/// How much of a log is kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Rows are sealed once the active rows have this many bytes. A segment gets as many bytes, or a frame's
    /// worth if that is less.
    pub segment_bytes: u64,
    /// The most bytes of sealed segments that are kept in full; older ones are compacted. While versions keep coming there may
    /// be twice as many.
    pub keep_bytes: u64,
    /// How long a follower can resume from a compacted position. Must be longer than any entry may be served.
    pub forget_after: Duration,
}

/// How long no version has to come before older segments are compacted, unless there are too many: compacting a change costs
/// several times what publishing it does, and a burst of publishes waits for neither.
pub const QUIET: Duration = Duration::from_secs(1);
/// How long an idempotency key is remembered: 24 h.
pub const REMEMBER_FOR: Duration = Duration::from_secs(24 * 3_600);

impl Default for RetentionLimits {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3_600);
        Self {
            segment_bytes: FRAME_BYTES as u64,
            // 100,000 single-change versions are 8 MB, and 25 MB with eight tags each, so a follower that missed so
            // many still gets each of them. docs/decisions.md says what speaks for more, and what for less.
            keep_bytes: 32 << 20,
            forget_after: 15 * day,
        }
    }
}

/// The sizes and ages of a log in storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageStats {
    /// Bytes of active rows, which are in no segment yet.
    pub active_bytes: u64,
    /// Bytes of segments that are not compacted.
    pub sealed_bytes: u64,
    /// When the last row was appended; `None` where none was since the log was opened.
    pub appended_at: Option<UnixMillis>,
    /// When the newest version of the oldest compacted segment was made; `None` when no compacted segment is
    /// kept.
    pub oldest_folded: Option<UnixMillis>,
    /// When the oldest idempotency key was used.
    pub oldest_key: Option<UnixMillis>,
}

/// One bounded step of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceTask {
    /// Put the oldest rows into a segment.
    Seal {
        /// The segment ends with the first row past this size, or past a frame's size if that is less.
        bytes: u64,
    },
    /// Fold the oldest segment.
    Fold,
    /// Forget the positions of the oldest compacted segment, and the changes of the fold at or below these.
    Forget,
    /// Forget idempotency keys older than [`REMEMBER_FOR`].
    ForgetKeys,
}

/// The next task, or when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTask {
    /// A task is due.
    Now(MaintenanceTask),
    /// No task is due before this moment.
    At(UnixMillis),
    /// No task is due until a publish.
    Idle,
}

impl RetentionLimits {
    /// Returns the next task. Tasks that keep replays fast come first.
    #[must_use]
    pub fn next(&self, now: UnixMillis, stats: &StorageStats) -> NextTask {
        let forget = stats.oldest_folded.map(|made| (made.plus(self.forget_after), MaintenanceTask::Forget));
        let keys = stats.oldest_key.map(|used| (used.plus(REMEMBER_FOR), MaintenanceTask::ForgetKeys));
        let fold = (stats.sealed_bytes > self.keep_bytes).then(|| {
            let is_full = stats.sealed_bytes > self.keep_bytes.saturating_mul(2);
            let quiet_from = stats.appended_at.filter(|_| !is_full).map_or(now, |at| at.plus(QUIET));
            (quiet_from, MaintenanceTask::Fold)
        });
        let due = fold.into_iter().chain(forget).chain(keys).min_by_key(|(due, _)| *due);
        match due {
            _ if stats.active_bytes >= self.segment_bytes => {
                NextTask::Now(MaintenanceTask::Seal { bytes: self.segment_bytes })
            }
            _ if fold.is_some_and(|(due, _)| due <= now) => NextTask::Now(MaintenanceTask::Fold),
            Some((due, task)) if due <= now => NextTask::Now(task),
            Some((due, _)) => NextTask::At(due),
            None => NextTask::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn next(now: UnixMillis, stats: &StorageStats) -> NextTask {
        RetentionLimits::default().next(now, stats)
    }

    #[test]
    fn nothing_is_done_without_need() {
        assert_eq!(next(UnixMillis(0), &StorageStats::default()), NextTask::Idle);
        let small = StorageStats { active_bytes: 1_000, sealed_bytes: 32 << 20, ..StorageStats::default() };
        assert_eq!(next(UnixMillis(0), &small), NextTask::Idle);
    }

    #[test]
    fn rows_are_sealed_before_segments_are_folded_before_the_past_is_forgotten() {
        let all = StorageStats {
            active_bytes: 256 << 10,
            sealed_bytes: (32 << 20) + 1,
            appended_at: None,
            oldest_folded: Some(UnixMillis(0)),
            oldest_key: None,
        };
        let late = UnixMillis(0).plus(15 * 24 * HOUR);
        assert_eq!(next(late, &all), NextTask::Now(MaintenanceTask::Seal { bytes: 256 << 10 }));
        assert_eq!(
            next(late, &StorageStats { active_bytes: 0, ..all }),
            NextTask::Now(MaintenanceTask::Fold)
        );
        let quiet = StorageStats { active_bytes: 0, sealed_bytes: 0, ..all };
        assert_eq!(next(late, &quiet), NextTask::Now(MaintenanceTask::Forget));
        assert_eq!(
            next(UnixMillis(late.0 - 1), &quiet),
            NextTask::At(late),
            "not a moment before the horizon"
        );
    }

    #[test]
    fn a_burst_of_versions_is_not_folded_before_it_ends_or_is_twice_what_is_kept() {
        let burst = StorageStats {
            sealed_bytes: 64 << 20,
            appended_at: Some(UnixMillis(5_000)),
            ..StorageStats::default()
        };
        assert_eq!(next(UnixMillis(5_000), &burst), NextTask::At(UnixMillis(6_000)));
        assert_eq!(next(UnixMillis(6_000), &burst), NextTask::Now(MaintenanceTask::Fold));
        let full = StorageStats { sealed_bytes: (64 << 20) + 1, ..burst };
        assert_eq!(next(UnixMillis(5_000), &full), NextTask::Now(MaintenanceTask::Fold));
        let due = StorageStats { oldest_key: Some(UnixMillis(0)), ..burst };
        let late = UnixMillis(0).plus(24 * HOUR);
        let busy = StorageStats { appended_at: Some(late), ..due };
        assert_eq!(next(late, &busy), NextTask::Now(MaintenanceTask::ForgetKeys), "other tasks do not wait");
    }

    #[test]
    fn d3_a_key_is_remembered_for_24_hours() {
        let stats = StorageStats { oldest_key: Some(UnixMillis(5)), ..StorageStats::default() };
        let due = UnixMillis(5).plus(24 * HOUR);
        assert_eq!(next(UnixMillis(due.0 - 1), &stats), NextTask::At(due));
        assert_eq!(next(due, &stats), NextTask::Now(MaintenanceTask::ForgetKeys));
    }

    #[test]
    fn what_is_due_first_wakes_first() {
        let stats = StorageStats {
            oldest_folded: Some(UnixMillis(0)),
            oldest_key: Some(UnixMillis(0)),
            ..StorageStats::default()
        };
        assert_eq!(next(UnixMillis(0), &stats), NextTask::At(UnixMillis(0).plus(24 * HOUR)));
    }
}
