//! The hot set: which keys, and in which order.

use std::collections::HashMap;

use newsreel_core::wire::{Key, NameError};
use serde::Deserialize;

/// One key of the hot set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hot {
    /// The key, without the catalog.
    pub(crate) key: Key,
    /// How often the key is read; 0 if the input does not say.
    pub(crate) reads: u64,
}

/// A line that names no key.
#[derive(Debug)]
pub(crate) struct BadLine {
    /// The number of the line, from 1.
    pub(crate) number: usize,
    /// The rule that the line breaks.
    pub(crate) error: HotKeyError,
}

/// Why a line names no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HotKeyError {
    /// The line begins with a brace and is not the JSON of a key.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The line is not a key.
    #[error(transparent)]
    Key(#[from] NameError),
}

/// Reads one key a line, plain or as JSON. Returns at most `top` keys, and the lines that name none. The keys
/// with the most reads come first; a key that stands twice counts once.
pub(crate) fn read(text: &str, top: usize) -> (Vec<Hot>, Vec<BadLine>) {
    let (mut hot, mut bad): (Vec<Hot>, _) = (Vec::new(), Vec::new());
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        match parse(line.trim()) {
            Ok(None) => {}
            Err(error) => bad.push(BadLine { number: index + 1, error }),
            Ok(Some(found)) => {
                let held = places.get(&found.key).and_then(|place| hot.get_mut(*place));
                if let Some(held) = held {
                    held.reads = held.reads.max(found.reads);
                } else {
                    places.insert(found.key.clone(), hot.len());
                    hot.push(found);
                }
            }
        }
    }
    // The sort is stable: keys with equal reads stay in their order.
    hot.sort_by_key(|hot| std::cmp::Reverse(hot.reads));
    hot.truncate(top);
    (hot, bad)
}

/// Reads a line; `None` if it is empty. A line that begins with a brace is JSON.
fn parse(line: &str) -> Result<Option<Hot>, HotKeyError> {
    #[derive(Deserialize)]
    struct Line {
        key: Key,
        #[serde(default)]
        reads: u64,
    }
    if line.is_empty() {
        return Ok(None);
    }
    if line.starts_with('{') {
        let Line { key, reads } = serde_json::from_str(line)?;
        return Ok(Some(Hot { key, reads }));
    }
    Ok(Some(Hot { key: Key::new(line)?, reads: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str, top: usize) -> Vec<String> {
        read(text, top).0.into_iter().map(|hot| hot.key.into()).collect()
    }

    #[test]
    fn keys_come_plain_or_as_json_in_their_order() {
        let text = "title:2\n\n{\"key\":\"title:1\",\"rank\":7}\r\n  title:3 \ntitle:2\n";
        assert_eq!(keys(text, 9), ["title:2", "title:1", "title:3"]);
        assert_eq!(keys(text, 2), ["title:2", "title:1"]);
        assert_eq!(keys("", 2), [""; 0]);
    }

    #[test]
    fn the_most_read_stand_first_and_a_key_counts_once() {
        let text = "{\"key\":\"a:1\",\"reads\":5}\na:2\n{\"key\":\"a:3\",\"reads\":9}\n{\"key\":\"a:4\",\"reads\":5}\n\
                    {\"key\":\"a:2\",\"reads\":6}\n{\"key\":\"a:3\",\"reads\":1}";
        assert_eq!(keys(text, 9), ["a:3", "a:2", "a:1", "a:4"]);
    }

    #[test]
    fn a_line_that_names_no_key_is_told_with_its_number() {
        let (hot, bad) =
            read("a:1\ntitle\n{\"key\":1}\n{\"key\":\"a:2\"\n\na:3\n{\"key\":\"a:4\",\"reads\":-1}", 9);
        assert_eq!(hot.len(), 2);
        assert_eq!(bad.iter().map(|bad| bad.number).collect::<Vec<_>>(), [2, 3, 4, 7]);
        assert!(bad[0].error.to_string().contains("class:id"), "{bad:?}");
    }
}
