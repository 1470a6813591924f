//! Counting, merging reports, their text, and the page for Prometheus, held to its grammar.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CLASSES: [&str; 5] = ["title", "live", "other", "a b\\\"\u{2028}c", "embedding"];

/// Something that a reader counts.
#[derive(Debug, Clone)]
enum Counted {
    One(Count, u64),
    Origin(u64),
    Lag(Option<u64>),
}

fn counted() -> impl Strategy<Value = (usize, Counted)> {
    let n = || prop_oneof![8 => 0..100_000_u64, 1 => Just(u64::MAX)];
    let one = prop_oneof![
        (0..Count::ALL.len(), n()).prop_map(|(at, n)| Counted::One(Count::ALL[at], n)),
        n().prop_map(Counted::Origin),
        prop::option::of(n()).prop_map(Counted::Lag),
    ];
    (0..CLASSES.len(), one)
}

fn count(counts: &mut Counts, (class, counted): &(usize, Counted)) {
    let class = CLASSES[*class];
    match counted {
        Counted::One(count, n) => counts.add(class, *count, *n),
        Counted::Origin(ms) => counts.origin_took(class, Duration::from_millis(*ms)),
        Counted::Lag(ms) => counts.lag(class, ms.map(Duration::from_millis)),
    }
}

fn busy() -> Counts {
    let mut counts = Counts::default();
    for (at, class) in CLASSES.into_iter().enumerate() {
        for (n, count) in Count::ALL.iter().take(at * 20).enumerate() {
            counts.add(class, *count, n as u64);
        }
        for ms in [0, 10, 11, 100, 4_999, 5_001, 70_000] {
            counts.origin_took(class, Duration::from_millis(ms));
            counts.lag(class, Some(Duration::from_millis(ms)));
        }
        counts.lag(class, None);
    }
    counts
}

#[test]
fn what_is_counted_is_told_apart_by_class() {
    let mut counts = Counts::default();
    assert!(counts.is_empty());
    counts.add("title", Count::Reads, 0);
    assert!(counts.is_empty(), "nothing is nothing");
    counts.add("title", Count::Reads, 2);
    counts.add("title", Count::Reads, 1);
    counts.add("live", Count::KvHit, 1);
    assert_eq!(counts.get("title", Count::Reads), 3);
    assert_eq!(counts.get("live", Count::Reads), 0);
    assert_eq!(counts.get("absent", Count::Reads), 0);
    assert_eq!(counts.classes().collect::<Vec<_>>(), ["live", "title"]);
}

#[test]
fn what_is_taken_is_handed_over_once() {
    let mut counts = busy();
    let taken = counts.take();
    assert_eq!(taken, busy());
    assert!(counts.is_empty() && counts.take().is_empty());
}

#[test]
fn a_time_falls_into_the_first_bucket_that_holds_it() {
    let mut counts = Counts::default();
    for ms in [0, 10, 11, 5_000, 5_001] {
        counts.origin_took("title", Duration::from_millis(ms));
    }
    let got = |count| counts.get("title", count);
    assert_eq!((got(Count::OriginFetches), got(Count::OriginMs)), (5, 10_022));
    assert_eq!((got(Count::OriginIn10), got(Count::OriginIn50), got(Count::OriginIn5000)), (2, 1, 1));
}

#[test]
fn of_lags_the_greatest_is_kept_and_the_unknown_is_no_number() {
    let mut counts = Counts::default();
    for ms in [Some(40), Some(1_500), None, Some(700)] {
        counts.lag("title", ms.map(Duration::from_millis));
    }
    let got = |count| counts.get("title", count);
    assert_eq!((got(Count::Lags), got(Count::LagMs), got(Count::LagMaxMs)), (3, 2_240, 1_500));
    assert_eq!((got(Count::LagUnknown), got(Count::LagIn100), got(Count::LagIn2000)), (1, 1, 1));
}

