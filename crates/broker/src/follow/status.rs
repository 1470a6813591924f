//! The state of a catalog: where its log is, and which followers it has. An operator may begin a new epoch.

use newsreel_core::follow::hub::{HubInput, Session, Stage};
use newsreel_core::wire::page::{FollowerStage, FollowerStatus, Followers, NewEpoch};
use newsreel_core::wire::{Position, Status, UnixMillis};

use crate::driver::BrokerDriver;
use crate::follow::reader::LogReader;
use crate::http::json_response;
use crate::js::random;
use newsreel_gate::Answer;

/// Answers with the state of the log: its head, its oldest version, its size.
pub(crate) fn status(driver: &BrokerDriver) -> Answer {
    let hub = driver.hub()?;
    let position = hub.head();
    let Position { epoch, version, .. } = position;
    let (catalog, followers) = (driver.catalog().clone(), hub.sessions().len());
    let (oldest, bytes) = (hub.log().tail(), driver.rows().size());
    json_response(&Status { catalog, epoch, version, position, oldest, followers, bytes })
}

/// Lists the followers, and the version that each has acknowledged.
pub(crate) fn followers(driver: &BrokerDriver, reader: &LogReader) -> Answer {
    driver.close_silent()?;
    let pings = driver.sockets().last_pings();
    let hub = driver.hub()?;
    let mut followers = Vec::new();
    for (id, session) in hub.sessions() {
        let hash = driver.rows().hash_at(hub.log(), session.acked)?;
        let position = hash.map(|hash| Position { version: session.acked, hash, ..hub.head() });
        followers.push(follower(session, position, &hub.head(), pings.get(id).copied()));
    }
    let (polls, streams) = (reader.polls.taken(), reader.streams.taken());
    json_response(&Followers { position: hub.head(), followers, polls, streams })
}

fn follower(
    session: &Session,
    position: Option<Position>,
    head: &Position,
    last_ping: Option<UnixMillis>,
) -> FollowerStatus {
    FollowerStatus {
        name: session.name.clone(),
        replica: session.replica,
        acked: session.acked,
        position,
        lag: head.version.number().saturating_sub(session.acked.number()),
        since: session.since,
        last_ping,
        stage: match session.stage {
            Stage::Live => FollowerStage::Live,
            Stage::Replaying { .. } => FollowerStage::Replaying,
        },
    }
}

/// Begins a new epoch: the log is empty, and every follower is reset.
pub(crate) fn new_epoch(driver: &BrokerDriver) -> Answer {
    let previous = driver.head()?;
    driver.step(HubInput::NewEpoch { random: random() })?;
    let position = driver.head()?;
    let Position { epoch, version, .. } = position;
    json_response(&NewEpoch { catalog: driver.catalog().clone(), epoch, version, position, previous })
}
