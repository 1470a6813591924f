//! What the edge is asked: an entry, many, why; and whether it is ready.

use std::rc::Rc;

use futures_util::StreamExt as _;
use newsreel_core::access::Scope;
use newsreel_core::read::cache::explain::Note;
use newsreel_core::read::cache::{Answer, Failure};
use newsreel_core::read::sync::AtLeast;
use newsreel_core::wire::route::{EdgeCall, keys_of_body};
use newsreel_core::wire::{Address, Catalog, Code, Key, Position, Problem, Route};
use newsreel_gate as gate;
use worker::{Context, Env, Request, Response, Result, console_error};

use crate::config::{ENTRIES, REPLICA, config};
use crate::reader::background::keep_up;
use crate::reader::context::Place;
use crate::reader::drive::{Fill, Task, Walk, put_all, run};
use crate::reader::metrics;
use crate::reader::response::body::{WRAPPED_BYTES, members, quoted};
use crate::reader::response::headers::{Served, text_response};
use crate::reader::response::{body, headers};
use crate::tiers::kv;

pub(crate) type Answered = std::result::Result<Response, Problem>;

/// The longest body of a bulk read or a fill: 100 keys, each byte escaped.
const BODY_BYTES: usize = 256 << 10;

/// Says whether a request is for the edge: entries, what is said of them, or whether the edge is ready.
///
/// # Errors
/// When the request has no address that can be read.
pub fn serves(request: &Request) -> Result<bool> {
    let path = request.path();
    let ours = |path: &str| {
        let call = path.strip_prefix("/v1/catalogs/")?.split_once('/')?.1;
        let call = call.split_once('/').map_or(call, |(call, _)| call);
        matches!(call, "entries" | "fill" | "metrics").then_some(())
    };
    Ok(path == "/readyz" || ours(&path).is_some())
}

/// Answers a request that is for the edge.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
///
/// Boxed: a future that another crate polls is in the wasm twice, once for each.
#[must_use]
pub fn serve(request: Request, env: Env, context: Context) -> Task<'static, Result<Response>> {
    Box::pin(serve_here(request, env, context))
}

async fn serve_here(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let address = Address::new(request.inner().url());
    let route = Route::parse(request.method().as_ref(), address.path(), address.query());
    let answer = match route {
        Ok(Route::Edge(catalog, call)) => answer(&mut request, &address, env, context, catalog, call).await,
        Ok(Route::Readyz) => ready(&env).await,
        Ok(_) => Ok(Err(Problem::new(Code::UnknownPath, "this address is the broker's"))),
        Err(problem) => Ok(Err(problem)),
    };
    match answer {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(problem)) => headers::problem_response(&problem),
        Err(error) => {
            console_error!("a read failed: {error}");
            let text = "the read failed; it may be tried again";
            headers::problem_response(&Problem::new(Code::Internal, text))
        }
    }
}

