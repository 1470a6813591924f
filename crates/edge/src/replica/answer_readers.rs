//! The replica's service to its readers: replies to their questions, and messages to their windows.

use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, LocalBoxFuture, select};
use newsreel_core::follow::follower::{FollowerInput, Phase};
use newsreel_core::metrics::series::chart::{self, ChartError};
use newsreel_core::metrics::{prices, prometheus};
use newsreel_core::read::sync::{FloorLookup, SyncRequest, SyncResponse};
use newsreel_core::wire::series::SeriesQuery;
use newsreel_core::wire::{Code, Position, Problem, UnixMillis, Version};
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Headers, Response, ResponseBuilder, Result};

use crate::clock::now;
use crate::http::{json_response, problem_response};
use crate::protocol::{FillTurn, FloorsJson, LocalReplica, PACKED, PROVED, TurnAnswer, parsed};
use crate::replica::driver::{Ended, Inner};
use crate::replica::rows::FloorPage;
use crate::replica::windows::Windows;
use crate::streams;

/// How long a reply is that is worth packing, in bytes.
const PACK_FROM: usize = 16 << 10;
/// How long a reader's question may wait for a proof.
const SYNC_WAIT: Duration = Duration::from_secs(3);
/// How long a question may wait while the replica believes that it is connected: a ping there and back.
const PONG_WAIT: Duration = Duration::from_secs(1);
/// How long a question may wait after the last one waited in vain: the broker is away, and not every reader
/// needs to wait to learn that.
const SYNC_WAIT_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// How long a turn lasts where the configuration cannot be read.
const TURN: Duration = Duration::from_secs(10);

impl Inner {
    /// Answers a reader: the floors it lacks, and how old the proof is that there are no others.
    pub(crate) async fn sync(self: &Rc<Self>, ask: SyncRequest) -> Result<Response> {
        let proved = self.ensure_proof(&ask).await;
        let Some(position) = self.position_of_whole_floors()? else { return not_connected_yet() };
        let reply = self.reply(since(&ask, &position), &position, &ask.look)?;
        let json = serde_json::to_string(&reply)?;
        let headers = Headers::new();
        if proved {
            headers.set(PROVED, "1")?;
        }
        let builder = ResponseBuilder::new().with_headers(headers.clone());
        if json.len() < PACK_FROM {
            return Ok(builder.fixed(json.into_bytes()));
        }
        headers.set(PACKED, "gzip")?;
        let packed = streams::packed(&streams::stream_of_text(&json)?);
        Ok(ResponseBuilder::new().with_headers(headers).stream(packed))
    }

    /// Returns the position whose floors can be told: none while a fold is half applied.
    fn position_of_whole_floors(&self) -> Result<Option<Position>> {
        Ok(if self.rows.is_folding()? { None } else { self.position() })
    }

    /// Opens a window: the reader is told the floors raised since its version, and then each new one.
    pub(crate) async fn open_window(self: &Rc<Self>, ask: SyncRequest) -> Result<Response> {
        self.ensure_proof(&ask).await;
        let Some(position) = self.position_of_whole_floors()? else { return not_connected_yet() };
        let reply = self.reply(since(&ask, &position), &position, &ask.look)?;
        if reply.to < position.version {
            // Too much for one message: the reader syncs first and opens its window after.
            return problem_response(&Problem::new(Code::Busy, "sync first"));
        }
        let response = Windows(&self.state).open(&serde_json::to_string(&reply)?)?;
        self.keep_proving();
        Ok(response)
    }

    /// Takes a reader's report.
    pub(crate) fn take_report(&self, report: &str) -> Result<Response> {
        let mut usage = self.usage.borrow_mut();
        let counts = usage.take(report)?;
        if let Err(error) = usage.record(&self.rows, &counts) {
            self.complain("keeping the series", &error);
        }
        Response::empty()
    }

    /// Gives a request of this edge the turn at filling a key, or takes it back.
    pub(crate) fn take_turn(&self, turn: FillTurn) -> Result<Response> {
        let FillTurn { key, holder, done } = turn;
        let mut turns = self.fill_turns.borrow_mut();
        let free = if done {
            turns.give_back(&key, &holder);
            true
        } else {
            let hold_for = self.config.as_ref().map_or(TURN, |config| config.origin_timeout);
            turns.take(key, holder, now(), hold_for)
        };
        json_response(&TurnAnswer { free })
    }

    /// Answers with the counts of all readers.
    pub(crate) fn show_counts(&self) -> Result<Response> {
        let (catalog, edge) = (self.catalog.as_str(), self.edge.as_str());
        let mut text = self.usage.borrow().prometheus(catalog, edge, self.rows.deletes_waiting()?);
        let is_live = self.phase() == Phase::Live;
        let gone = if is_live { Duration::ZERO } else { self.alerts.borrow().gone(now()) };
        text += &prometheus::edge_gone(catalog, edge, gone);
        Ok(ResponseBuilder::new().fixed(text.into_bytes()))
    }

    /// Answers with the counts over time.
    pub(crate) fn show_series(&self, query: &str) -> Result<Response> {
        // Asking is no reason to begin a bucket: a replica that is only looked at writes nothing.
        let usage = self.usage.borrow();
        let asked = SeriesQuery::parse(query).map_err(ChartError::Problem);
        let page = asked.and_then(|query| {
            let of = (&self.catalog, Some(self.edge.as_str()));
            chart::answer(&usage.series, &self.rows.series(), &query, of, now())
        });
        match page {
            Ok(mut page) => {
                (page.clock, page.cost) = (self.effort.clock(), prices::cost(&page));
                json_response(&page)
            }
            Err(ChartError::Problem(problem)) => problem_response(&problem),
            Err(ChartError::Rows(error)) => Err(error),
        }
    }

