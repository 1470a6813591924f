//! The table of the fetches that are under way, and of the requests that wait for a turn at the origin.
//!
//! Each of a thousand waiting requests asks every few milliseconds, so asking walks no list of names: tables are by
//! number or by name, and are swept once for each time that the clock shows.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;
use newsreel_core::wire::UnixMillis;

use crate::tiers::origin::OriginError;
use crate::tiers::{Body, Entry};

/// How long a fetch counts as under way after it was last heard of.
const SILENT: Duration = Duration::from_secs(1);
/// How long the outcome of a fetch is kept for the requests that wait for it.
const OUTCOME_KEPT: Duration = Duration::from_secs(1);
/// How long a key whose last fetch failed is not fetched anew behind an answer: an origin that
/// is down is spared.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long the fetches of a key are not shared after one brought an answer that the origin forbids to share.
/// Otherwise the requests that waited for it in vain would ask one after the other.
const UNSHARED: Duration = Duration::from_secs(10);
/// How many such keys are remembered, the last ones.
const UNSHARED_KEYS: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not zero");
/// How many requests may queue for a turn; more would only wait in vain.
const QUEUE: usize = 1_000;
/// How long a ticket stays in the queue after its request last checked: that request may have been ended.
const TICKET_KEPT: Duration = Duration::from_millis(500);

/// The reason that a fetch brings no entry. Every request that waits for the fetch is told the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FetchError {
    /// The queue is full, or did not move for too long.
    #[error("too many fetches of the origin are under way")]
    Busy,
    /// The origin was asked and gave no entry.
    #[error("{0}")]
    Origin(Rc<OriginError>),
}

/// The outcome of a fetch.
pub(crate) type Outcome = Result<Entry, FetchError>;

/// The fetches of an isolate, and the requests that wait.
pub(super) struct Flights {
    /// The fetches by number, so the oldest first.
    all: BTreeMap<u64, Flight>,
    /// The numbers of the fetches of each name.
    by_name: Numbers,
    /// The tickets of the requests that wait for a turn at the origin, in order of arrival: so a binary search by
    /// number tells how many are before one.
    queue: Vec<Ticket>,
    /// The numbers of the tickets of each name.
    queued: Numbers,
    /// When the last fetch of a name failed, for as long as that name rests.
    failed: BTreeMap<String, UnixMillis>,
    /// Since when the fetches of a name are not shared.
    unshared: LruCache<String, UnixMillis>,
    /// The newest number of a flight or a ticket.
    last: u64,
    swept_at: UnixMillis,
}

/// Numbers of flights or tickets by name; several for a name only where its fetches are not shared.
#[derive(Default)]
struct Numbers(BTreeMap<String, BTreeSet<u64>>);

struct Flight {
    name: String,
    heartbeat_at: UnixMillis,
    /// How many requests wait for its outcome and have not taken it.
    waiting: u32,
    done: Option<Outcome>,
}

/// A request's place in the queue.
struct Ticket {
    number: u64,
    name: String,
    polled_at: UnixMillis,
}

/// The next step of a request that wants to fetch.
pub(super) enum Turn {
    /// Fetch, as the flight of this number.
    Yours(u64),
    /// Wait for the flight of this number, then ask again.
    Wait(u64),
    /// Ask again with this ticket, which stands behind `before` others; `None` where another request holds a
    /// ticket for the same key.
    Queue { ticket: Option<u64>, before: u32 },
    /// Take the outcome of the flight that the request waited for.
    Done(Outcome),
    /// Give up: the queue is full.
    Full,
}

impl Flight {
    fn is_under_way(&self, now: UnixMillis) -> bool {
        self.done.is_none() && now < self.heartbeat_at.plus(SILENT)
    }
}

impl Numbers {
    fn add(&mut self, name: &str, number: u64) {
        self.0.entry(name.to_owned()).or_default().insert(number);
    }

    fn remove(&mut self, name: &str, number: u64) {
        let Some(numbers) = self.0.get_mut(name) else { return };
        numbers.remove(&number);
        if numbers.is_empty() {
            self.0.remove(name);
        }
    }

    /// Returns the numbers of a name, the oldest first.
    fn of(&self, name: &str) -> impl Iterator<Item = u64> {
        self.0.get(name).into_iter().flatten().copied()
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            by_name: Numbers::default(),
            queue: Vec::new(),
            queued: Numbers::default(),
            failed: BTreeMap::new(),
            unshared: LruCache::new(UNSHARED_KEYS),
            last: 0,
            swept_at: UnixMillis(0),
        }
    }
}

impl Flights {
    /// Asks for a turn; `awaited` is the flight that the request waited for so far, `ticket` its place in the
    /// queue. Only a request that waited for a flight takes its outcome: a request that asks later must not
    /// get an answer from before its question.
    pub(super) fn join(
        &mut self,
        name: &str,
        awaited: Option<u64>,
        ticket: Option<u64>,
        most: usize,
        now: UnixMillis,
    ) -> Turn {
        if let Some(outcome) = awaited.and_then(|number| self.take_outcome(number)) {
            return Turn::Done(outcome);
        }
        let ticket = ticket.filter(|ticket| self.keep_ticket(*ticket, now));
        self.sweep(now);
        let is_shared = self.unshared.peek(name).is_none_or(|since| now >= since.plus(UNSHARED));
        if let Some(number) = self.under_way(name, now).filter(|_| is_shared) {
            if let Some(flight) = self.all.get_mut(&number).filter(|_| awaited != Some(number)) {
                flight.waiting += 1;
            }
            self.leave_queue(ticket);
            return Turn::Wait(number);
        }
        let twin = self.queued.of(name).next().filter(|_| is_shared && ticket.is_none());
        if let Some(before) = twin.and_then(|twin| self.place(twin)) {
            return Turn::Queue { ticket: None, before: narrowed(before) };
        }
        let before = ticket.and_then(|ticket| self.place(ticket)).unwrap_or(self.queue.len());
        let under_way = self.all.values().filter(|flight| flight.is_under_way(now)).count();
        if before < most.saturating_sub(under_way) {
            self.leave_queue(ticket);
            return Turn::Yours(self.begin(name, now));
        }
        if ticket.is_none() && before >= QUEUE {
            return Turn::Full;
        }
        let ticket = ticket.unwrap_or_else(|| self.enqueue(name, now));
        Turn::Queue { ticket: Some(ticket), before: narrowed(before) }
    }

