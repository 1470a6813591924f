//! The edge's own Durable Object: follows the broker, keeps floors and position, and tends the edge's KV.
//!
//! The replica keeps floors and position in SQLite, so an eviction costs a reconnection and a replay.

#![expect(
    missing_docs,
    reason = "the durable_object macro writes public methods without any; this file has no others"
)]

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use newsreel_core::wire::Problem;
use newsreel_sqlite_rows::OpenError;
use worker::{
    DurableObject, Env, Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, console_error,
    durable_object,
};

use crate::http::problem_response;
use crate::protocol::Call;
use crate::replica::driver::Inner;
use crate::replica::windows::Windows;

/// The replica of one catalog at one edge.
#[durable_object]
pub struct Replica {
    /// A problem where a newer build wrote the rows. The object then leaves them alone, and reads fail or are
    /// marked stale, as their classes say.
    inner: std::result::Result<Rc<Inner>, Problem>,
}

// A step that panics leaves the follower in doubt, and the next step starts it again from the rows.
impl UnwindSafe for Replica {}
impl RefUnwindSafe for Replica {}

impl DurableObject for Replica {
    fn new(state: State, env: Env) -> Self {
        match Inner::wake(state, env) {
            Ok(inner) => Self { inner: Ok(Rc::new(inner)) },
            Err(OpenError::Refused(problem)) => Self { inner: Err(problem) },
            // The event fails, and the next one tries again.
            Err(OpenError::Failed(error)) => panic!("the replica's rows can be read: {error}"),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let inner = match &self.inner {
            Ok(inner) => inner,
            Err(problem) => {
                console_error!("{}", problem.detail());
                return problem_response(problem);
            }
        };
        if let Some(ask) = Windows::asked(&request)? {
            return inner.open_window(ask).await;
        }
        inner.effort.requested();
        let said = request.text().await?;
        match Call::at(&request.path()) {
            Some(Call::Sync) => inner.sync(serde_json::from_str(&said)?).await,
            Some(Call::Report) => inner.take_report(&said),
            Some(Call::Metrics) => inner.show_counts(),
            Some(Call::Series) => inner.show_series(&said),
            Some(Call::Explain) => inner.explain(&said).await,
            Some(Call::DryRun) => inner.dry_run(&said),
            Some(Call::HotList) => inner.take_hot_list(&said).await,
            Some(Call::Checkable) => inner.checkable(&said),
            Some(Call::NoteFinding) => inner.take_finding(&said),
            Some(Call::Findings) => inner.show_findings(),
            Some(Call::Turn) => inner.take_turn(serde_json::from_str(&said)?),
            None => Err(format!("a replica has no {}", request.path()).into()),
        }
    }

    async fn websocket_message(&self, _window: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        if let (Ok(inner), WebSocketIncomingMessage::String(report)) = (&self.inner, message) {
            inner.effort.heard();
            inner.take_report(&report)?;
        }
        Ok(())
    }

    async fn websocket_close(
        &self,
        window: WebSocket,
        _code: usize,
        _reason: String,
        _clean: bool,
    ) -> Result<()> {
        let _ = window.close(Some(1000), Some("bye"));
        Ok(())
    }

    async fn websocket_error(&self, _window: WebSocket, _error: worker::Error) -> Result<()> {
        Ok(())
    }

    async fn alarm(&self) -> Result<Response> {
        if let Ok(inner) = &self.inner {
            inner.on_alarm().await;
        }
        Response::empty()
    }
}
