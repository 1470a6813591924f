//! The reports of readers to their replica: their counts, and the keys that they read most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use newsreel_core::metrics::counts::{Count, Counts};
use newsreel_core::metrics::hot::Hot;
use newsreel_core::metrics::series::{Bucket, READER, Recorder};
use newsreel_core::read::policy::OTHER;
use newsreel_core::wire::{Key, Target, UnixMillis};
use worker::Result;

use crate::clock::now;
use crate::protocol::{MessageError, UsageReport};
use crate::replica::rows::Rows;

/// How many keys a replica remembers as read lately.
const HOT_KEYS: usize = 10_000;
/// The length of a period. A key counts as read lately in this period and the one before; the greatest lag
/// covers the same two.
const LATELY: Duration = Duration::from_secs(600);

/// All that the readers of one catalog at one edge have reported.
pub(crate) struct Usage {
    counts: Counts,
    /// The counts over time.
    pub(crate) series: Recorder,
    /// Whether a report came since the counts were last written to the rows.
    changed: bool,
    /// The keys read in this period, and those read in the one before.
    hot: [Hot; 2],
    /// The greatest lags of the period before, in milliseconds by class; this period's are in the counts.
    lags_before: BTreeMap<String, u64>,
    turned_at: UnixMillis,
}

impl Usage {
    /// Returns the usage that the rows kept; counts that cannot be read begin anew.
    pub(crate) fn load(rows: &Rows) -> Result<Self> {
        Ok(Self::new(Counts::parse(&rows.counts()?).unwrap_or_default(), now()))
    }

    fn new(counts: Counts, now: UnixMillis) -> Self {
        let hot = [Hot::new(HOT_KEYS), Hot::new(HOT_KEYS)];
        let series = Recorder::new(&READER);
        Self { counts, series, changed: false, hot, lags_before: BTreeMap::new(), turned_at: now }
    }

    /// Takes a reader's report; returns its counts.
    ///
    /// # Errors
    /// When the text is no report; nothing of it is taken then.
    pub(crate) fn take(&mut self, report: &str) -> std::result::Result<Counts, MessageError> {
        let UsageReport { counts, hot } = UsageReport::parse(report)?;
        self.counts.merge(&counts);
        let [lately, _] = &mut self.hot;
        lately.merge(&hot);
        self.changed = true;
        Ok(counts)
    }

