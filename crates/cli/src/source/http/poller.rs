//! One feed: round after round, each at its time, and what it found on its way to the broker.

use std::sync::Arc;
use std::time::Duration;

use newsreel_core::wire::Publish;
use newsreel_mapping::feed::FeedKind;
use newsreel_mapping::{Feed, Mapping, Skips};
use reqwest::Url;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::client::{ApiClient, AskError, Reply};
use super::compared::WholeError;
use super::counts::{FeedMetrics, Outcome};
use super::files::{FeedFiles, FileError};
use super::mapped;
use super::pace::{after_failure, after_success};
use super::page::{self, BodyError};
use super::pages::RoundError;
use super::round::{Answer, End, Round, Step};
use super::seen::digest;
use super::state::FeedState;
use crate::exit::{Failure, note};
use crate::http::random_u32;
use crate::source::metrics::{Side, Wide};
use crate::source::outgoing;
use crate::source::snapshot::{Guard, Snapshots};
use crate::source::watch::{Watch, now_millis};

/// Where a publish comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The name of the feed.
    pub(super) feed: Arc<str>,
    /// When the API answered, in Unix milliseconds by its clock.
    pub(super) at: i64,
    /// The number of the publish within its round, from 0.
    pub(super) part: usize,
    /// Is told when the last publish of a round is durable.
    pub(super) done: Option<oneshot::Sender<()>>,
}

impl outgoing::Origin for Origin {
    fn at(&self) -> i64 {
        self.at
    }
}

/// The way of a feed's publishes to the broker.
pub(super) type Entries = mpsc::Sender<Vec<outgoing::Entry<Origin>>>;

