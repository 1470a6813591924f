//! The truth about a key: what the origin gives, asked as an edge would ask it; or what a command prints.

use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use newsreel_core::read::origin_answer::{OriginAnswer, OriginResponse};
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::{Catalog, Key, Position, Tag};
use reqwest::{Client, Url};
use sha2::{Digest as _, Sha256};

use super::judge::{Fingerprint, Sighting};
use super::options::VerifyOptions;
use crate::check;
use crate::exit::Failure;
use crate::fill::keys;
use crate::fill::kv::origin::undone;
use crate::following::SteadyClock;
use crate::http::{self, CallError, exchange};

/// How long the origin may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The exit code of a command of --truth that says that there is no value.
const NO_VALUE: i32 = 4;
/// How many characters of a failure are shown.
const SHOWN: usize = 200;

/// Where the truth is asked.
pub(super) struct Truth {
    source: TruthSource,
    catalog: Catalog,
    policies: Policies,
    fold_tags: bool,
    clock: SteadyClock,
}

enum TruthSource {
    /// An origin, by an address with `{catalog}` and `{key}` in it, and that of its hot list, if it has one.
    Http { client: Client, template: String, hot: Option<String> },
    /// A command, by its words.
    Command(Vec<String>),
}

/// Why nothing can be said about a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum TruthError {
    /// The origin gave no answer, or one that is neither a value nor "not found".
    #[error("{0}")]
    Origin(String),
    /// The command could not be run.
    #[error("the command of --truth cannot be run: {0}")]
    NotRun(#[from] std::io::Error),
    /// The command failed.
    #[error("the command of --truth ended with {0}")]
    Command(String),
}

impl Truth {
    /// Returns the truth of these options.
    pub(super) fn new(
        options: &VerifyOptions,
        catalog: &Catalog,
        policies: Policies,
        clock: SteadyClock,
    ) -> Result<Self, Failure> {
        let fold_tags = match &options.config {
            Some(file) => check::folds_tags(file, options.env.as_deref())?,
            None => false,
        };
        let source = match &options.truth {
            Some(command) => {
                let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() {
                    return Err(Failure::Input("--truth is no command".to_owned()));
                }
                TruthSource::Command(words)
            }
            None => http_source(&options.origin)?,
        };
        Ok(Self { source, catalog: catalog.clone(), policies, fold_tags, clock })
    }

    /// Asks for a key. The tags are `None` where they are not known. `position` is what has been heard of the log, which an
    /// origin may want to know.
    pub(super) async fn ask(
        &self,
        key: &Key,
        position: Option<Position>,
    ) -> Result<(Sighting, Option<Vec<Tag>>), TruthError> {
        let asked_at = self.clock.now();
        let (value, tags) = match &self.source {
            TruthSource::Http { client, template, .. } => {
                let url =
                    template.replace("{catalog}", self.catalog.as_str()).replace("{key}", &encoded_key(key));
                let request = client.get(url).timeout(ANSWER_WITHIN).header("Accept-Encoding", "identity");
                let request = match position {
                    Some(position) => request.header("Newsreel-Version", position.to_string()),
                    None => request,
                };
                let (value, tags) = self.answer(key, request).await?;
                (value, Some(tags))
            }
            TruthSource::Command(words) => (self.run(words, key).await?, None),
        };
        Ok((Sighting { value, asked_at, answered_at: self.clock.now() }, tags))
    }

