//! The loop: messages come in, publishes go out, and what is durable is acknowledged.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use newsreel_core::wire::{Change, Publish, Target};
use newsreel_mapping::{Batch, Limits, Mapping, Message, Skips};
use redis::{RedisError, cmd};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Inputs;
use super::acks::Acks;
use super::channels;
use super::connect::{Connection, Server};
use super::dead::{DeadLetterError, DeadLetters, Letter, LetterContent};
use super::event::{ChannelMessage, Event};
use super::metrics::Metrics;
use super::names::{StreamNames, time_of};
use super::options::RedisOptions;
use super::origin::{Origin, Place, Then, line};
use super::reader::{Reader, ReaderParts};
use super::scripts::{Seat, StreamEntry, incarnation};
use crate::broker::BrokerOptions;
use crate::exit::{Failure, note, print};
use crate::source::attempts::{self, Follow, Patience};
use crate::source::metrics::{Side, Wide};
use crate::source::outgoing::{Entry, Outgoing, Wake};
use crate::source::watch::{Watch, Words, now_millis};

/// How often Redis is asked for its time.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
/// A session that lasted longer did not fail.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// A source between and during its sessions.
struct Source<'a> {
    options: &'a RedisOptions,
    server: &'a Server,
    inputs: &'a Inputs,
    mapping: &'a Mapping,
    seats: Vec<Seat>,
    outgoing: Outgoing<Origin>,
    watch: Arc<Watch>,
    metrics: Arc<Metrics>,
    acks: Arc<Acks>,
    dead: DeadLetters,
    skips: Skips,
    skipped: u64,
    /// The text that tells this process from any other.
    process: String,
    /// How many publishes had a key of this process's own.
    own: u64,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// The connection broke, or Redis refused.
    #[error("{what}: {source}")]
    Redis {
        /// The server, the stream or the part of Redis.
        what: String,
        source: RedisError,
    },
    /// A message that cannot be mapped could not be kept.
    #[error(transparent)]
    Dead(#[from] DeadLetterError),
    /// Another attempt would fail as well.
    #[error(transparent)]
    Fatal(#[from] Failure),
}

/// Says what of Redis an error is about.
fn of(what: &str, source: RedisError) -> SessionError {
    SessionError::Redis { what: what.to_owned(), source }
}

/// Publishes until it is asked to stop.
pub(super) async fn follow(
    options: &RedisOptions,
    server: &Server,
    inputs: &Inputs,
    mapping: &Mapping,
    broker: BrokerOptions,
) -> Result<(), Failure> {
    let process = incarnation();
    let seat = |stream: &String| {
        let names = StreamNames::of(stream, &options.group, server.has_slots())?;
        Ok::<_, Failure>(Seat {
            names,
            group: options.group.clone(),
            consumer: options.consumer.clone(),
            token: format!("{}-{process}", options.consumer),
            lease_ms: options.lease().as_millis(),
            start: options.start.id(),
        })
    };
    let metrics = Arc::new(Metrics::default());
    let words = Words { upstream: "redis", units: "messages" };
    let counted = Arc::clone(&metrics);
    let register = move |to: &mut _| counted.register(to);
    let dead = options.dead_letters_file.clone().map(DeadLetters::File);
    let mut source = Source {
        options,
        server,
        inputs,
        mapping,
        seats: inputs.streams.iter().map(seat).collect::<Result<_, _>>()?,
        watch: Watch::start(&options.shared, broker.clone(), words, register, |_| ()).await?,
        outgoing: Outgoing::new(broker),
        metrics,
        acks: Arc::default(),
        dead: dead.unwrap_or_else(|| DeadLetters::Stream(options.dead_letters.clone())),
        skips: Skips::default(),
        skipped: 0,
        process,
        own: 0,
    };
    source.warn();
    let patience = Patience { good_after: GOOD_AFTER, max_failures: options.shared.max_failures };
    let outcome = attempts::follow(&mut source, &patience).await;
    source.release().await;
    outcome
}

impl Follow for Source<'_> {
    type Origin = Origin;
    type Error = SessionError;

    async fn session(&mut self) -> Result<Infallible, SessionError> {
        let name = self.server.name();
        let of_server = |error| of(&name, error);
        let mut redis = self.server.connect().await.map_err(of_server)?;
        self.tell_time(&mut redis).await.map_err(of_server)?;
        let (sender, mut events) = mpsc::channel(2);
        let mut tasks = self.tasks(&redis, &sender).await?;
        self.watch.connected(Side::Upstream, true);
        note!("source: following {}", self.server.name());
        let mut clock = tokio::time::interval(CLOCK_EVERY);
        loop {
            tokio::select! {
                biased;
                wake = self.outgoing.wake() => self.publish(wake).await?,
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ok(never)) => match never {},
                    Ok(Err(error)) => return Err(error),
                    Err(error) => return Err(Failure::from(anyhow::Error::from(error)).into()),
                },
                Some(event) = events.recv(), if self.outgoing.has_room() => self.on_event(event, &mut redis).await?,
                _ = clock.tick() => self.tell_time(&mut redis).await.map_err(of_server)?,
            }
        }
    }

    fn outgoing(&mut self) -> &mut Outgoing<Origin> {
        &mut self.outgoing
    }

    async fn publish(&mut self, wake: Wake) -> Result<(), Failure> {
        let durable = self.outgoing.on_wake(wake).await?;
        self.watch.published(&durable, &self.outgoing);
        if !durable.is_empty() {
            print(&durable.iter().map(line).collect::<String>())?;
        }
        for durable in durable {
            match durable.of.then {
                Then::Nothing => {}
                Then::Acknowledge { stream, id } => self.acks.done(stream, id),
                // A reader that is gone finds the gap again.
                Then::GoOn(reader) => drop(reader.send(())),
            }
        }
        Ok(())
    }

    fn lost(&self) {
        self.watch.connected(Side::Upstream, false);
    }

    fn passing(&self, error: SessionError) -> Result<SessionError, Failure> {
        match error {
            SessionError::Fatal(failure) => Err(failure),
            passing @ (SessionError::Redis { .. } | SessionError::Dead(_)) => Ok(passing),
        }
    }

    fn gave_up(&self, error: &SessionError) -> Failure {
        Failure::Database { what: self.server.name(), why: error.to_string() }
    }
}

