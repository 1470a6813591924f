//! The account that a running source gives of itself: metrics, a report every so often, and the trace file.
//!
//! Nothing here holds up the source: a publish is asked after only while no other is, and the questions, the reports
//! and the answers to Prometheus are tasks of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use newsreel_core::wire::PublishLine;
use newsreel_mapping::Skips;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};

use super::PostgresOptions;
use super::delay::{Delays, Marks, OtherClock};
use super::lsn::Lsn;
use super::metrics::{self, Asked, Metrics, Side, Wide};
use super::outgoing::{Durable, Outgoing};
use super::rows::Rows;
use super::slot::SlotStatus;
use super::trace::{Applied, Followers, Journal};
use crate::broker::{BrokerClient, BrokerOptions, Wait};
use crate::exit::{Failure, note};

/// The least time between two publishes that are asked after.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long followers have to apply a publish that is asked after.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The account of one running source.
pub(super) struct Watch {
    pub(super) metrics: Arc<Metrics>,
    broker: BrokerClient,
    seen: Mutex<Seen>,
    /// Whether a publish is being asked after.
    asks: AtomicBool,
    /// Everything up to here is durable.
    durable: AtomicU64,
}

/// The parts that change together.
struct Seen {
    delays: Delays,
    clock: OtherClock,
    marks: Marks,
    journal: Option<Journal>,
    asked: Option<Instant>,
}

/// A receipt with the answer to whether its version is applied.
#[derive(Deserialize)]
struct Waited {
    version: u64,
    position: String,
    applied: Vec<String>,
    pending: Vec<String>,
    offline: Vec<String>,
    followers: Followers,
}

impl Watch {
    /// Opens the trace file, and begins to report and to serve the metrics.
    ///
    /// # Errors
    /// If the file cannot be written or the address cannot be listened on.
    pub(super) async fn start(
        options: &PostgresOptions,
        state: &Path,
        broker: BrokerOptions,
    ) -> Result<Arc<Self>, Failure> {
        let most_bytes = options.trace_mb << 20;
        let journal = (most_bytes > 0).then(|| Journal::open(state, most_bytes)).transpose();
        let journal = journal.with_context(|| format!("cannot keep a trace beside {}", state.display()))?;
        let watch = Arc::new(Self {
            metrics: Arc::new(Metrics::new()),
            broker: BrokerClient::new(broker)?,
            seen: Mutex::new(Seen {
                delays: Delays::new(),
                clock: OtherClock::default(),
                marks: Marks::default(),
                journal,
                asked: None,
            }),
            asks: AtomicBool::new(false),
            durable: AtomicU64::new(0),
        });
        if let Some(address) = options.metrics {
            serve(address, Arc::clone(&watch.metrics)).await?;
        }
        if options.report_every_s > 0 {
            tokio::spawn(Arc::clone(&watch).report(Duration::from_secs(options.report_every_s)));
        }
        Ok(watch)
    }

    /// Returns the time in Unix milliseconds, by the database's clock as far as that is known.
    pub(super) fn now(&self) -> i64 {
        self.seen().clock.at(now_millis())
    }

    /// Counts a committed transaction.
    pub(super) fn transaction(&self, rows: &Rows, targets: usize, wide: usize) {
        self.metrics.transactions.inc();
        self.metrics.rows(rows);
        self.metrics.targets.inc_by(targets as u64);
        if wide > 0 {
            self.metrics.wide(Wide::Large, wide);
        }
        self.seen().delays.transaction(rows.total());
    }

    /// Counts templates that gave nothing.
    pub(super) fn skipped(&self, skips: &Skips) {
        self.metrics.skipped(skips);
    }

    /// Records versions that have become durable, and asks after the last of them if it is time to.
    pub(super) fn published(self: &Arc<Self>, durable: &[Durable], outgoing: &Outgoing) {
        self.connected(Side::Broker, outgoing.is_open());
        self.metrics.waiting.set(i64::try_from(outgoing.waiting()).unwrap_or(i64::MAX));
        let Some(last) = durable.last() else { return };
        let mut seen = self.seen();
        let now = seen.clock.at(now_millis());
        for Durable { of, .. } in durable {
            let after = since(of.committed_at, now);
            self.metrics.publishes.inc();
            self.metrics.durable.observe(after.as_secs_f64());
            seen.delays.durable(after);
        }
        seen.journal(|journal| journal.durable(durable, now));
        let is_time = seen.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if is_time && !self.asks.swap(true, Ordering::Relaxed) {
            seen.asked = Some(Instant::now());
            let (text, committed_at) = (last.text.clone(), last.of.committed_at);
            tokio::spawn(Arc::clone(self).ask(text, committed_at));
        }
    }

