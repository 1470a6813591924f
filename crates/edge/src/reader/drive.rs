//! Reads under way: `core::cache` says what to ask, this asks, of many reads together where the tier can.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use newsreel_core::read::cache::{Answer, Event, Freshness, Read, Step, Tier};
use newsreel_core::read::sync::{AtLeast, Look};
use newsreel_core::wire::{Key, Position, UnixMillis, Version};
use worker::{Delay, Result, console_warn};

use crate::clock::now;
use crate::reader::context::Place;
use crate::reader::response::headers::Served;
use crate::reader::singleflight;
use crate::reader::state::{Reader, reader};
use crate::reader::sync::sync;
use crate::tiers::origin::Question;
use crate::tiers::{Entry, kv, kv_name, r2, r2_name};

/// A read under way, and what the tiers gave it.
pub(crate) struct Walk {
    pub(crate) key: Key,
    pub(crate) read: Read,
    step: Step,
    /// What each tier gave last.
    held: Vec<(Tier, Entry)>,
    /// The generation that was asked for last; a fill goes there.
    pub(crate) generation: Version,
    /// What R2 was seen to have.
    pub(crate) seen: Option<r2::Seen>,
    /// What the origin said instead of answering.
    pub(crate) origin_error: Option<String>,
    /// How long the origin took, and whether the fetch was another read's.
    pub(crate) origin: Option<(Duration, bool)>,
    /// How many syncs it took part in.
    pub(crate) syncs: u64,
    /// One of many: values above 1 MiB are given up, or a hundred of them would be an isolate's end.
    one_of_many: bool,
    /// What was known when it was answered.
    judged_by: Option<Position>,
}

/// How many tiers are asked at once: six requests of an isolate may wait for their headers.
const GROUP: usize = 6;
/// How often answers are judged anew that waited for others, which took their time.
const ROUNDS: usize = 3;

impl Walk {
    /// Returns a walk that has begun: what memory has of the key is judged.
    pub(crate) fn new(place: &Place, key: &Key, read: Read) -> Self {
        let mut walk = Self::unbegun(key, read);
        walk.hear(place, Event::Begin);
        walk
    }

    fn unbegun(key: &Key, read: Read) -> Self {
        Self {
            key: key.clone(),
            read,
            step: Step::Listen,
            held: Vec::new(),
            generation: Version::ZERO,
            seen: None,
            origin_error: None,
            origin: None,
            syncs: 0,
            one_of_many: false,
            judged_by: None,
        }
    }

    /// Makes it one of many that share an answer.
    pub(crate) fn one_of_many(self) -> Self {
        Self { one_of_many: true, ..self }
    }

    /// Returns a walk that goes to the origin at once, behind an answer that has been given.
    pub(crate) fn anew(place: &Place, key: &Key) -> Self {
        let mut walk = Self::unbegun(key, place.read(key, None));
        walk.step = reader(&place.catalog, |reader| walk.read.refetch(&reader.known));
        walk
    }

    /// Returns the answer of a walk that has ended.
    pub(crate) fn answer(&self) -> &Answer {
        match &self.step {
            Step::Answer(answer) => answer,
            Step::Sync { .. } | Step::Ask { .. } | Step::Listen => {
                unreachable!("a walk is run until it has an answer")
            }
        }
    }

    /// Returns the entry that is served.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        let Answer::Serve { from, .. } = self.answer() else { return None };
        self.held_by(*from)
    }

    fn held_by(&self, tier: Tier) -> Option<&Entry> {
        self.held.iter().rev().find(|(one, _)| *one == tier).map(|(_, entry)| entry)
    }

    /// Hands the read an event; what memory has it is told at once.
    fn hear(&mut self, place: &Place, event: Event) {
        reader(&place.catalog, |reader| {
            let mut event = Some(event);
            while let Some(said) = event.take() {
                self.step = self.read.next(now(), &reader.known, said);
                if self.asks(Tier::Memory) {
                    event = Some(self.ask_memory(reader));
                }
            }
            self.judged_by = reader.known.position();
        });
    }

    fn ask_memory(&mut self, reader: &mut Reader) -> Event {
        match reader.memory.get(&self.key) {
            Some(entry) => self.got(Tier::Memory, entry),
            None => Event::Missed(Tier::Memory),
        }
    }

    fn got(&mut self, tier: Tier, mut entry: Entry) -> Event {
        if self.one_of_many {
            entry.leave_large();
        }
        let envelope = entry.envelope.clone();
        self.held.push((tier, entry));
        Event::Held(tier, envelope)
    }

    fn asks(&self, tier: Tier) -> bool {
        matches!(&self.step, Step::Ask { tiers, .. } if tiers.contains(&tier))
    }

    /// Returns what a tier's answer is to the read.
    fn event(&mut self, place: &Place, tier: Tier, found: Result<Option<Entry>>) -> Event {
        match found {
            Ok(Some(entry)) => self.got(tier, entry),
            Ok(None) => Event::Missed(tier),
            Err(error) => {
                console_warn!("{}/{}: {}: {error}", place.catalog, self.key, tier.name());
                if tier == Tier::Origin {
                    self.origin_error = Some(error.to_string());
                }
                Event::Failed(tier)
            }
        }
    }
}

