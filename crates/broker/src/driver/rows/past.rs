//! The past of the log: segments of sealed rows, the fold, and the hashes of both.
//!
//! Rows move one way: rows in no segment → a segment, one row that holds a ready-made page → the fold, one row per target
//! and kind → nothing. The 8 hash bytes of every version stay until they are forgotten, so that any position can
//! be checked. Each move is one transaction.

use std::collections::BTreeSet;

use js_sys::JsString;
use newsreel_core::log::compaction::{Compaction, Superseding};
use newsreel_core::wire::change::{Change, Operation, Target};
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::frame::{FOLD_BYTES, FRAME_BYTES, FoldedChange};
use newsreel_core::wire::{Hash, Position, Version, VersionRow};
use newsreel_sqlite_rows::integer;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use worker::Result;

use super::log::PageRows;
use super::{FOLDED, PAGE_BYTES, Rows, number, parsed};

/// The most rows that one segment is sealed from: 256 KiB of the smallest rows (58 bytes).
const SEGMENT_ROWS: u32 = 5_000;
/// The most changes that one part of a fold has: finding where it ends takes half a microsecond for each.
const FOLD_ROWS: u32 = 4_000;
/// How many superseded or forgotten changes one statement deletes. A change that is left over is still true.
const DELETE_AT_ONCE: u32 = 20_000;
/// How many wide changes of a segment are compared with older changes in one step, at two statements each.
const MOST_COVERS: usize = 1_000;
/// The length past which a list that is handed to SQLite as one JSON text is continued in another text.
const LIST_BYTES: usize = 512 << 10;
/// The character that ends the name in a sort key. No name holds it.
const END: char = '\u{1}';
/// A suffix that sorts above every longer name with the same beginning: a key has at most 400 bytes.
const ABOVE: &str = "\u{10ffff}";

/// A part of the fold, ready to be sent.
pub(crate) struct FoldPart {
    /// JSON changes separated by commas.
    pub(crate) changes: JsString,
    /// Where the fold goes on; `None` after its last part.
    pub(crate) next: Option<FoldCursor>,
}

/// A segment, its rows as one JavaScript string.
#[derive(Deserialize)]
struct SegmentRow {
    first: Version,
    last: Version,
    hash: Hash,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    rows: JsValue,
}

/// The hash of a version, if the block that begins at `first` holds that version.
#[derive(Deserialize)]
struct BlockRow {
    first: Version,
    hash: String,
}

/// The next changes of the fold: their versions and the lengths of their texts, as JSON arrays.
#[derive(Deserialize)]
struct FoldLengths {
    versions: String,
    lengths: String,
}

/// The changes of a part of the fold, and the sort key of the last.
#[derive(Deserialize)]
struct PartRow {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    changes: JsValue,
    #[serde(rename = "place")]
    sort_key: Option<String>,
}

/// A segment, to be compacted.
#[derive(Deserialize)]
struct OldestSegment {
    last: Version,
    hash: Hash,
    bytes: u64,
    rows: String,
}

#[derive(Deserialize)]
struct TextRow {
    text: String,
}

impl Rows {
    /// Returns the rows after `after` in the segment that holds the next version: at most `limit` versions.
    /// `None` when no segment holds it.
    pub(super) fn segment_page(
        &self,
        head: &Position,
        after: Version,
        limit: u32,
    ) -> Result<Option<PageRows>> {
        let row = self.database.first(include_str!("sql/segment_after.sql"), vec![number(after)])?;
        let Some(SegmentRow { first, last, hash, rows }) = row else { return Ok(None) };
        if after.next() < first {
            return Err(format!("versions are missing after {after}").into());
        }
        let mut rows: JsString = rows.unchecked_into();
        if after >= first {
            rows = rows.slice(beginning(&rows, after.next())?, rows.length());
        }
        let end = Version::new(after.number() + u64::from(limit)).unwrap_or(Version::MAX);
        if end >= last {
            return Ok(Some(PageRows { to: Position { epoch: head.epoch, version: last, hash }, rows }));
        }
        // The comma before the first row that is left out goes too.
        let rows = rows.slice(0, beginning(&rows, end.next())?.saturating_sub(1));
        let hash = self.hash_in_block(end)?.ok_or("a sealed version has no hash")?;
        Ok(Some(PageRows { to: Position { epoch: head.epoch, version: end, hash }, rows }))
    }

    /// Returns the hash of a sealed or compacted version that is not forgotten.
    pub(super) fn hash_in_block(&self, at: Version) -> Result<Option<Hash>> {
        let row: Option<BlockRow> =
            self.database.first(include_str!("sql/hash_in_block.sql"), vec![number(at)])?;
        row.filter(|row| row.first <= at).map(|row| parsed(row.hash)).transpose()
    }

