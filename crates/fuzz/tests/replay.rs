//! Replays the corpus of every target, and changes to it that are the same on every run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use newsreel_fuzz::mutation::{Random, mutated};
use newsreel_fuzz::{TARGETS, Target};

/// How many changes each target is tried with.
const CHANGES: usize = 2_000;
/// What the corpus may come to: it is read by whoever clones this.
const MOST_FILES: usize = 300;
const MOST_BYTES: usize = 2 << 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Returns the files of a target with their names, in their order.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|_| panic!("{target} has no corpus: fill {}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder is read").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.display().to_string(), fs::read(path).expect("the file is read")))
        .collect()
}

/// Tries each of these bytes; says what the first that break the target are, and where they came from.
fn broken<'a>(target: &Target, mut tried: impl Iterator<Item = (&'a str, Vec<u8>)>) -> Option<String> {
    let holds = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.holds)(bytes))).is_ok();
    let (from, bytes) = tried.find(|(_, bytes)| !holds(bytes))?;
    let shown: String = bytes.escape_ascii().to_string().chars().take(4_000).collect();
    Some(format!("target {}, from {from}: {shown}", target.name))
}

#[test]
fn every_target_holds_for_its_corpus() {
    let broken = TARGETS.iter().filter_map(|target| {
        let files = files(target.name);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        broken(target, files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
    });
    assert_eq!(broken.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn every_target_holds_for_changes_to_its_corpus() {
    let broken = TARGETS.iter().filter_map(|target| {
        let files = files(target.name);
        let mut random = Random::new(6);
        let changes = (0..CHANGES).map(|_| {
            let (name, bytes) = &files[random.below(files.len())];
            let (_, other) = &files[random.below(files.len())];
            (name.as_str(), mutated(&mut random, bytes, other))
        });
        broken(target, changes)
    });
    assert_eq!(broken.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn every_corpus_has_a_target_and_is_small() {
    let mut bytes = 0;
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(newsreel_fuzz::target(&name).is_some(), "corpus/{name} is of no target");
        let files = files(&name);
        assert!(
            files.len() <= MOST_FILES,
            "corpus/{name} has {} files: scripts/fuzz --minimize",
            files.len()
        );
        bytes += files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(bytes <= MOST_BYTES, "the corpus has {bytes} bytes");
}
