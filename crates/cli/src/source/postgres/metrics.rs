//! The metrics of a source, and the address that Prometheus reads them at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use newsreel_mapping::Skips;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::rows::Rows;

/// The bounds of the delays' buckets, in seconds.
const DELAY_BOUNDS: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// The content type of the OpenMetrics text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The values that PostgreSQL gives the `wal_status` of a slot.
pub(super) const WAL_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// One side of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Database,
    Broker,
}

/// Why a wide change was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// The log cannot be followed without a gap.
    Gap,
    /// A transaction has more targets of a class than `wide_above`.
    Large,
    /// A table has other columns than before.
    Form,
}

/// The end of a question whether a publish is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Every follower has applied the publish.
    Applied,
    /// Followers had not when the time was up.
    Pending,
    /// No follower is connected.
    Nobody,
    /// The broker did not answer.
    Failed,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RowLabels {
    table: String,
    change: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SkipLabels {
    table: String,
    template: String,
    reason: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SideLabel {
    side: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Counters, gauges and histograms, all named `newsreel_source_…`.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) transactions: Counter,
    rows: Family<RowLabels, Counter>,
    pub(super) targets: Counter,
    pub(super) publishes: Counter,
    wide: Family<ReasonLabel, Counter>,
    skipped: Family<SkipLabels, Counter>,
    reconnects: Family<SideLabel, Counter>,
    connected: Family<SideLabel, Gauge>,
    pub(super) durable: Histogram,
    pub(super) applied: Histogram,
    asked: Family<OutcomeLabel, Counter>,
    pub(super) waiting: Gauge,
    pub(super) lag_bytes: Gauge,
    pub(super) lag_seconds: Seconds,
    pub(super) kept_bytes: Gauge,
    pub(super) limit_bytes: Gauge,
    wal_status: Family<StatusLabel, Gauge>,
}

impl Metrics {
    /// Returns metrics that count from nothing.
    pub(super) fn new() -> Self {
        let delays = || Histogram::new(DELAY_BOUNDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("newsreel_source"),
            transactions: Counter::default(),
            rows: Family::default(),
            targets: Counter::default(),
            publishes: Counter::default(),
            wide: Family::default(),
            skipped: Family::default(),
            reconnects: Family::default(),
            connected: Family::default(),
            durable: delays(),
            applied: delays(),
            asked: Family::default(),
            waiting: Gauge::default(),
            lag_bytes: Gauge::default(),
            lag_seconds: Seconds::default(),
            kept_bytes: Gauge::default(),
            limit_bytes: Gauge::default(),
            wal_status: Family::default(),
        };
        metrics.register_counts();
        metrics.register_delays();
        metrics.register_slot();
        for side in [Side::Database, Side::Broker] {
            metrics.connected(side, false);
            // A counter that is there counts from 0.
            drop(metrics.reconnects.get_or_create(&side.label()));
        }
        metrics
    }

    fn register_counts(&mut self) {
        let to = &mut self.registry;
        to.register("transactions", "Committed transactions that the log told of", self.transactions.clone());
        to.register("rows", "Changed rows of mapped tables, of committed transactions", self.rows.clone());
        to.register("targets", "Targets that were published", self.targets.clone());
        to.register("publishes", "Publishes that are durable at the broker", self.publishes.clone());
        to.register("wide_changes", "Wide changes that were published, by reason", self.wide.clone());
        to.register("skipped", "Templates that gave nothing for a row, by reason", self.skipped.clone());
        to.register("reconnects", "Connections that were lost, by side", self.reconnects.clone());
        to.register("connected", "Whether a side is connected", self.connected.clone());
        to.register("waiting_publishes", "Publishes that the broker has not answered", self.waiting.clone());
    }

    fn register_delays(&mut self) {
        let (to, seconds) = (&mut self.registry, || Unit::Seconds);
        let help = "From the commit until the broker's answer arrived";
        to.register_with_unit("durable_delay", help, seconds(), self.durable.clone());
        let help = "From the commit until every follower had applied it, of about one publish a second";
        to.register_with_unit("applied_delay", help, seconds(), self.applied.clone());
        let help = "Questions whether a publish is applied, by outcome";
        to.register("applied_questions", help, self.asked.clone());
    }

    fn register_slot(&mut self) {
        let to = &mut self.registry;
        let help = "Log that is not confirmed";
        to.register_with_unit("slot_lag", help, Unit::Bytes, self.lag_bytes.clone());
        let help = "Everything that was committed so long ago is durable at the broker";
        to.register_with_unit("slot_lag", help, Unit::Seconds, self.lag_seconds.clone());
        let help = "Log that PostgreSQL keeps for the slot";
        to.register_with_unit("slot_kept", help, Unit::Bytes, self.kept_bytes.clone());
        let help = "max_slot_wal_keep_size, above which PostgreSQL drops the slot's log; -1 is no limit";
        to.register_with_unit("slot_limit", help, Unit::Bytes, self.limit_bytes.clone());
        to.register("slot_wal_status", "1 for the wal_status of the slot", self.wal_status.clone());
    }

    /// Counts the rows of a committed transaction.
    pub(super) fn rows(&self, rows: &Rows) {
        for (table, counts) in &rows.tables {
            for (change, count) in counts.each().filter(|(_, count)| *count > 0) {
                let labels = RowLabels { table: table.clone(), change };
                self.rows.get_or_create(&labels).inc_by(count);
            }
        }
    }

    /// Counts wide changes.
    pub(super) fn wide(&self, why: Wide, count: usize) {
        let reason = match why {
            Wide::Gap => "gap",
            Wide::Large => "large",
            Wide::Form => "form",
        };
        self.wide.get_or_create(&ReasonLabel { reason }).inc_by(count as u64);
    }

    /// Takes over how often each template gave nothing.
    pub(super) fn skipped(&self, skips: &Skips) {
        for (skip, count) in skips.counts() {
            let labels = SkipLabels {
                table: skip.from.clone(),
                template: skip.template.clone(),
                reason: skip.why.clone(),
            };
            self.skipped.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
        }
    }

    /// Notes whether a side is connected.
    pub(super) fn connected(&self, side: Side, connected: bool) {
        self.connected.get_or_create(&side.label()).set(i64::from(connected));
    }

    /// Says whether a side is connected.
    pub(super) fn is_connected(&self, side: Side) -> bool {
        self.connected.get_or_create(&side.label()).get() == 1
    }

    /// Counts a connection that was lost.
    pub(super) fn lost(&self, side: Side) {
        self.reconnects.get_or_create(&side.label()).inc();
        self.connected(side, false);
    }

    /// Counts a question whether a publish is applied.
    pub(super) fn asked(&self, outcome: Asked) {
        let outcome = match outcome {
            Asked::Applied => "applied",
            Asked::Pending => "pending",
            Asked::Nobody => "nobody",
            Asked::Failed => "failed",
        };
        self.asked.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Notes what PostgreSQL says of the slot.
    pub(super) fn wal_status(&self, now: &str) {
        for status in WAL_STATUSES {
            self.wal_status.get_or_create(&StatusLabel { status }).set(i64::from(status == now));
        }
    }

    /// Returns everything as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

impl Side {
    fn label(self) -> SideLabel {
        let side = match self {
            Self::Database => "database",
            Self::Broker => "broker",
        };
        SideLabel { side }
    }
}

/// Reads an address to listen on: `9400` is a port of this machine alone.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    port.map_or_else(
        |_| text.parse().map_err(|_| "write a port, or ADDRESS:PORT".to_owned()),
        |port| Ok(SocketAddr::from(([127, 0, 0, 1], port))),
    )
}

/// Returns what is served: `/metrics`, and `/healthz` for a process that is alive.
pub(super) fn router(metrics: Arc<Metrics>) -> Router {
    let alive = Arc::clone(&metrics);
    let healthz = move || {
        let side = |side| alive.is_connected(side);
        let (database, broker) = (side(Side::Database), side(Side::Broker));
        let body = serde_json::json!({ "status": "ok", "database": database, "broker": broker });
        std::future::ready(axum::Json(body))
    };
    let metrics = move || {
        let answer: Response = ([(CONTENT_TYPE, MEDIA_TYPE)], metrics.text()).into_response();
        std::future::ready(answer)
    };
    let missing = || std::future::ready((StatusCode::NOT_FOUND, "GET /metrics or /healthz\n"));
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).fallback(missing)
}

