//! What readers report to their replica: what they counted, and which keys were read most.

use std::time::Duration;

use newsreel_core::metrics::counts::Counts;
use newsreel_core::metrics::hot::Hot;
use newsreel_core::wire::{Key, Target, UnixMillis};
use worker::Result;

use crate::clock::now;
use crate::protocol::UsageReport;
use crate::replica::rows::Rows;

/// How many keys a replica remembers as read lately.
const HOT_KEYS: usize = 10_000;
/// A key is read lately if it was in this or the last such time.
const LATELY: Duration = Duration::from_secs(600);

/// All that the readers of one catalog at one edge have reported.
pub(crate) struct Ledger {
    counts: Counts,
    /// Something was reported since it was kept.
    changed: bool,
    /// Which keys are read now, and which were before.
    hot: [Hot; 2],
    turned_at: UnixMillis,
}

impl Ledger {
    /// Returns what was kept; what cannot be read begins anew.
    pub(crate) fn load(rows: &Rows) -> Result<Self> {
        let counts = Counts::parse(&rows.counts()?).unwrap_or_default();
        let hot = [Hot::new(HOT_KEYS), Hot::new(HOT_KEYS)];
        Ok(Self { counts, changed: false, hot, turned_at: now() })
    }

    /// Takes a reader's report.
    ///
    /// # Errors
    /// When it is none; nothing of it is taken then.
    pub(crate) fn take(&mut self, report: &str) -> Result<()> {
        let UsageReport { counts, hot } = UsageReport::parse(report)?;
        self.counts.merge(&counts);
        let [lately, _] = &mut self.hot;
        lately.merge(&hot);
        self.changed = true;
        Ok(())
    }

    /// Keeps the counts, and forgets which keys were read long ago.
    pub(crate) fn keep(&mut self, rows: &Rows) -> Result<()> {
        if now().since(self.turned_at) > LATELY {
            let [lately, _] = std::mem::replace(&mut self.hot, [Hot::new(HOT_KEYS), Hot::new(HOT_KEYS)]);
            self.hot = [Hot::new(HOT_KEYS), lately];
            self.turned_at = now();
        }
        if std::mem::take(&mut self.changed) {
            rows.keep_counts(&self.counts.to_text())?;
        }
        Ok(())
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
        let mut keys: Vec<Key> = Vec::new();
        for hot in [lately, before] {
            let hottest =
                hot.hottest_of(targets, usize::MAX).into_iter().filter(|key| wanted(key)).take(most);
            let new: Vec<Key> = hottest.filter(|key| !keys.contains(key)).collect();
            keys.extend(new);
        }
        keys.truncate(most);
        keys.into_iter().map(|key| (key.clone(), lately.reads(&key) + before.reads(&key))).collect()
    }

    /// Returns the counts for Prometheus.
    pub(crate) fn prometheus(&self, catalog: &str, edge: &str) -> String {
        self.counts.prometheus(catalog, edge)
    }
}
