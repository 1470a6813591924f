//! Counts as Prometheus reads them: text format 0.0.4.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::counts::{
    Count, CountRow, Counts, FIRST_SERVED, Histogram, LAG, ORIGIN, PROPAGATION, READ, STALENESS, millis, of,
};

/// The media type of the page that [`Counts::prometheus`] returns.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Counts {
    /// Returns the counts in Prometheus's text format 0.0.4, labelled with catalog, edge and class. Series of
    /// zero are left out, and metrics without a series.
    #[must_use]
    pub fn prometheus(&self, catalog: &str, edge: &str) -> String {
        let mut page = Exposition {
            text: String::new(),
            classes: self.rows.iter().map(|(class, row)| (labels(catalog, edge, class), row)).collect(),
        };
        for (name, help, series) in &COUNTERS {
            page.metric(name, "counter", help, |sample, row| {
                for (count, label) in *series {
                    sample.unless_zero(label, of(row, *count));
                }
            });
        }
        for histogram in [&ORIGIN, &LAG, &READ, &PROPAGATION, &FIRST_SERVED, &STALENESS] {
            page.metric(histogram.name, "histogram", histogram.help, |sample, row| {
                buckets(sample, row, histogram);
            });
        }
        let (name, help) = ("newsreel_lag_max_seconds", "The greatest lag of an answer.");
        page.metric(name, "gauge", help, |sample, row| {
            if of(row, Count::LagMaxMs) > 0 {
                sample.write("", "", seconds(of(row, Count::LagMaxMs)));
            }
        });
        let (name, help) = ("newsreel_kv_todo", "Entries that wait to be deleted from KV, at most 10,000.");
        page.metric(name, "gauge", help, |sample, row| sample.unless_zero("", of(row, Count::KvTodo)));
        page.text
    }
}

/// Returns how long an edge that has readers has not followed the log, as a metric.
#[must_use]
pub fn edge_gone(catalog: &str, edge: &str, gone: Duration) -> String {
    let [catalog, edge] = [catalog, edge].map(escaped);
    let (name, gone) = ("newsreel_edge_gone_seconds", seconds(millis(gone)));
    let help = "How long the edge, which has readers, has not followed the log.";
    format!(
        "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{catalog=\"{catalog}\",edge=\"{edge}\"}} {gone}\n"
    )
}

/// The text as far as it is written, and the classes with their labels.
struct Exposition<'a> {
    text: String,
    classes: Vec<(String, &'a CountRow)>,
}

impl Exposition<'_> {
    /// Writes a metric, unless no class has a sample of it.
    fn metric(&mut self, name: &str, kind: &str, help: &str, samples: impl Fn(&mut Sample<'_>, &CountRow)) {
        let start = self.text.len();
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        let headed = self.text.len();
        for (labels, row) in &self.classes {
            samples(&mut Sample { text: &mut self.text, name, labels }, row);
        }
        if self.text.len() == headed {
            self.text.truncate(start);
        }
    }
}

/// Writes samples of one metric and class.
struct Sample<'a> {
    text: &'a mut String,
    name: &'a str,
    labels: &'a str,
}

impl Sample<'_> {
    /// Writes one sample. `suffix` follows the metric's name, `label` the labels that every series has.
    fn write(&mut self, suffix: &str, label: &str, value: impl Display) {
        let Self { text, name, labels } = self;
        let comma = if label.is_empty() { "" } else { "," };
        let _ = writeln!(text, "{name}{suffix}{{{labels}{comma}{label}}} {value}");
    }

    fn unless_zero(&mut self, label: &str, n: u64) {
        if n > 0 {
            self.write("", label, n);
        }
    }
}

fn buckets(sample: &mut Sample<'_>, row: &CountRow, histogram: &Histogram) {
    let could = histogram.of.iter().fold(0, |sum: u64, count| sum.saturating_add(of(row, *count)));
    let mut counted = could.saturating_sub(of(row, histogram.all));
    let all = counted.saturating_add(of(row, histogram.all));
    if all == 0 {
        return;
    }
    for (_, le, count) in histogram.bounds {
        counted = counted.saturating_add(of(row, *count));
        sample.write("_bucket", le, counted);
    }
    let all = counted.max(all);
    sample.write("_bucket", r#"le="+Inf""#, all);
    sample.write("_sum", "", seconds(of(row, histogram.sum)));
    sample.write("_count", "", all);
}

/// Returns the labels that every series has.
fn labels(catalog: &str, edge: &str, class: &str) -> String {
    let [catalog, edge, class] = [catalog, edge, class].map(escaped);
    format!(r#"catalog="{catalog}",edge="{edge}",class="{class}""#)
}

/// Returns a label's value with its backslashes, quotes and line ends escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns milliseconds as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A metric's name, its help, and its series: the counters, each with the label that tells the series apart.
type Counter = (&'static str, &'static str, &'static [(Count, &'static str)]);

