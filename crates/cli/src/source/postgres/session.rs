//! The loop: the log comes in, publishes go out, and what is durable is confirmed.

mod output;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use newsreel_mapping::{Limits, Mapping, Skips};
use postgres_protocol::escape::escape_identifier;
use tokio::time::{Instant, interval};

use super::PostgresOptions;
use super::attempts::{self, SessionError};
use super::connect::{Connected, connect};
use super::gather::{Gather, History};
use super::lsn::Lsn;
use super::outgoing::{LogOutgoing, Origin};
use super::pgoutput::Decoder;
use super::slot::{self, Needs, SlotStatus};
use super::state::{Present, State};
use super::tables::Tables;
use super::upkeep::{self, Every, UpkeepError};
use super::watch::PostgresWatch;
use super::wire::{Copied, Wire};
use crate::broker::BrokerOptions;
use crate::database::Database;
use crate::exit::{Failure, note};
use crate::source::attempts::{Follow, follow as follow_source};
use crate::source::metrics::Side;
use crate::source::outgoing::{Outgoing, Wake};
use crate::source::watch::Watch;

/// How often what has become durable is written to the state file and confirmed.
const CONFIRM_EVERY: Duration = Duration::from_millis(500);
/// The first version with streams of transactions in progress, and with messages.
const STREAMS: i32 = 140_000;

/// A source between and during its sessions.
struct Source<'a> {
    options: &'a PostgresOptions,
    database: &'a Database,
    mapping: &'a Mapping,
    outgoing: LogOutgoing,
    watch: Arc<PostgresWatch>,
    tables: Tables,
    skips: Skips,
    /// How often anything was skipped that was told.
    skipped: u64,
    /// Whether it was told that nothing bounds the log that PostgreSQL keeps.
    warned: bool,
    state: Option<State>,
    /// The identity of the database, once it is known.
    history: Option<History>,
    timeline: u32,
    /// Up to here transactions are in the queue, or were.
    queued: Lsn,
    /// Whether the wide changes of a gap are still on their way. Until they are durable nothing is confirmed, so
    /// that a later run sees the gap again.
    heals: bool,
}

/// One connection to the database.
struct Session<'a> {
    client: &'a tokio_postgres::Client,
    decoder: Decoder,
    gather: Gather,
}

/// Publishes until it is asked to stop.
pub(super) async fn follow(
    options: &PostgresOptions,
    database: &Database,
    mapping: &Mapping,
    broker: BrokerOptions,
) -> Result<(), Failure> {
    let state = State::read(&options.state(), &options.slot);
    let mut source = Source {
        options,
        database,
        mapping,
        watch: PostgresWatch::start(options, &options.slot, &options.state(), broker.clone()).await?,
        outgoing: LogOutgoing::new(broker),
        tables: Tables::default(),
        skips: Skips::default(),
        skipped: 0,
        warned: false,
        queued: Lsn::default(),
        timeline: 0,
        history: None,
        state,
        heals: false,
    };
    follow_source(&mut source, &attempts::patience(options)).await
}

impl Follow for Source<'_> {
    type Origin = Origin;
    type Error = SessionError;

    async fn session(&mut self) -> Result<Infallible, SessionError> {
        let Connected { mut wire, client } = connect(self.database).await?;
        let version = self.begin(&mut wire, &client).await?;
        let more = if version >= STREAMS { ", streaming 'on', messages 'true'" } else { "" };
        let protocol = if version >= STREAMS { 2 } else { 1 };
        let publication = self.options.publication.replace('"', "\"\"").replace('\'', "''");
        wire.start(&format!(
            "START_REPLICATION SLOT \"{}\" LOGICAL 0/0 \
             (proto_version '{protocol}', publication_names '\"{publication}\"'{more})",
            self.options.slot.replace('"', "\"\""),
        ))
        .await?;
        note!("source: following {} by the slot {:?}", self.database.name(), self.options.slot);
        self.watch.shared.connected(Side::Upstream, true);
        let gather = Gather::new(Limits { wide_above: self.mapping.wide_above });
        let session = Session { client: &client, decoder: Decoder::default(), gather };
        let (watch, needs) = (Arc::clone(&self.watch), self.needs());
        let heartbeat = Duration::from_millis(self.options.heartbeat_ms);
        let heartbeat = Some(heartbeat).filter(|every| !every.is_zero());
        let every = Every { heartbeat, check: self.options.status_interval() };
        let upkeep = upkeep::run(&client, &needs, &watch, every);
        self.run(&mut wire, session, upkeep).await
    }

    fn outgoing(&mut self) -> &mut Outgoing<Origin> {
        &mut self.outgoing
    }

    async fn publish(&mut self, wake: Wake) -> Result<(), Failure> {
        let healed = attempts::publish(&mut self.outgoing, &self.watch, wake).await?;
        self.heals &= !healed;
        Ok(())
    }

    fn watch(&self) -> &Watch {
        &self.watch.shared
    }

    fn upstream(&self) -> String {
        self.database.name()
    }
}

