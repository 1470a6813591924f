//! Filling past the edge: from the origin into KV, by Cloudflare's API.
//!
//! The same code as in an edge judges and encodes. The position is taken before the origin is asked and
//! stamps the entry; before a write the log is read again, and an entry that a change has overtaken is
//! dropped and fetched anew. KV has no conditional write, so the fill looks at KV before the fetch and again
//! right before the write. If an older entry replaces a newer one in the moment between, the floors still
//! judge the older one: that costs a fetch alone.

mod api;
mod log;
pub(crate) mod origin;

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, stream};
use newsreel_core::read::cache::FETCHES;
use newsreel_core::read::entry_names::kv_name;
use newsreel_core::read::floors::Judgement;
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::{Key, Position, Version};
use reqwest::Url;

use super::keys::Hot;
use super::progress::{BatchOutcome, Failed};
use crate::broker::{BrokerOptions, Token};
use crate::exit::{Failure, note};
use crate::{check, http};
use api::{Held, KvApi, Pair};
use log::LogReader;
use origin::{Fetched, KV_VALUE_BYTES, Missed, OriginClient, now};

/// So many bytes are gathered before they are written. One more value and base64 keep it below the API's 100
/// MB.
const WRITE_BYTES: usize = 40 << 20;
const WRANGLER_TOML: &str = "wrangler.toml";

/// Flags for the way past the edge.
#[derive(clap::Args)]
#[command(next_help_heading = "Into KV by Cloudflare's API (given --namespace-id)")]
pub(crate) struct KvOptions {
    /// The KV namespace that the deployment binds as ENTRIES. --token is then a token that may follow.
    #[arg(long, env = "NEWSREEL_NAMESPACE_ID", hide_env_values = true, value_name = "ID")]
    #[arg(requires_all = ["account_id", "api_token"])]
    pub(super) namespace_id: Option<String>,
    /// The Cloudflare account of the namespace.
    #[arg(long, env = "CLOUDFLARE_ACCOUNT_ID", hide_env_values = true, value_name = "ID")]
    account_id: Option<String>,
    /// An API token with the permission "Workers KV Storage Write".
    #[arg(long, env = "CLOUDFLARE_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<Token>,
    /// The address of Cloudflare's API.
    #[arg(long, env = "NEWSREEL_API_BASE", default_value = "https://api.cloudflare.com/client/v4")]
    #[arg(value_name = "URL", value_parser = http::server)]
    api_base: Url,
    /// The address of the origin: ORIGIN_URL of the deployment.
    #[arg(long, env = "NEWSREEL_ORIGIN", default_value = "http://127.0.0.1:8788", value_name = "URL")]
    #[arg(value_parser = http::server)]
    origin: Url,
    /// The deployment's configuration, whose POLICY says how long an entry lives [default: wrangler.toml, if
    /// it exists].
    #[arg(long, env = "NEWSREEL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The environment [env.NAME] of the configuration.
    #[arg(long, env = "NEWSREEL_ENV", value_name = "NAME")]
    env: Option<String>,
}

/// The way of a fill past the edge into one KV namespace.
pub(super) struct Kv {
    at: BrokerOptions,
    api: KvApi,
    log: LogReader,
    origin: OriginClient,
    /// The origin's address, for the message that it cannot be reached.
    origin_address: Url,
    parallel: usize,
}

impl Kv {
    /// Returns the filler of the namespace that the flags name, if they name one.
    pub(super) fn new(
        options: &KvOptions,
        at: &BrokerOptions,
        parallel: usize,
    ) -> Result<Option<Self>, Failure> {
        let KvOptions {
            namespace_id: Some(namespace),
            account_id: Some(account),
            api_token: Some(token),
            ..
        } = options
        else {
            return Ok(None);
        };
        let (account, namespace, bearer) = (account.clone(), namespace.clone(), token.bearer()?);
        Ok(Some(Self {
            at: at.clone(),
            api: KvApi::new(&options.api_base, account, namespace, bearer, at.retry_for())?,
            log: LogReader::new(at)?,
            origin: origin(options, at)?,
            origin_address: options.origin.clone(),
            parallel,
        }))
    }

