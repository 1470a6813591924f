//! The alarm: the upkeep of the log, one bounded step at a time, and the hub's timer.
//!
//! It is armed only when there is something to do, and by whatever made it so: the alarm itself remembers nothing.
//! A step that fails leaves the log as it was, and is tried again.

use std::time::Duration;

use newsreel_core::follow::hub::Input;
use newsreel_core::log::upkeep::{self, Chore, Next, REMEMBER_FOR};
use newsreel_core::wire::UnixMillis;
use worker::{Result, console_error};

use crate::js::now;
use crate::object::Inner;

/// How many steps one alarm takes before it lets others have a turn.
const STEPS: u32 = 8;
/// How long to wait after a step that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// The platform runs an alarm that is set to now at once and again; a moment later it is another event.
const MOMENT: Duration = Duration::from_millis(1);

impl Inner {
    /// Does what is due, and arms the alarm for what comes next.
    pub(crate) fn alarm(&self) {
        let ringing = Ringing::begin(self);
        let next = self.look_after(now()).unwrap_or_else(|error| {
            console_error!("{}: the upkeep is tried again: {error}", self.catalog);
            // What was counted may not have been written.
            let _ = self.rows.count();
            Next::At(now().plus(AGAIN))
        });
        drop(ringing);
        self.arm_for(next);
    }

    /// Arms the alarm if it is not set for as early already: for the hub's timer, the ends of tokens, and for what a commit left to do.
    pub(crate) fn arm(&self) {
        if self.ringing.get() {
            return;
        }
        let seals = |limits: upkeep::Limits| limits.segment_bytes <= self.rows.hot_bytes();
        // Or nobody has looked since the object woke.
        let looks = self.armed.get().is_none() || self.config.upkeep.is_some_and(seals);
        let next = if looks { self.next(now()).unwrap_or(Next::At(now().plus(AGAIN))) } else { Next::Idle };
        self.arm_for(next);
    }

    fn look_after(&self, now: UnixMillis) -> Result<Next> {
        // Never by what was counted and believed before a write that failed.
        self.heal()?;
        self.publishers.close_expired(now);
        if self.hub.borrow().poll_timeout().is_some_and(|due| due <= now) {
            self.step(now, Input::Timer)?;
        }
        for _ in 0..STEPS {
            match self.next(now)? {
                Next::Now(chore) => self.do_chore(now, chore)?,
                next @ (Next::At(_) | Next::Idle) => return Ok(next),
            }
        }
        self.next(now)
    }

    fn next(&self, now: UnixMillis) -> Result<Next> {
        let Some(limits) = self.config.upkeep else { return Ok(Next::Idle) };
        let log = *self.hub.borrow().log();
        Ok(limits.next(now, &self.rows.stock(&log)?))
    }

    fn do_chore(&self, now: UnixMillis, chore: Chore) -> Result<()> {
        match chore {
            Chore::Seal { bytes } => self.rows.seal_oldest(bytes),
            Chore::Fold => {
                let head = self.head()?;
                match self.rows.fold_oldest(&head)? {
                    Some(folded) => self.step(now, Input::Folded(folded)).map(|_| ()),
                    None => Ok(()),
                }
            }
            Chore::Forget => self.rows.transaction(|| self.rows.forget()),
            Chore::ForgetKeys => self.rows.forget_keys(now.minus(REMEMBER_FOR)),
        }
    }

    /// Arms the alarm for what comes next, or for the hub's timer if that comes sooner.
    pub(crate) fn arm_for(&self, next: Next) {
        if self.ringing.get() {
            return;
        }
        let now = now();
        let upkeep = match next {
            Next::Now(_) => Some(now.plus(MOMENT)),
            Next::At(due) => Some(due.max(now.plus(MOMENT))),
            Next::Idle => None,
        };
        let timers = self.hub.borrow().poll_timeout().into_iter().chain(self.publishers.expiry());
        let timers = timers.map(|due| due.max(now.plus(MOMENT)));
        let Some(due) = upkeep.into_iter().chain(timers).min() else { return };
        if self.armed.get().is_some_and(|armed| armed <= due && armed > now) {
            return;
        }
        match self.rows.set_alarm(due) {
            Ok(()) => self.armed.set(Some(due)),
            Err(error) => console_error!("{}: the alarm is not set: {error}", self.catalog),
        }
    }
}

/// The alarm runs: it is set again once, at its end. When a panic ends it, the platform rings again.
struct Ringing<'a>(&'a Inner);

impl<'a> Ringing<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.ringing.set(true);
        Self(inner)
    }
}

impl Drop for Ringing<'_> {
    fn drop(&mut self) {
        self.0.ringing.set(false);
        self.0.armed.set(None);
    }
}
