//! The deployment's variables, read once per isolate and checked.

use std::cell::OnceCell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{JSON, Reflect};
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::{Catalog, Code, Problem};
use wasm_bindgen::JsValue;
use worker::{Env, Request, web_sys};

use crate::js;

/// The binding of the KV namespace.
pub(crate) const ENTRIES: &str = "ENTRIES";
/// The binding of the R2 bucket; a deployment may have none.
pub(crate) const COPIES: &str = "COPIES";
/// The binding of the replicas' namespace.
pub(crate) const REPLICA: &str = "REPLICA";
/// The binding of the broker's namespace; absent where `BROKER_URL` names another deployment's.
pub(crate) const BROKER: &str = "BROKER";

/// What the deployment says.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where values come from, without a trailing slash.
    pub(crate) origin: String,
    /// The name of this edge; by default the Cloudflare location's.
    pub(crate) edge: Option<String>,
    /// Whether an R2 bucket is bound.
    pub(crate) has_r2: bool,
    /// The broker of another deployment, without a trailing slash.
    pub(crate) broker: Option<String>,
    /// The edge that tends KV; every one when absent.
    pub(crate) kv_tender: Option<String>,
    /// What each class promises.
    pub(crate) policies: Policies,
    /// How long the origin may take to answer.
    pub(crate) origin_timeout: Duration,
    /// How many fetches of the origin an isolate has under way at once.
    pub(crate) origin_concurrency: usize,
    /// How many values a replica fetches ahead of their readers in a minute.
    pub(crate) refresh_per_minute: u64,
    /// The catalogs whose hottest entries are fetched ahead by the clock.
    pub(crate) fill_catalogs: Vec<Catalog>,
    /// How many of each.
    pub(crate) fill_top: u64,
}

thread_local! {
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

/// Returns the deployment's configuration.
///
/// # Errors
/// `misconfigured`, naming the variable and what to write there.
pub(crate) fn config(env: &Env) -> Result<Rc<Config>, Problem> {
    CONFIG.with(|cell| match cell.get() {
        Some(config) => Ok(Rc::clone(config)),
        None => {
            let config = Rc::new(Config::from_env(env)?);
            Ok(Rc::clone(cell.get_or_init(|| config)))
        }
    })
}

impl Config {
    fn from_env(env: &Env) -> Result<Self, Problem> {
        let origin = address(env, "ORIGIN_URL")?
            .ok_or_else(|| wrong("ORIGIN_URL is not set: name the server that has the values"))?;
        Ok(Self {
            origin,
            edge: text(env, "EDGE"),
            has_r2: has_r2(env),
            broker: address(env, "BROKER_URL")?,
            kv_tender: text(env, "KV_TENDER"),
            policies: policies(env)?,
            origin_timeout: Duration::from_millis(number(env, "ORIGIN_TIMEOUT_MS", 10_000, 1..=60_000)?),
            // Six requests of an isolate may wait for their headers at once, and KV and R2 need some.
            origin_concurrency: usize::try_from(number(env, "ORIGIN_CONCURRENCY", 4, 1..=6)?).unwrap_or(4),
            refresh_per_minute: number(env, "REFRESH_PER_MINUTE", 300, 0..=60_000)?,
            fill_catalogs: fill_catalogs(env)?,
            fill_top: number(env, "FILL_TOP", 10_000, 1..=100_000)?,
        })
    }

    /// Returns the name of the edge that serves this request.
    pub(crate) fn edge(&self, request: &Request) -> String {
        let location = || request.cf().map(worker::Cf::colo).filter(|colo| !colo.is_empty());
        self.edge.clone().or_else(location).unwrap_or_else(|| "local".to_owned())
    }

    /// Says whether the replica of `edge` tends KV.
    pub(crate) fn tends_kv(&self, edge: &str) -> bool {
        self.kv_tender.as_deref().is_none_or(|tender| tender == edge)
    }
}

fn has_r2(env: &Env) -> bool {
    js::binding::<JsValue>(env, COPIES).is_some()
}

fn policies(env: &Env) -> Result<Policies, Problem> {
    let value = Reflect::get(env, &"POLICY".into()).unwrap_or(JsValue::UNDEFINED);
    // A table of wrangler.toml comes as an object, a variable set by hand as its JSON.
    let json = match value.as_string() {
        Some(text) => text,
        None if value.is_undefined() => String::new(),
        None => JSON::stringify(&value).map(String::from).unwrap_or_default(),
    };
    let policies = Policies::from_json(&json).map_err(wrong)?;
    let mut quorum = policies.classes().filter(|(_, policy)| policy.quorum && !has_r2(env));
    let unkept = quorum.next().map(|(class, _)| class.to_owned());
    drop(quorum);
    match unkept {
        Some(class) => Err(wrong(format!(
            "POLICY: class {class} asks for a quorum, which takes R2: bind a bucket as {COPIES}, or write quorum = false"
        ))),
        None => Ok(policies),
    }
}

fn fill_catalogs(env: &Env) -> Result<Vec<Catalog>, Problem> {
    let list = text(env, "FILL_CATALOGS").unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| Catalog::new(name).map_err(|why| wrong(format!("FILL_CATALOGS: {name:?}: {why}"))))
        .collect()
}

/// Returns a whole number that a variable gives as a text.
fn number(env: &Env, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let Some(text) = text(env, name) else { return Ok(default) };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        wrong(format!("{name} is a whole number from {least} to {most}, not {text:?}"))
    })
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Misconfigured, detail)
}

/// Returns a variable's text; an empty one counts as absent.
fn text(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &name.into()).ok()?.as_string()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn address(env: &Env, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = text(env, name) else { return Ok(None) };
    // What the platform would fetch: it alone knows what is an address.
    let url = web_sys::Request::new_with_str(&text).map(|request| request.url()).unwrap_or_default();
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(wrong(format!("{name} is an http or https address, not {text:?}")));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}
