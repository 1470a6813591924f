//! A dump that is accepted: in one transaction its rows are the state, and its publishes are in the outbox.

use std::collections::BTreeMap;

use newsreel_core::wire::Tag;
use newsreel_mapping::{Row, Skips};
use rusqlite::{Connection, params};

use super::compare::{self, Before, CAME, Comparison, GONE, row_of};
use super::form::{Form, Keep, key_of};
use super::state::{Last, SnapshotError, Snapshots, last, set_last};
use crate::source::outgoing::{Entry, Origin, source_event};

/// A publish that waits in the outbox, or its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Pending {
    /// Its number in the outbox.
    #[serde(skip)]
    pub(crate) id: i64,
    /// The snapshot that it is of.
    pub(crate) snapshot: u64,
    /// Its number within the snapshot, from 0.
    pub(crate) part: u64,
    /// When the snapshot was accepted, in Unix milliseconds.
    #[serde(rename = "accepted_at")]
    pub(crate) at: i64,
}

impl Origin for Pending {
    fn at(&self) -> i64 {
        self.at
    }
}

impl Snapshots {
    /// Makes the dump that was compared last the state, and puts its publishes into the outbox.
    pub(crate) fn accept(
        &mut self,
        comparison: &Comparison,
        dump: &str,
        at: i64,
    ) -> Result<Last, SnapshotError> {
        let accepted = self.accept_in_transaction(comparison, dump, at);
        self.detach();
        accepted.map_err(|why| self.failed(why))
    }

    /// Forgets the dump that was compared last.
    pub(crate) fn refuse(&mut self) {
        self.detach();
    }

    /// Returns the oldest publishes of the outbox after a number, in order.
    pub(crate) fn pending(&self, after: i64, most: usize) -> Result<Vec<Entry<Pending>>, SnapshotError> {
        let read = || {
            let sql = "SELECT id, snapshot, part, at, line FROM outbox WHERE id > ? ORDER BY id LIMIT ?";
            let mut select = self.db.prepare_cached(sql)?;
            let entry = |row: &rusqlite::Row<'_>| {
                let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
                let of = Pending { id: row.get(0)?, snapshot: number(1)?, part: number(2)?, at: row.get(3)? };
                Ok(Entry { text: row.get(4)?, of })
            };
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            select.query_map(params![after, most], entry)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|why| self.failed(why))
    }

    /// Takes a publish that is durable out of the outbox, with all before it.
    pub(crate) fn acknowledged(&self, of: &Pending) -> Result<(), SnapshotError> {
        let gone = self.db.prepare_cached("DELETE FROM outbox WHERE id <= ?");
        gone.and_then(|mut gone| gone.execute([of.id])).map(drop).map_err(|why| self.failed(why))
    }

    fn accept_in_transaction(
        &mut self,
        comparison: &Comparison,
        dump: &str,
        at: i64,
    ) -> rusqlite::Result<Last> {
        let keep = self.keep;
        let covered = |form: &&Form| comparison.counts.contains_key(form.name());
        let forms = self.numbered(self.forms.iter().filter(covered).cloned().collect())?;
        let transaction = self.db.transaction()?;
        for (source, form) in &forms {
            take(&transaction, form, *source, keep)?;
        }
        let snapshot = last(&transaction)?.map_or(1, |last| last.snapshot + 1);
        let accepted = Last { snapshot, at, dump: dump.to_owned(), digest: comparison.digest.clone() };
        enqueue(&transaction, comparison, &accepted)?;
        set_last(&transaction, &accepted)?;
        transaction.commit()?;
        Ok(accepted)
    }
}

/// Puts the publishes of a snapshot into the outbox. The idempotency key names the state, the snapshot, the content of the
/// dump and that of the publish, and when it was accepted: a state that was restored counts its snapshots again.
fn enqueue(db: &Connection, comparison: &Comparison, accepted: &Last) -> rusqlite::Result<()> {
    let state: String = db.query_row("SELECT value FROM meta WHERE name = 'state'", [], |row| row.get(0))?;
    let Last { snapshot, at, digest, dump } = accepted;
    let sql = "INSERT INTO outbox (snapshot, part, at, targets, line) VALUES (?, ?, ?, ?, ?)";
    let mut insert = db.prepare_cached(sql)?;
    let source = source_event("files", None, Some(dump), *at);
    for (part, publish) in comparison.publishes.iter().enumerate() {
        let key = |content: &str| format!("files:{state}:{snapshot}:{at}:{digest}:{part}:{content}");
        let Entry { text, of: () } = Entry::new((), publish, source.clone(), key);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (part, targets) = (number(part as u64), number(publish.changes.len() as u64));
        insert.execute(params![number(*snapshot), part, at, targets, text])?;
    }
    Ok(())
}

