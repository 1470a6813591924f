//! The hot set: which keys, and in which order.

use std::collections::HashMap;

use newsreel_core::wire::Key;
use serde::Deserialize;

/// One key of the hot set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hot {
    /// Which.
    pub(super) key: Key,
    /// How often it is read; 0 where nobody says.
    pub(super) reads: u64,
}

/// A line that names no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Why.
    pub(super) why: String,
}

/// Reads one key a line, plain or as JSON; returns those of the first places, and the lines that are none. If any
/// line tells its reads, the most read stand first; else they stay in their order. A key counts once.
pub(super) fn read(text: &str, top: usize) -> (Vec<Hot>, Vec<BadLine>) {
    let (mut hot, mut bad): (Vec<Hot>, _) = (Vec::new(), Vec::new());
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        match parse(line.trim()) {
            None => {}
            Some(Err(why)) => bad.push(BadLine { number: index + 1, why }),
            Some(Ok(found)) => {
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
    // Those read alike stay in their order.
    hot.sort_by_key(|hot| std::cmp::Reverse(hot.reads));
    hot.truncate(top);
    (hot, bad)
}

/// Reads a line; `None` if it is empty. What begins with a brace is JSON.
fn parse(line: &str) -> Option<Result<Hot, String>> {
    #[derive(Deserialize)]
    struct Line {
        key: Key,
        #[serde(default)]
        reads: u64,
    }
    if line.is_empty() {
        return None;
    }
    if line.starts_with('{') {
        let read = serde_json::from_str(line).map(|Line { key, reads }| Hot { key, reads });
        return Some(read.map_err(|why| why.to_string()));
    }
    Some(Key::new(line).map(|key| Hot { key, reads: 0 }).map_err(|why| why.to_string()))
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
        assert!(bad[0].why.contains("class:id"), "{bad:?}");
    }
}
