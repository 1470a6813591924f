//! The rules, one table. The Worker judges by it, `docs/alerts.md` shows it, and the rules file of Prometheus and the
//! dashboard of Grafana are made of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nobody needs to be told.
    #[default]
    Ok,
    /// Somebody is to look today.
    Warning,
    /// Somebody is to look now.
    Critical,
}

impl Level {
    /// Returns the name, as it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Which values are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// Those below the thresholds.
    Below,
    /// Those above the thresholds.
    Above,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share from 0 to 1.
    Share,
    /// Milliseconds.
    Millis,
    /// A number of things.
    Items,
}

/// What a rule is about: each has alerts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The reads of a class at an edge.
    Class,
    /// An edge.
    Edge,
    /// A source: a process that publishes what changes in another system.
    Source,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The name, as `ALERTS` has it.
    pub id: &'static str,
    /// What is measured, in a sentence.
    pub measures: &'static str,
    /// What to do about it, in a sentence.
    pub advice: &'static str,
    /// What has alerts of its own.
    pub about: About,
    /// Which values are worse.
    pub worse: Worse,
    /// What a value counts.
    pub unit: Unit,
    /// The threshold of a warning.
    pub warning: f64,
    /// The threshold of a critical alert.
    pub critical: f64,
    /// How much time a measurement covers.
    pub window: Duration,
    /// How many observations a measurement needs. With fewer nothing is raised.
    pub least: u64,
    /// The same measurement in PromQL, over `{window}`, by catalog, edge and, where the rule is about one, class.
    pub promql: &'static str,
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// Long enough that three runs of the check by schedule are within.
const FIFTEEN_MINUTES: Duration = Duration::from_secs(900);

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule {
        id: "hit-rate",
        measures: "The share of reads that memory, KV or R2 answered with a fresh entry.",
        advice: "See which tier misses, and which refusals are counted: a wide change, a short ttl, or a cold edge.",
        about: About::Class,
        worse: Worse::Below,
        unit: Unit::Share,
        warning: 0.9,
        critical: 0.8,
        window: FIVE_MINUTES,
        least: 100,
        promql: r#"sum by (catalog, edge, class) (rate(newsreel_tier_total{outcome="hit",tier!="origin"}[{window}])) / sum by (catalog, edge, class) (rate(newsreel_reads_total[{window}]))"#,
    },
    Rule {
        id: "read-p99",
        measures: "The time in which 99 of 100 reads are answered.",
        advice: "Compare with the time of the origin's fetches: misses are as slow as the origin.",
        about: About::Class,
        worse: Worse::Above,
        unit: Unit::Millis,
        warning: 50.0,
        critical: 100.0,
        window: FIVE_MINUTES,
        least: 100,
        promql: r#"1000 * histogram_quantile(0.99, sum by (catalog, edge, class, le) (rate(newsreel_read_seconds_bucket[{window}])))"#,
    },
    Rule {
        id: "stale-answers",
        measures: "The share of answers that were marked stale or revalidating.",
        advice: "The origin or the log cannot be reached, or a soft change waits for its fetches.",
        about: About::Class,
        worse: Worse::Above,
        unit: Unit::Share,
        warning: 0.1,
        critical: 0.25,
        window: FIVE_MINUTES,
        least: 100,
        promql: r#"sum by (catalog, edge, class) (rate(newsreel_answers_total{freshness=~"stale|revalidating"}[{window}])) / sum by (catalog, edge, class) (rate(newsreel_reads_total[{window}]))"#,
    },
    Rule {
        id: "origin-fallback",
        measures: "The share of reads that waited for the origin.",
        advice: "See which refusals are counted; prefetch what is hot with on_bump = \"refresh\".",
        about: About::Class,
        worse: Worse::Above,
        unit: Unit::Share,
        warning: 0.1,
        critical: 0.2,
        window: FIVE_MINUTES,
        least: 100,
        promql: r#"sum by (catalog, edge, class) (rate(newsreel_tier_total{tier="origin"}[{window}])) / sum by (catalog, edge, class) (rate(newsreel_reads_total[{window}]))"#,
    },
    Rule {
        id: "propagation",
        measures: "The time from a publish until the edge had applied 99 of 100 versions.",
        advice: "Look at the edge's lag in the list of followers, and at the Worker's log of its replica.",
        about: About::Edge,
        worse: Worse::Above,
        unit: Unit::Millis,
        warning: 120_000.0,
        critical: 300_000.0,
        window: FIVE_MINUTES,
        least: 1,
        promql: r#"1000 * histogram_quantile(0.99, sum by (catalog, edge, le) (rate(newsreel_propagation_seconds_bucket[{window}])))"#,
    },
    Rule {
        id: "edge-gone",
        measures: "How long an edge that had readers has not followed the log.",
        advice: "Its readers answer by the bound of their class; look at /readyz there and at the broker's followers.",
        about: About::Edge,
        worse: Worse::Above,
        unit: Unit::Millis,
        warning: 120_000.0,
        critical: 600_000.0,
        window: FIVE_MINUTES,
        least: 0,
        promql: r#"1000 * max by (catalog, edge) (newsreel_edge_gone_seconds)"#,
    },
    Rule {
        id: "source-late",
        measures: "How late a source is: how long its changes take to be durable, or how long one of its sides does not answer, or the source is not heard of.",
        advice: "Run the source's status command; one that is down does not answer at its own /healthz.",
        about: About::Source,
        worse: Worse::Above,
        unit: Unit::Millis,
        warning: 60_000.0,
        critical: 300_000.0,
        window: FIVE_MINUTES,
        least: 1,
        promql: r#"1000 * histogram_quantile(0.99, sum by (instance, le) (rate(newsreel_source_durable_delay_seconds_bucket[{window}])))"#,
    },
    Rule {
        id: "kv-todo",
        measures: "How many old entries wait to be deleted from KV.",
        advice: "KV is slow or refuses; no guarantee depends on the deletions, but the list costs memory and time.",
        about: About::Edge,
        worse: Worse::Above,
        unit: Unit::Items,
        warning: 2_000.0,
        critical: 8_000.0,
        window: FIVE_MINUTES,
        least: 0,
        promql: r#"max by (catalog, edge) (newsreel_kv_todo)"#,
    },
    Rule {
        id: "verify-wrong",
        measures: "The share of keys checked by schedule of which this edge served another value than the origin's.",
        advice: "See GET checks, or the key in the console: its floors, its entries, and what was published.",
        about: About::Class,
        worse: Worse::Above,
        unit: Unit::Share,
        warning: 0.0,
        critical: 0.05,
        window: FIFTEEN_MINUTES,
        least: 1,
        promql: r#"sum by (catalog, edge, class) (increase(newsreel_verify_total{outcome="wrong"}[{window}])) / sum by (catalog, edge, class) (increase(newsreel_verify_total[{window}]))"#,
    },
];

