//! The comparison of a whole dump with the one before it: what differs, and what that publishes.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_core::wire::{Change, Operation, Publish, Target};
use newsreel_mapping::{Batch, Limits, Row, RowChange, Rule, Skips};
use rusqlite::{Connection, OptionalExtension as _};

use super::form::{Form, Keep};

/// The rows that came or changed, in the order of their keys: what is staged, and what is kept of the row before.
pub(super) const CAME: &str = "
    SELECT s.key, s.line, s.hash, s.naming, s.row, r.hash, r.kept FROM staging.staged s
    LEFT JOIN main.rows r ON r.source = s.source AND r.key = s.key
    WHERE s.source = ? AND s.hash IS NOT r.hash ORDER BY s.key";
/// The rows that have gone.
pub(super) const GONE: &str = "
    SELECT r.key, r.kept, r.hash FROM main.rows r
    LEFT JOIN staging.staged s ON s.source = r.source AND s.key = r.key
    WHERE r.source = ? AND s.key IS NULL ORDER BY r.key";

/// What the first dump of a name publishes, with nothing known of an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Initial {
    /// Everything that the mapping covers: caches may hold rows that have gone since.
    #[default]
    Wide,
    /// Each of its rows.
    Rows,
    /// Nothing: the dump is what caches were filled from.
    Nothing,
}

/// A dump as it differs from the one before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// The rows of each name.
    pub(crate) counts: BTreeMap<String, Counts>,
    /// The publishes, in order.
    pub(crate) publishes: Vec<Publish>,
    /// How many wide targets are published, by reason.
    pub(crate) wide: Wide,
    /// The first differences of each kind.
    pub(crate) samples: Vec<Difference>,
    /// 16 hex digits of the content of the dump.
    pub(crate) digest: String,
}

impl Comparison {
    /// Returns what differs for a state that is only served from.
    pub(crate) fn without_publishes(self) -> Self {
        Self { publishes: Vec::new(), ..self }
    }
}

/// How many wide targets are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wide {
    /// Because nothing is known of an earlier dump.
    pub(crate) first: usize,
    /// Because the mapping is another one.
    pub(crate) form: usize,
    /// Because more differs than is published apart.
    pub(crate) large: usize,
}

/// The rows of one name in a dump and in the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// The rows of the dump.
    pub(crate) rows: u64,
    /// The rows of the dump before.
    pub(crate) before: u64,
    /// Rows that were not in the dump before.
    pub(crate) added: u64,
    /// Rows that differ in what matters to the mapping.
    pub(crate) changed: u64,
    /// Rows of the dump before that are not in this one.
    pub(crate) gone: u64,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Difference {
    /// The change of the row.
    pub(crate) kind: Kind,
    /// The name of its rows.
    pub(crate) from: String,
    /// Its key; the hash of its content where it has none.
    pub(crate) key: String,
    /// The line of the dump; none of a row that has gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

/// The change of a row between two dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The row came.
    Added,
    /// The row changed.
    Changed,
    /// The row went.
    Gone,
}

/// What is known of the dump before.
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// Rows by other rules, and the targets that cover all that those named.
    OtherForm { wide: BTreeSet<Target>, rows: u64 },
    /// Rows by the same rules.
    Rows(u64),
}

/// The changes of a dump. Removes come first, so that a key that one row leaves and another gets is there.
struct Changes {
    removes: Batch,
    others: Batch,
    wide: Wide,
    samples: Vec<Difference>,
    most_samples: usize,
}

/// How a dump is compared.
pub(super) struct Comparing {
    /// What the first dump of a name publishes.
    pub(super) initial: Initial,
    /// How many differences of each kind are named.
    pub(super) samples: usize,
    /// What the state keeps of the rows.
    pub(super) keep: Keep,
    /// Above how many targets of one class its prefix stands for them.
    pub(super) wide_above: usize,
    /// 16 hex digits of the content of the dump.
    pub(super) digest: String,
}

