//! The hibernatable sockets of followers, by session. A socket's tag is its session's id; its attachment is the session.
//!
//! A dead socket never stops the rest: a text that cannot be sent is dropped here, and its follower resumes.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;

use js_sys::{Array, JsString};
use newsreel_core::follow::hub::{Session, SessionId};
use newsreel_core::wire::{Position, UnixMillis, frame};
use wasm_bindgen::prelude::*;
use worker::{State, WebSocket, console_warn};

use crate::js::{AutoResponder, Pair, attach, attached, send};
use crate::tags::{self, SocketTag, tag_of};

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests;

#[wasm_bindgen(module = "/src/driver/sockets.js")]
extern "C" {
    #[wasm_bindgen(js_name = sendToAll)]
    fn send_to_all(sockets: &Array, text: &str);
}

/// The open sockets of followers, by session.
pub(crate) struct Sockets {
    open: RefCell<BTreeMap<SessionId, WebSocket>>,
    /// The sessions that were sent the last text for many, and their sockets as JavaScript has them. Empty when a
    /// socket opened or closed since.
    audience: RefCell<(Vec<SessionId>, Array)>,
    responder: AutoResponder,
}

impl Sockets {
    /// Finds the sockets that stayed open while the object slept.
    pub(crate) fn wake(state: &State) -> Self {
        let mut open = BTreeMap::new();
        for socket in state.get_websockets() {
            match (tag_of(state, &socket), session(&socket)) {
                (Some(SocketTag::Follower(id)), Some(_)) => {
                    open.insert(id, socket);
                }
                (Some(SocketTag::Publisher(_)), _) => {}
                // A follower without its session cannot be served: it comes back and resumes. A socket that
                // was closed and whose close has not been answered has none either.
                (_, _) => close(&socket, frame::close::RESYNC, "the session was lost"),
            }
        }
        let responder = AsRef::<JsValue>::as_ref(state.as_raw()).clone().unchecked_into();
        Self { open: RefCell::new(open), audience: RefCell::default(), responder }
    }

    /// Returns the sessions, as the open sockets carry them.
    pub(crate) fn sessions(&self) -> BTreeMap<SessionId, Session> {
        let open = self.open.borrow();
        open.iter().filter_map(|(id, socket)| session(socket).map(|session| (*id, session))).collect()
    }

    /// Accepts a socket so that it outlives the object's time in memory.
    pub(crate) fn accept(&self, state: &State, id: SessionId, socket: WebSocket) {
        tags::accept(state, &socket, SocketTag::Follower(id));
        self.open_mut().insert(id, socket);
    }

    /// Forgets a socket that closed; returns whether its session was still its own. After a wake an id may have
    /// gone to a newer socket before the close of the older one is heard.
    pub(crate) fn forget(&self, id: SessionId, socket: &WebSocket) -> bool {
        let mut open = self.open_mut();
        let own = open.get(&id) == Some(socket);
        if own {
            open.remove(&id);
        }
        own
    }

    /// Sends one text to many: it is handed to JavaScript once.
    pub(crate) fn broadcast(&self, sessions: &[SessionId], text: &str) {
        let mut audience = self.audience.borrow_mut();
        if audience.0 != sessions {
            let open = self.open.borrow();
            let sockets = sessions.iter().filter_map(|id| open.get(id));
            let sockets = sockets.map(|socket| JsValue::from(socket.as_ref())).collect();
            *audience = (sessions.to_vec(), sockets);
        }
        send_to_all(&audience.1, text);
    }

    /// The sockets, to open or close one.
    fn open_mut(&self) -> RefMut<'_, BTreeMap<SessionId, WebSocket>> {
        self.audience.take();
        self.open.borrow_mut()
    }

    /// Sends a text to one session, if its socket is open.
    pub(crate) fn send_text(&self, id: SessionId, text: &str) {
        self.send(id, &JsValue::from_str(text));
    }

    /// Sends a frame that JavaScript holds already.
    pub(crate) fn send_frame(&self, id: SessionId, frame: &JsString) {
        self.send(id, frame);
    }

    /// Returns when each socket's last ping was answered, without the object having woken for it.
    pub(crate) fn last_pings(&self) -> BTreeMap<SessionId, UnixMillis> {
        let open = self.open.borrow();
        let pinged = open.iter().filter_map(|(id, socket)| {
            let at = self.responder.last_ping(socket.as_ref()).ok()??;
            Some((*id, millis(&at)))
        });
        pinged.collect()
    }

    /// Writes a session where it survives the object.
    pub(crate) fn save(&self, id: SessionId, session: &Session) {
        if let Some(socket) = self.open.borrow().get(&id)
            && let Err(error) = attach(socket, Some(&session.to_json()))
        {
            console_warn!("session {} is not kept: {error}", id.0);
            close(socket, frame::close::RESYNC, "the session cannot be kept");
        }
    }

    /// Closes the socket of a session, and detaches the session before the peer answers the close.
    pub(crate) fn close(&self, id: SessionId, code: u16, reason: &str) {
        if let Some(socket) = self.open_mut().remove(&id) {
            // The socket stays among the object's sockets until its peer answers, and the object may sleep in between.
            let _ = attach(&socket, None);
            close(&socket, code, reason);
        }
    }

    /// Sets the answer that the platform gives to a `ping` without waking the object.
    pub(crate) fn set_pong(&self, head: &Position) -> worker::Result<()> {
        Ok(self.responder.set(&Pair::new(frame::PING, &frame::pong(head))?)?)
    }

    fn send(&self, id: SessionId, text: &JsValue) {
        let open = self.open.borrow();
        let Some(socket) = open.get(&id) else { return };
        // A socket that cannot take the text is closing: its own close event follows.
        let _ = send(socket, text);
    }
}

fn close(socket: &WebSocket, code: u16, reason: &str) {
    // A socket that is closed already needs no close, so its error is dropped.
    let _ = socket.close(Some(code), Some(reason));
}

/// Returns the session that a socket carries.
fn session(socket: &WebSocket) -> Option<Session> {
    serde_json::from_str(&attached(socket)?).ok()
}

fn millis(date: &js_sys::Date) -> UnixMillis {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a double saturates"
    )]
    UnixMillis(date.get_time() as u64)
}
