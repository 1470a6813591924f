//! The past of the log: segments of sealed rows, what is folded, and the hashes of both.
//!
//! Rows move one way: hot rows → a segment, one row that holds a ready-made page → the fold, one row per target
//! and kind → nothing. The 8 hash bytes of every version stay until they are forgotten, so that any position can
//! be checked. Each move is one transaction.

use js_sys::JsString;
use newsreel_core::log::compaction::{Compaction, Superseding};
use newsreel_core::wire::change::{Change, Operation, Target};
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::frame::{FOLD_BYTES, FRAME_BYTES, FoldedChange};
use newsreel_core::wire::{Hash, Position, Version, VersionRow};
use wasm_bindgen::prelude::*;

use super::{PAGE_BYTES, PageRows, Rows, field, integer, number, parsed, string, version};

/// The most rows that one segment is sealed from: 256 KiB of the smallest rows (58 bytes).
const SEGMENT_ROWS: u32 = 5_000;
/// The most changes that one part of a fold has: finding where it ends takes 3 µs for each.
const FOLD_ROWS: u32 = 4_000;
/// How many covered or forgotten changes one statement deletes. What is left over says nothing that is not true.
const DELETE_AT_ONCE: u32 = 20_000;
/// How many wide changes one step looks for what they cover; two statements each.
const MOST_COVERS: usize = 1_000;
/// How long a list that is handed to SQLite as one JSON text may be.
const LIST_BYTES: usize = 512 << 10;
/// What ends the name in a place; no name holds it.
const END: char = '\u{1}';
/// Above every name that begins with what it is put behind: a key has at most 400 bytes.
const ABOVE: &str = "\u{10ffff}";

/// A part of the fold, ready to be sent.
pub(crate) struct FoldPart {
    /// JSON changes separated by commas.
    pub(crate) changes: JsString,
    /// Where it goes on, unless this is the last part.
    pub(crate) next: Option<FoldCursor>,
}

impl Rows {
    /// Returns what is left of the segment that holds the version after `after`: at most `limit` versions.
    /// `None` when no segment holds it.
    pub(super) fn segment_page(
        &self,
        head: &Position,
        after: Version,
        limit: u32,
    ) -> worker::Result<Option<PageRows>> {
        let row = self.first(
            "SELECT first, last, hash, rows FROM segments WHERE last > ? ORDER BY last LIMIT 1",
            vec![number(after)],
        )?;
        let Some(row) = row else { return Ok(None) };
        let (first, last) = (version(&field(&row, "first")?)?, version(&field(&row, "last")?)?);
        if after.next() < first {
            return Err(format!("versions are missing after {after}").into());
        }
        let mut rows: JsString = field(&row, "rows")?.unchecked_into();
        if after >= first {
            rows = rows.slice(beginning(&rows, after.next())?, rows.length());
        }
        let end = Version::new(after.number() + u64::from(limit)).unwrap_or(Version::MAX);
        if end >= last {
            let hash = parsed(string(&row, "hash")?)?;
            return Ok(Some(PageRows { to: Position { epoch: head.epoch, version: last, hash }, rows }));
        }
        // The comma before the first row that is left out goes too.
        let rows = rows.slice(0, beginning(&rows, end.next())?.saturating_sub(1));
        let hash = self.hash_in_block(end)?.ok_or("a sealed version has no hash")?;
        Ok(Some(PageRows { to: Position { epoch: head.epoch, version: end, hash }, rows }))
    }

    /// Returns the hash of a sealed or folded version that is not forgotten.
    pub(super) fn hash_in_block(&self, at: Version) -> worker::Result<Option<Hash>> {
        let row = self.first(
            "SELECT first, lower(hex(substr(hashes, (?1 - first) * 8 + 1, 8))) AS hash \
             FROM hashes WHERE last >= ?1 ORDER BY last LIMIT 1",
            vec![number(at)],
        )?;
        let Some(row) = row else { return Ok(None) };
        let holds = version(&field(&row, "first")?)? <= at;
        if holds { parsed(string(&row, "hash")?).map(Some) } else { Ok(None) }
    }

