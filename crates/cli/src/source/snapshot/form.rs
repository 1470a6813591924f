//! The form of the rows of one name: what identifies a row, what of it is hashed, and what is kept of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use newsreel_core::wire::{Change, Key, Target};
use newsreel_mapping::{Mapping, Row, RowChange, Rule, Skips};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How many bytes of a hash are kept.
pub(super) const HASH_BYTES: usize = 16;
/// The hash of a row for a rule that does not take it.
const NOT_TAKEN: [u8; HASH_BYTES] = [0; HASH_BYTES];
/// The first character of the identity of a row without a key. No key has it.
pub(super) const KEYLESS: char = '\0';

/// What a state keeps of the rows besides what publishing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing.
    Hashes,
    /// The rows themselves, to be served.
    Rows,
}

/// The rules about the rows of one name, and the columns that they read.
#[derive(Debug, Clone)]
pub(super) struct Form {
    name: String,
    rules: Vec<Rule>,
    /// The columns that any rule reads.
    columns: BTreeSet<String>,
    /// The columns that keys, tags and further targets are made of.
    naming: BTreeSet<String>,
    /// The columns that are needed of a row that has changed or gone.
    old: BTreeSet<String>,
}

/// A row as a snapshot sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The key, or of a row without one the hash of its content.
    pub(super) key: String,
    /// For each rule the hash of what matters to it; then the hash of the row, where rows are kept to be served.
    pub(super) hash: Vec<u8>,
    /// The columns that name the row, as a JSON object.
    pub(super) naming: String,
    /// Those of them that are needed of a row that has changed or gone.
    pub(super) old: String,
}

impl Form {
    /// Returns the forms of a mapping, in the order of the file.
    pub(super) fn all(mapping: &Mapping) -> Vec<Self> {
        let mut names: Vec<&str> = Vec::new();
        for rule in &mapping.rules {
            if !names.contains(&rule.from()) {
                names.push(rule.from());
            }
        }
        names.into_iter().map(|name| Self::of(name, mapping.rules_of(name).cloned().collect())).collect()
    }

    fn of(name: &str, rules: Vec<Rule>) -> Self {
        let owned = |columns: BTreeSet<&str>| columns.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let columns = rules.iter().flat_map(|rule| owned(rule.columns())).collect();
        let old: BTreeSet<String> = rules.iter().flat_map(|rule| owned(rule.old_columns())).collect();
        let tags = rules.iter().flat_map(|rule| owned(rule.tag_columns().collect()));
        let naming = old.iter().cloned().chain(tags).collect();
        Self { name: name.to_owned(), columns, naming, old, rules }
    }

    /// Returns the name of the rows, as `from` says it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the rules.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns 16 hex digits that tell these rules from any that publish something else.
    pub(super) fn digest(&self, keep: Keep) -> String {
        hex(&sha(format!("{keep:?} {:?}", self.rules).as_bytes()), 8)
    }

    /// Returns the targets that cover every row that the rules ever named.
    pub(super) fn wide(&self) -> BTreeSet<Target> {
        let targets: BTreeSet<Target> = self.rules.iter().flat_map(Rule::wide).collect();
        if targets.contains(&Target::All) { BTreeSet::from([Target::All]) } else { targets }
    }

    /// Takes a row in. A row that names nothing gives none. A column that a dump leaves out is null.
    pub(super) fn named(&self, row: &mut Row, keep: Keep, skips: &mut Skips) -> Option<Named> {
        for column in &self.columns {
            if !row.contains_key(column) {
                row.insert(column.clone(), Value::Null);
            }
        }
        let (content, mut hash) = (sha(text(row).as_bytes()), Vec::new());
        let mut names_nothing = true;
        for rule in &self.rules {
            if !rule.takes(row) {
                hash.extend_from_slice(&NOT_TAKEN);
                continue;
            }
            let mut names = Vec::new();
            rule.apply(&RowChange::Insert { new: row }, skips, &mut |change: Change| names.push(change));
            names_nothing &= names.is_empty();
            hash.extend_from_slice(matter(rule, row, &names, &content).get(..HASH_BYTES).unwrap_or_default());
        }
        if names_nothing {
            return None;
        }
        if keep == Keep::Rows {
            hash.extend_from_slice(content.get(..HASH_BYTES).unwrap_or_default());
        }
        let key = self.key(row).unwrap_or_else(|| format!("{KEYLESS}{}", hex(&content, HASH_BYTES)));
        Some(Named { key, hash, naming: part(row, &self.naming), old: part(row, &self.old) })
    }

    /// Returns each rule with the hash of a row for it; none where the rule does not take the row, or there is none.
    pub(super) fn hashes<'a>(
        &'a self,
        hash: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a Rule, Option<&'a [u8]>)> {
        let mut hashes = hash.unwrap_or_default().chunks(HASH_BYTES);
        self.rules.iter().map(move |rule| (rule, hashes.next().filter(|hash| *hash != NOT_TAKEN)))
    }

    /// Returns the key of the first rule that gives one.
    fn key(&self, row: &Row) -> Option<String> {
        let rules = self.rules.iter().filter(|rule| rule.takes(row));
        rules.filter_map(|rule| key_of(rule, row)).map(String::from).next()
    }
}

/// Returns the key that a rule gives a row.
pub(super) fn key_of(rule: &Rule, row: &Row) -> Option<Key> {
    let (texts, _) = rule.key()?.fill(row);
    texts.into_iter().next().and_then(|text| Key::new(text).ok())
}

/// Returns the hash of what matters to a rule: the row, or the columns of `only_if_changed` and what the row is called.
fn matter(rule: &Rule, row: &Row, names: &[Change], content: &[u8]) -> Vec<u8> {
    if rule.only_if_changed().is_empty() {
        return content.to_vec();
    }
    let columns: Vec<_> = rule.only_if_changed().iter().map(|column| row.get(column)).collect();
    sha(serde_json::json!([columns, names]).to_string().as_bytes())
}

/// Returns the columns of a row as a JSON object.
fn part(row: &Row, columns: &BTreeSet<String>) -> String {
    let of = columns.iter().filter_map(|column| Some((column, row.get(column)?)));
    serde_json::to_string(&of.collect::<std::collections::BTreeMap<_, _>>()).unwrap_or_default()
}

/// Returns a row as JSON. The columns are in the order of their names, so the same row is the same text.
fn text(row: &Row) -> String {
    serde_json::to_string(row).unwrap_or_default()
}

fn sha(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Returns the first bytes as hex digits.
pub(super) fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