/// Says whether this deployment could serve: its configuration is right and its bindings are there.
async fn ready(env: &Env) -> Result<Answered> {
    let missing = |binding: &str, error: &dyn std::fmt::Display| {
        Problem::new(Code::Misconfigured, format!("the binding {binding} does not work: {error}"))
    };
    if let Err(problem) = config(env) {
        return Ok(Err(problem));
    }
    if let Err(error) = env.durable_object(REPLICA) {
        return Ok(Err(missing(REPLICA, &error)));
    }
    match kv::get(env, "readyz").await {
        Err(error) => Ok(Err(missing(ENTRIES, &error))),
        Ok(_) => text_response("application/json", r#"{"status":"ready"}"#.to_owned()).map(Ok),
    }
}

async fn answer(
    request: &mut Request,
    address: &Address,
    env: Env,
    context: Context,
    catalog: Catalog,
    call: EdgeCall,
) -> Result<Answered> {
    if let Err(problem) = gate::catalog(&env, &catalog) {
        return Ok(Err(problem));
    }
    let explain = matches!(call, EdgeCall::Entry(_)) && address.says("explain", "1");
    if (explain || matches!(call, EdgeCall::Fill | EdgeCall::Metrics))
        && let Err(problem) = gate::admit(request, &env, Scope::Admin, &catalog).await?
    {
        return Ok(Err(problem));
    }
    let config = match config(&env) {
        Ok(config) => config,
        Err(problem) => return Ok(Err(problem)),
    };
    let edge = config.edge(request);
    let place = Rc::new(Place { env, config, catalog, edge, replica: None });
    let fills = matches!(call, EdgeCall::Fill);
    let keys = match call {
        EdgeCall::Metrics => return metrics::show(&place).await.map(Ok),
        EdgeCall::Entry(key) => return one(request, &place, &context, &key, explain).await,
        EdgeCall::Entries(keys) => Ok(keys),
        EdgeCall::EntriesOf | EdgeCall::Fill => body_keys(request).await?,
    };
    match keys {
        Err(problem) => Ok(Err(problem)),
        Ok(keys) if fills => ahead(&place, &context, &keys).await.map(Ok),
        Ok(keys) => many(request, &place, &context, &keys).await,
    }
}

async fn body_keys(request: &mut Request) -> Result<std::result::Result<Vec<Key>, Problem>> {
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("a list of keys has at most {BODY_BYTES} bytes"));
    if length.is_some_and(|length| length > BODY_BYTES) {
        return Ok(Err(too_large()));
    }
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(keys_of_body(&body));
    }
    // Counted while it comes: whoever sends may have said nothing of its length.
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > BODY_BYTES {
            return Ok(Err(too_large()));
        }
    }
    Ok(keys_of_body(&body))
}

/// Reads what a request wants to have been heard.
fn min_version(request: &Request) -> Result<std::result::Result<Option<AtLeast>, Problem>> {
    let Some(text) = request.headers().get("Newsreel-Min-Version")? else { return Ok(Ok(None)) };
    Ok(text.parse().map(Some).map_err(|why| {
        Problem::new(Code::BadRequest, format!("Newsreel-Min-Version is <epoch>:<version>: {why}"))
    }))
}

/// Answers `GET /v1/catalogs/{catalog}/entries/{key}`.
async fn one(
    request: &Request,
    place: &Rc<Place>,
    context: &Context,
    key: &Key,
    explain: bool,
) -> Result<Answered> {
    let at_least = match min_version(request)? {
        Ok(at_least) => at_least,
        Err(problem) => return Ok(Err(problem)),
    };
    let read = place.read(key, at_least);
    let mut walks = [Walk::new(place, key, if explain { read.explained() } else { read })];
    run(place, &mut walks).await;
    let [walk] = walks;
    let served = Served::by(place, &walk);
    let answered = if explain {
        text_response("application/json", explanation(place, &walk, &served)).map(Ok)
    } else {
        respond(request, place, &walk, at_least, &served).await
    };
    keep_up(place, context, &[walk]);
    answered
}

async fn respond(
    request: &Request,
    place: &Place,
    walk: &Walk,
    at_least: Option<AtLeast>,
    served: &Served,
) -> Result<Answered> {
    match outcome(place, walk, at_least, served) {
        Outcome::Value => {
            let entry = walk.entry().expect("what is served was held");
            body::respond(&place.env, request, entry, served).await
        }
        Outcome::NotFound(problem, at) => {
            headers::problem_with_proof(&problem, served, at, walk.entry()).map(Ok)
        }
        Outcome::Failed(problem) => headers::failure_response(&problem, served).map(Ok),
    }
}

/// What an answer is to whoever asked.
enum Outcome {
    Value,
    /// With the position that says so.
    NotFound(Problem, Option<Position>),
    Failed(Problem),
}

