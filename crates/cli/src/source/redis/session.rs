//! The loop: messages come in, publishes go out, and what is durable is acknowledged.

mod messages;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use newsreel_mapping::{Mapping, Skips};
use redis::{RedisError, cmd};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Inputs;
use super::acks::Acks;
use super::channels;
use super::connect::{Connection, Server};
use super::dead::{DeadLetterError, DeadLetters};
use super::event::Event;
use super::metrics::Metrics;
use super::names::StreamNames;
use super::options::RedisOptions;
use super::origin::{Origin, Then, line};
use super::reader::{Reader, ReaderParts};
use super::scripts::{Seat, incarnation};
use crate::broker::BrokerOptions;
use crate::exit::{Failure, note, print};
use crate::source::attempts::{self, Ended, Follow, Patience};
use crate::source::metrics::Side;
use crate::source::outgoing::{Outgoing, Wake};
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

impl Ended for SessionError {
    fn passing(self) -> Result<Self, Failure> {
        match self {
            Self::Fatal(failure) => Err(failure),
            Self::Redis { .. } | Self::Dead(_) => Ok(self),
        }
    }
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
    let name = Some(format!("redis:{}", options.group));
    let words = Words { upstream: "redis", units: "messages", name };
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

    fn watch(&self) -> &Watch {
        &self.watch
    }

    fn upstream(&self) -> String {
        self.server.name()
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

    /// Acknowledges what is durable, and gives the leases back, so that another process need not wait for their end.
    async fn release(&self) {
        if self.seats.is_empty() {
            return;
        }
        let released = async {
            let mut redis = self.server.connect().await?;
            self.acks.acknowledge(&mut redis, &self.inputs.streams, &self.options.group).await?;
            for seat in &self.seats {
                seat.release(&mut redis).await?;
            }
            Ok::<(), RedisError>(())
        };
        // Without it the entries are claimed again, and the leases end by themselves.
        let _ = tokio::time::timeout(Duration::from_secs(1), released).await;
    }
}
