//! The publishing sockets: hibernatable, one publish per text, answers in order and joined per flush.
//!
//! A publish lives in memory until it is answered. A mark in the socket's attachment outlives the object: a
//! marked socket that is found at a wake-up was owed answers that died, so it is closed and its publisher
//! sends again the publishes that were not answered. The hub never hears of these sockets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::access::Grant;
use newsreel_core::access::rate::{RateKey, RateLimiter};
use newsreel_core::follow::hub::PublishOutcome;
use newsreel_core::wire::{Code, UnixMillis, frame, ndjson};
use newsreel_gate::now;
use worker::{Result, State, WebSocket, console_error};

use crate::js::{attach, attached};
use crate::tags::{self, SocketTag, tag_of};

/// How many publishes of one socket may be unanswered.
const MAX_UNANSWERED: usize = 10_000;
/// How many bytes of publishes of one socket may be unanswered.
const MAX_UNANSWERED_BYTES: usize = 4 << 20;
/// The reason told to a socket that is closed while it is owed an answer.
const LOST: &str = "publishes were lost: send again what was not answered";

/// The number of a publishing socket.
pub(crate) type PublisherId = u32;

/// The owner of a publishing socket.
#[derive(Clone)]
pub(super) struct Sender {
    /// The name of the token: idempotency keys are its own.
    pub(super) name: String,
    pub(super) grant: Grant,
}

/// Every open publishing socket.
#[derive(Default)]
pub(super) struct Publishers {
    open: RefCell<BTreeMap<PublisherId, Publisher>>,
    /// Ids are not given twice: the close of an old socket may still be on its way.
    next: Cell<PublisherId>,
    /// No token of an open socket ends before this moment; `None` while none ends.
    expiry: Cell<Option<UnixMillis>>,
    /// The token buckets of the names that publish.
    rates: RefCell<RateLimiter>,
}

struct Publisher {
    socket: WebSocket,
    sender: Sender,
    unanswered: usize,
    unanswered_bytes: usize,
    answer_frames_sent: u64,
    /// Whether the attachment says that answers are owed.
    is_marked_busy: bool,
    /// The answers of a flush, while they are gathered.
    answers: String,
}

/// A socket that was sent answers, and how many frames of them until then.
pub(super) type AnswerSent = (PublisherId, u64);

/// An answer that a socket is owed. Dropped unpaid, as by a panic, it closes the socket: nothing is lost silently.
pub(super) struct PendingAnswer {
    publishers: Rc<Publishers>,
    id: PublisherId,
    is_paid: bool,
}

impl Publishers {
    /// Finds the sockets that stayed open while the object slept, and closes those that were owed an answer.
    pub(super) fn wake(state: &State) -> Rc<Self> {
        let publishers = Self::default();
        for socket in state.get_websockets_with_tag(tags::PUBLISHER) {
            let attached = attached(&socket);
            let idle = attached.as_deref().and_then(|text| text.strip_prefix("idle "));
            match (tag_of(state, &socket), idle) {
                (Some(SocketTag::Publisher(id)), Some(sender)) => {
                    let (name, limits) = sender.split_once('\n').unwrap_or((sender, ""));
                    let sender = Sender { name: name.to_owned(), grant: Grant::from_text(limits) };
                    publishers.add(id, Publisher::idle(sender, socket));
                }
                (_, _) => close(&socket, frame::close::RESYNC, LOST),
            }
        }
        Rc::new(publishers)
    }

    pub(super) fn accept(&self, state: &State, sender: Sender, socket: WebSocket) -> Result<()> {
        let id = self.next.get();
        tags::accept(state, &socket, SocketTag::Publisher(id));
        let publisher = Publisher::idle(sender, socket);
        publisher.attach()?;
        self.add(id, publisher);
        Ok(())
    }

    fn add(&self, id: PublisherId, publisher: Publisher) {
        self.next.set(self.next.get().max(id.wrapping_add(1)));
        self.expiry.set(self.expiry.get().into_iter().chain(publisher.sender.grant.until).min());
        self.open.borrow_mut().insert(id, publisher);
    }

    /// Notes that a socket is owed an answer to a publish of `bytes`. Returns its sender too, unless the
    /// socket has too many publishes unanswered.
    pub(super) fn owe(
        self: &Rc<Self>,
        id: PublisherId,
        bytes: usize,
    ) -> Option<(PendingAnswer, Option<Sender>)> {
        let mut open = self.open.borrow_mut();
        let publisher = open.get_mut(&id)?;
        let pending = PendingAnswer { publishers: Rc::clone(self), id, is_paid: false };
        publisher.unanswered += 1;
        publisher.unanswered_bytes += bytes;
        let fits =
            publisher.unanswered <= MAX_UNANSWERED && publisher.unanswered_bytes <= MAX_UNANSWERED_BYTES;
        if publisher.mark_busy(true).is_err() {
            // The unpaid answer closes the socket, for which it needs the map.
            drop(open);
            return None;
        }
        Some((pending, fits.then(|| publisher.sender.clone())))
    }

