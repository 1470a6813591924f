//! The cron triggers: one checks keys, and every other lists the origin's hot keys at an off-peak hour, for replicas to prefetch
//! them.

use std::rc::Rc;

use futures_util::future::join_all;
use newsreel_core::wire::{Catalog, Key};
use worker::{Env, Fetch, Headers, Result, console_error, console_log};

use crate::config::{Config, config};
use crate::http;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::edges::online;
use crate::reader::self_check;
use crate::reader::sync::post;
use crate::streams;
use crate::tiers::origin::response_of;

/// The edge whose replica prefetches and keeps what checks found, where neither `KV_TENDER` nor `EDGE` names one.
const NOBODY: &str = "clock";

/// How many keys one call hands a replica: their JSON stays below the 2 MB of a bound text.
const KEYS_A_CALL: usize = 2_000;

/// Checks keys of each catalog in `VERIFY_CATALOGS`, if `cron` is the trigger for that. Otherwise asks the origin for the hot keys
/// of each catalog in `FILL_CATALOGS`, and has a replica prefetch them.
///
/// A catalog that fails is logged and not retried: the next run asks again.
pub async fn scheduled(env: Env, cron: &str) {
    let config = match config(&env) {
        Ok(config) => config,
        Err(problem) => return console_error!("{}", problem.detail()),
    };
    if cron.split_whitespace().eq(config.verify_cron.split_whitespace()) {
        return check_all(&env, &config).await;
    }
    for catalog in &config.fill_catalogs {
        match list(&env, &config, catalog).await {
            Ok(listed) => console_log!("{catalog}: {listed} hot keys are fetched ahead"),
            Err(error) => console_error!("{catalog}: no hot keys: {error}"),
        }
    }
}

/// Checks keys of all catalogs at once: most of a check is waiting.
async fn check_all(env: &Env, config: &Rc<Config>) {
    let checks =
        config.verify_catalogs.iter().map(async |catalog| match check_some(env, config, catalog).await {
            Ok(checked) => console_log!("{catalog}: {checked} keys are checked"),
            Err(error) => console_error!("{catalog}: keys are not checked: {error}"),
        });
    join_all(checks).await;
}

/// Checks keys of a catalog at this edge, or at one that follows the catalog where this one has no name; returns how many.
async fn check_some(env: &Env, config: &Rc<Config>, catalog: &Catalog) -> Result<usize> {
    config.origin().map_err(|problem| problem.detail().to_owned())?;
    let home = home(config);
    let at = |edge: String| ReadContext::new(env.clone(), Rc::clone(config), catalog.clone(), edge);
    let context = at(home.clone());
    if home != NOBODY {
        return self_check::check(&context, config.verify_per_run, &home).await;
    }
    let edges = online(&context).await?;
    let mut chosen = [0; 4];
    getrandom::fill(&mut chosen).map_err(|error| error.to_string())?;
    let chosen = usize::try_from(u32::from_le_bytes(chosen)).unwrap_or_default().checked_rem(edges.len());
    let Some(edge) = chosen.and_then(|chosen| edges.get(chosen)) else { return Ok(0) };
    self_check::check(&at(edge.clone()), config.verify_per_run, &home).await
}

/// Returns the edge whose replica takes what scheduled runs have to keep.
pub(crate) fn home(config: &Config) -> String {
    config.kv_tender.clone().or_else(|| config.edge.clone()).unwrap_or_else(|| NOBODY.to_owned())
}

/// Lists the hot keys of a catalog; returns how many.
async fn list(env: &Env, config: &Rc<Config>, catalog: &Catalog) -> Result<usize> {
    let origin = config.origin().map_err(|problem| problem.detail().to_owned())?;
    let url = format!("{origin}/{catalog}?hot={}", config.fill_top);
    let response = Fetch::Request(http::get(&url, &Headers::new())?).send().await?;
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let codings = response_of(&response, &header, config).list().map_err(|why| why.to_string())?;
    let keys = keys_of(&streams::read_body_text(&response, &codings).await?, config.fill_top)?;
    let edge = home(config);
    let (env, config, catalog) = (env.clone(), Rc::clone(config), catalog.clone());
    let context = ReadContext::new(env, config, catalog, edge);
    // The hottest first: the first of n counts n reads.
    let ranked: Vec<(&Key, usize)> = keys.iter().zip((0..=keys.len()).rev()).collect();
    for some in ranked.chunks(KEYS_A_CALL) {
        post(&context, Call::HotList, &serde_json::to_string(some)?).await?;
    }
    Ok(keys.len())
}

/// Reads a hot list: lines of JSON with a `key`, the hottest first.
fn keys_of(lines: &str, most: u64) -> Result<Vec<Key>> {
    #[derive(serde::Deserialize)]
    struct Line {
        key: Key,
    }
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    lines
        .take(most)
        .map(|line| {
            let line: Line =
                serde_json::from_str(line).map_err(|why| format!("{line:?} is no key: {why}"))?;
            Ok(line.key)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_list_is_lines_of_json_with_a_key() {
        let lines = "{\"key\":\"title:2\",\"reads\":7}\n\n{\"key\":\"title:1\"}\n{\"key\":\"title:3\"}\n";
        let keys: Vec<String> = keys_of(lines, 2).unwrap().into_iter().map(String::from).collect();
        assert_eq!(keys, ["title:2", "title:1"]);
        assert!(keys_of("title:1", 2).is_err());
    }
}
