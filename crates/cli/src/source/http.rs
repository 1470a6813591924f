//! `newsreel source http`: asks addresses again and again, and publishes what changed.
//!
//! The feeds of the mapping file say what is asked. `round` decides, without I/O: which question is next, what is new,
//! and what is reached. `page`, `pages` and `xml` read answers, `seen` knows what was published, `verdict` judges a status, and
//! `pace` says when. `state` is what a file keeps. Around them, `client` asks, `mapped` makes publishes, `poller` is the
//! loop of one feed, and `whole` with `compared` is that of whole files.

mod client;
mod compared;
mod counts;
#[cfg(test)]
mod example;
mod files;
mod mapped;
mod pace;
mod page;
mod pages;
mod poller;
#[cfg(test)]
mod property;
mod question;
mod round;
mod seen;
mod state;
mod status;
mod verdict;
mod whole;
mod xml;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use newsreel_mapping::{Feed, Mapping, Skips};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::client::ApiClient;
use self::counts::FeedMetrics;
use self::files::FeedFiles;
use self::poller::{Entries, Origin, Poller};
use super::options::SourceOptions;
use super::outgoing::{Durable, Outgoing};
use super::snapshot::{Guard, MaxRemoved};
use super::watch::{Watch, Words};
use crate::broker::BrokerOptions;
use crate::exit::{Failure, asked_to_stop, note, print};
use crate::map;

/// The examples that `newsreel source http --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel source http --map newsreel-map.toml
  newsreel source http --map newsreel-map.toml --feed tmdb-movies --once
  newsreel source http --map newsreel-map.toml status --json";

/// The examples of `status`.
const STATUS_EXAMPLES: &str = "Examples:
  newsreel source http --map newsreel-map.toml status
  newsreel source http --map newsreel-map.toml status --json";

/// How many rounds may wait for room at the broker.
const WAITING_ROUNDS: usize = 4;

/// The command's own flags.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = false)]
pub(crate) struct HttpOptions {
    #[command(subcommand)]
    command: Option<HttpCommand>,
    #[command(flatten)]
    shared: SourceOptions,
    /// The folder of the files that tell a later run how far each feed has come. A run that finds none publishes
    /// everything that a feed's rules cover as changed, once.
    #[arg(long, env = "NEWSREEL_STATE", default_value = "newsreel-http", value_name = "FOLDER")]
    state: PathBuf,
    /// A feed to ask; may be given again [default: every feed of the file].
    #[arg(long, env = "NEWSREEL_FEED", value_name = "NAME", value_delimiter = ',')]
    feed: Vec<String>,
    /// Ask each feed until nothing more is there, and end: for cron and for CI. A failure ends it with exit code 6.
    #[arg(long, env = "NEWSREEL_ONCE", value_parser = BoolishValueParser::new())]
    once: bool,
    /// How many rows of a whole file may go at once: a part of them (20%), a number (500), or the greater of both. A file of
    /// which more are gone is refused as a whole.
    #[arg(long, env = "NEWSREEL_MAX_REMOVED", default_value = "20%,100", value_name = "PART")]
    max_removed: MaxRemoved,
    /// Let any number of rows go.
    #[arg(long, env = "NEWSREEL_ALLOW_REMOVALS", value_parser = BoolishValueParser::new())]
    allow_removals: bool,
}

/// The commands below `source http`.
#[derive(clap::Subcommand)]
enum HttpCommand {
    /// Show how far each feed has come, by the files of --state.
    ///
    /// The exit code is 6 if a feed had no good answer for three of its intervals, or never.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(StatusOptions),
}

/// The flags of `status`.
#[derive(clap::Args)]
struct StatusOptions {
    /// Print a JSON object a feed.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

impl HttpOptions {
    /// Returns the judgement of whole files.
    fn guard(&self) -> Guard {
        Guard { most: self.max_removed, allow_removals: self.allow_removals }
    }
}

/// Publishes until it is asked to stop, or does what the command below says.
pub(crate) async fn run(options: HttpOptions, mut broker: BrokerOptions) -> Result<(), Failure> {
    let path = options.shared.map.clone();
    let path = path.ok_or_else(|| Failure::Input("give the mapping with --map".to_owned()))?;
    let mapping = map::mapping(&path)?;
    let feeds = chosen(&mapping, &options.feed)?;
    if let Some(HttpCommand::Status(flags)) = &options.command {
        return status::show(&options.state, &feeds, flags.json);
    }
    if let Some(catalog) = &mapping.catalog {
        broker.catalog = catalog.clone();
    }
    let counts = FeedMetrics::default();
    let registered = counts.clone();
    let name = (!options.once).then(|| format!("http:{}", options.state.display()));
    let words = Words { upstream: "api", units: "answers", name };
    let register = |to: &mut _| registered.register(to);
    let watch = Watch::start(&options.shared, broker.clone(), words, register, |_| ()).await?;
    let (to, entries) = mpsc::channel(WAITING_ROUNDS);
    let pollers = pollers(&options, &Arc::new(mapping), feeds, &watch, &counts, &to)?;
    drop(to);
    publish(pollers, entries, &watch, broker, options.once).await
}

/// Returns the feeds of the file that are asked.
fn chosen(mapping: &Mapping, names: &[String]) -> Result<Vec<Feed>, Failure> {
    let known: BTreeSet<&str> = mapping.feeds.iter().map(|feed| feed.name.as_str()).collect();
    if known.is_empty() {
        return Err(Failure::Input("the mapping has no [[feed]]: write name, kind and url".to_owned()));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::Input(format!("the mapping has no feed {name:?}: its feeds are {known}")));
    }
    let is_chosen = |feed: &&Feed| names.is_empty() || names.contains(&feed.name);
    Ok(mapping.feeds.iter().filter(is_chosen).cloned().collect())
}

