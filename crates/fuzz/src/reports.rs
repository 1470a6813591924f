//! Reports of isolates to their replica: the hottest keys, and counts.

use newsreel_core::metrics::counts::{Count, Counts};
use newsreel_core::metrics::hot::{self, Hot, MAX_HOT_TAGS, MAX_REPORT_BYTES};
use newsreel_core::wire::change::Target;

use crate::memory::assert_bounded;
use crate::names::{check_key, check_tag};

/// A text as a report of keys, and as counts.
pub(crate) fn reports(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(counts) = assert_bounded(text.len(), 256, || Counts::parse(text)) {
        check_counts(&counts);
    }
    let Ok(report) = assert_bounded(text.len(), 32, || hot::parse(text)) else { return };
    for hot in &report {
        check_key(&hot.key);
        hot.tags.iter().for_each(check_tag);
        assert!(hot.reads > 0 && hot.tags.len() <= MAX_HOT_TAGS);
    }
    let written = hot::to_text(&report);
    assert!(written.len() <= MAX_REPORT_BYTES);
    let again = hot::parse(&written).expect("a report comes back");
    assert!(report.starts_with(&again));

    let mut hot = Hot::new(4);
    hot.merge(&report);
    let everything = hot.hottest_of(&[Target::All], usize::MAX);
    assert!(everything.len() <= 4);
    assert!(everything.iter().all(|key| hot.reads(key) > 0 && report.iter().any(|one| one.key == *key)));
    assert!(everything.is_sorted_by(|one, next| hot.reads(one) >= hot.reads(next)), "the hottest first");
    let top = hot.take_top(2);
    assert_eq!(
        top.iter().map(|hot| &hot.key).collect::<Vec<_>>(),
        everything.iter().take(2).collect::<Vec<_>>()
    );
}

fn check_counts(counts: &Counts) {
    let text = counts.to_text();
    let again = Counts::parse(&text).expect("counts come back");
    assert_eq!(again.to_text(), text);
    let mut twice = again.clone();
    twice.merge(counts);
    for class in counts.classes() {
        for count in Count::ALL {
            let (one, two) = (counts.get(class, *count), twice.get(class, *count));
            assert!(
                two == one.saturating_mul(2) || *count == Count::LagMaxMs,
                "{class} {count:?}: {one} and {two}"
            );
        }
        let _ = counts.doubles(class);
    }
    let metrics = counts.prometheus("tv", "\"edge\\\n");
    assert!(metrics.lines().all(|line| line.starts_with('#') || line.contains(' ')));
}
