//! The metrics of every source.

use std::sync::atomic::Ordering;
use std::time::Duration;

use newsreel_mapping::Skips;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde_json::{Value, json};

use crate::metrics_server::Served;

/// The bounds of the delays' buckets, in seconds.
const DELAY_BOUNDS: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// One side of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// What the source reads.
    Upstream,
    /// What the source publishes to.
    Broker,
}

/// Why a wide change was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wide {
    /// Something may have been missed.
    Gap,
    /// One change has more targets of a class than `wide_above`.
    Large,
    /// The rows have another form than before.
    Form,
}

/// The end of a question whether a publish is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
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

/// Counters, gauges and histograms, all named `newsreel_source_…`.
pub(crate) struct Metrics {
    registry: Registry,
    upstream: &'static str,
    /// Targets that were published.
    pub(crate) targets: Counter,
    /// Publishes that are durable at the broker.
    pub(crate) publishes: Counter,
    wide: Family<ReasonLabel, Counter>,
    skipped: Family<SkipLabels, Counter>,
    reconnects: Family<SideLabel, Counter>,
    connected: Family<SideLabel, Gauge>,
    durable: Histogram,
    applied: Histogram,
    asked: Family<OutcomeLabel, Counter>,
    /// Publishes that the broker has not answered.
    pub(crate) waiting: Gauge,
}

impl Metrics {
    /// Returns metrics that count from nothing. `upstream` is the label of the side that the source reads, and
    /// `register` adds what that source counts besides.
    pub(crate) fn new(upstream: &'static str, register: impl FnOnce(&mut Registry)) -> Self {
        let delays = || Histogram::new(DELAY_BOUNDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("newsreel_source"),
            upstream,
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
        };
        register(&mut metrics.registry);
        metrics.register_counts();
        metrics.register_delays();
        for side in [Side::Upstream, Side::Broker] {
            metrics.connected(side, false);
            // A counter that is there counts from 0.
            drop(metrics.reconnects.get_or_create(&metrics.label(side)));
        }
        metrics
    }

    fn register_counts(&mut self) {
        let to = &mut self.registry;
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
        let help = "From the change until the broker's answer arrived";
        to.register_with_unit("durable_delay", help, seconds(), self.durable.clone());
        let help = "From the change until every follower had applied it, of about one publish a second";
        to.register_with_unit("applied_delay", help, seconds(), self.applied.clone());
        let help = "Questions whether a publish is applied, by outcome";
        to.register("applied_questions", help, self.asked.clone());
    }

    /// Counts wide changes.
    pub(crate) fn wide(&self, why: Wide, count: usize) {
        let reason = match why {
            Wide::Gap => "gap",
            Wide::Large => "large",
            Wide::Form => "form",
        };
        self.wide.get_or_create(&ReasonLabel { reason }).inc_by(count as u64);
    }

    /// Takes over how often each template gave nothing.
    pub(crate) fn skipped(&self, skips: &Skips) {
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
    pub(crate) fn connected(&self, side: Side, connected: bool) {
        self.connected.get_or_create(&self.label(side)).set(i64::from(connected));
    }

    /// Says whether a side is connected.
    pub(crate) fn is_connected(&self, side: Side) -> bool {
        self.connected.get_or_create(&self.label(side)).get() == 1
    }

    /// Counts a connection that was lost.
    pub(crate) fn lost(&self, side: Side) {
        self.reconnects.get_or_create(&self.label(side)).inc();
        self.connected(side, false);
    }

    /// Counts a question whether a publish is applied.
    pub(crate) fn asked(&self, outcome: Asked) {
        let outcome = match outcome {
            Asked::Applied => "applied",
            Asked::Pending => "pending",
            Asked::Nobody => "nobody",
            Asked::Failed => "failed",
        };
        self.asked.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Records that a publish was durable so long after its change.
    pub(crate) fn durable_after(&self, delay: Duration) {
        self.publishes.inc();
        self.durable.observe(delay.as_secs_f64());
    }

    /// Records that a publish was applied everywhere so long after its change.
    pub(crate) fn applied_after(&self, delay: Duration) {
        self.applied.observe(delay.as_secs_f64());
    }

    fn label(&self, side: Side) -> SideLabel {
        let side = match side {
            Side::Upstream => self.upstream,
            Side::Broker => "broker",
        };
        SideLabel { side }
    }
}

impl Served for Metrics {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn health(&self) -> Value {
        let side = |side| self.is_connected(side);
        json!({ "status": "ok", self.upstream: side(Side::Upstream), "broker": side(Side::Broker) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_metric_with_its_unit() {
        let metrics = Metrics::new("database", |_| ());
        metrics.wide(Wide::Gap, 2);
        metrics.asked(Asked::Applied);
        metrics.lost(Side::Broker);
        metrics.durable_after(Duration::from_millis(4));
        let text = metrics.text();
        for line in [
            r#"newsreel_source_wide_changes_total{reason="gap"} 2"#,
            r#"newsreel_source_applied_questions_total{outcome="applied"} 1"#,
            r#"newsreel_source_reconnects_total{side="broker"} 1"#,
            r#"newsreel_source_reconnects_total{side="database"} 0"#,
            r#"newsreel_source_connected{side="database"} 0"#,
            r#"newsreel_source_durable_delay_seconds_bucket{le="0.005"} 1"#,
            "newsreel_source_publishes_total 1",
            "newsreel_source_waiting_publishes 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
