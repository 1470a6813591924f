//! The workspace as text: finds files by walking it, so that a file may move without a word here.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the workspace.
pub(crate) struct Source {
    /// The path below the workspace's root, with `/` between its parts.
    pub(crate) path: String,
    /// The contents of the file.
    pub(crate) text: String,
}

impl Source {
    /// Returns the name of the crate that the file belongs to.
    pub(crate) fn krate(&self) -> &str {
        self.path.strip_prefix("crates/").and_then(|path| path.split('/').next()).unwrap_or_default()
    }
}

/// Folders that hold no source text of the project's own.
const SKIPPED: [&str; 6] = ["target", "node_modules", "corpus", "golden", "transcripts", "dist"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        if entry.file_type().expect("a type of file").is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                walk(&entry.path(), ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(entry.path());
        }
    }
}

/// Reads every file below a folder of the workspace with a name that ends so, in the order of the paths.
#[track_caller]
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    walk(&root.join(folder), ending, &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has files that end with {ending}");
    let read = paths.into_iter().map(|path| {
        let below =
            path.strip_prefix(&root).expect("a path below the root").to_string_lossy().replace('\\', "/");
        Source { path: below, text: fs::read_to_string(&path).expect("a text file") }
    });
    read.collect()
}

/// Returns the Rust files of all crates but this check itself.
pub(crate) fn rust() -> Vec<Source> {
    let mut sources = files("crates", ".rs");
    sources.retain(|source| !source.path.contains("/tests/tidy/"));
    sources
}

/// Returns the Rust files of the crates with numbers that the protocol documents.
pub(crate) fn deployed() -> Vec<Source> {
    let mut sources = rust();
    sources.retain(|source| !["cli", "client", "fuzz", "in-workerd", "sim"].contains(&source.krate()));
    sources
}

/// Returns the end-to-end tests.
pub(crate) fn e2e() -> Vec<Source> {
    files("e2e", ".test.mjs")
}

/// Returns the sources of the npm package.
pub(crate) fn package() -> Vec<Source> {
    files("packages/newsreel/src", ".ts")
}

/// Reads a golden file of this crate.
pub(crate) fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}
