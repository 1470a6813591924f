//! The rows that are in no segment yet, pages of the log, and the hash of each version.

use js_sys::JsString;
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::frame::FRAME_BYTES;
use newsreel_core::wire::{Hash, Position, Version};
use newsreel_gate::now;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use worker::Result;

use super::{PAGE_BYTES, Rows, number};

/// The most rows that one part of a replay is picked from: nearly a frame of the smallest rows (about 60 bytes).
pub(crate) const PAGE_ROWS: u32 = 4_000;

/// Statements that append so many rows at once, the most first; one is as much work as appending two rows by
/// themselves. A statement binds at most 100 values.
const APPENDS: &[(usize, &str)] = &[
    (32, include_str!("sql/append_32.sql")),
    (8, include_str!("sql/append_8.sql")),
    (1, include_str!("sql/append.sql")),
];

/// A run of versions, ready to be sent.
pub(crate) struct PageRows {
    /// The position after its last version.
    pub(crate) to: Position,
    /// JSON rows separated by commas; a JavaScript string, so that it is sent without crossing into wasm.
    pub(crate) rows: JsString,
}

/// How many lengths of rows one statement reads to find where a page ends: a page of usual rows, of 250 bytes.
const LENGTHS_AT_ONCE: u32 = 1_000;

/// The first rows after a version that one page has.
pub(super) struct PageEnd {
    /// The first version of the page; `None` where there are no rows.
    pub(super) first: Option<Version>,
    pub(super) rows: u32,
    /// Bytes of the rows, a separator counted for each.
    pub(super) bytes: u64,
}

/// The lengths of rows in no segment, as a JSON array; `first` is NULL where there are none.
#[derive(Deserialize)]
struct LengthsRow {
    first: Option<Version>,
    lengths: String,
}

/// A page that one statement makes of rows in no segment; its columns are NULL where there are none.
#[derive(Deserialize)]
struct ActivePage {
    version: Option<Version>,
    hash: Option<Hash>,
    n: u64,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    rows: JsValue,
}

#[derive(Deserialize)]
struct HashRow {
    hash: Hash,
}

/// The oldest versions whose hashes are kept.
#[derive(Deserialize)]
pub(super) struct OldestHashes {
    pub(super) first: Version,
    pub(super) last: Version,
}

impl Rows {
    /// Appends the rows of versions, and counts their bytes as in no segment.
    pub(super) fn append(&self, rows: &[&Row]) -> Result<()> {
        let mut left = rows;
        for (count, statement) in APPENDS {
            while let Some((some, rest)) = left.split_at_checked(*count) {
                let bindings =
                    some.iter().flat_map(|Row { position: Position { version, hash, .. }, text }| {
                        [number(*version), hash.to_string().into(), text.as_str().into()]
                    });
                self.database.run(statement, bindings.collect())?;
                left = rest;
            }
        }
        let bytes: usize = rows.iter().map(|row| row.text.len() + 1).sum();
        self.active_bytes.set(self.active_bytes.get() + bytes as u64);
        self.appended_bytes.set(self.appended_bytes.get() + bytes as u64);
        if !rows.is_empty() {
            self.appended_at.set(Some(now()));
        }
        Ok(())
    }

    /// Returns the versions after `after`: a frame's worth, and at most `limit`. `None` when there are none.
    ///
    /// A segment is a page as it is; of other rows one statement makes it, once their lengths have said how many there are
    /// in it: no row crosses into wasm.
    pub(crate) fn page(&self, head: &Position, after: Version, limit: u32) -> Result<Option<PageRows>> {
        if let Some(page) = self.segment_page(head, after, limit)? {
            return Ok(Some(page));
        }
        // The rows outside of segments are seldom more than a frame, and then no length has to be read.
        let limit = match self.active_bytes.get() <= FRAME_BYTES as u64 {
            true => limit,
            false => self.page_end(after, limit, FRAME_BYTES as u64)?.rows,
        };
        let bindings = vec![number(after), f64::from(limit).into()];
        let page: Option<ActivePage> = self.database.first(include_str!("sql/active_page.sql"), bindings)?;
        let Some(ActivePage { version: Some(version), hash: Some(hash), n, rows }) = page else {
            return Ok(None);
        };
        if after.number() + n != version.number() {
            return Err(format!("versions are missing after {after}").into());
        }
        let to = Position { epoch: head.epoch, version, hash };
        Ok(Some(PageRows { to, rows: rows.unchecked_into() }))
    }

    /// Finds the end of a page of rows in no segment: after the first row past `size`, after `limit` rows, or before a row
    /// that would make the page longer than SQLite's longest string.
    pub(super) fn page_end(&self, after: Version, limit: u32, size: u64) -> Result<PageEnd> {
        let mut end = PageEnd { first: None, rows: 0, bytes: 0 };
        while end.rows < limit {
            let most = LENGTHS_AT_ONCE.min(limit - end.rows);
            let bindings = vec![number(after), f64::from(most).into(), f64::from(end.rows).into()];
            let read: Option<LengthsRow> =
                self.database.first(include_str!("sql/active_lengths.sql"), bindings)?;
            let LengthsRow { first, lengths } = read.ok_or("an aggregate has one row")?;
            end.first = end.first.or(first);
            let lengths: Vec<u64> = serde_json::from_str(&lengths)?;
            for length in &lengths {
                let bytes = end.bytes + length + 1;
                if end.rows > 0 && (end.bytes >= size || bytes > u64::from(PAGE_BYTES)) {
                    return Ok(end);
                }
                (end.rows, end.bytes) = (end.rows + 1, bytes);
            }
            if lengths.len() < most as usize {
                break;
            }
        }
        Ok(end)
    }

    /// Returns the log's hash at a version; none where it is not known, or not any more.
    pub(crate) fn hash_at(&self, log: &Log, at: Version) -> Result<Option<Hash>> {
        if at == log.folded().version {
            return Ok(Some(log.folded().hash));
        }
        if at == log.head().version {
            return Ok(Some(log.head().hash));
        }
        if at == Version::ZERO {
            // A follower can resume from the beginning as long as no version after it is forgotten.
            let whole = self.oldest_hashes()?.is_some_and(|oldest| oldest.first == Version::ZERO.next());
            return Ok(whole.then(|| Hash::genesis(&log.head().epoch)));
        }
        let hot: Option<HashRow> =
            self.database.first(include_str!("sql/active_hash.sql"), vec![number(at)])?;
        hot.map_or_else(|| self.hash_in_block(at), |row| Ok(Some(row.hash)))
    }

    pub(super) fn oldest_hashes(&self) -> Result<Option<OldestHashes>> {
        self.database.first(include_str!("sql/oldest_hashes.sql"), vec![])
    }
}
