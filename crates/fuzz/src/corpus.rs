//! The corpus of a target: one text file, `corpus/TARGET.txt`, with an entry a line.
//!
//! A line is a name, a tab, and the bytes with everything but printable ASCII escaped, so that a diff shows which
//! entries changed, and an entry can be added by hand. Entries that people wrote have a name and come first, sorted by
//! it. Entries that libFuzzer found are called `-` and are sorted by size, then by bytes. Lines that begin with `#` are
//! comments. The same entries are always the same file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The name of every entry that libFuzzer found.
const FOUND: &str = "-";

const HEADER: &str = "# The corpus of one target of crates/fuzz: a name, a tab, escaped bytes. `scripts/fuzz` writes the \
                      entries called `-`.\n";

/// An input of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name that a person gave the entry; `None` for what libFuzzer found.
    pub name: Option<String>,
    /// The bytes of the input.
    pub bytes: Vec<u8>,
}

/// A corpus that cannot be read.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The file is missing or unreadable.
    #[error("the corpus {} cannot be read", path.display())]
    File {
        /// The path of the corpus.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A line is not a name, a tab and escaped bytes.
    #[error("line {line} of the corpus is not a name, a tab and escaped bytes")]
    Line {
        /// The number of the line, from 1.
        line: usize,
    },
}

/// Returns the file of a target's corpus.
#[must_use]
pub fn file_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.txt"))
}

/// Reads the corpus of a target.
///
/// # Errors
/// Says which line cannot be read, or that the file cannot.
pub fn read(target: &str) -> Result<Vec<Entry>, CorpusError> {
    let path = file_of(target);
    let text = fs::read_to_string(&path).map_err(|source| CorpusError::File { path, source })?;
    parse(&text)
}

/// Reads the text of a corpus.
///
/// # Errors
/// Says which line cannot be read.
pub fn parse(text: &str) -> Result<Vec<Entry>, CorpusError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines.map(|(at, line)| entry(line).ok_or(CorpusError::Line { line: at + 1 })).collect()
}

/// Writes the text of a corpus. An input that occurs twice is written once, under its name if it has one.
#[must_use]
pub fn to_text(entries: &[Entry]) -> String {
    let named: BTreeSet<(&str, &[u8])> =
        entries.iter().filter_map(|entry| Some((entry.name.as_deref()?, entry.bytes.as_slice()))).collect();
    let known: BTreeSet<&[u8]> = named.iter().map(|(_, bytes)| *bytes).collect();
    let found: BTreeSet<(usize, &[u8])> = entries
        .iter()
        .filter(|entry| entry.name.is_none() && !known.contains(entry.bytes.as_slice()))
        .map(|entry| (entry.bytes.len(), entry.bytes.as_slice()))
        .collect();
    let found = found.into_iter().map(|(_, bytes)| (FOUND, bytes));
    let mut text = HEADER.to_owned();
    for (name, bytes) in named.into_iter().chain(found) {
        let _ = writeln!(text, "{name}\t{}", escaped(bytes));
    }
    text
}

fn entry(line: &str) -> Option<Entry> {
    let (name, text) = line.split_once('\t')?;
    let name = (name != FOUND).then(|| name.to_owned());
    Some(Entry { name, bytes: unescaped(text)? })
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// Reads escaped bytes; `None` if an escape is not one of those that are written.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let (kind, after) = after.split_at_checked(1)?;
        rest = after;
        match kind {
            "n" => bytes.push(b'\n'),
            "r" => bytes.push(b'\r'),
            "t" => bytes.push(b'\t'),
            "\\" => bytes.push(b'\\'),
            "x" => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Entry {
        Entry { name: None, bytes: bytes.to_vec() }
    }

    #[test]
    fn any_bytes_come_back() {
        let every: Vec<u8> = (0..=255).collect();
        let entries = [found(b""), found(b"\\x41\\"), found("\u{e9}\r\n\t".as_bytes()), found(&every)];
        let text = to_text(&entries);
        assert!(text.lines().all(|line| line.is_ascii()));
        assert_eq!(parse(&text).unwrap(), entries);
    }

    #[test]
    fn the_same_entries_are_the_same_text_in_whatever_order() {
        let named = Entry { name: Some("a-hash".to_owned()), bytes: b"# no comment".to_vec() };
        let one = [found(b"longer"), named.clone(), found(b"x")];
        let other = [found(b"x"), found(b"# no comment"), found(b"longer"), found(b"x"), named.clone()];
        assert_eq!(to_text(&one), to_text(&other));
        assert_eq!(parse(&to_text(&one)).unwrap(), [named, found(b"x"), found(b"longer")]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for line in ["no tab", "-\t\\", "-\t\\q", "-\t\\x4", "-\t\\xzz", "-\t\\x\u{e9}"] {
            let error = parse(&format!("# a comment\n-\tgood\n{line}\n")).unwrap_err();
            assert!(matches!(error, CorpusError::Line { line: 3 }), "{line}: {error}");
        }
    }
}
