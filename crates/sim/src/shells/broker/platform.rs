//! The platform under the driver of the hub, and its faults: writes fail, and calls panic.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;

use newsreel_core::follow::hub::{
    HubWrite, PartSent, Persisted, Platform, PublishOutcome, Remembered, ReplayPart, Session, SessionId,
};
use newsreel_core::follow::topics::Topics;
use newsreel_core::log::Log;
use newsreel_core::log::maintenance::{MaintenanceTask, REMEMBER_FOR, StorageStats};
use newsreel_core::wire::{Position, UnixMillis, frame};

use crate::broker::{DISAGREE, Output, UPKEEP};
use crate::faults::Fault;
use crate::model::broken;
use crate::network::Down;
use crate::rows::BrokerWrite;
use crate::world::{Event, World};

/// Among how many calls after a write the one is that panics. Most steps make fewer, and then go well.
const PANICS_WITHIN: u64 = 6;

/// One object's machine, for the time of one call of the driver.
pub(super) struct Shell<'a> {
    world: &'a mut World,
    id: u64,
    /// How many calls go well before one panics.
    panics_after: Option<u64>,
}

/// The operation that the machine failed to do, as the error of a [`Platform`] call.
#[derive(Debug)]
pub(super) struct Failed(&'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const NOT_WRITTEN: Failed = Failed("a transaction of the broker fails");

/// The payload of a simulated panic; any other payload is a defect, and fails the run.
pub(super) struct Panic;

impl<'a> Shell<'a> {
    pub(super) fn new(world: &'a mut World, id: u64) -> Self {
        Self { world, id, panics_after: None }
    }

    /// Panics, if it is this call's turn. Unwinding runs the same way as in the deployed wasm.
    fn may_panic(&mut self) {
        let Some(left) = self.panics_after else { return };
        if left == 0 {
            self.world.say(|| "the broker panics; the rest of its step is not carried out".to_owned());
            // Without the hook that would print it.
            resume_unwind(Box::new(Panic));
        }
        self.panics_after = Some(left - 1);
    }

    fn write_one(&mut self, write: HubWrite) {
        let write = match write {
            HubWrite::Append(row) => {
                self.world.model.wrote(row.position);
                BrokerWrite::Row(row)
            }
            HubWrite::Remember { publisher, key, remembered } => {
                BrokerWrite::Remember { publisher, key, remembered }
            }
            HubWrite::BeginEpoch(head) => {
                self.world.say(|| format!("epoch {} begins", head.epoch));
                self.world.model.wrote(head);
                BrokerWrite::BeginEpoch(head)
            }
            HubWrite::NoteAckRequest(ack_requested) => BrokerWrite::AckRequest(ack_requested),
            // No publisher here waits for replicas by name.
            HubWrite::SawReplica { .. } => return,
        };
        self.world.write_broker(write);
    }

    /// Nothing is forgotten before its time.
    fn check_forgotten(&mut self, last: u64) {
        let now = self.world.now;
        let made = self.world.model.made(last).unwrap_or(now);
        let persisted = u64::try_from(UPKEEP.forget_after.as_millis()).unwrap_or(0) - DISAGREE;
        if now < made + persisted {
            let what = format!("version {last} is forgotten {} ms after it was made", now - made);
            self.world.note(broken("G7", what));
        }
    }
}

impl Platform for Shell<'_> {
    type Error = Failed;

    fn persisted(&mut self) -> Result<Persisted, Failed> {
        Ok(self.world.broker.storage.seen.persisted())
    }

    fn write(&mut self, writes: Vec<HubWrite>) -> Result<(), Failed> {
        // Of two objects the older writes nothing.
        if self.world.is_ghost(self.id) || self.world.faults.strikes(Fault::BrokerWriteFails) {
            return Err(NOT_WRITTEN);
        }
        if self.world.faults.strikes(Fault::BrokerPanics) {
            self.panics_after = Some(self.world.net.below(PANICS_WITHIN));
        }
        writes.into_iter().for_each(|write| self.write_one(write));
        Ok(())
    }

    fn remembered(
        &mut self,
        publisher: &str,
        key: &str,
        now: UnixMillis,
    ) -> Result<Option<Remembered>, Failed> {
        Ok(self.world.broker.storage.seen.remembered(publisher, key, now))
    }

    fn has_room_for_keys(&mut self) -> Result<bool, Failed> {
        Ok(true)
    }

    fn active_bytes(&self) -> u64 {
        self.world.broker.storage.seen.stock().active_bytes
    }

    fn stock(&mut self, _log: &Log) -> Result<StorageStats, Failed> {
        Ok(self.world.broker.storage.seen.stock())
    }

    fn maintain(
        &mut self,
        task: MaintenanceTask,
        now: UnixMillis,
        _head: &Position,
    ) -> Result<Option<Position>, Failed> {
        if self.world.is_ghost(self.id) || self.world.faults.strikes(Fault::BrokerWriteFails) {
            return Err(NOT_WRITTEN);
        }
        self.world.say(|| format!("the broker's upkeep: {task:?}"));
        match task {
            MaintenanceTask::Seal { bytes } => self.world.write_broker(BrokerWrite::Seal { bytes }),
            MaintenanceTask::Fold => {
                self.world.write_broker(BrokerWrite::Fold);
                return Ok(self.world.broker.storage.seen.folded_to());
            }
            MaintenanceTask::Forget => {
                if let Some(last) = self.world.broker.storage.seen.oldest_block() {
                    self.check_forgotten(last);
                    self.world.write_broker(BrokerWrite::Forget { last });
                }
            }
            MaintenanceTask::ForgetKeys => {
                self.world.write_broker(BrokerWrite::ForgetKeys { before: now.minus(REMEMBER_FOR) });
            }
        }
        Ok(None)
    }

    fn sessions(&mut self) -> BTreeMap<SessionId, Session> {
        self.world.broker.object(self.id).map(|object| object.sessions()).unwrap_or_default()
    }

    fn pings(&mut self) -> BTreeMap<SessionId, UnixMillis> {
        self.world.broker.object(self.id).map(|object| object.pings.clone()).unwrap_or_default()
    }

    fn set_pong(&mut self, head: &Position) -> Result<(), Failed> {
        self.may_panic();
        if let Some(object) = self.world.broker.object(self.id) {
            object.pong = Some(frame::pong(head));
        }
        Ok(())
    }

    fn broadcast(&mut self, sessions: &[SessionId], text: String) {
        self.may_panic();
        let text: std::rc::Rc<str> = text.into();
        for session in sessions {
            self.world.tell(self.id, *session, Down::Text(text.clone()));
        }
    }

    fn send(&mut self, session: SessionId, text: String) {
        self.may_panic();
        self.world.tell(self.id, session, Down::Text(text.into()));
    }

    fn send_part(
        &mut self,
        session: SessionId,
        part: &ReplayPart,
        log: &Log,
        topics: &Topics,
    ) -> Result<(PartSent, u32), Failed> {
        self.may_panic();
        let rows = &self.world.broker.storage.seen;
        let pass = |items: String, by: fn(&Topics, &str) -> serde_json::Result<String>| {
            if topics.is_everything() { items } else { by(topics, &items).expect("what the log writes") }
        };
        let (text, sent) = match part {
            ReplayPart::Versions { after } => {
                let page = rows.page(*after).ok_or(Failed("a version below the head has no row"))?;
                let rows = pass(page.rows, Topics::filtered);
                let text = frame::changes_text(*after, &page.to, true, &rows);
                (text, PartSent::Versions { to: page.to.version })
            }
            ReplayPart::Fold { from, cursor } => {
                let (changes, next) = rows.fold_part(*from, cursor);
                let (changes, to) = (pass(changes, Topics::filtered_fold), log.folded());
                let text = frame::fold_text(*from, &to, cursor.part, &changes, next.is_some());
                (text, PartSent::Fold { to: to.version, next })
            }
        };
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.world.tell(self.id, session, Down::Text(text.into()));
        Ok((sent, bytes))
    }

    fn save(&mut self, id: SessionId, session: &Session) {
        self.may_panic();
        if let Some(attached) =
            self.world.broker.object(self.id).and_then(|object| object.attached.get_mut(&id))
        {
            attached.1 = session.to_json();
        }
    }

    fn close(&mut self, session: SessionId, code: u16, _reason: &'static str) {
        self.may_panic();
        self.world.tell(self.id, session, Down::Closed(code));
        if let Some(object) = self.world.broker.object(self.id) {
            object.attached.remove(&session);
        }
    }

    fn answer(&mut self, ticket: u64, outcome: PublishOutcome) {
        self.may_panic();
        if let (PublishOutcome::Committed(receipt), Some((_, _, id))) =
            (&outcome, self.world.broker.tickets.get(&ticket))
        {
            self.world.origin.versioned(*id, receipt.position);
        }
        self.world.let_out(Output::PublishOutcome { ticket, outcome });
    }

    fn set_alarm(&mut self, at: UnixMillis) -> Result<(), Failed> {
        self.may_panic();
        let world = &mut *self.world;
        if world.is_ghost(self.id) {
            return Ok(());
        }
        let wait = u64::try_from(at.since(world.broker_now()).as_millis()).unwrap_or(u64::MAX);
        let due = world.now + wait.clamp(1, 86_400_000);
        world.broker.alarm = Some(due);
        // Alarms are late, now and then.
        let late = if world.net.percent(20) { world.net.below(400) } else { 0 };
        world.schedule_at(due + late, Event::BrokerAlarm { due });
        Ok(())
    }

    fn report(&mut self, what: &str, error: &Failed) {
        self.world.say(|| format!("{error}: {what}"));
    }
}
