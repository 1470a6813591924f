//! `newsreel tail`: follows a catalog and prints what happens; what it missed while away comes first.
//!
//! `core::follower` decides; this dials, prints and keeps the position. The position is written after what it
//! stands for was printed, so a crash repeats a version and never skips one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use newsreel_core::follower::{Config, Cursor, Effect, Follower, Input, Phase};
use newsreel_core::wire::frame::{FoldedChange, SUBPROTOCOL, VersionRow};
use newsreel_core::wire::route::{FollowQuery, Start};
use newsreel_core::wire::{Change, Operation, Position, Target, UnixMillis, Version};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::BrokerOptions;
use crate::exit::{Failure, is_broken_pipe};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    broker: BrokerOptions,
    /// Where to start: `head`, `start` (everything kept) or a position. A resume file comes before this.
    #[arg(long, env = "NEWSREEL_FROM", default_value = "head", value_name = "WHERE")]
    from: From,
    /// Print one JSON object a version instead of a line for people.
    #[arg(long, env = "NEWSREEL_JSON")]
    json: bool,
    /// Keep the position in this file and continue from it the next time.
    #[arg(long, env = "NEWSREEL_RESUME", value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Hear only of keys that begin so (a class is `class:`); may be given again.
    #[arg(long = "topic", env = "NEWSREEL_TOPIC")]
    topics: Vec<String>,
    /// The name to follow under.
    #[arg(long, env = "NEWSREEL_NAME", default_value = "tail")]
    name: String,
    /// Stop once this version is printed.
    #[arg(long, env = "NEWSREEL_UNTIL", value_name = "VERSION")]
    until: Option<Version>,
    /// Stop once everything missed is printed.
    #[arg(long, env = "NEWSREEL_EXIT_WHEN_LIVE")]
    exit_when_live: bool,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Head,
    Start,
    At(Position),
}

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "head" => Ok(Self::Head),
            "start" => Ok(Self::Start),
            position => {
                position.parse().map(Self::At).map_err(|why| format!("head, start or a position ({why})"))
            }
        }
    }
}

