//! The machine of one catalog: rows in SQLite, sockets, an alarm, and the hub's driver that runs on them.
//!
//! Publishing and following go through [`BrokerDriver`], which knows neither. Deciding and writing is one
//! synchronous step, so nothing interleaves. The platform's output gate holds every answer and every send
//! until the rows are durable, so the order of the calls is enough (D1, D2).

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::follow::hub::{self, Hub, HubInput, PublishOutcome, SessionId, Submission};
use newsreel_core::wire::claim::Claim;
use newsreel_core::wire::{Catalog, Hash, Position, UnixMillis};
use newsreel_gate::now;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Error, Result, State, WebSocket, console_error};

use crate::config::Config;
use crate::driver::notify::Notify;
use crate::driver::platform::{Machine, Shell};
use crate::driver::rows::{OpenError, Rows};
use crate::driver::series::{LogSeries, QUIET};
use crate::driver::sockets::Sockets;
use crate::tags::{self, SocketTag};

pub(crate) mod notify;
mod parts;
mod platform;
pub(crate) mod rows;
pub(crate) mod series;
pub(crate) mod sockets;

/// The hub of one catalog, and the machine under it.
pub(crate) struct BrokerDriver {
    pub(crate) state: State,
    pub(crate) config: Config,
    machine: Machine,
    hub: RefCell<hub::HubDriver>,
    /// Notified after every step: one of them may have brought an ack.
    pub(crate) stepped: Notify,
    /// Notified when the head moves. Streams hold it without holding the rest, so that an evicted object goes away.
    pub(crate) moved: Rc<Notify>,
    notified_head: Cell<Option<Position>>,
    /// The log's numbers over time.
    pub(crate) series: LogSeries,
}

impl BrokerDriver {
    /// Opens the rows, finds the sockets that stayed open, and makes the hub from both.
    pub(crate) fn wake(state: State, config: Config) -> std::result::Result<Self, OpenError> {
        let name = state.id().name().ok_or(Error::from("the broker is addressed by its catalog's name"))?;
        let catalog = Catalog::new(name).map_err(|why| Error::from(why.to_string()))?;
        let (rows, sockets) = (Rows::open(&state)?, Sockets::wake(&state));
        let machine = Machine { catalog, rows, sockets, recent_parts: RefCell::default() };
        let mut shell = Shell::new(&machine);
        let hub =
            hub::HubDriver::wake(&mut shell, machine.catalog.clone(), config.hub_limits, config.maintenance)?;
        Ok(Self {
            state,
            config,
            machine,
            hub: RefCell::new(hub),
            stepped: Notify::default(),
            moved: Rc::default(),
            notified_head: Cell::new(None),
            series: LogSeries::default(),
        })
    }

    /// Has the hub decide on one input, and carries out its effects.
    ///
    /// # Errors
    /// When the step failed: its rows were not written, and no follower was told.
    pub(crate) fn step(&self, input: HubInput) -> Result<()> {
        self.drive(|hub, shell, now| hub.step(shell, now, input)).0
    }

    /// Commits publishes; returns the outcome of each, by its ticket.
    pub(crate) fn publish(self: &Rc<Self>, submissions: Vec<Submission>) -> BTreeMap<u64, PublishOutcome> {
        let outcomes = self.drive(|hub, shell, now| hub.publish(shell, now, submissions)).1;
        self.count_publishes(&outcomes);
        outcomes
    }

    fn count_publishes(self: &Rc<Self>, outcomes: &BTreeMap<u64, PublishOutcome>) {
        let followers = self.hub.borrow().hub().sessions().len();
        self.series.published(outcomes.values(), self.rows().take_appended_bytes(), followers);
        self.write_series(false);
        self.write_series_when_quiet();
    }

    /// Takes a text of a follower, and counts the versions that it acknowledges.
    ///
    /// # Errors
    /// When the step failed: its rows were not written, and no follower was told.
    pub(crate) fn hear(self: &Rc<Self>, session: SessionId, text: String) -> Result<()> {
        let acked = |hub: &Hub| hub.sessions().get(&session).map(|session| (session.replica, session.acked));
        let before = acked(self.hub.borrow().hub());
        self.step(HubInput::Text { session, text })?;
        if let (Some((true, before)), Some((_, after))) = (before, acked(self.hub.borrow().hub()))
            && before < after
        {
            self.series.applied(before, after, now());
            self.write_series_when_quiet();
        }
        Ok(())
    }