    /// Returns a part of what is left of the versions after `from` that are folded: up to the first version past
    /// [`FOLD_BYTES`], and at most [`FOLD_ROWS`] changes.
    ///
    /// First where it ends, which the index alone tells, then its text: no work grows with the fold, and no change
    /// crosses into wasm.
    pub(crate) fn fold_part(&self, from: Version, cursor: &FoldCursor) -> worker::Result<FoldPart> {
        let start = number(cursor.version.max(from));
        let place = cursor.place.as_deref().unwrap_or(ABOVE);
        let end = self.first(
            "WITH part AS MATERIALIZED ( \
               SELECT version, place, row_number() OVER part AS n, sum(own + 1) OVER part AS bytes \
               FROM (SELECT version, place, length(text) AS own FROM folded \
                     WHERE (version, place) > (?1, ?2) ORDER BY version, place LIMIT ?3) \
               WINDOW part AS (ORDER BY version, place ROWS UNBOUNDED PRECEDING)), \
             last AS ( \
               SELECT max(n) AS n FROM part \
               WHERE n = 1 OR (bytes <= ?5 \
                 AND version <= coalesce((SELECT min(version) FROM part WHERE bytes > ?4), version))) \
             SELECT version, place, (SELECT version FROM part WHERE n = last.n + 1) AS next, \
               (SELECT count(*) FROM part) AS read \
             FROM part JOIN last USING (n)",
            vec![
                start.clone(),
                place.into(),
                f64::from(FOLD_ROWS).into(),
                f64::from(u32::try_from(FOLD_BYTES).unwrap_or(u32::MAX)).into(),
                f64::from(PAGE_BYTES).into(),
            ],
        )?;
        let Some(end) = end else { return Ok(FoldPart { changes: JsString::from(""), next: None }) };
        let (last, last_place) = (version(&field(&end, "version")?)?, string(&end, "place")?);
        let text = self.first(
            "SELECT group_concat(text, ',' ORDER BY version, place) AS changes FROM folded \
             WHERE (version, place) > (?1, ?2) AND (version, place) <= (?3, ?4)",
            vec![start, place.into(), number(last), last_place.as_str().into()],
        )?;
        let changes = field(&text.ok_or("an aggregate has one row")?, "changes")?.unchecked_into();
        let next = field(&end, "next")?;
        let full = field(&end, "read")?.as_f64() == Some(f64::from(FOLD_ROWS));
        if next.is_null() && !full {
            return Ok(FoldPart { changes, next: None });
        }
        let cut = next.is_null() || version(&next)? == last;
        Ok(FoldPart {
            changes,
            next: Some(FoldCursor { version: last, place: cut.then_some(last_place), part: cursor.part + 1 }),
        })
    }

    /// Puts the oldest rows into a segment: up to the first past `size`, or past a frame if that is less. Returns
    /// how many bytes they have.
    pub(crate) fn seal(&self, size: u64) -> worker::Result<u64> {
        let row = self.first(
            "WITH page AS ( \
               SELECT version, length(text) AS own, sum(length(text) + 1) OVER (ORDER BY version) AS bytes \
               FROM (SELECT * FROM log ORDER BY version LIMIT ?1)) \
             SELECT max(version) AS last, max(bytes) AS bytes FROM page \
             WHERE bytes = own + 1 OR (bytes - own <= ?2 AND bytes <= ?3)",
            vec![
                f64::from(SEGMENT_ROWS).into(),
                integer(size.min(FRAME_BYTES as u64)),
                f64::from(PAGE_BYTES).into(),
            ],
        )?;
        let row = row.ok_or("an aggregate has one row")?;
        let last = field(&row, "last")?;
        if last.is_null() {
            return Ok(0);
        }
        let last = version(&last)?;
        self.sql.exec(
            "INSERT INTO segments (last, first, hash, bytes, rows) \
               SELECT max(version), min(version), (SELECT hash FROM log WHERE version = ?1), \
                 sum(length(text) + 1), group_concat(text, ',' ORDER BY version) \
               FROM log WHERE version <= ?1",
            vec![number(last)],
        )?;
        self.sql.exec(
            "INSERT INTO hashes (last, first, at, hashes) \
               SELECT max(version), min(version), (SELECT json_extract(text, '$.at') FROM log WHERE version = ?1), \
                 unhex(group_concat(hash, '' ORDER BY version)) \
               FROM log WHERE version <= ?1",
            vec![number(last)],
        )?;
        self.sql.exec("DELETE FROM log WHERE version <= ?", vec![number(last)])?;
        Ok(super::whole(&field(&row, "bytes")?))
    }

    /// Folds the oldest segment; returns the position that everything is folded up to, and how many bytes the
    /// segment had.
    pub(crate) fn fold(&self, head: &Position) -> worker::Result<Option<(Position, u64)>> {
        let row = self.first("SELECT last, hash, bytes, rows FROM segments ORDER BY last LIMIT 1", vec![])?;
        let Some(row) = row else { return Ok(None) };
        let versions: Vec<VersionRow> = serde_json::from_str(&format!("[{}]", string(&row, "rows")?))?;
        let mut named: Vec<&Target> =
            versions.iter().flat_map(|row| &row.changes).map(|change| &change.target).collect();
        named.sort();
        named.dedup();
        let places: Vec<String> = named.into_iter().flat_map(places_of).collect();
        let fold = Compaction::of(self.folded_at(&places)?, &versions);
        for cover in fold.superseding.iter().take(MOST_COVERS) {
            self.delete_covered(cover)?;
        }
        self.for_each_list(&places, "DELETE FROM folded WHERE place IN (SELECT value FROM json_each(?))")?;
        let left = fold.survivors.values().flatten();
        let rows: Vec<(String, Version, String)> =
            left.map(|folded| (place(&folded.change), folded.version, folded.to_json())).collect();
        self.for_each_list(
            &rows,
            "INSERT INTO folded (place, version, text) \
               SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') \
               FROM json_each(?)",
        )?;
        let to = Position {
            epoch: head.epoch,
            version: version(&field(&row, "last")?)?,
            hash: parsed(string(&row, "hash")?)?,
        };
        self.sql.exec("DELETE FROM segments WHERE last = ?", vec![number(to.version)])?;
        self.set_meta("folded", &to.to_string())?;
        Ok(Some((to, super::whole(&field(&row, "bytes")?))))
    }

