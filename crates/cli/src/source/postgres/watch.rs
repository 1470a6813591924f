//! The account that a running source of a PostgreSQL gives of itself: what every source tells, the slot, and the trace
//! file.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

use super::PostgresOptions;
use super::lsn::Lsn;
use super::marks::Marks;
use super::metrics::Metrics;
use super::outgoing::{Durable, LogOutgoing};
use super::rows::Rows;
use super::slot::SlotStatus;
use super::trace::Journal;
use crate::broker::BrokerOptions;
use crate::exit::{Failure, note};
use crate::source::delay::since;
use crate::source::watch::{Watch, Words};

/// The account of one running source.
pub(super) struct PostgresWatch {
    pub(super) shared: Arc<Watch>,
    metrics: Metrics,
    marks: Mutex<Marks>,
    journal: Arc<Mutex<Option<Journal>>>,
    /// Everything up to here is durable.
    durable: AtomicU64,
}

impl PostgresWatch {
    /// Opens the trace file, and begins to report and to serve the metrics.
    ///
    /// # Errors
    /// If the file cannot be written or the address cannot be listened on.
    pub(super) async fn start(
        options: &PostgresOptions,
        name: &str,
        state: &Path,
        broker: BrokerOptions,
    ) -> Result<Arc<Self>, Failure> {
        let most_bytes = options.trace_mb << 20;
        let journal = (most_bytes > 0).then(|| Journal::open(state, most_bytes)).transpose();
        let journal = journal.with_context(|| format!("cannot keep a trace beside {}", state.display()))?;
        let journal = Arc::new(Mutex::new(journal));
        let metrics = Metrics::default();
        let name = Some(format!("postgres:{name}"));
        let words = Words { upstream: "database", units: "transactions", name };
        let kept = Arc::clone(&journal);
        let shared = Watch::start(
            &options.shared,
            broker,
            words,
            |to| metrics.register(to),
            move |applied| {
                write(&kept, |journal| journal.applied(applied));
            },
        );
        Ok(Arc::new(Self {
            shared: shared.await?,
            metrics,
            marks: Mutex::default(),
            journal,
            durable: AtomicU64::new(0),
        }))
    }

    /// Counts a committed transaction.
    pub(super) fn transaction(&self, rows: &Rows, targets: usize, wide: usize) {
        self.metrics.transactions.inc();
        self.metrics.rows(rows);
        self.shared.read(rows.total(), targets, wide);
    }

    /// Records versions that have become durable.
    pub(super) fn published(&self, durable: &[Durable], outgoing: &LogOutgoing) {
        // The trace has a version before the answer to whether it is applied.
        if !durable.is_empty() {
            let now = self.shared.now();
            write(&self.journal, |journal| journal.durable(durable, now));
        }
        self.shared.published(durable, outgoing);
    }

    /// Begins at a place in the log up to which everything is durable, and is known to have been at a time.
    pub(super) fn begin_at(&self, durable: Lsn, as_of: Option<i64>) {
        self.durable.store(durable.0, Ordering::Relaxed);
        let mut marks = self.marks();
        marks.clear();
        if let Some(at) = as_of {
            marks.add(durable, at);
        }
    }

    /// Notes up to where everything is durable. Returns a time before which every commit is durable, by the database's
    /// clock, if one is known.
    pub(super) fn confirmed(&self, durable: Lsn) -> Option<i64> {
        self.durable.store(durable.0, Ordering::Relaxed);
        self.marks().as_of(durable)
    }

    /// Takes what PostgreSQL says of the slot to a question that was asked and answered at these times.
    pub(super) fn slot(&self, status: &SlotStatus, asked: i64, answered: i64) {
        self.shared.told(asked, answered, status.clock);
        let mut marks = self.marks();
        let durable = Lsn(self.durable.load(Ordering::Relaxed));
        let end = status.end.parse().unwrap_or_default();
        marks.add(end, status.clock);
        let as_of = marks.as_of(durable);
        let metrics = &self.metrics;
        if durable >= end {
            metrics.lag_seconds.set(0.0);
            self.shared.behind(None);
        } else if let Some(as_of) = as_of {
            metrics.lag_seconds.set(since(as_of, status.clock).as_secs_f64());
            self.shared.behind(Some(as_of));
        }
        metrics.lag_bytes.set(status.lag_bytes.unwrap_or_default());
        metrics.kept_bytes.set(status.kept_bytes.unwrap_or_default());
        metrics.limit_bytes.set(status.limit_bytes);
        metrics.wal_status(status.wal_status.as_deref().unwrap_or_default());
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to the trace file. The source goes on without one that cannot be written.
fn write(journal: &Mutex<Option<Journal>>, line: impl FnOnce(&mut Journal) -> std::io::Result<()>) {
    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = &mut *journal
        && let Err(error) = line(open)
    {
        note!(
            "source: the trace file cannot be written ({error}); `newsreel trace` knows nothing from here on"
        );
        *journal = None;
    }
}