    /// Starts the follower if it is at rest, and waits for the proof or version that the reader needs.
    async fn ensure_proof(self: &Rc<Self>, ask: &SyncRequest) -> bool {
        let asked_at = now();
        self.last_asked.set(asked_at);
        self.keep_alive().await;
        if matches!(self.phase(), Phase::Idle | Phase::Closed) {
            self.step(FollowerInput::Start);
        }
        let needed = UnixMillis(asked_at.0.saturating_sub(ask.max_age_ms));
        // A reader that wants a version waits the full time: the broker may be reachable, and the
        // version on its way.
        let wait = match self.phase() {
            _ if ask.at_least.is_some() => SYNC_WAIT,
            _ if self.last_wait_failed.get() => SYNC_WAIT_AFTER_FAILURE,
            Phase::Live => PONG_WAIT,
            Phase::Idle | Phase::Waiting | Phase::Connecting | Phase::CatchingUp | Phase::Closed => SYNC_WAIT,
        };
        let proved = self.await_proof(ask, needed, asked_at.plus(wait)).await;
        if self.proved_at().is_none_or(|at| at < needed) {
            self.last_wait_failed.set(true);
        }
        proved
    }

    /// Returns the reply to a reader that has every floor up to `from`.
    fn reply(
        &self,
        from: Version,
        position: &Position,
        look: &FloorLookup,
    ) -> Result<SyncResponse<FloorsJson>> {
        let FloorPage { floors, to, left_out } = self.rows.floors_after(from, position.version)?;
        let looked = if look.is_empty() { FloorsJson::default() } else { self.rows.floors_of(look)? };
        let age = self.proved_at().map(|at| now().since(at).as_millis());
        let proof_age_ms = age.map(|age| u64::try_from(age).unwrap_or(u64::MAX));
        let traces = self.traces.borrow().after(position.epoch, from);
        Ok(SyncResponse { position: *position, from, to, proof_age_ms, left_out, looked, traces, floors })
    }

    /// While windows are open, asks the broker at intervals for a proof that no floor was missed; the windows
    /// are told each proof.
    fn keep_proving(self: &Rc<Self>) {
        let Ok(config) = &self.config else { return };
        if self.proving.replace(true) {
            return;
        }
        // Half of the tightest lag bound: the other half is for the ways there and back.
        let pause = config.policies.tightest_bound() / 2;
        let weak = Rc::downgrade(self);
        spawn_local(async move {
            let _done = Ended(weak.clone(), |inner| &inner.proving);
            loop {
                Delay::from(pause).await;
                let Some(inner) = weak.upgrade() else { return };
                if Windows(&inner.state).none_open() {
                    return;
                }
                inner.step(FollowerInput::Prove);
            }
        });
    }

    /// Tells the windows the changes of a step: floors, position, proof.
    pub(crate) fn tell_windows(&self, before: (Option<Position>, Option<UnixMillis>)) {
        let after = (self.position(), self.proved_at());
        let windows = Windows(&self.state);
        if before == after || windows.none_open() {
            return;
        }
        // The end of a fold tells everything that its parts raised.
        let position = match self.position_of_whole_floors() {
            Ok(Some(position)) => position,
            Ok(None) => return,
            Err(error) => return self.complain("telling windows", &error),
        };
        let known =
            before.0.filter(|known| known.epoch == position.epoch && known.version <= position.version);
        let since = known.map_or(Version::ZERO, |known| known.version);
        let reply = self.reply(since, &position, &FloorLookup::default());
        match reply.and_then(|reply| Ok(serde_json::to_string(&reply)?)) {
            Ok(reply) => windows.tell(&reply),
            Err(error) => self.complain("telling windows", &error),
        }
    }

    /// Waits until the proof is as recent as `needed` and the version asked for is heard,
    /// or until the deadline.
    async fn await_proof(
        self: &Rc<Self>,
        ask: &SyncRequest,
        needed: UnixMillis,
        deadline: UnixMillis,
    ) -> bool {
        let mut asked_broker = false;
        loop {
            let enough = self.proved_at().is_some_and(|at| at >= needed);
            let heard = ask
                .at_least
                .is_none_or(|wanted| self.position().is_some_and(|position| wanted.is_met_by(&position)));
            if enough && heard {
                return true;
            }
            let reachable = matches!(self.phase(), Phase::CatchingUp | Phase::Live);
            if reachable && !enough && !asked_broker {
                asked_broker = true;
                self.step(FollowerInput::Prove);
                continue;
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return false;
            }
            let (wake, woken) = oneshot::channel();
            self.waiting.borrow_mut().push(wake);
            if let Either::Right(_) = select(woken, Box::pin(Delay::from(left))).await {
                return false;
            }
        }
    }
}

impl LocalReplica for Inner {
    fn answer(self: Rc<Self>, ask: SyncRequest) -> LocalBoxFuture<'static, Result<(SyncResponse, bool)>> {
        Box::pin(async move {
            let proved = self.ensure_proof(&ask).await;
            let position =
                self.position_of_whole_floors()?.ok_or("this edge has not reached the broker yet")?;
            let reply = self.reply(since(&ask, &position), &position, &ask.look)?;
            Ok((parsed(&reply)?, proved))
        })
    }
}

/// Returns the version after which a reader is told floors: its own on this log, else the beginning.
fn since(ask: &SyncRequest, position: &Position) -> Version {
    match ask.epoch {
        Some(epoch) if epoch == position.epoch => ask.since.min(position.version),
        Some(_) | None => Version::ZERO,
    }
}

fn not_connected_yet() -> Result<Response> {
    problem_response(&Problem::new(Code::BoundNotKept, "this edge has not reached the broker yet"))
}