#[cfg(test)]
mod tests {
    use super::super::rows::RowKind;
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine() {
        assert_eq!(address("9400"), Ok(SocketAddr::from(([127, 0, 0, 1], 9400))));
        assert_eq!(address(":0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_eq!(address("0.0.0.0:1"), Ok(SocketAddr::from(([0, 0, 0, 0], 1))));
        assert!(address("here").is_err());
    }

    #[test]
    fn the_text_has_every_metric_with_its_unit() {
        let metrics = Metrics::new();
        let mut rows = Rows::default();
        rows.count("public.t", RowKind::Update);
        metrics.rows(&rows);
        metrics.wide(Wide::Gap, 2);
        metrics.asked(Asked::Applied);
        metrics.lost(Side::Broker);
        metrics.wal_status("unreserved");
        metrics.durable.observe(0.004);
        metrics.lag_seconds.set(1.5);
        let text = metrics.text();
        for line in [
            r#"newsreel_source_rows_total{table="public.t",change="update"} 1"#,
            r#"newsreel_source_wide_changes_total{reason="gap"} 2"#,
            r#"newsreel_source_applied_questions_total{outcome="applied"} 1"#,
            r#"newsreel_source_reconnects_total{side="broker"} 1"#,
            r#"newsreel_source_reconnects_total{side="database"} 0"#,
            r#"newsreel_source_connected{side="database"} 0"#,
            r#"newsreel_source_slot_wal_status{status="unreserved"} 1"#,
            r#"newsreel_source_durable_delay_seconds_bucket{le="0.005"} 1"#,
            "newsreel_source_slot_lag_seconds 1.5",
            "newsreel_source_slot_lag_bytes 0",
            "newsreel_source_slot_kept_bytes 0",
            "newsreel_source_slot_limit_bytes 0",
            "newsreel_source_waiting_publishes 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
