//! The life of a publishing socket: it opens, sends one publish per text, and ends with its token.

use std::rc::Rc;

use newsreel_core::access::rate;
use newsreel_core::wire::publish::{MAX_BODY_BYTES, PublishError};
use newsreel_core::wire::{Problem, frame};
use newsreel_gate::now;
use worker::{Result, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::http::{RawAnswer, SocketHead};
use crate::publish::problems::busy;
use crate::publish::publishers::{PublisherId, Sender};
use crate::publish::queue::{AnswerTo, PUBLISH_BYTES, Publishing, Queued, QueuedPublish};

impl Publishing {
    /// Opens a socket that publishes.
    pub(crate) fn open(&self, request: &web_sys::Request) -> RawAnswer {
        let head = SocketHead::of(request)?;
        let (socket, response) = head.make_socket()?;
        let sender = Sender { name: head.caller, grant: head.grant };
        self.publishers.accept(&self.driver.state, sender, socket)?;
        self.driver.arm(self.publishers.expiry());
        Ok(response)
    }

    /// Takes a message of a publishing socket.
    pub(crate) fn on_message(
        self: &Rc<Self>,
        id: PublisherId,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<()> {
        // This may close the sender's own socket. The message then finds no publisher below, and is dropped.
        self.publishers.close_expired();
        let WebSocketIncomingMessage::String(text) = message else {
            let why = "a publish is a text, not binary";
            let _ = socket.send_with_str(frame::error("bad-frame", why, None));
            self.publishers.close(id, frame::close::BAD_FRAME, why);
            return Ok(());
        };
        if text == frame::PING {
            let _ = socket.send_with_str(frame::pong(&self.driver.head()?));
            return Ok(());
        }
        // An oversized publish can never be accepted, so it takes no room, and is refused as too large and not as
        // one too many.
        let bytes = if text.len() > MAX_BODY_BYTES { 0 } else { text.len() };
        let Some((pending, sender)) = self.publishers.owe(id, bytes) else { return Ok(()) };
        // A refusal queues too, so that answers stay in the order of the publishes.
        let publish = if text.len() > MAX_BODY_BYTES {
            Err(PublishError::TooLarge(text.len()).into())
        } else {
            self.read_text(sender, &text)
        };
        let bytes = PUBLISH_BYTES + if publish.is_ok() { bytes } else { 0 };
        self.enqueue(Queued {
            publishes: vec![publish],
            bytes,
            answer: AnswerTo::Socket(pending),
            since: now(),
        });
        Ok(())
    }

    /// Reads a publish of a sender, unless there is no room for it or the sender has published too much lately.
    fn read_text(&self, sender: Option<Sender>, text: &str) -> QueuedPublish {
        let sender = sender.filter(|_| self.has_room(text.len() + PUBLISH_BYTES));
        let Sender { name, grant } = sender.ok_or_else(busy)?;
        let per_second = self.driver.config.publish_per_second;
        self.publishers.rated(&name, per_second).map_err(|wait| -> Problem { rate::limited(wait) })?;
        self.line(&name, &grant, text.as_bytes(), None)
    }

    /// Forgets a socket that closed.
    pub(crate) fn closed(&self, id: PublisherId, socket: &WebSocket) {
        self.publishers.forget(id, socket);
    }

    /// Closes the publishing sockets whose token has ended, and does the other work that is
    /// due in the catalog.
    pub(crate) fn alarm(&self) {
        self.publishers.close_expired();
        self.driver.alarm(self.publishers.expiry());
    }
}
