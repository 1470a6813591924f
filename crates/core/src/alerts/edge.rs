//! What an edge judges: its series of the last minutes by every rule.

use std::collections::BTreeSet;
use std::time::Duration;

use super::judge::{Judge, Measured, Subject, Transition};
use super::rules::{About, RULES, Rule};
use super::settings::AlertSettings;
use crate::wire::UnixMillis;
use crate::wire::series::{HistogramSeries, Series, SeriesPage};

/// The series that the rules are measured by.
pub const SERIES: [&str; 14] = [
    "reads",
    "hits_memory",
    "hits_kv",
    "hits_r2",
    "hits_origin",
    "origin_failures",
    "answers_stale",
    "answers_revalidating",
    "verify_consistent",
    "verify_marked",
    "verify_wrong",
    "verify_unknown",
    "read_ms",
    "propagation_ms",
];

/// The series of keys that were checked by schedule.
const VERIFY: [&str; 4] = ["verify_consistent", "verify_marked", "verify_wrong", "verify_unknown"];

/// The figures of an edge that are no series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeFigures {
    /// How long the edge, which has readers, has not followed the log; zero while it does.
    pub gone: Duration,
    /// How many old entries wait to be deleted from KV.
    pub kv_todo: u64,
}

/// Judges an edge by every rule. `page` gives [`SERIES`] of a time that ends now.
///
/// # Errors
/// That of `page`: nothing of the rules from there on is judged.
pub fn judge<E>(
    judge: &mut Judge,
    settings: &AlertSettings,
    now: UnixMillis,
    figures: EdgeFigures,
    mut page: impl FnMut(Duration) -> Result<SeriesPage, E>,
) -> Result<Vec<Transition>, E> {
    let is_judged = |subject: &Subject| {
        let rule = Rule::named(&subject.rule);
        rule.is_some_and(|rule| settings.of(rule, subject.class.as_deref()).is_some())
    };
    let mut transitions = judge.retain(now, is_judged);
    let mut known: Option<(Duration, SeriesPage)> = None;
    for rule in RULES {
        let window = settings.window(rule);
        let page = match known.take().filter(|(of, _)| *of == window) {
            Some((_, page)) => page,
            None => page(window)?,
        };
        for class in subjects(judge, rule, &page) {
            let Some(thresholds) = settings.of(rule, class.as_deref()) else { continue };
            let measured = measured(rule, class.as_deref(), &page, figures);
            let subject = Subject { rule: rule.id.to_owned(), class };
            transitions.extend(judge.judge(now, &subject, &thresholds, measured));
        }
        known = Some((window, page));
    }
    Ok(transitions)
}

/// Returns the classes that a rule judges: those of the series, and those that have an alert; or none, for the edge as a
/// whole.
fn subjects(judge: &Judge, rule: &Rule, page: &SeriesPage) -> BTreeSet<Option<String>> {
    match rule.about {
        About::Class => {}
        About::Edge => return BTreeSet::from([None]),
        // The board judges sources.
        About::Source => return BTreeSet::new(),
    }
    let read = page.series.iter().filter(|series| series.name == "reads").map(|series| series.class.clone());
    let levels = judge.levels();
    let open = levels.keys().filter(|subject| subject.rule == rule.id).map(|subject| subject.class.clone());
    read.chain(open).filter(Option::is_some).collect()
}

fn measured(rule: &Rule, class: Option<&str>, page: &SeriesPage, figures: EdgeFigures) -> Option<Measured> {
    let count = |names: &[&str]| names.iter().map(|name| total(page, name, class)).sum::<u64>();
    let part = |names: &[&str], all: &[&str]| {
        let all = count(all);
        (all > 0).then(|| Measured { value: float(count(names)) / float(all), of: all })
    };
    let share = |names: &[&str]| part(names, &["reads"]);
    match rule.id {
        "hit-rate" => share(&["hits_memory", "hits_kv", "hits_r2"]),
        "stale-answers" => share(&["answers_stale", "answers_revalidating"]),
        "origin-fallback" => share(&["hits_origin", "origin_failures"]),
        "verify-wrong" => part(&["verify_wrong"], &VERIFY),
        "read-p99" => quantile(page, "read_ms", class),
        "propagation" => quantile(page, "propagation_ms", class),
        "edge-gone" => Some(Measured { value: figures.gone.as_secs_f64() * 1_000.0, of: 1 }),
        "kv-todo" => Some(Measured { value: float(figures.kv_todo), of: 1 }),
        _ => None,
    }
}

fn total(page: &SeriesPage, name: &str, class: Option<&str>) -> u64 {
    let is_it = |one: &&Series| one.name == name && one.class.as_deref() == class;
    page.series.iter().filter(is_it).flat_map(|one| one.values.iter().flatten()).sum()
}

/// Returns the bound below which 99 of 100 observations of a class are, or of all classes. Past the last bound it is twice the
/// last bound.
fn quantile(page: &SeriesPage, name: &str, class: Option<&str>) -> Option<Measured> {
    let is_it =
        |one: &&HistogramSeries| one.name == name && (class.is_none() || one.class.as_deref() == class);
    let of_classes: Vec<&HistogramSeries> = page.histograms.iter().filter(is_it).collect();
    let one = of_classes.first()?;
    let mut counts = vec![0_u64; one.bounds.len() + 1];
    for buckets in of_classes.iter().flat_map(|one| one.counts.iter().flatten()) {
        counts.iter_mut().zip(buckets).for_each(|(count, more)| *count += more);
    }
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = all - all / 100;
    let mut below = 0;
    let at = counts.iter().position(|count| {
        below += count;
        below >= wanted
    });
    let last = one.bounds.last().copied().unwrap_or_default();
    let bound = at.and_then(|at| one.bounds.get(at).copied()).unwrap_or(last * 2);
    Some(Measured { value: float(bound), of: all })
}

