//! Hot keys in bounded room, their decay, and the text of a report.

use proptest::prelude::*;

use super::*;
use crate::wire::name::Prefix;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn title(n: u64) -> Key {
    key(&format!("title:{n}"))
}

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| Tag::new(*text).unwrap()).collect()
}

fn hot_key(reads: u64, name: &str, named: &[&str]) -> HotKey {
    HotKey { key: key(name), reads, tags: tags(named) }
}

/// Returns all that is kept and was read, the hottest first.
fn all(hot: &Hot) -> Vec<HotKey> {
    hottest(hot.keys.iter().collect(), usize::MAX).into_iter().map(HotKey::of).collect()
}

fn texts(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(Key::as_str).collect()
}

/// A seeded stream in which key `k` of 2^17 comes about `1/k` of the time.
struct Stream(u64);

impl Stream {
    fn random(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn next(&mut self) -> u64 {
        let octave = 1 << (self.random() % 17);
        octave + self.random() % octave
    }
}

/// Checks that the sum, the keys and their order by weight belong together.
#[track_caller]
fn check(hot: &Hot) {
    assert!(hot.keys.len() <= hot.most);
    assert_eq!(hot.total, hot.keys.values().map(|slot| slot.weight).sum::<u64>());
    assert!(hot.keys.values().all(|slot| slot.reads <= slot.weight));
    let weights: BTreeSet<(u64, Key)> =
        hot.keys.iter().map(|(key, slot)| (slot.weight, key.clone())).collect();
    assert_eq!(hot.by_weight, weights);
}

#[test]
fn reads_are_counted_with_the_tags_of_the_last() {
    let mut hot = Hot::new(10);
    hot.touch(&title(1), &tags(&["a"]));
    hot.touch(&title(2), &[]);
    hot.touch(&title(1), &tags(&["b", "c"]));
    assert_eq!((hot.reads(&title(1)), hot.reads(&title(2)), hot.reads(&title(3))), (2, 1, 0));
    assert_eq!(all(&hot)[0], hot_key(2, "title:1", &["b", "c"]));
}

#[test]
fn of_many_tags_the_first_are_kept() {
    let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let many = tags(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut hot = Hot::new(1);
    hot.touch(&title(1), &many);
    assert_eq!(all(&hot)[0].tags, many[..MAX_HOT_TAGS]);
}

#[test]
fn without_room_nothing_is_kept() {
    let mut hot = Hot::new(0);
    hot.touch(&title(1), &[]);
    assert_eq!(hot.take_top(1), []);
    assert_eq!(hot.hottest_of(&[Target::All], 1), []);
}

#[test]
fn a_hot_key_is_kept_under_a_long_tail() {
    let (mut hot, mut stream) = (Hot::new(100), Stream(603));
    let mut distinct = BTreeMap::new();
    for _ in 0..100_000 {
        let n = stream.next();
        *distinct.entry(n).or_insert(0_u64) += 1;
        hot.touch(&title(n), &[]);
        assert!(hot.keys.len() <= 100);
    }
    check(&hot);
    assert!(distinct.len() > 20_000, "a long tail: {}", distinct.len());
    // Keys 1 to 7 are each more than one in a hundred reads.
    let top = hot.hottest_of(&[Target::All], 7);
    assert_eq!(top[0], title(1));
    for n in 1..8 {
        assert!(top.contains(&title(n)), "{n} in {top:?}");
        assert!(hot.reads(&title(n)) <= distinct[&n], "never more than there were");
    }
}

#[test]
fn a_key_that_becomes_hot_is_found_and_one_that_cools_is_forgotten() {
    let (mut hot, mut stream) = (Hot::new(100), Stream(1));
    let (before, after) = (key("live:before"), key("live:after"));
    for n in 0..100_000 {
        hot.touch(&title(stream.next()), &[]);
        if n % 20 == 0 {
            hot.touch(if n < 50_000 { &before } else { &after }, &[]);
        }
    }
    let top = hot.hottest_of(&[Target::All], 3);
    assert!(top.contains(&after) && !top.contains(&before), "{top:?}");
    assert!(hot.reads(&before) < hot.reads(&after) / 50);
}

#[test]
fn a_flood_of_keys_read_once_moves_nothing_that_is_hot() {
    let mut hot = Hot::new(10);
    for n in 0..100_000 {
        hot.touch(&title(n), &[]);
        if n % 5 == 0 {
            hot.touch(&key("live:1"), &[]);
        }
    }
    check(&hot);
    assert_eq!(hot.hottest_of(&[Target::All], 1), [key("live:1")]);
}

#[test]
fn what_is_reported_is_not_reported_again_and_the_others_are_kept() {
    let mut hot = Hot::new(4);
    for (n, reads) in [(1, 1), (2, 5), (3, 3), (4, 1)] {
        for _ in 0..reads {
            hot.touch(&title(n), &tags(&["t"]));
        }
    }
    let report = hot.take_top(2);
    assert_eq!(report, [hot_key(5, "title:2", &["t"]), hot_key(3, "title:3", &["t"])]);
    hot.touch(&title(4), &tags(&["t"]));
    check(&hot);
    assert_eq!(hot.take_top(1), [hot_key(2, "title:4", &["t"])]);
    assert_eq!(hot.take_top(0), []);
    assert_eq!(hot.take_top(9), [hot_key(1, "title:1", &["t"])]);
    assert_eq!(hot.take_top(9), []);
}

#[test]
fn a_report_beyond_measure_makes_all_else_cold_but_breaks_nothing() {
    let mut kept = Hot::new(3);
    kept.merge(&[
        hot_key(7, "title:1", &[]),
        hot_key(u64::MAX, "title:2", &[]),
        hot_key(u64::MAX, "title:3", &[]),
    ]);
    kept.touch(&title(4), &[]);
    check(&kept);
    assert!(kept.total < 3 * WEIGHT_PER_KEY);
    assert_eq!(kept.reads(&title(1)), 0);
    assert!(kept.reads(&title(3)) > 0);
}

#[test]
fn the_hottest_of_a_change_are_those_that_it_covers() {
    let mut kept = Hot::new(10);
    kept.merge(&[
        hot_key(1, "title:1", &["x"]),
        hot_key(9, "title:12", &["y"]),
        hot_key(5, "live:1", &["x", "z"]),
        hot_key(7, "fare:1", &[]),
    ]);
    let of = |targets: &[Target], most| {
        let keys = kept.hottest_of(targets, most);
        texts(&keys).join(" ")
    };
    let tag = |name| Target::Tag(Tag::new(name).unwrap());
    let prefix = |text| Target::Prefix(Prefix::new(text).unwrap());
    assert_eq!(of(&[], 9), "");
    assert_eq!(of(&[Target::Key(title(1)), Target::Key(title(3)), Target::Key(title(1))], 9), "title:1");
    assert_eq!(of(&[tag("x")], 9), "live:1 title:1");
    assert_eq!(of(&[tag("x"), Target::Key(key("live:1")), tag("z")], 9), "live:1 title:1", "each once");
    assert_eq!(of(&[prefix("title:1"), prefix("title:12")], 9), "title:12 title:1");
    assert_eq!(of(&[prefix("title:12"), prefix("t"), prefix("f")], 9), "title:12 fare:1 title:1");
    assert_eq!(of(&[Target::All, tag("x")], 9), "title:12 fare:1 live:1 title:1");
    assert_eq!(of(&[Target::All], 2), "title:12 fare:1");
}

#[test]
fn a_report_is_a_line_a_key_with_the_key_last() {
    let report = [hot_key(7, "title:a b", &["x", "y:z"]), hot_key(1, "live:1", &[])];
    assert_eq!(to_text(&report), "7 x,y:z title:a b\n1  live:1\n");
    assert_eq!(parse(&to_text(&report)).unwrap(), report);
    assert_eq!(parse(""), Ok(Vec::new()));
}

#[test]
fn a_report_that_is_something_else_is_refused_as_a_whole() {
    for (text, line) in [
        ("\n", 1),
        ("7 title:1\n", 1),
        ("0  title:1\n", 1),
        ("  title:1\n", 1),
        ("+7  title:1\n", 1),
        ("18446744073709551616  title:1\n", 1),
        ("7  title\n", 1),
        ("7  title:1\r\n", 1),
        ("7 a, title:1\n", 1),
        ("7 é title:1\n", 1),
        ("7 1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7 title:1\n", 1),
        ("7  title:1\n\n", 2),
        ("7  title:1\nx\n", 2),
    ] {
        assert_eq!(parse(text), Err(ReportError::Line(line)), "{text:?}");
    }
}

#[test]
fn a_report_past_the_bound_is_cut_when_it_is_written_and_refused_when_it_is_read() {
    let report: Vec<HotKey> =
        (0..10_000).map(|n| hot_key(10_000 - n, &format!("title:{n}"), &["x"])).collect();
    let text = to_text(&report);
    assert!((MAX_REPORT_BYTES - 30..=MAX_REPORT_BYTES).contains(&text.len()));
    let read = parse(&text).unwrap();
    assert_eq!(read, report[..read.len()], "the hottest");
    let longer = "1  title:1\n".repeat(MAX_REPORT_BYTES / 11 + 1);
    assert_eq!(parse(&longer), Err(ReportError::TooLong));
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        4 => "[ab]:[ab]{1,3}".prop_map(|text| Target::Key(key(&text))),
        4 => "[a-d]".prop_map(|text| Target::Tag(Tag::new(text).unwrap())),
        4 => "[ab](:[ab]{0,3})?".prop_map(|text| Target::Prefix(Prefix::new(text).unwrap())),
        1 => Just(Target::All),
    ]
}

fn reported() -> impl Strategy<Value = HotKey> {
    let named = prop::collection::btree_set("[a-d]", 0..3);
    (1..5_u64, "[ab]:[ab]{1,3}", named).prop_map(|(reads, name, named)| {
        hot_key(reads, &name, &named.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_reports_equals_counting_at_once(
        reads in prop::collection::vec((0..3_usize, 0..30_u64), 0..300),
        n in 1..20_usize,
    ) {
        let (mut at_once, mut merged) = (Hot::new(40), Hot::new(40));
        let mut isolates = [Hot::new(40), Hot::new(40), Hot::new(40)];
        let of = |n: u64| tags(&[["x", "y"][usize::from(n.is_multiple_of(2))]]);
        for (at, (by, n)) in reads.iter().enumerate() {
            at_once.touch(&title(*n), &of(*n));
            isolates[*by].touch(&title(*n), &of(*n));
            if at % 50 == 49 {
                merged.merge(&parse(&to_text(&isolates[*by].take_top(5))).unwrap());
            }
        }
        for isolate in &mut isolates {
            while let report @ [_, ..] = isolate.take_top(n).as_slice() {
                merged.merge(report);
            }
        }
        check(&merged);
        prop_assert_eq!(all(&merged), all(&at_once));
    }

    #[test]
    fn its_parts_belong_together_after_every_step(
        steps in prop::collection::vec((reported(), prop::option::weighted(0.05, 0..9_usize)), 0..400),
        most in 1..12_usize,
    ) {
        let mut kept = Hot::new(most);
        let mut reads: BTreeMap<Key, u64> = BTreeMap::new();
        for (report, take) in steps {
            *reads.entry(report.key.clone()).or_default() += report.reads;
            kept.merge(std::slice::from_ref(&report));
            prop_assert!(kept.reads(&report.key) <= reads[&report.key]);
            if let Some(n) = take {
                prop_assert!(kept.take_top(n).len() <= n);
            }
            check(&kept);
        }
    }

    #[test]
    fn the_hottest_are_those_that_a_search_of_all_finds(
        reports in prop::collection::vec(reported(), 0..40),
        targets in prop::collection::vec(target(), 0..8),
        most in 0..12_usize,
    ) {
        let mut kept = Hot::new(100);
        kept.merge(&reports);
        let covers = |hot: &HotKey| targets.iter().any(|target| match target {
            Target::Key(key) => *key == hot.key,
            Target::Tag(tag) => hot.tags.contains(tag),
            Target::Prefix(prefix) => prefix.covers(&hot.key),
            Target::All => true,
        });
        let wanted: Vec<Key> = all(&kept).into_iter().filter(covers).map(|hot| hot.key).take(most).collect();
        prop_assert_eq!(kept.hottest_of(&targets, most), wanted);
    }

    #[test]
    fn no_text_makes_it_panic(text in "([0-9+]{0,3} [a,é]{0,3} [a:\n\r]{0,5}\n?){0,6}") {
        if let Ok(report) = parse(&text) {
            prop_assert_eq!(parse(&to_text(&report)), Ok(report));
        }
    }
}
