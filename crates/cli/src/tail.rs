//! `newsreel tail`: follows a catalog and prints its versions, those that were missed first.
//!
//! `following` follows the log; this module prints and keeps the position. A position is written
//! after its version was printed, so a crash repeats a version and never skips one.

mod print;
mod resume;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use newsreel_core::follow::follower::{Cursor, FollowerConfig, Phase};
use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::position::PositionError;
use newsreel_core::wire::{Position, Version};

use crate::broker::BrokerOptions;
use crate::exit::{Failure, asked_to_stop, note, print as out};
use crate::following::{Following, LogEvent};

/// The examples that `newsreel tail --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel tail --token dev-follow
  newsreel tail --from start --json --resume tail.position
  newsreel tail --from start --topic availability:netflix: --exit-when-live";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct TailOptions {
    /// Where to start: `head` (only what is published from now on), `start` (everything that is kept) or a
    /// position. A position in the file of --resume comes first.
    #[arg(long, env = "NEWSREEL_FROM", default_value = "head", value_name = "WHERE")]
    from: StartAt,
    /// Print one JSON object for each version.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Keep the position of the last printed version in this file, and continue from it the next time.
    #[arg(long, env = "NEWSREEL_RESUME", value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Follow only the keys that begin with this; a class is `class:`. May be repeated.
    #[arg(long = "topic", env = "NEWSREEL_TOPIC", value_name = "PREFIX")]
    topics: Vec<String>,
    /// The name that the broker lists this follower under.
    #[arg(long, env = "NEWSREEL_NAME", default_value = "tail")]
    name: String,
    /// Stop after this version.
    #[arg(long, env = "NEWSREEL_UNTIL", value_name = "VERSION")]
    until: Option<Version>,
    /// Stop after the versions that were missed.
    #[arg(long, env = "NEWSREEL_EXIT_WHEN_LIVE", value_parser = BoolishValueParser::new())]
    exit_when_live: bool,
}

#[derive(Clone, Copy, Debug)]
enum StartAt {
    Head,
    Start,
    At(Position),
}

/// A text that is no place to start at.
#[derive(Debug, thiserror::Error)]
#[error("write head, start or a position ({0})")]
struct StartError(#[from] PositionError);

impl FromStr for StartAt {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, StartError> {
        match text {
            "head" => Ok(Self::Head),
            "start" => Ok(Self::Start),
            position => Ok(Self::At(position.parse()?)),
        }
    }
}

impl StartAt {
    fn cursor(self) -> Cursor {
        match self {
            Self::Head => Cursor::Head,
            Self::Start => Cursor::Beginning,
            Self::At(position) => Cursor::At(position),
        }
    }
}

/// Follows until the version of --until, a signal to stop, or the end of stdout's reader.
pub(crate) async fn run(options: TailOptions, at: BrokerOptions) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    let mut tail = Tail::new(options, at)?;
    tokio::select! {
        outcome = tail.follow() => outcome?,
        () = stop => {}
    }
    tail.log.stop().await
}

struct Tail {
    options: TailOptions,
    at: BrokerOptions,
    log: Following,
    /// The position of what has been printed.
    held: Option<Position>,
    /// Whether a broker has ever answered.
    greeted: bool,
    done: bool,
}

impl Tail {
    fn new(options: TailOptions, at: BrokerOptions) -> Result<Self, Failure> {
        let kept = options.resume.as_deref().map(resume::read).transpose()?.flatten();
        let cursor = kept.map_or_else(|| options.from.cursor(), Cursor::At);
        let (name, topics) = (options.name.clone(), options.topics.clone());
        let log = Following::new(at.clone(), FollowerConfig::default(), cursor, name, topics);
        Ok(Self { held: log.position(), log, options, at, greeted: false, done: false })
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        while !self.done {
            let event = self.log.next().await?;
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: LogEvent) -> Result<(), Failure> {
        match event {
            LogEvent::Apply(position, versions) => self.apply(position, versions),
            LogEvent::ApplyFold(position, changes) => self.apply_fold(position, &changes),
            LogEvent::Reset(position, reason) => {
                out(&print::reset(&position, &reason, self.options.json))?;
                note!("tail: reset: {reason}");
                self.keep(position)
            }
            LogEvent::Phase(phase) => self.phase(phase),
            LogEvent::ServerError(code, message) => {
                note!("tail: the broker says {code}: {message}");
                Ok(())
            }
        }
    }

    fn apply(&mut self, position: Position, versions: Vec<VersionRow>) -> Result<(), Failure> {
        let mut rows = print::placed(self.held, position, versions);
        let all = rows.len();
        if let Some(until) = self.options.until {
            rows.truncate(rows.partition_point(|(row, _)| row.version <= until));
        }
        let live = self.log.phase() == Phase::Live;
        out(&if self.options.json {
            print::json_rows(&rows)
        } else {
            print::plain_rows(&rows, if live { "live" } else { "replay" })
        })?;
        let whole = rows.len() == all;
        let printed = if whole { Some(position) } else { rows.last().and_then(|(_, position)| *position) };
        self.done |= !whole;
        printed.map_or(Ok(()), |printed| self.keep(printed))
    }

    fn apply_fold(&mut self, position: Option<Position>, changes: &[FoldedChange]) -> Result<(), Failure> {
        out(&if self.options.json {
            print::json_fold(position, changes)
        } else {
            print::plain_fold(changes)
        })?;
        position.map_or(Ok(()), |position| self.keep(position))
    }

    /// Keeps the position of what is printed, and ends the command once it is far enough.
    fn keep(&mut self, position: Position) -> Result<(), Failure> {
        self.held = Some(position);
        if let Some(path) = &self.options.resume {
            resume::write(path, &position)?;
        }
        self.done |= self.options.until.is_some_and(|until| position.version >= until);
        Ok(())
    }

    /// Reports the follower's new phase to people, and fails when no retry can help.
    fn phase(&mut self, phase: Phase) -> Result<(), Failure> {
        let held = self.held.map_or(Version::ZERO, |position| position.version);
        match phase {
            Phase::Idle => {}
            Phase::Connecting => note!("tail: connecting to {}", self.at.broker),
            Phase::CatchingUp => {
                self.greeted = true;
                match self.log.head().number().saturating_sub(held.number()) {
                    // A reset may follow, which is reported by itself.
                    0 => {}
                    1 => note!("tail: catching up: 1 version, from {held} to {}", self.log.head()),
                    missed => {
                        note!("tail: catching up: {missed} versions, from {held} to {}", self.log.head())
                    }
                }
            }
            Phase::Live => {
                note!("tail: live at {held}");
                let far_enough = self.options.until.is_some_and(|until| held >= until);
                self.done |= self.options.exit_when_live || far_enough;
            }
            Phase::Waiting if !self.greeted && self.log.clock().elapsed() > self.at.retry_for() => {
                let (what, why) = (self.at.broker.to_string(), self.log.last_error().to_owned());
                return Err(Failure::Unreachable { what, why });
            }
            Phase::Waiting if !self.greeted => {
                note!("tail: not connected ({}); trying again", self.log.last_error())
            }
            Phase::Waiting => note!("tail: cut off at {held} ({}); trying again", self.log.last_error()),
            Phase::Closed => {
                let detail = format!("{}; the broker said not to come back", self.log.last_error());
                return Err(Failure::Refused { code: "closed".to_owned(), detail });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
