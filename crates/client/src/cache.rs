//! One cache, as JavaScript drives it: JavaScript keeps the values, and every decision about them is made
//! here.
//!
//! A read that memory can answer is one call with two numbers. Any other read is pending: JavaScript asks for
//! its next step, as JSON (see `pending::NextStep`), and does the waiting.

mod entry_index;
mod options;
mod pending;
mod reads;
mod state;

use std::time::Duration;

use newsreel_core::metrics::counts::Count;
use newsreel_core::wire::{Key, NameError, Tag};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::panic;
use crate::session::{Session, millis, number};
use entry_index::{Bounds, Put};
use options::{BeyondBound, Promise};
use pending::{Behind, NextStep, ReadOptions};
use state::{Brought, CacheState};

/// The answer of memory to a read without options.
#[wasm_bindgen]
pub enum Hit {
    /// Memory alone cannot answer: [`Cache::begin`] reads.
    Miss,
    /// Serve the kept value.
    Serve,
    /// Serve the kept value, and fetch it again behind the answer.
    Refresh,
    /// Serve the kept value, and ask for a proof behind the answer.
    Prove,
    /// Serve the kept value, and do both behind the answer.
    RefreshAndProve,
}

impl Hit {
    fn followed_by(behind: Behind) -> Self {
        match behind {
            Behind { refresh: false, prove: false } => Self::Serve,
            Behind { refresh: true, prove: false } => Self::Refresh,
            Behind { refresh: false, prove: true } => Self::Prove,
            Behind { refresh: true, prove: true } => Self::RefreshAndProve,
        }
    }
}

/// A cache without its values.
#[wasm_bindgen]
pub struct Cache {
    state: CacheState,
}

#[wasm_bindgen]
impl Cache {
    /// Returns an empty cache that knows nothing and promises nothing.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(max_entries: u32, max_bytes: f64) -> Cache {
        panic::keep_messages();
        Self { state: CacheState::new(Bounds { entries: max_entries, bytes: millis(max_bytes).0 }) }
    }

    /// Sets the policy of a class, in milliseconds; `beyond` is 0 stale, 1 fail, 2 fetch.
    pub fn promise(&mut self, class: String, ttl: f64, stale_for: f64, lag_bound: f64, beyond: u32) {
        let time = |ms| time(ms).unwrap_or_default();
        let (ttl, stale_for, lag_bound) = (time(ttl), time(stale_for), time(lag_bound));
        let beyond_bound = word(beyond).unwrap_or(BeyondBound::Fetch);
        self.state.classes.say(class, Promise { ttl, stale_for, lag_bound, beyond_bound });
    }

    /// Takes the changes of a session's last input; says whether JavaScript must drop all values.
    pub fn hear(&mut self, session: &Session) -> bool {
        self.state.hear(session.heard(), session.held(), session.proved_at(), session.topics())
    }

    /// Reads the entry in a slot. A miss changes nothing.
    pub fn hit(&mut self, slot: u32, now: f64) -> Hit {
        self.state.try_hit(slot, millis(now)).map_or(Hit::Miss, Hit::followed_by)
    }

    /// Begins a read in a turn of the event loop; returns its number. A bound below 0 is the class's;
    /// `beyond` is a word as for [`Self::promise`], or 3 for the class's; `at_least` is empty, a position or
    /// the part before its hash.
    ///
    /// # Errors
    /// A text that begins with the code of the error.
    #[expect(clippy::too_many_arguments, reason = "JavaScript's side of it is one call")]
    pub fn begin(
        &mut self,
        key: String,
        bound: f64,
        beyond: u32,
        at_least: &str,
        anew: bool,
        tick: u32,
        now: f64,
    ) -> Result<u32, JsError> {
        let (key, options) = options(key, bound, beyond, at_least, anew)?;
        Ok(self.state.begin(key, options, tick, millis(now)))
    }

    /// Begins a read that fetches a key behind an answer, and returns its number; nothing if that is under
    /// way.
    pub fn refresh(&mut self, key: String, tick: u32, now: f64) -> Option<u32> {
        self.state.refresh(Key::new(key).ok()?, tick, millis(now))
    }

    /// Returns the next step of a read.
    #[must_use]
    pub fn step(&self, walk: u32) -> String {
        json(self.state.step(walk))
    }

    /// Says whether the version that a read wants was heard.
    #[wasm_bindgen(js_name = isHeard)]
    #[must_use]
    pub fn is_heard(&self, walk: u32) -> bool {
        self.state.is_heard(walk)
    }

    /// The proof that a read waited for has come, or will not in time.
    pub fn proved(&mut self, walk: u32, proved: bool, now: f64) -> String {
        json(self.state.proved(walk, proved, millis(now)))
    }

    /// Returns the flight that a read is to wait for. JavaScript calls the fetcher for a flight that it does
    /// not know.
    pub fn board(&mut self, walk: u32, tick: u32, now: f64) -> u32 {
        self.state.board(walk, tick, millis(now))
    }

    /// A fetcher returned; times below 0 are the class's.
    ///
    /// # Errors
    /// A text that says what is wrong with the tags.
    pub fn land(
        &mut self,
        flight: u32,
        found: bool,
        tags: Vec<String>,
        ttl: f64,
        stale_for: f64,
        bytes: f64,
    ) -> Result<(), JsError> {
        let tags: Result<Vec<Tag>, _> = tags.into_iter().map(Tag::new).collect();
        let tags = tags.map_err(|why| JsError::new(&why.to_string()))?;
        let (ttl, stale_for) = (time(ttl), time(stale_for));
        self.state.land(flight, Brought { found, tags, ttl, stale_for, bytes: millis(bytes).0 });
        Ok(())
    }

    /// Judges for a read the value of the flight that it waited for; returns the next step.
    pub fn landed(&mut self, walk: u32, flight: u32, now: f64) -> String {
        json(self.state.landed(walk, flight, millis(now)))
    }

    /// The flight that a read waited for brought nothing.
    pub fn failed(&mut self, walk: u32, now: f64) -> String {
        json(self.state.failed(walk, millis(now)))
    }

    /// Keeps the value that a flight brought to a read: returns its slot, then the slots of the entries
    /// evicted for it; nothing if the value is not kept.
    pub fn keep(&mut self, walk: u32, flight: u32) -> Vec<u32> {
        match self.state.keep(walk, flight) {
            Some(Put { slot, evicted }) => [slot].into_iter().chain(evicted).collect(),
            None => Vec::new(),
        }
    }

    /// Ends a read, answered or not.
    pub fn end(&mut self, walk: u32) {
        self.state.end(walk);
    }

    /// Forgets a flight that no read waits for.
    #[wasm_bindgen(js_name = endFlight)]
    pub fn end_flight(&mut self, flight: u32) {
        self.state.end_flight(flight);
    }

    /// Drops the entry of a key, and voids the flights of the key; returns the entry's slot.
    pub fn delete(&mut self, key: &str) -> Option<u32> {
        self.state.drop_key(key)
    }

    /// Drops every entry, and voids every flight under way.
    pub fn clear(&mut self) {
        self.state.clear();
    }

    /// Forgets all that was heard, and every entry: another session follows.
    pub fn forget(&mut self) {
        self.state.forget_all();
    }

    /// Returns how many milliseconds ago it was last proved that everything had been heard.
    #[must_use]
    pub fn lag(&self, now: f64) -> Option<f64> {
        self.state.known.lag(millis(now)).map(|lag| lag.as_secs_f64() * 1_000.0)
    }

    /// Returns the position that reads are judged by; empty before there is one.
    #[must_use]
    pub fn position(&self) -> String {
        self.state.known.position().map(|position| position.to_string()).unwrap_or_default()
    }

    /// Returns the position at which the entry in a slot was filled; empty if there is none.
    #[wasm_bindgen(js_name = filledAt)]
    #[must_use]
    pub fn filled_at(&self, slot: u32) -> String {
        let held = self.state.entries.get(slot);
        held.map(|held| held.envelope.position.to_string()).unwrap_or_default()
    }

    /// Returns the number of entries, bytes and floors, then the counts of `COUNTED`.
    #[must_use]
    pub fn stats(&self) -> Vec<f64> {
        let counts = &self.state.counts;
        let of = |count: &Count| counts.classes().map(|class| counts.get(class, *count)).sum::<u64>();
        let here =
            [self.state.entries.count() as u64, self.state.entries.bytes(), self.state.floors() as u64];
        here.into_iter().chain(COUNTED.iter().map(of)).map(number).collect()
    }
}

