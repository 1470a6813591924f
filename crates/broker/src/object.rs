//! The Durable Object of one catalog: its five handlers, and the call by which the front door publishes.
//!
//! Only a request and that call need a promise: what a socket says is handled before its handler returns. The macro of `worker` for
//! Durable Objects makes a promise of every event.

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use newsreel_core::wire::{Code, Problem, frame};
use wasm_bindgen::prelude::*;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{Env, Result, State, WebSocket, WebSocketIncomingMessage as Message, web_sys, worker_sys};

use crate::config::{Config, config};
use crate::driver::BrokerDriver;
use crate::driver::rows::OpenError;
use crate::events::CatalogEvents;
use crate::http::answer_or_problem;
use crate::publish::{count, refused};

/// The broker of one catalog.
#[wasm_bindgen]
pub struct Broker {
    /// A problem where a newer build wrote the rows. The object then leaves them alone, and
    /// tells every caller so.
    events: std::result::Result<Rc<CatalogEvents>, Problem>,
}

// A step that panics poisons the driver, and the next step makes the hub anew from the rows.
impl UnwindSafe for Broker {}
impl RefUnwindSafe for Broker {}

#[wasm_bindgen]
impl Broker {
    /// Wakes the object: reads its rows, and finds the sockets that stayed open.
    ///
    /// # Panics
    /// When the rows cannot be read. The event fails, and the next one tries again.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(state: worker_sys::DurableObjectState, env: Env) -> Self {
        // Alarms and open sockets do not pass the front door, which checks the variables.
        let config = config(&env).map_or_else(|_| Config::misconfigured(), |config| *config);
        let events = match BrokerDriver::wake(State::from(state), config) {
            Ok(driver) => Ok(Rc::new(CatalogEvents::new(Rc::new(driver)))),
            Err(OpenError::Refused(problem)) => Err(problem),
            Err(OpenError::Failed(error)) => panic!("the broker's rows can be read: {error}"),
        };
        Self { events }
    }

    /// Answers a request.
    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let events = self.events.clone();
        let answered = async move {
            let answer = match events {
                Ok(events) => events.answer(request).await,
                Err(problem) => Err(problem.into()),
            };
            Ok(answer_or_problem(answer)?.into())
        };
        future_to_promise(AssertUnwindSafe(answered))
    }

    /// Takes publishes with small bodies, many at once; promises the lines of the answer.
    pub fn publish(&self, heads: String, bodies: Vec<u8>) -> Promise {
        let events = self.events.clone();
        let answered = async move {
            let lines = match events {
                Ok(events) => events.publish_together(&heads, &bodies).await,
                Err(problem) => refused(count(&heads), &problem),
            };
            Ok(lines.into())
        };
        future_to_promise(AssertUnwindSafe(answered))
    }

    /// Hears a text of a socket, or bytes.
    ///
    /// # Errors
    /// When the step failed: nothing was written, and no follower was told.
    #[wasm_bindgen(js_name = webSocketMessage)]
    pub fn message(&self, socket: web_sys::WebSocket, message: &JsValue) -> std::result::Result<(), JsValue> {
        let socket = WebSocket::from(socket);
        let Ok(events) = &self.events else {
            // The client reconnects, and is then told why it is refused.
            let _ = socket.close(Some(frame::close::RESYNC), Some(Code::NewerSchema.title()));
            return Ok(());
        };
        let message = match message.as_string() {
            Some(text) => Message::String(text),
            None => Message::Binary(Uint8Array::new(message).to_vec()),
        };
        Ok(events.hear(&socket, message)?)
    }

    /// Hears that a socket's peer has closed it.
    ///
    /// # Errors
    /// When the step failed, as of a message.
    #[wasm_bindgen(js_name = webSocketClose)]
    pub fn close(&self, socket: web_sys::WebSocket, code: u32) -> std::result::Result<(), JsValue> {
        let socket = WebSocket::from(socket);
        let code = u16::try_from(code).ok().filter(|code| *code == 1000 || (3000..=4999).contains(code));
        let _ = socket.close(code.or(Some(1000)), Some("bye"));
        Ok(self.closed(&socket)?)
    }

    /// Hears that a socket broke.
    ///
    /// # Errors
    /// When the step failed, as of a message.
    #[wasm_bindgen(js_name = webSocketError)]
    pub fn broke(&self, socket: web_sys::WebSocket) -> std::result::Result<(), JsValue> {
        Ok(self.closed(&WebSocket::from(socket))?)
    }

    /// Does the work that is due.
    pub fn alarm(&self) {
        // The rows of a newer build are left alone: the build that may use them sets the alarm again.
        if let Ok(events) = &self.events {
            events.alarm();
        }
    }
}

impl Broker {
    fn closed(&self, socket: &WebSocket) -> Result<()> {
        self.events.as_ref().map_or(Ok(()), |events| events.closed(socket))
    }
}