    pub(super) fn may_refresh(&self, name: &str, now: UnixMillis) -> bool {
        let waits =
            |number: u64| self.ticket(number).is_some_and(|ticket| now < ticket.polled_at.plus(TICKET_KEPT));
        let rests = self.failed.get(name).is_some_and(|at| now < at.plus(REST_AFTER_FAILURE));
        !rests && self.under_way(name, now).is_none() && !self.queued.of(name).any(waits)
    }

    pub(super) fn heartbeat(&mut self, number: u64, now: UnixMillis) {
        if let Some(flight) = self.all.get_mut(&number) {
            flight.heartbeat_at = now;
        }
    }

    /// Leaves the outcome for the requests that wait. A stream can be read only once, and an origin may
    /// forbid to share its answer (RFC 9111, 3): then the waiting requests ask again.
    pub(super) fn complete(&mut self, number: u64, outcome: &Outcome, now: UnixMillis) {
        let Some(flight) = self.all.get_mut(&number) else { return };
        if outcome.is_err() {
            self.failed.insert(flight.name.clone(), now);
        }
        let is_forbidden = matches!(outcome, Ok(entry) if entry.envelope.not_stored.is_some());
        if is_forbidden {
            self.unshared.put(flight.name.clone(), now);
        }
        let is_stream = matches!(outcome, Ok(Entry { body: Body::Stream(..), .. }));
        if is_forbidden || is_stream || flight.waiting == 0 {
            self.forget(number);
        } else {
            (flight.heartbeat_at, flight.done) = (now, Some(outcome.clone()));
        }
    }

    /// Returns the outcome of a flight that is done. The last request that waited for it takes it along.
    fn take_outcome(&mut self, number: u64) -> Option<Outcome> {
        let flight = self.all.get_mut(&number)?;
        let outcome = flight.done.clone()?;
        flight.waiting = flight.waiting.saturating_sub(1);
        if flight.waiting == 0 {
            self.forget(number);
        }
        Some(outcome)
    }

    /// Returns the oldest flight of a name that is under way.
    fn under_way(&self, name: &str, now: UnixMillis) -> Option<u64> {
        let is_under_way = |number: &u64| self.all.get(number).is_some_and(|flight| flight.is_under_way(now));
        self.by_name.of(name).find(is_under_way)
    }

    fn begin(&mut self, name: &str, now: UnixMillis) -> u64 {
        self.last += 1;
        let flight = Flight { name: name.to_owned(), heartbeat_at: now, waiting: 0, done: None };
        self.all.insert(self.last, flight);
        self.by_name.add(name, self.last);
        self.last
    }

    fn forget(&mut self, number: u64) {
        if let Some(flight) = self.all.remove(&number) {
            self.by_name.remove(&flight.name, number);
        }
    }

    fn enqueue(&mut self, name: &str, now: UnixMillis) -> u64 {
        self.last += 1;
        self.queue.push(Ticket { number: self.last, name: name.to_owned(), polled_at: now });
        self.queued.add(name, self.last);
        self.last
    }

    /// Notes that the request of a ticket still waits; returns whether the ticket is in the queue.
    fn keep_ticket(&mut self, number: u64, now: UnixMillis) -> bool {
        let ticket = self.place(number).and_then(|place| self.queue.get_mut(place));
        ticket.map(|ticket| ticket.polled_at = now).is_some()
    }

    fn leave_queue(&mut self, number: Option<u64>) {
        if let Some(place) = number.and_then(|number| self.place(number)) {
            let ticket = self.queue.remove(place);
            self.queued.remove(&ticket.name, ticket.number);
        }
    }

    fn ticket(&self, number: u64) -> Option<&Ticket> {
        self.place(number).and_then(|place| self.queue.get(place))
    }

    /// Returns how many tickets are before this one.
    fn place(&self, number: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&number, |ticket| ticket.number).ok()
    }

    /// Forgets flights that fell silent, outcomes that were kept long enough, tickets whose requests are gone, and
    /// failures that no key rests after.
    fn sweep(&mut self, now: UnixMillis) {
        if now == self.swept_at {
            return;
        }
        self.swept_at = now;
        let Self { all, by_name, queue, queued, failed, .. } = self;
        for (number, flight) in all.extract_if(.., |_, flight| now >= flight.heartbeat_at.plus(OUTCOME_KEPT))
        {
            by_name.remove(&flight.name, number);
        }
        for ticket in queue.extract_if(.., |ticket| now >= ticket.polled_at.plus(TICKET_KEPT)) {
            queued.remove(&ticket.name, ticket.number);
        }
        failed.retain(|_, at| now < at.plus(REST_AFTER_FAILURE));
    }
}

/// Returns a count as a [`Turn`] holds it.
fn narrowed(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests;
