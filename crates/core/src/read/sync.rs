//! How a reader learns floors from its replica, and what that proves about its lag.
//!
//! A reply tells every floor raised in `(from, to]`. It applies only where it leaves no hole, floors and
//! position never go down, and the proof in it is counted from when the reader *sent* its question: clocks of
//! two machines are never compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::read::floors::{Floor, FloorKind, FloorRow, Floors};
use crate::read::traces::TracedVersion;
use crate::wire::change::Target;
use crate::wire::name::{Key, Tag};
use crate::wire::position::{Epoch, Position, UnixMillis, Version};

/// How many floors of keys and tags a replica tells at once; the older ones it leaves out.
pub const SNAPSHOT_FLOORS: u32 = 100_000;
/// How many floors a reader holds. Past it the oldest are dropped until a snapshot's worth is left: about 100 bytes
/// each in memory, of an isolate's 128 MB.
pub const MAX_FLOORS: usize = 150_000;

/// The question of a reader to its replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The epoch of the log that the reader's floors are of; `None` before the first reply.
    pub epoch: Option<Epoch>,
    /// The reader holds every floor raised up to this version.
    pub since: Version,
    /// How old the replica's proof may be, in milliseconds; 0 asks for one that begins after the question.
    pub max_age_ms: u64,
    /// The version that the replica should have heard before it answers.
    pub at_least: Option<MinVersion>,
    /// The targets that the replica looks up beside the floors since then, however old their floors are.
    #[serde(default, skip_serializing_if = "FloorLookup::is_empty")]
    pub look: FloorLookup,
}

/// Targets to look up, because the reader does not remember their floors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FloorLookup {
    /// The keys to look up. A key may stand here more than once.
    pub keys: Vec<Key>,
    /// The tags to look up. A tag may stand here more than once.
    pub tags: Vec<Tag>,
}

impl FloorLookup {
    /// Says whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty()
    }

    /// Adds the targets of another question.
    pub fn join(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.tags.extend(other.tags);
    }
}

/// A version that the reader must have heard: `<epoch>:<version>`. A newer epoch satisfies an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MinVersion {
    /// The epoch of the log in which the version was made.
    pub epoch: Epoch,
    /// The lowest version of this epoch that satisfies the caller.
    pub version: Version,
}

impl MinVersion {
    /// Says whether a reader that holds `position` has heard this version.
    #[must_use]
    pub fn is_met_by(&self, position: &Position) -> bool {
        (position.epoch, position.version) >= (self.epoch, self.version)
    }
}

impl std::str::FromStr for MinVersion {
    type Err = crate::wire::position::PositionError;
    /// Reads `<epoch>:<version>`; a whole position is taken too.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().splitn(3, ':');
        let mut part = || parts.next().ok_or(crate::wire::position::PositionError::Shape);
        Ok(Self { epoch: part()?.parse()?, version: part()?.parse()? })
    }
}

/// The replica's reply to a question. `Floors` is JSON text from the replica's rows where a reply is written,
/// and parsed rows where a reader takes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncResponse<Floors = Vec<FloorRow>> {
    /// The position that the replica has applied.
    pub position: Position,
    /// The floors are those raised after this version.
    pub from: Version,
    /// The floors are those raised up to this version. Below the position's version, more floors are to be
    /// asked for.
    pub to: Version,
    /// How long ago the ping was sent that proved the position; absent while the replica is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_age_ms: Option<u64>,
    /// The part of `(from, to]` that is missing among the floors; absent when no part is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// The floors that were looked up, as they are at the position. A target that is missing here has no floor.
    #[serde(default)]
    pub looked: Floors,
    /// The traces of versions in `(from, to]`, as far as the replica remembers any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<TracedVersion>,
    /// The floors raised in `(from, to]`, one a target.
    pub floors: Floors,
}

/// The part of a snapshot that is too old to be worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Floors of keys and tags raised up to here are not told.
    pub to: Version,
    /// The highest hard floor of any tag.
    pub tags_hard: Version,
    /// The highest soft floor of any tag.
    pub tags_soft: Version,
}

