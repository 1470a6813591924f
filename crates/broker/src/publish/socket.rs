//! The publishing sockets: hibernatable, one publish per text, answers in order and joined per flush.
//!
//! A publish lives in memory until it is answered. A mark in the socket's attachment outlives the object: a
//! marked socket that is found at a wake-up was owed answers that died, so it is closed and its publisher sends
//! again what was not answered. It is no follower: its tags say so, and the hub never hears of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::access::Grant;
use newsreel_core::access::rate::{self, RateKey, RateLimiter};
use newsreel_core::follow::hub::Outcome;
use newsreel_core::wire::publish::{MAX_BODY_BYTES, PublishError};
use newsreel_core::wire::{Code, UnixMillis, frame, internal, lines};
use worker::{Request, Result, State, WebSocket, WebSocketIncomingMessage, WebSocketPair, console_error};

use crate::follow::open::{socket_response, wants_socket};
use crate::js::{attach, attached, now};
use crate::object::{Answer, Inner, grant};
use crate::publish::queue::{AnswerTo, PUBLISH_BYTES, Queued, answer_json, busy};

/// The first tag of every publishing socket; the second is its id. A follower's first tag is a number.
const TAG: &str = "publisher";
/// How many publishes of one socket may be unanswered.
const MAX_UNANSWERED: usize = 10_000;
/// And how many bytes of them.
const MAX_UNANSWERED_BYTES: usize = 4 << 20;

/// One publishing socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublisherId(u32);

/// Every open publishing socket. They are few: whoever publishes much needs one.
#[derive(Default)]
pub(crate) struct Publishers {
    open: RefCell<Vec<Publisher>>,
    /// Ids are not given twice: the close of an old socket may still be on its way.
    next: Cell<u32>,
    /// How much each name has published lately.
    rates: RefCell<RateLimiter>,
}

struct Publisher {
    id: PublisherId,
    socket: WebSocket,
    /// The name of its token: idempotency keys are its own.
    name: String,
    grant: Grant,
    unanswered: usize,
    unanswered_bytes: usize,
    /// How many frames of answers it was sent.
    told: u64,
    /// Whether the attachment says that answers are owed.
    marked: bool,
    /// The answers of a flush, while they are gathered.
    answers: String,
}

/// A socket that was sent answers, and how many frames of them until then.
pub(crate) type Told = (PublisherId, u64);

/// An answer that a socket is owed. Dropped unpaid, as by a panic, it closes the socket: nothing is lost silently.
pub(crate) struct Owed {
    publishers: Rc<Publishers>,
    id: PublisherId,
    paid: bool,
}

impl Inner {
    /// Opens a socket that publishes.
    pub(crate) fn publish_socket(&self, request: &Request) -> Answer {
        if let Some(problem) = wants_socket(request)? {
            return Ok(Err(problem));
        }
        let name = request.headers().get(internal::CALLER)?.unwrap_or_default();
        let (grant, pair) = (grant(request)?, WebSocketPair::new()?);
        self.publishers.accept(&self.state, name, grant, pair.server)?;
        // For the end of its token.
        self.arm();
        Ok(Ok(socket_response(request, pair.client)?))
    }

    /// Takes what a publishing socket says.
    pub(crate) fn hear(self: &Rc<Self>, socket: &WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Some(id) = id_of(&self.state, socket) else { return Ok(()) };
        // It may be one of those; then nobody is owed anything.
        self.publishers.close_expired(now());
        let text = match message {
            WebSocketIncomingMessage::String(text) => text,
            WebSocketIncomingMessage::Binary(_) => {
                let why = "a publish is a text, not binary";
                let _ = socket.send_with_str(frame::error("bad-frame", why, None));
                self.publishers.close(id, frame::close::BAD_FRAME, why);
                return Ok(());
            }
        };
        if text == frame::PING {
            let _ = socket.send_with_str(frame::pong(&self.head()?));
            return Ok(());
        }
        // What no room would do for takes none, and is not sent away to come again.
        let bytes = if text.len() > MAX_BODY_BYTES { 0 } else { text.len() };
        let Some((owed, who)) = self.publishers.owe(id, bytes) else { return Ok(()) };
        // In its place, as every answer.
        let (asked, bytes) = match who.filter(|_| self.has_room(bytes + PUBLISH_BYTES)) {
            _ if text.len() > MAX_BODY_BYTES => (Err(PublishError::TooLarge(text.len()).into()), 0),
            Some((name, grant)) => match self.publishers.rated(&name, self.config.publish_per_second) {
                Ok(()) => (self.asked(&name, &grant, text.as_bytes(), None), bytes),
                Err(wait) => (Err(rate::limited(wait)), 0),
            },
            None => (Err(busy()), 0),
        };
        self.enqueue(Queued {
            asked: vec![asked],
            bytes: bytes + PUBLISH_BYTES,
            answer: AnswerTo::Socket(owed),
        });
        Ok(())
    }

