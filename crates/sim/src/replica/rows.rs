//! The rows of a replica: floors by target, their position, and the replies to readers.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::read::floors::{Floor, FloorRow};
use newsreel_core::read::sync::{FloorLookup, LeftOut, SyncResponse};
use newsreel_core::wire::change::Operation;
use newsreel_core::wire::{Position, Target, UnixMillis, Version};

use crate::machine::Stored;

/// How many floors one reply holds, and how many of keys and tags are told at all: few, so that both are
/// seen.
const FLOORS_A_REPLY: usize = 6;
const SNAPSHOT_FLOORS: usize = 12;
/// One write of a replica.
#[derive(Debug, Clone)]
pub(crate) enum ReplicaWrite {
    Apply { floors: Vec<FloorRow>, position: Option<Position> },
    Reset(Position),
    Clear,
    Forget { held: Version, now: UnixMillis, life: Duration },
}

/// The rows of a replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplicaRows {
    pub(crate) floors: BTreeMap<Target, Floor>,
    pub(crate) position: Option<Position>,
    pub(crate) folding: bool,
    pub(crate) mark: Option<(Version, UnixMillis)>,
}

impl Stored for ReplicaRows {
    type Write = ReplicaWrite;

    fn apply(&mut self, write: &ReplicaWrite) {
        match write {
            ReplicaWrite::Apply { floors, position } => {
                floors.iter().for_each(|row| self.raise(row));
                self.folding = position.is_none();
                self.position = position.or(self.position);
            }
            ReplicaWrite::Reset(position) => {
                *self = Self { position: Some(*position), ..Self::default() };
                let all = Floor::of(Operation::Remove, position.version);
                self.floors.insert(Target::All, all);
            }
            ReplicaWrite::Clear => *self = Self::default(),
            ReplicaWrite::Forget { held, now, life } => self.forget(*held, *now, *life),
        }
    }
}

impl ReplicaRows {
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    fn raise(&mut self, row: &FloorRow) {
        self.floors.entry(row.target.clone()).or_default().raise(row.floor);
    }

    pub(crate) fn floor(&self, target: &Target) -> Floor {
        self.floors.get(target).copied().unwrap_or_default()
    }

    fn forget(&mut self, held: Version, now: UnixMillis, life: Duration) {
        let before = now.minus(life);
        if let Some((mark, _)) = self.mark.filter(|(_, at)| *at <= before) {
            let wide = |target: &Target| *target == Target::All;
            let old = self.floors.iter().filter(|(target, floor)| !wide(target) && floor.newest() <= mark);
            if let Some(old) = old.map(|(_, floor)| floor.newest()).max() {
                self.floors.entry(Target::All).or_default().raise(Floor::of(Operation::Remove, old));
            }
            let removed = self.floor(&Target::All).removed;
            self.floors.retain(|target, floor| wide(target) || floor.newest() > removed);
        }
        let spent = self.mark.is_none_or(|(mark, at)| {
            at <= before
                && self.floors.iter().all(|(target, floor)| *target == Target::All || floor.newest() > mark)
        });
        if spent {
            self.mark = Some((held, now));
        }
    }

    /// Returns the reply to a reader that has every floor up to `since`.
    pub(crate) fn reply(
        &self,
        since: Version,
        position: Position,
        look: &FloorLookup,
        proof_age_ms: Option<u64>,
    ) -> SyncResponse {
        let named = |target: &Target| matches!(target, Target::Key(_) | Target::Tag(_));
        let mut newest: Vec<Version> = self
            .floors
            .iter()
            .filter(|(target, floor)| named(target) && floor.newest() > since)
            .map(|(_, floor)| floor.newest())
            .collect();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        let mark = newest.get(SNAPSHOT_FLOORS).copied();
        let told_from = mark.map_or(since, |mark| mark.max(since));
        let mut after: Vec<Version> =
            self.floors.values().map(Floor::newest).filter(|newest| *newest > told_from).collect();
        after.sort_unstable();
        let before = |version: Version| Version::new(version.number() - 1).expect("a version");
        let to = after.get(FLOORS_A_REPLY).map_or(position.version, |past| before(*past).max(told_from));
        let to = to.min(position.version.max(told_from));
        let told = |target: &Target, floor: &Floor| {
            let newest = floor.newest();
            (newest > told_from && newest <= to) || (!named(target) && newest > since && newest <= told_from)
        };
        let floors = self.floors.iter().filter(|(target, floor)| told(target, floor));
        let row = |(target, floor): (&Target, &Floor)| FloorRow { target: target.clone(), floor: *floor };
        let floors: Vec<FloorRow> = floors.map(row).collect();
        let tags = || self.floors.iter().filter(|(target, _)| matches!(target, Target::Tag(_)));
        let left_out = mark.map(|mark| LeftOut {
            to: mark,
            tags_hard: tags().map(|(_, floor)| floor.hard).max().unwrap_or_default(),
            tags_soft: tags().map(|(_, floor)| floor.soft).max().unwrap_or_default(),
        });
        let keys = look.keys.iter().map(|key| Target::Key(key.clone()));
        let wanted = keys.chain(look.tags.iter().map(|tag| Target::Tag(tag.clone())));
        let wanted: Vec<Target> =
            if look.is_empty() { Vec::new() } else { wanted.chain([Target::All]).collect() };
        let looked = wanted.iter().filter_map(|target| self.floors.get_key_value(target)).map(row).collect();
        SyncResponse { traces: Vec::new(), position, from: since, to, proof_age_ms, floors, left_out, looked }
    }
}
