//! Drives reads in the Worker: `core::read::drive` says which tiers to ask; this module asks them, for many
//! reads at once where a tier can.

use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use futures_util::{StreamExt as _, stream};
use newsreel_core::read::cache::{Answer, Envelope, Freshness, ReadMachine, Tier};
use newsreel_core::read::drive::{HasEnvelope, Local, Poll, ReadDriver, ReadTask, TierQuestion, TierReply};
use newsreel_core::read::entry_names::{kv_name, r2_name};
use newsreel_core::read::sync::Knowledge;
use newsreel_core::wire::{Key, Position, Traceparent, UnixMillis};
use worker::{Delay, console_warn};

use crate::clock::now;
use crate::reader::context::{ReadContext, Source};
use crate::reader::response::headers::Provenance;
use crate::reader::singleflight::{self, FetchError};
use crate::reader::state::{Reader, reader};
use crate::reader::sync::sync;
use crate::reader::turns;
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
pub(crate) struct FinishedRead {
    task: ReadTask<Entry>,
    facts: TierFacts,
    /// How long the read took, if it took more than memory.
    took: Option<Duration>,
}

/// The facts that the tiers reported beside their entries, for one read.
#[derive(Default)]
struct TierFacts {
    seen: Option<r2::Seen>,
    origin_error: Option<String>,
    origin: Option<(Duration, bool)>,
}

impl FinishedRead {
    /// Returns the read that was driven, with its key and the tiers it visited.
    pub(crate) fn machine(&self) -> &ReadMachine {
        self.task.read()
    }

    /// Returns the key that was read.
    pub(crate) fn key(&self) -> &Key {
        self.machine().key()
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
        self.facts.seen.as_ref()
    }

    /// Returns the error of the origin, if its fetch failed.
    pub(crate) fn origin_error(&self) -> Option<&str> {
        self.facts.origin_error.as_deref()
    }

    /// Returns how long the read took; `None` if it took no more than memory.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Returns how long the origin took, and whether the fetch was another read's.
    pub(crate) fn origin(&self) -> Option<(Duration, bool)> {
        self.facts.origin
    }
}

