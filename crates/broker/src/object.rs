//! The Durable Object of one catalog: converts what arrives, lets the hub decide, does what it says.
//!
//! Deciding and writing is one synchronous step, so nothing interleaves. Publishes queue; one flush takes all
//! that arrived together. The platform's output gate holds every answer and every send until the rows are
//! durable, so the order of the calls is enough (D1, D2).

#![expect(
    missing_docs,
    reason = "the durable_object macro writes public methods without any; this file has no others"
)]

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use js_sys::JsString;
use newsreel_core::access::Grant;
use newsreel_core::follow::hub::{Effect, Hub, Input, Outcome, Part, PartSent, SessionId};
use newsreel_core::follow::topics::Topics;
use newsreel_core::log::Log;
use newsreel_core::log::upkeep::Next;
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::{
    Address, Catalog, Code, Position, Problem, Route, UnixMillis, Version, frame, internal,
};
use worker::{
    DurableObject, Env, Error, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    console_error, durable_object,
};

use crate::config::Config;
use crate::driver::rows::{OpenError, PAGE_ROWS, Rows};
use crate::driver::sockets::Sockets;
use crate::follow::notify::{Readers, Waiters};
use crate::js::{now, problem_response};
use crate::publish::body::UnderWay;
use crate::publish::queue::Queued;
use crate::publish::socket::Publishers;

/// The broker of one catalog.
#[durable_object]
pub struct Broker {
    /// A problem where the rows are a newer build's: then they are left alone, and whoever asks is told so.
    inner: std::result::Result<Rc<Inner>, Problem>,
}

// A step that panics leaves the hub in doubt, and the next step loads it anew from the rows.
impl UnwindSafe for Broker {}
impl RefUnwindSafe for Broker {}

pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) config: Config,
    pub(crate) rows: Rows,
    pub(crate) sockets: Sockets,
    pub(crate) hub: RefCell<Hub>,
    pub(crate) catalog: Catalog,
    pub(crate) publishers: Rc<Publishers>,
    pub(crate) queue: RefCell<Vec<Queued>>,
    pub(crate) queued_bytes: Cell<usize>,
    pub(crate) flushing: Cell<bool>,
    pub(crate) under_way: UnderWay,
    /// A step began and has not ended well, so what the hub believes is not to be trusted.
    in_doubt: Cell<bool>,
    pub(crate) next_ticket: Cell<u64>,
    /// When the alarm is set to, as far as is known: not before something was armed.
    pub(crate) armed: Cell<Option<UnixMillis>>,
    /// When it was looked for silent sockets.
    pub(crate) looked: Cell<UnixMillis>,
    /// Whether the alarm runs.
    pub(crate) ringing: Cell<bool>,
    /// Publishers that wait for acks: woken after every step that may have brought one.
    pub(crate) awaiting: Waiters,
    /// Those who read without a socket: woken when the head moved.
    pub(crate) readers: Rc<Readers>,
}

impl DurableObject for Broker {
    fn new(state: State, env: Env) -> Self {
        // The front refuses every request of such a deployment, but alarms and open sockets do not pass it.
        let config = Config::read(&env).unwrap_or_else(|_| Config::misconfigured());
        match Inner::wake(state, config) {
            Ok(inner) => Self { inner: Ok(Rc::new(inner)) },
            Err(OpenError::Refused(problem)) => Self { inner: Err(problem) },
            // The event fails, and the next one tries again.
            Err(OpenError::Failed(error)) => panic!("the broker's rows can be read: {error}"),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match &self.inner {
            Ok(inner) => match inner.answer(request).await? {
                Ok(response) => Ok(response),
                Err(problem) => problem_response(&problem),
            },
            Err(problem) => problem_response(problem),
        }
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Ok(inner) = &self.inner else {
            // It comes back, and is told why it is not let in.
            let _ = socket.close(Some(frame::close::RESYNC), Some(Code::NewerSchema.title()));
            return Ok(());
        };
        let Some(session) = Sockets::id_of(&inner.state, &socket) else {
            return inner.hear(&socket, message);
        };
        let text = match message {
            WebSocketIncomingMessage::String(text) => text,
            // No frame is binary: the hub refuses what is no JSON.
            WebSocketIncomingMessage::Binary(_) => String::new(),
        };
        inner.step(now(), Input::Text { session, text }).map(|_| ())
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
        self.closed(&socket)
    }

    async fn websocket_error(&self, socket: WebSocket, _error: Error) -> Result<()> {
        self.closed(&socket)
    }

    async fn alarm(&self) -> Result<Response> {
        // Of rows that are a newer build's nothing is sealed or forgotten: whoever may use them sets it again.
        if let Ok(inner) = &self.inner {
            inner.alarm();
        }
        Response::empty()
    }
}

impl Broker {
    fn closed(&self, socket: &WebSocket) -> Result<()> {
        self.inner.as_ref().map_or(Ok(()), |inner| inner.closed(socket))
    }
}

/// What a request comes to: a response or a problem; an error is a defect of ours.
pub(crate) type Answer = Result<std::result::Result<Response, Problem>>;

impl Inner {
    fn wake(state: State, config: Config) -> std::result::Result<Self, OpenError> {
        let name = state.id().name().ok_or(Error::from("the broker is addressed by its catalog's name"))?;
        let catalog = Catalog::new(name).map_err(|why| Error::from(why.to_string()))?;
        let rows = Rows::open(&state)?;
        let sockets = Sockets::wake(&state);
        let publishers = Publishers::wake(&state);
        let hub = Hub::new(catalog.clone(), rows.kept()?, sockets.sessions(), config.pace);
        let inner = Self {
            state,
            config,
            rows,
            sockets,
            hub: RefCell::new(hub),
            catalog,
            publishers,
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            flushing: Cell::new(false),
            under_way: RefCell::default(),
            in_doubt: Cell::new(false),
            next_ticket: Cell::new(0),
            armed: Cell::new(None),
            looked: Cell::default(),
            ringing: Cell::new(false),
            awaiting: Waiters::default(),
            readers: Rc::default(),
        };
        while let Some(effect) = inner.poll_effect() {
            inner.tell(effect, &mut Vec::new())?;
        }
        Ok(inner)
    }

