//! The messages of the log during a session: rows become changes, and a commit becomes publishes.

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::{Batch, RowChange};

use super::{Session, SessionError, Source};
use crate::exit::note;
use crate::source::postgres::gather::publishes_of;
use crate::source::postgres::lsn::Lsn;
use crate::source::postgres::outgoing::Origin;
use crate::source::postgres::pgoutput::Output;
use crate::source::postgres::tables::Table;
use crate::source::postgres::wire::unix_millis;

/// The prefix of the messages that are publishes.
const MESSAGE_PREFIX: &str = "newsreel";

impl Source<'_> {
    pub(super) async fn on_output(
        &mut self,
        session: &mut Session<'_>,
        output: Output,
    ) -> Result<(), SessionError> {
        match output {
            Output::Begin { xid } => session.gather.begin(xid),
            Output::Commit { lsn, end, at_micros } => {
                if let Some((xid, batch)) = session.gather.commit() {
                    self.commit(xid, lsn, end, at_micros, batch).await;
                }
            }
            Output::Relation(relation) => {
                let table = session.tables.announce(relation, self.mapping, session.client).await?;
                for column in &table.missing {
                    let name = &table.name;
                    note!("source: {name} has no column {column:?} here: what it names is published wide");
                }
            }
            Output::Message { xid, transactional: true, prefix, content } if prefix == MESSAGE_PREFIX => {
                match Publish::parse(&content) {
                    Ok(publish) => session.gather.add(xid, publish.changes),
                    Err(why) => note!("source: a message {MESSAGE_PREFIX:?} is no publish: {why}"),
                }
            }
            Output::StreamStart { xid } => session.gather.open(xid),
            Output::StreamStop => session.gather.close(),
            Output::StreamCommit { xid, lsn, end, at_micros } => {
                let batch = session.gather.commit_stream(xid);
                self.commit(xid, lsn, end, at_micros, batch).await;
            }
            Output::StreamAbort { xid, part } => session.gather.abort(xid, part),
            Output::Insert { xid, .. }
            | Output::Update { xid, .. }
            | Output::Delete { xid, .. }
            | Output::Truncate { xid, .. } => {
                let changes = self.rows(session, &output).await?;
                session.gather.add(xid, changes);
            }
            Output::Message { .. } | Output::Other => {}
        }
        Ok(())
    }

    /// Returns what changed rows publish.
    async fn rows(&mut self, session: &Session<'_>, output: &Output) -> Result<Vec<Change>, SessionError> {
        let table = |id: &u32| session.tables.get(*id);
        Ok(match output {
            Output::Insert { relation, new, .. } => table(relation).map_or_else(Vec::new, |table| {
                self.changes(table, &RowChange::Insert { new: &table.row(new) })
            }),
            Output::Delete { relation, old, .. } => table(relation).map_or_else(Vec::new, |table| {
                self.changes(table, &RowChange::Delete { old: &table.old_row(old) })
            }),
            Output::Update { relation, old, new, .. } => match table(relation) {
                Some(table) => {
                    let (before, row) = table.update(old.as_ref(), new, session.client).await?;
                    self.changes(table, &RowChange::Update { old: &before, new: &row })
                }
                None => Vec::new(),
            },
            Output::Truncate { relations, .. } => {
                let tables = relations.iter().filter_map(table);
                tables.flat_map(|table| self.changes(table, &RowChange::Truncate)).collect()
            }
            Output::Begin { .. }
            | Output::Commit { .. }
            | Output::Relation(_)
            | Output::Message { .. }
            | Output::StreamStart { .. }
            | Output::StreamStop
            | Output::StreamCommit { .. }
            | Output::StreamAbort { .. }
            | Output::Other => Vec::new(),
        })
    }

    fn changes(&mut self, table: &Table, change: &RowChange<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.mapping.apply(&table.name, change, &mut self.skips, &mut |change| changes.push(change));
        for skip in self.skips.take_new() {
            note!("source: {skip}");
        }
        changes
    }

    async fn commit(&mut self, xid: u32, lsn: Lsn, end: Lsn, at_micros: i64, batch: Batch) {
        if end <= self.queued {
            return;
        }
        self.queued = end;
        let publishes = publishes_of(xid.into(), batch, self.mapping.wide_above);
        let of =
            Origin { xid: Some(xid.into()), lsn: Some(lsn), committed_at: unix_millis(at_micros), part: 0 };
        match &self.history {
            Some(history) if !publishes.is_empty() => {
                let entries = history.entries(&of, end, publishes);
                self.outgoing.add(entries).await;
            }
            Some(_) | None => self.outgoing.pass(end),
        }
    }
}