    /// Takes one publish from the token bucket of a name, which all its sockets share; or returns
    /// how long to wait.
    pub(super) fn rated(&self, name: &str, per_second: u32) -> std::result::Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        self.rates.borrow_mut().acquire(now(), RateKey::of(name), per_second)
    }

    /// Returns when a token may end next.
    pub(super) fn expiry(&self) -> Option<UnixMillis> {
        self.expiry.get()
    }

    /// Closes the sockets whose token has ended. A publisher that was owed an answer sends
    /// its unanswered publishes again.
    pub(super) fn close_expired(&self) {
        let Some(expiry) = self.expiry.get() else { return };
        let now = now();
        if now < expiry {
            return;
        }
        let mut open = self.open.borrow_mut();
        open.retain(|_, publisher| {
            let is_over = publisher.sender.grant.is_over(now);
            if is_over {
                let text = frame::error(Code::Unauthorized.text(), frame::EXPIRED, None);
                let _ = publisher.socket.send_with_str(text);
                close(&publisher.socket, frame::close::EXPIRED, frame::EXPIRED);
            }
            !is_over
        });
        self.expiry.set(open.values().filter_map(|publisher| publisher.sender.grant.until).min());
    }

    /// Sends each socket the answers that it is owed, in one frame; returns those sockets.
    ///
    /// A flush answers everything that was heard, so no socket is owed more than is due.
    pub(super) fn answer(&self, due: Vec<(PendingAnswer, Vec<PublishOutcome>)>) -> Vec<AnswerSent> {
        let mut answered = Vec::new();
        let mut open = self.open.borrow_mut();
        for (pending, outcomes) in &due {
            let Some(publisher) = open.get_mut(&pending.id) else { continue };
            if publisher.answers.is_empty() {
                answered.push((pending.id, publisher.answer_frames_sent + 1));
            }
            for outcome in outcomes {
                if !publisher.answers.is_empty() {
                    publisher.answers.push(',');
                }
                publisher.answers.push_str(&outcome_json(outcome));
            }
        }
        for (id, frames) in &answered {
            let Some(publisher) = open.get_mut(id) else { continue };
            publisher.answer_frames_sent = *frames;
            (publisher.unanswered, publisher.unanswered_bytes) = (0, 0);
            let answers = std::mem::take(&mut publisher.answers);
            // A socket that cannot take the answers is closing: its own close event follows.
            let _ = publisher.socket.send_with_str(ndjson::answers_text(&answers));
        }
        drop(open);
        due.into_iter().for_each(|(pending, _)| pending.pay());
        answered
    }

    /// Takes the marks off sockets whose answers are durable.
    pub(super) fn clear_busy(&self, answered: &[AnswerSent]) {
        let mut open = self.open.borrow_mut();
        for (id, frames) in answered {
            // A socket that was answered again since then keeps its mark until that answer is durable too.
            if let Some(publisher) = open.get_mut(id)
                && publisher.unanswered == 0
                && publisher.answer_frames_sent == *frames
                && let Err(error) = publisher.mark_busy(false)
            {
                console_error!("a publisher stays marked: {error}");
            }
        }
    }

    /// Forgets a socket that closed. After a wake its id may have gone to a newer one.
    pub(super) fn forget(&self, id: PublisherId, socket: &WebSocket) {
        let mut open = self.open.borrow_mut();
        if open.get(&id).is_some_and(|publisher| publisher.socket == *socket) {
            open.remove(&id);
        }
    }

    pub(super) fn close(&self, id: PublisherId, code: u16, reason: &str) {
        // A panic may have left the map borrowed; then the busy mark tells the next wake to close the socket.
        let Ok(mut open) = self.open.try_borrow_mut() else { return };
        if let Some(publisher) = open.remove(&id) {
            close(&publisher.socket, code, reason);
        }
    }
}

impl Publisher {
    fn idle(sender: Sender, socket: WebSocket) -> Self {
        Self {
            socket,
            sender,
            unanswered: 0,
            unanswered_bytes: 0,
            answer_frames_sent: 0,
            is_marked_busy: false,
            answers: String::new(),
        }
    }

    fn mark_busy(&mut self, busy: bool) -> Result<()> {
        if self.is_marked_busy == busy {
            return Ok(());
        }
        self.is_marked_busy = busy;
        self.attach()
    }

    fn attach(&self) -> Result<()> {
        let stage = if self.is_marked_busy { "busy" } else { "idle" };
        let limits = self.sender.grant.to_text().unwrap_or_default();
        attach(&self.socket, Some(&format!("{stage} {}\n{limits}", self.sender.name)))
    }
}

impl PendingAnswer {
    fn pay(mut self) {
        self.is_paid = true;
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if !self.is_paid {
            self.publishers.close(self.id, frame::close::RESYNC, LOST);
        }
    }
}

/// Writes an outcome as one answer among many.
pub(super) fn outcome_json(outcome: &PublishOutcome) -> String {
    match outcome {
        PublishOutcome::Committed(receipt) | PublishOutcome::Repeated(receipt) => {
            serde_json::to_string(receipt).expect("a receipt serializes")
        }
        PublishOutcome::Refused(problem) => problem.to_json(),
    }
}

fn close(socket: &WebSocket, code: u16, reason: &str) {
    // A socket that is closed already needs no close, so its error is dropped.
    let _ = socket.close(Some(code), Some(reason));
}