impl From {
    fn cursor(self) -> Cursor {
        match self {
            Self::Head => Cursor::Head,
            Self::Start => Cursor::Nothing,
            Self::At(position) => Cursor::At(position),
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let kept = options.resume.as_deref().map(read_position).transpose()?.flatten();
    let cursor = kept.map_or_else(|| options.from.cursor(), Cursor::At);
    let config = Config { filtered: !options.topics.is_empty(), ..Config::default() };
    let seed = getrandom::u64().expect("the system has randomness");
    let mut tail = Tail {
        follower: Follower::new(config, cursor, seed),
        options,
        socket: None,
        refused: None,
        replaying: true,
        done: false,
    };
    tokio::select! {
        outcome = tail.follow() => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

struct Tail {
    follower: Follower,
    options: Options,
    socket: Option<Socket>,
    /// Why the last attempt to connect was refused, if trying again is of no use.
    refused: Option<Failure>,
    replaying: bool,
    done: bool,
}

impl Tail {
    async fn follow(&mut self) -> Result<(), Failure> {
        self.step(Input::Start).await?;
        while !self.done {
            if let Some(failure) = self.refused.take() {
                return Err(failure);
            }
            if self.follower.phase() == Phase::Closed {
                return Err(Failure::Refused {
                    code: "closed".to_owned(),
                    detail: "the broker said not to come back".to_owned(),
                });
            }
            let input = self.next().await;
            self.step(input).await?;
        }
        Ok(())
    }

    /// Waits for what happens next: a text, the end of the socket, or the follower's own timer.
    async fn next(&mut self) -> Input {
        let timeout = self.follower.poll_timeout().map(|at| at.since(now()));
        let timer = tokio::time::sleep(timeout.unwrap_or(Duration::from_secs(3_600)));
        let Some(socket) = &mut self.socket else {
            timer.await;
            return Input::Timer;
        };
        tokio::select! {
            () = timer => Input::Timer,
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => Input::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => {
                    self.socket = None;
                    Input::Closed { code: frame.map_or(1005, |frame| frame.code.into()) }
                }
                Some(Ok(_)) => Input::Timer,
                Some(Err(_)) | None => {
                    self.socket = None;
                    Input::Closed { code: 1006 }
                }
            },
        }
    }

    async fn step(&mut self, input: Input) -> Result<(), Failure> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.follower.handle(now(), input);
            while let Some(effect) = self.follower.poll_effect() {
                inputs.extend(self.carry_out(effect).await?);
            }
        }
        Ok(())
    }

    /// Does what the follower said; returns what came of it.
    async fn carry_out(&mut self, effect: Effect) -> Result<Option<Input>, Failure> {
        match effect {
            Effect::Dial(from) => return Ok(Some(self.dial(from).await)),
            Effect::Send(text) => {
                if let Some(socket) = &mut self.socket {
                    // A socket that cannot send says so when it is read.
                    let _ = socket.send(Message::text(text)).await;
                }
            }
            Effect::Hangup { code, reason } => {
                eprintln!("tail: connecting again: {reason}");
                if let Some(mut socket) = self.socket.take() {
                    let frame = CloseFrame { code: code.into(), reason: reason.into() };
                    let _ = socket.close(Some(frame)).await;
                }
            }
            Effect::Apply { position, versions } => self.apply(position, &versions)?,
            Effect::ApplyFold { position, changes } => {
                self.print_fold(&changes)?;
                self.keep(position)?;
            }
            Effect::Reset { position, reason } => {
                eprintln!("tail: reset ({reason}); continuing from {position}");
                if self.options.json {
                    print(
                        &serde_json::json!({ "reset": { "position": position, "reason": reason } })
                            .to_string(),
                    )?;
                } else {
                    print(&format!("reset to {position}: {reason}"))?;
                }
                self.keep(Some(position))?;
            }
            Effect::Phase(phase) => self.phase(phase),
            Effect::Complaint { code, message } => eprintln!("tail: the broker says {code}: {message}"),
        }
        Ok(None)
    }

    async fn dial(&mut self, from: Start) -> Input {
        match self.connect(from).await {
            Ok(socket) => {
                self.socket = Some(socket);
                Input::Opened
            }
            Err(failure) => {
                match failure {
                    Failure::Unreachable { .. } => eprintln!("tail: {failure}"),
                    Failure::Refused { .. } | Failure::Input(_) | Failure::Other(_) => {
                        self.refused = Some(failure)
                    }
                }
                Input::Closed { code: 1006 }
            }
        }
    }

    async fn connect(&self, from: Start) -> Result<Socket, Failure> {
        let options = &self.options;
        let query = FollowQuery { from, name: options.name.clone(), topics: options.topics.clone() };
        let mut url = options.broker.broker.clone();
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme)
            .map_err(|()| Failure::Input("the broker's address is http or https".to_owned()))?;
        let base = url.as_str().trim_end_matches('/');
        let url = format!("{base}/v1/catalogs/{}/follow{}", options.broker.catalog, query.to_query());
        let mut request = url.into_client_request().context("the broker's address")?;
        let headers = request.headers_mut();
        headers.insert(
            "Sec-WebSocket-Protocol",
            SUBPROTOCOL.parse().context("a subprotocol is a header value")?,
        );
        if let Some(token) = &options.broker.token {
            let bearer = format!("Bearer {token}");
            headers.insert(
                "Authorization",
                bearer.parse().context("the token has characters no header can hold")?,
            );
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(SocketError::Http(answer)) if answer.status().is_client_error() => {
                let body = answer.body().as_deref().unwrap_or_default();
                let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let text =
                    |name: &str| problem.get(name).and_then(|value| value.as_str()).unwrap_or("").to_owned();
                let code = Some(text("code")).filter(|code| !code.is_empty());
                Err(Failure::Refused {
                    code: code.unwrap_or_else(|| answer.status().to_string()),
                    detail: text("detail"),
                })
            }
            Err(error) => {
                Err(Failure::Unreachable { what: format!("the broker at {base}"), why: error.to_string() })
            }
        }
    }

