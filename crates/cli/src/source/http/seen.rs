//! The changes that were published lately, so that a change that two windows report is published once.
//!
//! A change is remembered while answers report it, and for one round more: later windows begin later and report it no
//! more. Memory is bounded; a change that is forgotten too early is published twice, and none is lost.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use newsreel_mapping::feed::Identity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How many changes are remembered.
pub(super) const MAX_SEEN: usize = 100_000;
/// How many bytes of a hash tell changes apart.
const HASH_BYTES: usize = 12;

/// The changes that were published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The number of the round that is under way.
    round: u64,
    /// Each change: the last round that reported it, and when it was published.
    changes: BTreeMap<String, (u64, i64)>,
}

impl Seen {
    /// Says whether a change has to be published, and remembers it. `repeat` is after how many milliseconds a change
    /// that is still reported has to be published again.
    pub(super) fn is_new(&mut self, change: String, now: i64, repeat: Option<i64>) -> bool {
        let round = self.round;
        let Some((last, published)) = self.changes.get_mut(&change) else {
            self.changes.insert(change, (round, now));
            return true;
        };
        *last = round;
        let again = repeat.is_some_and(|repeat| now - *published >= repeat);
        if again {
            *published = now;
        }
        again
    }

    /// Ends a round: forgets the changes that neither it nor the one before reported. Returns how many more were
    /// forgotten for want of room.
    pub(super) fn end_round(&mut self) -> usize {
        let round = self.round;
        self.round += 1;
        self.changes.retain(|_, (last, _)| *last + 1 >= round);
        let excess = self.changes.len().saturating_sub(MAX_SEEN);
        if excess > 0 {
            let mut oldest: Vec<_> =
                self.changes.iter().map(|(change, (last, at))| (*last, *at, change.clone())).collect();
            oldest.sort_unstable();
            for (_, _, change) in oldest.into_iter().take(excess) {
                self.changes.remove(&change);
            }
        }
        excess
    }

    /// Returns how many changes are remembered.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }
}

/// Returns a text that is the same for two reports of one change, and differs for two changes.
pub(super) fn change_of(identity: &Identity, row: &Value) -> String {
    let mut hash = Sha256::new();
    let mut take = |value: Option<&Value>| {
        let text = value.map_or_else(String::new, Value::to_string);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    if identity.id.is_empty() {
        take(Some(row));
    } else {
        identity.id.iter().for_each(|id| take(id.find(row)));
        take(identity.stamp.as_ref().and_then(|stamp| stamp.find(row)));
    }
    encoded(&hash.finalize())
}

/// Returns a digest of a body or of an address, as text.
pub(super) fn digest(content: &[u8]) -> String {
    encoded(&Sha256::digest(content))
}

fn encoded(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash.get(..HASH_BYTES).expect("the hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use newsreel_mapping::feed::Pointer;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_new_once_until_rounds_no_longer_report_it() {
        let mut seen = Seen::default();
        let is_new = |seen: &mut Seen| seen.is_new("a".to_owned(), 0, None);
        assert!(is_new(&mut seen));
        assert!(!is_new(&mut seen));
        seen.end_round();
        assert!(!is_new(&mut seen), "the next window overlaps");
        for _ in 0..3 {
            seen.end_round();
        }
        assert!(is_new(&mut seen), "nothing reported it for rounds");
    }

    #[test]
    fn a_change_that_is_still_reported_is_new_again_after_a_time() {
        let mut seen = Seen::default();
        let at: Vec<bool> =
            [0, 50, 100, 150, 210].iter().map(|now| seen.is_new("a".to_owned(), *now, Some(100))).collect();
        assert_eq!(at, [true, false, true, false, true]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let mut seen = Seen::default();
        for n in 0..MAX_SEEN + 10 {
            seen.is_new(n.to_string(), n as i64, None);
        }
        assert_eq!(seen.end_round(), 10);
        assert_eq!(seen.len(), MAX_SEEN);
        assert!(seen.is_new("9".to_owned(), 0, None) && !seen.is_new("10".to_owned(), 0, None));
    }

    #[test]
    fn changes_are_told_apart_by_id_and_stamp_or_by_the_whole_row() {
        let pointer = |text| Pointer::parse(text).unwrap();
        let named = Identity {
            id: vec![pointer("/type"), pointer("/id")],
            stamp: Some(pointer("/at")),
            repeat: None,
        };
        let row = json!({ "type": "a", "id": 1, "at": 5, "views": 1 });
        let other = |field: &str, value: Value| {
            let mut other = row.clone();
            other[field] = value;
            other
        };
        assert_eq!(change_of(&named, &row), change_of(&named, &other("views", json!(2))));
        for (field, value) in [("type", json!("b")), ("id", json!(2)), ("at", json!(6))] {
            assert_ne!(change_of(&named, &row), change_of(&named, &other(field, value)), "{field}");
        }
        let whole = Identity::default();
        assert_ne!(change_of(&whole, &row), change_of(&whole, &other("views", json!(2))));
    }
}
