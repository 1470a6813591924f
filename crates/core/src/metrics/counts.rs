//! Counters of a reader, per class of keys, and how a replica adds them up.
//!
//! Knows nothing of how a report travels. Every count saturates. Two things are kept for every read:
//! - a tier that was asked counts once, as a hit, a miss or a failure; an entry that was refused is a miss of
//!   its tier, and its refusal is counted beside it;
//! - a read ends once, as an answer or a failure. `Stale` and `Revalidating` count all answers with that
//!   mark; `Removed` and `NotFound` only fresh ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

mod count;
mod histogram;

pub use count::Count;
pub(super) use count::CountRow;
use count::raise;
pub(super) use histogram::millis;
use histogram::observe;
pub(super) use histogram::{FIRST_SERVED, Histogram, LAG, ORIGIN, PROPAGATION, READ, STALENESS};

use crate::read::policy::OTHER;
use crate::wire::name::MAX_KEY_BYTES;

/// The most classes that are counted apart; further ones are counted as `other`.
pub const MAX_CLASSES: usize = 64;
/// The longest text of counts, in bytes: 65 lines with the longest class and the greatest numbers.
pub const MAX_TEXT_BYTES: usize = 192 << 10;

/// The counts of each class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// By class; no row is all zero.
    pub(super) rows: BTreeMap<String, CountRow>,
}

/// Why a text is not one of [`Counts::to_text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// The text has more than [`MAX_TEXT_BYTES`].
    #[error("counts have at most {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// The line with this number, from 1, is not numbers, ':' and a class greater than the one before.
    #[error("line {0} is not the counts of a class")]
    Line(usize),
}

impl Counts {
    /// Counts `n` more. (Of [`Count::LagMaxMs`] the greatest is kept.)
    pub fn add(&mut self, class: &str, count: Count, n: u64) {
        if n > 0 {
            raise(self.row(class), count as usize, n);
        }
    }

    /// Counts a fetch of the origin that ended, well or not, after so long.
    pub fn origin_took(&mut self, class: &str, took: Duration) {
        observe(self.row(class), &ORIGIN, took);
    }

    /// Counts the time of a read that asked more than memory.
    pub fn read_took(&mut self, class: &str, took: Duration) {
        observe(self.row(class), &READ, took);
    }

    /// Counts a version with a change of the class, which a replica applied so long after its commit.
    pub fn propagated(&mut self, class: &str, took: Duration) {
        observe(self.row(class), &PROPAGATION, took);
    }

    /// Counts the first answer with a change, so long after the reader heard of the change.
    pub fn first_served(&mut self, class: &str, took: Duration) {
        observe(self.row(class), &FIRST_SERVED, took);
    }

    /// Counts an answer from before a change that the reader had heard of so long ago.
    pub fn outdated(&mut self, class: &str, since: Duration) {
        observe(self.row(class), &STALENESS, since);
    }

    /// Counts the lag of an answer; `None` if nothing was ever proved.
    pub fn lag(&mut self, class: &str, lag: Option<Duration>) {
        let row = self.row(class);
        match lag {
            Some(lag) => {
                observe(row, &LAG, lag);
                raise(row, Count::LagMaxMs as usize, millis(lag));
            }
            None => raise(row, Count::LagUnknown as usize, 1),
        }
    }

    /// Says whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Hands over all counts, and starts again from zero.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Adds the counts of another report.
    pub fn merge(&mut self, other: &Self) {
        for (class, counted) in &other.rows {
            raise_all(self.row(class), counted);
        }
    }

    /// Takes the greatest lag of each class out of the counts, in milliseconds. A gauge has to fall again, so
    /// a replica takes the greatest lags from time to time.
    #[must_use]
    pub fn take_greatest_lags(&mut self) -> BTreeMap<String, u64> {
        let mut greatest = BTreeMap::new();
        for (class, row) in &mut self.rows {
            let lag = row.get_mut(Count::LagMaxMs as usize).map(std::mem::take).unwrap_or_default();
            if lag > 0 {
                greatest.insert(class.clone(), lag);
            }
        }
        self.rows.retain(|_, row| row.iter().any(|n| *n > 0));
        greatest
    }

    /// Returns the classes that have counts, in order.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// Returns one count of a class.
    #[must_use]
    pub fn get(&self, class: &str, count: Count) -> u64 {
        self.rows.get(class).map_or(0, |row| of(row, count))
    }

