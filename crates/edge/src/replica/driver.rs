//! The driver of the follower: one step at a time, whose effects are carried out in order.
//!
//! `core::follower` decides. An ack follows the transaction that the ack stands for. A step that did not end well, by
//! an error or a panic, leaves the follower in doubt: nothing of the follower is shown before it has started again
//! from the rows.

use std::cell::{Cell, Ref, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_channel::oneshot;
use newsreel_core::follow::follower::{
    Cursor, Follower, FollowerConfig, FollowerEffect, FollowerInput, Phase,
};
use newsreel_core::read::entry_names;
use newsreel_core::read::floors::{FloorRow, raised_by};
use newsreel_core::read::traces::Traces;
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::frame::{VersionRow, close};
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Catalog, Epoch, Position, Problem, UnixMillis};
use newsreel_sqlite_rows::OpenError;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Env, Result, State, WebSocket, console_error, console_log};

use crate::clock::now;
use crate::config::{Config, config};
use crate::protocol::catalog_and_edge;
use crate::replica::alerts::Alerts;
use crate::replica::broker_socket::{self, SocketEvent};
use crate::replica::effort::Effort;
use crate::replica::fill_turns::FillTurns;
use crate::replica::rows::Rows;
use crate::replica::usage::Usage;

/// How often the alarm keeps the object in memory while it follows. An outgoing socket alone does so for 15 min.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long after the last reader's question the replica lets go of the broker.
const IDLE_AFTER: Duration = Duration::from_secs(600);
/// How long the driver waits before it reads the rows again that it could not read, if no other input comes.
const IN_DOUBT_FOR: Duration = Duration::from_secs(1);

/// The state behind the object. The tasks that it starts hold it weakly.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) env: Env,
    pub(crate) rows: Rows,
    pub(crate) config: std::result::Result<Rc<Config>, Problem>,
    pub(crate) catalog: Catalog,
    pub(crate) edge: String,
    follower: RefCell<Follower>,
    /// A step began and has not ended well, so the follower may be ahead of the rows.
    in_doubt: Cell<bool>,
    link: RefCell<Link>,
    /// When the timer that is armed for the follower fires; `None` when none is armed.
    timer: Cell<Option<UnixMillis>>,
    /// The requests of readers that wait for a proof; each step wakes all of them.
    pub(crate) waiting: RefCell<Vec<oneshot::Sender<()>>>,
    pub(crate) last_asked: Cell<UnixMillis>,
    alarm_at: Cell<Option<UnixMillis>>,
    pub(crate) cleaning_up: Cell<bool>,
    pub(crate) prefetching: Cell<bool>,
    /// Whether the last reader that waited for a proof waited in vain.
    pub(crate) last_wait_failed: Cell<bool>,
    pub(crate) usage: RefCell<Usage>,
    pub(crate) effort: Effort,
    pub(crate) traces: RefCell<Traces>,
    pub(crate) alerts: RefCell<Alerts>,
    pub(crate) telling_alerts: Cell<bool>,
    pub(crate) fill_turns: RefCell<FillTurns>,
    pub(crate) proving: Cell<bool>,
}

/// The connection, or the attempt at one. An event with an older number comes from a socket
/// that was given up.
#[derive(Default)]
struct Link {
    number: u64,
    socket: Option<WebSocket>,
}

