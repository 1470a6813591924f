//! Topics: the key prefixes that a follower asked for, and the changes that pass them.

use serde::{Deserialize, Serialize};

use crate::wire::change::{Change, Target};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::name::Key;

/// Key prefixes (a class is the prefix `class:`); a change passes when any of them matches. None means all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Topics(Vec<String>);

impl Topics {
    /// Returns the interest in any of these key prefixes.
    #[must_use]
    pub fn new(mut topics: Vec<String>) -> Self {
        topics.sort();
        topics.dedup();
        Self(topics)
    }

    /// Says whether everything passes.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether the change passes. A tag or `all` may touch any key, so it always does.
    #[must_use]
    pub fn pass(&self, change: &Change) -> bool {
        self.is_everything()
            || match &change.target {
                Target::Key(key) => key_passes(&self.0, key),
                Target::Prefix(prefix) => {
                    let prefix = prefix.as_str();
                    self.0.iter().any(|topic| prefix.starts_with(topic.as_str()) || topic.starts_with(prefix))
                }
                Target::Tag(_) | Target::All => true,
            }
    }

    /// Returns the changes that are left of a fold's JSON changes separated by commas, in the same form.
    ///
    /// # Errors
    /// When the changes are not in the form in which the fold writes them.
    pub fn filtered_fold(&self, changes: &str) -> Result<String, serde_json::Error> {
        let changes: Vec<FoldedChange> = serde_json::from_str(&format!("[{changes}]"))?;
        let passing = changes.iter().filter(|folded| self.pass(&folded.change));
        Ok(passing.map(FoldedChange::to_json).collect::<Vec<_>>().join(","))
    }

    /// Returns the rows that are left of JSON rows separated by commas, in the same form.
    ///
    /// # Errors
    /// When the rows are not in the form in which the log writes them.
    pub fn filtered(&self, rows: &str) -> Result<String, serde_json::Error> {
        versions(rows).map(|versions| self.passing_rows(&versions))
    }

    /// Returns the rows with the changes that pass, as JSON separated by commas.
    #[must_use]
    pub fn passing_rows(&self, versions: &[VersionRow]) -> String {
        let mut texts = Vec::new();
        for row in versions {
            let changes: Vec<Change> =
                row.changes.iter().filter(|change| self.pass(change)).cloned().collect();
            if !changes.is_empty() {
                texts.push(VersionRow { changes, cause: row.cause.clone(), ..*row }.to_json());
            }
        }
        texts.join(",")
    }
}

/// Says whether changes of a key pass these topics; without any, all do.
#[must_use]
pub fn key_passes(topics: &[String], key: &Key) -> bool {
    topics.is_empty() || topics.iter().any(|topic| key.as_str().starts_with(topic.as_str()))
}

/// Reads JSON rows separated by commas.
///
/// # Errors
/// When the rows are not in the form in which the log writes them.
pub fn versions(rows: &str) -> Result<Vec<VersionRow>, serde_json::Error> {
    serde_json::from_str(&format!("[{rows}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn passes(topics: &[&str], change: &str) -> bool {
        let topics = Topics::new(topics.iter().map(|topic| (*topic).to_owned()).collect());
        topics.pass(&serde_json::from_str(change).unwrap())
    }

    #[test]
    fn keys_pass_by_class_or_prefix_and_any_topic_is_enough() {
        let key = r#"{"key":"availability:netflix:603"}"#;
        assert!(passes(&[], key));
        assert!(passes(&["availability:"], key));
        assert!(passes(&["embedding:", "availability:netflix:"], key));
        assert!(!passes(&["availability:hulu:"], key));
    }

    #[test]
    fn tags_overlapping_prefixes_and_all_always_pass() {
        let topics = &["availability:netflix:"];
        assert!(passes(topics, r#"{"tag":"x"}"#));
        assert!(passes(topics, r#"{"all":true}"#));
        assert!(passes(topics, r#"{"prefix":"avail"}"#));
        assert!(passes(topics, r#"{"prefix":"availability:netflix:60"}"#));
        assert!(!passes(topics, r#"{"prefix":"embedding:"}"#));
    }

    #[test]
    fn filtered_rows_keep_their_form_and_lose_what_does_not_match() {
        let rows = r#"{"version":1,"at":5,"changes":[{"key":"a:1"},{"key":"b:1"}]},{"version":2,"at":6,"changes":[{"key":"b:1"}]},{"version":3,"at":7,"changes":[{"key":"a:\u00e9"}]}"#;
        let left = Topics::new(vec!["a:".into()]).filtered(rows).unwrap();
        assert_eq!(
            left,
            r#"{"version":1,"at":5,"changes":[{"key":"a:1"}]},{"version":3,"at":7,"changes":[{"key":"a:\u00e9"}]}"#
        );
        assert_eq!(Topics::new(vec!["c:".into()]).filtered(rows).unwrap(), "");
    }

    #[test]
    fn a_filtered_fold_keeps_its_form_and_loses_what_does_not_match() {
        let changes =
            r#"{"version":1,"key":"a:1"},{"version":2,"key":"b:1"},{"version":3,"tag":"x","soft":true}"#;
        let left = Topics::new(vec!["a:".into()]).filtered_fold(changes).unwrap();
        assert_eq!(left, r#"{"version":1,"key":"a:1"},{"version":3,"tag":"x","soft":true}"#);
        assert_eq!(Topics::new(vec!["a:".into()]).filtered_fold("").unwrap(), "");
    }
}
