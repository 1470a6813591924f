//! The log's word on each target: the newest hard and the newest soft version that name it, and when they were heard.

use std::collections::HashMap;

use newsreel_core::wire::change::Operation;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Key, Prefix, Tag, Target, UnixMillis, Version};

/// How many targets are remembered. Past that the older half is forgotten, which excuses answers and accuses none.
const MOST_TARGETS: usize = 200_000;
/// How many prefixes are remembered: each key is compared with every one of them.
const MOST_PREFIXES: usize = 2_000;

/// A version of the log, and when this checker heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeardVersion {
    /// The version.
    pub(crate) version: Version,
    /// When it was heard, by the checker's clock.
    pub(crate) at: UnixMillis,
}

/// The newest versions that cover a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Covering {
    /// The newest that ends older values.
    pub(crate) hard: Option<HeardVersion>,
    /// The newest that only lets older values be marked.
    pub(crate) soft: Option<HeardVersion>,
}

/// Everything that the log has said lately.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: HashMap<Key, Covering>,
    tags: HashMap<Tag, Covering>,
    prefixes: HashMap<Prefix, Covering>,
    all: Covering,
}

impl Covering {
    /// Returns the newest version of either kind.
    pub(crate) fn newest(&self) -> Option<HeardVersion> {
        newer(self.hard, self.soft)
    }

    /// Returns the newest of both, kind by kind.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { hard: newer(self.hard, other.hard), soft: newer(self.soft, other.soft) }
    }

    fn hear(&mut self, operation: Operation, heard: HeardVersion) {
        match operation {
            Operation::Update | Operation::Remove => self.hard = newer(self.hard, Some(heard)),
            Operation::Soften => self.soft = newer(self.soft, Some(heard)),
        }
    }
}

fn newer(one: Option<HeardVersion>, other: Option<HeardVersion>) -> Option<HeardVersion> {
    [one, other].into_iter().flatten().max_by_key(|heard| heard.version)
}

impl Ledger {
    /// Takes a version of the log, which was heard at this moment.
    pub(crate) fn hear(&mut self, row: &VersionRow, at: UnixMillis) {
        let heard = HeardVersion { version: row.version, at };
        for change in &row.changes {
            let covering = match &change.target {
                Target::Key(key) => self.keys.entry(key.clone()).or_default(),
                Target::Tag(tag) => self.tags.entry(tag.clone()).or_default(),
                Target::Prefix(prefix) => self.prefixes.entry(prefix.clone()).or_default(),
                Target::All => &mut self.all,
            };
            covering.hear(change.operation, heard);
        }
        forget_older_half(&mut self.keys, MOST_TARGETS);
        forget_older_half(&mut self.tags, MOST_TARGETS);
        forget_older_half(&mut self.prefixes, MOST_PREFIXES);
    }

    /// Returns what covers an entry of the key, by its name alone.
    pub(crate) fn by_name(&self, key: &Key) -> Covering {
        let of_key = self.keys.get(key).copied().unwrap_or_default();
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| prefix.covers(key));
        prefixes.fold(of_key.with(self.all), |covering, (_, more)| covering.with(*more))
    }

    /// Returns what covers an entry of the key that carries these tags.
    pub(crate) fn covering(&self, key: &Key, tags: &[Tag]) -> Covering {
        let of_tags = tags.iter().filter_map(|tag| self.tags.get(tag));
        of_tags.fold(self.by_name(key), |covering, more| covering.with(*more))
    }
}

fn forget_older_half<T: std::hash::Hash + Eq>(of: &mut HashMap<T, Covering>, most: usize) {
    if of.len() <= most {
        return;
    }
    let version = |covering: &Covering| covering.newest().map_or(Version::ZERO, |heard| heard.version);
    let mut versions: Vec<Version> = of.values().map(version).collect();
    let middle = versions.len() / 2;
    let (_, median, _) = versions.select_nth_unstable(middle);
    let median = *median;
    of.retain(|_, covering| version(covering) > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: u64, changes: &str) -> VersionRow {
        serde_json::from_str(&format!(r#"{{"version":{version},"at":1,"changes":[{changes}]}}"#)).unwrap()
    }

    fn versions(covering: Covering) -> [Option<u64>; 2] {
        [covering.hard, covering.soft].map(|heard| heard.map(|heard| heard.version.number()))
    }

    #[test]
    fn a_key_is_covered_by_its_name_its_tags_its_prefixes_and_everything() {
        let mut ledger = Ledger::default();
        let (key, tag) = (Key::new("title:1").unwrap(), Tag::new("red").unwrap());
        let mut hear = |version, changes| ledger.hear(&row(version, changes), UnixMillis(version));
        hear(1, r#"{"all":true}"#);
        hear(2, r#"{"key":"title:2"},{"tag":"blue"},{"prefix":"live:"}"#);
        hear(3, r#"{"key":"title:1","soft":true}"#);
        hear(4, r#"{"tag":"red"}"#);
        hear(5, r#"{"prefix":"title:"}"#);
        hear(6, r#"{"prefix":"title:1","soft":true}"#);
        assert_eq!(versions(ledger.covering(&key, &[])), [Some(5), Some(6)]);
        let mut hear = |version, changes| ledger.hear(&row(version, changes), UnixMillis(version));
        hear(7, r#"{"tag":"red"}"#);
        assert_eq!(versions(ledger.covering(&key, std::slice::from_ref(&tag))), [Some(7), Some(6)]);
        assert_eq!(versions(ledger.by_name(&key)), [Some(5), Some(6)]);
        assert_eq!(versions(ledger.by_name(&Key::new("other:1").unwrap())), [Some(1), None]);
    }

    #[test]
    fn the_older_half_is_forgotten() {
        let mut of: HashMap<u64, Covering> = (1..=9)
            .map(|n| {
                let heard = HeardVersion { version: Version::new(n).unwrap(), at: UnixMillis(0) };
                (n, Covering { hard: Some(heard), soft: None })
            })
            .collect();
        forget_older_half(&mut of, 9);
        assert_eq!(of.len(), 9);
        forget_older_half(&mut of, 8);
        let mut left: Vec<u64> = of.into_keys().collect();
        left.sort_unstable();
        assert_eq!(left, [6, 7, 8, 9]);
    }
}