    /// Fills at most 100 keys.
    pub(super) async fn fill(&mut self, keys: &[Hot]) -> Result<BatchOutcome, Failure> {
        let mut outcome = BatchOutcome::default();
        let mut wanted = keys.to_vec();
        for _ in 0..FETCHES {
            let position = self.log.catch_up().await?;
            wanted = self.without_removed(wanted, &mut outcome);
            wanted = self.without_held(wanted, position, &mut outcome).await?;
            if wanted.is_empty() {
                return Ok(outcome);
            }
            wanted = self.fetch(wanted, position, &mut outcome).await?;
        }
        wanted = self.without_removed(wanted, &mut outcome);
        outcome.failed.extend(wanted.into_iter().map(|Hot { key, .. }| {
            let detail = format!("changes overtook the origin's answers, {FETCHES} times");
            Failed { key, code: "overtaken".to_owned(), detail }
        }));
        Ok(outcome)
    }

    /// Takes out the keys that the log says are removed: a read never asks KV for them.
    fn without_removed(&self, keys: Vec<Hot>, outcome: &mut BatchOutcome) -> Vec<Hot> {
        let (removed, left): (Vec<Hot>, _) =
            keys.into_iter().partition(|hot| self.log.floors().removed(&hot.key).is_some());
        outcome.absent.extend(removed.into_iter().map(|hot| hot.key));
        left
    }

    /// Takes out the keys whose entry in KV is to stay.
    async fn without_held(
        &self,
        keys: Vec<Hot>,
        position: Position,
        outcome: &mut BatchOutcome,
    ) -> Result<Vec<Hot>, Failure> {
        let names: Vec<String> = keys.iter().map(|hot| self.name(&hot.key, position)).collect();
        let held = self.api.look(&names).await?;
        let is_kept = |(hot, name): &(Hot, String)| {
            held.get(name).is_some_and(|held| self.keeps(&hot.key, position.version, position, held))
        };
        let (kept, left): (Vec<_>, Vec<_>) = keys.into_iter().zip(names).partition(is_kept);
        outcome.kept.extend(kept.into_iter().map(|(hot, _)| hot.key));
        Ok(left.into_iter().map(|(hot, _)| hot).collect())
    }

    /// Fetches and stores; returns the keys that changes have overtaken.
    async fn fetch(
        &mut self,
        keys: Vec<Hot>,
        position: Position,
        outcome: &mut BatchOutcome,
    ) -> Result<Vec<Hot>, Failure> {
        let asked = keys.len();
        let fetches: Vec<_> = keys.into_iter().map(|hot| self.origin.clone().fetch(hot, position)).collect();
        let mut fetched = stream::iter(fetches).buffer_unordered(self.parallel);
        let (mut landed, mut bytes, mut overtaken, mut silent) = (Vec::new(), 0, Vec::new(), 0);
        while let Some(one) = fetched.next().await {
            match one {
                Ok(entry) if entry.bytes.len() > KV_VALUE_BYTES => outcome.failed.push(too_large(entry)),
                Ok(entry) => {
                    bytes += entry.bytes.len();
                    landed.push(entry);
                }
                Err(Missed { hot, code, why, answered }) => {
                    silent += usize::from(!answered);
                    if silent == asked && asked > 1 {
                        return Err(Failure::Unreachable { what: self.origin_address.to_string(), why });
                    }
                    outcome.failed.push(Failed { key: hot.key, code: code.to_owned(), detail: why });
                }
            }
            if bytes >= WRITE_BYTES {
                bytes = 0;
                overtaken.extend(self.store(std::mem::take(&mut landed), outcome).await?);
            }
        }
        overtaken.extend(self.store(landed, outcome).await?);
        Ok(overtaken)
    }

