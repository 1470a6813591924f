//! The broker's rows, as its shell keeps them in SQLite: hot rows, segments, the fold, hashes, idempotency
//! keys. Small pages, so that short logs have many.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::follow::hub::{AckRequest, Persisted, Remembered};
use newsreel_core::log::compaction::Compaction;
use newsreel_core::log::maintenance::{REMEMBER_FOR, StorageStats};
use newsreel_core::log::{Log, Row};
use newsreel_core::wire::change::Operation;
use newsreel_core::wire::cursor::FoldCursor;
use newsreel_core::wire::frame::FoldedChange;
use newsreel_core::wire::{Epoch, Hash, Position, Target, UnixMillis, Version, VersionRow};

use crate::machine::Stored;

/// The most rows of a page, and of a segment.
const PAGE_ROWS: usize = 6;
const SEGMENT_ROWS: usize = 9;
/// The most changes of a part of the fold.
const FOLD_ROWS: usize = 7;

/// One write of the broker.
#[derive(Debug, Clone)]
pub(crate) enum BrokerWrite {
    Row(Row),
    Remember { publisher: String, key: String, remembered: Remembered },
    BeginEpoch(Position),
    AckRequest(AckRequest),
    Seal { bytes: u64 },
    Fold,
    Forget { last: u64 },
    ForgetKeys { before: UnixMillis },
}

#[derive(Debug, Clone)]
struct Hot {
    hash: Hash,
    text: Rc<str>,
    at: UnixMillis,
}

#[derive(Debug, Clone)]
struct Segment {
    first: u64,
    rows: Rc<[Hot]>,
}

/// The hashes of a segment, also once it is folded.
#[derive(Debug, Clone)]
struct Block {
    first: u64,
    at: UnixMillis,
    hashes: Rc<[Hash]>,
}

/// The rows of the broker: the log in full, its segments, the fold and the remembered publishes.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    epoch: Epoch,
    log: BTreeMap<u64, Hot>,
    /// The segments by their last version, as are the hashes.
    segments: BTreeMap<u64, Segment>,
    hashes: BTreeMap<u64, Block>,
    /// The compacted changes by version and sort key.
    folded: BTreeMap<(u64, String), FoldedChange>,
    versions: BTreeMap<String, u64>,
    folded_to: Option<Position>,
    ack_requested: Option<AckRequest>,
    keys: BTreeMap<(String, String), Remembered>,
}

/// A run of versions.
pub(crate) struct VersionsPage {
    pub(crate) to: Position,
    pub(crate) rows: String,
}