    /// Takes the marks off those that are owed nothing more, once what they were told is durable: until then
    /// the platform holds the answers back, and they may yet be lost.
    pub(crate) async fn calm(&self, answered: &[Told]) {
        if answered.is_empty() {
            return;
        }
        match self.state.storage().sync().await {
            Ok(()) => self.publishers.calm(answered),
            Err(error) => console_error!("{}: answers may be lost: {error}", self.catalog),
        }
    }
}

impl Publishers {
    /// Finds the sockets that stayed open while the object slept, and closes those that were owed an answer.
    pub(crate) fn wake(state: &State) -> Rc<Self> {
        let publishers = Self::default();
        for socket in state.get_websockets_with_tag(TAG) {
            let attached = attached(&socket);
            match (id_of(state, &socket), attached.as_deref().and_then(|text| text.strip_prefix("idle "))) {
                (Some(id), Some(who)) => {
                    let (name, limits) = who.split_once('\n').unwrap_or((who, ""));
                    publishers.add(Publisher::idle(id, name.to_owned(), Grant::from_text(limits), socket));
                }
                (_, _) => close(&socket, frame::close::RESYNC, LOST),
            }
        }
        Rc::new(publishers)
    }

    fn accept(&self, state: &State, name: String, grant: Grant, socket: WebSocket) -> Result<()> {
        let id = PublisherId(self.next.get());
        state.accept_websocket_with_tags(&socket, &[TAG, &id.0.to_string()]);
        let publisher = Publisher::idle(id, name, grant, socket);
        publisher.attach()?;
        self.add(publisher);
        Ok(())
    }

    fn add(&self, publisher: Publisher) {
        self.next.set(self.next.get().max(publisher.id.0.wrapping_add(1)));
        self.open.borrow_mut().push(publisher);
    }

    /// Notes that a socket is owed an answer to a publish of so many bytes. Returns who publishes too,
    /// unless too much is unanswered already.
    fn owe(self: &Rc<Self>, id: PublisherId, bytes: usize) -> Option<(Owed, Option<(String, Grant)>)> {
        let mut open = self.open.borrow_mut();
        let publisher = find(&mut open, id)?;
        let owed = Owed { publishers: Rc::clone(self), id, paid: false };
        publisher.unanswered += 1;
        publisher.unanswered_bytes += bytes;
        let fits =
            publisher.unanswered <= MAX_UNANSWERED && publisher.unanswered_bytes <= MAX_UNANSWERED_BYTES;
        if publisher.mark(true).is_err() {
            // Its debt closes it.
            drop(open);
            return None;
        }
        Some((owed, fits.then(|| (publisher.name.clone(), publisher.grant.clone()))))
    }

    /// Takes one of the publishes that a name may make in a second over its sockets; or says how long there is none.
    fn rated(&self, name: &str, per_second: u32) -> std::result::Result<(), Duration> {
        self.rates.borrow_mut().acquire(now(), RateKey::of(name), per_second)
    }

    /// Returns when a token ends next.
    pub(crate) fn expiry(&self) -> Option<UnixMillis> {
        self.open.borrow().iter().filter_map(|publisher| publisher.grant.until).min()
    }

    /// Closes the sockets whose token has ended: who was owed an answer sends again what was not answered.
    pub(crate) fn close_expired(&self, now: UnixMillis) {
        let over = |publisher: &mut Publisher| publisher.grant.is_over(now);
        for publisher in self.open.borrow_mut().extract_if(.., over) {
            let text = frame::error(Code::Unauthorized.text(), frame::EXPIRED, None);
            let _ = publisher.socket.send_with_str(text);
            close(&publisher.socket, frame::close::EXPIRED, frame::EXPIRED);
        }
    }

