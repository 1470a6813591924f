//! What a reader counts, per class; how a replica adds it up, and how it is shown.
//!
//! Knows nothing of how a report travels. Every count saturates. Two things are kept for every read:
//! - a tier that was asked counts once, as a hit, a miss or a failure; an entry that was refused is a miss of
//!   its tier, and its refusal is counted beside it;
//! - a read ends once, as an answer or a failure. `Stale` and `Revalidating` count whatever was answered so;
//!   `Removed` and `NotFound` only what was fresh.

use std::fmt::Write as _;
use std::time::Duration;

use crate::read::policy::OTHER;
use crate::wire::name::MAX_KEY_BYTES;

/// How many classes are told apart; further ones are counted as `other`.
pub const MAX_CLASSES: usize = 64;
/// The longest text of counts, in bytes. It holds 65 lines with the longest class and the greatest numbers.
pub const MAX_TEXT_BYTES: usize = 128 << 10;

macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident,)+) => {
        /// What is counted. The order is that of the text form: a further one goes to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $count,)+
        }

        impl Count {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$count),+];
        }
    };
}

counts! {
    /// Reads begun, one per key.
    Reads,
    /// Memory gave an entry that could be served.
    MemoryHit,
    /// Memory had none.
    MemoryMiss,
    /// Memory failed.
    MemoryFailed,
    /// KV gave an entry that could be served.
    KvHit,
    /// KV had none.
    KvMiss,
    /// KV did not answer.
    KvFailed,
    /// R2 gave an entry that could be served.
    R2Hit,
    /// R2 had none.
    R2Miss,
    /// R2 did not answer.
    R2Failed,
    /// The origin gave a value.
    OriginHit,
    /// The origin has none.
    OriginMiss,
    /// The origin did not answer.
    OriginFailed,
    /// An entry was refused: below the hard floor of its key.
    BelowKey,
    /// Of one of its tags.
    BelowTag,
    /// Of a prefix of its key.
    BelowPrefix,
    /// Of everything.
    BelowAll,
    /// Below a soft floor.
    Soft,
    /// Past its time.
    Expired,
    /// Of another epoch.
    OtherEpoch,
    /// Answers that were fresh, with a value.
    Fresh,
    /// Answers that are fetched anew behind the answer.
    Revalidating,
    /// Answers marked stale.
    Stale,
    /// Fresh answers of the log: it was removed.
    Removed,
    /// Fresh answers that there is none.
    NotFound,
    /// Reads that failed because the bound could not be kept.
    BoundNotKept,
    /// Because the version asked for was not heard.
    MinVersion,
    /// Because the origin did not answer.
    OriginDown,
    /// Entries put into memory.
    MemoryFill,
    /// Entries put into KV.
    KvFill,
    /// Entries put into R2.
    R2Fill,
    /// Fetches behind an answer.
    Refreshes,
    /// Syncs with the replica.
    Syncs,
    /// Reads that asked KV, R2 and the origin at once.
    QuorumReads,
    /// Those in which not all that answered held the same.
    Disagreements,
    /// Misses that waited for the fetch of another request.
    Shared,
    /// Fetches of the origin that ended; see [`Counts::origin_took`].
    OriginFetches,
    /// How long they took, added up, in milliseconds.
    OriginMs,
    /// Those of at most 10 ms.
    OriginIn10,
    /// Those of more, up to 50 ms.
    OriginIn50,
    /// Those of more, up to 100 ms.
    OriginIn100,
    /// Those of more, up to 500 ms.
    OriginIn500,
    /// Those of more, up to 1 s.
    OriginIn1000,
    /// Those of more, up to 5 s.
    OriginIn5000,
    /// Answers whose lag was known; see [`Counts::lag`].
    Lags,
    /// Their lag, added up, in milliseconds.
    LagMs,
    /// Those with a lag of at most 0.1 s.
    LagIn100,
    /// Those with more, up to 0.5 s.
    LagIn500,
    /// Those with more, up to 1 s.
    LagIn1000,
    /// Those with more, up to 2 s.
    LagIn2000,
    /// Those with more, up to 10 s.
    LagIn10000,
    /// Those with more, up to 60 s.
    LagIn60000,
    /// Answers of which nothing was ever proved.
    LagUnknown,
    /// The greatest lag, in milliseconds: the only one that is not added up.
    LagMaxMs,
    /// An entry was refused: its floors were not remembered, and nobody could be asked.
    FloorsUnknown,
    /// An entry was refused: a newer one of the same quorum says otherwise.
    Outvoted,
}

pub(super) type Row = [u64; Count::ALL.len()];

/// The counts of each class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// In the order of the classes; no row is all zero.
    pub(super) rows: Vec<(String, Row)>,
}

