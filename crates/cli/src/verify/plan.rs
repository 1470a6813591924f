//! Which keys are read when: a few after each change, at each delay, and one after the other when nothing changes. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Key, Target, UnixMillis, Version};

use super::known::KnownKeys;
use super::tally::{VerifyTally, When};

/// How many keys of one wide change (of a tag, a prefix, everything) are checked at most.
const WIDE_KEYS: usize = 20;
/// How long a key that was just planned for is not planned for again: its reads count for the later change too.
const SAME_CHANGE: Duration = Duration::from_millis(50);
/// How many keys may wait to be swept out of turn.
const MOST_SOON: usize = 1_000;
/// How many reads may be planned. Above that, changes are passed over.
const MOST_DUE: usize = 200_000;

/// A key to be read at some edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// The key.
    pub(super) key: Key,
    /// The newest version that covered the key when the round was planned.
    pub(super) version: Version,
    /// How long after the change.
    pub(super) when: When,
    /// The edges, by their numbers.
    pub(super) edges: Vec<usize>,
    /// How often the origin moved on meanwhile.
    pub(super) attempt: u32,
}

/// The plan.
pub(super) struct ReadPlan {
    after: Vec<Duration>,
    edges: usize,
    classes: Vec<String>,
    allowance: Allowance,
    due: BinaryHeap<Reverse<DueRound>>,
    /// When a key was last planned for.
    planned: HashMap<Key, UnixMillis>,
    /// Keys to be swept before others.
    soon: VecDeque<Key>,
    next: u64,
}

struct DueRound {
    at: UnixMillis,
    number: u64,
    round: Round,
}

impl PartialEq for DueRound {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for DueRound {}

impl PartialOrd for DueRound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DueRound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl ReadPlan {
    /// Returns a plan for so many edges, with `rate` keys a second at most, of these classes or of all.
    pub(super) fn new(
        mut after: Vec<Duration>,
        edges: usize,
        classes: Vec<String>,
        rate: u32,
        now: UnixMillis,
    ) -> Self {
        after.sort();
        after.dedup();
        let allowance = Allowance { rate: f64::from(rate), left: f64::from(rate), at: now };
        let (due, planned, soon) = (BinaryHeap::new(), HashMap::new(), VecDeque::new());
        Self { after, edges, classes, allowance, due, planned, soon, next: 0 }
    }

    /// Plans for a version of the log. Learns its keys.
    pub(super) fn hear(
        &mut self,
        row: &VersionRow,
        now: UnixMillis,
        known: &mut KnownKeys,
        tally: &mut VerifyTally,
    ) {
        let mut keys: Vec<Key> = Vec::new();
        for change in &row.changes {
            if let Target::Key(key) = &change.target {
                self.sweep_soon(known.namesakes(key));
            }
            keys.extend(
                known.covered_by(&change.target, WIDE_KEYS).into_iter().filter(|key| self.wants(key)),
            );
        }
        keys.sort();
        keys.dedup();
        let longest = self.after.last().copied().unwrap_or_default();
        let is_planned = |key: &Key| self.planned.get(key).is_some_and(|at| at.plus(longest) > now);
        let (mut again, mut fresh): (Vec<Key>, Vec<Key>) = keys.iter().cloned().partition(is_planned);
        let room = if self.due.len() < MOST_DUE { self.allowance.take(fresh.len(), now) } else { 0 };
        known.choose(&mut fresh, room);
        for key in &fresh {
            known.learn(key);
        }
        again.append(&mut fresh);
        count(tally, &keys, &again);
        for key in again {
            self.plan(key, row.version, now);
        }
        if self.planned.len() > MOST_DUE {
            self.planned.retain(|_, at| at.plus(longest) > now);
        }
    }

    fn plan(&mut self, key: Key, version: Version, now: UnixMillis) {
        let before = self.planned.insert(key.clone(), now);
        if before.is_some_and(|at| at.plus(SAME_CHANGE) > now) {
            return;
        }
        for after in self.after.clone() {
            let (edges, when) = ((0..self.edges).collect(), When::After(after));
            self.push(now.plus(after), Round { key: key.clone(), version, when, edges, attempt: 0 });
        }
    }

    /// Plans a round.
    pub(super) fn push(&mut self, at: UnixMillis, round: Round) {
        self.next += 1;
        self.due.push(Reverse(DueRound { at, number: self.next, round }));
    }

    /// Returns when the next round is due.
    pub(super) fn next_at(&self) -> Option<UnixMillis> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// Returns a round that is due.
    pub(super) fn take_due(&mut self, now: UnixMillis) -> Option<Round> {
        self.next_at().filter(|at| *at <= now)?;
        self.due.pop().map(|Reverse(due)| due.round)
    }

    /// Returns the next round of the sweep. Keys whose namesakes changed come first: a publish may have named the wrong class.
    pub(super) fn sweep(&mut self, known: &mut KnownKeys) -> Option<Round> {
        let mut turns = 0..known.len();
        let key = loop {
            let key = self.soon.pop_front().or_else(|| turns.next().and_then(|_| known.next_to_sweep()))?;
            if self.wants(&key) {
                break key;
            }
        };
        let edges = (0..self.edges).collect();
        Some(Round { key, version: Version::ZERO, when: When::Sweep, edges, attempt: 0 })
    }

