//! Waiting for an event in the object. A waiter that stops waiting leaves nothing behind.

use std::pin::pin;
use std::time::Duration;

use event_listener::{Event, IntoNotification as _};
use futures_util::future::{Either, select};
use worker::Delay;

/// An event that happens again and again.
#[derive(Default)]
pub(crate) struct Notify(Event);

impl Notify {
    /// Waits for the next [`Notify::notify`], but at most so long; says whether it came.
    pub(crate) async fn notified(&self, at_most: Duration) -> bool {
        matches!(select(self.0.listen(), pin!(Delay::from(at_most))).await, Either::Left(_))
    }

    /// Wakes one more waiter.
    pub(crate) fn notify_one(&self) {
        self.0.notify(1.additional());
    }

    /// Wakes all requests and streams that wait.
    pub(crate) fn notify(&self) {
        self.0.notify(usize::MAX);
    }
}