/// The counts in [`Cache::stats`], in their order.
const COUNTED: [Count; 19] = [
    Count::Reads,
    Count::MemoryHit,
    Count::MemoryMiss,
    Count::Fresh,
    Count::Revalidating,
    Count::Stale,
    Count::Removed,
    Count::NotFound,
    Count::BoundNotKept,
    Count::MinVersion,
    Count::OriginDown,
    Count::Refreshes,
    Count::Syncs,
    Count::BelowKey,
    Count::BelowTag,
    Count::BelowPrefix,
    Count::BelowAll,
    Count::Soft,
    Count::Expired,
];

fn json(step: NextStep) -> String {
    serde_json::to_string(&step).expect("a step is plain texts and numbers")
}

/// Why a read cannot begin. The text begins with the code of JavaScript's error.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("bad-key: {0}")]
    Key(NameError),
    #[error("bad-options: minVersion is a position or epoch:version, not {0}")]
    MinVersion(String),
}

/// Returns the key and the options of a read.
fn options(
    key: String,
    bound: f64,
    beyond: u32,
    at_least: &str,
    anew: bool,
) -> Result<(Key, ReadOptions), BeginError> {
    let key = Key::new(key).map_err(BeginError::Key)?;
    let refused = |_| BeginError::MinVersion(at_least.to_owned());
    let at_least = if at_least.is_empty() { None } else { Some(at_least.parse().map_err(refused)?) };
    Ok((key, ReadOptions { bound: time(bound), beyond_bound: word(beyond), at_least, anew }))
}

fn word(beyond: u32) -> Option<BeyondBound> {
    match beyond {
        0 => Some(BeyondBound::Stale),
        1 => Some(BeyondBound::Fail),
        2 => Some(BeyondBound::Fetch),
        _ => None,
    }
}

/// Returns a time of JavaScript's, in milliseconds; nothing for one below 0.
fn time(ms: f64) -> Option<Duration> {
    (ms >= 0.0).then(|| Duration::from_millis(millis(ms).0))
}

#[cfg(test)]
mod tests;
