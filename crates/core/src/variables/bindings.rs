//! The bindings of a deployment: the platform's services that a Worker reaches, each under a name.

use super::Half;

/// One binding, as `wrangler.toml` declares it.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The name that the Worker asks for.
    pub name: &'static str,
    /// The kind of thing that is bound.
    pub kind: BindingKind,
    /// The half of the Worker that uses the binding.
    pub half: Half,
    /// Whether the Worker needs the binding, and which function is missing without it.
    pub without: &'static str,
    /// The purpose of the binding, in sentences for an operator.
    pub meaning: &'static str,
}

/// The kind of thing that is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// A namespace of Durable Objects.
    DurableObjects {
        /// The class that the Worker exports.
        class: &'static str,
    },
    /// A namespace of Workers KV, which holds entries.
    KvNamespace,
    /// A bucket of R2, which holds copies of entries.
    R2Bucket,
    /// A dataset of Analytics Engine.
    AnalyticsDataset,
    /// A queue that the Worker sends to.
    Queue,
}

impl BindingKind {
    /// Returns the table of `wrangler.toml` that holds bindings of this kind.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::DurableObjects { .. } => "durable_objects.bindings",
            Self::KvNamespace => "kv_namespaces",
            Self::R2Bucket => "r2_buckets",
            Self::AnalyticsDataset => "analytics_engine_datasets",
            Self::Queue => "queues.producers",
        }
    }
}

/// The broker's Durable Objects.
pub const BROKER: Binding = Binding {
    name: "BROKER",
    kind: BindingKind::DurableObjects { class: "Broker" },
    half: Half::Both,
    without: "Required, unless `BROKER_URL` names the broker of another deployment.",
    meaning: "One object for each catalog: the version log.",
};
/// The replicas' Durable Objects.
pub const REPLICA: Binding = Binding {
    name: "REPLICA",
    kind: BindingKind::DurableObjects { class: "Replica" },
    half: Half::Edge,
    without: "Required.",
    meaning: "One object for each edge and catalog: it follows the broker and tells readers.",
};
/// The Durable Objects of alerts.
pub const ALERT_BOARD: Binding = Binding {
    name: "ALERT_BOARD",
    kind: BindingKind::DurableObjects { class: "AlertBoard" },
    half: Half::Both,
    without: "Without it nobody is told of alerts.",
    meaning: "One object for each catalog: the alerts of its edges, and the messages that tell of them.",
};
/// The KV namespace of entries.
pub const ENTRIES: Binding = Binding {
    name: "ENTRIES",
    kind: BindingKind::KvNamespace,
    half: Half::Edge,
    without: "Required.",
    meaning: "Entries of up to 25 MiB.",
};
/// The R2 bucket of entries.
pub const COPIES: Binding = Binding {
    name: "COPIES",
    kind: BindingKind::R2Bucket,
    half: Half::Edge,
    without: "Without it there is no R2 tier, no value over 25 MiB is kept, and no class may ask for a quorum.",
    meaning: "Entries that all locations share, strongly consistent. Objects do not expire by themselves: give the bucket \
              a lifecycle rule that deletes what is older than the longest ttl and stale time of a class.",
};
/// The dataset that readers report to.
pub const METRICS: Binding = Binding {
    name: "METRICS",
    kind: BindingKind::AnalyticsDataset,
    half: Half::Edge,
    without: "Without it nothing is reported there; `/metrics` works all the same.",
    meaning: "The counts of readers: a data point for each class every few seconds, location and class in its blobs.",
};

/// The queue of hooks' messages.
pub const HOOK_QUEUE: Binding = Binding {
    name: "HOOK_QUEUE",
    kind: BindingKind::Queue,
    half: Half::Broker,
    without: "Without it the message of a hook is published before its sender is answered.",
    meaning: "The messages of hooks wait here for the broker. The Worker consumes the queue itself, and the queue of its \
              dead letters, whose name ends with `-dead`.",
};
/// What the name of the queue with the dead letters ends with.
pub const DEAD_QUEUE_SUFFIX: &str = "-dead";

/// All bindings, in the order in which `docs/configuration.md` lists them.
pub const BINDINGS: &[Binding] = &[BROKER, REPLICA, ALERT_BOARD, ENTRIES, COPIES, METRICS, HOOK_QUEUE];
