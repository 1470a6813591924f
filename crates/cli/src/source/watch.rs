//! The account that a running source gives of itself: metrics, and a report every so often.
//!
//! Nothing here holds up the source: a publish is asked after only while no other is, and the questions, the reports
//! the answers to Prometheus and what the deployment is told for its alerts are tasks of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use newsreel_core::alerts::SourceReport;
use newsreel_core::wire::PublishLine;
use newsreel_mapping::Skips;
use prometheus_client::registry::Registry;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::delay::{Delays, OtherClock, since};
use super::lateness::{Late, Lateness};
use super::metrics::{Asked, Metrics, Side, Wide};
use super::options::SourceOptions;
use super::outgoing::{Durable, Origin, Outgoing};
use crate::broker::{BrokerClient, BrokerOptions, Wait};
use crate::exit::{Failure, note};
use crate::http::CallError;
use crate::metrics_server;

/// The least time between two publishes that are asked after.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long followers have to apply a publish that is asked after.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The account of one running source.
pub(crate) struct Watch {
    pub(crate) metrics: Arc<Metrics>,
    broker: BrokerClient,
    seen: Mutex<Seen>,
    /// Whether a publish is being asked after.
    asks: AtomicBool,
    /// Where the answers go to whether a version is applied.
    on_applied: Box<dyn Fn(&Applied) + Send + Sync>,
}

/// The words of a source for its own.
pub(crate) struct Words {
    /// The label of the side that the source reads, such as `database`.
    pub(crate) upstream: &'static str,
    /// The plural of what that side has its changes in, such as `transactions`.
    pub(crate) units: &'static str,
    /// The name of the source among the others of its catalog, the same after each start; `None` for a run that ends by itself:
    /// such a run tells the deployment nothing.
    pub(crate) name: Option<String>,
}

/// The parts that change together.
struct Seen {
    delays: Delays,
    lateness: Lateness,
    clock: OtherClock,
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

/// An answer to whether a version is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The version that was asked for.
    pub(crate) applied_version: u64,
    /// Its position.
    pub(crate) position: String,
    /// When the answer arrived.
    pub(crate) applied_at: i64,
    /// The replicas that had applied it.
    pub(crate) applied: Vec<String>,
    /// The replicas that had not.
    pub(crate) pending: Vec<String>,
    /// The replicas that were not connected.
    pub(crate) offline: Vec<String>,
    /// How many followers had applied it, and how many had not.
    pub(crate) followers: Followers,
}

/// Followers that were asked whether they have applied a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Followers {
    /// How many had.
    pub(crate) acked: u64,
    /// How many had not.
    pub(crate) pending: u64,
}

impl Watch {
    /// Begins to report and to serve the metrics. `register` adds what the source counts besides, and `on_applied`
    /// takes the answers to whether a version is applied.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(crate) async fn start(
        options: &SourceOptions,
        broker: BrokerOptions,
        words: Words,
        register: impl FnOnce(&mut Registry),
        on_applied: impl Fn(&Applied) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Failure> {
        let watch = Arc::new(Self {
            metrics: Arc::new(Metrics::new(words.upstream, register)),
            broker: BrokerClient::new(broker)?,
            seen: Mutex::new(Seen {
                delays: Delays::new(words.units),
                lateness: Lateness::new(),
                clock: OtherClock::default(),
                asked: None,
            }),
            asks: AtomicBool::new(false),
            on_applied: Box::new(on_applied),
        });
        if let Some(address) = options.metrics {
            metrics_server::serve(address, "source", Arc::clone(&watch.metrics)).await?;
        }
        if options.report_every_s > 0 {
            tokio::spawn(Arc::clone(&watch).report(Duration::from_secs(options.report_every_s)));
        }
        let name = words.name.map(|own| options.source_name.clone().unwrap_or(own));
        if let Some(name) = name.filter(|_| options.tell_every_s > 0) {
            tokio::spawn(Arc::clone(&watch).tell(name, Duration::from_secs(options.tell_every_s)));
        }
        Ok(watch)
    }

    /// Returns the time in Unix milliseconds, by the other side's clock as far as that is known.
    pub(crate) fn now(&self) -> i64 {
        self.seen().clock.at(now_millis())
    }

    /// Takes what the other side's clock said to a question that was asked and answered at these times.
    pub(crate) fn told(&self, asked: i64, answered: i64, other: i64) {
        self.seen().clock.told(asked, answered, other);
    }

