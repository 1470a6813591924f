//! When a reader heard of versions: how long it has known of a change.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::position::{Position, UnixMillis, Version};

/// How many replies are remembered. A version from before the oldest of them counts as heard with it: its time is at least so long.
const REPLIES: usize = 64;

/// The positions that a reader has heard lately, and when.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    position: Option<Position>,
    replies: VecDeque<(Version, UnixMillis)>,
}

impl Heard {
    /// The reader holds every floor up to this position.
    pub fn hear(&mut self, position: Position, now: UnixMillis) {
        if self.position.is_some_and(|held| held.epoch != position.epoch) {
            self.replies.clear();
        }
        self.position = Some(position);
        if self.replies.back().is_some_and(|(version, _)| *version >= position.version) {
            return;
        }
        if self.replies.len() == REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back((position.version, now));
    }

    /// Returns how long ago, at least, the reader heard of a version; `None` if it has not.
    #[must_use]
    pub fn since(&self, version: Version, now: UnixMillis) -> Option<Duration> {
        let at = self.replies.iter().find(|(heard, _)| *heard >= version)?.1;
        Some(now.since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::position::Epoch;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn position(epoch: u64, version: u64) -> Position {
        let epoch = Epoch::new(UnixMillis(epoch), [0; 10]);
        Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) }
    }

    #[test]
    fn a_version_was_heard_with_the_first_reply_that_had_it() {
        let mut heard = Heard::default();
        let since = |heard: &Heard, version| {
            let since = heard.since(Version::new(version).unwrap(), UnixMillis(1_000));
            since.map(|time| u64::try_from(time.as_millis()).unwrap())
        };
        assert_eq!(since(&heard, 1), None);
        heard.hear(position(1, 5), UnixMillis(100));
        heard.hear(position(1, 5), UnixMillis(300));
        heard.hear(position(1, 9), UnixMillis(400));
        assert_eq!((since(&heard, 3), since(&heard, 5), since(&heard, 6)), (Some(900), Some(900), Some(600)));
        assert_eq!(since(&heard, 10), None);
        heard.hear(position(2, 1), UnixMillis(700));
        assert_eq!((since(&heard, 1), since(&heard, 5)), (Some(300), None), "another log");
        for version in 2..200 {
            heard.hear(position(2, version), UnixMillis(700 + version));
        }
        assert_eq!(since(&heard, 1), Some(164), "at least since the oldest that is remembered");
    }
}
