//! The metrics of a checker.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::judge::Because;
use super::tally::{Ending, When};
use crate::metrics_server::Served;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReadLabels {
    class: String,
    edge: String,
    after: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BecauseLabel {
    because: &'static str,
}

/// Counters and gauges, all named `newsreel_verify_…`.
pub(super) struct VerifyMetrics {
    registry: Registry,
    reads: Family<ReadLabels, Counter>,
    wrong: Family<BecauseLabel, Counter>,
    /// Keys that changed.
    pub(super) heard: Counter,
    /// Keys that changed and are checked.
    pub(super) checked: Counter,
    /// Keys that were published again.
    pub(super) repairs: Counter,
    /// Whether the log is followed.
    pub(super) live: Gauge,
    /// Differences that are not decided.
    pub(super) open: Gauge,
}

impl VerifyMetrics {
    /// Returns metrics that count from nothing.
    pub(super) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("newsreel_verify"),
            reads: Family::default(),
            wrong: Family::default(),
            heard: Counter::default(),
            checked: Counter::default(),
            repairs: Counter::default(),
            live: Gauge::default(),
            open: Gauge::default(),
        };
        let to = &mut metrics.registry;
        to.register("reads", "Reads of edges, by how they ended", metrics.reads.clone());
        to.register("wrong", "Wrong answers, by reason", metrics.wrong.clone());
        to.register("changed_keys", "Keys that changed", metrics.heard.clone());
        to.register("checked_keys", "Keys that changed and are checked", metrics.checked.clone());
        to.register("repairs", "Keys that were published again", metrics.repairs.clone());
        to.register("live", "Whether the log is followed", metrics.live.clone());
        to.register("open_differences", "Differences that are not decided", metrics.open.clone());
        metrics
    }

    /// Counts a read.
    pub(super) fn read(&self, class: &str, edge: &str, when: When, ending: Ending) {
        let after = when.name();
        let labels =
            ReadLabels { class: class.to_owned(), edge: edge.to_owned(), after, outcome: ending.name() };
        self.reads.get_or_create(&labels).inc();
    }

    /// Counts a wrong answer.
    pub(super) fn wrong(&self, because: Because) {
        self.wrong.get_or_create(&BecauseLabel { because: because.code() }).inc();
    }
}

impl Served for VerifyMetrics {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn health(&self) -> Value {
        json!({ "status": "ok", "broker": self.live.get() == 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_text_has_every_metric() {
        let metrics = VerifyMetrics::new();
        metrics.read("title", "fra", When::After(Duration::from_secs(1)), Ending::WithinBound);
        metrics.wrong(Because::Unpublished);
        metrics.heard.inc();
        let text = metrics.text();
        for line in [
            r#"newsreel_verify_reads_total{class="title",edge="fra",after="1 s",outcome="within_bound"} 1"#,
            r#"newsreel_verify_wrong_total{because="unpublished"} 1"#,
            "newsreel_verify_changed_keys_total 1",
            "newsreel_verify_live 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