/// Does what the reads say until all have an answer. Those that had theirs early are judged anew by what is known when
/// the last one has.
pub(crate) async fn run(place: &Place, walks: &mut [Walk]) {
    for _ in 0..ROUNDS {
        go_on(place, walks).await;
        let mut judged_anew = false;
        for walk in old(place, walks) {
            judged_anew = true;
            walk.hear(place, Event::Delayed);
        }
        if !judged_anew {
            return;
        }
    }
    go_on(place, walks).await;
    for walk in old(place, walks) {
        let late = reader(&place.catalog, |reader| walk.read.late(now(), &reader.known, walk.answer()));
        walk.hear(place, Event::Delayed);
        // What needs nobody to be asked is judged once more.
        if !matches!(walk.step, Step::Answer(_)) {
            walk.step = Step::Answer(late);
        }
    }
}

/// Returns those whose answer is from before something was heard, or longer ago than their bound.
fn old<'a>(place: &Place, walks: &'a mut [Walk]) -> Vec<&'a mut Walk> {
    let is_old = |walk: &&mut Walk| {
        let failed = matches!(walk.step, Step::Answer(Answer::Fail(_)));
        !failed
            && reader(&place.catalog, |reader| walk.read.is_outdated(now(), &reader.known, walk.judged_by))
    };
    walks.iter_mut().filter(is_old).collect()
}

async fn go_on(place: &Place, walks: &mut [Walk]) {
    loop {
        if let Some(wanted) = Wanted::of(walks) {
            let outcome = sync(place, wanted.max_age, wanted.at_least, &wanted.look).await;
            if let Err(error) = &outcome {
                console_warn!("{}@{}: {error}", place.catalog, place.edge);
            }
            let proved = outcome.unwrap_or(false);
            for walk in walks.iter_mut().filter(|walk| matches!(walk.step, Step::Sync { .. })) {
                walk.syncs += 1;
                walk.hear(place, Event::Synced { proved });
            }
        } else if walks.iter().any(|walk| matches!(walk.step, Step::Ask { .. })) {
            ask(place, walks).await;
        } else {
            return;
        }
    }
}

/// One sync that serves all reads that want one.
struct Wanted {
    max_age: Duration,
    at_least: Option<AtLeast>,
    look: Look,
}

impl Wanted {
    fn of(walks: &[Walk]) -> Option<Self> {
        let mut wanted: Option<Self> = None;
        for walk in walks {
            let Step::Sync { max_age, at_least, look } = &walk.step else { continue };
            let all =
                wanted.get_or_insert(Self { max_age: *max_age, at_least: *at_least, look: Look::default() });
            all.max_age = all.max_age.min(*max_age);
            all.look.join(look.clone());
        }
        wanted
    }
}

/// Something to be awaited beside others. Boxed: a type of its own for each would be half of this crate in the wasm.
pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a tier gave.
struct Gave {
    /// The number of the read.
    to: usize,
    tier: Tier,
    found: Result<Option<Entry>>,
    /// What R2 was seen to have.
    seen: Option<r2::Seen>,
    /// How long the origin took, and whether the fetch was another read's.
    took: Option<(Duration, bool)>,
}

impl Gave {
    fn new(to: usize, tier: Tier, found: Result<Option<Entry>>) -> Self {
        Self { to, tier, found, seen: None, took: None }
    }
}