    /// Counts a unit of changes (a transaction, a message): its rows, its targets, and how many of them are wide.
    pub(crate) fn read(&self, rows: u64, targets: usize, wide: usize) {
        self.metrics.targets.inc_by(targets as u64);
        if wide > 0 {
            self.metrics.wide(Wide::Large, wide);
        }
        self.seen().delays.read(rows);
    }

    /// Counts templates that gave nothing.
    pub(crate) fn skipped(&self, skips: &Skips) {
        self.metrics.skipped(skips);
    }

    /// Records versions that have become durable, and asks after the last of them if it is time to.
    pub(crate) fn published<O: Origin>(self: &Arc<Self>, durable: &[Durable<O>], outgoing: &Outgoing<O>) {
        self.connected(Side::Broker, outgoing.is_open());
        self.metrics.waiting.set(i64::try_from(outgoing.waiting()).unwrap_or(i64::MAX));
        let mut seen = self.seen();
        seen.lateness.waits(outgoing.oldest().map(Origin::at));
        let Some(last) = durable.last() else { return };
        let now = seen.clock.at(now_millis());
        for Durable { of, .. } in durable {
            let after = since(of.at(), now);
            self.metrics.durable_after(after);
            seen.delays.durable(after);
            seen.lateness.durable(after);
        }
        let is_time = seen.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if is_time && !self.asks.swap(true, Ordering::Relaxed) {
            seen.asked = Some(Instant::now());
            tokio::spawn(Arc::clone(self).ask(last.text.clone(), last.of.at()));
        }
    }

    /// Asks whether a publish is applied: the same publish under the same key has no second effect.
    async fn ask(self: Arc<Self>, text: String, at: i64) {
        let outcome = self.asked_after(&text, at).await;
        self.metrics.asked(outcome);
        self.asks.store(false, Ordering::Relaxed);
    }

    async fn asked_after(&self, text: &str, at: i64) -> Asked {
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
        let now = self.now();
        let applied = Applied {
            applied_version: version,
            position,
            applied_at: now,
            applied,
            pending,
            offline,
            followers,
        };
        (self.on_applied)(&applied);
        match followers {
            Followers { pending: 1.., .. } => Asked::Pending,
            Followers { acked: 0, pending: 0 } => Asked::Nobody,
            Followers { .. } => {
                let after = since(at, now);
                self.metrics.applied_after(after);
                self.seen().delays.applied(after);
                Asked::Applied
            }
        }
    }

    /// Says that a connection is there, or was lost: without it the source is late.
    pub(crate) fn connected(&self, side: Side, connected: bool) {
        let part = match side {
            Side::Upstream => "",
            Side::Broker => "the broker",
        };
        self.answers(part, connected);
        self.shows(side, connected);
    }

    /// Says whether a part of the other side answers: without it the source is late.
    pub(crate) fn answers(&self, part: &str, answers: bool) {
        self.seen().lateness.answers(part, answers);
    }

    /// Says up to when every change is durable, where the other side has changes that are not.
    pub(crate) fn behind(&self, durable_up_to: Option<i64>) {
        self.seen().lateness.behind(durable_up_to);
    }

    /// Says in the metrics that a connection is there, or was lost.
    pub(crate) fn shows(&self, side: Side, connected: bool) {
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

    /// Tells the deployment how late this source is, for its alerts, until a deployment has none.
    async fn tell(self: Arc<Self>, source: String, every: Duration) {
        let again_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_refusal = String::new();
        loop {
            ticks.tick().await;
            let now = self.now();
            let Late { by, publishes } = self.seen().lateness.take(now);
            let late_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            let report = SourceReport { source: source.clone(), late_ms, publishes, again_ms };
            match self.broker.tell_source(&report).await {
                Ok(_) => last_refusal.clear(),
                // The connection of the publishes says so already. The board hears of the source when it can be reached again.
                Err(CallError::Passing { .. }) => {}
                // A deployment without a board of alerts has nobody to tell, and one of an older build has no such address.
                Err(CallError::Refused { status: StatusCode::NOT_FOUND, .. }) => return,
                Err(CallError::Redirected { .. } | CallError::WrongServer(_)) => return,
                Err(CallError::Refused { code, detail, .. }) => {
                    if last_refusal != code {
                        note!("source: the alerts are not told how late this source is: {code}: {detail}");
                        last_refusal = code;
                    }
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the time here, in Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
