//! The Durable Object of one catalog: five handlers, and the way of each request to its answer.

#![expect(
    missing_docs,
    reason = "the durable_object macro writes public methods without any; this file has no others"
)]

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use newsreel_core::follow::hub::HubInput;
use newsreel_core::wire::{Address, Code, Problem, Route, frame};
use newsreel_gate::Answer;
use worker::{
    DurableObject, Env, Error, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage,
    durable_object,
};

use crate::config::{Config, config};
use crate::driver::BrokerDriver;
use crate::driver::rows::OpenError;
use crate::follow::reader::LogReader;
use crate::follow::{open, page, sse, status};
use crate::http::answer_or_problem;
use crate::publish::Publishing;
use crate::tags::SocketTag;

/// The broker of one catalog.
#[durable_object]
pub struct Broker {
    /// A problem where a newer build wrote the rows. The object then leaves them alone, and
    /// tells every caller so.
    parts: std::result::Result<Parts, Problem>,
}

// A step that panics poisons the driver, and the next step makes the hub anew from the rows.
impl UnwindSafe for Broker {}
impl RefUnwindSafe for Broker {}

struct Parts {
    driver: Rc<BrokerDriver>,
    publishing: Rc<Publishing>,
    reader: Rc<LogReader>,
}

impl DurableObject for Broker {
    fn new(state: State, env: Env) -> Self {
        // Alarms and open sockets do not pass the front door, which checks the variables.
        let config = config(&env).map_or_else(|_| Config::misconfigured(), |config| *config);
        let parts = match BrokerDriver::wake(state, config) {
            Ok(driver) => Ok(Parts::new(Rc::new(driver))),
            Err(OpenError::Refused(problem)) => Err(problem),
            // The event fails, and the next one tries again.
            Err(OpenError::Failed(error)) => panic!("the broker's rows can be read: {error}"),
        };
        Self { parts }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let answer = match &self.parts {
            Ok(parts) => parts.answer(request).await,
            Err(problem) => Err(problem.clone().into()),
        };
        answer_or_problem(answer)
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let Ok(parts) = &self.parts else {
            // The client reconnects, and is then told why it is refused.
            let _ = socket.close(Some(frame::close::RESYNC), Some(Code::NewerSchema.title()));
            return Ok(());
        };
        match (parts.driver.tag_of(&socket), message) {
            (Some(SocketTag::Follower(session)), WebSocketIncomingMessage::String(text)) => {
                parts.driver.step(HubInput::Text { session, text })
            }
            // No frame is binary: the hub refuses a text that is no JSON.
            (Some(SocketTag::Follower(session)), WebSocketIncomingMessage::Binary(_)) => {
                parts.driver.step(HubInput::Text { session, text: String::new() })
            }
            (Some(SocketTag::Publisher(id)), message) => parts.publishing.on_message(id, &socket, message),
            (None, _) => Ok(()),
        }
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
        // The rows of a newer build are left alone: the build that may use them sets the alarm again.
        if let Ok(parts) = &self.parts {
            parts.publishing.alarm();
        }
        Response::empty()
    }
}

impl Broker {
    fn closed(&self, socket: &WebSocket) -> Result<()> {
        let Ok(parts) = &self.parts else { return Ok(()) };
        match parts.driver.tag_of(socket) {
            Some(SocketTag::Follower(session)) if parts.driver.sockets().forget(session, socket) => {
                return parts.driver.step(HubInput::Closed { session });
            }
            Some(SocketTag::Publisher(id)) => parts.publishing.closed(id, socket),
            Some(SocketTag::Follower(_)) | None => {}
        }
        Ok(())
    }
}

impl Parts {
    fn new(driver: Rc<BrokerDriver>) -> Self {
        let publishing = Rc::new(Publishing::wake(Rc::clone(&driver)));
        let reader = Rc::new(LogReader::new(Rc::clone(&driver)));
        Self { driver, publishing, reader }
    }

    async fn answer(&self, mut request: Request) -> Answer {
        let address = Address::from(request.url()?);
        match Route::parse(&request.inner().method(), address.path(), address.query())? {
            Route::Publish(_, query) => self.publishing.publish(&mut request, query).await,
            Route::PublishSocket(_) => self.publishing.open(&request),
            Route::Changes(_, query) if sse::wants_events(&request)? => {
                self.reader.events(&request, query).await
            }
            Route::Changes(_, query) => page::page(&self.reader, &request, query).await,
            Route::Status(_) => status::status(&self.driver),
            Route::Follow(_, query) => open::open(&self.driver, &request, query),
            Route::Followers(_) => status::followers(&self.driver, &self.reader),
            Route::NewEpoch(_) => status::new_epoch(&self.driver),
            Route::Edge(..) | Route::Healthz | Route::Readyz => {
                Err(Problem::new(Code::UnknownPath, "the broker has no such address").into())
            }
        }
    }
}
