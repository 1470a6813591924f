//! The events of one catalog's object, each handed to the part that it is for: publishing, the hub, or the reader of the log.

use std::rc::Rc;

use newsreel_core::follow::hub::HubInput;
use newsreel_core::wire::{Address, Code, Problem, Route};
use newsreel_gate::Answer;
use worker::{Request, Result, WebSocket, WebSocketIncomingMessage as Message, web_sys};

use crate::dead_letters;
use crate::driver::BrokerDriver;
use crate::follow::reader::LogReader;
use crate::follow::{open, page, series, sse, status};
use crate::hooks::INTERNAL_CALL;
use crate::http::{RawAnswer, RequestHead};
use crate::publish::Publishing;
use crate::tags::SocketTag;

/// The parts of one catalog's object.
pub(crate) struct CatalogEvents {
    driver: Rc<BrokerDriver>,
    publishing: Rc<Publishing>,
    reader: Rc<LogReader>,
}

impl CatalogEvents {
    pub(crate) fn new(driver: Rc<BrokerDriver>) -> Self {
        let publishing = Rc::new(Publishing::wake(Rc::clone(&driver)));
        let reader = Rc::new(LogReader::new(Rc::clone(&driver)));
        Self { driver, publishing, reader }
    }

    /// Takes a text of a socket, or bytes.
    pub(crate) fn hear(&self, socket: &WebSocket, message: Message) -> Result<()> {
        self.driver.series.heard();
        match (self.driver.tag_of(socket), message) {
            (Some(SocketTag::Follower(session)), Message::String(text)) => self.driver.hear(session, text),
            // No frame is binary: the hub refuses a text that is no JSON.
            (Some(SocketTag::Follower(session)), Message::Binary(_)) => {
                self.driver.hear(session, String::new())
            }
            (Some(SocketTag::Publisher(id)), message) => self.publishing.on_message(id, socket, message),
            (None, _) => Ok(()),
        }
    }

    /// Forgets a socket that has closed.
    pub(crate) fn closed(&self, socket: &WebSocket) -> Result<()> {
        match self.driver.tag_of(socket) {
            Some(SocketTag::Follower(session)) if self.driver.sockets().forget(session, socket) => {
                return self.driver.step(HubInput::Closed { session });
            }
            Some(SocketTag::Publisher(id)) => self.publishing.closed(id, socket),
            Some(SocketTag::Follower(_)) | None => {}
        }
        Ok(())
    }

    /// Does the work that is due.
    pub(crate) fn alarm(&self) {
        self.publishing.alarm();
    }

    /// Takes publishes that the front door let through and has read, all in one call; returns the lines of its answer.
    pub(crate) async fn publish_together(&self, heads: &str, bodies: &[u8]) -> String {
        self.driver.series.requested();
        self.publishing.publish_together(heads, bodies).await
    }

    /// Answers a request that the front door let through.
    pub(crate) async fn answer(&self, request: web_sys::Request) -> RawAnswer {
        self.driver.series.requested();
        let head = RequestHead::of(&request)?;
        let address: Address = head.address.parse().map_err(worker::Error::from)?;
        // The front door lets nothing through that is no route, so only the Worker itself calls this.
        if address.path().ends_with(INTERNAL_CALL) {
            return dead_letters::call(&self.driver, request.into()).await.map(web_sys::Response::from);
        }
        let route = Route::parse(&head.method, address.path(), address.query())?;
        match route {
            Route::Publish(_, query) => self.publishing.publish(&request, head, query).await,
            Route::PublishSocket(_) => self.publishing.open(&request),
            Route::Follow(_, query) => open::open(&self.driver, &request, query),
            other @ (Route::Changes(..)
            | Route::Status(_)
            | Route::Followers(_)
            | Route::Series(..)
            | Route::NewEpoch(_)
            | Route::DeadLetters(..)
            | Route::Hook(..)
            | Route::SettleDeadLetters(_)
            | Route::Alerts(_)
            | Route::TellAlerts(_)
            | Route::TellSource(_)
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
            Route::Series(_, query) => series::series(&self.driver, &query),
            Route::DeadLetters(_, query) => dead_letters::list(&self.driver, query),
            Route::Hook(..)
            | Route::SettleDeadLetters(_)
            | Route::Publish(..)
            | Route::PublishSocket(_)
            | Route::Follow(..)
            | Route::Alerts(_)
            | Route::TellAlerts(_)
            | Route::TellSource(_)
            | Route::Edge(..)
            | Route::Healthz
            | Route::Readyz => Err(Problem::new(Code::UnknownPath, "the broker has no such address").into()),
        }
    }
}
