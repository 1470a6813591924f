//! The changes of transactions, as their rows come out of the log, until each is committed.
//!
//! A transaction is mapped row by row, so that what is kept of it is its targets and never its rows.

use std::collections::BTreeMap;

use newsreel_core::wire::{Change, Publish, Traceparent};
use newsreel_mapping::{Batch, Limits, Row};

use super::lsn::Lsn;
use super::outgoing::{Entry, Origin};
use super::rows::{RowKind, Rows};
use crate::exit::note;
use crate::source::outgoing::source_event;

/// How many parts (savepoints) of one streamed transaction are kept apart, so that a rollback of one leaves
/// its targets out. What is rolled back beyond them is published: a needless change is no wrong one.
const MAX_PARTS: usize = 1_000;

/// The transactions that are not committed yet.
#[derive(Debug)]
pub(super) struct Gather {
    limits: Limits,
    /// The transaction that comes as a whole, and its xid.
    whole: Option<(u32, Gathered)>,
    /// Transactions that come in streams: by xid, their parts by xid of the subtransaction.
    streams: BTreeMap<u32, BTreeMap<u32, Gathered>>,
    /// The transaction that a stream is open of.
    open: Option<u32>,
}

/// The changes of a transaction, or of a part of one, and the rows they came from.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) batch: Batch,
    pub(super) rows: Rows,
}

/// The names that tell the publishes of one history from those of any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// The identity of the database cluster.
    pub(super) system: String,
    /// The replication slot.
    pub(super) slot: String,
}

impl Gather {
    /// Returns no transactions.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, whole: None, streams: BTreeMap::new(), open: None }
    }

    /// Begins a transaction that comes as a whole.
    pub(super) fn begin(&mut self, xid: u32) {
        self.whole = Some((xid, Gathered::new(self.limits)));
    }

    /// Opens a stream of a transaction in progress.
    pub(super) fn open(&mut self, xid: u32) {
        self.open = Some(xid);
        self.streams.entry(xid).or_default();
    }

    /// Closes the stream.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Says whether any transaction has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.whole.is_none() && self.streams.is_empty()
    }

    /// Notes the trace that a transaction is part of.
    pub(super) fn trace(&mut self, part: Option<u32>, traceparent: Traceparent) {
        if let Some(gathered) = self.part(part) {
            gathered.batch.trace(Some(traceparent));
        }
    }

    /// Adds changes of a message of a subtransaction.
    pub(super) fn add(&mut self, part: Option<u32>, changes: Vec<Change>) {
        let Some(gathered) = self.part(part) else { return };
        changes.into_iter().for_each(|change| gathered.batch.add(change));
    }

    /// Adds the changes of a row of a subtransaction. `columns` gives what names the row.
    pub(super) fn add_row(
        &mut self,
        part: Option<u32>,
        table: &str,
        kind: RowKind,
        columns: impl FnOnce() -> Row,
        changes: Vec<Change>,
    ) {
        let Some(gathered) = self.part(part) else { return };
        gathered.rows.add(table, kind, || (columns(), changes.clone()));
        changes.into_iter().for_each(|change| gathered.batch.add(change));
    }

    fn part(&mut self, part: Option<u32>) -> Option<&mut Gathered> {
        let Some(xid) = self.open else { return self.whole.as_mut().map(|(_, gathered)| gathered) };
        let parts = self.streams.entry(xid).or_default();
        let part = part.filter(|part| parts.len() < MAX_PARTS || parts.contains_key(part)).unwrap_or(xid);
        Some(parts.entry(part).or_insert_with(|| Gathered::new(self.limits)))
    }

    /// Forgets a streamed transaction, or one part of it.
    pub(super) fn abort(&mut self, xid: u32, part: u32) {
        if part == xid {
            self.streams.remove(&xid);
        } else if let Some(parts) = self.streams.get_mut(&xid) {
            parts.remove(&part);
        }
    }

    /// Ends the transaction that came as a whole.
    pub(super) fn commit(&mut self) -> Option<(u32, Gathered)> {
        self.whole.take()
    }

    /// Ends a transaction that came in streams.
    pub(super) fn commit_stream(&mut self, xid: u32) -> Gathered {
        let parts = self.streams.remove(&xid).unwrap_or_default();
        parts.into_values().fold(Gathered::new(self.limits), |mut all, part| {
            all.batch.append(part.batch);
            all.rows.append(part.rows);
            all
        })
    }
}

impl Gathered {
    fn new(limits: Limits) -> Self {
        Self { batch: Batch::new(limits), rows: Rows::default() }
    }
}