/// Asks every tier that the reads want asked, all at once, and hands the reads what was said.
async fn ask(place: &Place, walks: &mut [Walk]) {
    let Some(position) = reader(&place.catalog, |reader| reader.known.position()) else {
        for walk in walks.iter_mut() {
            if let Step::Ask { tiers, .. } = walk.step {
                tiers.iter().for_each(|tier| walk.hear(place, Event::Failed(*tier)));
            }
        }
        return;
    };
    for walk in walks.iter_mut() {
        if let Step::Ask { generation, .. } = walk.step {
            walk.generation = generation;
        }
    }
    let gave = {
        let walks: &[Walk] = walks;
        let of_kv = (0..walks.len()).filter(|to| walks.get(*to).is_some_and(|walk| walk.asks(Tier::Kv)));
        let kv = Box::pin(ask_kv(place, walks, position));
        let mut tasks: Vec<Task<'_, Vec<Gave>>> =
            vec![Box::pin(in_time(place, Tier::Kv, of_kv.collect(), kv))];
        for (to, walk) in walks.iter().enumerate() {
            if walk.asks(Tier::R2) {
                let r2 = Box::pin(ask_r2(place, to, walk, position));
                tasks.push(Box::pin(in_time(place, Tier::R2, vec![to], r2)));
            }
            if walk.asks(Tier::Origin) {
                tasks.push(Box::pin(ask_origin(place, to, walk, position)));
            }
        }
        in_groups(tasks).await
    };
    for Gave { to, tier, found, seen, took } in gave.into_iter().flatten() {
        let Some(walk) = walks.get_mut(to) else { continue };
        walk.seen = seen.or(walk.seen.take());
        walk.origin = took.or(walk.origin);
        let event = walk.event(place, tier, found);
        walk.hear(place, event);
    }
}

/// Waits for a tier as long as for the origin; one that takes longer has failed the reads that asked it.
async fn in_time(place: &Place, tier: Tier, asked: Vec<usize>, gives: Task<'_, Vec<Gave>>) -> Vec<Gave> {
    match select(gives, Box::pin(Delay::from(place.config.origin_timeout))).await {
        Either::Left((gave, _)) => gave,
        Either::Right(_) => {
            let late = |to| Gave::new(to, tier, Err("it did not answer in time".into()));
            asked.into_iter().map(late).collect()
        }
    }
}

async fn ask_kv(place: &Place, walks: &[Walk], position: Position) -> Vec<Gave> {
    let asking = walks.iter().enumerate().filter(|(_, walk)| walk.asks(Tier::Kv));
    let (numbers, names): (Vec<usize>, Vec<String>) = asking
        .map(|(to, walk)| (to, kv_name(&place.catalog, &position.epoch, &walk.key, walk.generation)))
        .unzip();
    let told = kv::get_many(&place.env, &names).await;
    let (mut gave, mut alone) = (Vec::new(), Vec::<Task<'_, Vec<Gave>>>::new());
    for ((to, name), told) in numbers.into_iter().zip(&names).zip(told) {
        match told {
            Some(entry) => gave.push(Gave::new(to, Tier::Kv, Ok(entry))),
            None => {
                alone.push(Box::pin(
                    async move { vec![Gave::new(to, Tier::Kv, kv::get(&place.env, name).await)] },
                ))
            }
        }
    }
    gave.extend(in_groups(alone).await.into_iter().flatten());
    gave
}

/// Awaits a few at once: what each brings may be 25 MiB. (The first of a round asks KV for all that it can.)
async fn in_groups<T>(tasks: Vec<Task<'_, T>>) -> Vec<T> {
    let mut outcomes = Vec::with_capacity(tasks.len());
    let mut tasks = tasks.into_iter().peekable();
    while tasks.peek().is_some() {
        let group: Vec<_> = tasks.by_ref().take(GROUP).collect();
        outcomes.extend(join_all(group).await);
    }
    outcomes
}

async fn ask_r2(place: &Place, to: usize, walk: &Walk, position: Position) -> Vec<Gave> {
    let name = r2_name(&place.catalog, &position.epoch, &walk.key);
    vec![match r2::get(&place.env, &name).await {
        Ok((entry, seen)) => Gave { seen: Some(seen), ..Gave::new(to, Tier::R2, Ok(entry)) },
        Err(error) => Gave::new(to, Tier::R2, Err(error)),
    }]
}

async fn ask_origin(place: &Place, to: usize, walk: &Walk, position: Position) -> Vec<Gave> {
    let question = Question {
        env: &place.env,
        config: &place.config,
        catalog: &place.catalog,
        key: &walk.key,
        read: &walk.read,
        position,
    };
    let began: UnixMillis = now();
    let (outcome, shared) = singleflight::fetch(&question).await;
    let found = outcome.map(Some).map_err(worker::Error::from);
    vec![Gave { took: Some((now().since(began), shared)), ..Gave::new(to, Tier::Origin, found) }]
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
        let (policy, visits) = (place.policy(&walk.key), walk.read.visits().to_vec());
        let collapsed = walk.origin.is_some_and(|(_, shared)| shared);
        let found = walk.entry().is_some_and(|entry| entry.envelope.found);
        Self { now, position, lag, policy, from, freshness, visits, filled, collapsed, found }
    }
}