#[test]
fn no_count_runs_over() {
    let mut counts = Counts::default();
    counts.add("title", Count::Reads, u64::MAX);
    counts.add("title", Count::Reads, 1);
    counts.origin_took("title", Duration::MAX);
    counts.origin_took("title", Duration::MAX);
    counts.merge(&counts.clone());
    assert_eq!(counts.get("title", Count::Reads), u64::MAX);
    assert_eq!(counts.get("title", Count::OriginMs), u64::MAX);
    assert_eq!(counts.get("title", Count::OriginFetches), 4);
    check(&counts.prometheus("tv", "here"));
}

#[test]
fn a_class_too_many_is_counted_as_other() {
    let mut counts = Counts::default();
    counts.add(OTHER, Count::Reads, 1);
    for n in 0..MAX_CLASSES + 10 {
        counts.add(&format!("class-{n:02}"), Count::Reads, 1);
    }
    assert_eq!(counts.classes().count(), MAX_CLASSES + 1);
    assert_eq!(counts.get(OTHER, Count::Reads), 11);
    counts.add("class-00", Count::Reads, 1);
    assert_eq!(counts.get("class-00", Count::Reads), 2);
    for bad in ["", "a:b", "a\nb", &"x".repeat(MAX_KEY_BYTES)] {
        counts.add(bad, Count::Reads, 1);
    }
    assert_eq!(counts.get(OTHER, Count::Reads), 15, "what is no class is counted there too");
    assert_eq!(Counts::parse(&counts.to_text()), Ok(counts));
}

#[test]
fn the_largest_text_fits_its_bound() {
    let mut counts = Counts::default();
    for n in 0..=MAX_CLASSES {
        let class = if n == 0 { OTHER.to_owned() } else { format!("{n:0399}") };
        for count in Count::ALL {
            counts.add(&class, *count, u64::MAX);
        }
    }
    let text = counts.to_text();
    assert_eq!(text.lines().count(), MAX_CLASSES + 1);
    assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
    assert_eq!(Counts::parse(&text), Ok(counts));
    let longer = " ".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(Counts::parse(&longer), Err(CountsError::TooLong));
}

#[test]
fn the_text_is_a_line_a_class_with_the_class_last() {
    let mut counts = Counts::default();
    counts.add("title", Count::Reads, 7);
    counts.add("title", Count::MemoryMiss, 3);
    counts.add("live 2", Count::Reads, 1);
    assert_eq!(counts.to_text(), "1:live 2\n7 0 3:title\n");
}

#[test]
fn the_counts_of_a_newer_version_are_ignored() {
    let mut counts = Counts::default();
    counts.add("title", Count::Reads, 7);
    let zeros = "0 ".repeat(Count::ALL.len() - 1);
    assert_eq!(Counts::parse(&format!("7 {zeros}5 6:title\n")), Ok(counts));
    assert_eq!(Counts::parse(&format!("0 {zeros}5:title\n")), Ok(Counts::default()));
}

#[test]
fn a_text_that_is_something_else_is_refused_as_a_whole() {
    for (text, line) in [
        ("\n", 1),
        ("title", 1),
        ("1 title\n", 1),
        (":title\n", 1),
        ("1:\n", 1),
        ("+1:title\n", 1),
        ("-1:title\n", 1),
        ("1.5:title\n", 1),
        ("1  2:title\n", 1),
        ("1 2 :title\n", 1),
        ("18446744073709551616:title\n", 1),
        ("1:title\r\n", 1),
        ("1:title:1\n", 1),
        ("1:b\n\n2:c\n", 2),
        ("1:b\n2:a\n", 2),
        ("1:a\n2:a\n", 2),
    ] {
        assert_eq!(Counts::parse(text), Err(CountsError::Line(line)), "{text:?}");
    }
    assert_eq!(Counts::parse(""), Ok(Counts::default()));
    assert_eq!(Counts::parse("1:a").map(|counts| counts.get("a", Count::Reads)), Ok(1));
}

