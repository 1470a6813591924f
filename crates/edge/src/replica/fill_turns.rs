//! The turns at filling a key: which request of this edge's isolates fetches its value, so that the others wait for the
//! entry. Best effort: in memory only, and no guarantee depends on it.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::wire::{Key, UnixMillis};

/// How many keys are filled at once at most. Past it every request fetches for itself.
const MOST: usize = 10_000;

/// The turns that are taken.
#[derive(Debug, Default)]
pub(crate) struct FillTurns(BTreeMap<Key, Turn>);

#[derive(Debug)]
struct Turn {
    holder: String,
    /// When the turn ends by itself: the request that took it may be gone.
    until: UnixMillis,
}

impl FillTurns {
    /// Takes the turn at a key for a request; returns whether it was free, or the request's own already.
    pub(crate) fn take(&mut self, key: Key, holder: String, now: UnixMillis, hold_for: Duration) -> bool {
        if self.0.get(&key).is_some_and(|turn| turn.holder != holder && now < turn.until) {
            return false;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, turn| now < turn.until);
        }
        if self.0.len() < MOST {
            self.0.insert(key, Turn { holder, until: now.plus(hold_for) });
        }
        true
    }

    /// Gives a turn back, if the request has it.
    pub(crate) fn give_back(&mut self, key: &Key, holder: &str) {
        if self.0.get(key).is_some_and(|turn| turn.holder == holder) {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn key() -> Key {
        Key::new("page:1").unwrap()
    }

    #[test]
    fn one_request_has_the_turn_until_it_gives_it_back_or_its_time_is_over() {
        let mut turns = FillTurns::default();
        let take = |turns: &mut FillTurns, holder: &str, at| {
            turns.take(key(), holder.to_owned(), UnixMillis(at), HOLD)
        };
        assert!(take(&mut turns, "a", 0) && take(&mut turns, "a", 1), "again for the one that has it");
        assert!(!take(&mut turns, "b", 2));
        turns.give_back(&key(), "b");
        assert!(!take(&mut turns, "b", 3), "only the holder gives it back");
        turns.give_back(&key(), "a");
        assert!(take(&mut turns, "b", 4));
        assert!(take(&mut turns, "c", 10_004), "the request of b may be gone");
    }
}
