//! The fetches of the origin that are under way in this isolate: few at once, and one for each key.
//!
//! No request can await another's future, so a request whose key is being fetched checks every few
//! milliseconds until that fetch is done, and takes its entry: as a fill, the entry is judged by the
//! floors known then. The request that fetches reports at short intervals that it is alive
//! ([`Flights::heartbeat`]). A request that was ended reports nothing, and its key is free again.

mod flights;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::wire::{Catalog, Key};
use worker::Delay;

use crate::clock::now;
use crate::tiers::Entry;
use crate::tiers::origin::Question;
use flights::{Flights, Outcome, Turn};

pub(crate) use flights::FetchError;

/// How often a waiting request checks; a request far back in the queue checks less often.
const POLL_EVERY: Duration = Duration::from_millis(4);
/// How long the queue may stand still, at least; else as long as the origin may take.
const IN_QUEUE: Duration = Duration::from_secs(5);

thread_local! {
    static FLIGHTS: RefCell<Flights> = RefCell::default();
}

/// Fetches, or waits for the fetch of the same key that is under way; says whether the
/// outcome is another request's. Before it fetches, `elsewhere` may bring the entry of another isolate's fetch.
pub(crate) async fn fetch(
    question: &Question<'_>,
    elsewhere: impl AsyncFnOnce(&dyn Fn()) -> Option<Entry>,
) -> (Outcome, bool) {
    let name = format!("{}/{}", question.catalog, question.key);
    let patience = question.config.origin_timeout.max(IN_QUEUE);
    let (mut awaited, mut held, mut ahead, mut moved_at) = (None, None, u32::MAX, now());
    let number = loop {
        let turn = FLIGHTS.with_borrow_mut(|flights| {
            flights.join(&name, awaited, held, question.config.origin_concurrency, now())
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
                (awaited, held) = (None, ticket);
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
    let other = elsewhere(&heartbeat).await;
    let is_other = other.is_some();
    let outcome = match other {
        Some(entry) => Ok(entry),
        None => question.ask(heartbeat).await.map_err(|error| FetchError::Origin(Rc::new(error))),
    };
    FLIGHTS.with_borrow_mut(|flights| flights.complete(number, &outcome, now()));
    (outcome, is_other)
}

/// Says whether a key should be fetched anew behind an answer: it is not being fetched, and did not just fail.
pub(crate) fn may_refresh(catalog: &Catalog, key: &Key) -> bool {
    let name = format!("{catalog}/{key}");
    FLIGHTS.with_borrow_mut(|flights| flights.may_refresh(&name, now()))
}
