//! The changes of one transaction: each target once, in bounded memory, as publishes.
//!
//! A source adds changes as rows arrive. Above so many keys of one class the keys give way to the prefix of
//! the class, and above so many targets in all everything changes, so that a bulk load is one version and not
//! a storm. A wide change covers all that it stands for: no narrower change is lost by it.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_core::wire::publish::{MAX_BODY_BYTES, MAX_CHANGES};
use newsreel_core::wire::{Cause, Change, Operation, Prefix, Publish, Target, Traceparent};

/// How many bytes of JSON a publish may have, so that its idempotency key fits into a line with it.
const MAX_PART_BYTES: usize = MAX_BODY_BYTES - 4_096;
/// How many times `wide_above` all targets together may be.
const MAX_CLASSES: usize = 10;

/// When targets are widened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Above how many targets of one class its prefix stands for them.
    pub wide_above: usize,
}

/// The changes of one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    limits: Limits,
    /// Each change at the number it was added with, so that the order is that of the rows.
    changes: BTreeMap<u64, Change>,
    places: BTreeMap<Target, u64>,
    /// How many targets each class has; tags and prefixes count as a class each.
    classes: BTreeMap<Class, usize>,
    next: u64,
    widened: Vec<Target>,
    traceparent: Option<Traceparent>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Keys(String),
    Tags,
    Prefixes,
    All,
}

impl Class {
    fn of(target: &Target) -> Self {
        match target {
            Target::Key(key) => Self::Keys(key.class().to_owned()),
            Target::Tag(_) => Self::Tags,
            Target::Prefix(_) => Self::Prefixes,
            Target::All => Self::All,
        }
    }

    /// Returns the target that stands for all of the class.
    fn wide(&self) -> Target {
        match self {
            Self::Keys(class) => Prefix::new(format!("{class}:")).map_or(Target::All, Target::Prefix),
            Self::Tags | Self::Prefixes | Self::All => Target::All,
        }
    }
}

impl Batch {
    /// Returns a batch without changes.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            classes: BTreeMap::new(),
            next: 0,
            widened: Vec::new(),
            traceparent: None,
        }
    }

    /// Says whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns how many targets the batch has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns the targets that stand for too many of their class.
    #[must_use]
    pub fn widened(&self) -> &[Target] {
        &self.widened
    }

    /// Notes the trace that the changes are part of. The last one that is known counts.
    pub fn trace(&mut self, traceparent: Option<Traceparent>) {
        if traceparent.is_some() {
            self.traceparent = traceparent;
        }
    }

    /// Adds a change. A later change of a target counts, and a hard one is not softened by a later one.
    pub fn add(&mut self, change: Change) {
        if self.is_covered(&change.target) {
            return;
        }
        if let Some(place) = self.places.get(&change.target)
            && let Some(before) = self.changes.get_mut(place)
        {
            let softened = change.operation == Operation::Soften && before.operation != Operation::Soften;
            let operation = if softened { Operation::Update } else { change.operation };
            *before = Change { operation, ..change };
            return;
        }
        let class = Class::of(&change.target);
        if change.target == Target::All {
            self.widen(&Class::All, change.operation);
            return;
        }
        let count = self.classes.entry(class.clone()).or_default();
        *count += 1;
        if *count > self.limits.wide_above {
            self.widen_class(&class);
        } else if self.changes.len() >= self.limits.wide_above.saturating_mul(MAX_CLASSES) {
            self.widen_class(&Class::All);
        } else {
            self.insert(change);
        }
    }

    /// Adds the changes of another batch.
    pub fn append(&mut self, other: Self) {
        self.trace(other.traceparent);
        other.changes.into_values().for_each(|change| self.add(change));
    }

    /// Returns the publishes, in order: one, unless there are too many changes for one version. Tags that
    /// differ in case alone are one tag to a broker with `TAGS_FOLD_CASE`, and stand in different publishes.
    #[must_use]
    pub fn into_publishes(self) -> Vec<Publish> {
        let (mut publishes, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        let cause = Cause { traceparent: self.traceparent, source: None };
        let publish = |changes| Publish { cause: cause.clone(), ..Publish::of(changes) };
        let mut folded = BTreeSet::new();
        for change in self.changes.into_values() {
            let size = size_of(&change);
            let is_full = part.len() >= MAX_CHANGES || bytes + size > MAX_PART_BYTES;
            let is_twice = matches!(&change.target, Target::Tag(tag) if !folded.insert(tag.folded()));
            if (is_full || is_twice) && !part.is_empty() {
                publishes.push(publish(std::mem::take(&mut part)));
                (bytes, folded) = (0, BTreeSet::new());
                if let Target::Tag(tag) = &change.target {
                    folded.insert(tag.folded());
                }
            }
            bytes += size;
            part.push(change);
        }
        if !part.is_empty() {
            publishes.push(publish(part));
        }
        publishes
    }

    /// Says whether a hard wide change of this batch stands for the target, whatever comes after it.
    fn is_covered(&self, target: &Target) -> bool {
        if *target == Target::All {
            return false;
        }
        let hard = |wide: &Target| {
            let change = self.places.get(wide).and_then(|place| self.changes.get(place));
            change.is_some_and(|change| change.operation == Operation::Update)
        };
        hard(&Target::All) || (matches!(target, Target::Key(_)) && hard(&Class::of(target).wide()))
    }

    fn widen_class(&mut self, class: &Class) {
        let wide = class.wide();
        self.widened.push(wide.clone());
        let class = if wide == Target::All { Class::All } else { class.clone() };
        self.widen(&class, Operation::Update);
    }

    /// Puts the wide target of a class in the place of all that it covers.
    fn widen(&mut self, class: &Class, operation: Operation) {
        let wide = class.wide();
        if operation == Operation::Update {
            let covered = |target: &Target| wide == Target::All || Class::of(target) == *class;
            self.changes.retain(|_, change| !covered(&change.target));
            self.places.retain(|target, _| !covered(target));
            self.classes.retain(|other, _| wide != Target::All && other != class);
        }
        self.insert(Change { operation, ..Change::of(wide) });
    }

    fn insert(&mut self, change: Change) {
        if let Some(place) = self.places.get(&change.target) {
            self.changes.insert(*place, change);
            return;
        }
        self.places.insert(change.target.clone(), self.next);
        self.changes.insert(self.next, change);
        self.next += 1;
    }
}