    fn apply(&mut self, position: Position, versions: &[VersionRow]) -> Result<(), Failure> {
        for row in versions {
            if self.options.json {
                let mut json = serde_json::to_value(row).map_err(anyhow::Error::from)?;
                // Only the last version of a frame has its hash told, so only that one has a position.
                if let (true, Some(json)) = (row.version == position.version, json.as_object_mut()) {
                    json.insert("position".to_owned(), position.to_string().into());
                }
                print(&json.to_string())?;
            } else {
                let targets: Vec<String> = row.changes.iter().map(describe).collect();
                let kind = if self.replaying { "replay" } else { "live  " };
                print(&format!("{kind} {:>8}  {}  {}", row.version, row.at.0, targets.join(" ")))?;
            }
        }
        self.keep(Some(position))
    }

    fn print_fold(&self, changes: &[FoldedChange]) -> Result<(), Failure> {
        for folded in changes {
            if self.options.json {
                print(&serde_json::to_string(folded).map_err(anyhow::Error::from)?)?;
            } else {
                print(&format!("folded {:>8}  {}", folded.version, describe(&folded.change)))?;
            }
        }
        Ok(())
    }

    /// Keeps the position, and ends the command once it is far enough.
    fn keep(&mut self, position: Option<Position>) -> Result<(), Failure> {
        let Some(position) = position else { return Ok(()) };
        if let Some(path) = &self.options.resume {
            write_position(path, &position)?;
        }
        self.done |= self.options.until.is_some_and(|until| position.version >= until);
        Ok(())
    }

    fn phase(&mut self, phase: Phase) {
        let at =
            self.follower.position().map_or("nothing".to_owned(), |position| position.version.to_string());
        match phase {
            Phase::Connecting => eprintln!("tail: connecting to {}", self.options.broker.broker),
            Phase::CatchingUp => {
                self.replaying = true;
                eprintln!("tail: catching up from {at}");
            }
            Phase::Live => {
                self.replaying = false;
                eprintln!("tail: live at {at}");
                self.done |= self.options.exit_when_live;
            }
            Phase::Waiting => eprintln!("tail: cut off at {at}; waiting to connect again"),
            Phase::Idle | Phase::Closed => {}
        }
    }
}

/// Prints a line and makes sure it is out. Nobody reading any more ends the command quietly.
fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    match written {
        Err(error) if is_broken_pipe(&error) => std::process::exit(0),
        written => written.context("writing to stdout").map_err(Failure::from),
    }
}

fn describe(change: &Change) -> String {
    let target = match &change.target {
        Target::Key(key) => key.to_string(),
        Target::Tag(tag) => format!("tag={tag}"),
        Target::Prefix(prefix) => format!("prefix={prefix}"),
        Target::All => "all".to_owned(),
    };
    match change.operation {
        Operation::Update => target,
        Operation::Soften => format!("~{target}"),
        Operation::Remove => format!("-{target}"),
    }
}

fn read_position(path: &Path) -> Result<Option<Position>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let wrong =
                |why| Failure::Input(format!("{}: {why}; remove the file to start anew", path.display()));
            text.trim().parse().map(Some).map_err(wrong)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Input(format!("{}: {error}", path.display()))),
    }
}

/// Writes the position so that a crash leaves the old one or the new one, never half of one.
fn write_position(path: &Path, position: &Position) -> Result<(), Failure> {
    let beside = path.with_extension("part");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        writeln!(file, "{position}")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot keep the position in {}", path.display())).map_err(Failure::from)
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
