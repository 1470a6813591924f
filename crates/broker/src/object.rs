//! The Durable Object of one catalog: converts what arrives, lets the hub decide, does what it says.
//!
//! Deciding and writing is one synchronous step, so nothing interleaves. Publishes queue; one flush takes all
//! that arrived together. The platform's output gate holds every answer and every send until the rows are
//! durable, so the order of the calls is enough (D1, D2).

#![expect(
    missing_docs,
    reason = "the durable_object macro writes public methods without any; this file has no others"
)]

use std::cell::{Cell, RefCell};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::select;
use newsreel_core::hub::{Effect, Hub, Input, Outcome, SessionId, Submission};
use newsreel_core::log::Standing;
use newsreel_core::topics::Topics;
use newsreel_core::wire::frame::{self, SUBPROTOCOL};
use newsreel_core::wire::publish::{MAX_BODY_BYTES, MAX_IDEMPOTENCY_KEY_BYTES};
use newsreel_core::wire::route::{Claim, FollowQuery, PageQuery, PublishQuery, Start};
use newsreel_core::wire::{
    Catalog, Code, Position, Problem, Publish, Receipt, Route, Status, UnixMillis, Version, internal, page,
};
use worker::{
    Delay, DurableObject, Env, Error, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    WebSocketPair, console_error, durable_object,
};

use crate::convert::{json_response, now, problem_response};
use crate::rows::{PAGE_ROWS, Rows};
use crate::sockets::Sockets;

/// How many bytes of publishes may wait for a commit.
const QUEUE_BYTES: usize = 16 << 20;
/// How often a flush looks whether more publishes are still arriving.
const SETTLE_ROUNDS: u32 = 4;

/// The broker of one catalog.
#[durable_object]
pub struct Broker {
    inner: Rc<Inner>,
}

// A step that panics leaves the hub in doubt, and the next step loads it anew from the rows.
impl UnwindSafe for Broker {}
impl RefUnwindSafe for Broker {}

struct Inner {
    state: State,
    rows: Rows,
    sockets: Sockets,
    hub: RefCell<Hub>,
    catalog: Catalog,
    queue: RefCell<Vec<Queued>>,
    queued_bytes: Cell<usize>,
    flushing: Cell<bool>,
    /// A step began and has not ended well, so what the hub believes is not to be trusted.
    in_doubt: Cell<bool>,
    next_ticket: Cell<u64>,
    /// Publishers that wait for acks: woken after every step that may have brought one.
    awaiting: RefCell<Vec<oneshot::Sender<()>>>,
}

struct Queued {
    submission: Submission,
    bytes: usize,
    answer: oneshot::Sender<Outcome>,
}

impl DurableObject for Broker {
    fn new(state: State, _env: Env) -> Self {
        Self { inner: Rc::new(Inner::wake(state).expect("the broker's rows can be read")) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match self.inner.answer(request).await? {
            Ok(response) => Ok(response),
            Err(problem) => problem_response(&problem),
        }
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Some(session) = Sockets::id_of(&self.inner.state, &socket) else { return Ok(()) };
        let text = match message {
            WebSocketIncomingMessage::String(text) => text,
            // No frame is binary: the hub refuses what is no JSON.
            WebSocketIncomingMessage::Binary(_) => String::new(),
        };
        self.inner.step(now(), Input::Text { session, text }).map(|_| ())
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        code: usize,
        _reason: String,
        _clean: bool,
    ) -> Result<()> {
        let code = u16::try_from(code).ok().filter(|code| *code == 1000 || (3000..=4999).contains(code));
        let _ = socket.close(code.or(Some(1000)), Some("bye"));
        self.inner.closed(&socket)
    }

    async fn websocket_error(&self, socket: WebSocket, _error: Error) -> Result<()> {
        self.inner.closed(&socket)
    }

    async fn alarm(&self) -> Result<Response> {
        // Nothing arms it yet: sealing and folding will.
        Response::empty()
    }
}

/// What a request comes to: a response or a problem; an error is a defect of ours.
type Answer = Result<std::result::Result<Response, Problem>>;

impl Inner {
    fn wake(state: State) -> Result<Self> {
        let name = state.id().name().ok_or("the broker is addressed by its catalog's name")?;
        let catalog = Catalog::new(name).map_err(|why| why.to_string())?;
        let rows = Rows::open(&state)?;
        let (sockets, sessions) = Sockets::wake(&state);
        let mut hub = Hub::new(catalog.clone(), rows.head()?, sessions);
        while let Some(effect) = hub.poll_effect() {
            if let Effect::SetPong(head) = effect {
                sockets.set_pong(&head)?;
            }
        }
        Ok(Self {
            state,
            rows,
            sockets,
            hub: RefCell::new(hub),
            catalog,
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            flushing: Cell::new(false),
            in_doubt: Cell::new(false),
            next_ticket: Cell::new(0),
            awaiting: RefCell::default(),
        })
    }

