//! `newsreel publish`: one publish, or one a line, under idempotency keys, until it is acknowledged.

mod keys;
mod lines;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use newsreel_core::wire::publish;
use newsreel_core::wire::{
    Change, Epoch, Expect, Operation, Prefix, Publish, Tag, Target, Traceparent, Version,
};

use crate::broker::{BrokerClient, BrokerOptions, Wait};
use crate::exit::{Failure, print};
use crate::http::{call_with_retries, random_u32};
use crate::input;
use keys::KeyChanges;

/// The examples that `newsreel publish --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel publish --key title:1 --token dev-publish
  newsreel publish --key title:1 --op remove
  newsreel publish --tag platform:netflix --soft
  newsreel publish --all --expect-version 46
  newsreel publish --file changes.json --wait-applied
  printf '{\"key\":\"title:1\"}\\n{\"key\":\"title:2\"}\\n' | newsreel publish --ndjson -";

/// The command's own flags.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(
    ["keys", "changed_tags", "prefixes", "all", "file", "ndjson"]
))]
pub(crate) struct PublishOptions {
    #[command(flatten)]
    keys: KeyChanges,
    /// A tag: every entry that carries it changed. May be repeated.
    #[arg(long = "tag", env = "NEWSREEL_TAG", value_name = "TAG")]
    changed_tags: Vec<Tag>,
    /// A prefix: every key that begins with it changed. May be repeated.
    #[arg(long = "prefix", env = "NEWSREEL_PREFIX", value_name = "PREFIX")]
    prefixes: Vec<Prefix>,
    /// Everything changed.
    #[arg(long, env = "NEWSREEL_ALL", value_parser = BoolishValueParser::new())]
    all: bool,
    /// A file with one publish as JSON; `-` reads stdin.
    #[arg(long, env = "NEWSREEL_FILE", value_name = "FILE", conflicts_with_all = [
        "keys", "op", "tags", "changed_tags", "prefixes", "all", "soft", "expect_version",
    ])]
    file: Option<PathBuf>,
    /// A file with many publishes as JSON, one a line, each a version of its own; `-` reads stdin. The
    /// answers are printed in the order of the lines.
    #[arg(long, env = "NEWSREEL_NDJSON", value_name = "FILE", conflicts_with_all = [
        "keys", "op", "tags", "changed_tags", "prefixes", "all", "soft", "expect_version", "file", "wait_applied",
    ])]
    ndjson: Option<PathBuf>,
    /// Let caches serve the older value, marked as stale, while they fetch the new one.
    #[arg(long, env = "NEWSREEL_SOFT", value_parser = BoolishValueParser::new())]
    soft: bool,
    /// Publish only if this is the newest version of the log.
    #[arg(long, env = "NEWSREEL_EXPECT_VERSION", value_name = "VERSION")]
    expect_version: Option<Version>,
    /// Publish only if the log is in this epoch.
    #[arg(long, env = "NEWSREEL_EXPECT_EPOCH", value_name = "EPOCH", requires = "expect_version")]
    expect_epoch: Option<Epoch>,
    /// The idempotency key: the same key with the same changes is one publish, however often it is sent
    /// [default: a random one]. With --ndjson the nth line has this key with #n added.
    #[arg(long, env = "NEWSREEL_IDEMPOTENCY_KEY", value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// The trace that the publish is part of, as W3C Trace Context writes it.
    #[arg(long, env = "NEWSREEL_TRACEPARENT", value_name = "TRACEPARENT", conflicts_with_all = ["file", "ndjson"])]
    traceparent: Option<Traceparent>,
    /// Wait until every live replica has applied the publish. The receipt then names the replicas that have
    /// applied it, those that have not, and those that are offline.
    #[arg(long, env = "NEWSREEL_WAIT_APPLIED", value_parser = BoolishValueParser::new())]
    wait_applied: bool,
    /// How long --wait-applied waits.
    #[arg(long, env = "NEWSREEL_TIMEOUT_MS", value_name = "MS", default_value_t = 5_000)]
    timeout_ms: u64,
}

/// Publishes and prints the receipt.
pub(crate) async fn run(options: PublishOptions, at: BrokerOptions) -> Result<(), Failure> {
    let waiting = Wait::Applied(Duration::from_millis(options.timeout_ms));
    let wait = if options.wait_applied { waiting } else { Wait::Acknowledged };
    let key = options.idempotency_key.clone().unwrap_or_else(random_key);
    if let Some(path) = &options.ndjson {
        return stream::run(path, key, &at).await;
    }
    let body = match &options.file {
        Some(path) => input::text(path)?,
        None => given(options)?,
    };
    // A body that the broker would refuse is refused here, without a round trip.
    Publish::parse(body.as_bytes()).map_err(|error| Failure::Input(error.to_string()))?;
    let broker = BrokerClient::new(at.clone())?;
    let publish = || broker.publish(&key, body.clone(), wait);
    let receipt = call_with_retries(&at.broker, at.retry_for(), publish).await?;
    print(&format!("{receipt}\n"))
}

/// Returns the body that the flags describe.
fn given(mut options: PublishOptions) -> Result<String, Failure> {
    let operation = if options.soft { Operation::Soften } else { Operation::Update };
    if options.soft {
        options.keys.soften().map_err(|why| Failure::Input(why.to_string()))?;
    }
    let tags = options.changed_tags.into_iter().map(Target::Tag);
    let prefixes = options.prefixes.into_iter().map(Target::Prefix);
    let all = options.all.then_some(Target::All);
    let others = tags.chain(prefixes).chain(all);
    let mut changes = options.keys.0;
    changes.extend(others.map(|target| Change { operation, ..Change::of(target) }));

    let mut body = serde_json::json!({ "changes": changes });
    let expect = options.expect_version.map(|version| Expect { epoch: options.expect_epoch, version });
    if let (Some(expect), Some(members)) = (expect, body.as_object_mut()) {
        members.insert("expect".to_owned(), serde_json::json!(expect));
    }
    if let (Some(traceparent), Some(members)) = (options.traceparent, body.as_object_mut()) {
        members.insert("traceparent".to_owned(), serde_json::json!(traceparent));
    }
    Ok(body.to_string())
}

fn random_key() -> String {
    format!("cli-{:08x}{:08x}{:08x}", random_u32(), random_u32(), random_u32())
}

fn idempotency_key(text: &str) -> Result<String, publish::PublishError> {
    publish::check_idempotency_key(text)?;
    Ok(text.to_owned())
}