impl Rule {
    /// Returns the rule of a name.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id)
    }

    /// Returns a value in words, such as `87.5 %`.
    #[must_use]
    pub fn words(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => format!("{:.1} %", value * 100.0),
            Unit::Millis if value >= 10_000.0 => format!("{:.0} s", value / 1_000.0),
            Unit::Millis => format!("{value:.0} ms"),
            Unit::Items => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::counts::{Count, Counts};
    use crate::metrics::prometheus::edge_gone;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_gets_worse_in_its_direction() {
        for rule in RULES {
            assert_eq!(Rule::named(rule.id), Some(rule));
            let worse = match rule.worse {
                Worse::Above => rule.critical > rule.warning,
                Worse::Below => rule.critical < rule.warning,
            };
            assert!(worse, "{}", rule.id);
        }
    }

    #[test]
    fn a_query_names_metrics_that_are_there() {
        let mut counts = Counts::default();
        Count::ALL.iter().for_each(|count| counts.add("title", *count, 1));
        let page = counts.prometheus("tv", "fra") + &edge_gone("tv", "fra", Duration::from_secs(1));
        for rule in RULES {
            for (at, _) in rule.promql.match_indices("newsreel_") {
                let rest = rule.promql.get(at..).unwrap();
                let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
                let name = rest.get(..end).unwrap();
                // The metrics of sources are the command's own.
                assert!(
                    name.starts_with("newsreel_source_") || page.contains(&format!("\n{name}{{")),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn values_are_worded_in_their_unit() {
        let words = |id, value| Rule::named(id).map(|rule| rule.words(value)).unwrap();
        assert_eq!(words("hit-rate", 0.875), "87.5 %");
        assert_eq!(words("read-p99", 72.4), "72 ms");
        assert_eq!(words("propagation", 125_000.0), "125 s");
        assert_eq!(words("kv-todo", 7.0), "7");
    }
}
