//! `newsreel hooks`: sends a message as its provider would, and settles the messages that could not be published.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use newsreel_core::access::hooks::{Hook, Hooks, Scheme};
use newsreel_core::variables::HOOKS;
use newsreel_core::wire::UnixMillis;
use newsreel_core::wire::dead_letters::{DeadLetters, MAX_LETTERS_AT_ONCE, Settle, Settled, Unsettled};
use newsreel_hooks::sign;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::check::DeploymentFile;
use crate::exit::{Failure, note, print};
use crate::http::{self, Exchange, call_with_retries};
use crate::{input, utc};

/// The commands of `newsreel hooks`.
#[derive(clap::Subcommand)]
pub(crate) enum HooksCommand {
    /// Send a message to a hook, signed as its provider would.
    ///
    /// The hook is read from the configuration of Wrangler, its secret from the environment or from `.dev.vars` beside that
    /// file, under the name that the hook gives. Prints the answer.
    #[command(after_long_help = SEND_EXAMPLES)]
    Send(SendOptions),
    /// List the messages of hooks that could not be published, and publish or forget them.
    ///
    /// Prints a line of JSON for each: id, at, hook, reason and message. With --replay or --drop it prints what became of
    /// each; the exit code is 1 if one could not be published. Needs an admin token.
    #[command(after_long_help = DEAD_EXAMPLES)]
    Dead(DeadOptions),
}

const SEND_EXAMPLES: &str = "Examples:
  NETFLIX_HOOK=whsec_… newsreel hooks send netflix message.json
  echo '{\"titleId\":\"603\"}' | newsreel hooks send netflix - --header X-GitHub-Event=push
  newsreel hooks send netflix message.json --id msg_1 --dry-run";
const DEAD_EXAMPLES: &str = "Examples:
  newsreel hooks dead --token dev-admin
  newsreel hooks dead --replay --token dev-admin
  newsreel hooks dead --drop 7,8 --token dev-admin";

/// The flags of `newsreel hooks send`.
#[derive(clap::Args)]
pub(crate) struct SendOptions {
    /// The name of the hook.
    #[arg(env = "NEWSREEL_HOOK")]
    name: String,
    /// The file with the body; `-` is stdin.
    #[arg(env = "NEWSREEL_HOOK_FILE")]
    file: PathBuf,
    /// The configuration of Wrangler that declares the hook.
    #[arg(long, env = "NEWSREEL_CONFIG", default_value = "wrangler.toml", value_name = "FILE")]
    config: PathBuf,
    /// The environment of the configuration.
    #[arg(long, env = "NEWSREEL_ENV", value_name = "NAME")]
    env: Option<String>,
    /// The message's id, which a retry has again. By default a new one for each call.
    #[arg(long, env = "NEWSREEL_HOOK_ID", value_name = "ID")]
    id: Option<String>,
    /// A further header, such as `X-GitHub-Event=push`; repeated for several.
    #[arg(long, env = "NEWSREEL_HOOK_HEADER", value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// The media type of the body.
    #[arg(long, env = "NEWSREEL_HOOK_CONTENT_TYPE", default_value = "application/json", value_name = "TYPE")]
    content_type: String,
    /// Print the headers, and send nothing.
    #[arg(long, env = "NEWSREEL_DRY_RUN", value_parser = BoolishValueParser::new())]
    dry_run: bool,
}

/// The flags of `newsreel hooks dead`.
#[derive(clap::Args)]
pub(crate) struct DeadOptions {
    /// Publish these messages again, by the mapping of today; without numbers all that are listed.
    #[arg(long, env = "NEWSREEL_REPLAY", value_name = "ID,…", num_args = 0.., value_delimiter = ',')]
    replay: Option<Vec<u64>>,
    /// Forget these messages.
    #[arg(
        long,
        env = "NEWSREEL_DROP",
        value_name = "ID,…",
        value_delimiter = ',',
        conflicts_with = "replay"
    )]
    drop: Vec<u64>,
}

/// Runs a command of `newsreel hooks`.
pub(crate) async fn run(command: HooksCommand, at: BrokerOptions) -> Result<(), Failure> {
    match command {
        HooksCommand::Send(options) => send(&options, at).await,
        HooksCommand::Dead(options) => dead(options, at).await,
    }
}

async fn send(options: &SendOptions, at: BrokerOptions) -> Result<(), Failure> {
    let deployment = DeploymentFile::read(&options.config, options.env.as_deref())?;
    let hooks =
        Hooks::read(deployment.vars.get(HOOKS.name)).map_err(|why| Failure::Input(why.to_string()))?;
    let Some(hook) = hooks.of(&options.name, &at.catalog) else {
        let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let (name, file, catalog) = (&options.name, options.config.display(), &at.catalog);
        return Err(Failure::Input(format!(
            "{file} declares no hook {name:?} for {catalog}; there is {there}"
        )));
    };
    let body = input::bytes(&options.file)?;
    let headers = headers_of(hook, options, &at, &body)?;
    if options.dry_run {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        return print(&lines);
    }
    let broker = BrokerClient::new(BrokerOptions { token: None, ..at.clone() })?;
    let sent = call_with_retries(&at.broker, at.retry_for(), || {
        broker.send_to_hook(&hook.name, &headers, body.clone())
    });
    let Exchange { status, body, .. } = sent.await?;
    if !status.is_success() {
        let (code, detail) = http::problem(status, &body);
        return Err(Failure::Refused { code, detail });
    }
    // A challenge is answered with a text, and a ping with nothing.
    match String::from_utf8_lossy(&body).trim_end() {
        "" => print(&format!("{status}\n")),
        answer => print(&format!("{answer}\n")),
    }
}