    /// Asks whether a publish is applied: the same publish under the same key has no second effect.
    async fn ask(self: Arc<Self>, text: String, committed_at: i64) {
        let outcome = self.asked_after(&text, committed_at).await;
        self.metrics.asked(outcome);
        self.asks.store(false, Ordering::Relaxed);
    }

    async fn asked_after(&self, text: &str, committed_at: i64) -> Asked {
        let Ok(PublishLine { publish, idempotency_key: Some(key) }) = PublishLine::parse(text.as_bytes())
        else {
            return Asked::Failed;
        };
        let body = format!(r#"{{"changes":{}}}"#, publish.written().changes);
        let Ok(answer) = self.broker.publish(&key, body, Wait::Applied(ASK_TIMEOUT)).await else {
            return Asked::Failed;
        };
        let Ok(Waited { version, position, applied, pending, offline, followers }) =
            serde_json::from_str::<Waited>(&answer)
        else {
            return Asked::Failed;
        };
        let mut seen = self.seen();
        let now = seen.clock.at(now_millis());
        let answer = Applied {
            applied_version: version,
            position,
            applied_at: now,
            applied,
            pending,
            offline,
            followers,
        };
        seen.journal(|journal| journal.applied(&answer));
        match followers {
            Followers { pending: 1.., .. } => Asked::Pending,
            Followers { acked: 0, pending: 0 } => Asked::Nobody,
            Followers { .. } => {
                let after = since(committed_at, now);
                self.metrics.applied.observe(after.as_secs_f64());
                seen.delays.applied(after);
                Asked::Applied
            }
        }
    }

    /// Begins at a place in the log up to which everything is durable, and is known to have been at a time.
    pub(super) fn begin_at(&self, durable: Lsn, as_of: Option<i64>) {
        self.durable.store(durable.0, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.marks.clear();
        if let Some(at) = as_of {
            seen.marks.add(durable, at);
        }
    }

    /// Notes up to where everything is durable. Returns a time before which every commit is durable, by the database's
    /// clock, if one is known.
    pub(super) fn confirmed(&self, durable: Lsn) -> Option<i64> {
        self.durable.store(durable.0, Ordering::Relaxed);
        self.seen().marks.as_of(durable)
    }

    /// Takes what PostgreSQL says of the slot to a question that was asked and answered at these times.
    pub(super) fn slot(&self, status: &SlotStatus, asked: i64, answered: i64) {
        let mut seen = self.seen();
        seen.clock.told(asked, answered, status.clock);
        let durable = Lsn(self.durable.load(Ordering::Relaxed));
        let end = status.end.parse().unwrap_or_default();
        seen.marks.add(end, status.clock);
        let as_of = seen.marks.as_of(durable);
        let metrics = &self.metrics;
        if durable >= end {
            metrics.lag_seconds.set(0.0);
        } else if let Some(as_of) = as_of {
            metrics.lag_seconds.set(since(as_of, status.clock).as_secs_f64());
        }
        metrics.lag_bytes.set(status.lag_bytes.unwrap_or_default());
        metrics.kept_bytes.set(status.kept_bytes.unwrap_or_default());
        metrics.limit_bytes.set(status.limit_bytes);
        metrics.wal_status(status.wal_status.as_deref().unwrap_or_default());
    }

    /// Says that a connection is there, or was lost.
    pub(super) fn connected(&self, side: Side, connected: bool) {
        if !connected && self.metrics.is_connected(side) {
            self.metrics.lost(side);
        }
        self.metrics.connected(side, connected);
    }

    async fn report(self: Arc<Self>, every: Duration) {
        let mut ticks = interval(every);
        let mut last = Instant::now();
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let report = self.seen().delays.take_report(last.elapsed());
            last = Instant::now();
            if let Some(report) = report {
                note!("source: {report}");
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Writes to the trace file. The source goes on without one that cannot be written.
    fn journal(&mut self, write: impl FnOnce(&mut Journal) -> std::io::Result<()>) {
        if let Some(journal) = &mut self.journal
            && let Err(error) = write(journal)
        {
            note!(
                "source: the trace file cannot be written ({error}); `newsreel trace` knows nothing from here on"
            );
            self.journal = None;
        }
    }
}

async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} for --metrics"))?;
    let address = listener.local_addr().context("the socket has an address")?;
    note!("source: metrics at http://{address}/metrics");
    tokio::spawn(async move { axum::serve(listener, metrics::router(metrics)).await });
    Ok(())
}

fn since(committed_at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - committed_at).unwrap_or_default())
}

/// Returns the time here, in Unix milliseconds.
pub(super) fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
