//! `newsreel export`: writes a catalog's log as lines of JSON, from its beginning or from a position.

mod file;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use newsreel_core::wire::Position;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::position::PositionError;

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, asked_to_stop, note};
use crate::exported::{ExportedLine, FoldedLines};
use crate::http::{self, call_with_retries};
use crate::log_page::{LogPage, query_after};
use file::Sink;

/// The examples that `newsreel export --help` prints last.
pub(crate) const EXAMPLES: &str = "Examples:
  newsreel export --token dev-follow >tv.ndjson
  newsreel export --out tv.ndjson --broker https://newsreel.example.workers.dev
  newsreel export | newsreel import - --broker https://other.example.workers.dev --token dev-admin";

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct ExportOptions {
    /// Where to begin: `start` (everything that is kept) or after a position, `epoch:version:hash`.
    #[arg(long, env = "NEWSREEL_FROM", default_value = "start", value_name = "WHERE")]
    from: From,
    /// Write to this file. A file that an earlier export wrote is continued from its last version [default:
    /// stdout].
    #[arg(long, env = "NEWSREEL_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A place to begin at.
#[derive(Clone, Copy, Debug)]
enum From {
    Start,
    After(Position),
}

/// A text that is no place to begin at.
#[derive(Debug, thiserror::Error)]
#[error("write start or a position ({0})")]
struct FromError(#[from] PositionError);

impl FromStr for From {
    type Err = FromError;

    fn from_str(text: &str) -> Result<Self, FromError> {
        if text == "start" { Ok(Self::Start) } else { Ok(Self::After(text.parse()?)) }
    }
}

/// Runs `newsreel export`: writes the log up to its head.
pub(crate) async fn run(options: ExportOptions, at: BrokerOptions) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    let (sink, kept) = Sink::open(options.out)?;
    let from = match options.from {
        From::Start => None,
        From::After(position) => Some(position),
    };
    let broker = BrokerClient::new(at.clone())?;
    let mut export = Export { at, broker, sink, held: kept.or(from), versions: 0, bar: bar() };
    let outcome = tokio::select! {
        outcome = export.read() => outcome,
        () = stop => Ok(()),
    };
    export.bar.finish_and_clear();
    let until = export.held.map_or("nothing".to_owned(), |held| held.to_string());
    note!("export: {} lines of versions, up to {until}", export.versions);
    outcome
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  version {pos}  {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

struct Export {
    at: BrokerOptions,
    broker: BrokerClient,
    sink: Sink,
    /// The position of what is written.
    held: Option<Position>,
    /// How many lines of versions are written.
    versions: usize,
    bar: ProgressBar,
}

impl Export {
    async fn read(&mut self) -> Result<(), Failure> {
        let (mut fold, mut folded) = (None, FoldedLines::default());
        loop {
            let mut page = self.page(fold.as_deref()).await?;
            let (position, head) = (page.position(), page.head);
            self.bar.set_length(head.number());
            let Some(changes) = page.changes.take() else {
                self.rows(&page.versions, position)?;
                if position.version == head {
                    return Ok(());
                }
                continue;
            };
            let lines = folded.take(changes);
            self.write(&lines)?;
            fold = page.next;
            if fold.is_none() {
                let last = folded.end();
                self.write(&last)?;
                self.sink.write(&ExportedLine::of_position(&position))?;
                self.advance(position);
                if position.version == head {
                    return Ok(());
                }
            }
        }
    }

    async fn page(&self, fold: Option<&str>) -> Result<LogPage, Failure> {
        let query = query_after(self.held, fold);
        let body = call_with_retries(&self.at.broker, self.at.retry_for(), || self.broker.changes(&query));
        let body = body.await.map_err(|failure| self.explained(failure))?;
        http::read(&self.at.broker, BROKER, &body)
    }

    fn explained(&self, failure: Failure) -> Failure {
        match (failure, self.held) {
            (Failure::Refused { code, detail }, Some(held)) if code == "reset" => {
                let detail = format!(
                    "{detail}: {held} is not on the log of this catalog; export it anew, into another file"
                );
                Failure::Refused { code, detail }
            }
            (failure, _) => failure,
        }
    }

    /// Writes rows, each with its position, which must come out as the page says.
    fn rows(&mut self, rows: &[VersionRow], to: Position) -> Result<(), Failure> {
        let mut at = self.held.unwrap_or(Position::genesis(to.epoch));
        let mut lines = String::new();
        for row in rows {
            let row = row.to_json();
            at = at.then(row.as_bytes());
            lines += &ExportedLine::of_row(&row, &at);
        }
        if at != to {
            let detail =
                "the token is shown a part of the log only, which is no export; give one without topics";
            return Err(Failure::Refused { code: "forbidden".to_owned(), detail: detail.to_owned() });
        }
        self.write(&lines)?;
        self.advance(to);
        Ok(())
    }

    fn write(&mut self, lines: &str) -> Result<(), Failure> {
        self.versions += lines.lines().count();
        self.sink.write(lines)
    }

    fn advance(&mut self, to: Position) {
        self.bar.set_position(to.version.number());
        self.held = Some(to);
    }
}
