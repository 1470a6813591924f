//! The state that an isolate keeps of each catalog between requests: floors, entries, counts, and deadlines
//! of work that one request does at a time.
//!
//! Plain isolate state: no request ever awaits another request's future.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::metrics::counts::Counts;
use newsreel_core::metrics::hot::Hot;
use newsreel_core::read::heard::Heard;
use newsreel_core::read::sync::Knowledge;
use newsreel_core::read::traces::Traces;
use newsreel_core::wire::{Catalog, UnixMillis};

use crate::clock::now;
use crate::tiers::memory::Memory;

/// How long one sync behind an answer keeps others from starting.
const SYNCING: Duration = Duration::from_secs(2);

/// The state that this isolate keeps of one catalog.
pub(crate) struct Reader {
    /// The position and floors that the replica has told this isolate, and when they were last proved.
    pub(crate) known: Knowledge,
    /// When this isolate heard of versions.
    pub(crate) heard: Heard,
    /// The traces of versions that this isolate heard of.
    pub(crate) traces: Traces,
    /// The memory tier: entries at hand, bounded in bytes over all catalogs together.
    pub(crate) memory: Memory,
    /// The counts since the last report to the replica, by class of keys.
    pub(crate) counts: Counts,
    /// The reads of each key, of which the most read leave with each report.
    pub(crate) hot: Hot,
    /// When the isolate last looked for something to report.
    pub(crate) reported_at: UnixMillis,
    /// The deadline of the sync behind an answer that is under way; in the past when none is.
    syncing_until: UnixMillis,
    /// The deadline of the first sync that is under way; in the past when none is.
    pub(crate) loading_until: UnixMillis,
    /// When a first sync last ended, with or without success.
    pub(crate) loaded_at: UnixMillis,
    /// The number of the last use of this state; the state used longest ago makes room.
    last_use: u64,
    /// Until when no request opens a follow window: one is open, or the last attempt has just failed.
    pub(crate) window_until: UnixMillis,
}

/// How many catalogs an isolate keeps state of. Callers choose the names, so their number is bounded.
const MAX_CATALOGS: usize = 16;
/// How many bytes of values and names an isolate keeps over all catalogs; it has 128 MB for everything.
const MEMORY_BYTES: usize = 32 << 20;
/// How many keys an isolate counts the reads of.
const HOT_KEYS: usize = 1_000;

impl Default for Reader {
    fn default() -> Self {
        let never = UnixMillis(0);
        Self {
            known: Knowledge::default(),
            heard: Heard::default(),
            traces: Traces::default(),
            memory: Memory::default(),
            counts: Counts::default(),
            hot: Hot::new(HOT_KEYS),
            reported_at: never,
            syncing_until: never,
            loading_until: never,
            loaded_at: never,
            last_use: 0,
            window_until: never,
        }
    }
}

impl Reader {
    /// Notes when a reply of the replica was heard that brought this isolate up to a position.
    pub(crate) fn note_heard(&mut self, now: UnixMillis) {
        if let Some(position) = self.known.position() {
            self.heard.hear(position, now);
        }
    }
}

thread_local! {
    static READERS: RefCell<BTreeMap<Catalog, Reader>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `with` on this isolate's state of a catalog. Not re-entrant, and nothing in it awaits.
///
/// An isolate keeps at most [`MAX_CATALOGS`], which share [`MEMORY_BYTES`]; the catalog used
/// longest ago makes room.
pub(crate) fn reader<T>(catalog: &Catalog, with: impl FnOnce(&mut Reader) -> T) -> T {
    READERS.with_borrow_mut(|readers| {
        let result = with(prepare(readers, catalog));
        bound_memory(readers);
        result
    })
}

/// Returns the state of a catalog, for which another makes room where there are too many.
fn prepare<'a>(readers: &'a mut BTreeMap<Catalog, Reader>, catalog: &Catalog) -> &'a mut Reader {
    if !readers.contains_key(catalog) {
        make_room(readers);
    }
    let number = readers.values().map(|reader| reader.last_use).max().unwrap_or_default() + 1;
    let reader = readers.entry(catalog.clone()).or_default();
    reader.last_use = number;
    reader
}

/// Drops entries of the catalogs used longest ago until all fit into [`MEMORY_BYTES`].
fn bound_memory(readers: &mut BTreeMap<Catalog, Reader>) {
    let mut bytes: usize = readers.values().map(|reader| reader.memory.bytes()).sum();
    while bytes > MEMORY_BYTES {
        let filled = readers.values_mut().filter(|reader| reader.memory.bytes() > 0);
        let Some(oldest) = filled.min_by_key(|reader| reader.last_use) else { return };
        let before = oldest.memory.bytes();
        oldest.memory.bound(before.saturating_sub(bytes - MEMORY_BYTES));
        bytes -= before - oldest.memory.bytes();
    }
}

fn make_room(readers: &mut BTreeMap<Catalog, Reader>) {
    while readers.len() >= MAX_CATALOGS {
        let oldest =
            readers.iter().min_by_key(|(_, reader)| reader.last_use).map(|(catalog, _)| catalog.clone());
        let Some(oldest) = oldest else { return };
        readers.remove(&oldest);
    }
}

/// Takes the turn for work that one request of this isolate does at a time; returns whether the turn
/// was free. The turn ends by itself after `at_most`: a deadline, never a flag, for the request that
/// took it may be gone.
pub(crate) fn take_turn(
    catalog: &Catalog,
    turn: fn(&mut Reader) -> &mut UnixMillis,
    at_most: Duration,
) -> bool {
    let now = now();
    reader(catalog, |reader| {
        let until = turn(reader);
        let free = now >= *until;
        if free {
            *until = now.plus(at_most);
        }
        free
    })
}

/// Says whether a sync behind an answer should start, and if so keeps others from starting one too.
pub(crate) fn may_sync_behind(catalog: &Catalog) -> bool {
    take_turn(catalog, |reader| &mut reader.syncing_until, SYNCING)
}

/// Says that a sync behind an answer has ended.
pub(crate) fn synced_behind(catalog: &Catalog) {
    reader(catalog, |reader| reader.syncing_until = UnixMillis(0));
}