fn pollers(
    options: &HttpOptions,
    mapping: &Arc<Mapping>,
    feeds: Vec<Feed>,
    watch: &Arc<Watch>,
    counts: &FeedMetrics,
    entries: &Entries,
) -> Result<Vec<Poller>, Failure> {
    let poller = |feed: Feed| {
        let mut files = FeedFiles::of(&options.state, &feed);
        let state = files.open(&feed, mapping).map_err(anyhow::Error::from)?;
        if let Some(gap) = &state.reached.gap {
            note!("source: {}: {gap}", feed.name);
        }
        Ok(Poller {
            client: ApiClient::new(&feed)?,
            mapping: Arc::clone(mapping),
            files,
            state,
            entries: entries.clone(),
            watch: Arc::clone(watch),
            counts: counts.clone(),
            skips: Skips::default(),
            ahead: 0,
            restarts: 0,
            snapshots: None,
            guard: options.guard(),
            once: options.once,
            max_failures: options.shared.max_failures,
            feed,
        })
    };
    feeds.into_iter().map(poller).collect()
}

/// Sends what the feeds publish, until it is asked to stop or every feed has ended.
async fn publish(
    pollers: Vec<Poller>,
    mut entries: mpsc::Receiver<Vec<super::outgoing::Entry<Origin>>>,
    watch: &Arc<Watch>,
    broker: BrokerOptions,
    once: bool,
) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    let mut outgoing = Outgoing::new(broker);
    let mut running: JoinSet<Result<(), Failure>> = pollers.into_iter().map(Poller::run).collect();
    let mut failed = None;
    loop {
        tokio::select! {
            wake = outgoing.wake() => {
                let durable = outgoing.on_wake(wake).await?;
                watch.published(&durable, &outgoing);
                report(durable)?;
            }
            Some(more) = entries.recv(), if outgoing.has_room() => outgoing.add(more).await,
            ended = running.join_next() => match ended {
                // With --once a feed that failed does not keep the others from their end. A source that would go on
                // without one of its feeds ends, for whoever started it to see.
                Some(Ok(Err(failure))) => {
                    failed.get_or_insert(failure);
                    if !once {
                        break;
                    }
                }
                Some(Ok(Ok(()))) => {}
                Some(Err(error)) => return Err(anyhow::Error::from(error).into()),
                None => break,
            },
            () = &mut stop => break,
        }
    }
    outgoing.finish().await;
    failed.map_or(Ok(()), Err)
}

/// Prints a line of JSON for each version, and says that rounds are durable.
fn report(durable: Vec<Durable<Origin>>) -> Result<(), Failure> {
    let mut lines = String::new();
    let mut done = Vec::new();
    for Durable { of, receipt, .. } in durable {
        let line = json!({
            "feed": &*of.feed, "part": of.part, "answered_at": of.at, "version": receipt.version,
            "position": receipt.position, "at": receipt.at, "changes": receipt.changes,
        });
        lines += &format!("{line}\n");
        done.extend(of.done);
    }
    if !lines.is_empty() {
        print(&lines)?;
    }
    for done in done {
        // A feed that is gone needs no answer.
        let _ = done.send(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feeds_of_the_documents_are_right() {
        let text = include_str!("../../../../docs/sources.md");
        let (_, section) = text.split_once("\n## Polling an API\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let blocks = section.split("```toml\n").skip(1).map(|block| block.split_once("```").unwrap().0);
        let mapping = Mapping::parse(&blocks.collect::<String>()).unwrap_or_else(|why| panic!("{why}"));
        let names: Vec<&str> = mapping.feeds.iter().map(|feed| feed.name.as_str()).collect();
        assert_eq!(names, ["tmdb-movies", "tvdb", "gracenote-programs", "guide"]);
        let chosen = chosen(&mapping, &["guide".to_owned()]).unwrap();
        assert_eq!(chosen.len(), 1);
    }
}