impl HasEnvelope for Entry {
    fn envelope(&self) -> &Rc<Envelope> {
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
pub(crate) async fn run(context: &ReadContext, reads: Vec<ReadMachine>, values: Values) -> Vec<FinishedRead> {
    let driver = reader(&context.catalog, |reader| ReadDriver::begin(reads, now(), reader));
    drive(context, driver, values).await
}

/// Returns the read as finished, if it takes no more than memory.
pub(crate) fn recall(context: &ReadContext, read: ReadMachine) -> Option<FinishedRead> {
    let mut task = ReadTask::new(read);
    reader(&context.catalog, |reader| task.begin(now(), reader));
    task.answer().is_some().then(|| FinishedRead { task, facts: TierFacts::default(), took: None })
}

/// Fetches an entry from the origin, behind an answer that has been given.
pub(crate) async fn fetch(context: &ReadContext, key: &Key) -> Vec<FinishedRead> {
    let read = context.read(key, None);
    let driver = reader(&context.catalog, |reader| ReadDriver::refetch(read, now(), reader));
    drive(context, driver, Values::All).await
}

/// The end of a read that does not ask the origin itself.
pub(crate) enum Begun {
    /// A tier or the log has the answer.
    Answered(Box<FinishedRead>),
    /// The origin is to be asked; a value is to be stamped with this position.
    Unfilled(Position),
}

/// Drives a read until it has its answer, or until only the origin is left to ask.
pub(crate) async fn begin(context: &ReadContext, read: ReadMachine) -> Begun {
    let mut driver = reader(&context.catalog, |reader| ReadDriver::begin([read], now(), reader));
    let (mut facts, began) = (Facts::new(), now());
    while let Some(questions) = next_questions(context, &mut driver).await {
        if let Some(question) = questions.iter().find(|question| question.tier == Tier::Origin) {
            return Begun::Unfilled(question.position);
        }
        answer_questions(context, &mut driver, &mut facts, &questions, Values::All).await;
    }
    let read = finished(driver, facts, began).pop().expect("one read was begun");
    Begun::Answered(Box::new(read))
}

/// Lands a value that a caller fetched itself: proves the floors, and judges it by them.
pub(crate) async fn land(context: &ReadContext, read: ReadMachine, entry: Entry) -> FinishedRead {
    let driver = reader(&context.catalog, |reader| ReadDriver::land(read, entry, now(), reader));
    drive(context, driver, Values::All).await.pop().expect("one value was handed in")
}

async fn drive(context: &ReadContext, mut driver: ReadDriver<Entry>, values: Values) -> Vec<FinishedRead> {
    let (mut facts, began) = (Facts::new(), now());
    while let Some(questions) = next_questions(context, &mut driver).await {
        answer_questions(context, &mut driver, &mut facts, &questions, values).await;
    }
    finished(driver, facts, began)
}

/// The facts of each read, by its number.
type Facts = BTreeMap<usize, TierFacts>;

/// Returns the next questions to tiers, after the syncs that the reads want; `None` once every read has its answer.
async fn next_questions(context: &ReadContext, driver: &mut ReadDriver<Entry>) -> Option<Vec<TierQuestion>> {
    loop {
        match reader(&context.catalog, |reader| driver.poll(now(), reader)) {
            Poll::Sync(question) => {
                let proved = sync(context, &question).await.unwrap_or_else(|error| {
                    console_warn!("{}@{}: {error}", context.catalog, context.edge);
                    false
                });
                driver.synced(proved);
            }
            Poll::Ask(questions) => return Some(questions),
            // Every question has had its reply, so none is waited for.
            Poll::Wait | Poll::Done => return None,
        }
    }
}

async fn answer_questions(
    context: &ReadContext,
    driver: &mut ReadDriver<Entry>,
    facts: &mut Facts,
    questions: &[TierQuestion],
    values: Values,
) {
    for answer in ask(context, driver, questions).await {
        let (read, tier) = (answer.read, answer.tier);
        let reply = facts.entry(read).or_default().take(context, answer, values);
        driver.replied(read, tier, reply);
    }
}

fn finished(driver: ReadDriver<Entry>, mut facts: Facts, began: UnixMillis) -> Vec<FinishedRead> {
    let took = now().since(began);
    let tasks = driver.into_tasks().into_iter().enumerate();
    let read = |(read, task): (usize, ReadTask<Entry>)| {
        let facts = facts.remove(&read);
        // A read of memory beside others takes their time, but none of its own.
        let took = (facts.is_some() || task.syncs() > 0).then_some(took);
        FinishedRead { task, facts: facts.unwrap_or_default(), took }
    };
    tasks.map(read).collect()
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
struct TierAnswer {
    read: usize,
    tier: Tier,
    found: Result<Option<Entry>, TierError>,
    seen: Option<r2::Seen>,
    origin: Option<(Duration, bool)>,
}

impl TierAnswer {
    fn new(question: TierQuestion, found: Result<Option<Entry>, TierError>) -> Self {
        Self { read: question.read, tier: question.tier, found, seen: None, origin: None }
    }

    fn late(question: TierQuestion) -> Self {
        Self::new(question, Err(TierError::Late))
    }
}

impl TierFacts {
    /// Keeps the facts beside the entry, and returns the reply that the read judges.
    fn take(&mut self, context: &ReadContext, answer: TierAnswer, values: Values) -> TierReply<Entry> {
        let TierAnswer { tier, found, seen, origin, .. } = answer;
        self.seen = seen.or(self.seen.take());
        self.origin = origin.or(self.origin);
        match found {
            Ok(Some(mut entry)) => {
                if values == Values::Small {
                    entry.omit_large();
                }
                TierReply::Entry(entry)
            }
            Ok(None) => TierReply::Nothing,
            Err(error) => {
                console_warn!("{}: {}: {error}", context.catalog, tier.name());
                if tier == Tier::Origin {
                    self.origin_error = Some(error.to_string());
                }
                TierReply::Failed
            }
        }
    }
}

/// Asks the tiers: KV for all of its names at once, the others one by one.
async fn ask(
    context: &ReadContext,
    driver: &ReadDriver<Entry>,
    questions: &[TierQuestion],
) -> Vec<TierAnswer> {
    let (of_kv, others): (Vec<TierQuestion>, Vec<_>) =
        questions.iter().partition(|question| question.tier == Tier::Kv);
    let others = stream::iter(others)
        .map(|question| ask_one(context, driver, question))
        .buffer_unordered(AT_ONCE - 1)
        .collect::<Vec<_>>();
    let (mut answers, others) = join(ask_kv(context, driver, of_kv), others).await;
    answers.extend(others);
    answers
}

/// Asks KV. If KV takes longer than the origin may, every read that asked counts KV as failed.
async fn ask_kv(
    context: &ReadContext,
    driver: &ReadDriver<Entry>,
    questions: Vec<TierQuestion>,
) -> Vec<TierAnswer> {
    if questions.is_empty() {
        return Vec::new();
    }
    match within(context.config.origin_timeout, get_from_kv(context, driver, &questions)).await {
        Some(answers) => answers,
        None => questions.into_iter().map(TierAnswer::late).collect(),
    }
}

async fn get_from_kv(
    context: &ReadContext,
    driver: &ReadDriver<Entry>,
    questions: &[TierQuestion],
) -> Vec<TierAnswer> {
    let named: Vec<(TierQuestion, String)> = questions
        .iter()
        .filter_map(|question| {
            let key = driver.task(question.read)?.read().key();
            let epoch = question.position.epoch;
            Some((*question, kv_name(&context.catalog, &epoch, key, question.generation)))
        })
        .collect();
    let names: Vec<String> = named.iter().map(|(_, name)| name.clone()).collect();
    let mut found = kv::get_many(&context.env, &names).await;
    let (mut answers, mut alone) = (Vec::new(), Vec::new());
    for (question, name) in named {
        match found.remove(&name) {
            Some(entry) => answers.push(TierAnswer::new(question, Ok(entry))),
            None => alone.push((question, name)),
        }
    }
    // A few at once: each value may have 25 MiB.
    let alone = stream::iter(alone)
        .map(|(question, name)| async move {
            TierAnswer::new(question, kv::get(&context.env, &name).await.map_err(TierError::from))
        })
        .buffer_unordered(AT_ONCE);
    answers.extend(alone.collect::<Vec<_>>().await);
    answers
}

async fn ask_one(context: &ReadContext, driver: &ReadDriver<Entry>, question: TierQuestion) -> TierAnswer {
    let Some(task) = driver.task(question.read) else { return TierAnswer::late(question) };
    if question.tier == Tier::Origin {
        return ask_origin(context, task.read(), question).await;
    }
    let name = r2_name(&context.catalog, &question.position.epoch, task.read().key());
    match within(context.config.origin_timeout, r2::get(&context.env, &name)).await {
        Some(Ok((entry, seen))) => TierAnswer { seen: Some(seen), ..TierAnswer::new(question, Ok(entry)) },
        Some(Err(error)) => TierAnswer::new(question, Err(error.into())),
        None => TierAnswer::late(question),
    }
}

async fn ask_origin(context: &ReadContext, read: &ReadMachine, question: TierQuestion) -> TierAnswer {
    let began = now();
    let asked = Question {
        env: &context.env,
        config: &context.config,
        catalog: &context.catalog,
        key: read.key(),
        read,
        position: question.position,
        traceparent: traceparent_of(context, read),
        function: match &context.source {
            Source::Function(function) => Some(function),
            Source::Origin | Source::Lease => None,
        },
    };
    let elsewhere = async |heartbeat: &dyn Fn()| {
        turns::entry_of_another(context, read, question.position, heartbeat).await
    };
    let (outcome, shared) = singleflight::fetch(&asked, elsewhere).await;
    let found = outcome.map(Some).map_err(TierError::from);
    TierAnswer { origin: Some((now().since(began), shared)), ..TierAnswer::new(question, found) }
}

/// Returns the trace of the change for which the origin is asked.
fn traceparent_of(context: &ReadContext, read: &ReadMachine) -> Option<Traceparent> {
    reader(&context.catalog, |reader| {
        if reader.traces.is_empty() {
            return None;
        }
        reader.traces.of(read.awaited_change(&reader.known)?)
    })
}

/// Waits for `something`; returns `None` if that takes longer than `limit`.
async fn within<T>(limit: Duration, something: impl Future<Output = T>) -> Option<T> {
    match select(pin!(something), pin!(Delay::from(limit))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

impl Provenance {
    /// Returns how a read that has ended came to its answer.
    pub(crate) fn by(context: &ReadContext, read: &FinishedRead) -> Self {
        let now = now();
        let (position, lag) =
            reader(&context.catalog, |reader| (reader.known.position(), reader.known.lag(now)));
        let (from, freshness) = match read.answer() {
            Answer::Serve { from, freshness, .. } => (Some(*from), *freshness),
            Answer::Removed { freshness, .. } => (None, *freshness),
            Answer::Fail(_) => (None, Freshness::Stale),
        };
        let filled = read.filled();
        let (policy, visits) = (context.policy(read.key()), read.machine().visits().to_vec());
        let collapsed = read.origin().is_some_and(|(_, shared)| shared);
        let found = read.entry().is_some_and(|entry| entry.envelope.found);
        let shown_to_pages = context.config.shown_to_pages;
        Self { now, position, lag, policy, from, freshness, visits, filled, collapsed, found, shown_to_pages }
    }
}