    /// Returns the origin's hottest keys, or `None` where it has no list.
    pub(super) async fn hot(&self, most: u32) -> Result<Option<Vec<Key>>, TruthError> {
        let TruthSource::Http { client, hot: Some(url), .. } = &self.source else { return Ok(None) };
        let url = url.replace("{catalog}", self.catalog.as_str());
        let request = client.get(format!("{url}?hot={most}")).timeout(ANSWER_WITHIN);
        let answer = exchange(request).await.map_err(|error| TruthError::Origin(why(error)))?;
        if !answer.status.is_success() {
            return Err(TruthError::Origin(format!("the origin answered {}", answer.status)));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let (hot, _) = keys::read(&text, usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Some(hot.into_iter().map(|hot| hot.key).collect()))
    }

    async fn answer(
        &self,
        key: &Key,
        request: reqwest::RequestBuilder,
    ) -> Result<(Fingerprint, Vec<Tag>), TruthError> {
        let failed = |why: String| TruthError::Origin(why.chars().take(SHOWN).collect());
        let answer = exchange(request).await.map_err(|error| failed(why(error)))?;
        let header = |name: &str| {
            let lines = answer.headers.get_all(name).iter();
            let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
            (!lines.is_empty()).then(|| lines.join(", "))
        };
        let response = OriginResponse {
            status: answer.status.as_u16(),
            header: &header,
            received_at: self.clock.now(),
            on_workerd: false,
            fold_tags: self.fold_tags,
        };
        match response.meaning(&self.policies, key.class()) {
            Ok(OriginAnswer::Value(value)) => {
                let body = undone(&value.codings, answer.body).map_err(|error| failed(error.to_string()))?;
                Ok((Fingerprint::Value(digest(&body), Some(value.content_type)), value.tags))
            }
            Ok(OriginAnswer::NotFound(_)) => Ok((Fingerprint::NotFound, Vec::new())),
            Err(why) => Err(failed(why.to_string())),
        }
    }

    async fn run(&self, words: &[String], key: &Key) -> Result<Fingerprint, TruthError> {
        let fill =
            |word: &String| word.replace("{key}", key.as_str()).replace("{catalog}", self.catalog.as_str());
        let words: Vec<String> = words.iter().map(fill).collect();
        let ended = tokio::task::spawn_blocking(move || output_of(&words)).await;
        let (status, stdout) = ended.map_err(std::io::Error::other)??;
        match status.map(|status| (status.code(), status)) {
            Some((Some(0), _)) => Ok(Fingerprint::Value(digest(&stdout), None)),
            Some((Some(NO_VALUE), _)) => Ok(Fingerprint::NotFound),
            Some((_, status)) => Err(TruthError::Command(status.to_string())),
            None => Err(TruthError::Command("nothing in time".to_owned())),
        }
    }
}

/// Runs a command to its end, and returns how it ended and what it printed; one that takes too long is ended, without a status.
fn output_of(words: &[String]) -> std::io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let reading = std::thread::spawn(move || {
        let mut printed = Vec::new();
        stdout.read_to_end(&mut printed).map(|_| printed)
    });
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let printed = reading.join().expect("reading does not panic")?;
            return Ok((Some(status), printed));
        }
        if began.elapsed() > ANSWER_WITHIN {
            child.kill()?;
            child.wait()?;
            return Ok((None, Vec::new()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn http_source(origin: &str) -> Result<TruthSource, Failure> {
    let is_template = origin.contains("{key}");
    let plain = origin.trim_end_matches('/');
    let template = if is_template { origin.to_owned() } else { format!("{plain}/{{catalog}}/{{key}}") };
    let hot = (!is_template).then(|| format!("{plain}/{{catalog}}"));
    // The address of any key says whether the template is one.
    let example = template.replace("{catalog}", "catalog").replace("{key}", "key");
    let url: Url =
        http::server(&example).map_err(|why| Failure::Input(format!("--origin {origin:?}: {why}")))?;
    Ok(TruthSource::Http { client: http::client(&url)?, template, hot })
}

/// Returns the SHA-256 of a value.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the reason of a call that failed, in words.
pub(super) fn why(error: CallError) -> String {
    match error {
        CallError::Passing { why, .. } => why,
        CallError::Refused { code, detail, .. } => format!("{code}: {detail}"),
        CallError::Redirected { to, .. } => format!("a redirect to {to}"),
        CallError::WrongServer(why) => why.to_string(),
    }
}