    /// Returns a part of the fold after `from`, from `cursor` on: up to the first version past
    /// [`FOLD_BYTES`], and at most [`FOLD_ROWS`] changes.
    ///
    /// The end of the part is found first, by the index alone, then its text is read: no work grows with the
    /// fold, and no change crosses into wasm.
    pub(crate) fn fold_part(&self, from: Version, cursor: &FoldCursor) -> Result<FoldPart> {
        let start = number(cursor.version.max(from));
        let sort_key = cursor.sort_key.as_deref().unwrap_or(ABOVE);
        let bindings = vec![start.clone(), sort_key.into(), f64::from(FOLD_ROWS).into()];
        let read: Option<FoldLengths> =
            self.database.first(include_str!("sql/fold_lengths.sql"), bindings)?;
        let FoldLengths { versions, lengths } = read.ok_or("an aggregate has one row")?;
        let versions: Vec<Version> = serde_json::from_str(&versions)?;
        let rows = part_rows(&versions, &serde_json::from_str::<Vec<u64>>(&lengths)?);
        let (ended, rest) = versions.split_at(rows);
        let Some(&to) = ended.last() else {
            return Ok(FoldPart { changes: JsString::from(""), next: None });
        };
        let bindings = vec![start, sort_key.into(), integer(rows as u64), number(to)];
        let part: Option<PartRow> = self.database.first(include_str!("sql/fold_part.sql"), bindings)?;
        let PartRow { changes, sort_key } = part.ok_or("an aggregate has one row")?;
        let changes = changes.unchecked_into();
        if rest.is_empty() && versions.len() < FOLD_ROWS as usize {
            return Ok(FoldPart { changes, next: None });
        }
        let is_cut = rest.first().is_none_or(|next| *next == to);
        let sort_key = sort_key.filter(|_| is_cut);
        Ok(FoldPart { changes, next: Some(FoldCursor { version: to, sort_key, part: cursor.part + 1 }) })
    }

    /// Puts the oldest rows into a segment: up to the first past `size`, or past a frame if that is less.
    pub(crate) fn seal_oldest(&self, size: u64) -> Result<()> {
        let mut bytes = 0;
        self.database.transaction(|| {
            bytes = self.seal(size)?;
            Ok(())
        })?;
        self.active_bytes.set(self.active_bytes.get().saturating_sub(bytes));
        self.sealed_bytes.set(self.sealed_bytes.get() + bytes);
        Ok(())
    }

    /// Seals rows; returns how many bytes they have.
    fn seal(&self, size: u64) -> Result<u64> {
        let end = self.page_end(Version::ZERO, SEGMENT_ROWS, size.min(FRAME_BYTES as u64))?;
        let Some(first) = end.first else { return Ok(0) };
        let last = integer(first.number() + u64::from(end.rows) - 1);
        for statement in [
            include_str!("sql/seal_rows.sql"),
            include_str!("sql/seal_hashes.sql"),
            include_str!("sql/delete_sealed.sql"),
        ] {
            self.database.run(statement, vec![last.clone()])?;
        }
        Ok(end.bytes)
    }

    /// Compacts the oldest segment; returns the position that everything is compacted up to.
    pub(crate) fn fold_oldest(&self, head: &Position) -> Result<Option<Position>> {
        let mut folded = None;
        self.database.transaction(|| {
            folded = self.fold(head)?;
            Ok(())
        })?;
        Ok(folded.map(|(to, bytes)| {
            self.sealed_bytes.set(self.sealed_bytes.get().saturating_sub(bytes));
            to
        }))
    }

    /// Compacts; returns the position that everything is compacted up to, and how many bytes the segment had.
    fn fold(&self, head: &Position) -> Result<Option<(Position, u64)>> {
        let segment: Option<OldestSegment> =
            self.database.first(include_str!("sql/oldest_segment.sql"), vec![])?;
        let Some(OldestSegment { last, hash, bytes, rows }) = segment else { return Ok(None) };
        let versions: Vec<VersionRow> = serde_json::from_str(&format!("[{rows}]"))?;
        let named = versions.iter().flat_map(|row| &row.changes).map(|change| &change.target);
        let sort_keys: Vec<String> =
            named.collect::<BTreeSet<_>>().into_iter().flat_map(sort_keys_of).collect();
        let before = self.folded_at(&sort_keys)?;
        let mut gone: BTreeSet<String> = before.iter().map(|folded| sort_key(&folded.change)).collect();
        let compaction = Compaction::of(before, versions);
        for cover in compaction.superseding.iter().take(MOST_COVERS) {
            self.delete_covered(cover)?;
        }
        let left = compaction.survivors.values().flatten();
        let rows: Vec<(String, Version, String)> =
            left.map(|folded| (sort_key(&folded.change), folded.version, folded.to_json())).collect();
        for (sort_key, ..) in &rows {
            gone.remove(sort_key);
        }
        // Most targets of a segment are new to the fold, or replaced in it.
        self.for_each_list(&gone.into_iter().collect::<Vec<_>>(), include_str!("sql/delete_places.sql"))?;
        self.for_each_list(&rows, include_str!("sql/insert_folded.sql"))?;
        let to = Position { epoch: head.epoch, version: last, hash };
        self.database.run(include_str!("sql/delete_segment.sql"), vec![number(last)])?;
        self.database.set_meta(FOLDED, &to.to_string())?;
        Ok(Some((to, bytes)))
    }

