//! The state of a reader's isolate: floors, memory, requests under way, and its follow window.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::read::cache::Envelope;
use newsreel_core::read::drive::{HasEnvelope, Local, ReadDriver, SyncQuestion};
use newsreel_core::read::sync::{Anchor, Knowledge};
use newsreel_core::wire::{Key, Position, UnixMillis};

use crate::machine::Clock;
use crate::tiers::Entry;

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A caller waits for the answer.
    Reader,
    /// The entry is revalidated in the background, behind a stale answer.
    Behind,
    /// The entry is prefetched, before any caller reads it.
    Ahead,
    /// A caller hands in a value that it fetched itself.
    Caller,
}

/// Reads under way that share an answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) driver: ReadDriver<Entry>,
    /// The key of each read, in the driver's order, and what its tiers told.
    pub(crate) wants: Vec<Want>,
    pub(crate) of: For,
    /// When the request began, by the true clock.
    pub(crate) began: u64,
}

/// The key of one read, and what its tiers told beside their entries.
#[derive(Debug)]
pub(crate) struct Want {
    /// The number of the key.
    pub(crate) key: usize,
    /// The isolate's position when the tiers were asked, and that time.
    pub(crate) asked_with: Option<(Position, UnixMillis)>,
    /// R2's answer, once there is one: the tag and the entry, or nothing.
    pub(crate) seen: Option<Option<(u64, Entry)>>,
}

/// A sync that waits for the replica's replies.
#[derive(Debug)]
pub(crate) struct Question {
    /// The request that waits for it; none of a sync behind an answer.
    pub(crate) request: Option<u64>,
    pub(crate) sent_at: UnixMillis,
    pub(crate) wanted: SyncQuestion,
    pub(crate) replies: u32,
}

/// The reader's end of a follow window.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) number: u64,
    pub(crate) sent_at: UnixMillis,
    pub(crate) anchor: Option<Anchor>,
    /// When the last message arrives.
    pub(crate) last: u64,
}

/// One isolate of an edge, and all that it has in memory.
#[derive(Debug)]
pub(crate) struct Isolate {
    pub(crate) edge: usize,
    pub(crate) clock: Clock,
    pub(crate) known: Knowledge,
    pub(crate) memory: BTreeMap<Key, Entry>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) questions: BTreeMap<u64, Question>,
    pub(crate) window: Option<Window>,
    pub(crate) window_until: u64,
    pub(crate) syncing_until: u64,
    /// The keys whose fetch is under way, and the reads that wait for it beside the one that asked: request
    /// and number.
    pub(crate) flights: BTreeMap<usize, Vec<(u64, usize)>>,
}

impl Isolate {
    pub(crate) fn new(edge: usize, clock: Clock) -> Self {
        Self {
            edge,
            clock,
            known: Knowledge::default(),
            memory: BTreeMap::new(),
            requests: BTreeMap::new(),
            questions: BTreeMap::new(),
            window: None,
            window_until: 0,
            syncing_until: 0,
            flights: BTreeMap::new(),
        }
    }

    pub(crate) fn window(&self) -> Option<u64> {
        self.window.as_ref().map(|window| window.number)
    }
}

impl HasEnvelope for Entry {
    fn envelope(&self) -> &Rc<Envelope> {
        &self.envelope
    }
}

impl Local for Isolate {
    type Entry = Entry;

    fn known(&self) -> &Knowledge {
        &self.known
    }

    fn recall(&mut self, key: &Key) -> Option<Entry> {
        self.memory.get(key).cloned()
    }
}
