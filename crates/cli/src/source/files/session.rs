//! The loop: wait for a dump, compare it, accept it, publish what differs, and wait for the next.
//!
//! A dump is looked for only when everything of the one before is durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use newsreel_mapping::Mapping;
use tokio::time::{Instant, sleep, sleep_until};

use super::FilesOptions;
use super::metrics::{Metrics, Outcome};
use super::places::{Next, Places};
use super::tell;
use crate::broker::BrokerOptions;
use crate::exit::{Failure, asked_to_stop, note};
use crate::source::dump::place::{Found, Place};
use crate::source::dump::take::{Reading, TakeError, compared};
use crate::source::metrics::{Side, Wide};
use crate::source::outgoing::{Outgoing, Wake};
use crate::source::snapshot::{Comparison, Guard, Keep, Pending, SnapshotError, Snapshots};
use crate::source::watch::{Watch, Words, now_millis};

/// How many publishes are read from the outbox at once.
const READ_AT_ONCE: usize = 50;

/// A source of dumps.
struct Session {
    /// The state; a reading takes it along.
    snapshots: Option<Snapshots>,
    places: Places,
    reading: Reading,
    guard: Guard,
    outgoing: Outgoing<Pending>,
    /// The last publish of the outbox that is in the queue.
    queued: i64,
    /// How long the broker may be silent before a single run ends.
    patience: Option<Duration>,
    broker: String,
    watch: Arc<Watch>,
    metrics: Metrics,
    dump: String,
}

/// Publishes until it is asked to stop, or until the dump was taken.
pub(super) async fn run(
    options: &FilesOptions,
    place: Place,
    mapping: &Mapping,
    broker: BrokerOptions,
) -> Result<(), Failure> {
    let stop = asked_to_stop()?;
    let once = options.once || options.dry_run || place == Place::Stdin;
    let places = Places::of(place, options.dump.naming(mapping)?, options, once)?;
    if options.dry_run {
        tokio::select! {
            ended = dry_run(options, mapping, places) => return ended,
            () = stop => return Ok(()),
        }
    }
    let snapshots = Snapshots::open(&options.state, mapping, Keep::Hashes)?;
    let metrics = Metrics::default();
    let name = (!once).then(|| format!("files:{}", options.state.display()));
    let words = Words { upstream: "dump", units: "dumps", name };
    let watch = Watch::start(&options.shared, broker.clone(), words, |to| metrics.register(to), |_| ());
    let mut session = Session {
        dump: snapshots.last()?.map(|last| last.dump).unwrap_or_default(),
        snapshots: Some(snapshots),
        places,
        reading: Reading::of(&options.dump, 0),
        guard: options.dump.guard(),
        queued: 0,
        patience: once.then(|| broker.retry_for()),
        broker: broker.broker.to_string(),
        outgoing: Outgoing::new(broker),
        watch: watch.await?,
        metrics,
    };
    note!("source: following {}", session.places.name());
    let ended = tokio::select! {
        ended = session.follow(once) => ended,
        () = stop => Ok(()),
    };
    session.outgoing.finish().await;
    ended
}

/// Says what a dump would publish.
async fn dry_run(options: &FilesOptions, mapping: &Mapping, mut places: Places) -> Result<(), Failure> {
    let is_new = !options.state.exists();
    let snapshots = Snapshots::open(&options.state, mapping, Keep::Hashes)?;
    let reading = Reading::of(&options.dump, options.samples);
    let Next::Dump(found) = places.look().await? else {
        return Err(Failure::Input(format!("{}: there is no dump", places.name())));
    };
    let (snapshots, compared) = compared(snapshots, &found, &reading).await;
    if let Some(mut snapshots) = snapshots {
        tell::skipped(snapshots.skips());
    }
    places.took(found.clone());
    if is_new {
        forget(&options.state);
    }
    let comparison = compared.map_err(|why| Failure::Input(why.to_string()))?;
    let refused = options.dump.guard().judge(&comparison).err();
    tell::would(&found.label, &comparison, refused.as_ref(), options.json)?;
    refused.map_or(Ok(()), |why| Err(Failure::Input(why.to_string())))
}

/// Removes a state that was made to compare with.
fn forget(state: &Path) {
    for ending in ["", ".lock"] {
        let mut path = state.as_os_str().to_owned();
        path.push(ending);
        // The folder of the state is as it was before, or has an empty state: both are the same to the next run.
        let _ = std::fs::remove_file(path);
    }
}

impl Session {
    async fn follow(&mut self, once: bool) -> Result<(), Failure> {
        self.drain().await?;
        loop {
            let next = self.places.look().await?;
            self.watch.shows(Side::Upstream, !self.places.is_away());
            // A file may be away for as long as its writer likes.
            self.watch.answers("the address", !(self.places.is_away() && self.places.is_address()));
            let is_taken = match next {
                Next::Dump(found) => self.take(found, once).await?,
                Next::Nothing => once,
            };
            if once && is_taken {
                return Ok(());
            }
            self.rest().await?;
        }
    }