/// Puts the staged rows of a form in the place of those that are kept.
fn take(db: &Connection, form: &Form, source: i64, keep: Keep) -> rusqlite::Result<()> {
    match compare::before(db, form, keep)? {
        Before::Rows(_) => {}
        Before::Nothing | Before::OtherForm { .. } => {
            let wide = compare::text_of(&form.wide());
            let sql = "INSERT INTO sources (id, name, form, wide, rows) VALUES (?1, ?2, ?3, ?4, 0)
                ON CONFLICT DO UPDATE SET form = ?3, wide = ?4";
            db.execute(sql, params![source, form.name(), form.digest(keep), wide])?;
            db.execute("DELETE FROM rows WHERE source = ?", [source])?;
            db.execute("DELETE FROM entries WHERE source = ?", [source])?;
        }
    }
    if keep == Keep::Rows {
        serve(db, form, source)?;
    }
    for sql in [
        "DELETE FROM main.rows WHERE source = ?1 AND NOT EXISTS (
            SELECT 1 FROM staging.staged s WHERE s.source = ?1 AND s.key = rows.key)",
        "INSERT OR REPLACE INTO main.rows SELECT s.source, s.key, s.hash, s.old FROM staging.staged s
            LEFT JOIN main.rows r ON r.source = s.source AND r.key = s.key
            WHERE s.source = ?1 AND s.hash IS NOT r.hash ORDER BY s.key",
        "UPDATE sources SET rows = (SELECT count(*) FROM staging.staged WHERE source = ?1) WHERE id = ?1",
    ] {
        db.execute(sql, [source])?;
    }
    Ok(())
}

/// Brings what is served to what is staged. Keys go before others come: one row may get the key that another leaves.
fn serve(db: &Connection, form: &Form, source: i64) -> rusqlite::Result<()> {
    let (mut gone, mut came) = (db.prepare(GONE)?, db.prepare(CAME)?);
    let mut remove = db.prepare("DELETE FROM entries WHERE key = ?")?;
    let keys = |row: &Row| form.rules().iter().filter_map(|rule| key_of(rule, row)).collect::<Vec<_>>();
    let mut forget =
        |old: &str| keys(&row_of(old)).iter().try_for_each(|key| remove.execute([key.as_str()]).map(drop));
    let mut rows = gone.query([source])?;
    while let Some(row) = rows.next()? {
        forget(row.get_ref(1)?.as_str()?)?;
    }
    let mut rows = came.query([source])?;
    while let Some(row) = rows.next()? {
        if let Some(old) = row.get_ref(6)?.as_str_or_null()? {
            forget(old)?;
        }
    }
    drop(rows);
    let mut insert = db.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)")?;
    let mut rows = came.query([source])?;
    while let Some(row) = rows.next()? {
        let new = row_of(row.get_ref(3)?.as_str()?);
        for (key, tags) in entries_of(form, row.get_ref(2)?.as_blob()?, &new) {
            insert.execute(params![key, source, row.get_ref(4)?.as_str()?, tags])?;
        }
    }
    Ok(())
}

/// Returns the keys that a row is served by, each with its tags as a header lists them.
fn entries_of(form: &Form, hash: &[u8], row: &Row) -> BTreeMap<String, String> {
    let mut skips = Skips::default();
    let mut entry = |rule: &newsreel_mapping::Rule| {
        let tags: Vec<String> =
            rule.tags(row, &mut skips).iter().map(|tag: &Tag| tag.as_str().to_owned()).collect();
        Some((key_of(rule, row)?.into(), tags.join(",")))
    };
    let taken = form.hashes(Some(hash)).filter(|(_, hash)| hash.is_some());
    taken.filter_map(|(rule, _)| entry(rule)).collect()
}
