//! Counts as Prometheus reads them: text format 0.0.4.

use super::counts::{Count, CountRow, Counts, Histogram, LAG, ORIGIN, of};

/// The media type of what [`Counts::prometheus`] returns.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Counts {
    /// Returns the counts in Prometheus's text format 0.0.4, labelled with catalog, edge and class. Series of
    /// zero are left out, and metrics without a series.
    #[must_use]
    pub fn prometheus(&self, catalog: &str, edge: &str) -> String {
        let mut text = String::new();
        let classes: Vec<(String, &CountRow)> =
            self.rows.iter().map(|(class, row)| (labels([catalog, edge, class]), row)).collect();
        for (name, help, series) in &COUNTERS {
            metric(&mut text, [name, "counter", help], &classes, &|sample, row| {
                for (count, more) in *series {
                    sample.unless_zero(more, of(row, *count));
                }
            });
        }
        for histogram in [&ORIGIN, &LAG] {
            let head = [histogram.name, "histogram", histogram.help];
            metric(&mut text, head, &classes, &|sample, row| buckets(sample, row, histogram));
        }
        let head = ["newsreel_lag_max_seconds", "gauge", "The greatest lag of an answer."];
        metric(&mut text, head, &classes, &|sample, row| {
            if of(row, Count::LagMaxMs) > 0 {
                sample.write("", "", &seconds(of(row, Count::LagMaxMs)));
            }
        });
        text
    }
}

/// Writes samples of one metric and class.
struct Sample<'a> {
    text: &'a mut String,
    name: &'a str,
    labels: &'a str,
}

impl Sample<'_> {
    /// Writes one: what follows the metric's name, further labels, and the value.
    fn write(&mut self, suffix: &str, more: &str, value: &str) {
        let comma = if more.is_empty() { "" } else { "," };
        push(self.text, &[self.name, suffix, "{", self.labels, comma, more, "} ", value, "\n"]);
    }

    fn unless_zero(&mut self, more: &str, n: u64) {
        if n > 0 {
            self.write("", more, &n.to_string());
        }
    }
}

/// Writes a metric (its name, type and help), unless no class has a sample of it.
fn metric(
    text: &mut String,
    [name, kind, help]: [&str; 3],
    classes: &[(String, &CountRow)],
    samples: &dyn Fn(&mut Sample<'_>, &CountRow),
) {
    let start = text.len();
    push(text, &["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    let headed = text.len();
    for (labels, row) in classes {
        samples(&mut Sample { text, name, labels }, row);
    }
    if text.len() == headed {
        text.truncate(start);
    }
}

fn buckets(sample: &mut Sample<'_>, row: &CountRow, histogram: &Histogram) {
    let all = of(row, histogram.all);
    if all == 0 {
        return;
    }
    let mut counted: u64 = 0;
    for (_, le, count) in &histogram.bounds {
        counted = counted.saturating_add(of(row, *count));
        sample.write("_bucket", le, &counted.to_string());
    }
    let all = counted.max(all).to_string();
    sample.write("_bucket", r#"le="+Inf""#, &all);
    sample.write("_sum", "", &seconds(of(row, histogram.sum)));
    sample.write("_count", "", &all);
}

/// Returns the labels that every series has.
fn labels(values: [&str; 3]) -> String {
    let mut labels = String::new();
    for (name, value) in ["catalog=\"", "\",edge=\"", "\",class=\""].into_iter().zip(values) {
        labels.push_str(name);
        escape(&mut labels, value);
    }
    labels + "\""
}

fn push(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
}

/// Writes a label's value.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A metric's name, its help, and its series: what is counted under which further labels.
type Counter = (&'static str, &'static str, &'static [(Count, &'static str)]);

const COUNTERS: [Counter; 12] = [
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
    ("newsreel_refreshes_total", "Fetches behind an answer.", &[(Count::Refreshes, "")]),
    ("newsreel_syncs_total", "Syncs with the replica.", &[(Count::Syncs, "")]),
    ("newsreel_quorum_reads_total", "Reads that asked several tiers at once.", &[(Count::QuorumReads, "")]),
    ("newsreel_disagreements_total", "Those in which the tiers differed.", &[(Count::Disagreements, "")]),
    ("newsreel_shared_total", "Misses that waited for another's fetch.", &[(Count::Shared, "")]),
    ("newsreel_lag_unknown_total", "Answers of which nothing was ever proved.", &[(Count::LagUnknown, "")]),
];
