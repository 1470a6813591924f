//! The model: a slow and obvious account of every log there was, of the origin's values, and of what was
//! acknowledged when. The model sees everything at once, and knows nothing of how the system keeps its
//! guarantees.

use std::collections::BTreeMap;

use newsreel_core::wire::{Change, Epoch, Position, Target, VersionRow};

use branch::Branch;

mod branch;
mod follower;
mod reader;

pub(crate) use reader::Served;

/// A guarantee that was not kept, by its name in the design, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// G1 to G7, D1 to D3, S1, S2 or E1; or `alive`: the system did not catch up in the end.
    pub guarantee: &'static str,
    /// The observation that breaks the guarantee.
    pub what: String,
}

/// Returns a violation of a guarantee as an error, for any kind of check.
pub(crate) fn broken<T>(guarantee: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { guarantee, what: what.into() })
}

pub(crate) type Check = Result<(), Violation>;

/// The acknowledged values of one key.
#[derive(Debug, Clone, Default)]
struct AckHistory {
    /// The moments of acknowledgement, each with the newest value by then: of all changes, and of hard
    /// changes.
    acked: Vec<(u64, u64)>,
    acked_hard: Vec<(u64, u64)>,
}

/// The account of everything that happened.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    branches: BTreeMap<Epoch, Vec<Branch>>,
    current: Epoch,
    /// The moment at which the current epoch began.
    epoch_since: u64,
    /// Rows that are written and not durable: a position among them was shown too early, any other never
    /// existed.
    undurable: Vec<Position>,
    histories: Vec<AckHistory>,
    /// The acknowledged position of each idempotency key, unless a restore undid it.
    receipts: BTreeMap<(usize, String), Position>,
    /// The version that each idempotency key was used for.
    keys: BTreeMap<(String, String), Position>,
    /// The newest acknowledged position of the current log.
    acked: Option<Position>,
    /// The moment until which the broker ran twice.
    overlap: u64,
    /// Every prefix that was published.
    prefixes: Vec<Target>,
    /// Every tag that was published.
    tags: Vec<Target>,
}

impl Model {
    pub(crate) fn new(epoch: Epoch, keys: usize) -> Self {
        Self {
            branches: BTreeMap::from([(epoch, vec![Branch::new(epoch)])]),
            current: epoch,
            epoch_since: 0,
            undurable: Vec::new(),
            histories: vec![AckHistory::default(); keys],
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

    /// A row is written, and may still be lost.
    pub(crate) fn wrote(&mut self, at: Position) {
        self.undurable.push(at);
    }

    /// Forgets the rows that were not durable.
    pub(crate) fn lost(&mut self) {
        self.undurable.clear();
    }

    /// A row is durable.
    pub(crate) fn durable(&mut self, at: Position, text: &str, now: u64) -> Check {
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
    pub(crate) fn began(&mut self, epoch: Epoch, now: u64) -> Check {
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

    /// The broker's storage was restored to this head.
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
    pub(crate) fn remembers(&mut self, publisher: String, key: String, at: Position) -> Check {
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

    /// D1: the log that a broker starts from has everything that was acknowledged.
    pub(crate) fn check_started(&self, head: Position) -> Check {
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

    /// D1 and D3: a publisher got this position as its receipt.
    pub(crate) fn check_receipt(
        &mut self,
        key: Option<(usize, String)>,
        at: Position,
        changes: &[Change],
    ) -> Check {
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

    /// Notes that a publish which changed this key was acknowledged.
    pub(crate) fn acknowledged(&mut self, key: usize, index: u64, hard: bool, now: u64) {
        let at = now.max(self.overlap);
        let history = &mut self.histories[key];
        let mut lists = vec![&mut history.acked];
        if hard {
            lists.push(&mut history.acked_hard);
        }
        for list in lists {
            let (last, most) = list.last().copied().unwrap_or_default();
            // Checks only look at the last minutes.
            if list.len() > 4_000 {
                list.drain(..2_000);
            }
            list.push((at.max(last), most.max(index)));
        }
    }

    /// Returns the oldest value that may be fresh for a reader that has heard everything acknowledged until
    /// `until`.
    fn required(&self, key: usize, until: u64, hard_only: bool) -> u64 {
        let history = &self.histories[key];
        let list = if hard_only { &history.acked_hard } else { &history.acked };
        let after = list.partition_point(|(at, _)| *at <= until);
        after.checked_sub(1).map_or(0, |last| list[last].1)
    }
}