    async fn answer(self: &Rc<Self>, mut request: Request) -> Answer {
        let url = request.url()?;
        let route = Route::parse(request.method().as_ref(), url.path(), url.query().unwrap_or_default());
        match route {
            Ok(Route::Publish(_, query)) => self.publish(&mut request, query).await,
            Ok(Route::Changes(_, query)) => self.changes(&query),
            Ok(Route::Status(_)) => self.status(),
            Ok(Route::Follow(_, query)) => self.follow(&request, query),
            Ok(Route::Followers(_)) => self.followers(),
            Ok(Route::Entry(..) | Route::Healthz | Route::Readyz) => {
                Ok(Err(Problem::new(Code::UnknownPath, "the broker has no such address")))
            }
            Err(problem) => Ok(Err(problem)),
        }
    }

    // --- publish ---

    async fn publish(self: &Rc<Self>, request: &mut Request, query: PublishQuery) -> Answer {
        let publisher = request.headers().get(internal::CALLER)?.unwrap_or_default();
        let idempotency_key = request.headers().get("Idempotency-Key")?;
        if let Some(problem) = idempotency_key.as_deref().and_then(bad_idempotency_key) {
            return Ok(Err(problem));
        }
        let body = match read_body(request).await? {
            Ok(body) => body,
            Err(problem) => return Ok(Err(problem)),
        };
        let publish = match Publish::parse(&body) {
            Ok(publish) => publish,
            Err(error) => return Ok(Err(error.into())),
        };
        let ticket = self.next_ticket.replace(self.next_ticket.get() + 1);
        let wants_acks = query.wait_applied.is_some();
        let submission =
            Submission { ticket, publisher, publish, idempotency_key, remembered: None, wants_acks };
        let Some(outcome) = self.enqueue(submission, body.len()) else {
            return Ok(Err(Problem::new(
                Code::Busy,
                "too many publishes are waiting; try again in a second",
            )));
        };
        let (receipt, repeated) = match outcome.await {
            Ok(Outcome::Committed(receipt)) => (serde_json::to_string(&receipt)?, false),
            Ok(Outcome::Repeated(receipt)) => (receipt, true),
            Ok(Outcome::Refused(problem)) => return Ok(Err(problem)),
            Err(oneshot::Canceled) => return Ok(Err(not_written())),
        };
        let json = match query.wait_applied {
            Some(timeout) => self.when_applied(&receipt, now().plus(timeout)).await?,
            None => receipt,
        };
        let response = json_response(json)?;
        if repeated {
            response.headers().set("Idempotent-Replayed", "true")?;
        }
        Ok(Ok(response))
    }

