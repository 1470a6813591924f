//! The messages of the log during a session: rows become changes, and a commit becomes publishes.

use std::sync::Arc;

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::{Mapping, Row, RowChange, Skips};

use super::{Session, SessionError, Source};
use crate::exit::note;
use crate::source::metrics::Wide;
use crate::source::postgres::gather::{Gather, Gathered, publishes_of};
use crate::source::postgres::lsn::Lsn;
use crate::source::postgres::outgoing::Origin;
use crate::source::postgres::pgoutput::{Output, Relation};
use crate::source::postgres::rows::{RowKind, naming};
use crate::source::postgres::tables::Table;
use crate::source::postgres::wire::unix_millis;

/// The prefix of the messages that are publishes.
/// The prefix of a message whose content is a publish.
const MESSAGE_PREFIX: &str = "newsreel";
/// The prefix of a message whose content is the `traceparent` of its transaction.
const TRACE_PREFIX: &str = "traceparent";

impl Source<'_> {
    pub(super) async fn on_output(
        &mut self,
        session: &mut Session<'_>,
        output: Output,
    ) -> Result<(), SessionError> {
        match output {
            Output::Begin { xid } => session.gather.begin(xid),
            Output::Commit { lsn, end, at_micros } => {
                if let Some((xid, gathered)) = session.gather.commit() {
                    self.commit(xid, lsn, end, at_micros, gathered).await;
                }
            }
            Output::Relation(relation) => self.on_relation(session, relation).await?,
            Output::Message { xid, transactional: true, prefix, content } if prefix == MESSAGE_PREFIX => {
                match Publish::parse(&content) {
                    Ok(publish) => session.gather.add(xid, publish.changes),
                    Err(why) => note!("source: a message {MESSAGE_PREFIX:?} is no publish: {why}"),
                }
            }
            Output::Message { xid, transactional: true, prefix, content } if prefix == TRACE_PREFIX => {
                // A trace that cannot be read is nobody's loss but the trace's.
                if let Some(trace) = std::str::from_utf8(&content).ok().and_then(|text| text.parse().ok()) {
                    session.gather.trace(xid, trace);
                }
            }
            Output::StreamStart { xid } => session.gather.open(xid),
            Output::StreamStop => session.gather.close(),
            Output::StreamCommit { xid, lsn, end, at_micros } => {
                let gathered = session.gather.commit_stream(xid);
                self.commit(xid, lsn, end, at_micros, gathered).await;
            }
            Output::StreamAbort { xid, part } => session.gather.abort(xid, part),
            Output::Insert { .. }
            | Output::Update { .. }
            | Output::Delete { .. }
            | Output::Truncate { .. } => {
                self.on_row(session, output).await?;
            }
            Output::Message { .. } | Output::Other => {}
        }
        Ok(())
    }

    /// Takes the form of a table. The log has no rows of an `ALTER TABLE` that changed every row, so a table whose
    /// columns are others than before is published as a whole.
    async fn on_relation(
        &mut self,
        session: &mut Session<'_>,
        relation: Relation,
    ) -> Result<(), SessionError> {
        let (table, altered) = self.tables.announce(relation, self.mapping, session.client).await?;
        let name = &table.name;
        for column in &table.missing {
            note!(
                "source: {name} has no column {column:?} any more: the mapping reads it, and what it names is published \
                 wide; change the mapping, or the table back"
            );
        }
        if !altered.is_empty() {
            note!("source: {name} was altered ({}): all of it is published as changed", altered.join(", "));
            let changes: Vec<Change> =
                self.mapping.rules_of(name).flat_map(|rule| rule.wide()).map(Change::of).collect();
            self.watch.shared.metrics.wide(Wide::Form, changes.len());
            session.gather.add(None, changes);
        }
        Ok(())
    }

    /// Adds what a changed row publishes to its transaction.
    async fn on_row(&mut self, session: &mut Session<'_>, output: Output) -> Result<(), SessionError> {
        let Self { tables, mapping, skips, .. } = self;
        let Session { gather, client, .. } = session;
        let mut to = Rows { mapping, skips, gather };
        match output {
            Output::Insert { xid, relation, new } => {
                if let Some(table) = tables.get(relation) {
                    let new = table.row(&new);
                    to.add(xid, table, RowKind::Insert, &new, &RowChange::Insert { new: &new });
                }
            }
            Output::Delete { xid, relation, old } => {
                if let Some(table) = tables.get(relation) {
                    let old = table.old_row(&old);
                    to.add(xid, table, RowKind::Delete, &old, &RowChange::Delete { old: &old });
                }
            }
            Output::Update { xid, relation, old, new } => {
                if let Some(table) = tables.get(relation) {
                    let (old, new) = table.update(old.as_ref(), &new, client).await?;
                    to.add(xid, table, RowKind::Update, &new, &RowChange::Update { old: &old, new: &new });
                }
            }
            Output::Truncate { xid, relations } => {
                for table in relations.iter().filter_map(|id| tables.get(*id)) {
                    to.add(xid, table, RowKind::Truncate, &Row::new(), &RowChange::Truncate);
                }
            }
            Output::Begin { .. }
            | Output::Commit { .. }
            | Output::Relation(_)
            | Output::Message { .. }
            | Output::StreamStart { .. }
            | Output::StreamStop
            | Output::StreamCommit { .. }
            | Output::StreamAbort { .. }
            | Output::Other => {}
        }
        Ok(())
    }

    /// Tells of each reason that a template gave nothing, once.
    fn tell_skips(&mut self) {
        let total = self.skips.total();
        if total == self.skipped {
            return;
        }
        self.skipped = total;
        self.watch.shared.skipped(&self.skips);
        for skip in self.skips.take_new() {
            note!("source: {skip}");
        }
    }

    async fn commit(&mut self, xid: u32, lsn: Lsn, end: Lsn, at_micros: i64, gathered: Gathered) {
        self.tell_skips();
        if end <= self.queued {
            return;
        }
        self.queued = end;
        let Gathered { batch, rows } = gathered;
        let widened = batch.widened().len();
        let publishes = publishes_of(xid.into(), batch, self.mapping.wide_above);
        let targets = publishes.iter().map(|publish| publish.changes.len()).sum();
        self.watch.transaction(&rows, targets, widened);
        let committed_at = unix_millis(at_micros);
        let of = Origin {
            xid: Some(xid.into()),
            lsn: Some(lsn),
            committed_at,
            part: 0,
            rows: Arc::new(rows),
            end: None,
        };
        match &self.history {
            Some(history) if !publishes.is_empty() => {
                let entries = history.entries(&of, Some(end), publishes);
                self.outgoing.add(entries).await;
            }
            Some(_) | None => self.outgoing.pass(end),
        }
    }
}

/// The way of a row into its transaction.
struct Rows<'a> {
    mapping: &'a Mapping,
    skips: &'a mut Skips,
    gather: &'a mut Gather,
}

impl Rows<'_> {
    /// Maps a row, which `row` names, and adds it.
    fn add(&mut self, xid: Option<u32>, table: &Table, kind: RowKind, row: &Row, change: &RowChange<'_>) {
        let mut changes = Vec::new();
        self.mapping.apply(&table.name, change, self.skips, &mut |change| changes.push(change));
        let columns = || naming(self.mapping, &table.name, row);
        self.gather.add_row(xid, &table.name, kind, columns, changes);
    }
}