    /// Forgets the positions of the oldest compacted segment, and the changes of the fold at or below them.
    pub(crate) fn forget(&self) -> Result<()> {
        self.database.transaction(|| {
            let Some(oldest) = self.oldest_hashes()? else { return Ok(()) };
            self.database.run(include_str!("sql/delete_hashes.sql"), vec![number(oldest.last)])?;
            let bindings = vec![number(oldest.last), f64::from(DELETE_AT_ONCE).into()];
            self.database.run(include_str!("sql/forget_folded.sql"), bindings)
        })
    }

    /// Returns the changes of the fold that have these sort keys.
    fn folded_at(&self, sort_keys: &[String]) -> Result<Vec<FoldedChange>> {
        let mut found = Vec::new();
        for list in lists(sort_keys)? {
            let rows: Vec<TextRow> =
                self.database.rows(include_str!("sql/folded_at.sql"), vec![list.into()])?;
            for row in rows {
                found.push(serde_json::from_str(&row.text)?);
            }
        }
        Ok(found)
    }

    fn delete_covered(&self, cover: &Superseding) -> Result<()> {
        let kinds = if cover.soft { "s" } else { "hs" };
        let ranges = match &cover.target {
            Target::All => vec![(String::new(), ABOVE.to_owned())],
            Target::Prefix(prefix) => ['k', 'p']
                .map(|kind| (format!("{kind}{prefix}"), format!("{kind}{prefix}{}", ABOVE.repeat(101))))
                .to_vec(),
            Target::Key(_) | Target::Tag(_) => Vec::new(),
        };
        for (low, high) in ranges {
            let bindings = vec![
                low.into(),
                high.into(),
                number(cover.version),
                kinds.into(),
                f64::from(DELETE_AT_ONCE).into(),
            ];
            self.database.run(include_str!("sql/delete_covered.sql"), bindings)?;
        }
        Ok(())
    }

    /// Runs a statement on lists of items, each as one JSON text.
    fn for_each_list<T: serde::Serialize>(&self, items: &[T], statement: &str) -> Result<()> {
        for list in lists(items)? {
            self.database.run(statement, vec![list.into()])?;
        }
        Ok(())
    }
}

/// Returns how many of the next changes of the fold a part has: all up to the end of the first version past
/// [`FOLD_BYTES`], but no more than SQLite's longest string holds.
fn part_rows(versions: &[Version], lengths: &[u64]) -> usize {
    let (mut bytes, mut full_at) = (0, None);
    let is_part = |(nth, (version, length)): &(usize, (&Version, &u64))| {
        bytes += **length + 1;
        let fits = full_at.is_none_or(|full| **version <= full) && bytes <= u64::from(PAGE_BYTES);
        if bytes > FOLD_BYTES as u64 {
            full_at = full_at.or(Some(**version));
        }
        *nth == 0 || fits
    };
    versions.iter().zip(lengths).enumerate().take_while(is_part).count()
}

/// Returns where the row of a version begins. Inside a row a quote within a string is escaped, so the text that
/// begins a row stands nowhere else.
fn beginning(rows: &JsString, version: Version) -> Result<u32> {
    let at = rows.index_of(&format!(r#"{{"version":{version},"#), 0);
    u32::try_from(at).map_err(|_| format!("version {version} is not in its segment").into())
}

/// Returns the items as JSON arrays, each of which ends with the item that passes [`LIST_BYTES`].
fn lists<T: serde::Serialize>(items: &[T]) -> Result<Vec<String>> {
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

/// Returns the sort key of a change in the fold: its target and its kind.
fn sort_key(change: &Change) -> String {
    let kind = match change.operation {
        Operation::Update => 'h',
        Operation::Soften => 's',
        Operation::Remove => 'r',
    };
    format!("{}{kind}", sort_key_of_target(&change.target))
}

/// Returns every sort key that changes of a target may have.
fn sort_keys_of(target: &Target) -> impl Iterator<Item = String> {
    let sort_key = sort_key_of_target(target);
    ['h', 'r', 's'].into_iter().map(move |kind| format!("{sort_key}{kind}"))
}

fn sort_key_of_target(target: &Target) -> String {
    match target {
        Target::Key(key) => format!("k{key}{END}"),
        Target::Tag(tag) => format!("t{tag}{END}"),
        Target::Prefix(prefix) => format!("p{prefix}{END}"),
        Target::All => format!("a{END}"),
    }
}
