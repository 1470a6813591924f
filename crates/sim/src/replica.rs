//! An edge's replica: its follower, its rows, the questions that readers wait for and the windows they hold
//! open.

use std::collections::BTreeMap;

use newsreel_core::read::sync::{SyncRequest, SyncResponse};
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::{Position, UnixMillis};

use crate::machine::Storage;
use crate::seat::FollowerSeat;

mod rows;

pub(crate) use rows::{ReplicaRows, ReplicaWrite};

/// A reader's question that waits for its proof.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) isolate: u64,
    pub(crate) ticket: u64,
    pub(crate) ask: SyncRequest,
    pub(crate) needed: UnixMillis,
    pub(crate) deadline: u64,
    /// Whether the reader wants a window and not one answer.
    pub(crate) window: bool,
    pub(crate) asked_broker: bool,
}

/// A message that leaves a replica.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Dial {
        link: u64,
        start: Start,
    },
    /// A text to the broker, with the position that was stored at that moment.
    Up {
        socket: u64,
        text: String,
        stored: Option<Position>,
    },
    Answer {
        isolate: u64,
        ticket: u64,
        reply: Option<(SyncResponse, bool)>,
    },
    Window {
        isolate: u64,
        window: u64,
        said_at: UnixMillis,
        reply: SyncResponse,
    },
}

/// An edge: its replica.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) name: String,
    pub(crate) seat: FollowerSeat,
    pub(crate) storage: Storage<ReplicaRows, Outgoing>,
    pub(crate) life: u64,
    pub(crate) asking: Vec<Asking>,
    pub(crate) in_vain: bool,
    pub(crate) last_asked: u64,
    pub(crate) proving: bool,
    /// The open windows, each with its isolate.
    pub(crate) windows: BTreeMap<u64, u64>,
    pub(crate) told: (Option<Position>, Option<UnixMillis>),
    pub(crate) was_restored: bool,
    pub(crate) snapshot: ReplicaRows,
}

impl Edge {
    pub(crate) fn new(name: String, seat: FollowerSeat) -> Self {
        let rows = ReplicaRows::default();
        Self {
            name,
            seat,
            storage: Storage::new(rows.clone()),
            life: 0,
            asking: Vec::new(),
            in_vain: false,
            last_asked: 0,
            proving: false,
            windows: BTreeMap::new(),
            told: (None, None),
            was_restored: false,
            snapshot: rows,
        }
    }

    pub(crate) fn tellable(&self) -> Option<Position> {
        if self.storage.seen.folding { None } else { self.storage.seen.position }
    }

    pub(crate) fn proof_age(&mut self, now: u64) -> Option<u64> {
        let at = self.seat.follower.proved_at()?;
        u64::try_from(self.seat.clock.read(now).since(at).as_millis()).ok()
    }

    pub(crate) fn close_window(&mut self, window: u64) {
        self.windows.remove(&window);
    }
}