/// Returns the publishes of a transaction, and notes where they are several or stand for more than was changed.
pub(super) fn publishes_of(xid: u64, batch: Batch, wide_above: usize) -> Vec<Publish> {
    for wide in batch.widened() {
        note!("source: transaction {xid} changes more than {wide_above} of a class: {wide:?}");
    }
    let publishes = batch.into_publishes();
    if publishes.len() > 1 {
        let count = publishes.len();
        note!("source: transaction {xid} is {count} versions: one holds at most 1,000 changes");
    }
    publishes
}

impl History {
    /// Returns the publishes of a transaction, each with the idempotency key that it has whenever it is sent. With the
    /// last of them everything up to `end` is durable.
    pub(super) fn entries(&self, of: &Origin, end: Option<Lsn>, publishes: Vec<Publish>) -> Vec<Entry> {
        let last = publishes.len().saturating_sub(1);
        let entry = |(part, publish): (usize, Publish)| {
            let of = Origin { part, end: end.filter(|_| part == last), ..of.clone() };
            self.entry(of, &publish)
        };
        publishes.into_iter().enumerate().map(entry).collect()
    }

    /// Returns a publish under a key that names the commit and the content: a log that was restored may have another
    /// transaction at the same LSN, and another mapping other targets.
    fn entry(&self, of: Origin, publish: &Publish) -> Entry {
        let Self { system, slot } = self;
        let Origin { xid, lsn, committed_at, part, .. } = &of;
        let commit = lsn.map_or_else(|| xid.unwrap_or_default().to_string(), |lsn| lsn.to_string());
        let place = format!("pg:{system}:{slot}:{commit}:{committed_at}:{part}");
        let source = source_event("postgres", Some(slot), Some(&commit), *committed_at);
        Entry::new(of, publish, source, |content| format!("{place}:{content}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use newsreel_core::wire::{Key, PublishLine};

    use super::*;

    fn update(key: &str) -> Vec<Change> {
        vec![Change::update(Key::new(key).unwrap(), Vec::new())]
    }

    fn written(gathered: Gathered) -> String {
        gathered.batch.into_publishes().iter().map(|publish| publish.written().changes).collect()
    }

    #[test]
    fn a_part_that_is_rolled_back_is_not_published() {
        let mut gather = Gather::new(Limits { wide_above: 10 });
        gather.open(5);
        gather.add(Some(5), update("t:1"));
        gather.add(Some(6), update("t:2"));
        gather.close();
        gather.open(9);
        gather.add(Some(9), update("t:9"));
        gather.close();
        gather.abort(5, 6);
        assert_eq!(written(gather.commit_stream(5)), r#"[{"key":"t:1"}]"#);
        gather.abort(9, 9);
        assert!(gather.is_idle());
        gather.begin(7);
        gather.add(None, update("t:7"));
        assert_eq!(
            gather.commit().map(|(xid, gathered)| (xid, written(gathered))),
            Some((7, r#"[{"key":"t:7"}]"#.into()))
        );
    }

    #[test]
    fn a_publish_has_the_same_key_whenever_it_is_sent_and_another_in_another_history() {
        let history = History { system: "7".into(), slot: "newsreel".into() };
        let of = Origin {
            xid: Some(1),
            lsn: Some(Lsn(16)),
            committed_at: 5,
            part: 0,
            rows: Arc::default(),
            end: None,
        };
        let publishes = || {
            let mut batch = Batch::new(Limits { wide_above: 10_000 });
            (0..1_500)
                .for_each(|n| update(&format!("t:{n}")).into_iter().for_each(|change| batch.add(change)));
            batch.into_publishes()
        };
        let key = |history: &History, of: &Origin, part: usize| {
            let entries = history.entries(of, Some(Lsn(17)), publishes());
            assert_eq!(entries.iter().map(|entry| entry.of.end).collect::<Vec<_>>(), [None, Some(Lsn(17))]);
            PublishLine::parse(entries[part].text.as_bytes()).unwrap().idempotency_key.unwrap()
        };
        let first = key(&history, &of, 0);
        assert_eq!(key(&history, &of, 0), first);
        assert!(first.starts_with("pg:7:newsreel:0/10:5:0:"), "{first}");
        assert_ne!(key(&history, &of, 1), first);
        assert_ne!(key(&history, &Origin { committed_at: 6, ..of.clone() }, 0), first);
        assert_ne!(key(&History { system: "8".into(), ..history.clone() }, &of, 0), first);
    }
}
