//! The metrics of dumps, beside those that every source has.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::source::snapshot::Comparison;

/// The end of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The dump is the state.
    Accepted,
    /// The dump would remove too many rows.
    Refused,
    /// The dump cannot be read to its end.
    Malformed,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RowsLabels {
    from: String,
    change: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FromLabel {
    from: String,
}

/// Counters and gauges of dumps.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    dumps: Family<OutcomeLabel, Counter>,
    rows: Family<RowsLabels, Counter>,
    dump_rows: Family<FromLabel, Gauge>,
    accepted_at: Gauge,
}

impl Metrics {
    /// Adds the metrics to those of every source.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("dumps", "Dumps that were read, by outcome", self.dumps.clone());
        to.register("rows", "Rows that differ from the dump before, by change", self.rows.clone());
        to.register("dump_rows", "Rows of the dump that was accepted last", self.dump_rows.clone());
        let help = "When a dump was accepted last, in Unix seconds";
        to.register("accepted_at_seconds", help, self.accepted_at.clone());
    }

    /// Counts a dump.
    pub(super) fn dump(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Refused => "refused",
            Outcome::Malformed => "malformed",
        };
        self.dumps.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts what differs in a dump that was accepted.
    pub(super) fn accepted(&self, comparison: &Comparison, at: i64) {
        self.dump(Outcome::Accepted);
        self.accepted_at.set(at / 1_000);
        for (from, counts) in &comparison.counts {
            let of = [("added", counts.added), ("changed", counts.changed), ("gone", counts.gone)];
            for (change, count) in of {
                self.rows.get_or_create(&RowsLabels { from: from.clone(), change }).inc_by(count);
            }
            let rows = i64::try_from(counts.rows).unwrap_or(i64::MAX);
            self.dump_rows.get_or_create(&FromLabel { from: from.clone() }).set(rows);
        }
    }
}
