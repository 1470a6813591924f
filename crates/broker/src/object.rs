//! The Durable Object of one catalog: five handlers, and the way of each request to its answer.
//!
//! Only a request needs a promise: what a socket says is handled before its handler returns. The macro of `worker` for
//! Durable Objects makes a promise of every event.

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use newsreel_core::follow::hub::HubInput;
use newsreel_core::wire::{Address, Code, Problem, Route, frame};
use newsreel_gate::Answer;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{
    Env, Request, Result, State, WebSocket, WebSocketIncomingMessage as Message, web_sys, worker_sys,
};

use crate::config::{Config, config};
use crate::driver::BrokerDriver;
use crate::driver::rows::OpenError;
use crate::follow::reader::LogReader;
use crate::follow::{open, page, sse, status};
use crate::http::{RawAnswer, RequestHead, answer_or_problem};
use crate::publish::Publishing;
use crate::tags::SocketTag;

/// The broker of one catalog.
#[wasm_bindgen]
pub struct Broker {
    /// A problem where a newer build wrote the rows. The object then leaves them alone, and
    /// tells every caller so.
    parts: std::result::Result<Rc<Parts>, Problem>,
}

// A step that panics poisons the driver, and the next step makes the hub anew from the rows.
impl UnwindSafe for Broker {}
impl RefUnwindSafe for Broker {}

struct Parts {
    driver: Rc<BrokerDriver>,
    publishing: Rc<Publishing>,
    reader: Rc<LogReader>,
}

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
        let parts = match BrokerDriver::wake(State::from(state), config) {
            Ok(driver) => Ok(Rc::new(Parts::new(Rc::new(driver)))),
            Err(OpenError::Refused(problem)) => Err(problem),
            Err(OpenError::Failed(error)) => panic!("the broker's rows can be read: {error}"),
        };
        Self { parts }
    }

    /// Answers a request.
    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let parts = self.parts.clone();
        let answered = async move {
            let answer = match parts {
                Ok(parts) => parts.answer(request).await,
                Err(problem) => Err(problem.into()),
            };
            Ok(answer_or_problem(answer)?.into())
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
        let Ok(parts) = &self.parts else {
            // The client reconnects, and is then told why it is refused.
            let _ = socket.close(Some(frame::close::RESYNC), Some(Code::NewerSchema.title()));
            return Ok(());
        };
        let message = match message.as_string() {
            Some(text) => Message::String(text),
            None => Message::Binary(Uint8Array::new(message).to_vec()),
        };
        Ok(parts.hear(&socket, message)?)
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
        if let Ok(parts) = &self.parts {
            parts.publishing.alarm();
        }
    }
}

impl Broker {
    fn closed(&self, socket: &WebSocket) -> Result<()> {
        self.parts.as_ref().map_or(Ok(()), |parts| parts.closed(socket))
    }
}

impl Parts {
    fn new(driver: Rc<BrokerDriver>) -> Self {
        let publishing = Rc::new(Publishing::wake(Rc::clone(&driver)));
        let reader = Rc::new(LogReader::new(Rc::clone(&driver)));
        Self { driver, publishing, reader }
    }

    fn hear(&self, socket: &WebSocket, message: Message) -> Result<()> {
        match (self.driver.tag_of(socket), message) {
            (Some(SocketTag::Follower(session)), Message::String(text)) => {
                self.driver.step(HubInput::Text { session, text })
            }
            // No frame is binary: the hub refuses a text that is no JSON.
            (Some(SocketTag::Follower(session)), Message::Binary(_)) => {
                self.driver.step(HubInput::Text { session, text: String::new() })
            }
            (Some(SocketTag::Publisher(id)), message) => self.publishing.on_message(id, socket, message),
            (None, _) => Ok(()),
        }
    }

    fn closed(&self, socket: &WebSocket) -> Result<()> {
        match self.driver.tag_of(socket) {
            Some(SocketTag::Follower(session)) if self.driver.sockets().forget(session, socket) => {
                return self.driver.step(HubInput::Closed { session });
            }
            Some(SocketTag::Publisher(id)) => self.publishing.closed(id, socket),
            Some(SocketTag::Follower(_)) | None => {}
        }
        Ok(())
    }

    async fn answer(&self, request: web_sys::Request) -> RawAnswer {
        let head = RequestHead::of(&request)?;
        let address: Address = head.address.parse().map_err(worker::Error::from)?;
        let route = Route::parse(&head.method, address.path(), address.query())?;
        match route {
            Route::Publish(_, query) => self.publishing.publish(&request, head, query).await,
            Route::PublishSocket(_) => self.publishing.open(&request),
            Route::Follow(_, query) => open::open(&self.driver, &request, query),
            other @ (Route::Changes(..)
            | Route::Status(_)
            | Route::Followers(_)
            | Route::NewEpoch(_)
            | Route::Edge(..)
            | Route::Healthz
            | Route::Readyz) => self.answer_other(request.into(), other).await.map(web_sys::Response::from),
        }
    }

    async fn answer_other(&self, request: Request, route: Route) -> Answer {
        match route {
            Route::Changes(_, query) if sse::wants_events(&request)? => {
                self.reader.events(&request, query).await
            }
            Route::Changes(_, query) => page::page(&self.reader, &request, query).await,
            Route::Status(_) => status::status(&self.driver),
            Route::Followers(_) => status::followers(&self.driver, &self.reader),
            Route::NewEpoch(_) => status::new_epoch(&self.driver),
            Route::Publish(..)
            | Route::PublishSocket(_)
            | Route::Follow(..)
            | Route::Edge(..)
            | Route::Healthz
            | Route::Readyz => Err(Problem::new(Code::UnknownPath, "the broker has no such address").into()),
        }
    }
}
