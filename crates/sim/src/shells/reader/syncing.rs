//! How an isolate learns floors: syncs, and the follow window.

use std::time::Duration;

use newsreel_core::read::drive::SyncQuestion;
use newsreel_core::read::sync::{Anchor, Applied, FloorLookup, SyncResponse};
use newsreel_core::wire::UnixMillis;

use crate::event::Event;
use crate::faults::Fault;
use crate::model::broken;
use crate::reader::{Question, Window};
use crate::world::World;

/// How long a window stays open.
const OPEN_FOR: u64 = 25_000;
/// How long an isolate waits for the replica's answer.
const UNANSWERED: u64 = 5_000;
/// How many replies a sync takes.
const REPLIES: u32 = 50;

impl World {
    /// Asks the replica for its news, for a request or, without one, in the background.
    pub(super) fn sync(&mut self, isolate: u64, request: Option<u64>, wanted: SyncQuestion) {
        self.ask_replica(isolate, Question { request, sent_at: UnixMillis(0), wanted, replies: 0 });
    }

    fn ask_replica(&mut self, isolate: u64, mut question: Question) {
        let now = self.now;
        self.next_walk += 1;
        let ticket = self.next_walk;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let SyncQuestion { max_age, at_least, look } = question.wanted.clone();
        let ask = at.known.ask(max_age, at_least, look);
        question.sent_at = at.clock.read(now);
        let edge = at.edge;
        at.questions.insert(ticket, question);
        self.schedule(UNANSWERED, Event::Replied { isolate, ticket, reply: None });
        if !self.faults.strikes(Fault::SyncLost) {
            let way = self.net.between(1, 8);
            self.schedule(way, Event::Asked { edge, isolate, ticket, ask, window: false });
        }
    }

    /// The replica's answer, or none in time.
    pub(crate) fn replied(&mut self, isolate: u64, ticket: u64, reply: Option<(SyncResponse, bool)>) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let Some(mut question) = at.questions.remove(&ticket) else { return };
        let proved = match reply {
            None => false,
            Some((reply, proved)) => {
                let before = at.known.position();
                let applied = at.known.learn(question.sent_at, &question.wanted.look, reply);
                // Of a new epoch nothing may be known yet: then nothing is answered.
                let after = at.known.position().or(before);
                if after.map(|at| (at.epoch, at.version)) < before.map(|at| (at.epoch, at.version)) {
                    let what = format!("a reader went back from {before:?} to {after:?}");
                    return self.note(broken("E1", what));
                }
                match applied {
                    Applied::Part if question.replies < REPLIES => {
                        question.replies += 1;
                        return self.ask_replica(isolate, question);
                    }
                    Applied::Whole => proved,
                    Applied::Part | Applied::Ignored => false,
                }
            }
        };
        match question.request {
            Some(number) => {
                if let Some(request) = at.requests.get_mut(&number) {
                    request.driver.synced(proved);
                }
                self.drive_request(isolate, number);
            }
            None => at.syncing_until = 0,
        }
    }

    /// Opens a window, if none is open.
    pub(super) fn follow_window(&mut self, isolate: u64) {
        let now = self.now;
        self.next_walk += 1;
        let number = self.next_walk;
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        if now < at.window_until {
            return;
        }
        at.window_until = now + OPEN_FOR;
        let ask = at.known.ask(Duration::from_millis(OPEN_FOR), None, FloorLookup::default());
        let sent_at = at.clock.read(now);
        at.window = Some(Window { number, sent_at, anchor: None, last: now });
        let edge = at.edge;
        self.schedule(OPEN_FOR, Event::WindowClosed { isolate, window: number });
        let way = self.net.between(1, 8);
        self.schedule(way, Event::Asked { edge, isolate, ticket: number, ask, window: true });
    }

    /// Returns when a window's next message arrives: they keep their order.
    pub(crate) fn window_due(&mut self, number: u64) -> u64 {
        let due = self.now + self.net.between(1, 6);
        let mut windows = self.isolates.values_mut().filter_map(|at| at.window.as_mut());
        let Some(window) = windows.find(|window| window.number == number) else { return due };
        window.last = window.last.max(due);
        window.last
    }

    /// A window says something.
    pub(crate) fn window_said(
        &mut self,
        isolate: u64,
        number: u64,
        said_at: UnixMillis,
        reply: SyncResponse,
    ) {
        let now = self.now;
        if self.faults.strikes(Fault::WindowCut) {
            return self.window_closed(isolate, number);
        }
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        let local = at.clock.read(now);
        let Some(window) = at.window.as_mut().filter(|window| window.number == number) else { return };
        let first = Anchor { sent_at: window.sent_at, answered_at: said_at };
        let dated = window.anchor.get_or_insert(first).dated(said_at, local);
        let applied = dated.map(|dated| at.known.apply(dated, reply));
        if matches!(applied, None | Some(Applied::Ignored)) {
            self.window_closed(isolate, number);
        }
    }

    pub(crate) fn window_closed(&mut self, isolate: u64, number: u64) {
        let Some(at) = self.isolates.get_mut(&isolate) else { return };
        if at.window().is_some_and(|open| open == number) {
            (at.window, at.window_until) = (None, 0);
        }
        let edge = at.edge;
        self.edges[edge].close_window(number);
    }
}