/// Returns how many bytes a change has in a publish, with the comma behind it.
fn size_of(change: &Change) -> usize {
    serde_json::to_string(change).map_or(0, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Key, Tag};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn batch(wide_above: usize) -> Batch {
        Batch::new(Limits { wide_above })
    }

    fn update(key: &str) -> Change {
        Change::update(Key::new(key).unwrap(), Vec::new())
    }

    fn tag(tag: &str) -> Change {
        Change::of(Target::Tag(Tag::new(tag).unwrap()))
    }

    #[track_caller]
    fn expect(batch: Batch, parts: &[&str]) {
        let written = |publish: &Publish| publish.written().changes;
        assert_eq!(batch.into_publishes().iter().map(written).collect::<Vec<_>>(), parts);
    }

    #[test]
    fn each_target_is_there_once_and_the_last_change_of_it_counts() {
        let mut batch = batch(10);
        let key = Key::new("t:1").unwrap();
        batch.add(Change::remove(key.clone()));
        batch.add(update("t:2"));
        batch.add(update("t:1"));
        expect(batch.clone(), &[r#"[{"key":"t:1"},{"key":"t:2"}]"#]);
        batch.add(Change { operation: Operation::Soften, ..update("t:2") });
        batch.add(Change::remove(key));
        expect(batch, &[r#"[{"key":"t:1","op":"remove"},{"key":"t:2"}]"#]);
    }

    #[test]
    fn many_keys_of_a_class_are_a_prefix_and_the_other_classes_stay() {
        let mut batch = batch(3);
        batch.add(update("other:1"));
        (0..9).for_each(|n| batch.add(update(&format!("t:{n}"))));
        batch.add(tag("x"));
        assert_eq!(batch.widened(), [Target::Prefix(Prefix::new("t:").unwrap())]);
        expect(batch, &[r#"[{"key":"other:1"},{"prefix":"t:"},{"tag":"x"}]"#]);
    }

    #[test]
    fn many_tags_or_classes_are_everything() {
        let mut tags = batch(3);
        tags.add(update("t:1"));
        (0..5).for_each(|n| tags.add(tag(&format!("x{n}"))));
        expect(tags, &[r#"[{"all":true}]"#]);
        let mut classes = batch(1);
        (0..12).for_each(|n| classes.add(update(&format!("c{n}:1"))));
        expect(classes, &[r#"[{"all":true}]"#]);
    }

    #[test]
    fn everything_covers_the_rest_unless_it_is_soft() {
        let mut hard = batch(3);
        hard.add(update("t:1"));
        hard.add(Change::of(Target::All));
        hard.add(update("t:2"));
        expect(hard, &[r#"[{"all":true}]"#]);
        let mut soft = batch(3);
        soft.add(update("t:1"));
        soft.add(Change { operation: Operation::Soften, ..Change::of(Target::All) });
        soft.add(update("t:2"));
        expect(soft, &[r#"[{"key":"t:1"},{"all":true,"soft":true},{"key":"t:2"}]"#]);
    }

    #[test]
    fn more_than_a_version_holds_is_split_in_order() {
        let mut batch = batch(10_000);
        (0..2_500).for_each(|n| batch.add(update(&format!("t:{n}"))));
        let sizes: Vec<usize> = batch.into_publishes().iter().map(|part| part.changes.len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }

    #[test]
    fn every_publish_is_part_of_the_last_trace_that_is_known() {
        let trace = |number: u8| format!("00-{number:032x}-{number:016x}-01").parse().ok();
        let (mut all, mut part) = (batch(10_000), batch(10_000));
        all.trace(trace(1));
        part.trace(trace(2));
        (0..1_500).for_each(|n| part.add(update(&format!("t:{n}"))));
        all.append(part);
        all.trace(None);
        let traces: Vec<_> = all.into_publishes().into_iter().map(|one| one.cause.traceparent).collect();
        assert_eq!(traces, [trace(2), trace(2)]);
    }

    #[test]
    fn tags_that_differ_in_case_alone_are_not_in_one_publish() {
        let mut batch = batch(10);
        ["a", "B", "A", "b"].into_iter().for_each(|name| batch.add(tag(name)));
        expect(batch, &[r#"[{"tag":"a"},{"tag":"B"}]"#, r#"[{"tag":"A"},{"tag":"b"}]"#]);
    }
}