    /// Waits for the time of the next look, and keeps the connection to the broker up meanwhile.
    async fn rest(&mut self) -> Result<(), Failure> {
        let over = sleep(self.places.rest());
        tokio::pin!(over);
        loop {
            tokio::select! {
                wake = self.outgoing.wake() => self.publish(wake).await?,
                () = &mut over => return Ok(()),
            };
        }
    }

    /// Takes a dump: what differs is durable when this returns. Says whether the dump needs no second reading.
    async fn take(&mut self, found: Found, once: bool) -> Result<bool, Failure> {
        let at = now_millis();
        let snapshots = self.snapshots.take().ok_or_else(|| anyhow!("the state was lost"))?;
        let (snapshots, compared) = compared(snapshots, &found, &self.reading).await;
        self.snapshots = snapshots;
        let comparison = match compared {
            Ok(comparison) => comparison,
            Err(why @ (TakeError::Written(_) | TakeError::Open(_))) => {
                note!("source: {why}; reading again");
                return Ok(false);
            }
            Err(why) if why.is_of_state() => return Err(anyhow!(why).into()),
            Err(why) => return self.left_out(found, Outcome::Malformed, &why.to_string(), once),
        };
        if let Err(why) = self.guard.judge(&comparison) {
            return self.left_out(found, Outcome::Refused, &why.to_string(), once);
        }
        self.accept(found, &comparison, at)?;
        self.drain().await?;
        Ok(true)
    }

    fn accept(&mut self, found: Found, comparison: &Comparison, at: i64) -> Result<(), Failure> {
        let snapshots = self.snapshots.as_mut().ok_or_else(|| anyhow!("the state was lost"))?;
        let dump = found.label.clone();
        snapshots.accept(comparison, &dump, at)?;
        tell::skipped(snapshots.skips());
        self.watch.skipped(snapshots.skips());
        tell::differs(&dump, comparison);
        self.metrics.accepted(comparison, at);
        let differ: u64 = comparison.counts.values().map(|of| of.added + of.changed + of.gone).sum();
        let targets = comparison.publishes.iter().map(|publish| publish.changes.len()).sum();
        self.watch.read(differ, targets, comparison.wide.large);
        self.watch.metrics.wide(Wide::Gap, comparison.wide.first);
        self.watch.metrics.wide(Wide::Form, comparison.wide.form);
        self.dump = dump;
        self.places.took(found);
        Ok(())
    }

    /// Leaves a dump out: nothing changed, and as it is it is not read again.
    fn left_out(&mut self, found: Found, outcome: Outcome, why: &str, once: bool) -> Result<bool, Failure> {
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.refuse();
        }
        self.metrics.dump(outcome);
        self.places.took(found);
        if once {
            return Err(Failure::Input(why.to_owned()));
        }
        note!("source: {why}; nothing was changed, and the source waits for another dump");
        Ok(true)
    }

    /// Publishes until the outbox is empty.
    async fn drain(&mut self) -> Result<(), Failure> {
        let mut heard = Instant::now();
        loop {
            self.feed().await?;
            if self.outgoing.waiting() == 0 {
                return Ok(());
            }
            let until = self.patience.map(|patience| heard + patience);
            let wake = tokio::select! {
                wake = self.outgoing.wake() => wake,
                () = sleep_until(until.unwrap_or(heard)), if until.is_some() => {
                    let why = "what differs is kept in the state, and the next run publishes it".to_owned();
                    return Err(Failure::Unreachable { what: self.broker.clone(), why });
                }
            };
            if self.publish(wake).await? {
                heard = Instant::now();
            }
        }
    }

    /// Puts publishes of the outbox into the queue, as many as there is room for.
    async fn feed(&mut self) -> Result<(), Failure> {
        let snapshots = self.snapshots.as_ref().ok_or_else(|| anyhow!("the state was lost"))?;
        while self.outgoing.has_room() {
            let entries = snapshots.pending(self.queued, READ_AT_ONCE)?;
            let Some(last) = entries.last() else { return Ok(()) };
            self.queued = last.of.id;
            self.outgoing.add(entries).await;
        }
        Ok(())
    }

    /// Sends and hears what there is. What has become durable leaves the outbox, and is printed. Says whether anything has.
    async fn publish(&mut self, wake: Wake) -> Result<bool, Failure> {
        let durable = self.outgoing.on_wake(wake).await?;
        if let (Some(last), Some(snapshots)) = (durable.last(), &self.snapshots) {
            snapshots.acknowledged(&last.of)?;
        }
        self.watch.published(&durable, &self.outgoing);
        tell::published(&durable, &self.dump)?;
        Ok(!durable.is_empty())
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Database { .. } | SnapshotError::Lock { .. } => anyhow!(error).into(),
            SnapshotError::Newer { .. } | SnapshotError::InUse(_) | SnapshotError::Twice { .. } => {
                Self::Input(error.to_string())
            }
        }
    }
}