fn outcome(place: &Place, walk: &Walk, at_least: Option<AtLeast>, served: &Served) -> Outcome {
    let at = match walk.answer() {
        Answer::Fail(failure) => return Outcome::Failed(failed(place, walk, *failure, at_least, served)),
        Answer::Removed { at, .. } => served.position.map(|position| Position { version: *at, ..position }),
        Answer::Serve { .. } => match walk.entry() {
            Some(entry) if entry.envelope.found => return Outcome::Value,
            entry => entry.map(|entry| entry.envelope.position),
        },
    };
    Outcome::NotFound(Problem::new(Code::NotFound, format!("{} has no {}", place.catalog, walk.key)), at)
}

fn failed(
    place: &Place,
    walk: &Walk,
    failure: Failure,
    at_least: Option<AtLeast>,
    served: &Served,
) -> Problem {
    let lag = served.lag.map(|lag| lag.as_millis());
    match failure {
        Failure::BoundNotKept => {
            let (class, bound) = (walk.key.class(), place.policy(&walk.key).lag_bound.as_millis());
            let text = format!("class {class} promises a lag of {bound} ms, which cannot be proved now");
            Problem::new(Code::BoundNotKept, text).with("lag_ms", lag)
        }
        Failure::MinVersion => {
            let wanted = at_least.map(|wanted| format!("{}:{}", wanted.epoch, wanted.version));
            Problem::new(Code::MinVersion, "the version asked for has not been heard here in time")
                .with("wanted", wanted)
                .with("position", served.position)
        }
        Failure::Origin => {
            let why = walk.origin_error.clone().unwrap_or_default();
            let text = format!("the origin could not answer, and nothing may be served in its place: {why}");
            Problem::new(Code::OriginFailed, text)
        }
    }
}

