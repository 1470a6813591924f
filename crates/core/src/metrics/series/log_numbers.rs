//! The numbers that a broker counts between two buckets, and the commits that replicas have yet to acknowledge.

use std::collections::VecDeque;
use std::time::Duration;

use super::bucket::Bucket;
use super::measures::{BROKER, Buckets, LogCount};
use crate::follow::hub::PublishOutcome;
use crate::wire::position::{UnixMillis, Version};
use crate::wire::series::Merge;

/// How many commits are remembered. A replica that acknowledges a version of an older one is counted without its time.
const COMMITS: usize = 512;

/// What was counted since the last [`Self::take`].
#[derive(Debug, Default)]
pub struct LogNumbers {
    row: Vec<u64>,
    commits: VecDeque<Commit>,
}

/// Versions that were committed together.
#[derive(Debug)]
struct Commit {
    first: Version,
    last: Version,
    at: UnixMillis,
}

impl LogNumbers {
    /// Counts `n` more.
    pub fn add(&mut self, count: LogCount, n: u64) {
        self.row.resize(LogCount::ALL.len(), 0);
        let at = count as usize;
        if let Some(own) = self.row.get_mut(at) {
            *own = match BROKER.merge(at) {
                Merge::Sum => own.saturating_add(n),
                Merge::Greatest => (*own).max(n),
            };
        }
    }

    /// Counts the outcomes of one commit, the bytes that it wrote, and the followers that it was sent to.
    pub fn published<'a>(
        &mut self,
        outcomes: impl Iterator<Item = &'a PublishOutcome>,
        bytes: u64,
        followers: usize,
    ) {
        let (mut answered, mut changes, mut versions, mut refused) = (0, 0, 0, 0);
        let mut commit: Option<Commit> = None;
        for outcome in outcomes {
            match outcome {
                PublishOutcome::Committed(receipt) => {
                    (answered, versions, changes) =
                        (answered + 1, versions + 1, changes + receipt.changes as u64);
                    let version = receipt.version;
                    let now = commit.get_or_insert(Commit { first: version, last: version, at: receipt.at });
                    (now.first, now.last) = (now.first.min(version), now.last.max(version));
                }
                PublishOutcome::Repeated(_) => answered += 1,
                PublishOutcome::Refused(_) => refused += 1,
            }
        }
        for (count, n) in [
            (LogCount::Publishes, answered),
            (LogCount::Changes, changes),
            (LogCount::Versions, versions),
            (LogCount::Refused, refused),
            (LogCount::Bytes, bytes),
            (LogCount::Followers, followers as u64),
            (LogCount::Head, commit.as_ref().map_or(0, |commit| commit.last.number())),
        ] {
            self.add(count, n);
        }
        if let Some(commit) = commit {
            self.commits.push_back(commit);
            if self.commits.len() > COMMITS {
                self.commits.pop_front();
            }
        }
    }

    /// Counts how long publishes of one sender took, from their arrival to their commit.
    pub fn publish_took(&mut self, publishes: u64, took: Duration) {
        if let Some(publish) = BROKER.histograms.iter().find(|one| one.name == "publish_ms") {
            self.observe(publish, took, publishes);
        }
    }

    /// Counts that a replica has acknowledged the versions after `before` up to `after`: each with the time since its commit.
    pub fn applied(&mut self, before: Version, after: Version, now: UnixMillis) {
        let Some(applied) = BROKER.histograms.iter().find(|one| one.name == "applied_ms") else { return };
        let covered: Vec<(Duration, u64)> = self
            .commits
            .iter()
            .filter(|commit| commit.first <= after && before < commit.last)
            .map(|commit| {
                let first = commit.first.number().max(before.number() + 1);
                (now.since(commit.at), commit.last.min(after).number() + 1 - first)
            })
            .collect();
        for (took, versions) in covered {
            self.observe(applied, took, versions);
        }
    }

    /// Hands over what was counted, if anything was.
    pub fn take(&mut self) -> Option<Bucket> {
        let row = std::mem::take(&mut self.row);
        row.iter().any(|n| *n > 0).then(|| Bucket::of(row))
    }

    fn observe(&mut self, histogram: &Buckets, took: Duration, n: u64) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = histogram.bounds.iter().find(|(bound, _)| ms <= *bound).map(|(_, at)| *at);
        self.row.resize(LogCount::ALL.len(), 0);
        for (at, n) in [(Some(histogram.all), n), (Some(histogram.sum), ms.saturating_mul(n)), (bucket, n)] {
            if let Some(own) = at.and_then(|at| self.row.get_mut(at)) {
                *own = own.saturating_add(n);
            }
        }
    }
}