impl Source<'_> {
    /// Says what the flags or the mapping make of the source, where that is not what its user may think.
    fn warn(&self) {
        let has_channels = !self.inputs.channels.is_empty() || !self.inputs.patterns.is_empty();
        if has_channels && self.options.no_resync {
            note!(
                "source: --no-resync: what is sent to the channels while nobody is connected is missed, and stays stale"
            );
        }
        let mut inputs = self.inputs.streams.iter().chain(&self.inputs.channels).chain(&self.inputs.patterns);
        if let Some(unmapped) = inputs.find(|name| self.mapping.wide_from(name).is_empty()) {
            note!("source: the mapping has no [[map]] for {unmapped:?}: its messages are dead letters");
        }
    }

    /// Starts what reads and acknowledges.
    async fn tasks(
        &self,
        redis: &Connection,
        events: &mpsc::Sender<Event>,
    ) -> Result<JoinSet<Result<Infallible, SessionError>>, SessionError> {
        let mut tasks = JoinSet::new();
        let streams = self.inputs.streams.clone();
        let acks = Arc::clone(&self.acks).run(redis.clone(), streams, self.options.group.clone());
        let name = self.server.name();
        tasks.spawn(async move { acks.await.map_err(|error| of(&name, error)) });
        for (stream, seat) in self.seats.iter().enumerate() {
            let parts = ReaderParts {
                stream,
                seat: seat.clone(),
                claim_idle: self.options.claim_idle(),
                events: events.clone(),
                metrics: Arc::clone(&self.metrics),
            };
            let name = format!("the stream {}", seat.names.stream);
            let reader = Reader::connect(parts, self.server).await;
            let reader = reader.map_err(|error| of(&name, error))?;
            tasks.spawn(async move { reader.run().await.map_err(|error| of(&name, error)) });
        }
        if !self.inputs.channels.is_empty() || !self.inputs.patterns.is_empty() {
            let (server, inputs, events) = (self.server.clone(), self.inputs.clone(), events.clone());
            let is_resynced = !self.options.no_resync;
            tasks.spawn(async move {
                let heard = channels::run(&server, &inputs, is_resynced, &events).await;
                heard.map_err(|error| of("Pub/Sub", error))
            });
        }
        Ok(tasks)
    }

    /// Asks Redis for its time, since the ids of entries have that.
    async fn tell_time(&self, redis: &mut Connection) -> Result<(), RedisError> {
        let asked = now_millis();
        let (seconds, micros): (i64, i64) = redis.ask(&cmd("TIME")).await?;
        self.watch.told(asked, now_millis(), seconds * 1_000 + micros / 1_000);
        Ok(())
    }

    async fn on_event(&mut self, event: Event, redis: &mut Connection) -> Result<(), SessionError> {
        match event {
            Event::Entries { stream, scope, entries } => {
                for entry in entries {
                    self.on_entry(stream, &scope, entry, redis).await?;
                }
            }
            Event::Messages(messages) => {
                for message in messages {
                    self.on_message(message, redis).await?;
                }
            }
            Event::Gap { stream, why, durable } => {
                let name = self.inputs.streams.get(stream).cloned().unwrap_or_default();
                note!("source: {name}: {why}: everything that its rules cover is published as changed");
                let targets = self.mapping.wide_from(&name).into_iter().collect();
                self.publish_wide(Some(name.into()), why, targets, Then::GoOn(durable)).await;
            }
            Event::Missed { why } => {
                let names: Vec<_> =
                    self.inputs.channels.iter().chain(&self.inputs.patterns).cloned().collect();
                let names_text = names.join(", ");
                note!(
                    "source: {names_text}: {why}: everything that their rules cover is published as changed"
                );
                let targets = names.iter().flat_map(|name| self.mapping.wide_from(name)).collect();
                self.publish_wide(None, why, targets, Then::Nothing).await;
            }
        }
        self.tell_skips();
        Ok(())
    }

    async fn on_entry(
        &mut self,
        stream: usize,
        scope: &str,
        entry: StreamEntry,
        redis: &mut Connection,
    ) -> Result<(), SessionError> {
        let StreamEntry { id, fields } = entry;
        if !self.acks.begin(stream, &id) {
            return Ok(());
        }
        let name: Arc<str> =
            self.inputs.streams.get(stream).map_or_else(Arc::default, |name| name.as_str().into());
        let publishes = match self.map(&name, &Message::of_entry(&fields)) {
            Ok(publishes) => publishes,
            Err(error) => {
                let content = LetterContent::Fields(&fields);
                let letter = Letter { from: &name, id: Some(&id), error: &error, content };
                if let Err(error) = self.bury(letter, redis).await {
                    self.acks.forget(stream, id);
                    return Err(error);
                }
                self.acks.done(stream, id);
                return Ok(());
            }
        };
        if publishes.is_empty() {
            self.acks.done(stream, id);
            return Ok(());
        }
        let at = time_of(&id).unwrap_or_else(|| self.watch.now());
        let key = format!("{scope}-{id}");
        let place = Place::Entry { stream: name, id: id.clone() };
        self.queue(&publishes, at, &place, &key, Then::Acknowledge { stream, id }).await;
        Ok(())
    }

    async fn on_message(
        &mut self,
        message: ChannelMessage,
        redis: &mut Connection,
    ) -> Result<(), SessionError> {
        let ChannelMessage { channel, payload, at } = message;
        match self.map(&channel, &Message::of_body(&payload)) {
            Ok(publishes) => {
                let key = self.own_key("message");
                self.queue(&publishes, at, &Place::Message { channel }, &key, Then::Nothing).await;
                Ok(())
            }
            Err(error) => {
                let content = LetterContent::Payload(&payload);
                self.bury(Letter { from: &channel, id: None, error: &error, content }, redis).await
            }
        }
    }

    /// Returns what a message publishes.
    fn map(
        &mut self,
        from: &str,
        message: &Message<'_>,
    ) -> Result<Vec<Publish>, newsreel_mapping::MessageError> {
        let Self { mapping, skips, .. } = self;
        let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
        let outcome = mapping.message(from, message, skips, &mut |change: Change| batch.add(change))?;
        self.metrics.message(outcome.left_out);
        let (targets, widened) = (batch.len(), batch.widened().len());
        if targets > 0 {
            self.watch.read(outcome.rows as u64, targets, widened);
        }
        Ok(batch.into_publishes())
    }

    /// Keeps a message that cannot be mapped.
    async fn bury(&self, letter: Letter<'_>, redis: &mut Connection) -> Result<(), SessionError> {
        self.metrics.dead(letter.error.kind());
        let place = letter.id.map_or_else(String::new, |id| format!(" {id}"));
        note!("source: {}{place} is a dead letter: {}", letter.from, letter.error);
        self.dead.keep(redis, &letter).await?;
        Ok(())
    }

    async fn publish_wide(
        &mut self,
        stream: Option<Arc<str>>,
        why: &'static str,
        targets: std::collections::BTreeSet<Target>,
        then: Then,
    ) {
        let mut batch = Batch::new(Limits { wide_above: self.mapping.wide_above });
        targets.into_iter().for_each(|target| batch.add(Change::of(target)));
        self.watch.metrics.wide(Wide::Gap, batch.len());
        let (at, key) = (self.watch.now(), self.own_key("wide"));
        self.queue(&batch.into_publishes(), at, &Place::Wide { stream, why }, &key, then).await;
    }

    /// Queues the publishes of one message; `then` happens when the last of them is durable.
    async fn queue(&mut self, publishes: &[Publish], at: i64, place: &Place, key: &str, then: Then) {
        let Some(last) = publishes.len().checked_sub(1) else {
            if let Then::GoOn(reader) = then {
                let _ = reader.send(());
            }
            return;
        };
        let mut then = Some(then);
        let entry = |(part, publish): (usize, &Publish)| {
            let then = if part == last { then.take() } else { None };
            let of = Origin { at, place: place.clone(), part, then: then.unwrap_or(Then::Nothing) };
            Entry::new(of, publish, |content| format!("{key}-{part}-{content}"))
        };
        let entries = publishes.iter().enumerate().map(entry).collect();
        self.outgoing.add(entries).await;
    }

    /// Returns the key of a publish that no other process makes.
    fn own_key(&mut self, what: &str) -> String {
        self.own += 1;
        format!("redis-{what}-{}-{}", self.process, self.own)
    }

    /// Tells of each reason that a template gave nothing, once.
    fn tell_skips(&mut self) {
        if self.skips.total() == self.skipped {
            return;
        }
        self.skipped = self.skips.total();
        self.watch.skipped(&self.skips);
        for skip in self.skips.take_new() {
            note!("source: {skip}");
        }
    }

    /// Gives the leases back, so that another process need not wait for their end.
    async fn release(&self) {
        if self.seats.is_empty() {
            return;
        }
        let released = async {
            let mut redis = self.server.connect().await?;
            for seat in &self.seats {
                seat.release(&mut redis).await?;
            }
            Ok::<(), RedisError>(())
        };
        // Without it the leases end by themselves.
        let _ = tokio::time::timeout(Duration::from_secs(1), released).await;
    }
}
