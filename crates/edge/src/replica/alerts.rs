//! The alerts of this edge: what was judged, and what the board has not heard of.

use std::time::Duration;

use newsreel_core::alerts::{Judge, Transition};
use newsreel_core::wire::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::clock::now;

/// How often alerts that stay open are told again: the board forgets what nobody repeats for half an hour.
const REPEAT_EVERY: Duration = Duration::from_secs(600);

/// The alerts of an edge, as the rows keep them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Alerts {
    pub(crate) judge: Judge,
    /// Changes that the board has not heard of.
    pub(crate) untold: Vec<Transition>,
    pub(crate) told_at: UnixMillis,
    /// When the edge last followed the log, or had no reader.
    #[serde(skip)]
    pub(crate) followed_at: UnixMillis,
}

impl Alerts {
    /// Reads what the rows kept; nothing if that cannot be read.
    pub(crate) fn load(kept: Option<&str>) -> Self {
        let kept: Option<Self> = kept.and_then(|json| serde_json::from_str(json).ok());
        Self { followed_at: now(), ..kept.unwrap_or_default() }
    }

    /// Returns how long the edge, which has readers, has not followed the log.
    pub(crate) fn gone(&self, now: UnixMillis) -> Duration {
        now.since(self.followed_at)
    }

    /// Returns what the board is to be told now: what changed, or once in a while what is open.
    pub(crate) fn due(&self, now: UnixMillis) -> Vec<Transition> {
        let repeats = now.since(self.told_at) >= REPEAT_EVERY;
        let open = self.judge.open().filter(|_| repeats).cloned();
        let mut due: Vec<Transition> = open.collect();
        due.extend(self.untold.iter().cloned());
        due
    }
}