    async fn answer(self: &Rc<Self>, mut request: Request) -> Answer {
        let address = Address::new(request.inner().url());
        let route = Route::parse(request.method().as_ref(), address.path(), address.query());
        match route {
            Ok(Route::Publish(_, query)) => self.publish(&mut request, query).await,
            Ok(Route::PublishSocket(_)) => self.publish_socket(&request),
            Ok(Route::Changes(_, query)) => self.changes(&request, query).await,
            Ok(Route::Status(_)) => self.status(),
            Ok(Route::Follow(_, query)) => self.follow(&request, query),
            Ok(Route::Followers(_)) => self.followers(),
            Ok(Route::NewEpoch(_)) => self.new_epoch(),
            Ok(Route::Edge(..) | Route::Healthz | Route::Readyz) => {
                Ok(Err(Problem::new(Code::UnknownPath, "the broker has no such address")))
            }
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Decides on one input and does what follows, in order; returns the outcomes of publishes.
    ///
    /// After a write that failed, or a panic, the hub may be ahead of the rows: it is loaded again from them.
    pub(crate) fn step(&self, now: UnixMillis, input: Input) -> Result<Vec<(u64, Outcome)>> {
        if self.in_doubt.replace(true) {
            self.reload()?;
        }
        self.hub.borrow_mut().handle(now, input);
        let mut effects = Vec::new();
        while let Some(effect) = self.poll_effect() {
            effects.push(effect);
        }
        self.write(&effects)?;
        // Before the sends, so that somebody looks again if they die half-way.
        self.arm();
        // What is written stays written, so nothing that fails from here on may fail the step.
        let mut outcomes = Vec::new();
        let mut told = true;
        // Pages tell the hub how far they went, which may lead to more effects.
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front().or_else(|| self.poll_effect()) {
            if let Err(error) = self.tell(effect, &mut outcomes) {
                console_error!("{}: after a commit: {error}", self.catalog);
                told = false;
            }
        }
        self.in_doubt.set(!told);
        self.arm_for(Next::Idle);
        self.awaiting.wake();
        self.readers.tell(self.hub.borrow().head());
        Ok(outcomes)
    }

    /// Closes those whose pings have ended. Nobody wakes for that: it is looked for when there is something else to do.
    pub(crate) fn close_silent(&self, now: UnixMillis, pings: BTreeMap<SessionId, UnixMillis>) -> Result<()> {
        self.looked.set(now);
        self.step(now, Input::Pinged(pings)).map(|_| ())
    }

    /// Returns the newest position that is written.
    pub(crate) fn head(&self) -> Result<Position> {
        Ok(self.settled()?.head())
    }

    /// Returns the hub, as the rows have it: outside of a step nothing else is to be shown of it.
    pub(crate) fn settled(&self) -> Result<Ref<'_, Hub>> {
        self.heal()?;
        if self.armed.get().is_none() {
            // Whoever only reads may be what woke the object, and a follower may lack something.
            self.arm();
        }
        Ok(self.hub.borrow())
    }

    /// Loads the hub anew if a step has not ended well.
    pub(crate) fn heal(&self) -> Result<()> {
        if self.in_doubt.get() {
            self.reload()?;
            self.in_doubt.set(false);
        }
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        self.rows.count()?;
        // As the sockets carry them: what the hub was about to say of them may never have been said.
        let (kept, sessions) = (self.rows.kept()?, self.sockets.sessions());
        *self.hub.borrow_mut() = Hub::new(self.catalog.clone(), kept, sessions, self.config.pace);
        Ok(())
    }

    fn poll_effect(&self) -> Option<Effect> {
        self.hub.borrow_mut().poll_effect()
    }

    /// Writes the rows among the effects, in one transaction.
    fn write(&self, effects: &[Effect]) -> Result<()> {
        let writes = |effect: &&Effect| {
            matches!(
                effect,
                Effect::Persist(_) | Effect::Remember { .. } | Effect::BeginEpoch(_) | Effect::NoteAsked(_)
            )
        };
        if !effects.iter().any(|effect| writes(&effect)) {
            return Ok(());
        }
        self.rows.transaction(|| {
            for effect in effects.iter().filter(writes) {
                if let Effect::Persist(row) = effect {
                    self.rows.append(row)?;
                } else if let Effect::Remember { publisher, key, remembered } = effect {
                    self.rows.remember(publisher, key, remembered)?;
                } else if let Effect::BeginEpoch(head) = effect {
                    self.rows.begin_epoch(head)?;
                } else if let Effect::NoteAsked(asked) = effect {
                    self.rows.note_asked(asked)?;
                }
            }
            Ok(())
        })
    }

    fn tell(&self, effect: Effect, outcomes: &mut Vec<(u64, Outcome)>) -> Result<()> {
        match effect {
            Effect::Persist(_) | Effect::Remember { .. } | Effect::BeginEpoch(_) | Effect::NoteAsked(_) => {}
            Effect::SetPong(head) => self.sockets.set_pong(&head)?,
            Effect::Broadcast { sessions, text } => self.sockets.broadcast(&sessions, &text),
            Effect::Send { session, text } => self.sockets.send_text(session, &text),
            Effect::SendPart { session, part } => {
                if let Err(error) = self.send_part(session, part) {
                    // It comes back and resumes; without its page it would wait for ever.
                    self.sockets.close(session, frame::close::RESYNC, "what was missed could not be read");
                    self.hub.borrow_mut().handle(now(), Input::Closed { session });
                    return Err(error);
                }
            }
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

    fn send_part(&self, session: SessionId, part: Part) -> Result<()> {
        let (log, topics) = {
            let hub = self.hub.borrow();
            let Some(state) = hub.sessions().get(&session) else { return Ok(()) };
            (*hub.log(), state.topics.clone())
        };
        let (sent, bytes) = match part {
            Part::Versions { after } => self.send_versions(session, &log, &topics, after)?,
            Part::Fold { from, cursor } => self.send_fold(session, &log, &topics, from, &cursor)?,
        };
        self.hub.borrow_mut().handle(now(), Input::PartSent { session, sent, bytes });
        Ok(())
    }

    fn send_versions(
        &self,
        session: SessionId,
        log: &Log,
        topics: &Topics,
        after: Version,
    ) -> Result<(PartSent, u32)> {
        let page = self.rows.page(&log.head(), after, PAGE_ROWS)?;
        let page = page.ok_or("a version below the head has no row")?;
        let rows = filtered(topics, page.rows, Topics::filtered)?;
        // Also by who is live: one that is read again from the log.
        let head = frame::changes_head(after, page.to.version, page.to.hash, true);
        self.sockets.send_around(session, &head, &rows, frame::CHANGES_TAIL);
        Ok((PartSent::Versions { to: page.to.version }, rows.length()))
    }

    fn send_fold(
        &self,
        session: SessionId,
        log: &Log,
        topics: &Topics,
        from: Version,
        cursor: &FoldCursor,
    ) -> Result<(PartSent, u32)> {
        let part = self.rows.fold_part(from, cursor)?;
        let changes = filtered(topics, part.changes, Topics::filtered_fold)?;
        let to = log.folded();
        let tail = frame::fold_tail(part.next.is_some());
        self.sockets.send_around(session, &frame::fold_head(from, &to, cursor.part), &changes, tail);
        Ok((PartSent::Fold { to: to.version, next: part.next }, changes.length()))
    }

    fn closed(&self, socket: &WebSocket) -> Result<()> {
        let Some(session) = Sockets::id_of(&self.state, socket) else {
            self.publishers.forget(&self.state, socket);
            return Ok(());
        };
        if !self.sockets.forget(session, socket) {
            return Ok(());
        }
        self.step(now(), Input::Closed { session }).map(|_| ())
    }
}

/// Returns the limits of the caller's token.
pub(crate) fn grant(request: &Request) -> Result<Grant> {
    Ok(Grant::from_text(&request.headers().get(internal::GRANT)?.unwrap_or_default()))
}

/// Returns what of a JavaScript string of JSON items passes; who wants everything gets it as it is.
fn filtered(
    topics: &Topics,
    items: JsString,
    pass: impl Fn(&Topics, &str) -> serde_json::Result<String>,
) -> Result<JsString> {
    if topics.is_everything() { Ok(items) } else { Ok(JsString::from(pass(topics, &String::from(items))?)) }
}
