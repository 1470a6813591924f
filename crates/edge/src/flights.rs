//! The fetches of the origin that are under way in this isolate: few at once, and one for each key.
//!
//! No request can await another's future, so whoever finds its key being fetched looks again every few milliseconds
//! until that fetch has landed, and takes what it brought: as a fill, it is judged by the floors known then. Who
//! fetches says so again every now and then ([`Flights::alive`]); a request that was ended says nothing, and its key
//! is free again.

use std::cell::RefCell;
use std::time::Duration;

use newsreel_core::wire::{Catalog, Key, UnixMillis};
use worker::Delay;

use crate::now;
use crate::tiers::origin::Question;
use crate::tiers::{Body, Entry};

/// How long a fetch counts as under way after it was last heard of.
const SILENT: Duration = Duration::from_secs(1);
/// How long what a fetch brought is kept for those who wait for it.
const KEPT: Duration = Duration::from_secs(1);
/// How often those who wait look, at first and at last.
const LOOK: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(32));

thread_local! {
    static FLIGHTS: RefCell<Flights> = const { RefCell::new(Flights { all: Vec::new(), last: 0 }) };
}

/// What a fetch came to; the error is a text, to be told to many.
pub(crate) type Outcome = Result<Entry, String>;

/// Fetches, or waits for the fetch of the same key that is under way; says whether it waited for another's.
pub(crate) async fn fetch(question: &Question<'_>) -> (Outcome, bool) {
    let name = format!("{}/{}", question.catalog, question.key);
    let deadline = now().plus(question.config.origin_timeout);
    let (mut pause, mut awaited) = (LOOK.0, None);
    let number = loop {
        let turn = FLIGHTS.with_borrow_mut(|flights| {
            flights.board(&name, awaited, question.config.origin_concurrency, now())
        });
        match turn {
            Turn::Yours(number) => break number,
            Turn::Landed(outcome) => return (outcome, true),
            Turn::Wait(_) if now() >= deadline => {
                return (Err("too many fetches of the origin are under way".to_owned()), false);
            }
            Turn::Wait(flight) => awaited = flight,
        }
        Delay::from(pause).await;
        pause = (pause * 2).min(LOOK.1);
    };
    let alive = || FLIGHTS.with_borrow_mut(|flights| flights.alive(number, now()));
    let outcome = question.ask(alive).await.map_err(|error| error.to_string());
    FLIGHTS.with_borrow_mut(|flights| flights.land(number, &outcome, now()));
    (outcome, false)
}

/// Says whether a key is being fetched: then there is no need to fetch it anew behind an answer.
pub(crate) fn is_under_way(catalog: &Catalog, key: &Key) -> bool {
    let name = format!("{catalog}/{key}");
    FLIGHTS.with_borrow(|flights| flights.of(&name, now()).is_some())
}

/// The fetches of an isolate, the oldest first.
struct Flights {
    all: Vec<Flight>,
    /// The newest number.
    last: u64,
}

struct Flight {
    number: u64,
    name: String,
    heard_at: UnixMillis,
    /// How many wait for it.
    waiting: u32,
    landed: Option<Outcome>,
}

/// What somebody who wants to fetch may do.
enum Turn {
    /// Fetch, under this number.
    Yours(u64),
    /// Look again: for the flight of this number, if there is one.
    Wait(Option<u64>),
    /// Take what the flight brought that was waited for.
    Landed(Outcome),
}

impl Flight {
    fn flies(&self, now: UnixMillis) -> bool {
        self.landed.is_none() && now < self.heard_at.plus(SILENT)
    }
}

