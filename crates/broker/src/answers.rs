//! The object's other answers: a socket that follows, its status, its followers.

use newsreel_core::hub::Input;
use newsreel_core::topics::Topics;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::route::{FollowQuery, Start};
use newsreel_core::wire::{Code, Position, Problem, Status, Version, internal};
use worker::{Request, Response, WebSocketPair};

use crate::convert::{json_response, now};
use crate::object::{Answer, Inner};

impl Inner {
    /// Opens a socket that follows the log.
    pub(crate) fn follow(&self, request: &Request, query: FollowQuery) -> Answer {
        let upgrade = request.headers().get("Upgrade")?.unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Ok(Err(Problem::new(Code::UpgradeRequired, "connect with a WebSocket to follow")));
        }
        let pair = WebSocketPair::new()?;
        let id = self.hub.borrow().free_session();
        self.sockets.accept(&self.state, id, pair.server);
        let logged = match query.from {
            Start::Head => None,
            Start::At(claim) => self.logged(claim)?,
        };
        let (name, topics) = (query.name, Topics::new(query.topics));
        let replica = request.headers().has(internal::REPLICA)?;
        if replica {
            self.rows.saw_replica(&name, now())?;
        }
        self.step(now(), Input::Open { session: id, from: query.from, logged, name, topics, replica })?;
        let response = Response::from_websocket(pair.client)?;
        let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
        if offered.split(',').any(|one| one.trim() == SUBPROTOCOL) {
            response.headers().set("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
        }
        Ok(Ok(response))
    }

    /// Says where the log is.
    pub(crate) fn status(&self) -> Answer {
        let hub = self.hub.borrow();
        let position = hub.head();
        let Position { epoch, version, .. } = position;
        let oldest = Version::ZERO.next();
        let (catalog, followers) = (self.catalog.clone(), hub.sessions().len());
        let status = Status { catalog, epoch, version, position, oldest, followers };
        Ok(Ok(json_response(serde_json::to_string(&status)?)?))
    }

    /// Lists who follows, and how far each has acknowledged.
    pub(crate) fn followers(&self) -> Answer {
        let hub = self.hub.borrow();
        let head = hub.head().version.number();
        let list: Vec<serde_json::Value> = hub
            .sessions()
            .values()
            .map(|session| {
                serde_json::json!({
                    "name": session.name,
                    "replica": session.replica,
                    "acked": session.acked,
                    "lag": head.saturating_sub(session.acked.number()),
                    "since": session.since,
                    "stage": session.stage,
                })
            })
            .collect();
        let position = hub.head();
        let (polls, streams) = (self.readers.polls.taken(), self.readers.streams.taken());
        let answer = serde_json::json!({
            "position": position,
            "followers": list,
            "polls": polls,
            "streams": streams,
        });
        Ok(Ok(json_response(answer.to_string())?))
    }
}