impl<'a> Source<'a> {
    fn needs(&self) -> Needs<'a> {
        let options = self.options;
        Needs {
            mapping: self.mapping,
            slot: &options.slot,
            publication: &options.publication,
            create: options.create,
            failover: options.failover,
            known: self.state.is_some(),
        }
    }

    /// Checks the database, publishes wide if there is a gap, and returns the server's version.
    async fn begin(&mut self, wire: &mut Wire, client: &tokio_postgres::Client) -> Result<i32, SessionError> {
        let made = slot::prepare(client, &self.needs()).await?;
        let version = slot::version(client).await?;
        let system = wire.query("IDENTIFY_SYSTEM").await?;
        let mut columns = system.into_iter().flatten().map(Option::unwrap_or_default);
        let mut column = || columns.next().unwrap_or_default();
        let (system, timeline, end) = (column(), column(), column());
        let slot = self.slot(wire, client).await?;
        let confirmed = slot.confirmed_lsn.and_then(|lsn| lsn.parse().ok()).unwrap_or_default();
        let now = Present {
            system,
            timeline: timeline.parse().unwrap_or_default(),
            end: end.parse().unwrap_or_default(),
            confirmed,
        };
        self.timeline = now.timeline;
        let history =
            self.history.insert(History { system: now.system.clone(), slot: self.options.slot.clone() });
        if let Some(gap) = made.or_else(|| State::gap(self.state.as_ref(), &now)) {
            note!("source: {gap}: everything that the mapping covers is published as changed");
            self.outgoing.begin_at(confirmed);
            self.watch.begin_at(confirmed, Some(slot.clock));
            (self.queued, self.heals) = (Lsn::default(), true);
            let (watch, outgoing) = (&self.watch, &mut self.outgoing);
            attempts::publish_wide(self.mapping, history, watch, outgoing, Some(now.end)).await;
        } else if let Some(state) = self.state.as_ref().filter(|_| self.queued == Lsn::default()) {
            self.watch.begin_at(state.durable.parse().unwrap_or_default(), state.as_of);
        }
        Ok(version)
    }

    /// Looks at the slot, and warns of what may become of it.
    async fn slot(
        &mut self,
        wire: &mut Wire,
        client: &tokio_postgres::Client,
    ) -> Result<SlotStatus, SessionError> {
        let name = &self.options.slot;
        let Some(slot) = slot::status(client, name).await? else { return Err(SessionError::Ended) };
        if self.options.failover && !slot.failover {
            wire.query(&format!("ALTER_REPLICATION_SLOT {} ( FAILOVER true )", escape_identifier(name)))
                .await?;
            note!("source: the slot {name:?} is copied to standbys from here on");
        }
        if slot.limit_bytes < 0 && !std::mem::replace(&mut self.warned, true) {
            note!(
                "source: max_slot_wal_keep_size is -1: while the source is away PostgreSQL keeps its log until the disk is \
                 full; run `ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();`, and a source that \
                 was away for longer publishes everything as changed"
            );
        }
        Ok(slot)
    }

    /// Follows the log. The upkeep goes on between two steps and never breaks one off: what a step has heard of the
    /// broker would be forgotten.
    async fn run(
        &mut self,
        wire: &mut Wire,
        mut session: Session<'_>,
        upkeep: impl Future<Output = Result<Infallible, UpkeepError>>,
    ) -> Result<Infallible, SessionError> {
        tokio::pin!(upkeep);
        let interval_of_status = self.options.status_interval();
        let (mut heard, mut told, mut confirmed) = (Instant::now(), Instant::now(), Lsn::default());
        let mut confirm = interval(CONFIRM_EVERY);
        loop {
            let has_room = self.outgoing.has_room();
            tokio::select! {
                copied = wire.next(), if has_room => {
                    heard = Instant::now();
                    match copied? {
                        Copied::Data { message } => {
                            let output = session.decoder.read(message)?;
                            self.on_output(&mut session, output).await?;
                        }
                        Copied::Keepalive { end, reply } => {
                            if session.gather.is_idle() {
                                self.outgoing.pass(end);
                            }
                            if reply {
                                confirmed = self.confirm(wire).await?;
                                told = Instant::now();
                            }
                        }
                        Copied::Done => return Err(SessionError::Ended),
                    }
                }
                wake = self.outgoing.wake() => {
                    self.publish(wake).await?;
                    if !has_room {
                        heard = Instant::now();
                    }
                }
                ended = &mut upkeep => return Ok(ended?),
                _ = confirm.tick() => {
                    if self.outgoing.durable() > confirmed || told.elapsed() > interval_of_status {
                        confirmed = self.confirm(wire).await?;
                        told = Instant::now();
                    }
                    if has_room && heard.elapsed() > interval_of_status * 3 {
                        return Err(SessionError::Stalled(heard.elapsed()));
                    }
                }
            }
        }
    }

    /// Writes the state, and then tells PostgreSQL what it need not keep: a state that is ahead of the slot says
    /// nothing wrong, and one that is behind would look like a gap.
    async fn confirm(&mut self, wire: &mut Wire) -> Result<Lsn, SessionError> {
        let durable = self.outgoing.durable();
        let as_of = self.watch.confirmed(durable);
        let state = State {
            system: self.history.as_ref().map(|history| history.system.clone()).unwrap_or_default(),
            timeline: self.timeline,
            slot: self.options.slot.clone(),
            durable: durable.to_string(),
            as_of,
        };
        if self.heals {
            wire.confirm(Lsn::default(), now_micros()).await?;
            return Ok(Lsn::default());
        }
        if durable > Lsn::default() && self.state.as_ref() != Some(&state) {
            state.write(&self.options.state())?;
            self.state = Some(state);
        }
        wire.confirm(durable, now_micros()).await?;
        Ok(durable)
    }
}

fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
