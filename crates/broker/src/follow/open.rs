//! A socket that follows the log.

use newsreel_core::follow::hub::HubInput;
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Code, Problem, internal_headers};
use newsreel_gate::Answer;
use worker::{Request, WebSocketPair};

use crate::driver::BrokerDriver;
use crate::http::{check_upgrade, grant, socket_response};
use crate::js::random;

/// Opens a socket that follows the log.
pub(crate) fn open(driver: &BrokerDriver, request: &Request, query: FollowQuery) -> Answer {
    check_upgrade(request)?;
    let replica = request.headers().has(internal_headers::REPLICA)?;
    if replica && query.name.is_empty() {
        return Err(Problem::new(Code::BadRequest, "a replica has a name: add name=…").into());
    }
    let pair = WebSocketPair::new()?;
    let session = driver.hub()?.free_session();
    driver.sockets().accept(&driver.state, session, pair.server);
    let logged = match query.from {
        Start::Head => None,
        Start::At(claim) => driver.logged(claim)?,
    };
    let (name, topics) = (query.name, Topics::new(query.topics));
    let (from, until, random) = (query.from, grant(request)?.until, random());
    driver.step(HubInput::Open { session, from, logged, name, topics, replica, until, random })?;
    socket_response(request, pair.client)
}
