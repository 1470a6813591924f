//! The state of a cache: its knowledge, its entries, the reads and the fetches under way.
//!
//! Does no I/O and reads no clock. A [`Flight`] is one call of a fetcher, which several reads may wait for.
//! Each read judges the fetched value by the floors of that moment, so that a change which came meanwhile is
//! in all of their answers. A reset begins another era: flights of the old era are refused, and reads begin
//! again.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::follow::topics;
use newsreel_core::metrics::counts::Counts;
use newsreel_core::read::cache::{Envelope, ReadMachine};
use newsreel_core::read::floors::{EntryTags, Floor, FloorKind, FloorRow, Judgement};
use newsreel_core::read::sync::{Applied, Knowledge, SyncResponse};
use newsreel_core::wire::change::Target;
use newsreel_core::wire::{Epoch, Key, Position, Tag, UnixMillis, Version};
use slab::Slab;

use super::entry_index::{Bounds, EntryIndex, Put};
use super::options::Classes;
use super::pending::PendingRead;
use crate::session::Heard;

/// JavaScript keeps to this: it ends a read after the last step, and asks for no step of a read that has
/// ended.
pub(super) const UNDER_WAY: &str = "JavaScript asks for steps of reads under way";
/// How many floors may be held beyond twice those that were needed the last time.
const SPARE_FLOORS: usize = 1_000;

/// One call of a fetcher.
#[derive(Debug)]
pub(super) struct Flight {
    key: Key,
    /// The position of the cache when the fetch began; `None` before the first.
    position: Option<Position>,
    begun_at: UnixMillis,
    tick: u32,
    /// Whether the fetched value is void, because the key was dropped or a reset came since.
    void: bool,
    pub(super) brought: Option<Brought>,
    kept: bool,
}

/// The tags and times of a value that a fetcher returned.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    pub(super) found: bool,
    pub(super) tags: Vec<Tag>,
    pub(super) ttl: Option<Duration>,
    pub(super) stale_for: Option<Duration>,
    pub(super) bytes: u64,
}

/// Returns the number by which JavaScript knows a read or a flight.
pub(super) fn number_of(slab_key: usize) -> u32 {
    u32::try_from(slab_key).expect("there is no memory for so many")
}

/// Everything that a cache knows.
#[derive(Debug)]
pub(super) struct CacheState {
    pub(super) known: Knowledge,
    /// The position of the session at its last input.
    session_at: Option<Position>,
    /// The beginnings of the keys that the session hears of; none means all.
    topics: Vec<String>,
    pub(super) classes: Classes,
    pub(super) entries: EntryIndex,
    /// By the number that JavaScript knows. `None` is a read that takes a step at this moment.
    pub(super) walks: Slab<Option<PendingRead>>,
    /// By the number that JavaScript knows.
    flights: Slab<Flight>,
    /// The numbers of each key's flights, the oldest first.
    flights_by_key: BTreeMap<String, Vec<u32>>,
    pub(super) era: u32,
    /// The number of floors above which unneeded floors are dropped.
    most_floors: usize,
    pub(super) counts: Counts,
}

