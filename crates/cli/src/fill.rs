//! `newsreel fill`: writes the hot set ahead, so that the first reader after a start finds it.
//!
//! The keys go either through an edge, or past it into KV by Cloudflare's API. A run can be stopped at any
//! moment: with a resume file the next run goes on, and without one the next run asks again for entries that
//! are there.

mod edge;
pub(crate) mod keys;
pub(crate) mod kv;
mod progress;
mod resume;

use std::collections::HashSet;
use std::path::PathBuf;

use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::Key;
use newsreel_core::wire::keys::MAX_KEYS;

use crate::broker::BrokerOptions;
use crate::exit::{Failure, asked_to_stop, note};
use crate::input;
use keys::Hot;
use kv::{Kv, KvOptions};
use progress::{Progress, Throttle};
use resume::{ResumeFile, Run};

/// The examples that `newsreel fill --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel fill hot.ndjson --top 10000 --token dev-admin
  newsreel fill hot.ndjson --rate 20 --resume fill.done --token dev-admin
  newsreel fill hot.ndjson --namespace-id ID --account-id ID --origin https://origin.example --token dev-follow";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct FillOptions {
    /// The file: one key a line, plain or as JSON such as {"key":"title:1","reads":7}; `-` reads stdin. With
    /// "reads" the keys that are read most come first. A line that names no key is reported with its number,
    /// and skipped.
    #[arg(env = "NEWSREEL_FILL_FILE")]
    file: PathBuf,
    /// The most keys to fill.
    #[arg(long, env = "NEWSREEL_TOP", value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// The most keys to begin in a second.
    #[arg(long, env = "NEWSREEL_RATE", value_name = "KEYS", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The most requests under way at once.
    #[arg(long, env = "NEWSREEL_PARALLEL", value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    /// Keep the keys that are done in this file, and skip the keys that it lists.
    #[arg(long, env = "NEWSREEL_FILL_RESUME", value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    kv: KvOptions,
}

/// Fills, and reports the result of every key.
pub(crate) async fn run(options: FillOptions, at: BrokerOptions) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    // A line that is not UTF-8 names no key, and is reported as such.
    let text = String::from_utf8_lossy(&input::bytes(&options.file)?).into_owned();
    let (mut hot, bad) = keys::read(&text, usize::try_from(options.top).unwrap_or(usize::MAX));
    for bad in &bad {
        note!("fill: line {}: {}; skipped", bad.number, bad.error);
    }
    if hot.is_empty() {
        return Err(Failure::Input(format!("{} names no key", options.file.display())));
    }
    let all = hot.len();
    let (done, before) = match &options.resume {
        Some(path) => {
            ResumeFile::open(path, &run_of(&text, &options, &at)).map(|(done, keys)| (Some(done), keys))?
        }
        None => (None, HashSet::new()),
    };
    hot.retain(|hot| !before.contains(hot.key.as_str()));
    let mut progress = Progress::new(hot.len(), all - hot.len(), done);
    let work = work(&options, &at, &hot, &mut progress);
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = stop => Ok(()),
    };
    let (left, finished) = (progress.left(), progress.finish());
    if left > 0 {
        let how = if options.resume.is_some() { "goes on from here" } else { "finds what is there" };
        note!("  {left} not asked for: the same command {how}");
    }
    outcome.and(finished)
}

async fn work(
    options: &FillOptions,
    at: &BrokerOptions,
    hot: &[Hot],
    progress: &mut Progress,
) -> Result<(), Failure> {
    let (pace, parallel) = (Throttle::new(options.rate), usize::from(options.parallel));
    // At most the keys that may begin in one second.
    let most = usize::try_from(options.rate).unwrap_or(MAX_KEYS).clamp(1, MAX_KEYS);
    let keys = |batch: &[Hot]| batch.iter().map(|hot| hot.key.clone()).collect::<Vec<_>>();
    let Some(mut kv) = Kv::new(&options.kv, at, parallel)? else {
        let batches: Vec<Vec<Key>> = hot.chunks(most).map(keys).collect();
        return edge::run(at, &batches, parallel, &pace, progress).await;
    };
    for batch in hot.chunks(most) {
        pace.wait(batch.len()).await;
        let outcome = kv.fill(batch).await?;
        progress.take(&keys(batch), outcome)?;
    }
    Ok(())
}

fn run_of(text: &str, options: &FillOptions, at: &BrokerOptions) -> Run {
    let namespace = options.kv.namespace_id.as_ref().map(|id| format!("the KV namespace {id}"));
    let to = namespace.unwrap_or_else(|| at.broker.to_string());
    Run { catalog: at.catalog.to_string(), input: etag_of(text.as_bytes()), to }
}
