//! Drives reads in the Worker: `core::read::drive` says which tiers to ask; this module asks them, for many
//! reads at once where a tier can.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use futures_util::{StreamExt as _, stream};
use newsreel_core::read::cache::{Answer, Freshness, ReadMachine, Tier};
use newsreel_core::read::drive::{HasEnvelope, Local, Poll, ReadDriver, ReadTask, TierQuestion, TierReply};
use newsreel_core::read::entry_names::{kv_name, r2_name};
use newsreel_core::read::sync::Knowledge;
use newsreel_core::wire::Key;
use worker::{Delay, console_warn};

use crate::clock::now;
use crate::reader::context::Place;
use crate::reader::response::headers::Served;
use crate::reader::singleflight::{self, FetchError};
use crate::reader::state::{Reader, reader};
use crate::reader::sync::sync;
use crate::tiers::origin::Question;
use crate::tiers::{Entry, kv, r2};

/// How many tiers are asked at once: six requests of an isolate may wait for their headers.
const AT_ONCE: usize = 6;

/// Which values an answer can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Values of every size.
    All,
    /// Values of at most 1 MiB: a hundred larger ones would be an isolate's end.
    Small,
}

/// A read that has its answer.
pub(crate) struct Walk {
    task: ReadTask<Entry>,
    told: Told,
}

/// The facts that the tiers reported beside their entries, for one read.
#[derive(Default)]
struct Told {
    seen: Option<r2::Seen>,
    origin_error: Option<String>,
    origin: Option<(Duration, bool)>,
}

impl Walk {
    /// Returns the read that was driven, with its key and the tiers it visited.
    pub(crate) fn read(&self) -> &ReadMachine {
        self.task.read()
    }

    /// Returns the key that was read.
    pub(crate) fn key(&self) -> &Key {
        self.read().key()
    }

    /// Returns the read with the entries that the tiers gave.
    pub(crate) fn task(&self) -> &ReadTask<Entry> {
        &self.task
    }

    /// Returns the answer that ended the read.
    pub(crate) fn answer(&self) -> &Answer {
        self.task.answer().expect("a driver is polled until every read has its answer")
    }

    /// Returns the entry that is served.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.task.entry()
    }

    /// Returns the state in which R2 was seen; `None` if R2 was not asked or failed.
    pub(crate) fn seen(&self) -> Option<&r2::Seen> {
        self.told.seen.as_ref()
    }

    /// Returns the error of the origin, if its fetch failed.
    pub(crate) fn origin_error(&self) -> Option<&str> {
        self.told.origin_error.as_deref()
    }

    /// Returns how long the origin took, and whether the fetch was another read's.
    pub(crate) fn origin(&self) -> Option<(Duration, bool)> {
        self.told.origin
    }
}

impl HasEnvelope for Entry {
    fn envelope(&self) -> &newsreel_core::read::cache::Envelope {
        &self.envelope
    }
}

impl Local for Reader {
    type Entry = Entry;

    fn known(&self) -> &Knowledge {
        &self.known
    }

    fn recall(&mut self, key: &Key) -> Option<Entry> {
        self.memory.get(key)
    }
}

/// Drives reads until all have their answer.
pub(crate) async fn run(place: &Place, reads: Vec<ReadMachine>, values: Values) -> Vec<Walk> {
    let driver = reader(&place.catalog, |reader| ReadDriver::begin(reads, now(), reader));
    drive(place, driver, values).await
}

/// Fetches an entry from the origin, behind an answer that has been given.
pub(crate) async fn fetch(place: &Place, key: &Key) -> Vec<Walk> {
    let read = place.read(key, None);
    let driver = reader(&place.catalog, |reader| ReadDriver::refetch(read, now(), reader));
    drive(place, driver, Values::All).await
}

async fn drive(place: &Place, mut driver: ReadDriver<Entry>, values: Values) -> Vec<Walk> {
    let mut told = BTreeMap::<usize, Told>::new();
    loop {
        match reader(&place.catalog, |reader| driver.poll(now(), reader)) {
            Poll::Sync(question) => {
                let proved = sync(place, &question).await.unwrap_or_else(|error| {
                    console_warn!("{}@{}: {error}", place.catalog, place.edge);
                    false
                });
                driver.synced(proved);
            }
            Poll::Ask(questions) => {
                for gave in ask(place, &driver, &questions).await {
                    let (read, tier) = (gave.read, gave.tier);
                    let reply = told.entry(read).or_default().take(place, gave, values);
                    driver.replied(read, tier, reply);
                }
            }
            // Every question has had its reply, so none is waited for.
            Poll::Wait | Poll::Done => break,
        }
    }
    let tasks = driver.into_tasks().into_iter().enumerate();
    tasks.map(|(read, task)| Walk { task, told: told.remove(&read).unwrap_or_default() }).collect()
}

/// The reason that a tier gave no reply.
#[derive(Debug, thiserror::Error)]
enum TierError {
    #[error("it did not answer in time")]
    Late,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Platform(#[from] worker::Error),
}

/// The reply of one tier to one question, with the facts beside its entry.
struct Gave {
    read: usize,
    tier: Tier,
    found: Result<Option<Entry>, TierError>,
    seen: Option<r2::Seen>,
    origin: Option<(Duration, bool)>,
}

impl Gave {
    fn new(question: TierQuestion, found: Result<Option<Entry>, TierError>) -> Self {
        Self { read: question.read, tier: question.tier, found, seen: None, origin: None }
    }

