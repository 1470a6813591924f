//! What must be true: a slow and obvious account of every log there was, of what the origin had and of what was
//! acknowledged when. It knows nothing of how the system does it, and sees everything at once.

use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::frame::FoldedChange;
use newsreel_core::wire::{Change, Epoch, Hash, Key, Operation, Position, Tag, Target, Version, VersionRow};

/// A guarantee that was not kept, by its name in the design, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// G1 to G7, D1 to D3, S1, S2 or E1; or `alive`: what should have come in the end did not.
    pub guarantee: &'static str,
    /// What was seen.
    pub what: String,
}

/// Returns a violation.
pub(crate) fn broken<T>(guarantee: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { guarantee, what: what.into() })
}

pub(crate) type Kept = Result<(), Violation>;

/// One log, or what it became when it was restored.
#[derive(Debug, Clone)]
struct Branch {
    epoch: Epoch,
    /// FloorKind version, from 0.
    hashes: Vec<Hash>,
    /// FloorKind version, from 1; with the true time they were made.
    rows: Vec<(Rc<VersionRow>, u64)>,
    /// Which versions were hard, soft or a removal, by what they name.
    named: BTreeMap<Target, Named>,
    /// The last version whose position was forgotten.
    forgotten: u64,
    /// It took the place of a log that had got further, so what was acknowledged there is gone from here.
    restored: bool,
}

#[derive(Debug, Clone, Default)]
struct Named {
    hard: Vec<u64>,
    soft: Vec<u64>,
    removed: Vec<u64>,
}

impl Branch {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            hashes: vec![Hash::genesis(&epoch)],
            rows: Vec::new(),
            named: BTreeMap::new(),
            forgotten: 0,
            restored: false,
        }
    }

    fn has(&self, at: &Position) -> bool {
        let number = usize::try_from(at.version.number()).unwrap_or(usize::MAX);
        self.epoch == at.epoch && self.hashes.get(number) == Some(&at.hash)
    }

    fn head(&self) -> u64 {
        self.rows.len() as u64
    }

    fn push(&mut self, row: VersionRow, hash: Hash, now: u64) {
        for change in &row.changes {
            let named = self.named.entry(change.target.clone()).or_default();
            match change.operation {
                Operation::Update => named.hard.push(row.version.number()),
                Operation::Soften => named.soft.push(row.version.number()),
                Operation::Remove => {
                    named.hard.push(row.version.number());
                    named.removed.push(row.version.number());
                }
            }
        }
        self.hashes.push(hash);
        self.rows.push((Rc::new(row), now));
    }

    /// Returns the log as it was at a version.
    fn cut(&self, version: u64) -> Self {
        let mut older = Self::new(self.epoch);
        for (row, made) in self.rows.iter().take(usize::try_from(version).unwrap_or(usize::MAX)) {
            let number = usize::try_from(row.version.number()).unwrap_or(0);
            older.push(VersionRow::clone(row), self.hashes[number], *made);
        }
        older.restored = true;
        older
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Rc<VersionRow>> {
        let index = |number: u64| usize::try_from(number).unwrap_or(0).min(self.rows.len());
        self.rows[index(from)..index(to)].iter().map(|(row, _)| row)
    }

    /// Returns everything that was said of a target.
    fn said(&self, target: &Target) -> Option<&Named> {
        self.named.get(target)
    }
}

fn any_in(versions: &[u64], after: u64, to: u64) -> bool {
    let first = versions.partition_point(|version| *version <= after);
    versions.get(first).is_some_and(|version| *version <= to)
}

/// What the origin had of one key, and which of it was acknowledged when.
#[derive(Debug, Clone, Default)]
struct Truth {
    /// When and up to which of its values: all changes, and the hard ones.
    acked: Vec<(u64, u64)>,
    acked_hard: Vec<(u64, u64)>,
}

/// The account.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    branches: BTreeMap<Epoch, Vec<Branch>>,
    current: Epoch,
    /// Since when the current epoch is.
    epoch_since: u64,
    /// Rows that were written and are not durable: to tell what was shown too early from what never was.
    undurable: Vec<Position>,
    truths: Vec<Truth>,
    /// What publishes of a key were acknowledged with, that is not gone by a restore.
    receipts: BTreeMap<(usize, String), Position>,
    /// What idempotency keys were used for.
    keys: BTreeMap<(String, String), Position>,
    /// The newest acknowledged position of the current log.
    acked: Option<Position>,
    /// Until when the broker ran twice.
    overlap: u64,
    /// Prefixes that were ever published.
    prefixes: Vec<Target>,
    /// Tags that were.
    tags: Vec<Target>,
}

