//! Whole files: asked for by their validators, and compared with the one before by the snapshots of `source files`.

use newsreel_mapping::feed::Places;

use super::client::Reply;
use super::compared::{WholeError, compared};
use super::counts::Outcome;
use super::pages::RoundError;
use super::poller::{PollError, Poller};
use super::question::{Question, To, Validators};
use crate::exit::{Failure, note};
use crate::source::dump::DumpError;
use crate::source::metrics::Wide;
use crate::source::snapshot::{Comparison, Keep, SnapshotError, Snapshots};
use crate::source::watch::now_millis;

/// How many publishes of the outbox are on their way at once.
const AT_ONCE: usize = 1_000;

impl Poller {
    /// Asks for the file, and publishes how it differs from the one before.
    pub(super) async fn whole_file(&mut self) -> Result<bool, PollError> {
        let mut snapshots = match self.snapshots.take() {
            Some(snapshots) => snapshots,
            None => Snapshots::open(&self.files.path("snapshot"), &self.mapping, Keep::Hashes)
                .map_err(WholeError::from)?,
        };
        self.send_outbox(&mut snapshots).await?;
        let is_known =
            self.state.reached.gap.is_none() && snapshots.last().map_err(WholeError::from)?.is_some();
        let validators = self.state.reached.validators.clone().filter(|_| is_known);
        let question = Question { to: To::Places(Places::default()), validators };
        let (asked, path) = (now_millis(), self.files.path("download"));
        let fetched = self.client.ask(&self.feed, &question, None, Some(&path)).await?;
        self.told(asked, fetched.date);
        let name = self.feed.name.clone();
        match fetched.reply {
            Reply::Expired => return Err(PollError::Round(RoundError::Expired)),
            Reply::Unchanged => self.counts.asked(&name, Outcome::Unchanged),
            Reply::Body { validators, .. } => {
                self.counts.asked(&name, Outcome::Answered);
                let (feed, file) = (self.feed.clone(), path.clone());
                let (mut taken, compared) = compared(snapshots, feed, file).await?;
                self.take(&mut taken, &compared?, &question, validators).await?;
                snapshots = taken;
                // The next answer takes its place.
                let _ = std::fs::remove_file(&path);
            }
        }
        self.state.good_at = Some(now_millis());
        self.files.write(&self.state)?;
        self.snapshots = Some(snapshots);
        Ok(false)
    }

    /// Makes the file the state if the guard admits it, and publishes what differs.
    async fn take(
        &mut self,
        snapshots: &mut Snapshots,
        comparison: &Comparison,
        question: &Question,
        validators: Validators,
    ) -> Result<(), PollError> {
        if let Err(error) = self.guard.judge(comparison) {
            snapshots.refuse();
            return Err(WholeError::Guard(error).into());
        }
        let accepted =
            snapshots.accept(comparison, &self.feed.name, now_millis()).map_err(WholeError::from)?;
        let wide = &comparison.wide;
        if wide.first + wide.form > 0 {
            let why = if wide.first > 0 {
                "nothing is known of an earlier file"
            } else {
                "the mapping has changed"
            };
            note!(
                "source: {}: {why}; everything that its rules cover is published as changed",
                self.feed.name
            );
            self.watch.metrics.wide(Wide::Gap, wide.first + wide.form);
        }
        let targets = comparison.publishes.iter().map(|publish| publish.changes.len()).sum();
        let differ =
            comparison.counts.values().map(|counts| counts.added + counts.changed + counts.gone).sum();
        if targets > 0 {
            self.watch.read(differ, targets, wide.large);
        }
        self.counts.rows(&self.feed.name, differ, 0);
        self.watch.skipped(snapshots.skips());
        for skip in snapshots.skips().take_new() {
            note!("source: {skip}");
        }
        self.send_outbox(snapshots).await?;
        self.state.reached.gap = None;
        self.state.reached.since = Some(accepted.at);
        let is_told = validators.etag.is_some() || validators.last_modified.is_some();
        self.state.reached.validators = is_told.then(|| Validators { of: question.to.text(), ..validators });
        Ok(())
    }

    /// Sends what accepted files publish, until all of it is durable.
    async fn send_outbox(&mut self, snapshots: &mut Snapshots) -> Result<(), PollError> {
        loop {
            let pending = snapshots.pending(0, AT_ONCE).map_err(WholeError::from)?;
            let Some(last) = pending.last().map(|entry| entry.of) else { return Ok(()) };
            let lines = pending.into_iter().map(|entry| entry.text).collect();
            self.send(lines, last.at).await?;
            snapshots.acknowledged(&last).map_err(WholeError::from)?;
        }
    }
}

impl From<WholeError> for PollError {
    fn from(error: WholeError) -> Self {
        let of_state = |error: &SnapshotError| !matches!(error, SnapshotError::Twice { .. });
        let is_of_state = match &error {
            WholeError::Snapshot(error) | WholeError::Dump(DumpError::Taker(error)) => of_state(error),
            WholeError::Dump(_)
            | WholeError::Xml(_)
            | WholeError::Body(_)
            | WholeError::Read(_)
            | WholeError::Guard(_)
            | WholeError::BrokenOff => false,
        };
        if is_of_state {
            Self::Fatal(Failure::from(anyhow::Error::from(error)))
        } else {
            Self::WholeFile(Box::new(error))
        }
    }
}