#[test]
fn a_data_point_has_its_numbers_in_the_order_documented() {
    let mut counts = Counts::default();
    for (at, count) in Count::ALL.iter().enumerate() {
        counts.add("title", *count, 1 << at.min(40));
    }
    let doubles = counts.doubles("title");
    let got = |count| counts.get("title", count) as f64;
    assert_eq!(doubles[..3], [got(Count::Reads), got(Count::MemoryHit), got(Count::KvHit)]);
    assert_eq!(doubles[5], got(Count::OriginFailed));
    assert_eq!(doubles[6], (13..20).map(|at| f64::from(1 << at)).sum::<f64>());
    assert_eq!(doubles[12], got(Count::BoundNotKept) + got(Count::MinVersion) + got(Count::OriginDown));
    assert_eq!(doubles[15..17], [got(Count::OriginFetches), got(Count::OriginMs)]);
    assert_eq!(doubles[19], got(Count::LagMaxMs));
    assert_eq!(counts.doubles("absent"), [0.0; 20]);
}

#[test]
fn prometheus_reads_a_page_of_everything() {
    let page = busy().prometheus("tv", "fra\\1\"\n");
    let samples = check(&page);
    assert!(page.contains(r#"{catalog="tv",edge="fra\\1\"\n",class="a b\\\""#), "{page}");
    let of = |name: &str, class: &str, more: &str| {
        let labels = format!(r#"{{catalog="tv",edge="fra\\1\"\n",class="{class}"{more}}}"#);
        samples.get(&format!("{name}{labels}")).cloned()
    };
    let kv_hits = busy().get("embedding", Count::KvHit).to_string();
    assert_eq!(of("newsreel_tier_total", "embedding", r#",tier="kv",outcome="hit""#), Some(kv_hits));
    assert_eq!(of("newsreel_reads_total", "title", ""), None, "a series of zero is left out");
    assert_eq!(of("newsreel_origin_seconds_bucket", "title", r#",le="0.01""#), Some("2".to_owned()));
    assert_eq!(of("newsreel_origin_seconds_bucket", "title", r#",le="5""#), Some("5".to_owned()));
    assert_eq!(of("newsreel_origin_seconds_count", "title", ""), Some("7".to_owned()));
    assert_eq!(of("newsreel_lag_seconds_sum", "title", ""), Some("80.121".to_owned()));
    assert_eq!(of("newsreel_lag_max_seconds", "title", ""), Some("70.000".to_owned()));
    assert_eq!(Counts::default().prometheus("tv", "here"), "");
}

#[test]
fn prometheus_is_told_of_every_count() {
    for count in Count::ALL {
        let mut counts = Counts::default();
        counts.origin_took("title", Duration::from_secs(100));
        counts.lag("title", Some(Duration::from_secs(100)));
        let long = Duration::from_secs(100_000);
        counts.read_took("title", long);
        counts.propagated("title", long);
        counts.first_served("title", long);
        counts.outdated("title", long);
        let before = counts.prometheus("tv", "here");
        counts.add("title", *count, 1_000_000);
        assert_ne!(counts.prometheus("tv", "here"), before, "{count:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_reports_equals_counting_at_once(
        all in prop::collection::vec((0..3_usize, counted()), 0..60),
    ) {
        let (mut at_once, mut merged) = (Counts::default(), Counts::default());
        let mut isolates = [Counts::default(), Counts::default(), Counts::default()];
        for (by, one) in &all {
            count(&mut at_once, one);
            count(&mut isolates[*by], one);
            if isolates[*by].get("title", Count::Reads) % 2 == 1 {
                merged.merge(&Counts::parse(&isolates[*by].take().to_text()).unwrap());
            }
        }
        for isolate in &mut isolates {
            merged.merge(&isolate.take());
        }
        prop_assert_eq!(merged, at_once);
    }

    #[test]
    fn the_text_comes_back_and_the_page_is_well_formed(all in prop::collection::vec(counted(), 0..60)) {
        let mut counts = Counts::default();
        for one in &all {
            count(&mut counts, one);
        }
        check(&counts.prometheus("tv", "here"));
        prop_assert_eq!(Counts::parse(&counts.to_text()), Ok(counts));
    }

    #[test]
    fn no_text_makes_it_panic(text in "([0-9 +]{0,8}:?[a-z:\n\r]{0,3}\n?){0,6}") {
        if let Ok(counts) = Counts::parse(&text) {
            prop_assert_eq!(Counts::parse(&counts.to_text()), Ok(counts));
        }
    }
}

/// Checks a page by the grammar of text format 0.0.4, and returns its samples: name and labels, value.
#[track_caller]
fn check(page: &str) -> BTreeMap<String, String> {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    let mut seen = BTreeSet::new();
    let mut metric = "";
    assert!(page.is_empty() || page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            metric = help.split_once(' ').expect("a help has a text").0;
            assert!(is_name(metric) && seen.insert(metric), "HELP once: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, metric, "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind));
            assert_eq!(types.insert(name, kind), None, "TYPE once: {line}");
        } else {
            let (name, rest) = line.split_once('{').expect("every sample has labels");
            let (labels, value) = rest.rsplit_once("} ").expect("a value follows the labels");
            check_sample(metric, types[metric], name, labels, value);
            let name = format!("{name}{{{labels}}}");
            assert_eq!(samples.insert(name, value.to_owned()), None, "a series once: {line}");
        }
    }
    assert_eq!(seen.len(), types.len());
    for (name, _) in types.iter().filter(|(_, kind)| **kind == "histogram") {
        check_histogram(page, name);
    }
    samples
}

#[track_caller]
fn check_sample(metric: &str, kind: &str, name: &str, labels: &str, value: &str) {
    let suffix = name.strip_prefix(metric).unwrap_or_else(|| panic!("{name} stands below {metric}"));
    let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    assert!(is_name(name) && suffixes.contains(&suffix), "{name}");
    assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    let names = label_names(labels);
    assert_eq!(names[..3], ["catalog", "edge", "class"]);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a label once: {labels}");
    assert_eq!(names.contains(&"le".to_owned()), suffix == "_bucket");
    let digits = value.chars().all(|c| c.is_ascii_digit() || c == '.');
    assert!(digits && value.parse::<f64>().unwrap() >= 0.0, "{value}");
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Reads `name="value"` after `name="value"`; in a value only `\\`, `\"` and `\n` may follow a backslash.
#[track_caller]
fn label_names(labels: &str) -> Vec<String> {
    let (mut names, mut left) = (Vec::new(), labels);
    loop {
        let (name, value) = left.split_once("=\"").expect("name=\"");
        assert!(is_name(name), "{name}");
        names.push(name.to_owned());
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect("a value ends with a quote") {
                (at, '"') => break at,
                (_, '\\') => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n'))), "{labels}"),
                (_, c) => assert_ne!(c, '\n'),
            }
        };
        match value[end + 1..].strip_prefix(',') {
            Some(more) => left = more,
            None => {
                assert_eq!(&value[end + 1..], "");
                return names;
            }
        }
    }
}

/// Checks of each series of a histogram: buckets rise, in bound and in number, and the last is the count.
#[track_caller]
fn check_histogram(page: &str, name: &str) {
    let mut last: Option<(f64, u64)> = None;
    for line in page.lines().filter(|line| line.starts_with(name)) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        if series.starts_with(&format!("{name}_bucket")) {
            let (_, le) = series.split_once("le=\"").unwrap();
            let le: f64 = le.trim_end_matches("\"}").parse().unwrap();
            let counted: u64 = value.parse().unwrap();
            assert!(last.is_none_or(|(bound, below)| bound < le && below <= counted), "{line}");
            last = Some((le, counted));
        } else if series.starts_with(&format!("{name}_count")) {
            let (le, counted) = last.take().expect("buckets come before the count");
            assert!(le.is_infinite(), "the last bucket is +Inf");
            assert_eq!(value, counted.to_string(), "the count is the last bucket's");
        }
    }
    assert_eq!(last, None, "a count follows the buckets");
}
