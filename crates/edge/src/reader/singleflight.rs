//! The fetches of the origin that are under way in this isolate: few at once, and one for each key.
//!
//! No request can await another's future, so a request whose key is being fetched checks every few
//! milliseconds until that fetch is done, and takes its entry: as a fill, the entry is judged by the
//! floors known then. The request that fetches reports at short intervals that it is alive
//! ([`Flights::heartbeat`]). A request that was ended reports nothing, and its key is free again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::wire::{Catalog, Key, UnixMillis};
use worker::Delay;

use crate::clock::now;
use crate::tiers::origin::{OriginError, Question};
use crate::tiers::{Body, Entry};

/// How long a fetch counts as under way after it was last heard of.
const SILENT: Duration = Duration::from_secs(1);
/// How long the outcome of a fetch is kept for the requests that wait for it.
const OUTCOME_KEPT: Duration = Duration::from_secs(1);
/// How often a waiting request checks; a request far back in the queue checks less often.
const POLL_EVERY: Duration = Duration::from_millis(4);
/// How long the queue may stand still, at least; else as long as the origin may take.
const IN_QUEUE: Duration = Duration::from_secs(5);
/// How long a key whose last fetch failed is not fetched anew behind an answer: an origin that
/// is down is spared.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long the fetches of a key are not shared after one brought an answer that the origin forbids to share.
/// Otherwise the requests that waited for it in vain would ask one after the other.
const UNSHARED: Duration = Duration::from_secs(10);
/// How many such keys are remembered, the last ones.
const UNSHARED_KEYS: usize = 1_000;
/// How many requests may queue for a turn; more would only wait in vain.
const QUEUE: usize = 1_000;
/// How long a ticket stays in the queue after its request last checked: that request may have been ended.
const TICKET_KEPT: Duration = Duration::from_millis(500);

thread_local! {
    static FLIGHTS: RefCell<Flights> = const { RefCell::new(Flights::new()) };
}

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

/// Fetches, or waits for the fetch of the same key that is under way; says whether the
/// outcome is another request's.
pub(crate) async fn fetch(question: &Question<'_>) -> (Outcome, bool) {
    let name = format!("{}/{}", question.catalog, question.key);
    let patience = question.config.origin_timeout.max(IN_QUEUE);
    let (mut awaited, mut place, mut ahead, mut moved_at) = (None, None, u32::MAX, now());
    let number = loop {
        let turn = FLIGHTS.with_borrow_mut(|flights| {
            flights.join(&name, awaited, place, question.config.origin_concurrency, now())
        });
        let pause = match turn {
            Turn::Yours(number) => break number,
            Turn::Done(outcome) => return (outcome, true),
            Turn::Full => return (Err(FetchError::Busy), false),
            // A flight lands, or falls silent and frees its key, so patience is not counted here.
            Turn::Wait(flight) => {
                awaited = Some(flight);
                POLL_EVERY
            }
            Turn::Queue { ticket, before } => {
                (awaited, place) = (None, ticket);
                if before < ahead {
                    (ahead, moved_at) = (before, now());
                }
                if now() >= moved_at.plus(patience) {
                    return (Err(FetchError::Busy), false);
                }
                POLL_EVERY * (before + 1).min(16)
            }
        };
        Delay::from(pause).await;
    };
    let heartbeat = || FLIGHTS.with_borrow_mut(|flights| flights.heartbeat(number, now()));
    let outcome = question.ask(heartbeat).await.map_err(|error| FetchError::Origin(Rc::new(error)));
    FLIGHTS.with_borrow_mut(|flights| flights.complete(number, &outcome, now()));
    (outcome, false)
}

/// Says whether a key should be fetched anew behind an answer: it is not being fetched, and did not just fail.
pub(crate) fn may_refresh(catalog: &Catalog, key: &Key) -> bool {
    let name = format!("{catalog}/{key}");
    FLIGHTS.with_borrow_mut(|flights| flights.may_refresh(&name, now()))
}