/// Answers `entries?key=…` and its twin with a body: what each key alone would have been answered, in one JSON.
async fn many(request: &Request, place: &Rc<Place>, context: &Context, keys: &[Key]) -> Result<Answered> {
    let at_least = match min_version(request)? {
        Ok(at_least) => at_least,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut walks: Vec<Walk> =
        keys.iter().map(|key| Walk::new(place, key, place.read(key, at_least)).one_of_many()).collect();
    run(place, &mut walks).await;
    let (mut entries, mut head, mut room) = (Vec::new(), String::new(), WRAPPED_BYTES);
    for walk in &walks {
        let served = Served::by(place, walk);
        head = heard(place, &served);
        entries.push(entry(place, walk, at_least, &served, room));
        let length = walk.entry().map_or(0, |entry| entry.body.length());
        room -= if length <= room { length } else { 0 };
    }
    let json = format!("{{{head},\"entries\":[{}]}}", entries.join(","));
    keep_up(place, context, &walks);
    text_response("application/json", json).map(Ok)
}

/// Returns the members that say what the reader has heard.
fn heard(place: &Place, served: &Served) -> String {
    let position = served.position.map_or("null".to_owned(), |position| format!("\"{position}\""));
    let lag = served.lag.map_or("null".to_owned(), |lag| lag.as_millis().to_string());
    format!(r#""catalog":"{}","position":{position},"lag_ms":{lag}"#, place.catalog)
}

fn entry(place: &Place, walk: &Walk, at_least: Option<AtLeast>, served: &Served, room: u64) -> String {
    let fetched_at = walk.entry().map(|entry| entry.envelope.fetched_at);
    let rest = match outcome(place, walk, at_least, served) {
        Outcome::Value => {
            format!(
                r#""status":200,{}"#,
                members(walk.entry().expect("what is served was held"), served, room)
            )
        }
        Outcome::NotFound(problem, _) | Outcome::Failed(problem) => {
            let (status, code, detail) = (problem.status(), problem.code(), quoted(problem.detail()));
            format!(r#""status":{status},"code":"{code}","detail":{detail}"#)
        }
    };
    format!(
        r#"{{"key":{},{rest},"cache_status":{}}}"#,
        quoted(walk.key.as_str()),
        quoted(&served.cache_status(fetched_at))
    )
}

/// Returns how a read came to its answer, as JSON.
fn explanation(place: &Place, walk: &Walk, served: &Served) -> String {
    let policy = place.policy(&walk.key);
    let mut steps: Vec<String> =
        walk.read.notes().iter().map(Note::to_json).map(|step| step.to_string()).collect();
    steps.push(walk.answer().to_json().to_string());
    format!(
        r#"{{{},"edge":{},"key":{},"generation":{},"policy":{{"ttl_ms":{},"stale_for_ms":{},"lag_bound_ms":{},"quorum":{}}},"origin_error":{},"steps":[{}]}}"#,
        heard(place, served),
        quoted(&place.edge),
        quoted(walk.key.as_str()),
        walk.generation,
        policy.ttl.as_millis(),
        policy.stale_for.as_millis(),
        policy.lag_bound.as_millis(),
        policy.quorum,
        walk.origin_error.as_deref().map_or("null".to_owned(), quoted),
        steps.join(","),
    )
}

/// How many keys are filled at once: of each the value is at hand until KV and R2 have it.
const FILLED_AT_ONCE: usize = 4;

/// What became of keys that were filled ahead, as JSON.
#[derive(Default)]
struct Filled {
    filled: Vec<String>,
    kept: Vec<String>,
    absent: Vec<String>,
    failed: Vec<String>,
    /// The members that say what the reader has heard.
    head: String,
}

/// Answers `POST fill`: each key is read as nobody's reader would, so that KV and R2 have it.
async fn ahead(place: &Rc<Place>, context: &Context, keys: &[Key]) -> Result<Response> {
    let mut all = Filled::default();
    for some in keys.chunks(FILLED_AT_ONCE) {
        all.fill(place, some).await;
    }
    keep_up(place, context, &[]);
    let Filled { filled, kept, absent, failed, head } = all;
    let [filled, kept, absent, failed] = [filled, kept, absent, failed].map(|list| list.join(","));
    let json =
        format!(r#"{{{head},"filled":[{filled}],"kept":[{kept}],"absent":[{absent}],"failed":[{failed}]}}"#);
    text_response("application/json", json)
}

impl Filled {
    /// Fills some keys. Whoever fills ahead is told when it is done, not when it has begun.
    async fn fill(&mut self, place: &Place, keys: &[Key]) {
        let mut walks: Vec<Walk> =
            keys.iter().map(|key| Walk::new(place, key, place.read(key, None).ahead())).collect();
        run(place, &mut walks).await;
        metrics::count_fills(place, &walks);
        let fills: Vec<Option<Fill>> = walks.iter().map(|walk| walk.fill(place)).collect();
        let is_filled: Vec<bool> = fills.iter().map(Option::is_some).collect();
        let mut refused = put_all(place, fills.into_iter().flatten().collect()).await.into_iter();
        for (walk, is_filled) in walks.iter().zip(is_filled) {
            let served = Served::by(place, walk);
            self.head = heard(place, &served);
            let key = quoted(walk.key.as_str());
            let refused = is_filled.then(|| refused.next().flatten()).flatten();
            match (outcome(place, walk, None, &served), refused) {
                (Outcome::Failed(problem), _) => self.failed(&key, &problem),
                (_, Some(refused)) => self.failed(&key, &Problem::new(Code::Busy, refused)),
                (Outcome::NotFound(..), None) => self.absent.push(key),
                (Outcome::Value, None) if is_filled => self.filled.push(key),
                (Outcome::Value, None) => self.kept.push(key),
            }
        }
    }

    fn failed(&mut self, key: &str, problem: &Problem) {
        let (code, detail) = (problem.code(), quoted(problem.detail()));
        self.failed.push(format!(r#"{{"key":{key},"code":"{code}","detail":{detail}}}"#));
    }
}
