//! The documents that are generated: parts of `docs/configuration.md` and `wrangler.toml`, and the types and the
//! schema of the npm package `newsreel-worker`, from the table of variables; and parts of `docs/cli.md`, from the
//! command line's own definition.
//!
//! `UPDATE_DOCS=1 cargo test -p newsreel-cli documents` writes them; without the variable the same tests fail
//! if a document is out of date. A generated part stands between two lines, `BEGIN GENERATED name` and `END
//! GENERATED name`.

mod alerts;
mod cli;
mod configuration;
mod worker_package;
mod wrangler;

use std::path::{Path, PathBuf};

/// The command that writes the generated parts anew.
const RENEW: &str = "UPDATE_DOCS=1 cargo test -p newsreel-cli documents";

/// Compares the generated parts of a document with what they should be, or writes them.
#[track_caller]
fn check(document: &str, parts: &[(&str, String)]) {
    let text = std::fs::read_to_string(path_of(document)).unwrap();
    check_file(
        document,
        &parts.iter().fold(text, |text, (name, part)| with_part(document, &text, name, part)),
    );
}

/// Compares a document that is generated as a whole with what it should be, or writes it.
#[track_caller]
fn check_file(document: &str, renewed: &str) {
    let path = path_of(document);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, renewed).unwrap();
    } else {
        assert!(
            std::fs::read_to_string(&path).unwrap() == renewed,
            "{document} is out of date: run\n  {RENEW}"
        );
    }
}

fn path_of(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document)
}

/// Returns a document with another text in one of its generated parts.
#[track_caller]
fn with_part(document: &str, text: &str, name: &str, part: &str) -> String {
    let line_with = |mark: String| {
        let at = text.find(&mark).unwrap_or_else(|| panic!("{document} has no line with {mark:?}"));
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
        (begin, end)
    };
    let (_, after_begin) = line_with(format!("BEGIN GENERATED {name}"));
    let (before_end, _) = line_with(format!("END GENERATED {name}"));
    format!("{}{part}{}", &text[..after_begin], &text[before_end..])
}

/// Writes a table in Markdown.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = line(&head.map(str::to_owned)) + &line(&[const { "---" }; N].map(str::to_owned));
    rows.into_iter().fold(head, |text, row| text + &line(&row.map(|cell| cell.replace('|', "\\|"))))
}

/// Breaks a text into lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[test]
fn a_generated_part_is_replaced_and_nothing_else() {
    let text = "a\n<!-- BEGIN GENERATED x -->\nold\n<!-- END GENERATED x -->\nb\n";
    assert_eq!(with_part("a document", text, "x", "new\n"), text.replace("old", "new"));
}