/// The fetches of an isolate, the oldest first.
struct Flights {
    all: Vec<Flight>,
    /// The tickets of the requests that wait for a turn at the origin, in order of arrival.
    queue: Vec<Ticket>,
    /// The keys whose last fetch failed a moment ago.
    failed: Vec<(String, UnixMillis)>,
    /// The keys whose fetches are not shared, and since when.
    unshared: Vec<(String, UnixMillis)>,
    /// The newest number of a flight or a ticket.
    last: u64,
}

struct Flight {
    number: u64,
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
enum Turn {
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

impl Flights {
    const fn new() -> Self {
        Self { all: Vec::new(), queue: Vec::new(), failed: Vec::new(), unshared: Vec::new(), last: 0 }
    }

    /// Asks for a turn; `awaited` is the flight that the request waited for so far, `ticket` its place in the
    /// queue. Only a request that waited for a flight takes its outcome: a request that asks later must not
    /// get an answer from before its question.
    fn join(
        &mut self,
        name: &str,
        awaited: Option<u64>,
        ticket: Option<u64>,
        most: usize,
        now: UnixMillis,
    ) -> Turn {
        let mine = self.all.iter_mut().find(|flight| Some(flight.number) == awaited);
        if let Some(Flight { done: Some(outcome), waiting, .. }) = mine {
            *waiting = waiting.saturating_sub(1);
            return Turn::Done(outcome.clone());
        }
        self.all.retain(|flight| {
            now < flight.heartbeat_at.plus(OUTCOME_KEPT) && (flight.done.is_none() || flight.waiting > 0)
        });
        self.unshared.retain(|(_, since)| now < since.plus(UNSHARED));
        let shared = self.unshared.iter().all(|(unshared, _)| unshared != name);
        let under_way =
            self.all.iter_mut().find(|flight| shared && flight.name == name && flight.is_under_way(now));
        if let Some(flight) = under_way {
            flight.waiting += u32::from(awaited != Some(flight.number));
            self.queue.retain(|one| Some(one.number) != ticket);
            return Turn::Wait(flight.number);
        }
        self.queue.retain(|one| now < one.polled_at.plus(TICKET_KEPT) || Some(one.number) == ticket);
        let free = most.saturating_sub(self.all.iter().filter(|flight| flight.is_under_way(now)).count());
        let place = self.queue.iter().position(|one| Some(one.number) == ticket);
        let twin = self.queue.iter().position(|one| shared && one.name == name).filter(|_| place.is_none());
        if let Some(before) = twin {
            return Turn::Queue { ticket: None, before: u32::try_from(before).unwrap_or(u32::MAX - 1) };
        }
        let before = place.unwrap_or(self.queue.len());
        if before < free {
            self.queue.retain(|one| Some(one.number) != ticket);
            self.last += 1;
            let (number, name) = (self.last, name.to_owned());
            self.all.push(Flight { number, name, heartbeat_at: now, waiting: 0, done: None });
            return Turn::Yours(number);
        }
        let ticket = match place.and_then(|place| self.queue.get_mut(place)) {
            Some(held) => {
                held.polled_at = now;
                held.number
            }
            None if before >= QUEUE => return Turn::Full,
            None => {
                self.last += 1;
                self.queue.push(Ticket { number: self.last, name: name.to_owned(), polled_at: now });
                self.last
            }
        };
        Turn::Queue { ticket: Some(ticket), before: u32::try_from(before).unwrap_or(u32::MAX - 1) }
    }

    fn may_refresh(&mut self, name: &str, now: UnixMillis) -> bool {
        self.failed.retain(|(_, at)| now < at.plus(REST_AFTER_FAILURE));
        let is_fetched = self.all.iter().any(|flight| flight.name == name && flight.is_under_way(now))
            || self.queue.iter().any(|one| one.name == name && now < one.polled_at.plus(TICKET_KEPT));
        !is_fetched && self.failed.iter().all(|(failed, _)| failed != name)
    }