impl Rows {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            log: BTreeMap::new(),
            segments: BTreeMap::new(),
            hashes: BTreeMap::new(),
            folded: BTreeMap::new(),
            versions: BTreeMap::new(),
            folded_to: None,
            ack_requested: None,
            keys: BTreeMap::new(),
        }
    }

    pub(crate) fn head(&self) -> Position {
        let position = |number: u64, hash: Hash| Position {
            epoch: self.epoch,
            version: Version::new(number).expect("a version"),
            hash,
        };
        if let Some((number, hot)) = self.log.last_key_value() {
            return position(*number, hot.hash);
        }
        if let Some((number, segment)) = self.segments.last_key_value() {
            return position(*number, segment.rows.last().expect("a segment has rows").hash);
        }
        self.folded_to.unwrap_or_else(|| Position::genesis(self.epoch))
    }

    pub(crate) fn persisted(&self) -> Persisted {
        let folded = self.folded_to.unwrap_or_else(|| Position::genesis(self.epoch));
        Persisted { log: Log::new(self.head(), folded), last_ack_request: self.ack_requested }
    }

    pub(crate) fn remembered(&self, publisher: &str, key: &str, now: UnixMillis) -> Option<Remembered> {
        let remembered = self.keys.get(&(publisher.to_owned(), key.to_owned()))?;
        (remembered.at >= now.minus(REMEMBER_FOR)).then(|| remembered.clone())
    }

    pub(crate) fn stock(&self) -> StorageStats {
        let folded = self.folded_to.map_or(0, |folded| folded.version.number());
        let oldest = self.hashes.first_key_value().filter(|(last, _)| **last <= folded);
        StorageStats {
            active_bytes: self.log.values().map(|hot| hot.text.len() as u64 + 1).sum(),
            sealed_bytes: self.segments.values().map(|segment| bytes_of(&segment.rows)).sum(),
            // Folding is never put off: here it is to meet publishes.
            appended_at: None,
            oldest_folded: oldest.map(|(_, block)| block.at),
            oldest_key: self.keys.values().map(|remembered| remembered.at).min(),
        }
    }

    /// Returns the last version that the next forgetting would forget.
    pub(crate) fn oldest_block(&self) -> Option<u64> {
        self.hashes.first_key_value().map(|(last, _)| *last)
    }

    pub(crate) fn hash_at(&self, log: &Log, at: Version) -> Option<Hash> {
        if at == log.folded().version {
            return Some(log.folded().hash);
        }
        if at == log.head().version {
            return Some(log.head().hash);
        }
        if at == Version::ZERO {
            let whole = self.hashes.first_key_value().is_some_and(|(_, block)| block.first == 1);
            return whole.then(|| Hash::genesis(&self.epoch));
        }
        let number = at.number();
        if let Some(hot) = self.log.get(&number) {
            return Some(hot.hash);
        }
        let (_, block) = self.hashes.range(number..).next()?;
        let index = usize::try_from(number.checked_sub(block.first)?).ok()?;
        block.hashes.get(index).copied()
    }

    /// Returns the versions after `after`: the rest of a segment, or some hot rows.
    pub(crate) fn page(&self, after: Version) -> Option<VersionsPage> {
        let next = after.number() + 1;
        let rows: Vec<(u64, &Hot)> = match self.segments.range(next..).next() {
            Some((_, segment)) => {
                (segment.first..).zip(segment.rows.iter()).skip_while(|(number, _)| *number < next).collect()
            }
            None => self.log.range(next..).take(PAGE_ROWS).map(|(number, hot)| (*number, hot)).collect(),
        };
        let (first, (last, hot)) = (rows.first()?.0, rows.last()?);
        assert_eq!(first, next, "versions are missing after {after}");
        let to = Position { epoch: self.epoch, version: Version::new(*last)?, hash: hot.hash };
        let texts: Vec<&str> = rows.iter().map(|(_, hot)| &*hot.text).collect();
        Some(VersionsPage { to, rows: texts.join(",") })
    }

    /// Returns a part of the fold of the versions after `from`, and the cursor of the next part.
    pub(crate) fn fold_part(&self, from: Version, cursor: &FoldCursor) -> (String, Option<FoldCursor>) {
        let start = cursor.version.max(from).number();
        let sort_key = cursor.sort_key.clone().unwrap_or_else(|| "\u{10ffff}".to_owned());
        let after = (std::ops::Bound::Excluded((start, sort_key)), std::ops::Bound::Unbounded);
        let mut rest = self.folded.range(after);
        let part: Vec<_> = rest.by_ref().take(FOLD_ROWS).collect();
        let texts: Vec<String> = part.iter().map(|(_, change)| change.to_json()).collect();
        let next = rest.next().zip(part.last()).map(|(((next, _), _), ((last, sort_key), _))| FoldCursor {
            version: Version::new(*last).expect("a version"),
            sort_key: (next == last).then(|| sort_key.clone()),
            part: cursor.part + 1,
        });
        (texts.join(","), next)
    }

    fn seal(&mut self, bytes: u64) {
        let (mut last, mut sum) = (None, 0);
        for (number, hot) in self.log.iter().take(SEGMENT_ROWS) {
            last = Some(*number);
            sum += hot.text.len() as u64 + 1;
            if sum >= bytes {
                break;
            }
        }
        let Some(last) = last else { return };
        let rest = self.log.split_off(&(last + 1));
        let sealed = std::mem::replace(&mut self.log, rest);
        let first = *sealed.first_key_value().expect("there is a last one").0;
        let rows: Rc<[Hot]> = sealed.into_values().collect();
        let at = rows.last().expect("there is a last one").at;
        let hashes = rows.iter().map(|hot| hot.hash).collect();
        self.hashes.insert(last, Block { first, at, hashes });
        self.segments.insert(last, Segment { first, rows });
    }

    fn fold(&mut self) {
        let Some((last, segment)) = self.segments.pop_first() else { return };
        let rows: Vec<VersionRow> =
            segment.rows.iter().map(|hot| serde_json::from_str(&hot.text).expect("a row is JSON")).collect();
        let sort_keys: Vec<String> = rows
            .iter()
            .flat_map(|row| &row.changes)
            .flat_map(|change| ['h', 'r', 's'].map(|kind| format!("{}{kind}", sort_key_of(&change.target))))
            .collect();
        let mut before = Vec::new();
        for sort_key in &sort_keys {
            if let Some(version) = self.versions.remove(sort_key) {
                before.extend(self.folded.remove(&(version, sort_key.clone())));
            }
        }
        let fold = Compaction::of(before, rows);
        for cover in &fold.superseding {
            let covered = |(version, _): &(u64, String), folded: &FoldedChange| {
                let of_kind = match folded.change.operation {
                    Operation::Update => !cover.soft,
                    Operation::Soften => true,
                    Operation::Remove => false,
                };
                of_kind && *version <= cover.version.number() && cover.reaches(&folded.change.target)
            };
            self.folded.retain(|at, folded| !covered(at, folded));
        }
        for folded in fold.survivors.into_values().flatten() {
            let kind = match folded.change.operation {
                Operation::Update => 'h',
                Operation::Soften => 's',
                Operation::Remove => 'r',
            };
            let sort_key = format!("{}{kind}", sort_key_of(&folded.change.target));
            self.folded.insert((folded.version.number(), sort_key), folded);
        }
        self.versions = self.folded.keys().map(|(version, sort_key)| (sort_key.clone(), *version)).collect();
        let hash = segment.rows.last().expect("a segment has rows").hash;
        self.folded_to =
            Some(Position { epoch: self.epoch, version: Version::new(last).expect("a version"), hash });
    }

    fn forget(&mut self) {
        let Some((last, _)) = self.hashes.pop_first() else { return };
        self.folded.retain(|(version, _), _| *version > last);
        self.versions.retain(|_, version| *version > last);
    }
}

