//! The state of a reader's isolate: floors, memory, requests under way, and its follow window.

use std::collections::BTreeMap;

use newsreel_core::read::cache::Envelope;
use newsreel_core::read::drive::{HasEnvelope, Local, ReadDriver, SyncQuestion};
use newsreel_core::read::sync::{Anchor, Knowledge};
use newsreel_core::wire::{Key, Position, UnixMillis};

use crate::machine::Clock;
use crate::tiers::Entry;

/// For whom a request reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A caller.
    Reader,
    /// Nobody: the entry is fetched anew behind an answer.
    Behind,
    /// Nobody: the entry is fetched ahead of its readers.
    Ahead,
}

/// Reads under way that share an answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) driver: ReadDriver<Entry>,
    /// What each read of the driver wants.
    pub(crate) wants: Vec<Want>,
    pub(crate) of: For,
    /// When the request began, by the true clock.
    pub(crate) began: u64,
}

/// What one read wants, and what its tiers told beside their entries.
#[derive(Debug)]
pub(crate) struct Want {
    /// The number of the key.
    pub(crate) key: usize,
    /// What was known when its tiers were asked, and when that was.
    pub(crate) asked_with: Option<(Position, UnixMillis)>,
    /// What R2 was seen to have: its tag and the entry.
    pub(crate) seen: Option<Option<(u64, Entry)>>,
}

/// A sync under way.
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

/// One isolate.
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
    /// The keys whose fetch is under way, and the reads that wait for it beside the one that asked: request and number.
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
    fn envelope(&self) -> &Envelope {
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
