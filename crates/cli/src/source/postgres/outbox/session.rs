//! The loop: notes come out of the outbox, publishes go out, and the rows of what is durable are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use newsreel_mapping::{Limits, Mapping, Row, RowChange, Rule, Skips};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_postgres::Client;

use super::awaited::Awaited;
use super::install::{self, OutboxError};
use super::scan::{self, Note, Noted, ScanError, Transactions};
use super::state::OutboxState;
use crate::broker::BrokerOptions;
use crate::database::Database;
use crate::exit::{Failure, note};
use crate::source::attempts::{Follow, follow as follow_source};
use crate::source::metrics::Side;
use crate::source::outgoing::{Outgoing, Wake};
use crate::source::postgres::PostgresOptions;
use crate::source::postgres::attempts::{self, SessionError};
use crate::source::postgres::gather::{History, publishes_of};
use crate::source::postgres::outgoing::{LogOutgoing, Origin};
use crate::source::postgres::rows::{self, RowKind};
use crate::source::postgres::tables::kind_of;
use crate::source::postgres::values::Kind;
use crate::source::postgres::watch::PostgresWatch;
use crate::source::postgres::{slot, state};
use crate::source::watch::Watch;

/// How often rows are deleted whose publishes are durable.
const DELETE_EVERY: Duration = Duration::from_millis(250);
/// How long a snapshot waits in all for the broker to take more. One that is held for long keeps PostgreSQL from cleaning
/// up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wakes the source, tells its deletes from those of others, and lets PostgreSQL notice a source that is gone, so that
/// its lock is free for the next one.
const SESSION: &str = "LISTEN newsreel; SET newsreel.reader = 'on'; SET tcp_keepalives_idle = 10; \
     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; \
     SET idle_in_transaction_session_timeout = '60s'";

/// A source between and during its sessions.
struct Source<'a> {
    options: &'a PostgresOptions,
    database: &'a Database,
    mapping: &'a Mapping,
    outgoing: LogOutgoing,
    watch: Arc<PostgresWatch>,
    skips: Skips,
    /// The state file, as far as it is written.
    kept: Option<OutboxState>,
    /// The outbox of the session, with what the database counts.
    present: Option<OutboxState>,
    /// The transactions whose rows are to be deleted.
    awaited: Awaited,
    /// Whether the wide changes of a gap are still on their way. Until they are durable nothing is deleted, so that a
    /// later run sees the gap again.
    heals: bool,
    /// The last snapshot of the session that was read to its end.
    seen: Option<String>,
    /// Whether a snapshot was left before its end.
    unread: bool,
    /// The kinds of the types that are not built in.
    types: BTreeMap<u32, Kind>,
    /// The columns that were told to be missing.
    missing: BTreeSet<(String, String)>,
}

/// How the columns of each mapped table are read.
type Tables = BTreeMap<String, BTreeMap<String, Kind>>;

/// Publishes until it is asked to stop.
pub(in crate::source::postgres) async fn follow(
    options: &PostgresOptions,
    database: &Database,
    mapping: &Mapping,
    broker: BrokerOptions,
) -> Result<(), Failure> {
    let mut source = Source {
        options,
        database,
        mapping,
        watch: PostgresWatch::start(options, "outbox", &options.outbox_state(), broker.clone()).await?,
        outgoing: LogOutgoing::new(broker),
        skips: Skips::default(),
        kept: state::read(&options.outbox_state()),
        present: None,
        awaited: Awaited::default(),
        heals: false,
        seen: None,
        unread: false,
        types: BTreeMap::new(),
        missing: BTreeSet::new(),
    };
    follow_source(&mut source, &attempts::patience(options)).await
}

