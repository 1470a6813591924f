//! The origin: its value of every key, its commits, and the commits that its publishers still have to
//! publish.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use newsreel_core::read::policy::{Override, Policies, Policy};
use newsreel_core::wire::publish::Expect;
use newsreel_core::wire::{Change, Epoch, Key, Operation, Position, Prefix, Publish, Tag, Target, Version};

use crate::rng::Rng;

/// How many publishers there are. Each has keys and tags of its own, so that the changes of one key are in
/// order.
pub(crate) const PUBLISHERS: usize = 2;
/// How many tags each publisher has.
const TAGS: usize = 3;
/// The classes of keys, each with a policy of its own in [`POLICY`].
const CLASSES: [&str; 5] = ["title", "live", "trending", "fare", "embedding"];
/// The policies. Their times are short enough that a run of some minutes sees all of them pass.
const POLICY: &str = r#"{
    "title": {"ttl_ms": 60000, "stale_for_ms": 60000, "lag_bound_ms": 2000, "beyond_bound": "stale"},
    "live": {"ttl_ms": 5000, "stale_for_ms": 10000, "lag_bound_ms": 0, "beyond_bound": "fail"},
    "trending": {"ttl_ms": 30000, "stale_for_ms": 30000, "lag_bound_ms": 1000, "beyond_bound": "fail"},
    "fare": {"ttl_ms": 40000, "stale_for_ms": 40000, "lag_bound_ms": 2000, "beyond_bound": "stale", "quorum": true},
    "embedding": {"ttl_ms": 100000, "stale_for_ms": 60000, "lag_bound_ms": 20000, "beyond_bound": "stale"}
}"#;

/// A key with its policy.
#[derive(Debug, Clone)]
pub(crate) struct PolicedKey {
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    publisher: usize,
}

/// The origin's value of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginValue {
    /// The number of changes so far.
    pub(crate) index: u64,
    pub(crate) found: bool,
    pub(crate) tags: Vec<Tag>,
}

/// A commit that is to be published.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) publish: Publish,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) wants_acks: bool,
    /// The keys that the commit changed, each with the number of its value and whether the change was hard.
    pub(crate) touches: Vec<(usize, u64, bool)>,
    /// Whether a late or second arrival does no harm, because the commit removes nothing.
    pub(crate) harmless: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Publisher {
    pub(crate) outbox: VecDeque<u64>,
    /// The request under way, with the commits in it.
    pub(crate) request: Option<(u64, Vec<u64>)>,
    pub(crate) head: Option<Position>,
}

/// The origin: its keys and their values, and the publishers that announce its commits.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) keys: Vec<PolicedKey>,
    pub(crate) values: Vec<OriginValue>,
    pub(crate) publications: BTreeMap<u64, Publication>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) next: u64,
    pub(crate) rng: Rng,
    /// Whether every change names its keys.
    pub(crate) keys_only: bool,
    /// The moment until which the origin does not answer.
    pub(crate) away_until: u64,
    pub(crate) policies: Policies,
    /// The number of the value that a version gave a key.
    pub(crate) made: BTreeMap<(Epoch, Version, usize), u64>,
}

impl Origin {
    pub(crate) fn new(seed: u64, keys: usize, keys_only: bool) -> Self {
        let overrides: BTreeMap<String, Override> = serde_json::from_str(POLICY).expect("the policy is JSON");
        let policies = Policies::with(&overrides);
        let mut all = Vec::new();
        for publisher in 0..PUBLISHERS {
            for number in 0..keys {
                let class = CLASSES[number % CLASSES.len()];
                let name = format!("{class}:{}{}", name_of(publisher), number / CLASSES.len());
                let key = Key::new(name).expect("a key");
                all.push(PolicedKey { key, policy: policies.of(class), publisher });
            }
        }
        let mut rng = Rng::new(seed, 1);
        let values = all.iter().map(|one| OriginValue {
            index: 0,
            found: rng.percent(80),
            tags: some_tags(one.publisher, &mut rng),
        });
        let values = values.collect();
        let publishers = (0..PUBLISHERS).map(|_| Publisher::default()).collect();
        Self {
            keys: all,
            values,
            publications: BTreeMap::new(),
            publishers,
            next: 1,
            rng,
            keys_only,
            away_until: 0,
            policies,
            made: BTreeMap::new(),
        }
    }

    /// A publish was given a version.
    pub(crate) fn versioned(&mut self, id: u64, at: Position) {
        for (key, index, _) in &self.publications[&id].touches {
            self.made.insert((at.epoch, at.version, *key), *index);
        }
    }

    /// Returns which value of a key a version made.
    pub(crate) fn made_by(&self, epoch: Epoch, version: Version, key: usize) -> Option<u64> {
        self.made.get(&(epoch, version, key)).copied()
    }

