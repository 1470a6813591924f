//! The rows that are in no segment yet, pages of the log, and the hash of each version.

use js_sys::JsString;
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::frame::FRAME_BYTES;
use newsreel_core::wire::{Hash, Position, Version};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use worker::Result;

use super::{PAGE_BYTES, Rows, number};

/// The most rows that one part of a replay is picked from: nearly a frame of the smallest rows (about 60 bytes).
pub(crate) const PAGE_ROWS: u32 = 4_000;

/// A run of versions, ready to be sent.
pub(crate) struct PageRows {
    /// The position after its last version.
    pub(crate) to: Position,
    /// JSON rows separated by commas; a JavaScript string, so that it is sent without crossing into wasm.
    pub(crate) rows: JsString,
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
    /// Appends the row of a version, and counts its bytes as in no segment.
    pub(super) fn append(&self, row: &Row) -> Result<()> {
        let Position { version, hash, .. } = row.position;
        let bindings = vec![number(version), hash.to_string().into(), row.text.as_str().into()];
        self.database.run(include_str!("sql/append.sql"), bindings)?;
        self.active_bytes.set(self.active_bytes.get() + row.text.len() as u64 + 1);
        Ok(())
    }

    /// Returns the versions after `after`: a frame's worth, and at most `limit`. `None` when there are none.
    ///
    /// A segment is a page as it is; of other rows one statement makes it: no row crosses into wasm.
    pub(crate) fn page(&self, head: &Position, after: Version, limit: u32) -> Result<Option<PageRows>> {
        if let Some(page) = self.segment_page(head, after, limit)? {
            return Ok(Some(page));
        }
        let bindings = vec![
            number(after),
            f64::from(limit).into(),
            f64::from(u32::try_from(FRAME_BYTES).unwrap_or(u32::MAX)).into(),
            f64::from(PAGE_BYTES).into(),
        ];
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