impl Flights {
    /// Asks for a turn; `awaited` is the flight that was waited for so far. Only who waited for a flight takes what it
    /// brought: for a question that is asked later it is an answer from before.
    fn board(&mut self, name: &str, awaited: Option<u64>, most: usize, now: UnixMillis) -> Turn {
        let landed =
            self.all.iter_mut().find(|flight| Some(flight.number) == awaited && flight.landed.is_some());
        if let Some(flight) = landed {
            flight.waiting = flight.waiting.saturating_sub(1);
            return flight.landed.clone().map_or(Turn::Wait(None), Turn::Landed);
        }
        self.all.retain(|flight| {
            now < flight.heard_at.plus(KEPT) && (flight.landed.is_none() || flight.waiting > 0)
        });
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.name == name && flight.flies(now)) {
            flight.waiting += u32::from(awaited != Some(flight.number));
            return Turn::Wait(Some(flight.number));
        }
        if self.all.iter().filter(|flight| flight.flies(now)).count() >= most {
            return Turn::Wait(None);
        }
        self.last += 1;
        let (number, name) = (self.last, name.to_owned());
        self.all.push(Flight { number, name, heard_at: now, waiting: 0, landed: None });
        Turn::Yours(number)
    }

    fn of(&self, name: &str, now: UnixMillis) -> Option<&Flight> {
        self.all.iter().find(|flight| flight.name == name && flight.flies(now))
    }

    fn alive(&mut self, number: u64, now: UnixMillis) {
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.number == number) {
            flight.heard_at = now;
        }
    }

    /// Leaves the outcome for those who wait. A stream is read once, so they ask again.
    fn land(&mut self, number: u64, outcome: &Outcome, now: UnixMillis) {
        let once = matches!(outcome, Ok(Entry { body: Body::Stream(..), .. }));
        if once {
            self.all.retain(|flight| flight.number != number);
        }
        if let Some(flight) = self.all.iter_mut().find(|flight| flight.number == number) {
            (flight.heard_at, flight.landed) = (now, Some(outcome.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(100_000);

    fn flights() -> Flights {
        Flights { all: Vec::new(), last: 0 }
    }

    fn failed() -> Outcome {
        Err("down".to_owned())
    }

    #[track_caller]
    fn yours(turn: Turn) -> u64 {
        match turn {
            Turn::Yours(number) => number,
            Turn::Wait(_) | Turn::Landed(_) => panic!("it may not fetch"),
        }
    }

    #[track_caller]
    fn waits(turn: Turn) -> Option<u64> {
        match turn {
            Turn::Wait(flight) => flight,
            Turn::Yours(_) | Turn::Landed(_) => panic!("it need not wait"),
        }
    }

    #[test]
    fn one_fetch_serves_all_who_came_while_it_was_under_way() {
        let mut flights = flights();
        let first = yours(flights.board("a", None, 4, NOW));
        let second = waits(flights.board("a", None, 4, NOW));
        let third = waits(flights.board("a", None, 4, NOW));
        assert_eq!((second, third), (Some(first), Some(first)));
        flights.land(first, &failed(), NOW);
        assert!(matches!(flights.board("a", second, 4, NOW), Turn::Landed(Err(_))));
        assert_ne!(yours(flights.board("a", None, 4, NOW)), first, "who comes later asks anew");
        assert!(matches!(flights.board("a", third, 4, NOW), Turn::Landed(Err(_))));
        yours(flights.board("b", None, 4, NOW));
        assert_eq!(flights.all.len(), 2, "what all have taken is forgotten");
    }

    #[test]
    fn only_so_many_keys_are_fetched_at_once() {
        let mut flights = flights();
        let first = yours(flights.board("a", None, 2, NOW));
        yours(flights.board("b", None, 2, NOW));
        assert_eq!(waits(flights.board("c", None, 2, NOW)), None);
        flights.land(first, &failed(), NOW);
        yours(flights.board("c", None, 2, NOW));
    }

    #[test]
    fn a_fetch_whose_request_was_ended_frees_its_key() {
        let mut flights = flights();
        let first = yours(flights.board("a", None, 1, NOW));
        let awaited = waits(flights.board("a", None, 1, NOW));
        let later = NOW.plus(SILENT);
        flights.alive(first, later);
        assert_eq!(waits(flights.board("a", awaited, 1, later)), Some(first), "it was heard of");
        let second = yours(flights.board("a", awaited, 1, later.plus(SILENT)));
        flights.land(first, &failed(), later);
        assert_eq!(waits(flights.board("a", None, 1, later.plus(SILENT))), Some(second));
    }
}