impl CacheState {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            known: Knowledge::default(),
            session_at: None,
            topics: Vec::new(),
            classes: Classes::default(),
            entries: EntryIndex::new(bounds),
            walks: Slab::default(),
            flights: Slab::default(),
            flights_by_key: BTreeMap::new(),
            era: 0,
            most_floors: SPARE_FLOORS,
            counts: Counts::default(),
        }
    }

    // --- Changes heard ---

    /// Takes the changes of a session's last input; says whether JavaScript must drop all values.
    pub(super) fn hear(
        &mut self,
        heard: &[Heard],
        held: Option<Position>,
        proved_at: Option<UnixMillis>,
        topics: &[String],
    ) -> bool {
        let era = self.era;
        if self.topics != topics {
            self.topics = topics.to_vec();
        }
        match (held, self.session_at) {
            // The session has lost its position: changes are missed until the session has another.
            (None, Some(_)) => self.forget_all(),
            (None, None) => {}
            (Some(at), None) => self.adopt(at),
            (Some(_), Some(from)) => self.raise(heard, from),
        }
        self.session_at = held;
        if let (Some(position), Some(at)) = (held, proved_at) {
            // A proof on another log proves nothing here.
            if self.known.position().is_some_and(|mine| mine.epoch == position.epoch) {
                self.apply(at, position, Version::ZERO, Some(0), Vec::new());
            }
        }
        self.prune();
        era != self.era
    }

    /// Begins to listen: nothing was filled before, so no older floor is missed.
    fn adopt(&mut self, at: Position) {
        if self.known.position().is_some() {
            self.forget_all();
        }
        self.apply(UnixMillis(0), at, Version::ZERO, None, Vec::new());
    }

    fn raise(&mut self, heard: &[Heard], mut from: Position) {
        for one in heard {
            match one {
                Heard::Raised { epoch, floors, position } => {
                    let floors = floors.iter().filter(|row| self.is_needed(row)).cloned().collect();
                    match position {
                        Some(to) => {
                            let applied = self.apply(UnixMillis(0), *to, from.version, None, floors);
                            let known = self.known.position().map(|mine| mine.epoch);
                            // The floors leave a hole, or belong to a log without a reset before it.
                            if applied == Applied::Ignored && known.is_none_or(|mine| mine <= to.epoch) {
                                self.adopt(*to);
                            }
                            from = *to;
                        }
                        None => self.raise_early(*epoch, floors),
                    }
                }
                Heard::Reset { position } => {
                    self.forget_all();
                    self.adopt(*position);
                    from = *position;
                }
            }
        }
    }

    /// Raises the floors of a part of a fold: the position does not move before its last part.
    fn raise_early(&mut self, epoch: Epoch, floors: Vec<FloorRow>) {
        if let Some(mine) = self.known.position().filter(|mine| mine.epoch == epoch) {
            self.apply(UnixMillis(0), mine, Version::ZERO, None, floors);
        }
    }

    fn apply(
        &mut self,
        sent_at: UnixMillis,
        position: Position,
        from: Version,
        proof_age_ms: Option<u64>,
        floors: Vec<FloorRow>,
    ) -> Applied {
        let to = position.version;
        let reply = SyncResponse {
            traces: Vec::new(),
            position,
            from,
            to,
            proof_age_ms,
            floors,
            left_out: None,
            looked: Vec::new(),
        };
        self.known.apply(sent_at, reply)
    }

    /// Says whether a floor can refuse anything: a kept entry, or the value of a read or flight under way.
    fn is_needed(&self, row: &FloorRow) -> bool {
        let under_way = !self.walks.is_empty() || !self.flights.is_empty();
        under_way
            || match &row.target {
                Target::Key(key) => self.entries.concerns(FloorKind::Key, key.as_str()),
                Target::Tag(tag) => {
                    self.entries.concerns(FloorKind::Tag, tag.as_str()) || self.entries.has_not_found()
                }
                Target::Prefix(prefix) => self.entries.concerns(FloorKind::Prefix, prefix.as_str()),
                Target::All => true,
            }
    }

    /// Forgets floors that can refuse nothing any more, once they are many: they do not grow with time.
    fn prune(&mut self) {
        if self.known.floors().count() <= self.most_floors {
            return;
        }
        let entries = &self.entries;
        let walked = |name: &str| {
            self.walks.iter().any(|(_, walk)| walk.as_ref().is_some_and(|walk| walk.key.as_str() == name))
        };
        let filled = self.flights.iter().filter_map(|(_, flight)| flight.position);
        let oldest = filled.map(|position| position.version).min();
        // An entry "not found" is refused by the newest floor of any tag, which is held apart from the floors
        // of tags.
        self.known.retain(|by, name, floor: &Floor| {
            let filled = oldest.is_some_and(|oldest| floor.newest() > oldest);
            filled || entries.concerns(by, name) || (by == FloorKind::Key && walked(name))
        });
        self.most_floors = self.known.floors().count() * 2 + SPARE_FLOORS;
    }

    /// Forgets the position, the floors and every entry, as a reset demands (E1).
    pub(super) fn forget_all(&mut self) {
        self.known = Knowledge::default();
        self.session_at = None;
        self.clear();
    }

    /// Drops every entry, and voids every flight; reads under way begin again.
    pub(super) fn clear(&mut self) {
        self.era = self.era.wrapping_add(1);
        self.entries.clear();
        self.flights.iter_mut().for_each(|(_, flight)| flight.void = true);
    }

    /// Drops the entry of a key, and voids the flights of the key; returns the entry's slot.
    pub(super) fn drop_key(&mut self, key: &str) -> Option<u32> {
        let flights = self.flights.iter_mut().map(|(_, flight)| flight);
        flights.filter(|flight| flight.key.as_str() == key).for_each(|flight| flight.void = true);
        self.entries.drop_key(key)
    }

    /// Returns how many floors are held.
    pub(super) fn floors(&self) -> usize {
        self.known.floors().count()
    }

    /// Says whether changes of the key are heard of.
    pub(super) fn hears_of(&self, key: &Key) -> bool {
        topics::key_passes(&self.topics, key)
    }

    // --- Flights ---

    /// Returns the flight that a read is to wait for. Begins one if none will do.
    pub(super) fn board(&mut self, walk: u32, tick: u32, now: UnixMillis) -> u32 {
        let walk = self.walk(walk).expect(UNDER_WAY);
        let will_do = |flight: &Flight| {
            let in_time = if walk.anew { flight.tick >= walk.tick } else { flight.position.is_some() };
            in_time && self.is_good(flight)
        };
        if let Some((number, _)) = self.flights_of(&walk.key).find(|(_, flight)| will_do(flight)) {
            return number;
        }
        // A key outside the topics cannot be kept.
        let position = self.known.position().filter(|_| !walk.pass);
        let key = walk.key.clone();
        let name = key.as_str().to_owned();
        let flight = Flight { key, position, begun_at: now, tick, void: false, brought: None, kept: false };
        let number = number_of(self.flights.insert(flight));
        self.flights_by_key.entry(name).or_default().push(number);
        number
    }

    /// Says whether a flight is under way that a fetch of the key from here on would do no better than.
    pub(super) fn is_fetched(&self, key: &Key) -> bool {
        self.flights_of(key).any(|(_, flight)| flight.position.is_some() && self.is_sound(flight))
    }

    /// Returns the flights of a key, the newest first.
    fn flights_of(&self, key: &Key) -> impl Iterator<Item = (u32, &Flight)> {
        let numbers = self.flights_by_key.get(key.as_str()).into_iter().flatten().rev();
        numbers.filter_map(|number| Some((*number, self.flight(*number)?)))
    }

    /// Says whether a flight is under way that nothing refuses.
    fn is_good(&self, flight: &Flight) -> bool {
        flight.brought.is_none() && self.is_sound(flight)
    }

    /// Says whether no floor refuses the value of a flight. The value's tags are not known yet, so none is
    /// judged.
    fn is_sound(&self, flight: &Flight) -> bool {
        let refused = flight.position.is_some_and(|position| {
            let floors = self.known.floors();
            let judged = floors.judge(&flight.key, position.version, EntryTags::Tags(&[]));
            let elsewhere = self.known.position().is_none_or(|mine| mine.epoch != position.epoch);
            elsewhere || matches!(judged, Judgement::Below(_) | Judgement::Unknown)
        });
        !flight.void && !refused
    }

    /// Takes the result of a flight's fetcher; a flight that was forgotten meanwhile ignores it.
    pub(super) fn land(&mut self, flight: u32, brought: Brought) {
        if let Some(flight) = self.flights.get_mut(flight as usize) {
            flight.brought = Some(brought);
        }
    }

    /// Forgets a flight that no read waits for.
    pub(super) fn end_flight(&mut self, flight: u32) {
        let Some(Flight { key, .. }) = self.flights.try_remove(flight as usize) else { return };
        if let Some(numbers) = self.flights_by_key.get_mut(key.as_str()) {
            numbers.retain(|number| *number != flight);
            if numbers.is_empty() {
                self.flights_by_key.remove(key.as_str());
            }
        }
    }

    pub(super) fn flight(&self, flight: u32) -> Option<&Flight> {
        self.flights.get(flight as usize)
    }

    /// Keeps the value that a flight brought to a read, once for all reads of the flight.
    pub(super) fn keep(&mut self, walk: u32, flight: u32) -> Option<Put> {
        let read = self.walks.get(walk as usize)?.as_ref()?.task.read();
        let flight = self.flights.get_mut(flight as usize)?;
        let brought = flight.brought.as_ref()?;
        let lives = brought.ttl.is_none_or(|ttl| !ttl.is_zero());
        let (bytes, envelope) = (brought.bytes, flight.envelope(read)?);
        let first = !std::mem::replace(&mut flight.kept, true);
        let key = flight.key.clone();
        (lives && first).then(|| self.entries.put(&key, envelope, bytes)).flatten()
    }
}

impl Flight {
    /// Returns the envelope of the flight's value, stamped with the position at the flight's start. The
    /// envelope of a void flight has a position of no log, so it is refused.
    pub(super) fn envelope(&self, read: &ReadMachine) -> Option<Envelope> {
        let brought = self.brought.as_ref()?;
        let position = self.position.filter(|_| !self.void);
        let position = position.unwrap_or_else(|| Position::genesis(Epoch::new(UnixMillis(0), [0; 10])));
        let Brought { found, tags, ttl, stale_for, .. } = brought.clone();
        let mut envelope = read.filled(position, self.begun_at, found, tags, String::new(), String::new());
        let stale_for = stale_for.unwrap_or(envelope.stale_until.since(envelope.expires_at));
        if let Some(ttl) = ttl {
            envelope.expires_at = envelope.fetched_at.plus(ttl);
        }
        envelope.stale_until = envelope.expires_at.plus(stale_for);
        Some(envelope)
    }
}