    /// Returns the numbers of a class for one data point of Workers Analytics Engine, `double1` first: 1
    /// reads; hits of 2 memory, 3 KV, 4 R2, 5 the origin; 6 failures of the origin; 7 refusals; answers that
    /// were 8 fresh, 9 revalidating, 10 stale, 11 removed, 12 not found; 13 failed reads; 14 refreshes; 15
    /// syncs; 16 fetches of the origin, 17 their milliseconds; 18 answers of known lag, 19 their lag in
    /// milliseconds, 20 the greatest.
    #[must_use]
    pub fn doubles(&self, class: &str) -> [f64; 20] {
        let mut doubles = [0.0; 20];
        let Some(row) = self.rows.get(class) else { return doubles };
        for (double, counts) in doubles.iter_mut().zip(&DOUBLES) {
            let all = counts.iter().fold(0, |all: u64, count| all.saturating_add(of(row, *count)));
            *double = all as f64;
        }
        doubles
    }

    /// Returns the counts as text, a line a class: the numbers in the order of [`Count::ALL`] without the
    /// zeros at the end, separated by spaces, then ':' and the class. At most [`MAX_TEXT_BYTES`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (class, row) in &self.rows {
            let used = row.iter().rposition(|n| *n > 0).map_or(0, |at| at + 1);
            for (at, n) in row.iter().take(used).enumerate() {
                let space = if at > 0 { " " } else { "" };
                let _ = write!(text, "{space}{n}");
            }
            let _ = writeln!(text, ":{class}");
        }
        text
    }

    /// Reads a text of [`Self::to_text`]. Numbers past the last count known here are of a newer build, and
    /// are ignored.
    ///
    /// # Errors
    /// [`CountsError`] when the text is not such a report.
    pub fn parse(text: &str) -> Result<Self, CountsError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CountsError::TooLong);
        }
        let mut counts = Self::default();
        let mut previous = "";
        for (at, line) in text.split_terminator('\n').enumerate() {
            let (class, row) = read(line).ok_or(CountsError::Line(at + 1))?;
            if class <= previous {
                return Err(CountsError::Line(at + 1));
            }
            if row.iter().any(|n| *n > 0) {
                raise_all(counts.row(class), &row);
            }
            previous = class;
        }
        Ok(counts)
    }

    /// Returns the row of a class, or of `other` when there is no room for it or it cannot be written.
    fn row(&mut self, class: &str) -> &mut CountRow {
        // Nearly every read is of a class that was counted before, and needs no name of its own.
        if self.rows.contains_key(class) {
            return self.rows.get_mut(class).expect("the row is there");
        }
        let named = self.rows.len() - usize::from(self.rows.contains_key(OTHER));
        let class = if named < MAX_CLASSES && is_class(class) { class } else { OTHER };
        self.rows.entry(class.to_owned()).or_insert([0; _])
    }
}

/// Says whether a class can be that of a key: the part before the first ':'.
fn is_class(text: &str) -> bool {
    (1..MAX_KEY_BYTES).contains(&text.len()) && !text.contains(|c: char| c == ':' || c.is_control())
}

/// Reads a line of [`Counts::to_text`].
fn read(line: &str) -> Option<(&str, CountRow)> {
    let (numbers, class) = line.split_once(':')?;
    let mut row = [0; _];
    for (at, number) in numbers.split(' ').enumerate() {
        let number = whole(number)?;
        raise(&mut row, at, number);
    }
    is_class(class).then_some((class, row))
}

/// Reads a whole number of digits only (`u64::from_str` takes a leading '+').
pub(crate) fn whole(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn raise_all(row: &mut CountRow, counted: &CountRow) {
    for (at, n) in counted.iter().enumerate() {
        raise(row, at, *n);
    }
}

pub(super) fn of(row: &CountRow, count: Count) -> u64 {
    row.get(count as usize).copied().unwrap_or(0)
}

/// The counters that each number of a data point adds up; see [`Counts::doubles`].
const DOUBLES: [&[Count]; 20] = [
    &[Count::Reads],
    &[Count::MemoryHit],
    &[Count::KvHit],
    &[Count::R2Hit],
    &[Count::OriginHit],
    &[Count::OriginFailed],
    &[
        Count::BelowKey,
        Count::BelowTag,
        Count::BelowPrefix,
        Count::BelowAll,
        Count::Soft,
        Count::Expired,
        Count::OtherEpoch,
    ],
    &[Count::Fresh],
    &[Count::Revalidating],
    &[Count::Stale],
    &[Count::Removed],
    &[Count::NotFound],
    &[Count::BoundNotKept, Count::MinVersion, Count::OriginDown],
    &[Count::Refreshes],
    &[Count::Syncs],
    &[Count::OriginFetches],
    &[Count::OriginMs],
    &[Count::Lags],
    &[Count::LagMs],
    &[Count::LagMaxMs],
];

#[cfg(test)]
mod tests;