impl Inner {
    pub(crate) fn wake(state: State, env: Env) -> std::result::Result<Self, OpenError> {
        let name = state.id().name().unwrap_or_default();
        let (catalog, edge) = catalog_and_edge(&name)
            .ok_or_else(|| worker::Error::from("a replica is addressed by catalog and edge"))?;
        let rows = Rows::open(&state)?;
        let usage = Usage::load(&rows)?;
        let alerts = Alerts::load(rows.alerts()?.as_deref());
        let config = config(&env);
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| worker::Error::from(error.to_string()))?;
        let follow = FollowerConfig { backoff_cap: Duration::from_secs(5), ..FollowerConfig::default() };
        let follower = Follower::new(follow, stored(&rows)?, u64::from_le_bytes(seed));
        Ok(Self {
            rows,
            config,
            catalog,
            edge: edge.to_owned(),
            follower: RefCell::new(follower),
            in_doubt: Cell::new(false),
            state,
            env,
            link: RefCell::default(),
            timer: Cell::default(),
            waiting: RefCell::default(),
            last_asked: Cell::default(),
            alarm_at: Cell::default(),
            cleaning_up: Cell::new(false),
            prefetching: Cell::new(false),
            fill_turns: RefCell::default(),
            last_wait_failed: Cell::new(false),
            usage: RefCell::new(usage),
            effort: Effort::wake(),
            traces: RefCell::default(),
            alerts: RefCell::new(alerts),
            telling_alerts: Cell::new(false),
            proving: Cell::new(false),
        })
    }

    /// Returns the follower, if it agrees with the rows: outside of a step no other state of it is shown.
    fn settled(&self) -> Option<Ref<'_, Follower>> {
        (!self.in_doubt.get()).then(|| self.follower.borrow())
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.settled()?.position()
    }

    pub(crate) fn proved_at(&self) -> Option<UnixMillis> {
        self.settled()?.proved_at()
    }

    /// Returns the follower's phase; a follower in doubt counts as idle, so the next caller that
    /// needs it starts it.
    pub(crate) fn phase(&self) -> Phase {
        self.settled().map_or(Phase::Idle, |follower| follower.phase())
    }

    /// Hands the follower one input and carries out what follows, in order.
    pub(crate) fn step(self: &Rc<Self>, input: FollowerInput) {
        let before = (self.position(), self.proved_at());
        if matches!(input, FollowerInput::Start) && self.phase() == Phase::Idle {
            self.effort.follows();
        }
        if let Err(error) = self.follow(input) {
            self.complain("starting again from the rows", &error);
        }
        if self.proved_at() > before.1 {
            self.last_wait_failed.set(false);
        }
        self.arm_timer();
        self.tell_windows(before);
        for waiting in self.waiting.take() {
            // A reader that gave up waiting needs no wake-up.
            let _ = waiting.send(());
        }
    }

    /// After a write that failed, or a step that died, the follower is ahead of the rows: it starts again from them.
    fn follow(self: &Rc<Self>, input: FollowerInput) -> Result<()> {
        if self.in_doubt.replace(true) {
            self.start_again()?;
        }
        self.follower.borrow_mut().handle(now(), input);
        while let Some(effect) = self.poll_effect() {
            if let Err(error) = self.carry_out(effect) {
                self.complain("starting again from the rows", &error);
                // This drops the queued effects, and leaves the one that hangs up.
                self.start_again()?;
            }
        }
        self.in_doubt.set(false);
        Ok(())
    }

    fn start_again(&self) -> Result<()> {
        let stored = stored(&self.rows)?;
        self.follower.borrow_mut().start_again(now(), stored);
        Ok(())
    }

    pub(crate) fn complain(&self, doing: &str, error: &worker::Error) {
        console_error!("{}@{}: {doing}: {error}", self.catalog, self.edge);
    }

    fn poll_effect(&self) -> Option<FollowerEffect> {
        self.follower.borrow_mut().poll_effect()
    }

    fn carry_out(self: &Rc<Self>, effect: FollowerEffect) -> Result<()> {
        match effect {
            FollowerEffect::Dial(from) => self.dial(from),
            FollowerEffect::Send(text) => {
                self.effort.sends(&text);
                if let Some(socket) = &self.link.borrow().socket {
                    socket.send_with_str(text)?;
                }
            }
            FollowerEffect::Hangup { code, reason } => self.hang_up(code, reason),
            FollowerEffect::Apply { position, versions } => {
                let changes =
                    versions.iter().flat_map(|row| row.changes.iter().map(|one| (row.version, one)));
                self.apply(&raised_by(changes), Some(position))?;
                self.note_applied(position.epoch, &versions);
            }
            FollowerEffect::ApplyFold { position, changes } => {
                let changes = changes.iter().map(|folded| (folded.version, &folded.change));
                self.apply(&raised_by(changes), position)?;
            }
            FollowerEffect::Reset { position, reason } => {
                console_log!("{}@{}: reset to {position}: {reason}", self.catalog, self.edge);
                self.rows.reset(position)?;
            }
            FollowerEffect::Phase(_) => {}
            FollowerEffect::ServerError { code, message } => {
                console_error!("{}@{}: the broker says {code}: {message}", self.catalog, self.edge);
            }
        }
        Ok(())
    }

    fn apply(self: &Rc<Self>, floors: &[FloorRow], position: Option<Position>) -> Result<()> {
        let tends = self.config.as_ref().is_ok_and(|config| config.tends_kv(&self.edge));
        let epoch = position.or(self.follower.borrow().position()).map(|position| position.epoch);
        let prefix = epoch.filter(|_| tends).map(|epoch| entry_names::prefix(&self.catalog, &epoch));
        self.rows.apply(floors, position, prefix.as_deref())?;
        if tends && !floors.is_empty() {
            self.clean_up_kv();
            self.refresh_after(floors)?;
        }
        Ok(())
    }

    fn note_applied(&self, epoch: Epoch, versions: &[VersionRow]) {
        self.traces.borrow_mut().apply(epoch, versions);
        let Some(counts) = self.effort.applied(versions) else { return };
        if let Err(error) = self.usage.borrow_mut().note(&self.rows, &counts) {
            self.complain("keeping the series", &error);
        }
    }

    /// Counts what the replica itself did since it was last asked.
    pub(crate) fn count_effort(&self) -> Result<()> {
        let effort = self.effort.take(self.rows.deletes_waiting()?);
        self.usage.borrow_mut().note_effort(&self.rows, &effort)
    }

    fn dial(self: &Rc<Self>, from: Start) {
        self.effort.dials();
        let config = match &self.config {
            Ok(config) => Rc::clone(config),
            Err(problem) => return console_error!("{}", problem.detail()),
        };
        let number = {
            let mut link = self.link.borrow_mut();
            link.number += 1;
            link.number
        };
        let query = FollowQuery { from, name: self.edge.clone(), topics: Vec::new() };
        let (env, catalog) = (self.env.clone(), self.catalog.clone());
        // Weak: this future outlives an evicted object, and must not keep its memory.
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let outcome = match broker_socket::dial(&env, &config, &catalog, &query).await {
                Ok(socket) => converse(&weak, number, socket).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                console_error!("{catalog}@{}: {error}", query.name);
                on_socket_event(&weak, number, SocketEvent::Closed(1006));
            }
        });
    }

    fn hang_up(&self, code: u16, reason: &str) {
        let mut link = self.link.borrow_mut();
        link.number += 1;
        if let Some(socket) = link.socket.take() {
            // A socket that is closed already needs no close, so its error is dropped.
            let _ = socket.close(Some(code), Some(reason));
        }
    }

    fn on_socket_event(self: &Rc<Self>, number: u64, heard: SocketEvent) {
        if self.link.borrow().number != number {
            return;
        }
        self.step(match heard {
            SocketEvent::Opened => FollowerInput::Opened,
            SocketEvent::Text(text) => {
                self.effort.hears(&text);
                FollowerInput::Text(text)
            }
            SocketEvent::Closed(code) => {
                self.link.borrow_mut().socket = None;
                FollowerInput::Closed { code }
            }
        });
    }

    fn arm_timer(self: &Rc<Self>) {
        let due = match self.settled() {
            Some(follower) => follower.poll_timeout(),
            None => Some(now().plus(IN_DOUBT_FOR)),
        };
        let Some(due) = due else { return };
        if self.timer.get().is_some_and(|armed| armed <= due) {
            return;
        }
        self.timer.set(Some(due));
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            Delay::from(due.since(now()).max(Duration::from_millis(1))).await;
            let Some(inner) = weak.upgrade() else { return };
            // A timer that an earlier one overtook has nothing to do.
            if inner.timer.get() == Some(due) {
                inner.timer.set(None);
                inner.step(FollowerInput::Timer);
            }
        });
    }

    /// Arms the alarm unless it is armed and less than half spent: a write is not free.
    pub(crate) async fn keep_alive(&self) {
        let now = now();
        if self.alarm_at.get().is_some_and(|at| at.since(now) > KEEP_ALIVE / 2) {
            return;
        }
        self.alarm_at.set(Some(now.plus(KEEP_ALIVE)));
        if let Err(error) = self.state.storage().set_alarm(KEEP_ALIVE).await {
            self.complain("arming the alarm", &error);
        }
    }

    pub(crate) async fn on_alarm(self: &Rc<Self>) {
        self.alarm_at.set(None);
        if let Err(error) = self.rows.cut_tasks() {
            self.complain("cutting the to-do list", &error);
        }
        self.clean_up_kv();
        self.prefetch();
        if let Err(error) = self.count_effort() {
            self.complain("counting the replica's own work", &error);
        }
        if let Err(error) = self.usage.borrow_mut().keep(&self.rows) {
            self.complain("keeping the counts", &error);
        }
        if let (Ok(config), Some(held)) = (&self.config, self.position())
            && let Err(error) = self.rows.forget(held.version, now(), config.policies.longest_life())
        {
            self.complain("forgetting floors", &error);
        }
        let tasks = self.rows.has_tasks().unwrap_or(true);
        let read_lately = now().since(self.last_asked.get()) < IDLE_AFTER;
        self.judge_alerts(read_lately);
        if read_lately && self.phase() == Phase::Idle {
            self.step(FollowerInput::Start);
        }
        if !read_lately {
            self.step(FollowerInput::Stop);
        }
        if read_lately || tasks {
            self.keep_alive().await;
        }
    }
}

