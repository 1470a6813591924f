//! The object's other answers: a socket that follows, its status, its followers.

use newsreel_core::follow::hub::{Input, Stage};
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::page::{Follower, Followers, NewEpoch, Phase};
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Code, Position, Problem, Status, internal};
use worker::{Request, Response, Result, WebSocket, WebSocketPair};

use crate::js::{json_response, now, random};
use crate::object::{Answer, Inner, grant};

impl Inner {
    /// Opens a socket that follows the log.
    pub(crate) fn follow(&self, request: &Request, query: FollowQuery) -> Answer {
        if let Some(problem) = wants_socket(request)? {
            return Ok(Err(problem));
        }
        let replica = request.headers().has(internal::REPLICA)?;
        if replica && query.name.is_empty() {
            return Ok(Err(Problem::new(Code::BadRequest, "a replica has a name: add name=…")));
        }
        let pair = WebSocketPair::new()?;
        let id = self.settled()?.free_session();
        self.sockets.accept(&self.state, id, pair.server);
        let logged = match query.from {
            Start::Head => None,
            Start::At(claim) => self.logged(claim)?,
        };
        let (name, topics) = (query.name, Topics::new(query.topics));
        if replica {
            self.rows.saw_replica(&name, now())?;
        }
        let (session, from, until, random) = (id, query.from, grant(request)?.until, random());
        self.step(now(), Input::Open { session, from, logged, name, topics, replica, until, random })?;
        Ok(Ok(socket_response(request, pair.client)?))
    }

    /// Says where the log is.
    pub(crate) fn status(&self) -> Answer {
        let hub = self.settled()?;
        let position = hub.head();
        let Position { epoch, version, .. } = position;
        let (catalog, followers) = (self.catalog.clone(), hub.sessions().len());
        let (oldest, bytes) = (hub.log().tail(), self.rows.size()?);
        let status = Status { catalog, epoch, version, position, oldest, followers, bytes };
        Ok(Ok(json_response(serde_json::to_string(&status)?)?))
    }

    /// Lists who follows, and how far each has acknowledged.
    pub(crate) fn followers(&self) -> Answer {
        let pings = self.sockets.last_pings();
        self.close_silent(now(), pings.clone())?;
        let hub = self.settled()?;
        let log = hub.log();
        let mut followers = Vec::new();
        for (id, session) in hub.sessions() {
            let hash = self.rows.hash_at(log, session.acked)?;
            let epoch = log.head().epoch;
            followers.push(Follower {
                name: session.name.clone(),
                replica: session.replica,
                acked: session.acked,
                position: hash.map(|hash| Position { epoch, version: session.acked, hash }),
                lag: log.head().version.number().saturating_sub(session.acked.number()),
                since: session.since,
                last_ping: pings.get(id).copied(),
                stage: match session.stage {
                    Stage::Live => Phase::Live,
                    Stage::Replaying { .. } => Phase::Replaying,
                },
            });
        }
        let (polls, streams) = (self.readers.polls.taken(), self.readers.streams.taken());
        let list = Followers { position: log.head(), followers, polls, streams };
        Ok(Ok(json_response(serde_json::to_string(&list)?)?))
    }

    /// Begins a new epoch: the log is empty, and every follower forgets what it has.
    pub(crate) fn new_epoch(&self) -> Answer {
        let previous = self.head()?;
        self.step(now(), Input::NewEpoch { random: random() })?;
        let position = self.head()?;
        let Position { epoch, version, .. } = position;
        let begun = NewEpoch { catalog: self.catalog.clone(), epoch, version, position, previous };
        Ok(Ok(json_response(serde_json::to_string(&begun)?)?))
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