    /// Takes counts of the replica itself.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub(crate) fn note(&mut self, rows: &Rows, counts: &Counts) -> Result<()> {
        self.counts.merge(counts);
        self.changed = true;
        self.record(rows, counts)
    }

    /// Takes numbers of the replica that no class has a part in. How many entries wait is no sum, so it is told over time only.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub(crate) fn note_effort(&mut self, rows: &Rows, effort: &[(Count, u64)]) -> Result<()> {
        for (count, n) in effort.iter().filter(|(count, _)| *count != Count::KvTodo) {
            self.counts.add(OTHER, *count, *n);
        }
        self.changed = true;
        self.series.count(&rows.series(), now(), &Bucket::of_edge(effort))
    }

    /// Adds counts to those over time.
    ///
    /// # Errors
    /// When a row cannot be read or written; the counts are missing over time then.
    pub(crate) fn record(&mut self, rows: &Rows, counts: &Counts) -> Result<()> {
        self.series.count(&rows.series(), now(), &Bucket::from(counts))
    }

    /// Writes changed counts to the rows, and forgets keys that were not read lately.
    pub(crate) fn keep(&mut self, rows: &Rows) -> Result<()> {
        self.turn(now());
        if std::mem::take(&mut self.changed) {
            rows.keep_counts(&self.counts.to_text())?;
        }
        self.series.keep(&rows.series())
    }

    /// Begins a new period, if the current one is over.
    fn turn(&mut self, now: UnixMillis) {
        if now.since(self.turned_at) <= LATELY {
            return;
        }
        let [lately, _] = std::mem::replace(&mut self.hot, [Hot::new(HOT_KEYS), Hot::new(HOT_KEYS)]);
        self.hot = [Hot::new(HOT_KEYS), lately];
        self.lags_before = self.counts.take_greatest_lags();
        (self.turned_at, self.changed) = (now, true);
    }

    /// Returns the keys that were read lately, are covered by these targets and are wanted, the hottest first, and how
    /// often they were read.
    pub(crate) fn hottest_of(
        &self,
        targets: &[Target],
        most: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> Vec<(Key, u64)> {
        let [lately, before] = &self.hot;
        let (mut listed, mut hottest) = (BTreeSet::new(), Vec::new());
        for hot in [lately, before] {
            let keys = hot.hottest_of(targets, usize::MAX).into_iter().filter(|key| wanted(key)).take(most);
            for key in keys.filter(|key| listed.insert(key.clone())) {
                let reads = lately.reads(&key) + before.reads(&key);
                hottest.push((key, reads));
            }
        }
        hottest.truncate(most);
        hottest
    }

    /// Returns the time over which the reads of [`Self::hottest_of`] were counted.
    pub(crate) fn period(&self, now: UnixMillis) -> Duration {
        let [_, before] = &self.hot;
        let earlier = if before.hottest_of(&[Target::All], 1).is_empty() { Duration::ZERO } else { LATELY };
        now.since(self.turned_at) + earlier
    }

    /// Returns the counts for Prometheus, with how many entries wait to be deleted from KV. The greatest lag is that of the last
    /// ten to twenty minutes.
    pub(crate) fn prometheus(&self, catalog: &str, edge: &str, kv_todo: u64) -> String {
        let mut counts = self.counts.clone();
        counts.add(OTHER, Count::KvTodo, kv_todo);
        self.lags_before.iter().for_each(|(class, lag)| counts.add(class, Count::LagMaxMs, *lag));
        counts.prometheus(catalog, edge)
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::metrics::hot::HotKey;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn usage() -> Usage {
        Usage::new(Counts::default(), NOW)
    }

    fn reports(usage: &mut Usage, lag_ms: u64, hot: Vec<HotKey>) {
        let mut counts = Counts::default();
        counts.lag("title", Some(Duration::from_millis(lag_ms)));
        usage.take(&UsageReport { counts, hot }.to_text()).unwrap();
    }

    fn greatest_lag(usage: &Usage) -> String {
        let text = usage.prometheus("tv", "lab", 0);
        let line = text.lines().find(|line| line.starts_with("newsreel_lag_max_seconds{")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn the_greatest_lag_falls_again() {
        let mut usage = usage();
        reports(&mut usage, 70_000, Vec::new());
        let mut now = NOW.plus(LATELY + Duration::from_secs(1));
        usage.turn(now);
        reports(&mut usage, 200, Vec::new());
        assert_eq!(greatest_lag(&usage), "70.000", "it was lately");
        now = now.plus(LATELY + Duration::from_secs(1));
        usage.turn(now);
        assert_eq!(greatest_lag(&usage), "0.200");
        let text = usage.prometheus("tv", "lab", 0);
        assert!(
            text.contains("newsreel_lag_seconds_count{") && text.contains(" 2\n"),
            "both are counted: {text}"
        );
    }

    #[test]
    fn a_key_that_was_read_now_and_before_is_listed_once_with_all_its_reads() {
        let mut usage = usage();
        let hot = |key: &str, reads| HotKey { key: Key::new(key).unwrap(), reads, tags: Vec::new() };
        reports(&mut usage, 1, vec![hot("title:1", 5), hot("title:2", 4)]);
        usage.turn(NOW.plus(LATELY * 2));
        reports(&mut usage, 1, vec![hot("title:1", 2), hot("title:3", 1)]);
        let listed = |most| {
            let all = usage.hottest_of(&[Target::All], most, |key| key.as_str() != "title:2");
            all.into_iter().map(|(key, reads)| (key.to_string(), reads)).collect::<Vec<_>>()
        };
        assert_eq!(listed(9), [("title:1".to_owned(), 7), ("title:3".to_owned(), 1)]);
        assert_eq!(listed(1), [("title:1".to_owned(), 7)]);
    }
}