/// The outcome of applying a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The reader knows all that its replica knew.
    Whole,
    /// Ask again: more floors follow.
    Part,
    /// The reply would leave a hole or is of an older log, so nothing changed.
    Ignored,
}

/// Ties a replica's clock to a reader's question, so that later, unasked messages of the replica can be
/// dated.
///
/// The replica answered after the question was sent, so a moment `d` after its answer is at least `d` after
/// the question. Only the replica's clock is subtracted from itself; the two clocks are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// When the question was sent, by the reader's clock.
    pub sent_at: UnixMillis,
    /// When the question was answered, by the replica's clock.
    pub answered_at: UnixMillis,
}

impl Anchor {
    /// Returns when, at the earliest and by the reader's clock, the replica said something at `said_at` by its own, that
    /// was heard at `heard_at`. `None` if that would be after it was heard: the replica's clock was set forward, and
    /// the two are tied no more.
    #[must_use]
    pub fn dated(&self, said_at: UnixMillis, heard_at: UnixMillis) -> Option<UnixMillis> {
        let dated = self.sent_at.plus(said_at.since(self.answered_at));
        (dated <= heard_at).then_some(dated)
    }
}

/// A reader's knowledge of a catalog: its floors, its position, and when the position was last proved the
/// newest.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    epoch: Option<Epoch>,
    /// Every floor up to here is held.
    complete: Version,
    position: Option<Position>,
    floors: Floors,
    proved_at: Option<UnixMillis>,
}

impl Knowledge {
    /// Returns the question that brings this knowledge up to date.
    #[must_use]
    pub fn ask(&self, max_age: Duration, at_least: Option<MinVersion>, look: FloorLookup) -> SyncRequest {
        let max_age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        SyncRequest { epoch: self.epoch, since: self.complete, max_age_ms, at_least, look }
    }

    /// Takes the reply to a question with `look` that was sent at `sent_at`, by this reader's clock.
    pub fn learn(&mut self, sent_at: UnixMillis, look: &FloorLookup, mut reply: SyncResponse) -> Applied {
        let looked = std::mem::take(&mut reply.looked);
        let at = reply.position;
        let applied = self.apply(sent_at, reply);
        // The looked-up floors are right up to the reply's position. Floors raised above the watermark are
        // held here already.
        if self.epoch == Some(at.epoch) && at.version >= self.floors.watermark() {
            let none = Floor::default();
            let keys = look.keys.iter().map(|key| Target::Key(key.clone()));
            let tags = look.tags.iter().map(|tag| Target::Tag(tag.clone()));
            let known = keys.chain(tags).map(|target| FloorRow { target, floor: none });
            known.chain(looked).for_each(|row| self.floors.raise(row));
        }
        applied
    }

    /// Takes a reply that the replica gave no earlier than `sent_at`, by this reader's clock.
    pub fn apply(&mut self, sent_at: UnixMillis, reply: SyncResponse) -> Applied {
        let epoch = reply.position.epoch;
        match self.epoch {
            Some(mine) if epoch < mine => return Applied::Ignored,
            Some(mine) if epoch == mine && reply.from > self.complete => {
                return Applied::Ignored;
            }
            Some(mine) if epoch == mine => {}
            Some(_) | None if reply.from > Version::ZERO => return Applied::Ignored,
            Some(_) | None => *self = Self { epoch: Some(epoch), ..Self::default() },
        }
        if let Some(left_out) = reply.left_out.filter(|left_out| left_out.to > self.complete) {
            self.floors.drop_untold(left_out.to);
            let (hard, soft) = (left_out.tags_hard, left_out.tags_soft);
            self.floors.raise_any_tag(Floor { hard, soft, ..Floor::default() });
        }
        // A reply from before the watermark does not know what was raised since, and was not told here either. A key
        // or a tag that is not held stays unknown.
        let is_outdated = reply.position.version < self.floors.watermark();
        for row in reply.floors {
            if is_outdated {
                self.floors.raise_held(row);
            } else {
                self.floors.raise(row);
            }
        }
        self.floors.evict_oldest(MAX_FLOORS, SNAPSHOT_FLOORS as usize);
        self.complete = self.complete.max(reply.to);
        if reply.to < reply.position.version {
            return Applied::Part;
        }
        let older = self.position.is_some_and(|held| held.version > reply.position.version);
        if !older {
            self.position = Some(reply.position);
            // The replica's proof is of the replica's position. A reader that is further on learns nothing
            // from it.
            if let Some(age) = reply.proof_age_ms {
                let proved_at = UnixMillis(sent_at.0.saturating_sub(age));
                self.proved_at = self.proved_at.max(Some(proved_at));
            }
        }
        Applied::Whole
    }

