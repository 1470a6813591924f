//! Replays the corpus of every target, and changes to it that are the same on every run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use newsreel_fuzz::corpus::{self, Entry};
use newsreel_fuzz::mutation::{Random, mutated};
use newsreel_fuzz::{TARGETS, Target};

/// How many changes each target is tried with.
const CHANGES: usize = 2_000;
/// The most that the corpus may come to: every clone carries it.
const MAX_ENTRIES: usize = 300;
const MAX_BYTES: usize = 2 << 20;

fn entries(target: &str) -> Vec<Entry> {
    let entries = corpus::read(target).unwrap_or_else(|error| panic!("{target}: {error}"));
    assert!(!entries.is_empty(), "the corpus of {target} is empty");
    entries
}

fn label(number: usize, entry: &Entry) -> String {
    entry.name.clone().unwrap_or_else(|| format!("entry {}", number + 1))
}

/// Tries inputs until one breaks the target; returns that input and the entry that it came from.
fn broken(target: &Target, mut tried: impl Iterator<Item = (String, Vec<u8>)>) -> Option<String> {
    let holds = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.holds)(bytes))).is_ok();
    let (from, bytes) = tried.find(|(_, bytes)| !holds(bytes))?;
    let shown: String = bytes.escape_ascii().to_string().chars().take(4_000).collect();
    Some(format!("target {}, from {from}: {shown}", target.name))
}

#[test]
fn every_target_holds_for_its_corpus() {
    let broken = TARGETS.iter().filter_map(|target| {
        let entries = entries(target.name);
        broken(
            target,
            entries.iter().enumerate().map(|(number, entry)| (label(number, entry), entry.bytes.clone())),
        )
    });
    assert_eq!(broken.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn every_target_holds_for_changes_to_its_corpus() {
    let broken = TARGETS.iter().filter_map(|target| {
        let entries = entries(target.name);
        let mut random = Random::new(6);
        let changes = (0..CHANGES).map(|_| {
            let number = random.below(entries.len());
            let other = random.below(entries.len());
            let bytes = mutated(&mut random, &entries[number].bytes, &entries[other].bytes);
            (label(number, &entries[number]), bytes)
        });
        broken(target, changes)
    });
    assert_eq!(broken.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn every_corpus_has_a_target_is_small_and_is_written_as_scripts_fuzz_would() {
    let folder = corpus::file_of("any").parent().unwrap().to_owned();
    let mut bytes = 0;
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(newsreel_fuzz::target(name).is_some(), "{} is of no target", file.display());
        let entries = entries(name);
        assert!(entries.len() <= MAX_ENTRIES, "{name} has {} entries: scripts/fuzz {name} 0", entries.len());
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            corpus::to_text(&entries),
            "{} is not in order: scripts/fuzz {name} 0",
            file.display()
        );
        bytes += text.len();
    }
    assert!(bytes <= MAX_BYTES, "the corpus has {bytes} bytes");
}