    /// Sends everyone who waits what it is owed, each in one frame; returns who they are.
    ///
    /// A flush answers everything that was heard, so nobody is owed more than is due.
    pub(crate) fn answer(&self, due: Vec<(Owed, Vec<Outcome>)>) -> Vec<Told> {
        let mut answered = Vec::new();
        let mut open = self.open.borrow_mut();
        for (owed, outcomes) in &due {
            let Some(publisher) = find(&mut open, owed.id) else { continue };
            if publisher.answers.is_empty() {
                answered.push((owed.id, publisher.told + 1));
            }
            for outcome in outcomes {
                if !publisher.answers.is_empty() {
                    publisher.answers.push(',');
                }
                publisher.answers.push_str(&answer_json(outcome));
            }
        }
        for (id, told) in &answered {
            let Some(publisher) = find(&mut open, *id) else { continue };
            publisher.told = *told;
            (publisher.unanswered, publisher.unanswered_bytes) = (0, 0);
            let answers = std::mem::take(&mut publisher.answers);
            // A socket that cannot take it is closing: its own close event follows.
            let _ = publisher.socket.send_with_str(lines::answers_text(&answers));
        }
        drop(open);
        for (owed, _) in due {
            owed.pay();
        }
        answered
    }

    fn calm(&self, answered: &[Told]) {
        let mut open = self.open.borrow_mut();
        for (id, told) in answered {
            // Who was told more since then is calmed by whoever told it: that may not be durable yet.
            if let Some(publisher) = find(&mut open, *id)
                && publisher.unanswered == 0
                && publisher.told == *told
                && let Err(error) = publisher.mark(false)
            {
                console_error!("a publisher stays marked: {error}");
            }
        }
    }

    /// Forgets a socket that closed, if it is one of these.
    pub(crate) fn forget(&self, state: &State, socket: &WebSocket) {
        let Some(id) = id_of(state, socket) else { return };
        self.open.borrow_mut().retain(|publisher| publisher.id != id || publisher.socket != *socket);
    }

    fn close(&self, id: PublisherId, code: u16, reason: &str) {
        // A panic may have happened with the map in hand; then the mark is what tells.
        let Ok(mut open) = self.open.try_borrow_mut() else { return };
        if let Some(at) = open.iter().position(|publisher| publisher.id == id) {
            close(&open.swap_remove(at).socket, code, reason);
        }
    }
}

/// Why a socket is closed that was owed an answer.
const LOST: &str = "publishes were lost: send again what was not answered";

impl Publisher {
    fn idle(id: PublisherId, name: String, grant: Grant, socket: WebSocket) -> Self {
        let answers = String::new();
        Self { id, socket, name, grant, unanswered: 0, unanswered_bytes: 0, told: 0, marked: false, answers }
    }

    fn mark(&mut self, marked: bool) -> Result<()> {
        if self.marked == marked {
            return Ok(());
        }
        self.marked = marked;
        self.attach()
    }

    fn attach(&self) -> Result<()> {
        let stage = if self.marked { "busy" } else { "idle" };
        let limits = self.grant.to_text().unwrap_or_default();
        attach(&self.socket, Some(&format!("{stage} {}\n{limits}", self.name)))
    }
}

impl Owed {
    fn pay(mut self) {
        self.paid = true;
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.paid {
            self.publishers.close(self.id, frame::close::RESYNC, LOST);
        }
    }
}

fn find(open: &mut [Publisher], id: PublisherId) -> Option<&mut Publisher> {
    open.iter_mut().find(|publisher| publisher.id == id)
}

/// Says whether a socket publishes.
pub(crate) fn is_publisher(state: &State, socket: &WebSocket) -> bool {
    id_of(state, socket).is_some()
}

fn id_of(state: &State, socket: &WebSocket) -> Option<PublisherId> {
    match state.get_tags(socket).as_slice() {
        [tag, id] if tag == TAG => id.parse().ok().map(PublisherId),
        _ => None,
    }
}

fn close(socket: &WebSocket, code: u16, reason: &str) {
    // A socket that is closed already has nothing left to say.
    let _ = socket.close(Some(code), Some(reason));
}
