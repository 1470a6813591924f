//! The parts of replays that were read last. Followers that reconnect together miss the same versions, and get the same parts.

use std::collections::VecDeque;

use js_sys::JsString;
use newsreel_core::follow::hub::{PartSent, ReplayPart};
use newsreel_core::log::Log;

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

/// The most characters of frames that are kept, one byte each: four parts of a fold, or sixteen segments.
const KEPT_BYTES: u32 = 4 << 20;

/// A part of a replay, ready to be sent to every follower without topics that is at its beginning.
#[derive(Clone)]
pub(super) struct ReadyPart {
    pub(super) frame: JsString,
    pub(super) sent: PartSent,
    /// The size of its items.
    pub(super) bytes: u32,
}

/// The parts that were read last, oldest first. All are of one state of the log: its two ends say what each part has.
#[derive(Default)]
pub(super) struct RecentParts {
    log: Option<Log>,
    parts: VecDeque<(ReplayPart, ReadyPart)>,
    bytes: u32,
}

impl RecentParts {
    /// Returns a part, if it was read since the log last changed.
    pub(super) fn find(&self, log: &Log, part: &ReplayPart) -> Option<ReadyPart> {
        if self.log != Some(*log) {
            return None;
        }
        self.parts.iter().find(|(kept, _)| kept == part).map(|(_, ready)| ready.clone())
    }

    /// Keeps a part, and forgets what it has no room beside.
    pub(super) fn keep(&mut self, log: &Log, part: &ReplayPart, ready: &ReadyPart) {
        if self.log != Some(*log) {
            *self = Self { log: Some(*log), ..Self::default() };
        }
        self.bytes += ready.frame.length();
        self.parts.push_back((part.clone(), ready.clone()));
        while self.bytes > KEPT_BYTES
            && let Some((_, oldest)) = self.parts.pop_front()
        {
            self.bytes -= oldest.frame.length();
        }
    }
}
