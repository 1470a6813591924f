//! `newsreel publish`: one publish, under an idempotency key, until it is acknowledged.

use std::io::Read as _;

use newsreel_core::wire::{Change, Epoch, Expect, Key, Operation, Prefix, Publish, Tag, Target, Version};
use reqwest::Method;

use crate::BrokerOptions;
use crate::broker::{Broker, random_u32};
use crate::exit::Failure;

/// How often a publish that is not answered is sent. The idempotency key makes it one publish.
const TRIES: u32 = 8;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct Options {
    #[command(flatten)]
    broker: BrokerOptions,
    /// A key that changed; may be given again.
    #[arg(long = "key", env = "NEWSREEL_KEY", group = "what")]
    keys: Vec<Key>,
    /// A tag all of whose entries changed; may be given again.
    #[arg(long = "tag", env = "NEWSREEL_TAG", group = "what")]
    changed_tags: Vec<Tag>,
    /// A prefix all of whose keys changed; may be given again.
    #[arg(long = "prefix", env = "NEWSREEL_PREFIX", group = "what")]
    prefixes: Vec<Prefix>,
    /// Everything changed.
    #[arg(long, env = "NEWSREEL_ALL", group = "what")]
    all: bool,
    /// A publish as JSON; `-` reads stdin.
    #[arg(long, env = "NEWSREEL_FILE", value_name = "FILE", group = "what", conflicts_with_all = ["keys", "changed_tags", "prefixes", "all", "op", "tags", "soft", "expect_version"])]
    file: Option<std::path::PathBuf>,
    /// What happened to the keys.
    #[arg(long, env = "NEWSREEL_OP", value_parser = ["update", "remove"], default_value = "update")]
    op: String,
    /// The tags that the keys' entries carry after the change, separated by commas.
    #[arg(long, env = "NEWSREEL_TAGS", value_delimiter = ',')]
    tags: Vec<Tag>,
    /// What is older may be served, marked, while it is fetched anew.
    #[arg(long, env = "NEWSREEL_SOFT")]
    soft: bool,
    /// Publish only if this is the newest version.
    #[arg(long, env = "NEWSREEL_EXPECT_VERSION", value_name = "VERSION")]
    expect_version: Option<Version>,
    /// And this the epoch.
    #[arg(long, env = "NEWSREEL_EXPECT_EPOCH", value_name = "EPOCH", requires = "expect_version")]
    expect_epoch: Option<Epoch>,
    /// The same key and the same changes are one publish, however often they are sent; by default a random one.
    #[arg(long, env = "NEWSREEL_IDEMPOTENCY_KEY", value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let key = options.idempotency_key.clone().unwrap_or_else(random_key);
    let body = body(&options)?;
    let broker = Broker::new(options.broker)?;
    let receipt = broker
        .call_again(TRIES, || {
            broker.request(Method::POST, "/changes").header("Idempotency-Key", &key).body(body.clone())
        })
        .await?;
    println!("{receipt}");
    Ok(())
}

fn body(options: &Options) -> Result<String, Failure> {
    let text = match &options.file {
        Some(path) => read(path)?,
        None => given(options)?,
    };
    // Said here it costs no round trip, and a typing error is not sent.
    Publish::parse(text.as_bytes()).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(text)
}

fn given(options: &Options) -> Result<String, Failure> {
    let operation = match (options.op.as_str(), options.soft) {
        ("remove", false) => Operation::Remove,
        ("remove", true) => return Err(Failure::Input("a remove cannot be soft".to_owned())),
        (_, true) => Operation::Soften,
        (_, false) => Operation::Update,
    };
    let removing = operation == Operation::Remove;
    let keys = options.keys.iter().cloned().map(Target::Key);
    let others = options.changed_tags.iter().cloned().map(Target::Tag);
    let others = others.chain(options.prefixes.iter().cloned().map(Target::Prefix));
    let others = others.chain(options.all.then_some(Target::All));
    let mut changes: Vec<Change> =
        keys.map(|target| Change { target, operation, tags: options.tags.clone() }).collect();
    for target in others {
        if removing {
            return Err(Failure::Input("only a key can be removed".to_owned()));
        }
        changes.push(Change { target, operation, tags: Vec::new() });
    }
    let expect = options.expect_version.map(|version| Expect { epoch: options.expect_epoch, version });
    let mut body = serde_json::json!({ "changes": changes });
    if let (Some(expect), Some(body)) = (expect, body.as_object_mut()) {
        body.insert("expect".to_owned(), serde_json::to_value(expect).map_err(anyhow::Error::from)?);
    }
    Ok(body.to_string())
}

fn read(path: &std::path::Path) -> Result<String, Failure> {
    let mut text = String::new();
    let outcome = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    outcome.map_err(|error| Failure::Input(format!("{}: {error}", path.display())))?;
    Ok(text)
}

fn random_key() -> String {
    format!("cli-{:08x}{:08x}{:08x}", random_u32(), random_u32(), random_u32())
}