    /// Says whether everything committed is published and acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.publishers.iter().all(|publisher| publisher.outbox.is_empty())
    }

    pub(crate) fn keys_of(&self, publisher: usize) -> Vec<usize> {
        (0..self.keys.len()).filter(|number| self.keys[*number].publisher == publisher).collect()
    }

    /// Commits a change of some kind, and returns the publish that announces it.
    pub(crate) fn commit(&mut self, publisher: usize) -> Publication {
        let keys = self.keys_of(publisher);
        let (operation, soft) = match self.rng.below(100) {
            0..12 => (Operation::Remove, false),
            12..24 => (Operation::Soften, true),
            _ => (Operation::Update, false),
        };
        let mut touches = Vec::new();
        let changes = match self.rng.below(100) {
            _ if self.keys_only || operation == Operation::Remove => {
                self.change_keys(&keys, operation, &mut touches)
            }
            0..70 => self.change_keys(&keys, operation, &mut touches),
            70..88 => {
                let tag = some_tag(publisher, &mut self.rng);
                let carries = |value: &OriginValue| value.found && value.tags.contains(&tag);
                self.change_all(&keys, |_, value| carries(value), Some(&tag), soft, &mut touches);
                vec![Change { target: Target::Tag(tag), operation, tags: Vec::new() }]
            }
            88..97 => {
                let class = self.rng.pick(&CLASSES);
                let digit = if self.rng.percent(50) { "0" } else { "" };
                let prefix = Prefix::new(format!("{class}:{}{digit}", name_of(publisher))).expect("a prefix");
                self.change_all(&keys, |key, _| prefix.covers(key), None, soft, &mut touches);
                vec![Change { target: Target::Prefix(prefix), operation, tags: Vec::new() }]
            }
            _ => {
                self.change_all(&keys, |_, _| true, None, soft, &mut touches);
                vec![Change { target: Target::All, operation, tags: Vec::new() }]
            }
        };
        let harmless = operation != Operation::Remove;
        let key = format!("{}{}", name_of(publisher), self.next);
        let idempotency_key = (!harmless || self.rng.percent(80)).then_some(key);
        let expect = self.publishers[publisher].head.filter(|_| self.rng.percent(10));
        let expect = expect.map(|head| Expect { epoch: Some(head.epoch), version: head.version });
        let wants_acks = self.rng.percent(15);
        let publish = Publish { expect, ..Publish::of(changes) };
        Publication { publish, idempotency_key, wants_acks, touches, harmless }
    }

    fn change_keys(
        &mut self,
        keys: &[usize],
        operation: Operation,
        touches: &mut Vec<(usize, u64, bool)>,
    ) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..self.rng.between(1, 3) {
            let number = keys[self.rng.hot(keys.len())];
            let target = Target::Key(self.keys[number].key.clone());
            if changes.iter().any(|change| change.target == target) {
                continue;
            }
            let removes = operation == Operation::Remove;
            let tags = some_tags(self.keys[number].publisher, &mut self.rng);
            let value = &mut self.values[number];
            value.index += 1;
            value.found = !removes;
            value.tags = match operation {
                Operation::Remove => Vec::new(),
                Operation::Update => tags,
                // New tags take a hard change: an older entry may still be served, marked, and does not carry
                // them.
                Operation::Soften => std::mem::take(&mut value.tags),
            };
            touches.push((number, value.index, operation != Operation::Soften));
            changes.push(Change { target, operation, tags: value.tags.clone() });
        }
        changes
    }

    /// Changes every key that a wide change covers; now and then it brings one that was not there.
    pub(crate) fn change_all(
        &mut self,
        keys: &[usize],
        covers: impl Fn(&Key, &OriginValue) -> bool,
        brings: Option<&Tag>,
        soft: bool,
        touches: &mut Vec<(usize, u64, bool)>,
    ) {
        for number in keys {
            let value = &mut self.values[*number];
            let comes = brings.filter(|_| !value.found && self.rng.percent(30));
            if !covers(&self.keys[*number].key, value) && comes.is_none() {
                continue;
            }
            value.index += 1;
            value.found = true;
            if let Some(tag) = comes.filter(|tag| !value.tags.contains(tag)) {
                value.tags.push(tag.clone());
            }
            touches.push((*number, value.index, !soft));
        }
    }
}

pub(crate) fn name_of(publisher: usize) -> char {
    if publisher == 0 { 'a' } else { 'b' }
}

fn some_tag(publisher: usize, rng: &mut Rng) -> Tag {
    Tag::new(format!("{}-{}", name_of(publisher), rng.index(TAGS))).expect("a tag")
}

fn some_tags(publisher: usize, rng: &mut Rng) -> Vec<Tag> {
    let tags: BTreeSet<Tag> = (0..rng.below(3)).map(|_| some_tag(publisher, rng)).collect();
    tags.into_iter().collect()
}
