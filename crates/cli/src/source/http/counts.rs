//! What a source counts of feeds: answers by outcome, rows, and how far each feed has come.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeedLabel {
    feed: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    feed: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    feed: String,
    reason: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The outcome of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer with rows.
    Answered,
    /// The answer is the one before.
    Unchanged,
    /// The API forgot what was asked for.
    Expired,
    /// The question or its answer failed.
    Failed,
}

/// Counters and gauges beside those of [every source](crate::source::metrics).
#[derive(Debug, Clone, Default)]
pub(super) struct FeedMetrics {
    answers: Family<OutcomeLabels, Counter>,
    rows: Family<FeedLabel, Counter>,
    repeated: Family<FeedLabel, Counter>,
    dead_letters: Family<ReasonLabels, Counter>,
    age: Family<FeedLabel, Seconds>,
    failures: Family<FeedLabel, Gauge>,
}

impl FeedMetrics {
    /// Adds all to what is served.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("feed_answers", "Questions to an API, by outcome", self.answers.clone());
        to.register("feed_rows", "Rows that were published", self.rows.clone());
        let help = "Rows that were reported again, and had been published";
        to.register("feed_repeated_rows", help, self.repeated.clone());
        let help = "Rows that the mapping names nothing for, by reason";
        to.register("feed_dead_letters", help, self.dead_letters.clone());
        let help = "Everything that the API told so long ago is durable at the broker";
        to.register_with_unit("feed_age", help, Unit::Seconds, self.age.clone());
        to.register("feed_failures", "Failures since the last good round", self.failures.clone());
    }

    /// Counts a question.
    pub(super) fn asked(&self, feed: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Answered => "answered",
            Outcome::Unchanged => "unchanged",
            Outcome::Expired => "expired",
            Outcome::Failed => "failed",
        };
        self.answers.get_or_create(&OutcomeLabels { feed: feed.to_owned(), outcome }).inc();
    }

    /// Counts the rows of a round.
    pub(super) fn rows(&self, feed: &str, published: u64, repeated: u64) {
        self.rows.get_or_create(&label(feed)).inc_by(published);
        self.repeated.get_or_create(&label(feed)).inc_by(repeated);
    }

    /// Counts a row that names nothing.
    pub(super) fn dead_letter(&self, feed: &str, reason: &'static str) {
        self.dead_letters.get_or_create(&ReasonLabels { feed: feed.to_owned(), reason }).inc();
    }

    /// Notes how long ago the last good round was, and how many failed since.
    pub(super) fn state(&self, feed: &str, age_seconds: f64, failures: u32) {
        self.age.get_or_create(&label(feed)).set(age_seconds);
        self.failures.get_or_create(&label(feed)).set(i64::from(failures));
    }
}

fn label(feed: &str) -> FeedLabel {
    FeedLabel { feed: feed.to_owned() }
}
