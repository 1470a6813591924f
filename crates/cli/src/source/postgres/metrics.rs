//! What a source counts of a PostgreSQL: transactions, rows and the slot.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::rows::Rows;

/// The values that PostgreSQL gives the `wal_status` of a slot.
pub(super) const WAL_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RowLabels {
    table: String,
    change: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Counters and gauges beside those of [every source](crate::source::metrics).
#[derive(Default)]
pub(super) struct Metrics {
    pub(super) transactions: Counter,
    rows: Family<RowLabels, Counter>,
    pub(super) lag_bytes: Gauge,
    pub(super) lag_seconds: Seconds,
    pub(super) kept_bytes: Gauge,
    pub(super) limit_bytes: Gauge,
    wal_status: Family<StatusLabel, Gauge>,
}

impl Metrics {
    /// Adds all to what is served.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("transactions", "Committed transactions that the log told of", self.transactions.clone());
        to.register("rows", "Changed rows of mapped tables, of committed transactions", self.rows.clone());
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

    /// Notes what PostgreSQL says of the slot.
    pub(super) fn wal_status(&self, now: &str) {
        for status in WAL_STATUSES {
            self.wal_status.get_or_create(&StatusLabel { status }).set(i64::from(status == now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::RowKind;
    use super::*;
    use crate::metrics_server::Served as _;
    use crate::source::metrics;

    #[test]
    fn the_text_has_what_postgresql_tells_with_its_unit() {
        let metrics = Metrics::default();
        let shared = metrics::Metrics::new("database", |to| metrics.register(to));
        let mut rows = Rows::default();
        rows.count("public.t", RowKind::Update);
        metrics.rows(&rows);
        metrics.wal_status("unreserved");
        metrics.lag_seconds.set(1.5);
        let text = shared.text();
        for line in [
            r#"newsreel_source_rows_total{table="public.t",change="update"} 1"#,
            r#"newsreel_source_slot_wal_status{status="unreserved"} 1"#,
            "newsreel_source_slot_lag_seconds 1.5",
            "newsreel_source_slot_lag_bytes 0",
            "newsreel_source_slot_kept_bytes 0",
            "newsreel_source_slot_limit_bytes 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
