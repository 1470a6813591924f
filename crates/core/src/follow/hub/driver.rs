//! The hub's driver: hands the hub an input, writes what the hub decided, and then tells it.
//!
//! A [`Platform`] is the machine under it: rows, sockets, an alarm. The broker's Durable Object is one and
//! the simulator has another, so that what is simulated is what is deployed. Nothing here awaits: a step is
//! whole before the next begins.
//!
//! A step may end half-way: a write fails, or the platform panics. The driver is then *poisoned*: its next
//! step, alarm or [`HubDriver::settle`] rebuilds the hub from the rows and from the attachments of the
//! sockets.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::{
    Hub, HubEffect, HubInput, HubWrite, Limits, PartSent, Persisted, PublishOutcome, Remembered, ReplayPart,
    Session, SessionId, Tell,
};
use crate::follow::topics::Topics;
use crate::log::Log;
use crate::log::maintenance::{MaintenanceTask, RetentionLimits, StorageStats};
use crate::wire::frame::close;
use crate::wire::name::Catalog;
use crate::wire::position::{Position, UnixMillis};

mod alarm;
mod commit;

pub use commit::not_written;

/// The platform under a driver: rows, sockets and an alarm.
pub trait Platform {
    /// The reason why an operation of the platform failed.
    type Error: fmt::Display;

    /// Returns the state of the hub, as the rows keep it.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn persisted(&mut self) -> Result<Persisted, Self::Error>;

    /// Carries out writes in one transaction.
    ///
    /// # Errors
    /// When the transaction failed, so that none of the writes is kept.
    fn write(&mut self, writes: Vec<HubWrite>) -> Result<(), Self::Error>;

    /// Returns the publish that is remembered under an idempotency key.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn remembered(
        &mut self,
        publisher: &str,
        key: &str,
        now: UnixMillis,
    ) -> Result<Option<Remembered>, Self::Error>;

    /// Says whether more idempotency keys may be remembered: the rest of the disk is for the log.
    ///
    /// # Errors
    /// When the size of the rows cannot be read.
    fn has_room_for_keys(&mut self) -> Result<bool, Self::Error>;

    /// Returns how many bytes of rows are in no segment, without reading them.
    fn active_bytes(&self) -> u64;

    /// Returns the sizes and ages of the log, by which the next task of maintenance is chosen.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn stock(&mut self, log: &Log) -> Result<StorageStats, Self::Error>;

    /// Takes one step of maintenance in one transaction; returns the position up to which the log is
    /// compacted, if it moved.
    ///
    /// # Errors
    /// When the transaction failed, so that nothing of the step is kept.
    fn maintain(
        &mut self,
        task: MaintenanceTask,
        now: UnixMillis,
        head: &Position,
    ) -> Result<Option<Position>, Self::Error>;

    /// Returns the sessions, as the open sockets carry them.
    fn sessions(&mut self) -> BTreeMap<SessionId, Session>;

    /// Returns when each socket's last ping was answered.
    fn pings(&mut self) -> BTreeMap<SessionId, UnixMillis>;

    /// Sets the answer to `ping`, which the platform gives without waking the object.
    ///
    /// # Errors
    /// When the platform could not set the answer.
    fn set_pong(&mut self, head: &Position) -> Result<(), Self::Error>;

    /// Sends one text to many sockets. A socket that cannot take it is closing, and says so later.
    fn broadcast(&mut self, sessions: &[SessionId], text: String);

    /// Sends a text to a socket. One that cannot take it is closing, and says so later.
    fn send(&mut self, session: SessionId, text: String);

    /// Reads a part of the log and sends the changes that pass the topics; returns the end of the part, and
    /// its size in bytes.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn send_part(
        &mut self,
        session: SessionId,
        part: &ReplayPart,
        log: &Log,
        topics: &Topics,
    ) -> Result<(PartSent, u32), Self::Error>;

    /// Writes a session to its socket's attachment, which outlives the memory of the object.
    fn save(&mut self, id: SessionId, session: &Session);

    /// Closes a socket with a code of [`close`] and a reason for people.
    fn close(&mut self, session: SessionId, code: u16, reason: &'static str);

    /// Answers the publisher that waits under `ticket`.
    fn answer(&mut self, ticket: u64, outcome: PublishOutcome);

    /// Sets the alarm, in the place of the one that is set.
    ///
    /// # Errors
    /// When the platform could not set the alarm.
    fn set_alarm(&mut self, at: UnixMillis) -> Result<(), Self::Error>;

    /// Reports an error that fails no request by itself; `what` names the occasion.
    fn report(&mut self, what: &str, error: &Self::Error);
}

