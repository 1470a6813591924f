//! Microbenchmarks of the pure core: what the decisions of a publish and of a read cost without everything around them.
//!
//! `scripts/bench --core` runs them. They see little of what a change is worth on workerd, where most of the time goes
//! elsewhere; they do show what a change makes of one function.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use newsreel_core::log::compaction::Compaction;
use newsreel_core::read::floors::{EntryTags, Floor, FloorRow, Floors};
use newsreel_core::wire::publish::Publish;
use newsreel_core::wire::{Cause, Frame, Hash, Key, Tag, Target, UnixMillis, Version, VersionRow};

fn main() {
    divan::main();
}

/// The text of a publish of so many changes.
fn body(changes: u64) -> String {
    let changes: Vec<String> = (0..changes).map(change).collect();
    format!(r#"{{"changes":[{}]}}"#, changes.join(","))
}

fn change(nth: u64) -> String {
    format!(
        r#"{{"key":"availability:netflix:{nth}","tags":["platform:netflix","title:{nth}","country:us"]}}"#
    )
}

fn version(number: u64) -> Version {
    Version::new(number).expect("a small number is a version")
}

/// A frame of so many versions with one change each.
fn frame(versions: u64) -> String {
    let rows: Vec<String> = (1..=versions)
        .map(|nth| format!(r#"{{"version":{nth},"at":1767225600000,"changes":[{}]}}"#, change(nth)))
        .collect();
    let hash = "68af3c045ca45573";
    let rows = rows.join(",");
    format!(r#"{{"type":"changes","from":0,"to":{versions},"hash":"{hash}","versions":[{rows}]}}"#)
}

#[divan::bench(args = [1, 100, 1000])]
fn read_a_publish(bencher: Bencher<'_, '_>, changes: u64) {
    let body = body(changes);
    let counted = bencher.counter(ItemsCount::new(changes)).counter(BytesCount::of_str(&body));
    counted.bench(|| Publish::parse(black_box(body.as_bytes())));
}

#[divan::bench(args = [1, 100, 1000])]
fn write_a_publish(bencher: Bencher<'_, '_>, changes: u64) {
    let publish = Publish::parse(body(changes).as_bytes()).expect("a publish");
    bencher.counter(ItemsCount::new(changes)).bench(|| black_box(&publish).written());
}

#[divan::bench(args = [1, 100, 1000])]
fn fingerprint_a_publish(bencher: Bencher<'_, '_>, changes: u64) {
    let written = Publish::parse(body(changes).as_bytes()).expect("a publish").written();
    bencher.counter(ItemsCount::new(changes)).bench(|| black_box(&written).fingerprint());
}

#[divan::bench(args = [1, 100, 1000])]
fn hash_a_row(bencher: Bencher<'_, '_>, changes: u64) {
    let row = body(changes);
    let hash = Hash::genesis(&"01ARYZ6S410000000000000000".parse().expect("an epoch"));
    bencher.counter(BytesCount::of_str(&row)).bench(|| black_box(hash).then(black_box(row.as_bytes())));
}

#[divan::bench(args = [1, 100, 1000])]
fn read_a_frame(bencher: Bencher<'_, '_>, versions: u64) {
    let text = frame(versions);
    let counted = bencher.counter(ItemsCount::new(versions)).counter(BytesCount::of_str(&text));
    counted.bench(|| Frame::parse(black_box(&text)));
}

#[divan::bench(args = [100, 10_000])]
fn compact_versions(bencher: Bencher<'_, '_>, versions: u64) {
    let rows: Vec<VersionRow> = (1..=versions)
        .map(|nth| VersionRow {
            version: version(nth),
            at: UnixMillis(1_767_225_600_000),
            changes: Publish::parse(change(nth % 1000).as_bytes()).expect("a publish").changes,
            cause: Cause::default(),
        })
        .collect();
    bencher
        .counter(ItemsCount::new(versions))
        .with_inputs(|| rows.clone())
        .bench_values(|rows| Compaction::of(Vec::new(), black_box(rows)));
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn judge_an_entry(bencher: Bencher<'_, '_>, floors: u64) {
    let mut known = Floors::default();
    for nth in 1..=floors {
        let key = Key::new(format!("title:{nth}")).expect("a key");
        let floor = Floor { hard: version(nth), ..Floor::default() };
        known.raise(FloorRow { target: Target::Key(key), floor });
    }
    let key = Key::new(format!("title:{}", floors / 2)).expect("a key");
    let tags = ["platform:netflix", "country:us"].map(|tag| Tag::new(tag).expect("a tag"));
    bencher.bench(|| black_box(&known).judge(black_box(&key), version(floors), EntryTags::Tags(&tags)));
}
