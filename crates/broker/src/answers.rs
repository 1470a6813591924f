//! The object's other answers: a socket that follows, a page of the log, its status, its followers.

use newsreel_core::hub::Input;
use newsreel_core::log::Standing;
use newsreel_core::topics::Topics;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::route::{Claim, FollowQuery, PageQuery, Start};
use newsreel_core::wire::{Code, Hash, Position, Problem, Status, Version, internal, page};
use worker::{Request, Response, Result, WebSocket, WebSocketPair};

use crate::convert::{json_response, now};
use crate::object::{Answer, Inner};

impl Inner {
    /// Opens a socket that follows the log.
    pub(crate) fn follow(&self, request: &Request, query: FollowQuery) -> Answer {
        if let Some(problem) = wants_socket(request)? {
            return Ok(Err(problem));
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
        Ok(Ok(socket_response(request, pair.client)?))
    }

    fn logged(&self, claim: Claim) -> Result<Option<Hash>> {
        self.rows.hash_at(&self.hub.borrow().head(), claim.version())
    }

    /// Answers with a page of the log.
    pub(crate) fn changes(&self, query: &PageQuery) -> Answer {
        let logged = self.logged(query.since)?;
        let hub = self.hub.borrow();
        let head = hub.head();
        let from = query.since.version();
        let after = match hub.log().standing(query.since, logged) {
            Standing::Current => {
                return Ok(Ok(json_response(page::text(from, &head, head.version, ""))?));
            }
            Standing::Behind { after } => after,
            Standing::Elsewhere(reason) => {
                let problem =
                    Problem::new(Code::Reset, "forget everything cached; continue from this position")
                        .with("reason", reason.text())
                        .with("epoch", head.epoch)
                        .with("version", head.version)
                        .with("hash", head.hash);
                return Ok(Err(problem));
            }
        };
        let page = self.rows.page(&head, after, query.limit)?.ok_or("a version below the head has no row")?;
        let text = page::text(from, &page.to, head.version, &String::from(page.rows));
        Ok(Ok(json_response(text)?))
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
        Ok(Ok(json_response(serde_json::json!({ "position": position, "followers": list }).to_string())?))
    }
}

/// Says what is wrong with a request that should open a WebSocket, if anything.
pub(crate) fn wants_socket(request: &Request) -> Result<Option<Problem>> {
    let upgrade = request.headers().get("Upgrade")?.unwrap_or_default();
    let wrong = !upgrade.eq_ignore_ascii_case("websocket");
    Ok(wrong.then(|| Problem::new(Code::UpgradeRequired, "connect with a WebSocket")))
}

/// Returns the response that hands the caller its end of a socket.
pub(crate) fn socket_response(request: &Request, client: WebSocket) -> Result<Response> {
    let response = Response::from_websocket(client)?;
    let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
    if offered.split(',').any(|one| one.trim() == SUBPROTOCOL) {
        response.headers().set("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
    }
    Ok(response)
}
