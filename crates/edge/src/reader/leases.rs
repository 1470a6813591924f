//! Fills by callers: a caller that renders or fetches a value itself begins with a lease and hands the value in.
//!
//! The value is judged like a late answer of the origin (`core::read::lease`): stamped with the position from before the
//! fetch, and refused if a floor has risen over it since.

use std::rc::Rc;

use newsreel_core::read::cache::{Answer, Freshness};
use newsreel_core::read::drive::SyncQuestion;
use newsreel_core::read::floors::{EntryTags, Judgement};
use newsreel_core::read::lease::Lease;
use newsreel_core::read::sync::FloorLookup;
use newsreel_core::wire::{Code, Key, Position, Problem, Tag, UnixMillis, coding};
use newsreel_gate::{Answer as Answered, Failure};
use serde::{Deserialize, Serialize};
use worker::web_sys::AbortController;
use worker::{Context, Headers, Request, Response, ResponseBuilder, console_warn};

use crate::clock::now;
use crate::http::json_response;
use crate::reader::context::ReadContext;
use crate::reader::drive::{self, Begun, FinishedRead};
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::{body_text, min_version};
use crate::reader::response::headers::Provenance;
use crate::reader::single::finish;
use crate::reader::state::reader;
use crate::reader::store::put_all;
use crate::reader::sync::sync;
use crate::tiers::LARGEST_TAKEN;
use crate::tiers::origin::{OriginError, Question};

/// The header that holds a lease.
const LEASE: &str = "Newsreel-Lease";
/// The header that says that there is no value: 404.
const STATUS: &str = "Newsreel-Status";

/// A lease as its caller gets it.
#[derive(Serialize)]
struct GivenLease {
    lease: String,
    position: Position,
    expires_at: UnixMillis,
}

impl GivenLease {
    fn at(position: Position) -> Self {
        let lease = Lease { position, began_at: now() };
        Self { lease: lease.to_string(), position, expires_at: lease.expires_at() }
    }
}

/// Answers `POST entries/{key}`: with the value, as a read does, or with 202 and a lease where only the origin is left
/// to ask.
pub(crate) async fn begin(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    key: &Key,
) -> Answered {
    let at_least = min_version(request)?;
    match drive::begin(context, context.read(key, at_least)).await {
        Begun::Unfilled(position) => {
            let response = json_response(&GivenLease::at(position))?;
            Ok(response.with_status(202))
        }
        Begun::Answered(read) => finish(request, context, event, *read, at_least).await,
    }
}

/// Answers `POST leases`: with a lease for whatever keys the caller fills with what it reads from this moment on.
pub(crate) async fn lease(context: &ReadContext) -> Answered {
    let position = current(context, &FloorLookup::default()).await?;
    Ok(json_response(&GivenLease::at(position))?)
}

/// Answers `PUT entries/{key}`: takes a value that the caller fetched under a lease, or says why not.
pub(crate) async fn land(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    key: &Key,
) -> Answered {
    let lease = lease_of(request)?;
    let read = context.read(key, Some(lease.at_least()));
    // The clock of the machine that gave the lease may be ahead.
    let began_at = lease.began_at.min(now());
    let question = Question {
        env: &context.env,
        config: &context.config,
        catalog: &context.catalog,
        key,
        read: &read,
        position: lease.position,
        traceparent: None,
        function: None,
    };
    let abort = AbortController::new().map_err(worker::Error::from)?;
    let entry = question.entry_of(&value_of(request)?, began_at, &abort, &|| {}).await.map_err(unusable)?;
    if let Some(why) = &entry.envelope.not_stored {
        return Err(Problem::new(Code::NotStorable, format!("the value is not stored: {why}")).into());
    }
    let read = drive::land(context, read, entry).await;
    let answered = landed(context, &read, lease);
    let fills: Vec<_> = read.fill(context).into_iter().collect();
    if !fills.is_empty() {
        let context = Rc::clone(context);
        event.wait_until(async move {
            put_all(&context, fills).await;
        });
    }
    answered
}

/// Returns the answer to a caller whose value was judged.
fn landed(context: &ReadContext, read: &FinishedRead, lease: Lease) -> Answered {
    let provenance = Provenance::by(context, read);
    if matches!(read.answer(), Answer::Removed { .. }) {
        let text = "the key was removed: a value is taken again once a change names the key";
        return Err(Problem::new(Code::Overtaken, text).with("position", provenance.position).into());
    }
    if let Outcome::Failed(problem) = outcome(context, read, Some(lease.at_least()), &provenance) {
        return Err(problem.into());
    }
    let headers = Headers::new();
    headers.set("Newsreel-Entry-Version", &lease.position.to_string())?;
    if let Some(position) = provenance.position {
        headers.set("Newsreel-Version", &position.to_string())?;
    }
    // Below a soft floor the value is kept, and every read of it is marked.
    let word = if provenance.freshness == Freshness::Fresh { "fresh" } else { "revalidating" };
    headers.set("Newsreel-Freshness", word)?;
    Ok(ResponseBuilder::new().with_status(204).with_headers(headers).empty())
}

