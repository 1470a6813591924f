//! What a source of Redis counts besides what every source does.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StreamLabel {
    stream: String,
}

/// Counters and gauges of a source of Redis.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    dead: Family<ReasonLabel, Counter>,
    messages: Counter,
    left_out: Counter,
    claimed: Family<StreamLabel, Counter>,
    lag: Family<StreamLabel, Gauge>,
    pending: Family<StreamLabel, Gauge>,
    reads: Family<StreamLabel, Gauge>,
}

impl Metrics {
    /// Adds everything to a registry.
    pub(super) fn register(&self, to: &mut Registry) {
        let help = "Messages that could not be mapped, by the kind of the reason";
        to.register("dead_letters", help, self.dead.clone());
        to.register("messages", "Messages that were read", self.messages.clone());
        let help = "Rows of messages that the `when` of their rules left out";
        to.register("left_out_rows", help, self.left_out.clone());
        let help = "Entries that another consumer was given and did not acknowledge";
        to.register("claimed_entries", help, self.claimed.clone());
        to.register("stream_lag_entries", "Entries that the group has not read", self.lag.clone());
        to.register("stream_pending_entries", "Entries that are not acknowledged", self.pending.clone());
        to.register("stream_reads", "Whether this process reads the stream", self.reads.clone());
    }

    pub(super) fn dead(&self, reason: &'static str) {
        self.dead.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn message(&self, left_out: usize) {
        self.messages.inc();
        self.left_out.inc_by(left_out as u64);
    }

    pub(super) fn claimed(&self, stream: &str, count: usize) {
        self.claimed.get_or_create(&label(stream)).inc_by(count as u64);
    }

    pub(super) fn group(&self, stream: &str, lag: Option<i64>, pending: i64) {
        if let Some(lag) = lag {
            self.lag.get_or_create(&label(stream)).set(lag);
        }
        self.pending.get_or_create(&label(stream)).set(pending);
    }

    pub(super) fn reads(&self, stream: &str, reads: bool) {
        self.reads.get_or_create(&label(stream)).set(i64::from(reads));
    }
}

fn label(stream: &str) -> StreamLabel {
    StreamLabel { stream: stream.to_owned() }
}