#[expect(clippy::cast_precision_loss, reason = "a share and a time need no 53 bits")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Level;
    use crate::metrics::series::READER;
    use crate::wire::Catalog;
    use crate::wire::series::{Merge, Resolution, Span};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// An edge that judges itself every 30 s.
    struct Edge {
        judge: Judge,
        now: UnixMillis,
        settings: AlertSettings,
    }

    fn edge(settings: serde_json::Value) -> Edge {
        let settings = AlertSettings::read(Some(&settings)).unwrap();
        Edge { judge: Judge::default(), now: UnixMillis(1_000_000), settings }
    }

    impl Edge {
        /// Judges the same figures five times, and returns the rules, classes and levels that changed.
        fn sees(
            &mut self,
            series: &[(&str, u64)],
            slow: &[u64],
            figures: EdgeFigures,
        ) -> Vec<(String, Level)> {
            let mut changed = Vec::new();
            for _ in 0..12 {
                self.now = self.now.plus(Duration::from_secs(30));
                let page = |_| Ok::<_, ()>(page(series, slow));
                let told = judge(&mut self.judge, &self.settings, self.now, figures, page).unwrap();
                changed.extend(told.into_iter().map(|one| (one.subject.rule, one.level)));
            }
            changed
        }
    }

    fn page(series: &[(&str, u64)], slow: &[u64]) -> SeriesPage {
        let span = Span { resolution: Resolution::TenSeconds, first: 0, end: 3 };
        let mut page = SeriesPage::empty(Catalog::new("tv").unwrap(), None, &span);
        let class = || Some("title".to_owned());
        page.series = series
            .iter()
            .map(|(name, value)| Series {
                name: (*name).to_owned(),
                class: class(),
                unit: "count".to_owned(),
                merge: Merge::Sum,
                values: vec![Some(value / 2), None, Some(value - value / 2)],
            })
            .collect();
        let histogram = |name: &str, class: Option<String>, bounds: &[u64], counts: &[u64]| HistogramSeries {
            name: name.to_owned(),
            class,
            unit: "ms".to_owned(),
            bounds: bounds.to_vec(),
            counts: vec![Some(counts.to_vec()), None, None],
            sums: Vec::new(),
        };
        // Where reads are slow, the versions of another class are late.
        let late: u64 = slow.iter().skip(2).sum();
        page.histograms = vec![
            histogram("read_ms", class(), &[10, 50, 100], slow),
            histogram("propagation_ms", class(), &[1_000, 200_000], &[1_000, 0, 0]),
            histogram("propagation_ms", Some("live".to_owned()), &[1_000, 200_000], &[0, late, 0]),
        ];
        page
    }

    fn told(rules: &[(&str, Level)]) -> Vec<(String, Level)> {
        rules.iter().map(|(rule, level)| ((*rule).to_owned(), *level)).collect()
    }

    #[test]
    fn the_series_are_those_of_readers() {
        assert!(SERIES.iter().all(|name| READER.has(name)));
    }

    #[test]
    fn an_edge_that_is_well_has_no_alert() {
        let mut edge = edge(serde_json::json!({}));
        let well = [
            ("reads", 1_000),
            ("hits_memory", 900),
            ("hits_kv", 50),
            ("hits_origin", 50),
            ("answers_stale", 10),
        ];
        assert_eq!(edge.sees(&well, &[990, 10, 0, 0], EdgeFigures::default()), []);
        assert_eq!(edge.judge, Judge::default());
    }

    #[test]
    fn each_figure_has_its_rule() {
        let mut edge = edge(serde_json::json!({}));
        let bad = [
            ("reads", 1_000),
            ("hits_memory", 700),
            ("hits_origin", 150),
            ("answers_stale", 200),
            ("answers_revalidating", 100),
            ("verify_consistent", 96),
            ("verify_wrong", 4),
        ];
        let figures = EdgeFigures { gone: Duration::from_secs(200), kv_todo: 9_000 };
        let changed = edge.sees(&bad, &[900, 50, 10, 40], figures);
        let expected = [
            ("hit-rate", Level::Critical),
            ("read-p99", Level::Critical),
            ("stale-answers", Level::Critical),
            ("origin-fallback", Level::Warning),
            ("propagation", Level::Warning),
            ("edge-gone", Level::Warning),
            ("kv-todo", Level::Critical),
            ("verify-wrong", Level::Warning),
        ];
        assert_eq!(changed, told(&expected));
        let well = [("reads", 1_000), ("hits_memory", 1_000), ("verify_consistent", 20)];
        let over = edge.sees(&well, &[1_000, 0, 0, 0], EdgeFigures::default());
        assert_eq!(over.len(), expected.len());
        assert!(over.iter().all(|(_, level)| *level == Level::Ok), "{over:?}");
    }

    #[test]
    fn a_rule_that_is_off_is_not_judged_and_a_window_is_asked_for_once() {
        let mut judge_of =
            edge(serde_json::json!({ "hit-rate": { "off": true }, "kv-todo": { "window_s": 60 } }));
        let bad = [("reads", 1_000), ("hits_memory", 0)];
        assert_eq!(judge_of.sees(&bad, &[1_000, 0, 0, 0], EdgeFigures::default()), []);
        let mut asked = Vec::new();
        let page = |window| {
            asked.push(window);
            Ok::<_, ()>(page(&bad, &[0; 4]))
        };
        judge(&mut judge_of.judge, &judge_of.settings, judge_of.now, EdgeFigures::default(), page).unwrap();
        assert_eq!(asked, [300, 60, 900].map(Duration::from_secs));
    }
}