/// Why a text is not one of [`Counts::to_text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// More than [`MAX_TEXT_BYTES`].
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

    /// Hands over what was counted and begins anew.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (class, counted) in &other.rows {
            raise_all(self.row(class), counted);
        }
    }

    /// Returns the classes that have counts, in order.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(class, _)| class.as_str())
    }

    /// Returns one count of a class.
    #[must_use]
    pub fn get(&self, class: &str, count: Count) -> u64 {
        self.find(class).ok().and_then(|at| self.rows.get(at)).map_or(0, |(_, row)| of(row, count))
    }

    /// Returns the numbers of a class for one data point of Workers Analytics Engine, `double1` first:
    /// 1 reads; hits of 2 memory, 3 KV, 4 R2, 5 the origin; 6 failures of the origin; 7 refusals; answers that
    /// were 8 fresh, 9 revalidating, 10 stale, 11 removed, 12 not found; 13 failed reads; 14 refreshes;
    /// 15 syncs; 16 fetches of the origin, 17 their milliseconds; 18 answers of known lag, 19 their lag in
    /// milliseconds, 20 the greatest.
    #[must_use]
    pub fn doubles(&self, class: &str) -> [f64; 20] {
        let mut doubles = [0.0; 20];
        let Some((_, row)) = self.find(class).ok().and_then(|at| self.rows.get(at)) else { return doubles };
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

    /// Reads what [`Self::to_text`] wrote. Numbers past the last count known here are a newer version's and
    /// are ignored.
    ///
    /// # Errors
    /// [`CountsError`] when any part of it is something else.
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

    fn find(&self, class: &str) -> Result<usize, usize> {
        self.rows.binary_search_by(|(known, _)| known.as_str().cmp(class))
    }

    /// Returns the row of a class, or of `other` when there is no room for it or it cannot be written.
    fn row(&mut self, class: &str) -> &mut Row {
        let found = self.find(class);
        if found.is_err() && class != OTHER {
            let named = self.classes().filter(|known| *known != OTHER).count();
            if named >= MAX_CLASSES || !is_class(class) {
                return self.row(OTHER);
            }
        }
        let at = found.unwrap_or_else(|at| {
            self.rows.insert(at, (class.to_owned(), [0; _]));
            at
        });
        let (_, row) = self.rows.get_mut(at).expect("found, or inserted above");
        row
    }
}

/// Says whether a class can be that of a key: the part before the first ':'.
fn is_class(text: &str) -> bool {
    (1..MAX_KEY_BYTES).contains(&text.len()) && !text.contains(|c: char| c == ':' || c.is_control())
}

/// Reads a line of [`Counts::to_text`].
fn read(line: &str) -> Option<(&str, Row)> {
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

fn raise(row: &mut Row, at: usize, n: u64) {
    if let Some(count) = row.get_mut(at) {
        *count = if at == Count::LagMaxMs as usize { n.max(*count) } else { n.saturating_add(*count) };
    }
}

fn raise_all(row: &mut Row, counted: &Row) {
    for (at, n) in counted.iter().enumerate() {
        raise(row, at, *n);
    }
}

pub(super) fn of(row: &Row, count: Count) -> u64 {
    row.get(count as usize).copied().unwrap_or(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Counts of how long things took.
pub(super) struct Histogram {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// How many; those past the last bound are counted only here.
    pub(super) all: Count,
    /// All their milliseconds.
    pub(super) sum: Count,
    /// A bound in milliseconds and as a label in seconds; how many took so long, but longer than the one before.
    pub(super) bounds: [(u64, &'static str, Count); 6],
}

fn observe(row: &mut Row, histogram: &Histogram, took: Duration) {
    let ms = millis(took);
    raise(row, histogram.all as usize, 1);
    raise(row, histogram.sum as usize, ms);
    if let Some((_, _, count)) = histogram.bounds.iter().find(|(bound, _, _)| ms <= *bound) {
        raise(row, *count as usize, 1);
    }
}

pub(super) const ORIGIN: Histogram = Histogram {
    name: "newsreel_origin_seconds",
    help: "How long fetches of the origin took.",
    all: Count::OriginFetches,
    sum: Count::OriginMs,
    bounds: [
        (10, r#"le="0.01""#, Count::OriginIn10),
        (50, r#"le="0.05""#, Count::OriginIn50),
        (100, r#"le="0.1""#, Count::OriginIn100),
        (500, r#"le="0.5""#, Count::OriginIn500),
        (1_000, r#"le="1""#, Count::OriginIn1000),
        (5_000, r#"le="5""#, Count::OriginIn5000),
    ],
};

pub(super) const LAG: Histogram = Histogram {
    name: "newsreel_lag_seconds",
    help: "How long before an answer it was last proved that everything had been heard.",
    all: Count::Lags,
    sum: Count::LagMs,
    bounds: [
        (100, r#"le="0.1""#, Count::LagIn100),
        (500, r#"le="0.5""#, Count::LagIn500),
        (1_000, r#"le="1""#, Count::LagIn1000),
        (2_000, r#"le="2""#, Count::LagIn2000),
        (10_000, r#"le="10""#, Count::LagIn10000),
        (60_000, r#"le="60""#, Count::LagIn60000),
    ],
};

/// What each number of a data point adds up; see [`Counts::doubles`].
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