/// Compares a dump that was staged as a whole. Each form has its number in the state.
pub(super) fn compare(
    db: &Connection,
    forms: &[(i64, Form)],
    how: Comparing,
) -> rusqlite::Result<Comparison> {
    let Comparing { initial, samples, keep, wide_above, digest } = how;
    let batch = || Batch::new(Limits { wide_above });
    let (removes, others, wide) = (batch(), batch(), Wide::default());
    let mut changes = Changes { removes, others, wide, samples: Vec::new(), most_samples: samples };
    let mut counts = BTreeMap::new();
    for (source, form) in forms {
        let sql = "SELECT count(*) FROM staging.staged WHERE source = ?";
        let rows = db.query_row(sql, [source], |row| row.get::<_, i64>(0))?.unsigned_abs();
        let count = match before(db, form, keep)? {
            Before::Rows(before) => changes.differences(db, *source, form, before)?,
            Before::OtherForm { wide, rows: before } => {
                let targets = wide.into_iter().chain(form.wide()).collect();
                changes.wide.form += changes.add_wide(targets);
                Counts { before, gone: before.saturating_sub(rows), ..Counts::default() }
            }
            Before::Nothing => changes.first(db, *source, form, initial)?,
        };
        counts.insert(form.name().to_owned(), Counts { rows, ..count });
    }
    let Changes { mut removes, others, mut wide, mut samples, .. } = changes;
    wide.large = others.widened().len();
    removes.append(others);
    wide.large += removes.widened().len();
    samples.sort_by_key(|difference| difference.kind);
    Ok(Comparison { counts, publishes: removes.into_publishes(), wide, samples, digest })
}

/// Returns what the state knows of the rows of a form.
pub(super) fn before(db: &Connection, form: &Form, keep: Keep) -> rusqlite::Result<Before> {
    let sql = "SELECT form, wide, rows FROM sources WHERE name = ?";
    let known = db.query_row(sql, [form.name()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?.unsigned_abs()))
    });
    Ok(match known.optional()? {
        None => Before::Nothing,
        Some((digest, _, rows)) if digest == form.digest(keep) => Before::Rows(rows),
        // Targets that cannot be read are all there are.
        Some((_, wide, rows)) => Before::OtherForm { wide: targets_of(&wide), rows },
    })
}

/// Returns targets as the state keeps them.
pub(super) fn text_of(targets: &BTreeSet<Target>) -> String {
    let changes: Vec<Change> = targets.iter().cloned().map(Change::of).collect();
    serde_json::json!(changes).to_string()
}

fn targets_of(text: &str) -> BTreeSet<Target> {
    let changes: Option<Vec<Change>> = serde_json::from_str(text).ok();
    let targets = changes.map(|changes| changes.into_iter().map(|change| change.target).collect());
    targets.unwrap_or_else(|| BTreeSet::from([Target::All]))
}

impl Changes {
    fn add(&mut self, change: Change) {
        let batch = if change.operation == Operation::Remove { &mut self.removes } else { &mut self.others };
        batch.add(change);
    }

    /// Adds wide targets, and returns how many there are.
    fn add_wide(&mut self, targets: BTreeSet<Target>) -> usize {
        let count = targets.len();
        targets.into_iter().for_each(|target| self.add(Change::of(target)));
        count
    }

    fn sample(&mut self, kind: Kind, form: &Form, key: &str, line: Option<i64>) {
        let count = self.samples.iter().filter(|sample| sample.kind == kind).count();
        if count < self.most_samples {
            let (from, key) = (form.name().to_owned(), key.trim_start_matches('\0').to_owned());
            self.samples.push(Difference { kind, from, key, line: line.map(i64::unsigned_abs) });
        }
    }

