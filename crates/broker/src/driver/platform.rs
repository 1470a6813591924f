//! The object as the platform of the hub's driver: carries out the driver's requests with rows and sockets.

use std::cell::RefCell;
use std::collections::BTreeMap;

use js_sys::JsString;
use newsreel_core::follow::hub::{
    HubWrite, PartSent, Persisted, Platform, PublishOutcome, Remembered, ReplayPart, Session, SessionId,
};
use newsreel_core::follow::topics::Topics;
use newsreel_core::log::Log;
use newsreel_core::log::maintenance::{MaintenanceTask, REMEMBER_FOR, StorageStats};
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::{Catalog, Position, UnixMillis, Version, frame};
use wasm_bindgen::JsValue;
use worker::{Error, Result, console_error};

use crate::driver::parts::{ReadyPart, RecentParts};
use crate::driver::rows::{PAGE_ROWS, Rows};
use crate::driver::sockets::Sockets;

/// The size of the database from which no more idempotency keys are remembered. It may have 10 GB: the rest
/// is for the log, which is bounded, while a day of keys is not.
const KEYS_UNTIL_BYTES: u64 = 8 << 30;

/// The rows and sockets of one catalog.
pub(super) struct Machine {
    pub(super) catalog: Catalog,
    pub(super) rows: Rows,
    pub(super) sockets: Sockets,
    pub(super) recent_parts: RefCell<RecentParts>,
}

/// The machine for the time of one call of the driver, and the answers that the call gave.
pub(super) struct Shell<'a> {
    machine: &'a Machine,
    answers: BTreeMap<u64, PublishOutcome>,
}

impl<'a> Shell<'a> {
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self { machine, answers: BTreeMap::new() }
    }

    pub(super) fn into_answers(self) -> BTreeMap<u64, PublishOutcome> {
        self.answers
    }

    fn read_part(&self, part: &ReplayPart, log: &Log, topics: &Topics) -> Result<ReadyPart> {
        match part {
            ReplayPart::Versions { after } => self.versions(log, topics, *after),
            ReplayPart::Fold { from, cursor } => self.fold(log, topics, *from, cursor),
        }
    }

    fn versions(&self, log: &Log, topics: &Topics, after: Version) -> Result<ReadyPart> {
        let page = self.machine.rows.page(&log.head(), after, PAGE_ROWS)?;
        let page = page.ok_or("a version below the head has no row")?;
        let rows = filtered(topics, page.rows, Topics::filtered)?;
        let head = frame::changes_head(after, page.to.version, page.to.hash, true);
        let sent = PartSent::Versions { to: page.to.version };
        Ok(ReadyPart { frame: around(&head, &rows, frame::CHANGES_TAIL), sent, bytes: rows.length() })
    }

    fn fold(&self, log: &Log, topics: &Topics, from: Version, cursor: &FoldCursor) -> Result<ReadyPart> {
        let part = self.machine.rows.fold_part(from, cursor)?;
        let changes = filtered(topics, part.changes, Topics::filtered_fold)?;
        let to = log.folded();
        let (head, tail) = (frame::fold_head(from, &to, cursor.part), frame::fold_tail(part.next.is_some()));
        let sent = PartSent::Fold { to: to.version, next: part.next };
        Ok(ReadyPart { frame: around(&head, &changes, tail), sent, bytes: changes.length() })
    }
}

impl Platform for Shell<'_> {
    type Error = Error;

    fn persisted(&mut self) -> Result<Persisted> {
        // A write that failed may have been counted, so the bytes are counted anew.
        self.machine.rows.count()?;
        self.machine.rows.persisted()
    }

    fn write(&mut self, writes: Vec<HubWrite>) -> Result<()> {
        self.machine.rows.write(&writes)
    }

    fn remembered(&mut self, publisher: &str, key: &str, now: UnixMillis) -> Result<Option<Remembered>> {
        self.machine.rows.remembered(publisher, key, now)
    }

    fn has_room_for_keys(&mut self) -> Result<bool> {
        Ok(self.machine.rows.size() <= KEYS_UNTIL_BYTES)
    }

    fn active_bytes(&self) -> u64 {
        self.machine.rows.active_bytes()
    }

    fn stock(&mut self, log: &Log) -> Result<StorageStats> {
        self.machine.rows.stock(log)
    }

    fn maintain(
        &mut self,
        chore: MaintenanceTask,
        now: UnixMillis,
        head: &Position,
    ) -> Result<Option<Position>> {
        let rows = &self.machine.rows;
        match chore {
            MaintenanceTask::Seal { bytes } => rows.seal_oldest(bytes)?,
            MaintenanceTask::Fold => return rows.fold_oldest(head),
            MaintenanceTask::Forget => rows.forget()?,
            MaintenanceTask::ForgetKeys => rows.forget_keys(now.minus(REMEMBER_FOR))?,
        }
        Ok(None)
    }

    fn sessions(&mut self) -> BTreeMap<SessionId, Session> {
        self.machine.sockets.sessions()
    }

    fn pings(&mut self) -> BTreeMap<SessionId, UnixMillis> {
        self.machine.sockets.last_pings()
    }

    fn set_pong(&mut self, head: &Position) -> Result<()> {
        self.machine.sockets.set_pong(head)
    }

    fn broadcast(&mut self, sessions: &[SessionId], text: String) {
        self.machine.sockets.broadcast(sessions, &text);
    }

    fn send(&mut self, session: SessionId, text: String) {
        self.machine.sockets.send_text(session, &text);
    }

    fn send_part(
        &mut self,
        session: SessionId,
        part: &ReplayPart,
        log: &Log,
        topics: &Topics,
    ) -> Result<(PartSent, u32)> {
        let recent = &self.machine.recent_parts;
        let is_shared = topics.is_everything();
        let found = if is_shared { recent.borrow().find(log, part) } else { None };
        let ready = match found {
            Some(ready) => ready,
            None => {
                let ready = self.read_part(part, log, topics)?;
                if is_shared {
                    recent.borrow_mut().keep(log, part, &ready);
                }
                ready
            }
        };
        self.machine.sockets.send_frame(session, &ready.frame);
        Ok((ready.sent, ready.bytes))
    }

    fn save(&mut self, id: SessionId, session: &Session) {
        self.machine.sockets.save(id, session);
    }

    fn close(&mut self, session: SessionId, code: u16, reason: &'static str) {
        self.machine.sockets.close(session, code, reason);
    }

    fn answer(&mut self, ticket: u64, outcome: PublishOutcome) {
        self.answers.insert(ticket, outcome);
    }

    fn set_alarm(&mut self, at: UnixMillis) -> Result<()> {
        self.machine.rows.set_alarm(at)
    }

    fn report(&mut self, what: &str, error: &Error) {
        console_error!("{}: {what}: {error}", self.machine.catalog);
    }
}

/// Returns a frame around items that JavaScript holds already.
fn around(head: &str, items: &JsString, tail: &str) -> JsString {
    JsString::from(head).concat(items.as_ref()).concat(&JsValue::from_str(tail))
}

/// Returns those items of a JavaScript string of JSON items that pass the topics. A follower of everything
/// gets the string as it is, which never crosses into wasm.
fn filtered(
    topics: &Topics,
    items: JsString,
    pass: impl Fn(&Topics, &str) -> serde_json::Result<String>,
) -> Result<JsString> {
    if topics.is_everything() { Ok(items) } else { Ok(JsString::from(pass(topics, &String::from(items))?)) }
}