    /// Lets keys be swept before others.
    pub(super) fn sweep_soon(&mut self, keys: Vec<Key>) {
        for key in keys {
            if self.soon.len() < MOST_SOON && !self.soon.contains(&key) {
                self.soon.push_back(key);
            }
        }
    }

    /// Forgets every round that is planned.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.planned.clear();
        self.soon.clear();
    }

    fn wants(&self, key: &Key) -> bool {
        self.classes.is_empty() || self.classes.iter().any(|class| class == key.class())
    }
}

fn count(tally: &mut VerifyTally, heard: &[Key], checked: &[Key]) {
    for key in heard {
        tally.sampled(key.class(), 1, 0);
    }
    for key in checked {
        tally.sampled(key.class(), 0, 1);
    }
}

/// How many more keys may be checked: a token bucket with room for two seconds.
struct Allowance {
    rate: f64,
    left: f64,
    at: UnixMillis,
}

impl Allowance {
    /// Takes as many of `wanted` as there are; returns how many.
    fn take(&mut self, wanted: usize, now: UnixMillis) -> usize {
        let gained = now.since(self.at).as_secs_f64() * self.rate;
        self.left = (self.left + gained).min(self.rate * 2.0);
        self.at = now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most twice a u32, and never negative"
        )]
        let taken = wanted.min(self.left as usize);
        self.left -= taken as f64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

    fn row(version: u64, changes: &str) -> VersionRow {
        serde_json::from_str(&format!(r#"{{"version":{version},"at":1,"changes":[{changes}]}}"#)).unwrap()
    }

    struct World {
        plan: ReadPlan,
        known: KnownKeys,
        tally: VerifyTally,
    }

    impl World {
        fn new(rate: u32, classes: &[&str]) -> Self {
            let classes = classes.iter().map(|class| (*class).to_owned()).collect();
            let plan = ReadPlan::new(AFTER.to_vec(), 2, classes, rate, UnixMillis(0));
            Self { plan, known: KnownKeys::new(1), tally: VerifyTally::default() }
        }

        fn hears(&mut self, version: u64, at: u64, changes: &str) {
            self.plan.hear(&row(version, changes), UnixMillis(at), &mut self.known, &mut self.tally);
        }

        /// Returns the rounds that are due by then: key, version, delay in ms.
        fn due(&mut self, at: u64) -> Vec<(String, u64, u128)> {
            std::iter::from_fn(|| self.plan.take_due(UnixMillis(at)))
                .map(|round| {
                    let When::After(after) = round.when else { panic!("no sweep") };
                    assert_eq!(round.edges, [0, 1]);
                    (round.key.into(), round.version.number(), after.as_millis())
                })
                .collect()
        }
    }

    #[test]
    fn a_changed_key_is_read_at_each_delay() {
        let mut world = World::new(5, &[]);
        world.hears(1, 1_000, r#"{"key":"a:1"}"#);
        assert_eq!(world.due(1_099), []);
        assert_eq!(world.due(1_100), [("a:1".to_owned(), 1, 100)]);
        assert_eq!(world.plan.next_at(), Some(UnixMillis(2_000)));
        assert_eq!(world.due(9_000), [("a:1".to_owned(), 1, 1_000)]);
    }

    #[test]
    fn of_many_keys_a_sample_is_read_and_a_key_under_watch_is_read_again() {
        let mut world = World::new(1, &[]);
        world.hears(1, 1_000, r#"{"key":"a:1"},{"key":"a:2"},{"key":"a:3"},{"key":"a:4"}"#);
        let due = world.due(1_100);
        assert_eq!(due.len(), 2, "two seconds of one a second");
        let watched = &due[0].0;
        world.hears(2, 1_200, &format!(r#"{{"key":"{watched}"}}"#));
        world.hears(3, 1_210, &format!(r#"{{"key":"{watched}"}}"#));
        assert_eq!(world.due(1_400), [(watched.clone(), 2, 100)], "of a burst once");
        let sampled = world.tally.all_sampled();
        assert_eq!((sampled.heard, sampled.checked), (6, 4));
    }

    #[test]
    fn only_the_wanted_classes_are_read() {
        let mut world = World::new(5, &["b"]);
        world.hears(1, 1_000, r#"{"key":"a:1"},{"key":"b:1"}"#);
        assert_eq!(world.due(1_100), [("b:1".to_owned(), 1, 100)]);
        world.known.learn(&Key::new("a:1").unwrap());
        let swept = world.plan.sweep(&mut world.known).unwrap();
        assert_eq!((swept.key.as_str(), swept.when), ("b:1", When::Sweep));
    }

    #[test]
    fn a_namesake_of_a_changed_key_is_swept_first() {
        let mut world = World::new(5, &[]);
        for key in ["a:1", "a:2", "movie:7", "title:7"] {
            world.known.learn(&Key::new(key).unwrap());
        }
        world.hears(1, 1_000, r#"{"key":"movie:7"}"#);
        let swept: Vec<String> =
            (0..3).map(|_| world.plan.sweep(&mut world.known).unwrap().key.into()).collect();
        assert_eq!(swept, ["title:7", "a:1", "a:2"]);
        assert_eq!(World::new(5, &[]).plan.sweep(&mut KnownKeys::new(1)), None);
    }
}
