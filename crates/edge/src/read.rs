//! One read, from request to response: `core::cache` says what to ask and what to answer, this obeys.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::cache::{Answer, Event, Failure, Freshness, Read, Step, Tier};
use newsreel_core::policy::Policy;
use newsreel_core::sync::AtLeast;
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Address, Catalog, Code, Key, Position, Problem, Route, Version};
use worker::{Context, Env, Request, Response, ResponseBuilder, Result, console_error, console_warn};

use crate::config::{Config, ENTRIES, REPLICA, config};
use crate::headers::{self, Served};
use crate::now;
use crate::sync::{may_sync_behind, reader, sync, synced_behind};
use crate::tiers::{self, Entry};
use crate::window;

type Answered = std::result::Result<Response, Problem>;

/// Says whether a request is for the edge: an entry, or whether the edge is ready.
///
/// # Errors
/// When the request has no address that can be read.
pub fn serves(request: &Request) -> Result<bool> {
    let path = request.path();
    let entry = |path: &str| {
        path.strip_prefix("/v1/catalogs/")?.split_once('/')?.1.strip_prefix("entries/").map(|_| ())
    };
    Ok(path == "/readyz" || entry(&path).is_some())
}

/// Answers a request that is for the edge.
///
/// # Errors
/// When the platform refuses a header; everything else is a problem in the answer.
pub async fn serve(request: &Request, env: Env, context: Context) -> Result<Response> {
    let address = Address::new(request.inner().url());
    let route = Route::parse(request.method().as_ref(), address.path(), address.query());
    let answer = match route {
        Ok(Route::Edge(catalog, EdgeCall::Entry(key))) => read(request, env, context, catalog, key).await,
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
    match env.kv(ENTRIES) {
        Err(error) => Ok(Err(missing(ENTRIES, &error))),
        Ok(kv) => match kv.get("readyz").text().await {
            Err(error) => Ok(Err(missing(ENTRIES, &error))),
            Ok(_) => {
                let ready = ResponseBuilder::new().with_header("Content-Type", "application/json")?;
                let ready = ready.with_header("Cache-Control", "no-store")?;
                Ok(Ok(ready.fixed(br#"{"status":"ready"}"#.to_vec())))
            }
        },
    }
}

/// Answers `GET /v1/catalogs/{catalog}/entries/{key}`.
async fn read(request: &Request, env: Env, context: Context, catalog: Catalog, key: Key) -> Result<Answered> {
    let config = match config(&env) {
        Ok(config) => config,
        Err(problem) => return Ok(Err(problem)),
    };
    let at_least = match request.headers().get("Newsreel-Min-Version")?.map(|text| text.parse::<AtLeast>()) {
        Some(Ok(at_least)) => Some(at_least),
        Some(Err(why)) => {
            let text = format!("Newsreel-Min-Version is <epoch>:<version>: {why}");
            return Ok(Err(Problem::new(Code::BadRequest, text)));
        }
        None => None,
    };
    let edge = config.edge(request);
    let policy = config.policies.of(key.class());
    let at = Rc::new(At { env, config, catalog, edge, key, policy });
    let mut walk = Walk::new(&at, at_least);
    let answer = walk.run(Event::Begin).await;
    let served = at.served(&walk, &answer);
    at.keep_up(&context, &mut walk, &answer);
    respond(request, &walk, answer, &served)
}

/// Where a read happens: what stays the same from its first step to its last.
struct At {
    env: Env,
    config: Rc<Config>,
    catalog: Catalog,
    edge: String,
    key: Key,
    policy: Policy,
}

/// A read under way, and what the tiers gave it.
struct Walk {
    at: Rc<At>,
    read: Read,
    at_least: Option<AtLeast>,
    held: BTreeMap<Tier, Entry>,
    /// The KV name that was asked for last; a fill goes there.
    generation: Version,
    /// What the origin said instead of answering.
    origin_error: Option<String>,
}

impl Walk {
    fn new(at: &Rc<At>, at_least: Option<AtLeast>) -> Self {
        Self {
            at: Rc::clone(at),
            read: Read::new(at.key.clone(), at.policy, at_least),
            at_least,
            held: BTreeMap::new(),
            generation: Version::ZERO,
            origin_error: None,
        }
    }

    /// Does what the read says until it has an answer.
    async fn run(&mut self, event: Event) -> Answer {
        let at = Rc::clone(&self.at);
        let step = reader(&at.catalog, |reader| self.read.next(now(), &reader.known, event));
        self.continue_from(step).await
    }

    async fn continue_from(&mut self, mut step: Step) -> Answer {
        let at = Rc::clone(&self.at);
        loop {
            let event = match step {
                Step::Answer(answer) => return answer,
                Step::Sync { max_age, at_least } => {
                    let outcome = sync(&at.env, &at.catalog, &at.edge, max_age, at_least).await;
                    if let Err(error) = &outcome {
                        console_warn!("{}@{}: {error}", at.catalog, at.edge);
                    }
                    Event::Synced { proved: outcome.unwrap_or(false) }
                }
                Step::Ask { tier, generation } => {
                    self.generation = generation;
                    self.ask(tier).await
                }
            };
            step = reader(&at.catalog, |reader| self.read.next(now(), &reader.known, event));
        }
    }

    async fn ask(&mut self, tier: Tier) -> Event {
        let at = Rc::clone(&self.at);
        let position = reader(&at.catalog, |reader| reader.known.position());
        let Some(position) = position else { return Event::Failed(tier) };
        let found = match tier {
            Tier::Memory => Ok(reader(&at.catalog, |reader| reader.memory.get(&at.key))),
            Tier::Kv => {
                let name = tiers::kv_name(&at.catalog, &position.epoch, &at.key, self.generation);
                tiers::kv_get(&at.env, &name).await
            }
            Tier::Origin => {
                tiers::fetch(&at.config, &at.catalog, &at.key, &self.read, position).await.map(Some)
            }
        };
        match found {
            Ok(Some(entry)) => {
                let envelope = entry.envelope.clone();
                self.held.insert(tier, entry);
                Event::Held(tier, envelope)
            }
            Ok(None) => Event::Missed(tier),
            Err(error) => {
                console_warn!("{}/{}: {tier:?}: {error}", at.catalog, at.key);
                if tier == Tier::Origin {
                    self.origin_error = Some(error.to_string());
                }
                Event::Failed(tier)
            }
        }
    }

    /// Puts the answer into memory at once, and returns what is to be put into KV.
    fn fill(&mut self, answer: &Answer) -> Option<Entry> {
        let Answer::Serve { from, fill, .. } = answer else { return None };
        let entry = self.held.get(from)?;
        if fill.contains(&Tier::Memory) {
            reader(&self.at.catalog, |reader| reader.memory.put(&self.at.key, entry.clone()));
        }
        fill.contains(&Tier::Kv).then(|| entry.clone())
    }
}

impl At {
    /// Returns what the response says of itself.
    fn served(&self, walk: &Walk, answer: &Answer) -> Served {
        let now = now();
        let (position, lag) =
            reader(&self.catalog, |reader| (reader.known.position(), reader.known.lag(now)));
        let (from, freshness, filled) = match answer {
            Answer::Serve { from, freshness, fill, .. } => (Some(*from), *freshness, fill.clone()),
            Answer::Removed { freshness, .. } => (None, *freshness, Vec::new()),
            Answer::Fail(_) => (None, Freshness::Stale, Vec::new()),
        };
        let visits = walk.read.visits().to_vec();
        Served { now, position, lag, policy: self.policy, from, freshness, visits, filled }
    }

    /// Does behind the answer what the next reads will be glad of: fills KV, fetches anew, syncs.
    fn keep_up(self: &Rc<Self>, context: &Context, walk: &mut Walk, answer: &Answer) {
        if let Some(entry) = walk.fill(answer) {
            let (at, generation) = (Rc::clone(self), walk.generation);
            context.wait_until(async move { at.put_into_kv(&entry, generation).await });
        }
        if let Answer::Serve { refresh: true, .. } = answer {
            let at = Rc::clone(self);
            context.wait_until(async move { at.refetch().await });
        }
        if window::may_open(&self.catalog) {
            let at = Rc::clone(self);
            context.wait_until(async move {
                if let Err(error) = window::follow(&at.env, &at.catalog, &at.edge).await {
                    console_warn!("{}@{}: no window: {error}", at.catalog, at.edge);
                }
            });
        }
        let lagging = reader(&self.catalog, |reader| walk.read.sync_behind(now(), &reader.known));
        if lagging && may_sync_behind(&self.catalog) {
            let at = Rc::clone(self);
            context.wait_until(async move {
                let half = at.policy.lag_bound / 2;
                if let Err(error) = sync(&at.env, &at.catalog, &at.edge, half, None).await {
                    console_warn!("{}@{}: {error}", at.catalog, at.edge);
                }
                synced_behind(&at.catalog);
            });
        }
    }

    async fn put_into_kv(&self, entry: &Entry, generation: Version) {
        let epoch = entry.envelope.position.epoch;
        let name = tiers::kv_name(&self.catalog, &epoch, &self.key, generation);
        if let Err(error) = tiers::kv_put(&self.env, &name, entry).await {
            console_warn!("{name} is not in KV: {error}");
        }
    }

    /// Fetches the entry anew, with the same care as a read that waits for it.
    async fn refetch(self: &Rc<Self>) {
        let mut walk = Walk::new(self, None);
        let step = reader(&self.catalog, |reader| walk.read.refetch(&reader.known));
        let answer = walk.continue_from(step).await;
        if let Some(entry) = walk.fill(&answer) {
            self.put_into_kv(&entry, walk.generation).await;
        }
    }
}

fn respond(request: &Request, walk: &Walk, answer: Answer, served: &Served) -> Result<Answered> {
    let entry = match answer {
        Answer::Serve { from, .. } => walk.held.get(&from),
        Answer::Removed { at, .. } => {
            return not_found(
                walk,
                served,
                served.position.map(|position| Position { version: at, ..position }),
            );
        }
        Answer::Fail(failure) => return Ok(Err(failed(walk, failure, served))),
    };
    let entry = entry.expect("what is served was held");
    if !entry.envelope.found {
        return not_found(walk, served, Some(entry.envelope.position));
    }
    headers::value_response(request, entry, served).map(Ok)
}

fn not_found(walk: &Walk, served: &Served, entry: Option<Position>) -> Result<Answered> {
    let problem = Problem::new(Code::NotFound, format!("{} has no {}", walk.at.catalog, walk.at.key));
    let found = walk.held.values().last().map(|entry| entry.envelope.fetched_at);
    headers::problem_with_proof(&problem, served, entry, found).map(Ok)
}

fn failed(walk: &Walk, failure: Failure, served: &Served) -> Problem {
    let lag = served.lag.map(|lag| lag.as_millis());
    match failure {
        Failure::BoundNotKept => {
            let bound = walk.at.policy.lag_bound.as_millis();
            let text = format!(
                "class {} promises a lag of {bound} ms, which cannot be proved now",
                walk.at.key.class()
            );
            Problem::new(Code::BoundNotKept, text).with("lag_ms", lag)
        }
        Failure::MinVersion => {
            let wanted = walk.at_least.map(|wanted| format!("{}:{}", wanted.epoch, wanted.version));
            Problem::new(Code::MinVersion, "the version asked for has not been heard here in time")
                .with("wanted", wanted)
                .with("position", served.position)
        }
        Failure::Origin => {
            let why = walk.origin_error.clone().unwrap_or_default();
            Problem::new(
                Code::OriginFailed,
                format!("the origin could not answer, and nothing may be served in its place: {why}"),
            )
        }
    }
}