/// Says that a task under way has ended, however it ends.
pub(crate) struct Ended(pub(crate) Weak<Inner>, pub(crate) fn(&Inner) -> &Cell<bool>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            (self.1)(&inner).set(false);
        }
    }
}

/// Talks over an open socket until it closes. If a step panics, the guard closes the socket; the follower
/// hears of that in a new step, which starts it again from the rows.
async fn converse(weak: &Weak<Inner>, number: u64, socket: WebSocket) -> Result<()> {
    struct Guard(Weak<Inner>, u64, WebSocket);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.2.close(Some(close::RESYNC), Some("done"));
            on_socket_event(&self.0, self.1, SocketEvent::Closed(1006));
        }
    }
    match weak.upgrade() {
        Some(inner) if inner.link.borrow().number == number => {
            inner.link.borrow_mut().socket = Some(socket.clone());
        }
        Some(_) | None => {
            let _ = socket.close(Some(1000), Some("too late"));
            return Ok(());
        }
    }
    let guard = Guard(weak.clone(), number, socket);
    broker_socket::listen(&guard.2, |heard| on_socket_event(weak, number, heard)).await
}

fn on_socket_event(weak: &Weak<Inner>, number: u64, heard: SocketEvent) {
    if let Some(inner) = weak.upgrade() {
        inner.on_socket_event(number, heard);
    }
}

/// Returns the position to resume from. A first start has none, so it asks for everything
/// that the broker keeps.
fn stored(rows: &Rows) -> Result<Cursor> {
    if let Some(position) = rows.position()? {
        return Ok(Cursor::At(position));
    }
    // A fold that was never finished leaves floors without a position.
    rows.clear()?;
    Ok(Cursor::Beginning)
}
