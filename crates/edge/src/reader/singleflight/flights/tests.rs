//! Stories of requests that fetch the same keys and others, at most so many at a time.

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
fn one_fetch_serves_every_read_that_came_while_it_was_under_way() {
    let mut flights = Flights::default();
    let first = yours(flights.join("a", None, None, 4, NOW));
    let second = waits(flights.join("a", None, None, 4, NOW));
    let third = waits(flights.join("a", None, None, 4, NOW));
    assert_eq!((second, third), (Some(first), Some(first)));
    flights.complete(first, &failed(), NOW);
    assert!(matches!(flights.join("a", second, None, 4, NOW), Turn::Done(Err(_))));
    assert_ne!(yours(flights.join("a", None, None, 4, NOW)), first, "a request that comes later asks anew");
    assert!(matches!(flights.join("a", third, None, 4, NOW), Turn::Done(Err(_))));
    yours(flights.join("b", None, None, 4, NOW));
    assert_eq!(flights.all.len(), 2, "what all have taken is forgotten");
}

#[test]
fn only_so_many_keys_are_fetched_at_once_and_the_first_to_come_is_the_next() {
    let mut flights = Flights::default();
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
    let mut flights = Flights::default();
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
fn an_answer_that_the_origin_forbids_to_share_is_fetched_by_each_and_side_by_side() {
    let mut flights = Flights::default();
    let first = yours(flights.join("a", None, None, 3, NOW));
    let [second, third] = [(); 2].map(|()| waits(flights.join("a", None, None, 3, NOW)));
    let mut private = entry(1, b"secret");
    Rc::make_mut(&mut private.envelope).not_stored = Some(NotStored::Private);
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
fn a_full_queue_takes_no_fetch() {
    let mut flights = Flights::default();
    yours(flights.join("a", None, None, 1, NOW));
    for number in 0..QUEUE {
        queues(flights.join(&format!("b{number}"), None, None, 1, NOW));
    }
    assert!(matches!(flights.join("c", None, None, 1, NOW), Turn::Full));
}

#[test]
fn a_request_that_left_the_queue_keeps_no_other_waiting() {
    let mut flights = Flights::default();
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
    let mut flights = Flights::default();
    let first = yours(flights.join("a", None, None, 1, NOW));
    let awaited = waits(flights.join("a", None, None, 1, NOW));
    let later = NOW.plus(SILENT);
    flights.heartbeat(first, later);
    assert_eq!(waits(flights.join("a", awaited, None, 1, later)), Some(first), "it was heard of");
    let second = yours(flights.join("a", awaited, None, 1, later.plus(SILENT)));
    flights.complete(first, &failed(), later);
    assert_eq!(waits(flights.join("a", None, None, 1, later.plus(SILENT))), Some(second));
}
