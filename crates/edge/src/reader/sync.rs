//! How a reader learns floors: asks the replica, and applies its replies to this isolate's knowledge.
//!
//! Knowledge is plain isolate state: no request ever awaits another request's future.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::read::drive::SyncQuestion;
use newsreel_core::read::sync::{Applied, SyncRequest, SyncResponse};
use newsreel_core::wire::{Catalog, UnixMillis};
use worker::{Delay, Env, Headers, Response, Result, Stub};

use crate::clock::now;
use crate::config::REPLICA;
use crate::http;
use crate::protocol::{Call, PACKED, PROVED, replica_name};
use crate::reader::context::ReadContext;
use crate::reader::state::{Reader, reader, take_turn};
use crate::streams;

/// How many replies one sync takes: 50 of 4,000 floors are more than a snapshot.
const REPLIES: usize = 50;
/// How long one first sync keeps others from starting theirs.
const LOADING: Duration = Duration::from_secs(4);
/// How often a request that waits for another's first sync checks whether it has ended.
const LOOK: Duration = Duration::from_millis(8);

/// Asks the replica until this isolate has every floor that the replica tells; returns whether the replica
/// gave the proof asked for.
///
/// # Errors
/// When the replica cannot be reached or has not reached its broker.
pub(crate) async fn sync(context: &ReadContext, question: &SyncQuestion) -> Result<bool> {
    let catalog = &context.catalog;
    let is_first = context.replica.is_none() && is_first(catalog).await;
    let proved = ask_for_all(context, question).await;
    if is_first {
        reader(catalog, |reader| (reader.loading_until, reader.loaded_at) = (UnixMillis(0), now()));
    }
    proved
}

/// Says whether this request does the first sync of the isolate. While another request's first sync is under
/// way, this one waits: that sync loads everything, so little is left to ask.
async fn is_first(catalog: &Catalog) -> bool {
    let began = now();
    // A request waits for one first sync at most: once that has ended, even in failure, the
    // request asks for itself.
    let waits = |reader: &mut Reader| reader.known.position().is_none() && reader.loaded_at <= began;
    while reader(catalog, waits) && now() < began.plus(LOADING) {
        if take_turn(catalog, |reader| &mut reader.loading_until, LOADING) {
            return true;
        }
        Delay::from(LOOK).await;
    }
    false
}

async fn ask_for_all(context: &ReadContext, question: &SyncQuestion) -> Result<bool> {
    let (catalog, SyncQuestion { max_age, at_least, look }) = (&context.catalog, question);
    for _ in 0..REPLIES {
        let ask = reader(catalog, |reader| reader.known.ask(*max_age, *at_least, look.clone()));
        let sent_at = now();
        let (mut reply, proved) = match &context.replica {
            Some(replica) => Rc::clone(replica).answer(ask).await?,
            None => ask_replica(context, &ask).await?,
        };
        let applied = reader(catalog, |reader| {
            reader.traces.learn(reply.position.epoch, std::mem::take(&mut reply.traces));
            let applied = reader.known.learn(sent_at, look, reply);
            reader.note_heard(now());
            applied
        });
        match applied {
            Applied::Part => {}
            Applied::Whole => return Ok(proved),
            // Another sync of this isolate was faster, and its floors are newer.
            Applied::Ignored => return Ok(false),
        }
    }
    Ok(false)
}

/// Asks the replica; returns its reply, and whether the reply has the proof that was asked for.
async fn ask_replica(context: &ReadContext, ask: &SyncRequest) -> Result<(SyncResponse, bool)> {
    let body = serde_json::to_string(ask)?;
    let response = post(context, Call::Sync, &body).await?;
    let proved = response.headers().has(PROVED)?;
    let is_packed = response.headers().has(PACKED)?;
    let body = streams::body_of(&response);
    let body = body.map(|stream| if is_packed { streams::unpacked(&stream) } else { stream });
    Ok((serde_json::from_str(&streams::read_text(body.as_ref()).await?)?, proved))
}

/// Makes a call to the replica and returns its response.
///
/// # Errors
/// When it cannot be reached, or answers with another status than 200; the text says which.
pub(crate) async fn post(context: &ReadContext, call: Call, body: &str) -> Result<Response> {
    let response = self::call(context, &context.edge, call, body).await?;
    if response.status_code() != 200 {
        return Err(format!("the replica answered {}", response.status_code()).into());
    }
    Ok(response)
}

/// Makes a call of the replica at an edge; its answer may have any status.
///
/// # Errors
/// When it cannot be reached.
pub(crate) async fn call(context: &ReadContext, edge: &str, call: Call, body: &str) -> Result<Response> {
    let request = http::post(&call.url(), &Headers::new(), body)?;
    replica(&context.env, &context.catalog, edge)?.fetch_with_request(request).await
}

/// Returns the replica of a catalog at an edge.
pub(crate) fn replica(env: &Env, catalog: &Catalog, edge: &str) -> Result<Stub> {
    env.durable_object(REPLICA)?.get_by_name(&replica_name(catalog, edge))
}