    fn heartbeat(&mut self, number: u64, now: UnixMillis) {
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.number == number) {
            flight.heartbeat_at = now;
        }
    }

    /// Leaves the outcome for the requests that wait. A stream can be read only once, and an origin may
    /// forbid to share its answer (RFC 9111, 3): then the waiting requests ask again.
    fn complete(&mut self, number: u64, outcome: &Outcome, now: UnixMillis) {
        let forbidden = matches!(outcome, Ok(entry) if entry.envelope.not_stored.is_some());
        let name = self.all.iter().find(|flight| flight.number == number).map(|flight| flight.name.clone());
        if let Some(name) = name.filter(|_| forbidden) {
            self.unshared.retain(|(unshared, _)| *unshared != name);
            self.unshared.push((name, now));
            let surplus = self.unshared.len().saturating_sub(UNSHARED_KEYS);
            self.unshared.drain(..surplus);
        }
        if forbidden || matches!(outcome, Ok(Entry { body: Body::Stream(..), .. })) {
            self.all.retain(|flight| flight.number != number);
        }
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.number == number) {
            (flight.heartbeat_at, flight.done) = (now, Some(outcome.clone()));
            if outcome.is_err() {
                self.failed.retain(|(_, at)| now < at.plus(REST_AFTER_FAILURE));
                self.failed.push((flight.name.clone(), now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::read::origin_answer::NotStored;

    use super::*;
    use crate::tiers::memory::tests::entry;

    const NOW: UnixMillis = UnixMillis(100_000);

    fn failed() -> Outcome {
        Err(FetchError::Origin(Rc::new(OriginError::Late)))
    }

    #[track_caller]
    fn yours(turn: Turn) -> u64 {
        match turn {
            Turn::Yours(number) => number,
            Turn::Wait(_) | Turn::Queue { .. } | Turn::Done(_) | Turn::Full => panic!("it may not fetch"),
        }
    }

    #[track_caller]
    fn waits(turn: Turn) -> Option<u64> {
        match turn {
            Turn::Wait(flight) => Some(flight),
            Turn::Yours(_) | Turn::Queue { .. } | Turn::Done(_) | Turn::Full => {
                panic!("it waits for no flight")
            }
        }
    }

    #[track_caller]
    fn queues(turn: Turn) -> (Option<u64>, u32) {
        match turn {
            Turn::Queue { ticket, before } => (ticket, before),
            Turn::Yours(_) | Turn::Wait(_) | Turn::Done(_) | Turn::Full => panic!("it is not in the queue"),
        }
    }

    #[test]
    fn one_fetch_serves_all_who_came_while_it_was_under_way() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 4, NOW));
        let second = waits(flights.join("a", None, None, 4, NOW));
        let third = waits(flights.join("a", None, None, 4, NOW));
        assert_eq!((second, third), (Some(first), Some(first)));
        flights.complete(first, &failed(), NOW);
        assert!(matches!(flights.join("a", second, None, 4, NOW), Turn::Done(Err(_))));
        assert_ne!(yours(flights.join("a", None, None, 4, NOW)), first, "who comes later asks anew");
        assert!(matches!(flights.join("a", third, None, 4, NOW), Turn::Done(Err(_))));
        yours(flights.join("b", None, None, 4, NOW));
        assert_eq!(flights.all.len(), 2, "what all have taken is forgotten");
    }

    #[test]
    fn only_so_many_keys_are_fetched_at_once_and_the_first_to_come_is_the_next() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 2, NOW));
        let second = yours(flights.join("b", None, None, 2, NOW));
        let (third, before) = queues(flights.join("c", None, None, 2, NOW));
        assert_eq!(before, 0);
        let (fourth, before) = queues(flights.join("d", None, None, 2, NOW));
        assert_eq!(before, 1);
        flights.complete(first, &failed(), NOW);
        assert_eq!(queues(flights.join("d", None, None, 2, NOW)), (None, 1), "one waits for this key");
        assert_eq!(queues(flights.join("e", None, None, 2, NOW)).1, 2, "it came later");
        assert_eq!(queues(flights.join("d", None, fourth, 2, NOW)), (fourth, 1));
        yours(flights.join("c", None, third, 2, NOW));
        flights.complete(second, &failed(), NOW);
        yours(flights.join("d", None, fourth, 2, NOW));
    }

    #[test]
    fn a_key_is_not_fetched_behind_an_answer_while_it_is_fetched_or_right_after_it_failed() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 1, NOW));
        assert!(!flights.may_refresh("a", NOW) && flights.may_refresh("b", NOW));
        flights.complete(first, &failed(), NOW);
        assert!(!flights.may_refresh("a", NOW) && flights.may_refresh("b", NOW));
        assert!(flights.may_refresh("a", NOW.plus(REST_AFTER_FAILURE)));
        yours(flights.join("a", None, None, 1, NOW));
        queues(flights.join("b", None, None, 1, NOW));
        assert!(!flights.may_refresh("b", NOW), "it waits for its turn");
    }

    #[test]
    fn what_the_origin_forbids_to_share_is_fetched_by_each_and_side_by_side() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 3, NOW));
        let [second, third] = [(); 2].map(|()| waits(flights.join("a", None, None, 3, NOW)));
        let mut private = entry(1, b"secret");
        private.envelope.not_stored = Some(NotStored::Private);
        flights.complete(first, &Ok(private), NOW);
        yours(flights.join("a", second, None, 3, NOW));
        yours(flights.join("a", third, None, 3, NOW));
        yours(flights.join("a", None, None, 3, NOW));
        let (fourth, _) = queues(flights.join("a", None, None, 3, NOW));
        let (fifth, before) = queues(flights.join("a", None, None, 3, NOW));
        assert!(fourth.is_some() && fifth.is_some() && before == 1, "each has a place of its own");
        let shared = NOW.plus(UNSHARED);
        let sixth = yours(flights.join("a", None, None, 3, shared));
        assert_eq!(waits(flights.join("a", None, None, 3, shared)), Some(sixth), "for a while only");
    }

    #[test]
    fn a_queue_that_is_full_takes_nobody() {
        let mut flights = Flights::new();
        yours(flights.join("a", None, None, 1, NOW));
        for number in 0..QUEUE {
            queues(flights.join(&format!("b{number}"), None, None, 1, NOW));
        }
        assert!(matches!(flights.join("c", None, None, 1, NOW), Turn::Full));
    }

    #[test]
    fn who_left_the_queue_keeps_nobody_waiting() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 1, NOW));
        queues(flights.join("b", None, None, 1, NOW));
        let (third, before) = queues(flights.join("c", None, None, 1, NOW));
        assert_eq!(before, 1);
        flights.complete(first, &failed(), NOW);
        let later = NOW.plus(TICKET_KEPT);
        yours(flights.join("c", None, third, 1, later));
    }

    #[test]
    fn a_fetch_whose_request_was_ended_frees_its_key() {
        let mut flights = Flights::new();
        let first = yours(flights.join("a", None, None, 1, NOW));
        let awaited = waits(flights.join("a", None, None, 1, NOW));
        let later = NOW.plus(SILENT);
        flights.heartbeat(first, later);
        assert_eq!(waits(flights.join("a", awaited, None, 1, later)), Some(first), "it was heard of");
        let second = yours(flights.join("a", awaited, None, 1, later.plus(SILENT)));
        flights.complete(first, &failed(), later);
        assert_eq!(waits(flights.join("a", None, None, 1, later.plus(SILENT))), Some(second));
    }
}
