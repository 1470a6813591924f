//! The traces of the newest versions: which publish a fetch of the origin follows from.
//!
//! A replica keeps them as it applies versions, and tells its readers with the floors. No decision depends on them: a
//! trace that is forgotten is a fetch without a trace.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::wire::{Epoch, Traceparent, Version, VersionRow};

/// How many traces are kept, and told at once: those of so many of the newest versions that have one.
pub const MAX_TRACES: usize = 256;

/// The trace of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedVersion {
    /// The version.
    pub version: Version,
    /// The trace that its publish is part of.
    pub traceparent: Traceparent,
}

/// The traces of one catalog, in the order of their versions.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    epoch: Option<Epoch>,
    kept: VecDeque<TracedVersion>,
}

impl Traces {
    /// Takes the traces of versions that were applied.
    pub fn apply(&mut self, epoch: Epoch, rows: &[VersionRow]) {
        let traced = rows.iter().filter_map(|row| {
            Some(TracedVersion { version: row.version, traceparent: row.cause.traceparent.clone()? })
        });
        self.learn(epoch, traced);
    }

    /// Takes traces in the order of their versions.
    pub fn learn(&mut self, epoch: Epoch, traced: impl IntoIterator<Item = TracedVersion>) {
        if self.epoch != Some(epoch) {
            *self = Self { epoch: Some(epoch), kept: VecDeque::new() };
        }
        for one in traced {
            if self.kept.back().is_some_and(|last| last.version >= one.version) {
                continue;
            }
            if self.kept.len() == MAX_TRACES {
                self.kept.pop_front();
            }
            self.kept.push_back(one);
        }
    }

    /// Says whether no trace is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the traces of versions after `from`.
    #[must_use]
    pub fn after(&self, epoch: Epoch, from: Version) -> Vec<TracedVersion> {
        let same = self.epoch == Some(epoch);
        self.kept.iter().filter(|one| same && one.version > from).cloned().collect()
    }

    /// Returns the trace of a version.
    #[must_use]
    pub fn of(&self, version: Version) -> Option<Traceparent> {
        let at = self.kept.binary_search_by_key(&version, |one| one.version).ok()?;
        self.kept.get(at).map(|one| one.traceparent.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::UnixMillis;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    fn traced(number: u64) -> TracedVersion {
        let traceparent = format!("00-{number:032x}-{number:016x}-01").parse().unwrap();
        TracedVersion { version: version(number), traceparent }
    }

    fn epoch(at: u64) -> Epoch {
        Epoch::new(UnixMillis(at), [0; 10])
    }

    #[test]
    fn versions_find_their_traces_until_newer_ones_take_their_place() {
        let mut traces = Traces::default();
        let rows = [
            format!(r#"{{"version":1,"at":5,"changes":[],"traceparent":"{}"}}"#, traced(1).traceparent),
            r#"{"version":2,"at":6,"changes":[]}"#.to_owned(),
            format!(r#"{{"version":3,"at":7,"changes":[],"traceparent":"{}"}}"#, traced(3).traceparent),
        ];
        let rows: Vec<VersionRow> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        traces.apply(epoch(1), &rows);
        traces.apply(epoch(1), &rows[..1]);
        assert_eq!(
            traces.after(epoch(1), Version::ZERO),
            [traced(1), traced(3)],
            "a repeated one counts once"
        );
        assert_eq!(traces.after(epoch(1), version(1)), [traced(3)]);
        assert_eq!(traces.after(epoch(2), Version::ZERO), [], "another log has other versions");
        assert_eq!((traces.of(version(3)), traces.of(version(2))), (Some(traced(3).traceparent), None));
        traces.learn(epoch(1), (4..=MAX_TRACES as u64 + 3).map(traced));
        assert_eq!((traces.of(version(1)), traces.of(version(4))), (None, Some(traced(4).traceparent)));
        traces.learn(epoch(2), [traced(1)]);
        assert_eq!(traces.of(version(4)), None, "a new epoch forgets");
    }
}
