//! The driver's alarm: the hub's timer, and the maintenance of the log, one bounded step at a time.
//!
//! The alarm is set only when there is something to do, by the step that leaves it to do. A step of
//! maintenance that fails leaves the log as it was, and is tried again.

use std::time::Duration;

use super::{HubDriver, HubInput, Platform};
use crate::log::maintenance::{NextTask, RetentionLimits};
use crate::wire::position::UnixMillis;

/// How many steps of maintenance one alarm takes before other events have a turn.
const STEPS: u32 = 8;
/// How long to wait after a step that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// An alarm that is set to the present belongs to the event that sets it; a moment later it is another event.
const NEXT_EVENT: Duration = Duration::from_millis(1);

/// The state of the platform's alarm, as far as the driver knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Unknown: another life of this driver may have set the alarm.
    Unknown,
    /// Not needed: when the log was last looked at there was no task that comes in time, and no key was written
    /// since.
    Unneeded,
    /// Set to this moment.
    At(UnixMillis),
    /// Ringing: the driver sets the alarm once more at the end. When a panic ends the event, the platform
    /// rings again.
    Ringing,
}

impl HubDriver {
    /// Carries out the timer and the maintenance that are due, and sets the alarm for the next of these.
    pub fn alarm<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) {
        let next = self.do_what_is_due(platform, now).unwrap_or_else(|error| {
            platform.report("the alarm is tried again", &error);
            NextTask::At(now.plus(AGAIN))
        });
        self.alarm = Alarm::Unknown;
        self.arm_for(platform, now, next);
    }

    fn do_what_is_due<P: Platform>(
        &mut self,
        platform: &mut P,
        now: UnixMillis,
    ) -> Result<NextTask, P::Error> {
        // A poisoned hub may be ahead of the rows, so no task is chosen by it.
        self.recover(platform)?;
        self.alarm = Alarm::Ringing;
        if self.hub.poll_timeout().is_some_and(|due| due <= now) {
            self.step(platform, now, HubInput::Timer)?;
        }
        for _ in 0..STEPS {
            let NextTask::Now(task) = self.next(platform, now)? else { break };
            let head = self.hub.head();
            self.poisoned = true;
            let folded = platform.maintain(task, now, &head)?;
            self.poisoned = false;
            if let Some(folded) = folded {
                self.step(platform, now, HubInput::Folded(folded))?;
            }
        }
        self.next(platform, now)
    }

    fn next<P: Platform>(&self, platform: &mut P, now: UnixMillis) -> Result<NextTask, P::Error> {
        let Some(limits) = self.maintenance else { return Ok(NextTask::Idle) };
        Ok(limits.next(now, &platform.stock(self.hub.log())?))
    }

    /// Sets the alarm unless it is set for as early already: for timers, and for maintenance after a commit.
    pub fn arm<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) {
        let seals = |limits: RetentionLimits| limits.segment_bytes <= platform.active_bytes();
        let next = match self.alarm {
            Alarm::Ringing => return,
            Alarm::At(_) | Alarm::Unneeded if !self.maintenance.is_some_and(seals) => NextTask::Idle,
            Alarm::At(_) | Alarm::Unneeded | Alarm::Unknown => {
                self.next(platform, now).unwrap_or_else(|_| NextTask::At(now.plus(AGAIN)))
            }
        };
        if self.alarm == Alarm::Unknown && next == NextTask::Idle {
            self.alarm = Alarm::Unneeded;
        }
        self.arm_for(platform, now, next);
    }

    /// Sets the alarm if this driver has not set it yet: its state is [`Alarm::Unknown`].
    pub(super) fn arm_if_unknown<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) {
        if self.alarm == Alarm::Unknown {
            self.arm(platform, now);
        }
    }

    /// Sets the alarm for the hub's timer.
    pub(super) fn arm_for_timers<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) {
        self.arm_for(platform, now, NextTask::Idle);
    }

    /// Sets the alarm for the next task of maintenance, or for a timer if that comes sooner.
    fn arm_for<P: Platform>(&mut self, platform: &mut P, now: UnixMillis, next: NextTask) {
        let soonest = now.plus(NEXT_EVENT);
        let maintenance = match next {
            NextTask::Now(_) => Some(soonest),
            NextTask::At(due) => Some(due),
            NextTask::Idle => None,
        };
        let timers = self.hub.poll_timeout().into_iter().chain(self.publisher_expiry);
        let due = maintenance.into_iter().chain(timers).min();
        let Some(due) = due.map(|due| due.max(soonest)) else { return };
        match self.alarm {
            Alarm::Ringing => return,
            Alarm::At(set) if set <= due && set > now => return,
            Alarm::At(_) | Alarm::Unneeded | Alarm::Unknown => {}
        }
        match platform.set_alarm(due) {
            Ok(()) => self.alarm = Alarm::At(due),
            Err(error) => platform.report("the alarm is not set", &error),
        }
    }

    /// Sets when the token of a publishing socket ends next: the alarm that is set from then on comes by that
    /// time, and its caller closes the socket.
    pub fn set_publisher_expiry(&mut self, due: Option<UnixMillis>) {
        self.publisher_expiry = due;
    }
}