    /// Stores the fetched entries; returns the keys that changes have overtaken since they were asked for.
    async fn store(&mut self, landed: Vec<Fetched>, outcome: &mut BatchOutcome) -> Result<Vec<Hot>, Failure> {
        if landed.is_empty() {
            return Ok(Vec::new());
        }
        let position = self.log.catch_up().await?;
        let (landed, overtaken): (Vec<_>, Vec<_>) =
            landed.into_iter().partition(|entry| self.is_clear(entry, position));
        let names: Vec<String> = landed.iter().map(|entry| self.name(&entry.hot.key, position)).collect();
        let held = self.api.look(&names).await?;
        let (mut pairs, mut written) = (Vec::new(), Vec::new());
        for (entry, name) in landed.into_iter().zip(names) {
            let Fetched { hot, envelope, bytes } = entry;
            let version = envelope.position.version;
            if held.get(&name).is_some_and(|held| self.keeps(&hot.key, version, position, held)) {
                outcome.kept.push(hot.key);
                continue;
            }
            written.push((hot.key, envelope.found, name.clone()));
            let (version, life) = (version.number(), envelope.stale_until.since(now()));
            pairs.push(Pair { name, bytes, life, version, popularity: hot.reads });
        }
        let mut unwritten = if pairs.is_empty() { Default::default() } else { self.api.put(&pairs).await? };
        for (key, found, name) in written {
            match unwritten.remove(&name) {
                Some(detail) => outcome.failed.push(Failed { key, code: "not-written".to_owned(), detail }),
                None if found => outcome.filled.push(key),
                None => outcome.absent.push(key),
            }
        }
        Ok(overtaken.into_iter().map(|entry| entry.hot).collect())
    }

    /// Says whether an entry of this fill may be served still.
    fn is_clear(&self, entry: &Fetched, position: Position) -> bool {
        let Fetched { hot, envelope, .. } = entry;
        let judgement = self.log.floors().judge(&hot.key, envelope.position.version, envelope.carries());
        envelope.position.epoch == position.epoch && matches!(judgement, Judgement::Clear | Judgement::Soft)
    }

    /// Says whether KV's entry is to stay: it may be served as fresh, or is not older than a fill at
    /// `version`.
    fn keeps(&self, key: &Key, version: Version, position: Position, held: &Held) -> bool {
        let is_newer = held.version.is_some_and(|held| held > version.number());
        let Some(envelope) = &held.envelope else {
            return is_newer || held.version == Some(version.number());
        };
        let judgement = self.log.floors().judge(key, envelope.position.version, envelope.carries());
        let is_of_this_log = envelope.position.epoch == position.epoch;
        let is_fresh = is_of_this_log && judgement == Judgement::Clear && now() < envelope.expires_at;
        is_newer || is_fresh
    }

    /// Returns the name in KV of the key's current generation, which an edge with the same floors asks for.
    fn name(&self, key: &Key, position: Position) -> String {
        let generation = self.log.floors().generation(key);
        kv_name(&self.at.catalog, &position.epoch, key, generation)
    }
}

fn too_large(entry: Fetched) -> Failed {
    let detail = format!("{} bytes with their envelope, and KV takes {KV_VALUE_BYTES}", entry.bytes.len());
    Failed { key: entry.hot.key, code: "too-large".to_owned(), detail }
}

/// Returns the origin, read by the policies of the deployment, so that a filled entry lives as long as one
/// that an edge writes.
fn origin(options: &KvOptions, at: &BrokerOptions) -> Result<OriginClient, Failure> {
    let beside = Path::new(WRANGLER_TOML);
    let path = options.config.as_deref().or_else(|| beside.exists().then_some(beside));
    let (policies, fold_tags) = if let Some(path) = path {
        note!("fill: entries live as {} says", path.display());
        let env = options.env.as_deref();
        (check::policies(path, env)?, check::folds_tags(path, env)?)
    } else {
        note!(
            "fill: there is no {WRANGLER_TOML} here, so entries live as the default policies say; --config names another"
        );
        (Policies::default(), false)
    };
    OriginClient::new(&options.origin, &at.catalog, policies, fold_tags)
}
