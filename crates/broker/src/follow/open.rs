//! A socket that follows the log.

use newsreel_core::follow::hub::HubInput;
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Code, Problem};
use worker::web_sys;

use crate::driver::BrokerDriver;
use crate::http::{RawAnswer, SocketHead};
use crate::js::random;

/// Opens a socket that follows the log.
pub(crate) fn open(driver: &BrokerDriver, request: &web_sys::Request, query: FollowQuery) -> RawAnswer {
    let head = SocketHead::of(request)?;
    let replica = head.replica;
    if replica && query.name.is_empty() {
        return Err(Problem::new(Code::BadRequest, "a replica has a name: add name=…").into());
    }
    let (socket, response) = head.make_socket()?;
    let session = driver.hub()?.free_session();
    driver.sockets().accept(&driver.state, session, socket);
    let logged = match query.from {
        Start::Head => None,
        Start::At(claim) => driver.logged(claim)?,
    };
    let (name, topics) = (query.name, Topics::new(query.topics));
    let (from, until, random) = (query.from, head.grant.until, random());
    driver.step(HubInput::Open { session, from, logged, name, topics, replica, until, random })?;
    Ok(response)
}