impl Stored for Rows {
    type Write = BrokerWrite;

    fn apply(&mut self, write: &BrokerWrite) {
        match write {
            BrokerWrite::Row(row) => {
                let version: VersionRow = serde_json::from_str(&row.text).expect("a row is JSON");
                let hot = Hot { hash: row.position.hash, text: row.text.as_str().into(), at: version.at };
                self.log.insert(row.position.version.number(), hot);
            }
            BrokerWrite::Remember { publisher, key, remembered } => {
                self.keys.insert((publisher.clone(), key.clone()), remembered.clone());
            }
            BrokerWrite::BeginEpoch(head) => {
                let keys = std::mem::take(&mut self.keys);
                *self = Self { keys, ..Self::new(head.epoch) };
            }
            BrokerWrite::AckRequest(ack_requested) => self.ack_requested = Some(*ack_requested),
            BrokerWrite::Seal { bytes } => self.seal(*bytes),
            BrokerWrite::Fold => self.fold(),
            BrokerWrite::Forget { .. } => self.forget(),
            BrokerWrite::ForgetKeys { before } => self.keys.retain(|_, remembered| remembered.at > *before),
        }
    }
}

impl Rows {
    pub(crate) fn folded_to(&self) -> Option<Position> {
        self.folded_to
    }
}

fn bytes_of(rows: &[Hot]) -> u64 {
    rows.iter().map(|hot| hot.text.len() as u64 + 1).sum()
}

fn sort_key_of(target: &Target) -> String {
    match target {
        Target::Key(key) => format!("k{key}\u{1}"),
        Target::Tag(tag) => format!("t{tag}\u{1}"),
        Target::Prefix(prefix) => format!("p{prefix}\u{1}"),
        Target::All => "a\u{1}".to_owned(),
    }
}
