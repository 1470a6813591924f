//! The end of a run: everything heals, then every follower must get to the head. Also G6, which is checked
//! all along.

use newsreel_core::follow::follower::{Cursor, FollowerInput, Phase};
use newsreel_core::follow::hub::BOOKMARK_EVERY;

use crate::model::broken;
use crate::world::{Who, World};

impl World {
    /// Ends all faults and all commits; earlier commits are still published.
    pub(crate) fn heal(&mut self) {
        self.say(|| "everything heals".to_owned());
        (self.ending, self.faults.calm) = (true, true);
        (self.broker.away_until, self.origin.away_until) = (0, 0);
        for number in 0..self.clients.len() {
            self.step_follower(Who::Client(number), FollowerInput::Start);
        }
    }

    /// G6: a live follower with topics learns how far the log has got, at least once in a thousand versions.
    pub(crate) fn check_bookmarks(&mut self) {
        // Versions that are under way, or were made meanwhile.
        const UNDER_WAY: u64 = 200;
        let head = self.broker.storage.disk.head();
        for number in 0..self.clients.len() {
            let seat = &self.clients[number].seat;
            let Cursor::At(held) = self.clients[number].stored else { continue };
            let behind = head.version.number().saturating_sub(held.version.number());
            let is_told = seat.phase() == Phase::Live && held.epoch == head.epoch;
            if is_told && self.faults.total() == 0 && behind > BOOKMARK_EVERY + UNDER_WAY {
                self.note(broken(
                    "G6",
                    format!("client {number} is live at {held}, and the log is at {head}"),
                ));
            }
        }
    }

    /// Checks that every publisher was answered, and that every follower is live at the head.
    pub(crate) fn check_heard(&mut self) {
        if !self.origin.is_done() {
            self.note(broken("alive", "a publisher was never answered"));
        }
        let head = self.broker.storage.disk.head();
        for who in self.everybody() {
            let phase = self.seat(who).phase();
            let held = match self.stored(who) {
                Cursor::At(held) => Some(held),
                Cursor::Head | Cursor::Beginning => None,
            };
            // A replica without readers disconnects, and hears no more.
            if held != Some(head) || phase != Phase::Live {
                let guarantee = if self.seat(who).topics.is_everything() { "G3" } else { "G6" };
                self.note(broken(
                    guarantee,
                    format!("in the end {who} is {phase:?} at {held:?}, and the log at {head}"),
                ));
            }
        }
    }

    pub(crate) fn everybody(&self) -> Vec<Who> {
        // A replica without readers never starts.
        let edges = (0..self.edges.len()).filter(|_| self.plan.isolates > 0).map(Who::Edge);
        edges.chain((0..self.clients.len()).map(Who::Client)).collect()
    }
}