/// Drives the hub of one catalog.
///
/// Every call takes the platform, which the driver does not own: a simulated one is part of a larger world.
#[derive(Debug)]
pub struct HubDriver {
    catalog: Catalog,
    limits: Limits,
    /// How much of the log is kept; nothing while the deployment is misconfigured, and then all of it is
    /// kept.
    maintenance: Option<RetentionLimits>,
    hub: Hub,
    /// A step began and has not ended well: what the hub believes may not be what is written.
    poisoned: bool,
    alarm: alarm::Alarm,
    /// When the token of a publishing socket ends next: the hub does not know those sockets.
    publisher_expiry: Option<UnixMillis>,
    /// When sockets that have stopped pinging were last looked for.
    checked_silence_at: UnixMillis,
}

impl HubDriver {
    /// Makes the hub from the rows and the sockets, and tells them where the log is.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn wake<P: Platform>(
        platform: &mut P,
        catalog: Catalog,
        limits: Limits,
        maintenance: Option<RetentionLimits>,
    ) -> Result<Self, P::Error> {
        let hub = Hub::new(catalog.clone(), platform.persisted()?, platform.sessions(), limits);
        let mut driver = Self {
            catalog,
            limits,
            maintenance,
            hub,
            poisoned: false,
            alarm: alarm::Alarm::Unknown,
            publisher_expiry: None,
            checked_silence_at: UnixMillis::default(),
        };
        driver.greet(platform);
        Ok(driver)
    }

    /// Hands the hub one input, then writes and tells the hub's effects in order.
    ///
    /// # Errors
    /// When nothing was written, told or answered.
    pub fn step<P: Platform>(
        &mut self,
        platform: &mut P,
        now: UnixMillis,
        input: HubInput,
    ) -> Result<(), P::Error> {
        self.recover(platform)?;
        self.poisoned = true;
        self.hub.handle(now, input);
        let mut tells = VecDeque::new();
        let writes = self.take_effects(&mut tells);
        self.write(platform, writes)?;
        // Set before the sends, so that the alarm looks again if the sends die half-way.
        self.arm(platform, now);
        self.poisoned = !self.tell_all(platform, now, tells);
        self.arm_for_timers(platform, now);
        Ok(())
    }

    /// Rebuilds a poisoned hub, so that [`Self::hub`] agrees with the rows, and sets the alarm.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn settle<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) -> Result<(), P::Error> {
        self.recover(platform)?;
        // The call may have woken the object, and a follower may lack a version.
        self.arm_if_unknown(platform, now);
        self.arm_for_timers(platform, now);
        Ok(())
    }

    /// Returns the hub. Between a step and [`Self::settle`] it may be ahead of the rows.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Closes the sockets that have stopped pinging. Nothing wakes the machine for that: it is done when
    /// there is something else to do.
    ///
    /// # Errors
    /// When nothing was written or told.
    pub fn close_silent<P: Platform>(&mut self, platform: &mut P, now: UnixMillis) -> Result<(), P::Error> {
        self.checked_silence_at = now;
        let pings = platform.pings();
        self.step(platform, now, HubInput::Pinged(pings))
    }

    /// Rebuilds the hub if a step has not ended well.
    fn recover<P: Platform>(&mut self, platform: &mut P) -> Result<(), P::Error> {
        if self.poisoned {
            // Sessions come from the sockets: the changes that the poisoned hub made to its own may never
            // have been saved.
            let (persisted, sessions) = (platform.persisted()?, platform.sessions());
            self.hub = Hub::new(self.catalog.clone(), persisted, sessions, self.limits);
            // A panic ended the alarm, or a step wrote something and broke off before it set the alarm. One that
            // is set stays, or a step of maintenance that fails would be tried at once.
            if matches!(self.alarm, alarm::Alarm::Ringing | alarm::Alarm::Unneeded) {
                self.alarm = alarm::Alarm::Unknown;
            }
            self.poisoned = false;
            self.greet(platform);
        }
        Ok(())
    }

    /// Carries out the tells of a hub that was just made: it sets the pong, and closes some sockets.
    fn greet<P: Platform>(&mut self, platform: &mut P) {
        let mut tells = VecDeque::new();
        let writes = self.take_effects(&mut tells);
        assert!(writes.is_empty(), "a hub that was just made writes nothing");
        // Any moment does: none of these tells depends on the time.
        self.poisoned = !self.tell_all(platform, UnixMillis::default(), tells);
    }

    /// Takes every effect of the hub: returns the writes, and appends the tells.
    fn take_effects(&mut self, tells: &mut VecDeque<Tell>) -> Vec<HubWrite> {
        let mut writes = Vec::new();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                HubEffect::Write(write) => writes.push(write),
                HubEffect::Tell(tell) => tells.push_back(tell),
            }
        }
        writes
    }

    /// Carries out writes, if there are any.
    fn write<P: Platform>(&mut self, platform: &mut P, writes: Vec<HubWrite>) -> Result<(), P::Error> {
        if writes.is_empty() {
            return Ok(());
        }
        // A key is forgotten in time. The other writes leave nothing to do until there are rows to seal.
        let is_key = |write: &HubWrite| matches!(write, HubWrite::Remember { .. });
        if self.alarm == alarm::Alarm::Unneeded && writes.iter().any(is_key) {
            self.alarm = alarm::Alarm::Unknown;
        }
        platform.write(writes)
    }

    /// Carries out tells in order, and the tells that follow from these; says whether all went well.
    ///
    /// The writes before them stay written, so an error here fails no step.
    fn tell_all<P: Platform>(
        &mut self,
        platform: &mut P,
        now: UnixMillis,
        mut tells: VecDeque<Tell>,
    ) -> bool {
        let mut whole = true;
        while let Some(tell) = tells.pop_front() {
            if let Err(error) = self.tell(platform, now, tell) {
                platform.report("after a commit", &error);
                whole = false;
            }
            // A part that was sent may make room for the next.
            let writes = self.take_effects(&mut tells);
            if let Err(error) = self.write(platform, writes) {
                platform.report("the rest of a step is not told", &error);
                return false;
            }
        }
        whole
    }

    fn tell<P: Platform>(&mut self, platform: &mut P, now: UnixMillis, tell: Tell) -> Result<(), P::Error> {
        match tell {
            Tell::SetPong(head) => platform.set_pong(&head)?,
            Tell::Broadcast { sessions, text } => platform.broadcast(&sessions, text),
            Tell::Send { session, text } => platform.send(session, text),
            Tell::SendPart { session, part } => {
                let Some(state) = self.hub.sessions().get(&session) else { return Ok(()) };
                match platform.send_part(session, &part, self.hub.log(), &state.topics) {
                    Ok((sent, bytes)) => self.hub.handle(now, HubInput::PartSent { session, sent, bytes }),
                    Err(error) => {
                        // The follower reconnects and resumes. With the socket left open it would wait for
                        // its page for ever.
                        platform.close(session, close::RESYNC, "what was missed could not be read");
                        self.hub.handle(now, HubInput::Closed { session });
                        return Err(error);
                    }
                }
            }
            Tell::Save(id) => {
                if let Some(session) = self.hub.sessions().get(&id) {
                    platform.save(id, session);
                }
            }
            Tell::Close { session, code, reason } => platform.close(session, code, reason),
            Tell::Answer { ticket, outcome } => platform.answer(ticket, outcome),
        }
        Ok(())
    }
}