/// What an answer was made of.
pub(crate) struct Served<'a> {
    pub(crate) key: &'a Key,
    pub(crate) number: usize,
    pub(crate) fill: Position,
    pub(crate) found: bool,
    pub(crate) tags: &'a [Tag],
    /// Which value of the key it is.
    pub(crate) index: u64,
    /// What the reader had heard.
    pub(crate) known: Position,
}

impl Model {
    pub(crate) fn new(epoch: Epoch, keys: usize) -> Self {
        Self {
            branches: BTreeMap::from([(epoch, vec![Branch::new(epoch)])]),
            current: epoch,
            epoch_since: 0,
            undurable: Vec::new(),
            truths: vec![Truth::default(); keys],
            receipts: BTreeMap::new(),
            keys: BTreeMap::new(),
            acked: None,
            overlap: 0,
            prefixes: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn log(&self) -> &Branch {
        self.branches[&self.current].last().expect("an epoch has a log")
    }

    fn log_mut(&mut self) -> &mut Branch {
        self.branches.get_mut(&self.current).and_then(|all| all.last_mut()).expect("an epoch has a log")
    }

    /// Returns the log that a position is on; the newest of them.
    fn branch(&self, at: &Position) -> Option<&Branch> {
        self.branches.get(&at.epoch)?.iter().rev().find(|branch| branch.has(at))
    }

    pub(crate) fn head(&self) -> (Epoch, u64) {
        (self.current, self.log().head())
    }

    /// A row was written, and may be lost.
    pub(crate) fn wrote(&mut self, at: Position) {
        self.undurable.push(at);
    }

    /// What was not durable is gone.
    pub(crate) fn lost(&mut self) {
        self.undurable.clear();
    }

    /// A row is durable.
    pub(crate) fn durable(&mut self, at: Position, text: &str, now: u64) -> Kept {
        self.undurable.retain(|other| other != &at);
        let row: VersionRow = serde_json::from_str(text).expect("a row is JSON");
        let log = self.log();
        let (epoch, head) = (log.epoch, log.head());
        if at.epoch != epoch || at.version.number() != head + 1 || row.version != at.version {
            return broken("G1", format!("the log at {epoch}:{head} was given {at}"));
        }
        let hash = log.hashes[log.rows.len()].then(text.as_bytes());
        if hash != at.hash {
            return broken("G7", format!("the hash of {at} is not that of its row"));
        }
        for change in &row.changes {
            let list = match change.target {
                Target::Prefix(_) => &mut self.prefixes,
                Target::Tag(_) => &mut self.tags,
                Target::Key(_) | Target::All => continue,
            };
            if !list.contains(&change.target) {
                list.push(change.target.clone());
            }
        }
        self.log_mut().push(row, hash, now);
        Ok(())
    }

    /// A new epoch is durable.
    pub(crate) fn began(&mut self, epoch: Epoch, now: u64) -> Kept {
        self.undurable.clear();
        if epoch <= self.current {
            return broken("E1", format!("epoch {epoch} is not newer than {}", self.current));
        }
        self.branches.insert(epoch, vec![Branch::new(epoch)]);
        self.current = epoch;
        self.epoch_since = now.max(self.overlap);
        self.acked = None;
        Ok(())
    }

    /// The storage is an older state: that of an epoch at a version.
    pub(crate) fn restored(&mut self, head: Position, now: u64) {
        self.undurable.clear();
        let branches = self.branches.get_mut(&head.epoch).expect("a state that once was");
        let older = branches.iter().rev().find(|branch| branch.has(&head)).expect("a state that once was");
        let older = older.cut(head.version.number());
        branches.push(older);
        self.current = head.epoch;
        self.epoch_since = now;
        self.acked = None;
        let is_left = |position: &Position| (position.epoch, position.version) <= (head.epoch, head.version);
        self.receipts.retain(|_, position| is_left(position));
        self.keys.retain(|_, position| is_left(position));
    }

    /// D3: an idempotency key is used for one version.
    pub(crate) fn remembers(&mut self, publisher: String, key: String, at: Position) -> Kept {
        let what = format!("key {key} has versions");
        match self.keys.insert((publisher, key), at) {
            Some(earlier) => broken("D3", format!("{what} {earlier} and {at}")),
            None => Ok(()),
        }
    }

    pub(crate) fn forgot(&mut self, version: u64) {
        let log = self.log_mut();
        log.forgotten = log.forgotten.max(version);
    }

    /// Returns when a version of the current log was made.
    pub(crate) fn made(&self, version: u64) -> Option<u64> {
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        self.log().rows.get(index).map(|(_, made)| *made)
    }

    pub(crate) fn runs_twice_until(&mut self, until: u64) {
        self.overlap = self.overlap.max(until);
    }

    /// D1: the log that a broker starts from has all that was acknowledged.
    pub(crate) fn check_started(&self, head: Position) -> Kept {
        if !self.log().has(&head) || head.version.number() != self.log().head() {
            return broken("D1", format!("the broker starts at {head}; durable is {:?}", self.head()));
        }
        match self.acked {
            Some(acked) if !self.log().has(&acked) => {
                broken("D1", format!("{acked} was acknowledged, and the broker starts at {head}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A publisher was told that its publish has a position.
    pub(crate) fn check_receipt(
        &mut self,
        key: Option<(usize, String)>,
        at: Position,
        changes: &[Change],
    ) -> Kept {
        let Some(branch) = self.branch(&at) else {
            let why = if self.undurable.contains(&at) { "not durable" } else { "not on any log" };
            return broken("D1", format!("{at} was acknowledged, and is {why}"));
        };
        let row = &branch.rows[usize::try_from(at.version.number()).unwrap_or(1) - 1].0;
        if row.changes != changes {
            return broken("D3", format!("{at} was acknowledged for other changes than it has"));
        }
        let is_current = self.log().has(&at);
        if is_current && self.acked.is_none_or(|acked| acked.version < at.version) {
            self.acked = Some(at);
        }
        if let Some(key) = key.filter(|_| is_current) {
            let earlier = *self.receipts.entry(key.clone()).or_insert(at);
            if earlier != at {
                return broken("D3", format!("key {} has versions {earlier} and {at}", key.1));
            }
        }
        Ok(())
    }

    /// What an acknowledged publish changed of a key.
    pub(crate) fn acknowledged(&mut self, key: usize, index: u64, hard: bool, now: u64) {
        let at = now.max(self.overlap);
        let truth = &mut self.truths[key];
        let mut lists = vec![&mut truth.acked];
        if hard {
            lists.push(&mut truth.acked_hard);
        }
        for list in lists {
            let (last, most) = list.last().copied().unwrap_or_default();
            // All that is asked for is of the last minutes.
            if list.len() > 4_000 {
                list.drain(..2_000);
            }
            list.push((at.max(last), most.max(index)));
        }
    }

    /// Returns the least value that whoever has heard everything acknowledged until `until` may be given as fresh.
    fn required(&self, key: usize, until: u64, hard_only: bool) -> u64 {
        let truth = &self.truths[key];
        let list = if hard_only { &truth.acked_hard } else { &truth.acked };
        let after = list.partition_point(|(at, _)| *at <= until);
        after.checked_sub(1).map_or(0, |last| list[last].1)
    }

    /// G1 to G6, D2: what a follower that held `held` (nothing: from the beginning) was given to get to `to`.
    pub(crate) fn check_applied(
        &self,
        held: Option<Position>,
        to: Position,
        versions: &[VersionRow],
        topics: &Topics,
    ) -> Kept {
        let branch = self.on_one_log(held, to)?;
        let from = held.map_or(0, |held| held.version.number());
        let numbers: Vec<u64> = versions.iter().map(|row| row.version.number()).collect();
        if numbers.iter().any(|number| *number <= from) {
            return broken("G2", format!("who holds {from} was given {numbers:?}"));
        }
        if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
            return broken("G1", format!("given in the order {numbers:?}"));
        }
        let mut given = versions.iter();
        for row in branch.between(from, to.version.number()) {
            let passing: Vec<&Change> = row.changes.iter().filter(|change| topics.pass(change)).collect();
            if passing.is_empty() {
                continue;
            }
            match given.next() {
                Some(got) if got.version == row.version => {
                    if !got.changes.iter().eq(passing.iter().copied()) || got.at != row.at {
                        return broken("G4", format!("version {} came as {:?}", row.version, got.changes));
                    }
                }
                Some(_) | None => {
                    return broken("G3", format!("version {} never came to who got to {to}", row.version));
                }
            }
        }
        match given.next() {
            Some(more) => broken("G3", format!("version {} is not on the way to {to}", more.version)),
            None => Ok(()),
        }
    }

    /// Returns the log on which both are, `held` no later than `to`.
    fn on_one_log(&self, held: Option<Position>, to: Position) -> Result<&Branch, Violation> {
        let Some(branch) = self.branch(&to) else {
            let shown = self.undurable.contains(&to);
            let (guarantee, why) = if shown { ("D2", "not durable") } else { ("G7", "on no log") };
            return broken(guarantee, format!("a follower got to {to}, which is {why}"));
        };
        let Some(held) = held else { return Ok(branch) };
        let all = &self.branches[&to.epoch];
        let both = all.iter().find(|branch| branch.has(&held) && branch.has(&to));
        match both {
            Some(branch) if held.version <= to.version => Ok(branch),
            Some(_) => broken("G1", format!("from {held} back to {to}")),
            None => broken("G7", format!("from {held} to {to}, which is on another log")),
        }
    }

    /// G3 of what is folded: whoever held `held` and was given these changes misses nothing up to `to`.
    pub(crate) fn check_folded(
        &self,
        held: Option<Position>,
        to: Position,
        given: &[FoldedChange],
        topics: &Topics,
    ) -> Kept {
        let branch = self.on_one_log(held, to)?;
        let from = held.map_or(branch.forgotten, |held| held.version.number());
        for folded in given {
            let row =
                branch.between(folded.version.number().saturating_sub(1), folded.version.number()).next();
            let said = row.is_some_and(|row| row.changes.iter().any(|change| same(change, &folded.change)));
            if !said {
                return broken("G3", format!("the fold to {to} tells {folded:?}, which never was"));
            }
        }
        for row in branch.between(from, to.version.number()) {
            for change in row.changes.iter().filter(|change| topics.pass(change)) {
                if !given
                    .iter()
                    .any(|folded| folded.version >= row.version && stands_for(&folded.change, change))
                {
                    return broken("G3", format!("the fold to {to} has lost {change:?} of {}", row.version));
                }
            }
        }
        Ok(())
    }

    /// G7: a reset is for those who are not on the log.
    pub(crate) fn check_reset(&self, held: Option<Position>, to: Position) -> Kept {
        let Some(branch) = self.branch(&to) else {
            return broken("G7", format!("a reset to {to}, which is on no log"));
        };
        match held {
            Some(held) if held.epoch > to.epoch => broken("E1", format!("a reset from {held} to {to}")),
            Some(held) if branch.has(&held) && held.version.number() > branch.forgotten => {
                broken("G5", format!("{held} is on the log of {to}, and was reset"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// S1, S2 and E1 of an answer that is marked fresh or revalidating.
    pub(crate) fn check_served(&self, served: &Served<'_>, fresh: bool, now: u64, until: u64) -> Kept {
        let Served { key, fill, known, .. } = served;
        if fill.epoch != known.epoch {
            return broken("E1", format!("{key}: an entry of {fill} was served at {known}"));
        }
        self.check_epoch(known, now, until)?;
        let Some(branch) = self.branch(known) else {
            return broken("D2", format!("a reader has heard {known}, which is on no log"));
        };
        if self.branches[&known.epoch].iter().any(|branch| branch.restored) {
            // What was acknowledged is gone until the new epoch that follows.
            return Ok(());
        }
        if let Some(target) = self.refused(branch, served) {
            return broken("S2", format!("{key} filled at {fill} was served at {known}, below {target:?}"));
        }
        let required = self.required(served.number, until, !fresh);
        if served.index < required {
            let what = format!(
                "{key}: value {} of {fill} was served at {known} ({now} ms), and value {required} was acknowledged \
                 by {until} ms",
                served.index
            );
            return broken("S1", what);
        }
        Ok(())
    }

    /// E1 and S1: nobody is current by an epoch that ended longer ago than the bound.
    fn check_epoch(&self, known: &Position, now: u64, until: u64) -> Kept {
        if known.epoch != self.current && self.epoch_since <= until && self.overlap <= until {
            let what = format!("{known} passed for current at {now} ms; {} began", self.current);
            return broken("S1", format!("{what} at {} ms", self.epoch_since));
        }
        Ok(())
    }

    /// Returns what refuses an entry that was filled, by all that its reader has heard.
    fn refused(&self, branch: &Branch, served: &Served<'_>) -> Option<Target> {
        let (after, to) = (served.fill.version.number(), served.known.version.number());
        let refuses =
            |target: &Target| branch.said(target).is_some_and(|named| any_in(&named.hard, after, to));
        let own = Target::Key(served.key.clone());
        if refuses(&own) {
            return Some(own);
        }
        if refuses(&Target::All) {
            return Some(Target::All);
        }
        let over = |target: &&Target| match target {
            Target::Prefix(prefix) => prefix.covers(served.key),
            Target::Tag(tag) => !served.found || served.tags.contains(tag),
            Target::Key(_) | Target::All => false,
        };
        self.prefixes.iter().chain(&self.tags).filter(over).find(|target| refuses(target)).cloned()
    }

    /// S2: what was removed does not stand in for a dead origin either.
    pub(crate) fn check_marked(&self, served: &Served<'_>) -> Kept {
        let Served { key, fill, known, found, .. } = served;
        if fill.epoch != known.epoch {
            return broken("E1", format!("{key}: an entry of {fill} was served at {known}"));
        }
        let Some(branch) = self.branch(known) else { return Ok(()) };
        let removed = branch
            .said(&Target::Key((*key).clone()))
            .is_some_and(|named| any_in(&named.removed, fill.version.number(), known.version.number()));
        if *found && removed {
            return broken("S2", format!("{key} filled at {fill} was served at {known}, and it was removed"));
        }
        Ok(())
    }

    /// S2 of an answer that the log itself gives: it was removed, and nothing was said of it since.
    pub(crate) fn check_removed(&self, key: &Key, at: Version, known: &Position) -> Kept {
        let Some(branch) = self.branch(known) else { return Ok(()) };
        let own = branch.said(&Target::Key(key.clone()));
        if !own.is_some_and(|named| named.removed.contains(&at.number())) {
            return broken("S2", format!("{key} was said to be removed at {at}, and was not"));
        }
        let (after, to) = (at.number(), known.version.number());
        let later = |target: &Target| {
            branch
                .said(target)
                .is_some_and(|named| any_in(&named.hard, after, to) || any_in(&named.soft, after, to))
        };
        let covers = |target: &&Target| match target {
            Target::Prefix(prefix) => prefix.covers(key),
            Target::Tag(_) | Target::Key(_) | Target::All => true,
        };
        let own = [Target::Key(key.clone()), Target::All];
        if self.prefixes.iter().chain(&self.tags).chain(&own).filter(covers).any(later) {
            return broken(
                "S2",
                format!("{key} was said to be removed at {at}, and {known} says more of it"),
            );
        }
        Ok(())
    }

    /// S1 of the same answer, if it is marked fresh: no later value was acknowledged.
    pub(crate) fn check_removed_fresh(
        &self,
        key: usize,
        index: u64,
        known: &Position,
        now: u64,
        until: u64,
    ) -> Kept {
        self.check_epoch(known, now, until)?;
        if self.branches[&known.epoch].iter().any(|branch| branch.restored) {
            return Ok(());
        }
        let required = self.required(key, until, false);
        if index < required {
            return broken(
                "S1",
                format!("key {key} was said to be removed by {index}; {required} was acknowledged"),
            );
        }
        Ok(())
    }
}

fn same(change: &Change, folded: &Change) -> bool {
    change.target == folded.target && change.operation == folded.operation
}

/// Says whether a later change says all that an earlier one did.
fn stands_for(later: &Change, earlier: &Change) -> bool {
    let covers = later.target == earlier.target
        || match (&later.target, &earlier.target) {
            (Target::All, _) => true,
            (Target::Prefix(prefix), Target::Key(key)) => prefix.covers(key),
            (Target::Prefix(prefix), Target::Prefix(other)) => other.as_str().starts_with(prefix.as_str()),
            (_, _) => false,
        };
    covers
        && match earlier.operation {
            Operation::Remove => later.operation == Operation::Remove && later.target == earlier.target,
            Operation::Update => later.operation != Operation::Soften,
            Operation::Soften => true,
        }
}