    /// Forgets the positions of the oldest folded segment, and what was folded at or below them.
    pub(crate) fn forget(&self) -> worker::Result<()> {
        let row = self.first("SELECT last FROM hashes ORDER BY last LIMIT 1", vec![])?;
        let Some(row) = row else { return Ok(()) };
        let last = version(&field(&row, "last")?)?;
        self.sql.exec("DELETE FROM hashes WHERE last = ?", vec![number(last)])?;
        self.sql.exec(
            "DELETE FROM folded WHERE place IN (SELECT place FROM folded WHERE version <= ? LIMIT ?)",
            vec![number(last), f64::from(DELETE_AT_ONCE).into()],
        )?;
        Ok(())
    }

    /// Returns what is folded at these places.
    fn folded_at(&self, places: &[String]) -> worker::Result<Vec<FoldedChange>> {
        let mut found = Vec::new();
        for list in lists(places)? {
            let query = "SELECT text FROM folded WHERE place IN (SELECT value FROM json_each(?))";
            for row in self.sql.exec(query, vec![list.into()])? {
                found.push(serde_json::from_str(&string(&row?, "text")?)?);
            }
        }
        Ok(found)
    }

    fn delete_covered(&self, cover: &Superseding) -> worker::Result<()> {
        let kinds = if cover.soft { "s" } else { "hs" };
        let ranges = match &cover.target {
            Target::All => vec![(String::new(), ABOVE.to_owned())],
            Target::Prefix(prefix) => ['k', 'p']
                .map(|kind| (format!("{kind}{prefix}"), format!("{kind}{prefix}{}", ABOVE.repeat(101))))
                .to_vec(),
            Target::Key(_) | Target::Tag(_) => Vec::new(),
        };
        for (low, high) in ranges {
            self.sql.exec(
                "DELETE FROM folded WHERE place IN ( \
                   SELECT place FROM folded WHERE place >= ?1 AND place < ?2 AND version <= ?3 \
                     AND instr(?4, substr(place, -1)) > 0 LIMIT ?5)",
                vec![
                    low.into(),
                    high.into(),
                    number(cover.version),
                    kinds.into(),
                    f64::from(DELETE_AT_ONCE).into(),
                ],
            )?;
        }
        Ok(())
    }

    /// Runs a statement on lists of items, each as one JSON text.
    fn for_each_list<T: serde::Serialize>(&self, items: &[T], statement: &str) -> worker::Result<()> {
        for list in lists(items)? {
            self.sql.exec(statement, vec![list.into()])?;
        }
        Ok(())
    }
}

/// Returns where the row of a version begins. Inside a row a quote within a string is escaped, so the text that
/// begins a row stands nowhere else.
fn beginning(rows: &JsString, version: Version) -> worker::Result<u32> {
    let at = rows.index_of(&format!(r#"{{"version":{version},"#), 0);
    u32::try_from(at).map_err(|_| format!("version {version} is not in its segment").into())
}

/// Returns the JSON of items as arrays of at most so many bytes.
fn lists<T: serde::Serialize>(items: &[T]) -> worker::Result<Vec<String>> {
    let mut lists = Vec::new();
    let mut list = String::new();
    for item in items {
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(&serde_json::to_string(item)?);
        if list.len() > LIST_BYTES {
            lists.push(std::mem::take(&mut list) + "]");
        }
    }
    if !list.is_empty() {
        lists.push(list + "]");
    }
    Ok(lists)
}

/// Returns where a change is folded: its target and its kind.
fn place(change: &Change) -> String {
    let kind = match change.operation {
        Operation::Update => 'h',
        Operation::Soften => 's',
        Operation::Remove => 'r',
    };
    format!("{}{kind}", place_of(&change.target))
}

/// Returns every place that changes of a target may have.
fn places_of(target: &Target) -> impl Iterator<Item = String> {
    let place = place_of(target);
    ['h', 'r', 's'].into_iter().map(move |kind| format!("{place}{kind}"))
}

fn place_of(target: &Target) -> String {
    match target {
        Target::Key(key) => format!("k{key}{END}"),
        Target::Tag(tag) => format!("t{tag}{END}"),
        Target::Prefix(prefix) => format!("p{prefix}{END}"),
        Target::All => format!("a{END}"),
    }
}