    /// Waits until every connected replica has acknowledged a publish, or until the deadline; returns its
    /// receipt with the names of those that have, that have not, and that are not connected.
    async fn when_applied(&self, receipt: &str, deadline: UnixMillis) -> Result<String> {
        let Receipt { version, .. } = serde_json::from_str(receipt)?;
        let (applied, pending) = loop {
            let (applied, pending) = self.hub.borrow().applied(version);
            let left = deadline.since(now());
            if pending.is_empty() || left.is_zero() {
                break (applied, pending);
            }
            let (wake, woken) = oneshot::channel();
            self.awaiting.borrow_mut().push(wake);
            // Woken or late, the loop looks again.
            select(woken, Box::pin(Delay::from(left))).await;
        };
        let mut offline = self.rows.known_replicas()?;
        offline.retain(|name| !applied.contains(name) && !pending.contains(name));
        let names = |names: &[String]| serde_json::to_string(names);
        let (applied, pending, offline) = (names(&applied)?, names(&pending)?, names(&offline)?);
        let receipt = receipt.trim_end_matches('}');
        Ok(format!(r#"{receipt},"applied":{applied},"pending":{pending},"offline":{offline}}}"#))
    }

    /// Puts a publish in the queue; `None` when the queue is full.
    fn enqueue(self: &Rc<Self>, submission: Submission, bytes: usize) -> Option<oneshot::Receiver<Outcome>> {
        if self.queued_bytes.get() + bytes > QUEUE_BYTES {
            return None;
        }
        let (answer, outcome) = oneshot::channel();
        self.queued_bytes.set(self.queued_bytes.get() + bytes);
        self.queue.borrow_mut().push(Queued { submission, bytes, answer });
        if !self.flushing.replace(true) {
            let inner = Rc::clone(self);
            worker::wasm_bindgen_futures::spawn_local(async move {
                let _done = Flushing(&inner);
                inner.settle().await;
                inner.flush();
            });
        }
        Some(outcome)
    }

    /// Waits while more publishes keep arriving: those share a commit, and a frame per follower.
    async fn settle(&self) {
        let mut seen = 0;
        for _ in 0..SETTLE_ROUNDS {
            let waiting = self.queue.borrow().len();
            if waiting == seen {
                break;
            }
            seen = waiting;
            Delay::from(Duration::ZERO).await;
        }
    }

    /// Commits everything that waits. If it cannot be written together, each is tried alone, so that one
    /// that can never be written does not fail its neighbours.
    fn flush(&self) {
        let queued = self.queue.take();
        self.queued_bytes.set(self.queued_bytes.get() - queued.iter().map(|one| one.bytes).sum::<usize>());
        let mut waiting: Vec<(u64, oneshot::Sender<Outcome>)> = Vec::new();
        let mut submissions = Vec::new();
        for one in queued {
            waiting.push((one.submission.ticket, one.answer));
            submissions.push(one.submission);
        }
        let outcomes = self.commit(submissions.clone()).or_else(|error| {
            console_error!("a commit of {} publishes failed: {error}", submissions.len());
            let alone = submissions.into_iter().map(|one| self.commit(vec![one]));
            Ok::<_, Error>(alone.filter_map(Result::ok).flatten().collect())
        });
        let mut outcomes: std::collections::BTreeMap<u64, Outcome> =
            outcomes.unwrap_or_default().into_iter().collect();
        for (ticket, answer) in waiting {
            let outcome = outcomes.remove(&ticket).unwrap_or_else(|| Outcome::Refused(not_written()));
            // A publisher that left does not undo its publish.
            let _ = answer.send(outcome);
        }
    }

    /// Decides and writes publishes in one synchronous step; returns their outcomes by ticket.
    fn commit(&self, mut submissions: Vec<Submission>) -> Result<Vec<(u64, Outcome)>> {
        let now = now();
        for submission in &mut submissions {
            if let Some(key) = &submission.idempotency_key {
                submission.remembered = self.rows.remembered(&submission.publisher, key, now)?;
            }
        }
        self.step(now, Input::Publish(submissions))
    }

    // --- the step ---

    /// Decides on one input and does what follows, in order; returns the outcomes of publishes.
    ///
    /// After a write that failed, or a panic, the hub may be ahead of the rows: it is loaded again from them.
    fn step(&self, now: UnixMillis, input: Input) -> Result<Vec<(u64, Outcome)>> {
        if self.in_doubt.replace(true) {
            self.reload()?;
        }
        self.hub.borrow_mut().handle(now, input);
        let mut effects = Vec::new();
        while let Some(effect) = self.poll_effect() {
            effects.push(effect);
        }
        self.write(&effects)?;
        let mut outcomes = Vec::new();
        for effect in effects {
            self.tell(effect, &mut outcomes)?;
        }
        // Pages tell the hub how far they went, which may lead to more.
        while let Some(effect) = self.poll_effect() {
            self.tell(effect, &mut outcomes)?;
        }
        self.in_doubt.set(false);
        for awaiting in self.awaiting.take() {
            // Who gave up waiting needs no wake-up.
            let _ = awaiting.send(());
        }
        Ok(outcomes)
    }

    fn reload(&self) -> Result<()> {
        let sessions = self.hub.borrow().sessions().clone();
        *self.hub.borrow_mut() = Hub::new(self.catalog.clone(), self.rows.head()?, sessions);
        Ok(())
    }

    fn poll_effect(&self) -> Option<Effect> {
        self.hub.borrow_mut().poll_effect()
    }

    /// Writes the rows among the effects, in one transaction.
    fn write(&self, effects: &[Effect]) -> Result<()> {
        let writes = |effect: &&Effect| matches!(effect, Effect::Persist(_) | Effect::Remember { .. });
        if !effects.iter().any(|effect| writes(&effect)) {
            return Ok(());
        }
        self.rows.transaction(|| {
            for effect in effects {
                if let Effect::Persist(row) = effect {
                    self.rows.append(row)?;
                } else if let Effect::Remember { publisher, key, at, remembered } = effect {
                    self.rows.remember(publisher, key, *at, remembered)?;
                }
            }
            Ok(())
        })
    }

    fn tell(&self, effect: Effect, outcomes: &mut Vec<(u64, Outcome)>) -> Result<()> {
        match effect {
            Effect::Persist(_) | Effect::Remember { .. } => {}
            Effect::SetPong(head) => self.sockets.set_pong(&head)?,
            Effect::Broadcast { sessions, text } => self.sockets.broadcast(&sessions, &text),
            Effect::Send { session, text } => self.sockets.send_text(session, &text),
            Effect::SendPage { session, after } => self.send_page(session, after)?,
            Effect::Save(session) => {
                if let Some(state) = self.hub.borrow().sessions().get(&session) {
                    self.sockets.save(session, state);
                }
            }
            Effect::Close { session, code, reason } => self.sockets.close(session, code, reason),
            Effect::Answer { ticket, outcome } => outcomes.push((ticket, outcome)),
        }
        Ok(())
    }

    fn send_page(&self, session: SessionId, after: Version) -> Result<()> {
        let (head, topics) = {
            let hub = self.hub.borrow();
            let Some(state) = hub.sessions().get(&session) else { return Ok(()) };
            (hub.head(), state.topics.clone())
        };
        let Some(page) = self.rows.page(&head, after, PAGE_ROWS)? else { return Ok(()) };
        let to = page.to.version;
        let opening = frame::changes_head(after, to, page.to.hash, false);
        if topics.is_everything() {
            self.sockets.send_page(session, &opening, &page.rows);
        } else {
            let rows = topics.filtered(&String::from(page.rows))?;
            self.sockets.send_text(session, &(opening + &rows + frame::CHANGES_TAIL));
        }
        self.hub.borrow_mut().handle(now(), Input::PageSent { session, to });
        Ok(())
    }

    // --- sockets ---

    fn follow(&self, request: &Request, query: FollowQuery) -> Answer {
        let upgrade = request.headers().get("Upgrade")?.unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Ok(Err(Problem::new(Code::UpgradeRequired, "connect with a WebSocket to follow")));
        }
        let pair = WebSocketPair::new()?;
        let id = self.hub.borrow().free_session();
        self.sockets.accept(&self.state, id, pair.server);
        let logged = match query.from {
            Start::Head => None,
            Start::At(claim) => self.logged(claim)?,
        };
        let (name, topics) = (query.name, Topics::new(query.topics));
        let replica = request.headers().has(internal::REPLICA)?;
        if replica {
            self.rows.saw_replica(&name, now())?;
        }
        self.step(now(), Input::Open { session: id, from: query.from, logged, name, topics, replica })?;
        let response = Response::from_websocket(pair.client)?;
        let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
        if offered.split(',').any(|one| one.trim() == SUBPROTOCOL) {
            response.headers().set("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
        }
        Ok(Ok(response))
    }

    fn closed(&self, socket: &WebSocket) -> Result<()> {
        let Some(session) = Sockets::id_of(&self.state, socket) else { return Ok(()) };
        self.sockets.forget(session);
        self.step(now(), Input::Closed { session }).map(|_| ())
    }

    // --- plain HTTP ---

    fn logged(&self, claim: Claim) -> Result<Option<newsreel_core::wire::Hash>> {
        self.rows.hash_at(&self.hub.borrow().head(), claim.version())
    }

    fn changes(&self, query: &PageQuery) -> Answer {
        let logged = self.logged(query.since)?;
        let hub = self.hub.borrow();
        let head = hub.head();
        let from = query.since.version();
        let after = match hub.log().standing(query.since, logged) {
            Standing::Current => {
                return Ok(Ok(json_response(page::text(from, &head, head.version, ""))?));
            }
            Standing::Behind { after } => after,
            Standing::Elsewhere(reason) => {
                let problem =
                    Problem::new(Code::Reset, "forget everything cached; continue from this position")
                        .with("reason", reason.text())
                        .with("epoch", head.epoch)
                        .with("version", head.version)
                        .with("hash", head.hash);
                return Ok(Err(problem));
            }
        };
        let page = self.rows.page(&head, after, query.limit)?.ok_or("a version below the head has no row")?;
        let text = page::text(from, &page.to, head.version, &String::from(page.rows));
        Ok(Ok(json_response(text)?))
    }

    fn status(&self) -> Answer {
        let hub = self.hub.borrow();
        let position = hub.head();
        let Position { epoch, version, .. } = position;
        let oldest = Version::ZERO.next();
        let (catalog, followers) = (self.catalog.clone(), hub.sessions().len());
        let status = Status { catalog, epoch, version, position, oldest, followers };
        Ok(Ok(json_response(serde_json::to_string(&status)?)?))
    }

    fn followers(&self) -> Answer {
        let hub = self.hub.borrow();
        let head = hub.head().version.number();
        let list: Vec<serde_json::Value> = hub
            .sessions()
            .values()
            .map(|session| {
                serde_json::json!({
                    "name": session.name,
                    "replica": session.replica,
                    "acked": session.acked,
                    "lag": head.saturating_sub(session.acked.number()),
                    "since": session.since,
                    "stage": session.stage,
                })
            })
            .collect();
        let position = hub.head();
        Ok(Ok(json_response(serde_json::json!({ "position": position, "followers": list }).to_string())?))
    }
}

/// Says that a flush is under way, and stops saying so however it ends.
struct Flushing<'a>(&'a Inner);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.set(false);
    }
}

fn not_written() -> Problem {
    Problem::new(Code::NotWritten, "the publish could not be written and left nothing behind; try it again")
}

fn bad_idempotency_key(key: &str) -> Option<Problem> {
    let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len());
    let plain = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let text = format!("an Idempotency-Key is 1 to {MAX_IDEMPOTENCY_KEY_BYTES} printable ASCII characters");
    (!(fits && plain)).then(|| Problem::new(Code::BadRequest, text))
}

/// Reads a body up to the limit; nothing past it is buffered.
async fn read_body(request: &mut Request) -> Result<std::result::Result<Vec<u8>, Problem>> {
    let too_large = || {
        let text = format!("a publish has at most {MAX_BODY_BYTES} bytes: publish in several versions");
        Problem::new(Code::BodyTooLarge, text)
    };
    let announced = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Ok(Err(too_large()));
    }
    if announced.is_some() {
        // The runtime holds a body to its announced length.
        return Ok(Ok(request.bytes().await?));
    }
    use futures_util::StreamExt as _;
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(Ok(body));
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > MAX_BODY_BYTES {
            return Ok(Err(too_large()));
        }
    }
    Ok(Ok(body))
}
