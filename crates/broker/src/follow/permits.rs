//! Permits: how many requests may wait, or stream, at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::driver::notify::Notify;

/// The permits of one kind of request, of which each call of `take` sets the limit.
#[derive(Default)]
pub(crate) struct Permits(Rc<Count>);

/// The count that permits and their holders share.
#[derive(Default)]
struct Count {
    taken: Cell<u32>,
    given_back: Notify,
}

impl Permits {
    /// Returns a permit, unless `most` are taken.
    pub(crate) fn take(&self, most: u32) -> Option<Permit> {
        let taken = self.taken();
        (taken < most).then(|| {
            self.0.taken.set(taken + 1);
            Permit(Rc::clone(&self.0))
        })
    }

    /// Returns how many permits are taken.
    pub(crate) fn taken(&self) -> u32 {
        self.0.taken.get()
    }

    /// Waits until a permit comes back, but at most so long.
    pub(crate) async fn given_back(&self, at_most: Duration) {
        self.0.given_back.notified(at_most).await;
    }
}

/// One of [`Permits`], given back when it is dropped.
pub(crate) struct Permit(Rc<Count>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
        self.0.given_back.notify_one();
    }
}