    /// Returns the position up to which all floors are held; `None` before the first whole reply.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns the floors heard so far, also those of a reply with more parts to come.
    #[must_use]
    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Drops floors that are not needed; see [`Floors::retain`].
    pub fn retain(&mut self, needed: impl Fn(FloorKind, &str, &Floor) -> bool) {
        self.floors.retain(needed);
    }

    /// Returns how long ago it was last proved that everything committed had been heard.
    #[must_use]
    pub fn lag(&self, now: UnixMillis) -> Option<Duration> {
        self.position?;
        Some(now.since(self.proved_at?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::floors::{EntryTags, Judgement};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn position(epoch: u64, version: u64) -> Position {
        let epoch = Epoch::new(UnixMillis(epoch), [0; 10]);
        Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) }
    }

    fn reply(epoch: u64, from: u64, to: u64, head: u64, floors: &str) -> SyncResponse {
        SyncResponse {
            traces: Vec::new(),
            position: position(epoch, head),
            from: Version::new(from).unwrap(),
            to: Version::new(to).unwrap(),
            proof_age_ms: Some(40),
            floors: serde_json::from_str(floors).unwrap(),
            left_out: None,
            looked: Vec::new(),
        }
    }

    fn judge(knowledge: &Knowledge, fill: u64) -> Judgement {
        let key = Key::new("title:1").unwrap();
        knowledge.floors().judge(&key, Version::new(fill).unwrap(), EntryTags::EveryTag)
    }

    #[test]
    fn s1_the_lag_counts_from_when_the_question_was_sent() {
        let mut knowledge = Knowledge::default();
        assert_eq!(knowledge.lag(UnixMillis(1_000)), None);
        assert_eq!(knowledge.apply(UnixMillis(1_000), reply(1, 0, 5, 5, "[]")), Applied::Whole);
        assert_eq!(knowledge.lag(UnixMillis(1_100)), Some(Duration::from_millis(140)));
        assert_eq!(knowledge.apply(UnixMillis(900), reply(1, 5, 5, 5, "[]")), Applied::Whole);
        assert_eq!(
            knowledge.lag(UnixMillis(1_100)),
            Some(Duration::from_millis(140)),
            "a late reply proves less"
        );
    }

    #[test]
    fn s1_what_a_replica_says_unasked_is_dated_by_the_question_that_opened_the_window() {
        // The replica's clock is hours ahead, and it took 30 ms to hear the question.
        let anchor = Anchor { sent_at: UnixMillis(1_000), answered_at: UnixMillis(9_000_000) };
        let dated =
            |said_at, heard_at| anchor.dated(UnixMillis(said_at), UnixMillis(heard_at)).map(|at| at.0);
        assert_eq!(dated(9_000_000, 1_050), Some(1_000), "never later than it was");
        assert_eq!(dated(9_000_500, 1_550), Some(1_500));
        assert_eq!(dated(8_000_000, 1_600), Some(1_000), "a clock that went back proves nothing");
        assert_eq!(dated(9_060_700, 1_750), None, "it was set forward by a minute: said a minute from now?");
    }

    #[test]
    fn nothing_is_known_before_the_last_part_has_come() {
        let mut knowledge = Knowledge::default();
        assert_eq!(
            knowledge.apply(UnixMillis(0), reply(1, 0, 3, 5, r#"[[0,"title:1",2,0,0]]"#)),
            Applied::Part
        );
        assert_eq!(knowledge.position(), None);
        assert_eq!(
            knowledge.ask(Duration::ZERO, None, FloorLookup::default()).since,
            Version::new(3).unwrap()
        );
        assert_eq!(knowledge.apply(UnixMillis(0), reply(1, 3, 5, 5, "[]")), Applied::Whole);
        assert_eq!(knowledge.position(), Some(position(1, 5)));
    }

    #[test]
    fn s2_a_reply_that_would_leave_a_hole_is_ignored() {
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(1, 0, 5, 5, "[]"));
        assert_eq!(knowledge.apply(UnixMillis(0), reply(1, 6, 8, 8, "[]")), Applied::Ignored);
        assert_eq!(knowledge.position(), Some(position(1, 5)));
        assert_eq!(knowledge.apply(UnixMillis(0), reply(2, 6, 8, 8, "[]")), Applied::Ignored);
    }

    #[test]
    fn floors_and_position_never_go_down() {
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(1, 0, 5, 5, r#"[[0,"title:1",5,0,0]]"#));
        let late = SyncResponse { proof_age_ms: Some(0), ..reply(1, 0, 3, 3, r#"[[0,"title:1",2,0,0]]"#) };
        knowledge.apply(UnixMillis(9_000), late);
        assert_eq!(knowledge.position(), Some(position(1, 5)));
        assert_ne!(judge(&knowledge, 4), Judgement::Clear);
        assert_eq!(
            knowledge.lag(UnixMillis(9_000)),
            Some(Duration::from_millis(9_000)),
            "it proves nothing of 5"
        );
    }

    #[test]
    fn e1_a_newer_epoch_starts_from_nothing_and_an_older_one_is_ignored() {
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(2, 0, 5, 5, r#"[[0,"title:1",5,0,0]]"#));
        assert_eq!(knowledge.apply(UnixMillis(0), reply(1, 0, 9, 9, "[]")), Applied::Ignored);
        assert_eq!(knowledge.apply(UnixMillis(0), reply(3, 0, 1, 1, "[]")), Applied::Whole);
        assert_eq!(judge(&knowledge, 0), Judgement::Clear);
        assert_eq!(knowledge.position(), Some(position(3, 1)));
    }

    #[test]
    fn s2_what_is_not_found_is_below_the_floors_of_tags_that_were_left_out() {
        let v = |number| Version::new(number).unwrap();
        let left_out = Some(LeftOut { to: v(7), tags_hard: v(4), tags_soft: v(6) });
        let mut knowledge = Knowledge::default();
        let floors = r#"[[0,"title:1",2,0,0]]"#;
        knowledge.apply(UnixMillis(0), SyncResponse { left_out, ..reply(1, 0, 9, 9, floors) });
        let judged = [3, 4, 5, 6].map(|fill| judge(&knowledge, fill));
        assert_eq!(
            judged,
            [Judgement::Below(FloorKind::Tag), Judgement::Soft, Judgement::Soft, Judgement::Clear]
        );
    }

    #[test]
    fn what_was_left_out_up_to_what_is_held_takes_nothing_with_it() {
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(1, 0, 5, 5, r#"[[0,"title:1",5,0,0]]"#));
        let (to, none) = (Version::new(5).unwrap(), Version::ZERO);
        let left_out = Some(LeftOut { to, tags_hard: none, tags_soft: none });
        knowledge.apply(UnixMillis(0), SyncResponse { left_out, ..reply(1, 0, 9, 9, "[]") });
        assert_eq!(judge(&knowledge, 4), Judgement::Below(FloorKind::Key));
        knowledge.retain(|_, _, _| false);
        assert_eq!(knowledge.floors().count(), 0, "nobody needs it");
    }

    #[test]
    fn a_lookup_of_a_key_or_a_tag_is_not_empty() {
        assert!(FloorLookup::default().is_empty());
        assert!(!FloorLookup { keys: vec![Key::new("title:1").unwrap()], tags: Vec::new() }.is_empty());
        assert!(!FloorLookup { keys: Vec::new(), tags: vec![Tag::new("x").unwrap()] }.is_empty());
    }

    #[test]
    fn s2_a_late_reply_brings_back_no_floor_that_was_dropped() {
        let v = |version| Version::new(version).unwrap();
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(1, 0, 9, 9, r#"[[0,"title:1",7,0,0]]"#));
        let left_out = Some(LeftOut { to: v(15), tags_hard: Version::ZERO, tags_soft: Version::ZERO });
        knowledge.apply(UnixMillis(0), SyncResponse { left_out, ..reply(1, 9, 20, 20, "[]") });
        assert_eq!(judge(&knowledge, 11), Judgement::Unknown);

        // The reply was given before the key's floor rose to 13, which the snapshot left out.
        knowledge.apply(UnixMillis(0), reply(1, 0, 9, 9, r#"[[0,"title:1",7,0,0]]"#));
        assert_eq!(judge(&knowledge, 11), Judgement::Unknown);
    }

    #[test]
    fn s2_what_a_snapshot_left_out_is_looked_up() {
        let mut knowledge = Knowledge::default();
        let left_out = LeftOut {
            to: Version::new(7).unwrap(),
            tags_hard: Version::new(3).unwrap(),
            tags_soft: Version::ZERO,
        };
        let snapshot =
            SyncResponse { left_out: Some(left_out), ..reply(1, 0, 9, 9, r#"[[0,"title:2",8,0,0]]"#) };
        knowledge.apply(UnixMillis(0), snapshot);
        let judge = |knowledge: &Knowledge, fill: u64| {
            let key = Key::new("title:1").unwrap();
            knowledge.floors().judge(&key, Version::new(fill).unwrap(), EntryTags::Tags(&[]))
        };
        assert_eq!(judge(&knowledge, 6), Judgement::Unknown);
        assert_eq!(judge(&knowledge, 7), Judgement::Clear);
        let nothing_there = knowledge.floors().judge(
            &Key::new("title:2").unwrap(),
            Version::new(2).unwrap(),
            EntryTags::EveryTag,
        );
        assert_ne!(nothing_there, Judgement::Clear, "a tag may have brought it");

        let look = FloorLookup { keys: vec![Key::new("title:1").unwrap()], tags: Vec::new() };
        let looked = serde_json::from_str(r#"[[0,"title:1",5,0,0]]"#).unwrap();
        let told = SyncResponse { looked, ..reply(1, 9, 9, 9, "[]") };
        for useless in [position(1, 6), position(2, 9)] {
            let mut knowledge = knowledge.clone();
            knowledge.learn(UnixMillis(0), &look, SyncResponse { position: useless, ..told.clone() });
            let key = &look.keys[0];
            assert!(!knowledge.floors().knows(key), "of another log, or from before W: {useless}");
        }
        knowledge.learn(UnixMillis(0), &look, told);
        assert_eq!(
            (judge(&knowledge, 4), judge(&knowledge, 5)),
            (Judgement::Below(FloorKind::Key), Judgement::Clear)
        );
    }

    #[test]
    fn s2_a_reader_that_was_away_for_too_long_forgets_what_it_was_not_told() {
        let mut knowledge = Knowledge::default();
        knowledge.apply(UnixMillis(0), reply(1, 0, 5, 5, r#"[[0,"title:1",5,0,0]]"#));
        let (none, to) = (Version::ZERO, Version::new(8).unwrap());
        let left_out = Some(LeftOut { to, tags_hard: none, tags_soft: none });
        knowledge.apply(UnixMillis(0), SyncResponse { left_out, ..reply(1, 5, 9, 9, "[]") });
        let judged = knowledge.floors().judge(
            &Key::new("title:1").unwrap(),
            Version::new(5).unwrap(),
            EntryTags::Tags(&[]),
        );
        assert_eq!(judged, Judgement::Unknown, "it may have changed among what was left out");
    }

    #[test]
    fn a_version_is_met_by_a_newer_one_or_a_newer_epoch() {
        let epoch = Epoch::new(UnixMillis(2), [0; 10]);
        let wanted: MinVersion = format!("{epoch}:5").parse().unwrap();
        assert!(wanted.is_met_by(&position(2, 5)) && wanted.is_met_by(&position(3, 0)));
        assert!(!wanted.is_met_by(&position(2, 4)) && !wanted.is_met_by(&position(1, 9)));
        assert!("5".parse::<MinVersion>().is_err());
    }
}
