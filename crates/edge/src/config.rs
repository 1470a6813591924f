//! The deployment's variables, read once per isolate and checked.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::Reflect;
use newsreel_core::access::cors::Origins;
use newsreel_core::read::policy::Policies;
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, Code, Problem};
use newsreel_gate::{Deployment, once};
use worker::worker_sys::ext::RequestExt as _;
use worker::{Env, web_sys};

/// The binding of the KV namespace.
pub(crate) const ENTRIES: &str = variables::ENTRIES.name;
/// The binding of the R2 bucket; a deployment may have none.
pub(crate) const COPIES: &str = variables::COPIES.name;
/// The binding of the replicas' namespace.
pub(crate) const REPLICA: &str = variables::REPLICA.name;
/// The binding of the broker's namespace; absent where `BROKER_URL` names another deployment's.
pub(crate) const BROKER: &str = variables::BROKER.name;

/// The variables and bindings of the deployment, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The address of the origin, which has the values, without a trailing slash; `None` where callers fill the tiers.
    pub(crate) origin: Option<String>,
    /// The name of this edge; by default the Cloudflare location's.
    pub(crate) edge: Option<String>,
    /// Whether an R2 bucket is bound.
    pub(crate) has_r2: bool,
    /// The address of another deployment's broker, without a trailing slash; `None` for our own.
    pub(crate) broker: Option<String>,
    /// The edge whose replica tends KV; `None` where every edge's does.
    pub(crate) kv_tender: Option<String>,
    /// The policy of each class of keys, from `POLICY`.
    pub(crate) policies: Policies,
    /// How long the origin may take to answer.
    pub(crate) origin_timeout: Duration,
    /// How many fetches of the origin an isolate has under way at once.
    pub(crate) origin_concurrency: usize,
    /// How many values a replica prefetches in a minute, before their readers ask.
    pub(crate) refresh_per_minute: u64,
    /// The catalogs whose hottest entries are prefetched by the cron trigger.
    pub(crate) fill_catalogs: Vec<Catalog>,
    /// How many keys of each of these catalogs are prefetched.
    pub(crate) fill_top: u64,
    /// The catalogs of which keys are checked by the cron trigger [`Config::verify_cron`].
    pub(crate) verify_catalogs: Vec<Catalog>,
    /// How many keys of each of these catalogs a run checks.
    pub(crate) verify_per_run: u64,
    /// The cron trigger whose runs check keys.
    pub(crate) verify_cron: String,
    /// Whether responses carry the tags of a value, as `Cache-Tag`.
    pub(crate) send_cache_tag: bool,
    /// The address whose answers are passed on while Newsreel's own are only compared; `None` outside shadow mode.
    pub(crate) shadow: Option<String>,
    /// Whether the letters of tags are read in lower case.
    pub(crate) fold_tags: bool,
    /// Whether `ALLOWED_ORIGINS` lists any web page.
    pub(crate) shown_to_pages: bool,
}

thread_local! {
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
    static LOCATION: OnceCell<String> = const { OnceCell::new() };
}

/// Returns the deployment's configuration.
///
/// # Errors
/// `misconfigured`, naming the variable and what to write there.
pub(crate) fn config(env: &Env) -> Result<Rc<Config>, Problem> {
    once(&CONFIG, || Config::from_env(env))
}

impl Config {
    fn from_env(env: &Env) -> Result<Self, Problem> {
        let given = Deployment(env);
        Ok(Self {
            origin: given.read(&variables::ORIGIN_URL)?,
            edge: given.read(&variables::EDGE)?,
            has_r2: has_r2(env),
            broker: given.read(&variables::BROKER_URL)?,
            kv_tender: given.read(&variables::KV_TENDER)?,
            policies: policies(env)?,
            origin_timeout: Duration::from_millis(given.read(&variables::ORIGIN_TIMEOUT_MS)?),
            origin_concurrency: count(given.read(&variables::ORIGIN_CONCURRENCY)?),
            refresh_per_minute: given.read(&variables::REFRESH_PER_MINUTE)?,
            fill_catalogs: given.read(&variables::FILL_CATALOGS)?,
            fill_top: given.read(&variables::FILL_TOP)?,
            verify_catalogs: given.read(&variables::VERIFY_CATALOGS)?,
            verify_per_run: given.read(&variables::VERIFY_PER_RUN)?,
            verify_cron: given.read(&variables::VERIFY_CRON)?,
            send_cache_tag: given.read(&variables::SEND_CACHE_TAG)?,
            shadow: given.read(&variables::SHADOW)?,
            fold_tags: given.read(&variables::TAGS_FOLD_CASE)?,
            shown_to_pages: given.read(&variables::ALLOWED_ORIGINS)? != Origins::default(),
        })
    }

    /// Returns the address of the origin.
    ///
    /// # Errors
    /// `misconfigured` where no origin is configured.
    pub(crate) fn origin(&self) -> Result<&str, Problem> {
        let unset = || wrong("ORIGIN_URL is not set: name the server that has the values");
        self.origin.as_deref().ok_or_else(unset)
    }

    /// Returns the name of this edge. An isolate stays at one location, which the first request that has one names.
    pub(crate) fn edge(&self, request: &web_sys::Request) -> String {
        self.edge_at(|| location(request))
    }

    /// Returns the name of this edge, for a call that is no request; `location` is asked where none is known yet.
    pub(crate) fn edge_at(&self, location: impl FnOnce() -> Option<String>) -> String {
        if let Some(edge) = &self.edge {
            return edge.clone();
        }
        LOCATION.with(|known| match known.get() {
            Some(known) => known.clone(),
            // A call through a service binding may name none: then it is not remembered.
            None => location().map_or_else(|| "local".to_owned(), |at| known.get_or_init(|| at).clone()),
        })
    }

    /// Says whether the replica of `edge` tends KV.
    pub(crate) fn tends_kv(&self, edge: &str) -> bool {
        self.kv_tender.as_deref().is_none_or(|tender| tender == edge)
    }
}

fn location(request: &web_sys::Request) -> Option<String> {
    // On `workerd serve` a request has no `cf`, or one without a location.
    let colo = request.cf().and_then(|cf| Reflect::get(&cf, &"colo".into()).ok()?.as_string());
    colo.filter(|colo| !colo.is_empty())
}

fn has_r2(env: &Env) -> bool {
    env.bucket(COPIES).is_ok()
}

fn policies(env: &Env) -> Result<Policies, Problem> {
    let policies = Deployment(env).read(&variables::POLICY)?;
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

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Misconfigured, detail)
}