    /// Adds what the first dump of a name publishes.
    fn first(
        &mut self,
        db: &Connection,
        source: i64,
        form: &Form,
        initial: Initial,
    ) -> rusqlite::Result<Counts> {
        if initial == Initial::Wide {
            self.wide.first += self.add_wide(form.wide());
        }
        let publishes = initial == Initial::Rows;
        self.came(db, source, form, publishes)
    }

    /// Adds what differs from the dump before.
    fn differences(
        &mut self,
        db: &Connection,
        source: i64,
        form: &Form,
        before: u64,
    ) -> rusqlite::Result<Counts> {
        let mut counts = self.came(db, source, form, true)?;
        counts.before = before;
        let mut gone = db.prepare(GONE)?;
        let mut rows = gone.query([source])?;
        while let Some(row) = rows.next()? {
            counts.gone += 1;
            self.sample(Kind::Gone, form, row.get_ref(0)?.as_str()?, None);
            let old = row_of(row.get_ref(1)?.as_str()?);
            let taken = form.hashes(Some(row.get_ref(2)?.as_blob()?)).filter(|(_, hash)| hash.is_some());
            let gone: Vec<_> = taken.map(|(rule, _)| (rule, Kind::Gone)).collect();
            self.row(&gone, &old, &Row::new());
        }
        Ok(counts)
    }

    /// Adds the rows that came or changed.
    fn came(
        &mut self,
        db: &Connection,
        source: i64,
        form: &Form,
        publishes: bool,
    ) -> rusqlite::Result<Counts> {
        let mut counts = Counts::default();
        let mut came = db.prepare(CAME)?;
        let mut rows = came.query([source])?;
        while let Some(row) = rows.next()? {
            let (key, line) = (row.get_ref(0)?.as_str()?, Some(row.get(1)?));
            let (hash, before) = (row.get_ref(2)?.as_blob()?, row.get_ref(5)?.as_blob_or_null()?);
            let changed = changed_rules(form, hash, before);
            // Where rows are kept to be served, a row may differ in what no rule reads.
            if changed.is_empty() {
                continue;
            }
            let kind = if before.is_some() { Kind::Changed } else { Kind::Added };
            *(if before.is_some() { &mut counts.changed } else { &mut counts.added }) += 1;
            self.sample(kind, form, key, line);
            if publishes {
                let new = row_of(row.get_ref(3)?.as_str()?);
                let old = row.get_ref(6)?.as_str_or_null()?.map(row_of).unwrap_or_default();
                self.row(&changed, &old, &new);
            }
        }
        Ok(counts)
    }

    /// Adds the changes of one row by the rules that it changed for.
    fn row(&mut self, rules: &[(&Rule, Kind)], old: &Row, new: &Row) {
        // What a row does not name was counted when it was read.
        let mut skips = Skips::default();
        for (rule, kind) in rules {
            let mut add = |change| self.add(change);
            match kind {
                Kind::Added => rule.apply(&RowChange::Insert { new }, &mut skips, &mut add),
                Kind::Changed => rule.replace(old, new, &mut skips, &mut add),
                Kind::Gone => rule.apply(&RowChange::Delete { old }, &mut skips, &mut add),
            }
        }
    }
}

/// Returns the rules that a row changed for, each with how.
fn changed_rules<'a>(form: &'a Form, hash: &'a [u8], before: Option<&'a [u8]>) -> Vec<(&'a Rule, Kind)> {
    let kind = |before: Option<&[u8]>, now: Option<&[u8]>| match (before, now) {
        (None, None) => None,
        (None, Some(_)) => Some(Kind::Added),
        (Some(_), None) => Some(Kind::Gone),
        (Some(before), Some(now)) => (before != now).then_some(Kind::Changed),
    };
    let pairs = form.hashes(Some(hash)).zip(form.hashes(before));
    pairs.filter_map(|((rule, now), (_, before))| Some((rule, kind(before, now)?))).collect()
}

/// Returns the columns of a row that was staged or kept.
pub(super) fn row_of(text: &str) -> Row {
    serde_json::from_str(text).unwrap_or_default()
}