/// One feed that is asked.
pub(super) struct Poller {
    pub(super) feed: Feed,
    pub(super) mapping: Arc<Mapping>,
    pub(super) files: FeedFiles,
    pub(super) state: FeedState,
    pub(super) client: ApiClient,
    pub(super) entries: Entries,
    pub(super) watch: Arc<Watch>,
    pub(super) counts: FeedMetrics,
    pub(super) skips: Skips,
    /// How far the server's clock is ahead of the one here.
    pub(super) ahead: i64,
    pub(super) once: bool,
    pub(super) max_failures: u32,
    /// How often the API forgot what it was asked for, since everything was read.
    pub(super) restarts: u32,
    /// The files of a feed that is a whole file.
    pub(super) snapshots: Option<Snapshots>,
    /// How many rows of a whole file may go at once.
    pub(super) guard: Guard,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollError {
    /// There is no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The answer cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The answers lead nowhere.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// The file is not taken.
    #[error(transparent)]
    WholeFile(Box<WholeError>),
    /// The API forgets the place again and again before everything is read.
    #[error("the API forgot what it was asked for, for the {0}th time since the last wide change")]
    Restarted(u32),
    /// Another attempt would fail as well.
    #[error(transparent)]
    Fatal(#[from] Failure),
}

impl From<FileError> for PollError {
    fn from(error: FileError) -> Self {
        Self::Fatal(Failure::from(anyhow::Error::from(error)))
    }
}

impl Poller {
    /// Asks and publishes until it has to end. With `once`, until nothing more is there.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        self.send_pending().await?;
        let mut failures = 0_u32;
        loop {
            let pause = match self.round().await {
                Ok(true) => Duration::ZERO,
                Ok(false) if self.once => return Ok(()),
                Ok(false) => after_success(&self.feed, random()),
                Err(PollError::Fatal(failure)) => return Err(failure),
                Err(error) => {
                    failures = (failures + 1).max(self.restarts);
                    self.failed(&error, failures)?;
                    let asked = if let PollError::Ask(error) = &error { error.after() } else { None };
                    self.wait(after_failure(failures, asked, random()), failures).await;
                    continue;
                }
            };
            if failures > 0 {
                note!("source: {}: the API answers again", self.feed.name);
                failures = 0;
            }
            self.watch.shows(Side::Upstream, true);
            self.watch.answers(&self.feed.name, true);
            self.wait(pause, 0).await;
        }
    }

    /// Says that a round failed.
    ///
    /// # Errors
    /// If there were too many.
    fn failed(&self, error: &PollError, failures: u32) -> Result<(), Failure> {
        let name = &self.feed.name;
        self.counts.asked(name, Outcome::Failed);
        self.watch.shows(Side::Upstream, false);
        self.watch.answers(name, false);
        if self.once || (self.max_failures > 0 && failures >= self.max_failures) {
            return Err(Failure::Feed { feed: name.clone(), why: error.to_string() });
        }
        // The first failures and then ever fewer are told.
        if failures.is_power_of_two() {
            note!("source: {name}: {error}; nothing of it was published, asking again (failure {failures})");
        }
        Ok(())
    }

    /// Waits, and says once a second how old the last good round is.
    async fn wait(&mut self, time: Duration, failures: u32) {
        const SECOND: Duration = Duration::from_secs(1);
        let mut left = time;
        loop {
            let age = self.state.good_at.map_or(0, |at| now_millis() - at);
            self.counts.state(&self.feed.name, age as f64 / 1_000.0, failures);
            if left.is_zero() {
                return;
            }
            let step = left.min(SECOND);
            sleep(step).await;
            left = left.saturating_sub(step);
        }
    }

    /// Does one round, and says whether more is there at once.
    async fn round(&mut self) -> Result<bool, PollError> {
        if self.feed.kind == FeedKind::WholeFile {
            return self.whole_file().await;
        }
        let feed = self.feed.clone();
        let mut round = Round::begin(&feed, self.state.reached.clone(), self.now());
        let mut from: Option<Url> = None;
        let (end, at) = loop {
            let question = round.question();
            let asked = now_millis();
            let fetched = self.client.ask(&feed, &question, from.as_ref(), None).await?;
            self.told(asked, fetched.date);
            let answer = self.answer(fetched.reply)?;
            from = Some(fetched.from);
            if let Step::End(end) = round.hear(answer, fetched.date)? {
                break (*end, fetched.date.unwrap_or_else(|| self.now()));
            }
        };
        let (rows, repeated) = (round.take_fresh(), round.repeated());
        let (again, is_whole, restarted) = (end.again, end.reached.gap.is_none(), round.restarted());
        let publishes = self.publishes(&end, rows, repeated)?;
        self.commit(&publishes, end, at).await?;
        self.restarts = if is_whole { 0 } else { self.restarts + u32::from(restarted) };
        if self.restarts > 1 && restarted { Err(PollError::Restarted(self.restarts)) } else { Ok(again) }
    }

    fn answer(&self, reply: Reply) -> Result<Answer, PollError> {
        let name = &self.feed.name;
        match reply {
            Reply::Unchanged => {
                self.counts.asked(name, Outcome::Unchanged);
                Ok(Answer::Unchanged)
            }
            Reply::Expired => {
                self.counts.asked(name, Outcome::Expired);
                Ok(Answer::Expired)
            }
            Reply::Body { body, media_type, link, validators } => {
                let page = page::read(&self.feed, media_type.as_deref(), link.as_deref(), &body)?;
                self.counts.asked(name, Outcome::Answered);
                Ok(Answer::Page(page, digest(&body), validators))
            }
        }
    }

    /// Returns what a round publishes.
    fn publishes(
        &mut self,
        end: &End,
        rows: Vec<serde_json::Value>,
        repeated: u64,
    ) -> Result<Vec<Publish>, PollError> {
        let name = self.feed.name.clone();
        self.counts.rows(&name, rows.len() as u64, repeated);
        if let Some(why) = &end.wide {
            note!("source: {name}: {why}; everything that its rules cover is published as changed");
            let publishes = mapped::wide(&self.mapping, &name);
            self.watch.metrics.wide(Wide::Gap, publishes.iter().map(|publish| publish.changes.len()).sum());
            return Ok(publishes);
        }
        let count = rows.len() as u64;
        let mapped = mapped::rows(&self.mapping, &name, rows, &mut self.skips);
        for (row, why) in &mapped.unmapped {
            self.counts.dead_letter(&name, why.kind());
            note!("source: {name}: a row is not mapped: {why}: {}", shortened(&row.to_string()));
        }
        self.files.dead_letters(&mapped.unmapped)?;
        for skip in self.skips.take_new() {
            note!("source: {skip}");
        }
        self.watch.skipped(&self.skips);
        if count > 0 {
            let targets = mapped.publishes.iter().map(|publish| publish.changes.len()).sum();
            self.watch.read(count, targets, mapped.widened);
        }
        Ok(mapped.publishes)
    }

    /// Publishes, and notes what is reached once everything is durable.
    async fn commit(&mut self, publishes: &[Publish], end: End, at: i64) -> Result<(), PollError> {
        let is_sent = self.state.intend(&self.feed, publishes, end, at);
        self.state.good_at = Some(now_millis());
        self.files.write(&self.state)?;
        if is_sent {
            self.send_pending().await?;
        }
        Ok(())
    }

    /// Sends what was to be published when the file was written, and waits until it is durable.
    async fn send_pending(&mut self) -> Result<(), Failure> {
        let Some(pending) = &self.state.pending else { return Ok(()) };
        let (at, lines) = (pending.at, pending.lines.clone());
        self.send(lines, at).await?;
        self.state.settle();
        self.files.write(&self.state).map_err(|error| Failure::from(anyhow::Error::from(error)))
    }

    /// Sends publishes, and waits until they are durable.
    pub(super) async fn send(&mut self, lines: Vec<String>, at: i64) -> Result<(), Failure> {
        let (done, durable) = oneshot::channel();
        let (feed, last) = (Arc::<str>::from(self.feed.name.as_str()), lines.len().saturating_sub(1));
        let mut done = Some(done);
        let entry = |(part, text): (usize, String)| {
            let done = if part == last { done.take() } else { None };
            outgoing::Entry { text, of: Origin { feed: Arc::clone(&feed), at, part, done } }
        };
        let entries: Vec<_> = lines.into_iter().enumerate().map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        // Without a receiver the source is about to end.
        let _ = self.entries.send(entries).await;
        durable.await.map_err(|_| Failure::Input("the source ended before everything was durable".to_owned()))
    }

    /// Notes the server's clock.
    pub(super) fn told(&mut self, asked: i64, date: Option<i64>) {
        if let Some(date) = date {
            let here = now_millis();
            self.ahead = date - (asked + here) / 2;
            self.watch.told(asked, here, date);
        }
    }

    /// Returns the time by the server's clock, as far as it is known.
    fn now(&self) -> i64 {
        now_millis() + self.ahead
    }
}

/// Returns a random number from 0 to 1.
fn random() -> f64 {
    f64::from(random_u32()) / f64::from(u32::MAX)
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