const COUNTERS: [Counter; 18] = [
    ("newsreel_reads_total", "Reads, one per key.", &[(Count::Reads, "")]),
    (
        "newsreel_tier_total",
        "What each tier had when it was asked.",
        &[
            (Count::MemoryHit, r#"tier="memory",outcome="hit""#),
            (Count::MemoryMiss, r#"tier="memory",outcome="miss""#),
            (Count::MemoryFailed, r#"tier="memory",outcome="failure""#),
            (Count::KvHit, r#"tier="kv",outcome="hit""#),
            (Count::KvMiss, r#"tier="kv",outcome="miss""#),
            (Count::KvFailed, r#"tier="kv",outcome="failure""#),
            (Count::R2Hit, r#"tier="r2",outcome="hit""#),
            (Count::R2Miss, r#"tier="r2",outcome="miss""#),
            (Count::R2Failed, r#"tier="r2",outcome="failure""#),
            (Count::OriginHit, r#"tier="origin",outcome="hit""#),
            (Count::OriginMiss, r#"tier="origin",outcome="miss""#),
            (Count::OriginFailed, r#"tier="origin",outcome="failure""#),
        ],
    ),
    (
        "newsreel_refusals_total",
        "Entries that a tier had and that were not fresh.",
        &[
            (Count::BelowKey, r#"reason="below-floor-of-key""#),
            (Count::BelowTag, r#"reason="below-floor-of-tag""#),
            (Count::BelowPrefix, r#"reason="below-floor-of-prefix""#),
            (Count::BelowAll, r#"reason="below-floor-of-all""#),
            (Count::FloorsUnknown, r#"reason="floors-unknown""#),
            (Count::Outvoted, r#"reason="outvoted""#),
            (Count::Soft, r#"reason="below-soft-floor""#),
            (Count::Expired, r#"reason="expired""#),
            (Count::OtherEpoch, r#"reason="other-epoch""#),
        ],
    ),
    (
        "newsreel_answers_total",
        "Reads that were answered.",
        &[
            (Count::Fresh, r#"freshness="fresh""#),
            (Count::Revalidating, r#"freshness="revalidating""#),
            (Count::Stale, r#"freshness="stale""#),
            (Count::Removed, r#"freshness="removed""#),
            (Count::NotFound, r#"freshness="not_found""#),
        ],
    ),
    (
        "newsreel_failures_total",
        "Reads that were not.",
        &[
            (Count::BoundNotKept, r#"reason="bound""#),
            (Count::MinVersion, r#"reason="min_version""#),
            (Count::OriginDown, r#"reason="origin""#),
        ],
    ),
    (
        "newsreel_fills_total",
        "Entries put into a tier.",
        &[
            (Count::MemoryFill, r#"tier="memory""#),
            (Count::KvFill, r#"tier="kv""#),
            (Count::R2Fill, r#"tier="r2""#),
        ],
    ),
    ("newsreel_r2_heads_total", "Questions to R2 before an entry was put.", &[(Count::R2Heads, "")]),
    (
        "newsreel_not_stored_total",
        "Values of the origin that no tier stores.",
        &[
            (Count::NotStoredNoStore, r#"reason="no-store""#),
            (Count::NotStoredPrivate, r#"reason="private""#),
            (Count::NotStoredNoCache, r#"reason="no-cache""#),
            (Count::NotStoredVary, r#"reason="vary""#),
        ],
    ),
    (
        "newsreel_shadow_total",
        "Reads that SHADOW answered, by what Newsreel's own answer is beside it.",
        &[
            (Count::ShadowSame, r#"outcome="same""#),
            (Count::ShadowNewer, r#"outcome="newer""#),
            (Count::ShadowOlder, r#"outcome="older""#),
            (Count::ShadowDiffers, r#"outcome="differs""#),
            (Count::ShadowFailed, r#"outcome="failed""#),
        ],
    ),
    (
        "newsreel_verify_total",
        "Keys that were checked by schedule, by what this edge serves beside the origin.",
        &[
            (Count::VerifyConsistent, r#"outcome="consistent""#),
            (Count::VerifyMarked, r#"outcome="marked""#),
            (Count::VerifyWrong, r#"outcome="wrong""#),
            (Count::VerifyUnknown, r#"outcome="unknown""#),
        ],
    ),
    ("newsreel_refreshes_total", "Fetches behind an answer.", &[(Count::Refreshes, "")]),
    ("newsreel_syncs_total", "Syncs with the replica.", &[(Count::Syncs, "")]),
    ("newsreel_quorum_reads_total", "Reads that asked several tiers at once.", &[(Count::QuorumReads, "")]),
    ("newsreel_disagreements_total", "Those in which the tiers differed.", &[(Count::Disagreements, "")]),
    ("newsreel_shared_total", "Misses that waited for another's fetch.", &[(Count::Shared, "")]),
    ("newsreel_over_bound_total", "Stale answers with a lag past the bound.", &[(Count::OverBound, "")]),
    (
        "newsreel_replica_total",
        "What the replica was asked and did, and the milliseconds that it was in memory.",
        &[
            (Count::DoRequests, r#"what="requests""#),
            (Count::DoMessages, r#"what="messages""#),
            (Count::DoMs, r#"what="milliseconds""#),
            (Count::KvDeletes, r#"what="kv_deletes""#),
        ],
    ),
    ("newsreel_lag_unknown_total", "Answers of which nothing was ever proved.", &[(Count::LagUnknown, "")]),
];