impl Follow for Source<'_> {
    type Origin = Origin;
    type Error = SessionError;

    async fn session(&mut self) -> Result<Infallible, SessionError> {
        let waiter = Arc::new(Notify::new());
        let client = self.database.listening(&waiter).await?;
        self.begin(&client).await?;
        note!("source: following {} by the outbox", self.database.name());
        self.watch.shared.connected(Side::Upstream, true);
        self.run(&client, &waiter).await
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

impl Source<'_> {
    /// Checks the database, and publishes wide if there is a gap.
    async fn begin(&mut self, client: &Client) -> Result<(), SessionError> {
        slot::version(client).await?;
        let checked = match install::check(client, self.mapping).await {
            Err(error) if self.options.create && error.is_mended_by_install() => {
                install::make(client, self.mapping).await?;
                install::check(client, self.mapping).await
            }
            checked => checked,
        };
        for from in checked? {
            note!(
                "source: a partition of {from} has no trigger for TRUNCATE, so one of it alone is not published: \
                 run `newsreel source postgres install --map … --run`"
            );
        }
        // The word "news". PostgreSQL gives the lock up with the connection.
        let lock = client.query_one("SELECT pg_try_advisory_lock(1852143475, 0)", &[]).await?;
        if !lock.get::<_, bool>(0) {
            return Err(ScanError::Busy.into());
        }
        client.batch_execute(SESSION).await?;
        self.seen = None;
        let now = OutboxState::of(client).await?;
        let gap = OutboxState::gap(self.kept.as_ref(), &now);
        self.present = Some(now);
        if let Some(gap) = gap {
            note!("source: {gap}: everything that the mapping covers is published as changed");
            self.outgoing.begin_at(self.awaited.clear());
            self.heals = true;
            let (history, watch) = (self.history(), &self.watch);
            attempts::publish_wide(self.mapping, &history, watch, &mut self.outgoing, None).await;
        }
        Ok(())
    }

    fn history(&self) -> History {
        let present = self.present.as_ref();
        let (system, outbox) =
            present.map(|now| (now.system.clone(), now.outbox.clone())).unwrap_or_default();
        History { system, slot: outbox }
    }

    fn limits(&self) -> Limits {
        Limits { wide_above: self.mapping.wide_above }
    }

    async fn run(&mut self, client: &Client, waiter: &Notify) -> Result<Infallible, SessionError> {
        let mut poll = interval(Duration::from_millis(self.options.poll_ms));
        let mut delete = interval(DELETE_EVERY);
        let mut check = interval(self.options.status_interval());
        check.reset();
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        delete.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let may_read = self.outgoing.has_room() && self.awaited.has_room();
            let may_delete = self.has_deletable();
            tokio::select! {
                () = waiter.notified(), if may_read => self.read(client).await?,
                _ = poll.tick(), if may_read => self.read(client).await?,
                () = std::future::ready(()), if may_read && self.unread => self.read(client).await?,
                wake = self.outgoing.wake() => self.publish(wake).await?,
                _ = delete.tick(), if may_delete => self.delete(client).await?,
                _ = check.tick() => self.check(client).await?,
            }
        }
    }

    /// Queues the transactions of one snapshot.
    async fn read(&mut self, client: &Client) -> Result<(), SessionError> {
        self.unread = false;
        let mut transactions = Transactions::new(self.limits());
        let begin = scan::begin(self.seen.as_deref());
        let mut page = scan::read(self.asked(0, client.simple_query(&begin)).await?)?;
        let (id, snapshot) = page.of.take().unwrap_or_default();
        if self.present.as_ref().is_none_or(|present| present.outbox != id) {
            return Err(ScanError::Changed.into());
        }
        let tables = self.tables(std::mem::take(&mut page.columns), client).await?;
        let (mut asked_for, mut patience) = (scan::FIRST_PAGE, PATIENCE);
        loop {
            let (is_full, next) = (page.notes.len() == asked_for, page.next());
            for note in page.notes {
                self.take(note, &tables, &mut transactions).await;
            }
            if !is_full {
                self.seen = Some(snapshot);
                break;
            }
            if !self.has_room_in_time(&mut patience).await? {
                self.unread = true;
                break;
            }
            asked_for = next;
            page = scan::read(self.asked(0, client.simple_query(&scan::fetch(next))).await?)?;
        }
        self.asked(0, client.simple_query(scan::END)).await?;
        Ok(())
    }

    /// Checks that the triggers are there. With --create the next session makes what is missing.
    async fn check(&mut self, client: &Client) -> Result<(), SessionError> {
        match self.asked(0, install::check(client, self.mapping)).await {
            Err(SessionError::NotInstalled(OutboxError::OfAnotherMapping(mistakes)))
                if self.options.create =>
            {
                Err(ScanError::Unfit(mistakes.join("; ")).into())
            }
            checked => checked.map(drop),
        }
    }

    /// Goes on publishing until an answer is there. PostgreSQL is given longer for many rows.
    async fn asked<T, E: Into<SessionError>>(
        &mut self,
        rows: u64,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, SessionError> {
        let limit = self.options.status_interval() * 3 + Duration::from_millis(rows);
        let over = sleep(limit);
        tokio::pin!(answer, over);
        loop {
            tokio::select! {
                answer = &mut answer => return answer.map_err(E::into),
                wake = self.outgoing.wake() => self.publish(wake).await?,
                () = &mut over => return Err(SessionError::Stalled(limit)),
            }
        }
    }

    /// Goes on publishing until there is room for more, or patience is at its end; says whether there is room.
    async fn has_room_in_time(&mut self, patience: &mut Duration) -> Result<bool, SessionError> {
        let began = Instant::now();
        let over = sleep(*patience);
        tokio::pin!(over);
        while !self.outgoing.has_room() {
            tokio::select! {
                wake = self.outgoing.wake() => self.publish(wake).await?,
                () = &mut over => return Ok(false),
            }
        }
        *patience = patience.saturating_sub(began.elapsed());
        Ok(self.awaited.has_room())
    }

    /// Returns how the columns of the mapped tables are read, and notes those that are missing.
    async fn tables(
        &mut self,
        columns: Vec<(String, String, u32)>,
        client: &Client,
    ) -> Result<Tables, SessionError> {
        let mut tables = Tables::new();
        for (table, column, type_id) in columns {
            let kind = match self.types.get(&type_id) {
                Some(kind) => kind.clone(),
                None => self.asked(0, kind_of(type_id, client)).await?,
            };
            self.types.insert(type_id, kind.clone());
            tables.entry(table).or_default().insert(column, kind);
        }
        for (from, columns) in &tables {
            for column in self.mapping.rules_of(from).flat_map(Rule::columns) {
                let missing = !columns.contains_key(column);
                if missing && self.missing.insert((from.clone(), column.to_owned())) {
                    note!("source: {from} has no column {column:?} here: what it names is published wide");
                }
            }
        }
        Ok(tables)
    }

    /// Adds a note to its transaction, and queues the transaction if it is complete.
    async fn take(&mut self, note: Note, tables: &Tables, transactions: &mut Transactions) {
        let Note { xid, at, source, operation, is_last } = note;
        if self.awaited.has(xid) {
            return;
        }
        let transaction = transactions.of(xid);
        transaction.rows += 1;
        let kinds = tables.get(&source);
        let typed = |row| kinds.map(|kinds| scan::typed(row, kinds)).unwrap_or_default();
        let mut changes = Vec::new();
        let mut apply = |change: &RowChange<'_>| {
            self.mapping.apply(&source, change, &mut self.skips, &mut |change| changes.push(change));
        };
        let (kind, row) = match operation {
            Noted::Insert { new } => {
                let new = typed(new);
                apply(&RowChange::Insert { new: &new });
                (RowKind::Insert, new)
            }
            Noted::Update { old, new } => {
                let (old, new) = (typed(old), typed(new));
                apply(&RowChange::Update { old: &old, new: &new });
                (RowKind::Update, new)
            }
            Noted::Delete { old } => {
                let old = typed(old);
                apply(&RowChange::Delete { old: &old });
                (RowKind::Delete, old)
            }
            Noted::Truncate => {
                apply(&RowChange::Truncate);
                (RowKind::Truncate, Row::new())
            }
        };
        let note = || (rows::naming(self.mapping, &source, &row), changes.clone());
        transaction.changed.add(&source, kind, note);
        changes.into_iter().for_each(|change| transaction.batch.add(change));
        if is_last && let Some(transaction) = transactions.take(xid) {
            self.queue(xid, at, transaction).await;
        }
    }

    async fn queue(&mut self, xid: u64, at: i64, transaction: scan::Transaction) {
        let number = self.awaited.add(xid, transaction.rows);
        let new = self.skips.take_new();
        if !new.is_empty() {
            self.watch.shared.skipped(&self.skips);
        }
        new.into_iter().for_each(|skip| note!("source: {skip}"));
        let scan::Transaction { batch, changed, .. } = transaction;
        let widened = batch.widened().len();
        let publishes = publishes_of(xid, batch, self.mapping.wide_above);
        self.watch.transaction(
            &changed,
            publishes.iter().map(|publish| publish.changes.len()).sum(),
            widened,
        );
        if publishes.is_empty() {
            self.outgoing.pass(number);
            return;
        }
        let of = Origin {
            xid: Some(xid),
            lsn: None,
            committed_at: at,
            part: 0,
            rows: Arc::new(changed),
            end: None,
        };
        let entries = self.history().entries(&of, Some(number), publishes);
        self.outgoing.add(entries).await;
    }

    /// Says whether there is a durable transaction, or a state that the file does not have.
    fn has_deletable(&self) -> bool {
        !self.heals && (self.awaited.has_durable(self.outgoing.durable()) || self.kept != self.present)
    }

    /// Writes the state, and then deletes the rows of what is durable: a state that is ahead of the outbox says
    /// nothing wrong, and one that is behind would look like a gap.
    async fn delete(&mut self, client: &Client) -> Result<(), SessionError> {
        let Some(present) = self.present.clone() else { return Ok(()) };
        let deletion = self.awaited.next(self.outgoing.durable());
        let published = present.published + u64::from(!deletion.xids.is_empty());
        let next = OutboxState { published, ..present };
        state::write(&next, &self.options.outbox_state())?;
        self.kept = Some(next.clone());
        if !deletion.xids.is_empty() {
            let xids: Vec<String> = deletion.xids.iter().map(u64::to_string).collect();
            let sql = format!(
                "WITH gone AS (DELETE FROM newsreel.outbox WHERE xid = ANY ('{{{}}}'::xid8[])) \
                 UPDATE newsreel.history SET published = {published} WHERE id = '{}'",
                xids.join(","),
                next.outbox
            );
            if self.asked(deletion.rows, client.execute(&sql, &[])).await? == 0 {
                return Err(ScanError::Changed.into());
            }
            self.awaited.forget(&deletion);
        }
        self.present = Some(next);
        Ok(())
    }
}
