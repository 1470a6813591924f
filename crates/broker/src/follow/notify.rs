//! Whoever waits for something to happen in the object. Who stops waiting, for whatever reason, leaves nothing.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use newsreel_core::wire::Position;
use worker::Delay;

/// Those who wait for one kind of event.
#[derive(Default)]
pub(crate) struct Waiters {
    /// By place. A list, for it is short and a map costs 6 KB of wasm.
    waiting: RefCell<Vec<(u64, oneshot::Sender<()>)>>,
    next: Cell<u64>,
}

impl Waiters {
    /// Waits for the next [`Waiters::wake`], but at most so long; says whether it came.
    pub(crate) async fn woken(&self, at_most: Duration) -> bool {
        let (wake, woken) = oneshot::channel();
        let id = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().push((id, wake));
        let _place = Place { waiters: self, id };
        match select(woken, pin!(Delay::from(at_most))).await {
            Either::Left(_) => true,
            Either::Right(_) => false,
        }
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        for (_, waiting) in self.waiting.take() {
            // Who gave up waiting needs no wake-up.
            let _ = waiting.send(());
        }
    }
}

/// The place of one who waits, given back when it stops.
struct Place<'a> {
    waiters: &'a Waiters,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.waiting.borrow_mut().retain(|(id, _)| *id != self.id);
    }
}

/// Those who read the log without a socket and wait for more of it.
#[derive(Default)]
pub(crate) struct Readers {
    waiters: Waiters,
    /// The head that they were last woken for.
    told: Cell<Option<Position>>,
    /// Answers that wait for a version.
    pub(crate) polls: Seats,
    /// Streams of events.
    pub(crate) streams: Seats,
}

impl Readers {
    /// Waits until the head moves, but at most so long; says whether it did.
    pub(crate) async fn moved(&self, at_most: Duration) -> bool {
        self.waiters.woken(at_most).await
    }

    /// Says where the head is.
    pub(crate) fn tell(&self, head: Position) {
        if self.told.replace(Some(head)) != Some(head) {
            self.waiters.wake();
        }
    }
}

/// How many are there at once.
#[derive(Default)]
pub(crate) struct Seats(Rc<Cell<u32>>);

impl Seats {
    /// Returns a seat, unless `most` are taken.
    pub(crate) fn take(&self, most: u32) -> Option<Seat> {
        let taken = self.taken();
        (taken < most).then(|| {
            self.0.set(taken + 1);
            Seat(Rc::clone(&self.0))
        })
    }

    /// Returns how many are taken.
    pub(crate) fn taken(&self) -> u32 {
        self.0.get()
    }
}

/// One of [`Seats`], free again when it is dropped.
pub(crate) struct Seat(Rc<Cell<u32>>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