/// Returns the headers with which the provider would send a body.
fn headers_of(
    hook: &Hook,
    options: &SendOptions,
    at: &BrokerOptions,
    body: &[u8],
) -> Result<Vec<(String, String)>, Failure> {
    let secret = match (&hook.scheme, &at.token) {
        (Scheme::Token, Some(token)) => token.secret().to_owned(),
        (Scheme::Token, None) => {
            let text = "the hook takes a publish token: give it with --token or NEWSREEL_TOKEN";
            return Err(Failure::Input(text.to_owned()));
        }
        _ => secret_of(hook, &options.config)?,
    };
    let id = options
        .id
        .clone()
        .unwrap_or_else(|| format!("cli-{:08x}{:08x}", http::random_u32(), http::random_u32()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let signed = sign(hook, &secret, &id, now, body, &|seed, message| {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(pair.sign(message).as_ref().to_vec())
    });
    let mut headers = vec![("Content-Type".to_owned(), options.content_type.clone())];
    headers.extend(signed.map_err(|why| Failure::Input(format!("HOOKS.{}: {why}", hook.name)))?);
    for header in &options.header {
        let (name, value) = header
            .split_once('=')
            .ok_or_else(|| Failure::Input(format!("--header {header:?} is not NAME=VALUE")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(headers)
}

/// Returns the first secret of a hook that is set: in the environment, or in `.dev.vars` beside the configuration.
fn secret_of(hook: &Hook, config: &std::path::Path) -> Result<String, Failure> {
    let file = config.with_file_name(".dev.vars");
    let lines = std::fs::read_to_string(&file).unwrap_or_default();
    let in_file = |name: &String| {
        let mut values = lines.lines().filter_map(|line| line.split_once('='));
        let (_, value) = values.find(|(one, _)| one.trim() == name)?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let in_environment = |name: &String| std::env::var(name).ok().filter(|text| !text.is_empty());
    let set = |name: &String| in_environment(name).or_else(|| in_file(name));
    hook.secrets.iter().find_map(set).ok_or_else(|| {
        let (names, file) = (hook.secrets.join(" or "), file.display());
        Failure::Input(format!("set the secret of the hook: {names}, in the environment or in {file}"))
    })
}

async fn dead(options: DeadOptions, at: BrokerOptions) -> Result<(), Failure> {
    let broker = BrokerClient::new(at.clone())?;
    let ids = match options.replay {
        Some(ids) if ids.is_empty() => Some(all(&broker, &at).await?),
        named => named,
    };
    if let Some(ids) = ids {
        return settle(&broker, &at, &ids, |replay| Settle { replay, drop: Vec::new() }).await;
    }
    if !options.drop.is_empty() {
        return settle(&broker, &at, &options.drop, |drop| Settle { replay: Vec::new(), drop }).await;
    }
    let mut after = 0;
    loop {
        let DeadLetters { letters, total, next } = page(&broker, &at, after).await?;
        for letter in letters {
            // The message is JSON that was kept as a text.
            let message: Value =
                serde_json::from_str(&letter.message).unwrap_or_else(|_| letter.message.clone().into());
            let at = utc::utc(letter.at);
            let line = json!({ "id": letter.id, "at": at, "hook": letter.hook, "reason": letter.reason, "message": message });
            print(&format!("{line}\n"))?;
        }
        match next {
            Some(next) => after = next,
            None => {
                note!(
                    "hooks: {total} {} could not be published",
                    if total == 1 { "message" } else { "messages" }
                );
                return Ok(());
            }
        }
    }
}

async fn page(broker: &BrokerClient, at: &BrokerOptions, after: u64) -> Result<DeadLetters, Failure> {
    let body = call_with_retries(&at.broker, at.retry_for(), || broker.dead_letters(after)).await?;
    http::read(&at.broker, BROKER, &body)
}

/// Returns the numbers of all letters.
async fn all(broker: &BrokerClient, at: &BrokerOptions) -> Result<Vec<u64>, Failure> {
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let DeadLetters { letters, next, .. } = page(broker, at, after).await?;
        ids.extend(letters.iter().map(|letter| letter.id));
        match next {
            Some(next) => after = next,
            None => return Ok(ids),
        }
    }
}

/// Has letters replayed or dropped, and prints what became of each.
async fn settle(
    broker: &BrokerClient,
    at: &BrokerOptions,
    ids: &[u64],
    settle: impl Fn(Vec<u64>) -> Settle,
) -> Result<(), Failure> {
    let mut left = 0;
    for ids in ids.chunks(MAX_LETTERS_AT_ONCE) {
        let body = serde_json::to_string(&settle(ids.to_vec())).map_err(anyhow::Error::from)?;
        let answer = call_with_retries(&at.broker, at.retry_for(), || broker.settle(body.clone())).await?;
        let Settled { replayed, dropped, failed } = http::read(&at.broker, BROKER, &answer)?;
        left += failed.len();
        let replayed = replayed.iter().map(|id| json!({ "id": id, "replayed": true }));
        let dropped = dropped.iter().map(|id| json!({ "id": id, "dropped": true }));
        let failed = failed.iter().map(|Unsettled { id, reason }| json!({ "id": id, "failed": reason }));
        let lines: String = replayed.chain(dropped).chain(failed).map(|line| format!("{line}\n")).collect();
        print(&lines)?;
    }
    match left {
        0 => Ok(()),
        left => {
            Err(anyhow::anyhow!("{left} of the messages could not be published, and are still there").into())
        }
    }
}