fn lease_of(request: &Request) -> Result<Lease, Failure> {
    let text = request.headers().get(LEASE)?.ok_or_else(|| {
        let text = format!("{LEASE} is missing: POST to this address, or to leases, before the fetch begins");
        Problem::new(Code::BadRequest, text)
    })?;
    let lease: Lease =
        text.parse().map_err(|why| Problem::new(Code::BadRequest, format!("{LEASE}: {why}")))?;
    if now() >= lease.expires_at() {
        let text = "the fetch took too long: begin anew with another lease";
        return Err(Problem::new(Code::LeaseExpired, text).into());
    }
    Ok(lease)
}

/// Returns the value that a request carries, as the response that an origin would have given.
fn value_of(request: &Request) -> Result<Response, Failure> {
    coding::check(&request.headers().get("Content-Encoding")?.unwrap_or_default())?;
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST_TAKEN) {
        let text = format!("a value that is handed in has at most {LARGEST_TAKEN} bytes");
        return Err(Problem::new(Code::BodyTooLarge, text).into());
    }
    let status = match request.headers().get(STATUS)?.as_deref() {
        None | Some("200") => 200,
        Some("404" | "410") => 404,
        Some(other) => {
            let text = format!("{STATUS} is 200 for a value or 404 for none, and not {other:?}");
            return Err(Problem::new(Code::BadRequest, text).into());
        }
    };
    let builder = ResponseBuilder::new().with_status(status).with_headers(request.headers().clone());
    Ok(match request.inner().body().filter(|_| status == 200) {
        Some(body) => builder.stream(body),
        None => builder.empty(),
    })
}

/// Returns the failure that a caller is told whose value cannot be read.
fn unusable(error: OriginError) -> Failure {
    match error {
        OriginError::Answer(why) => Problem::new(Code::BadRequest, why.to_string()).into(),
        OriginError::Late | OriginError::Platform(_) => {
            Problem::new(Code::BadRequest, format!("the value cannot be read: {error}")).into()
        }
    }
}

/// The question what changed since a lease.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorsQuestion {
    lease: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    keys: Vec<Key>,
}

/// The answer: the strictest floor that has risen.
#[derive(Serialize)]
struct FloorsAnswer {
    floor: &'static str,
    position: Position,
}

/// Answers `POST floors`: says whether any of these tags and keys, or everything, changed since a lease.
pub(crate) async fn floors(request: &mut Request, context: &ReadContext) -> Answered {
    let body = body_text(request).await?;
    let asked: FloorsQuestion = serde_json::from_str(&body)
        .map_err(|why| Problem::new(Code::BadJson, format!("{{\"lease\", \"tags\", \"keys\"}}: {why}")))?;
    let lease: Lease =
        asked.lease.parse().map_err(|why| Problem::new(Code::BadRequest, format!("lease: {why}")))?;
    let FloorsQuestion { tags, keys, .. } = asked;
    let mut position = current(context, &FloorLookup::default()).await?;
    let mut judgement = judge(context, &lease, &keys, &tags);
    if judgement == Judgement::Unknown {
        position = current(context, &FloorLookup { keys: keys.clone(), tags: tags.clone() }).await?;
        judgement = judge(context, &lease, &keys, &tags);
    }
    let floor = match judgement {
        Judgement::Clear => "none",
        Judgement::Soft => "soft",
        // What cannot be told counts as changed.
        Judgement::Below(_) | Judgement::Unknown => "hard",
    };
    Ok(json_response(&FloorsAnswer { floor, position })?)
}

fn judge(context: &ReadContext, lease: &Lease, keys: &[Key], tags: &[Tag]) -> Judgement {
    reader(&context.catalog, |reader| match reader.known.position() {
        Some(at) if at.epoch == lease.position.epoch => {
            reader.known.floors().judge_all(keys, lease.position.version, EntryTags::Tags(tags))
        }
        Some(_) | None => Judgement::Unknown,
    })
}

/// Returns the reader's position, once its floors are proved within the tightest bound and those looked for are known.
async fn current(context: &ReadContext, look: &FloorLookup) -> Result<Position, Failure> {
    let bound = context.config.policies.tightest_bound();
    let known = |reader: &mut crate::reader::state::Reader| {
        let proved = reader.known.lag(now()).is_some_and(|lag| lag <= bound);
        reader.known.position().filter(|_| proved)
    };
    if let Some(position) = reader(&context.catalog, known).filter(|_| look.is_empty()) {
        return Ok(position);
    }
    let question = SyncQuestion { max_age: bound / 2, at_least: None, look: look.clone() };
    if let Err(error) = sync(context, &question).await {
        console_warn!("{}@{}: {error}", context.catalog, context.edge);
    }
    reader(&context.catalog, known).ok_or_else(|| {
        Problem::new(Code::BoundNotKept, "the replica gives no position that is recent enough").into()
    })
}