    fn late(question: TierQuestion) -> Self {
        Self::new(question, Err(TierError::Late))
    }
}

impl Told {
    /// Keeps the facts beside the entry, and returns the reply that the read judges.
    fn take(&mut self, place: &Place, gave: Gave, values: Values) -> TierReply<Entry> {
        let Gave { tier, found, seen, origin, .. } = gave;
        self.seen = seen.or(self.seen.take());
        self.origin = origin.or(self.origin);
        match found {
            Ok(Some(mut entry)) => {
                if values == Values::Small {
                    entry.leave_large();
                }
                TierReply::Entry(entry)
            }
            Ok(None) => TierReply::Nothing,
            Err(error) => {
                console_warn!("{}: {}: {error}", place.catalog, tier.name());
                if tier == Tier::Origin {
                    self.origin_error = Some(error.to_string());
                }
                TierReply::Failed
            }
        }
    }
}

/// Asks the tiers: KV for all of its names at once, the others one by one.
async fn ask(place: &Place, driver: &ReadDriver<Entry>, questions: &[TierQuestion]) -> Vec<Gave> {
    let (of_kv, others): (Vec<TierQuestion>, Vec<_>) =
        questions.iter().partition(|question| question.tier == Tier::Kv);
    let others = stream::iter(others)
        .map(|question| ask_one(place, driver, question))
        .buffer_unordered(AT_ONCE - 1)
        .collect::<Vec<_>>();
    let (mut gave, others) = join(ask_kv(place, driver, of_kv), others).await;
    gave.extend(others);
    gave
}

/// Asks KV. If KV takes longer than the origin may, every read that asked counts KV as failed.
async fn ask_kv(place: &Place, driver: &ReadDriver<Entry>, questions: Vec<TierQuestion>) -> Vec<Gave> {
    if questions.is_empty() {
        return Vec::new();
    }
    match within(place.config.origin_timeout, get_from_kv(place, driver, &questions)).await {
        Some(gave) => gave,
        None => questions.into_iter().map(Gave::late).collect(),
    }
}

async fn get_from_kv(place: &Place, driver: &ReadDriver<Entry>, questions: &[TierQuestion]) -> Vec<Gave> {
    let named: Vec<(TierQuestion, String)> = questions
        .iter()
        .filter_map(|question| {
            let key = driver.task(question.read)?.read().key();
            let epoch = question.position.epoch;
            Some((*question, kv_name(&place.catalog, &epoch, key, question.generation)))
        })
        .collect();
    let names: Vec<String> = named.iter().map(|(_, name)| name.clone()).collect();
    let mut found = kv::get_many(&place.env, &names).await;
    let (mut gave, mut alone) = (Vec::new(), Vec::new());
    for (question, name) in named {
        match found.remove(&name) {
            Some(entry) => gave.push(Gave::new(question, Ok(entry))),
            None => alone.push((question, name)),
        }
    }
    // A few at once: each value may have 25 MiB.
    let alone = stream::iter(alone)
        .map(|(question, name)| async move {
            Gave::new(question, kv::get(&place.env, &name).await.map_err(TierError::from))
        })
        .buffer_unordered(AT_ONCE);
    gave.extend(alone.collect::<Vec<_>>().await);
    gave
}

async fn ask_one(place: &Place, driver: &ReadDriver<Entry>, question: TierQuestion) -> Gave {
    let Some(task) = driver.task(question.read) else { return Gave::late(question) };
    if question.tier == Tier::Origin {
        return ask_origin(place, task.read(), question).await;
    }
    let name = r2_name(&place.catalog, &question.position.epoch, task.read().key());
    match within(place.config.origin_timeout, r2::get(&place.env, &name)).await {
        Some(Ok((entry, seen))) => Gave { seen: Some(seen), ..Gave::new(question, Ok(entry)) },
        Some(Err(error)) => Gave::new(question, Err(error.into())),
        None => Gave::late(question),
    }
}

async fn ask_origin(place: &Place, read: &ReadMachine, question: TierQuestion) -> Gave {
    let began = now();
    let (outcome, shared) = singleflight::fetch(&Question {
        env: &place.env,
        config: &place.config,
        catalog: &place.catalog,
        key: read.key(),
        read,
        position: question.position,
    })
    .await;
    let found = outcome.map(Some).map_err(TierError::from);
    Gave { origin: Some((now().since(began), shared)), ..Gave::new(question, found) }
}

/// Waits for `something`; returns `None` if that takes longer than `limit`.
async fn within<T>(limit: Duration, something: impl Future<Output = T>) -> Option<T> {
    match select(pin!(something), pin!(Delay::from(limit))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

impl Served {
    /// Returns how a walk that has ended came to its answer.
    pub(crate) fn by(place: &Place, walk: &Walk) -> Self {
        let now = now();
        let (position, lag) =
            reader(&place.catalog, |reader| (reader.known.position(), reader.known.lag(now)));
        let (from, freshness) = match walk.answer() {
            Answer::Serve { from, freshness, .. } => (Some(*from), *freshness),
            Answer::Removed { freshness, .. } => (None, *freshness),
            Answer::Fail(_) => (None, Freshness::Stale),
        };
        let filled = walk.filled();
        let (policy, visits) = (place.policy(walk.key()), walk.read().visits().to_vec());
        let collapsed = walk.origin().is_some_and(|(_, shared)| shared);
        let found = walk.entry().is_some_and(|entry| entry.envelope.found);
        let shown_to_pages = place.config.shown_to_pages;
        Self { now, position, lag, policy, from, freshness, visits, filled, collapsed, found, shown_to_pages }
    }
}