    /// Moves what was counted into the bucket of this time, and with `all` writes the bucket too.
    pub(crate) fn write_series(&self, all: bool) {
        if let Err(error) = self.series.write(&self.rows().series(), now(), all) {
            console_error!("{}: keeping the series: {error}", self.catalog());
        }
    }

    /// Writes the bucket once nothing was counted for a while.
    fn write_series_when_quiet(self: &Rc<Self>) {
        let series = &self.series;
        series.counted_at.set(now());
        if series.is_waiting.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            loop {
                Delay::from(QUIET).await;
                let Some(driver) = weak.upgrade() else { return };
                if now().since(driver.series.counted_at.get()) >= QUIET {
                    driver.series.is_waiting.set(false);
                    driver.write_series(true);
                    return;
                }
            }
        });
    }

    /// Closes the sockets that have stopped pinging.
    pub(crate) fn close_silent(&self) -> Result<()> {
        self.drive(|hub, shell, now| hub.close_silent(shell, now)).0
    }

    /// Does the catalog's work that is due, and sets the alarm for the next; `publisher_expiry` is when the
    /// token of a publishing socket ends next.
    pub(crate) fn alarm(&self, publisher_expiry: Option<UnixMillis>) {
        self.drive(|hub, shell, now| {
            hub.set_publisher_expiry(publisher_expiry);
            hub.alarm(shell, now);
        });
        self.write_series(true);
    }

    /// Sets the alarm so that it comes by `publisher_expiry`, when the token of a publishing socket ends.
    pub(crate) fn arm(&self, publisher_expiry: Option<UnixMillis>) {
        let mut hub = self.hub.borrow_mut();
        hub.set_publisher_expiry(publisher_expiry);
        hub.arm(&mut Shell::new(&self.machine), now());
    }

    /// Returns the hub, settled with the rows: outside of a step no other state of it is shown.
    pub(crate) fn hub(&self) -> Result<Ref<'_, Hub>> {
        // No step: notifying here would make two requests that wait for acks wake each other for ever.
        self.hub.borrow_mut().settle(&mut Shell::new(&self.machine), now())?;
        Ok(Ref::map(self.hub.borrow(), hub::HubDriver::hub))
    }

    /// Returns the newest position that is written.
    pub(crate) fn head(&self) -> Result<Position> {
        Ok(self.hub()?.head())
    }

    /// Returns the log's own hash at a claimed version; none where it is not known.
    pub(crate) fn logged(&self, claim: Claim) -> Result<Option<Hash>> {
        self.rows().hash_at(self.hub()?.log(), claim.version())
    }

    /// Returns the tag of one of the object's sockets: a follower's or a publisher's.
    pub(crate) fn tag_of(&self, socket: &WebSocket) -> Option<SocketTag> {
        tags::tag_of(&self.state, socket)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.machine.catalog
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.machine.rows
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.machine.sockets
    }

    /// Waits until everything written is durable. The platform itself holds back a later answer or send until
    /// then, but not the bytes of a response that has begun.
    pub(crate) async fn durable(&self) -> Result<()> {
        self.state.storage().sync().await
    }

    /// Lets the hub's driver take a step; returns its result, and the answers to publishers.
    fn drive<T>(
        &self,
        act: impl FnOnce(&mut hub::HubDriver, &mut Shell<'_>, UnixMillis) -> T,
    ) -> (T, BTreeMap<u64, PublishOutcome>) {
        let mut shell = Shell::new(&self.machine);
        let (done, head) = {
            let mut hub = self.hub.borrow_mut();
            (act(&mut hub, &mut shell, now()), hub.hub().head())
        };
        self.stepped.notify();
        if self.notified_head.replace(Some(head)) != Some(head) {
            self.moved.notify();
        }
        (done, shell.into_answers())
    }
}
