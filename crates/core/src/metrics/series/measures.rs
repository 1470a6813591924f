//! The names of series, and the numbers of a bucket that each is made of.

use crate::metrics::counts::{Count, FIRST_SERVED, Histogram, LAG, ORIGIN, PROPAGATION, READ, STALENESS};
use crate::wire::series::Merge;

/// The numbers of a kind of bucket, and their names in an answer.
#[derive(Debug)]
pub struct Measures {
    /// How many numbers a class has.
    pub width: usize,
    /// The numbers of which the greatest stands for all; the others add up.
    pub greatest: &'static [usize],
    /// The series of one number a step.
    pub values: &'static [Value],
    /// The series of one histogram a step.
    pub histograms: &'static [Buckets],
}

/// A series of one number a step: the sum of some numbers of a bucket.
#[derive(Debug)]
pub struct Value {
    /// The name in an answer.
    pub name: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// The numbers that are added up.
    pub of: &'static [usize],
}

/// A series of one histogram a step, in milliseconds.
#[derive(Debug)]
pub struct Buckets {
    /// The name in an answer.
    pub name: &'static str,
    /// The number of all observations.
    pub all: usize,
    /// The sum of all observations.
    pub sum: usize,
    /// The upper bound of each bucket but the last, inclusive, and the number of observations in the bucket.
    pub bounds: &'static [(u64, usize)],
    /// The numbers of all that could be observed, where the rest is within the first bound.
    pub of: &'static [usize],
}

impl Measures {
    /// Returns how two of a bucket's numbers become one.
    #[must_use]
    pub fn merge(&self, number: usize) -> Merge {
        if self.greatest.contains(&number) { Merge::Greatest } else { Merge::Sum }
    }

    /// Says whether a series has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|one| one.name == name) || self.histograms.iter().any(|one| one.name == name)
    }
}

/// Makes the table of a histogram's buckets.
const fn bounds<const N: usize>(histogram: &Histogram) -> [(u64, usize); N] {
    let mut bounds = [(0, 0); N];
    let mut left: &[(u64, &str, Count)] = histogram.bounds;
    let mut at = 0;
    let mut rest: &mut [(u64, usize)] = &mut bounds;
    while let (Some((from, more)), Some((to, free))) = (left.split_first(), rest.split_first_mut()) {
        *to = (from.0, from.2 as usize);
        (left, rest) = (more, free);
        at += 1;
    }
    assert!(at == N && left.is_empty(), "a table has a place for each bucket");
    bounds
}

const ORIGIN_BOUNDS: [(u64, usize); 6] = bounds(&ORIGIN);
const LAG_BOUNDS: [(u64, usize); 6] = bounds(&LAG);
const READ_BOUNDS: [(u64, usize); 10] = bounds(&READ);
const PROPAGATION_BOUNDS: [(u64, usize); 9] = bounds(&PROPAGATION);
const FIRST_SERVED_BOUNDS: [(u64, usize); 7] = bounds(&FIRST_SERVED);
const STALENESS_BOUNDS: [(u64, usize); 7] = bounds(&STALENESS);
/// The numbers of all answers.
const ANSWERS: [usize; 5] = [
    Count::Fresh as usize,
    Count::Revalidating as usize,
    Count::Stale as usize,
    Count::Removed as usize,
    Count::NotFound as usize,
];

const fn buckets(
    name: &'static str,
    histogram: &'static Histogram,
    bounds: &'static [(u64, usize)],
    of: &'static [usize],
) -> Buckets {
    Buckets { name, all: histogram.all as usize, sum: histogram.sum as usize, bounds, of }
}

const fn count(name: &'static str, of: &'static [usize]) -> Value {
    Value { name, unit: "count", of }
}

/// The series of an edge's readers, by class of keys.
pub static READER: Measures = Measures {
    width: Count::ALL.len(),
    greatest: &[Count::LagMaxMs as usize, Count::KvTodo as usize],
    values: &[
        count("reads", &[Count::Reads as usize]),
        count("answers_fresh", &[Count::Fresh as usize]),
        count("answers_revalidating", &[Count::Revalidating as usize]),
        count("answers_stale", &[Count::Stale as usize]),
        count("answers_removed", &[Count::Removed as usize]),
        count("answers_not_found", &[Count::NotFound as usize]),
        count(
            "answers_failed",
            &[Count::BoundNotKept as usize, Count::MinVersion as usize, Count::OriginDown as usize],
        ),
        count("failures_bound", &[Count::BoundNotKept as usize]),
        count("failures_min_version", &[Count::MinVersion as usize]),
        count("failures_origin", &[Count::OriginDown as usize]),
        count("hits_memory", &[Count::MemoryHit as usize]),
        count("hits_kv", &[Count::KvHit as usize]),
        count("hits_r2", &[Count::R2Hit as usize]),
        count("hits_origin", &[Count::OriginHit as usize, Count::OriginMiss as usize]),
        count("origin_fetches", &[Count::OriginFetches as usize]),
        count("origin_failures", &[Count::OriginFailed as usize]),
        count("kv_failures", &[Count::KvFailed as usize]),
        count("r2_failures", &[Count::R2Failed as usize]),
        count("refusals_below_floor_of_key", &[Count::BelowKey as usize]),
        count("refusals_below_floor_of_tag", &[Count::BelowTag as usize]),
        count("refusals_below_floor_of_prefix", &[Count::BelowPrefix as usize]),
        count("refusals_below_floor_of_all", &[Count::BelowAll as usize]),
        count("refusals_below_soft_floor", &[Count::Soft as usize]),
        count("refusals_floors_unknown", &[Count::FloorsUnknown as usize]),
        count("refusals_outvoted", &[Count::Outvoted as usize]),
        count("refusals_expired", &[Count::Expired as usize]),
        count("refusals_other_epoch", &[Count::OtherEpoch as usize]),
        count("shared", &[Count::Shared as usize]),
        count("refreshes", &[Count::Refreshes as usize]),
        count("syncs", &[Count::Syncs as usize]),
        count("lag_unknown", &[Count::LagUnknown as usize]),
        Value { name: "lag_max_ms", unit: "ms", of: &[Count::LagMaxMs as usize] },
        count("over_bound", &[Count::OverBound as usize]),
        count("kv_todo", &[Count::KvTodo as usize]),
        count("verify_consistent", &[Count::VerifyConsistent as usize]),
        count("verify_marked", &[Count::VerifyMarked as usize]),
        count("verify_wrong", &[Count::VerifyWrong as usize]),
        count("verify_unknown", &[Count::VerifyUnknown as usize]),
        count("cost_kv_reads", &[Count::KvHit as usize, Count::KvMiss as usize, Count::KvFailed as usize]),
        count("cost_kv_writes", &[Count::KvFill as usize]),
        count("cost_kv_deletes", &[Count::KvDeletes as usize]),
        count("cost_r2_a", &[Count::R2Fill as usize]),
        count(
            "cost_r2_b",
            &[
                Count::R2Hit as usize,
                Count::R2Miss as usize,
                Count::R2Failed as usize,
                Count::R2Heads as usize,
            ],
        ),
        count("cost_do_requests", &[Count::DoRequests as usize]),
        count("cost_do_messages", &[Count::DoMessages as usize]),
        Value { name: "cost_do_ms", unit: "ms", of: &[Count::DoMs as usize] },
    ],
    histograms: &[
        buckets("origin_ms", &ORIGIN, &ORIGIN_BOUNDS, &[]),
        buckets("lag_ms", &LAG, &LAG_BOUNDS, &[]),
        buckets("read_ms", &READ, &READ_BOUNDS, &[Count::Reads as usize]),
        buckets("propagation_ms", &PROPAGATION, &PROPAGATION_BOUNDS, &[]),
        buckets("first_served_ms", &FIRST_SERVED, &FIRST_SERVED_BOUNDS, &[]),
        buckets("staleness_ms", &STALENESS, &STALENESS_BOUNDS, &ANSWERS),
    ],
};

macro_rules! log_counts {
    ($($(#[$doc:meta])* $count:ident,)+) => {
        /// The name of a number of the log. The order is that of packed buckets, so a further one goes to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum LogCount {
            $($(#[$doc])* $count,)+
        }

        impl LogCount {
            /// All numbers, in the order of packed buckets.
            pub const ALL: &[Self] = &[$(Self::$count),+];
        }
    };
}

log_counts! {
    /// Publishes that have a version, of their own or from before.
    Publishes,
    /// Changes that were committed.
    Changes,
    /// Versions made.
    Versions,
    /// Publishes that were refused.
    Refused,
    /// Bytes of the changes that were committed, as the log writes them.
    Bytes,
    /// The most followers at once.
    Followers,
    /// The version of the head.
    Head,
    /// Requests to the object.
    Requests,
    /// Messages that sockets sent the object.
    Messages,
    /// Publishes whose commit was timed.
    PublishTimed,
    /// The sum of these times, in milliseconds.
    PublishMs,
    /// Commits of at most 1 ms.
    PublishIn1,
    /// Commits of 1 to 5 ms.
    PublishIn5,
    /// Commits of 5 to 10 ms.
    PublishIn10,
    /// Commits of 10 to 50 ms.
    PublishIn50,
    /// Commits of 50 to 100 ms.
    PublishIn100,
    /// Commits of 100 to 500 ms.
    PublishIn500,
    /// Commits of 0.5 to 1 s.
    PublishIn1000,
    /// Acknowledgements of a version by a replica.
    Applied,
    /// The sum of the times from commit to acknowledgement, in milliseconds.
    AppliedMs,
    /// Acknowledged within 10 ms.
    AppliedIn10,
    /// Acknowledged after 10 to 50 ms.
    AppliedIn50,
    /// Acknowledged after 50 to 100 ms.
    AppliedIn100,
    /// Acknowledged after 100 to 250 ms.
    AppliedIn250,
    /// Acknowledged after 250 to 500 ms.
    AppliedIn500,
    /// Acknowledged after 0.5 to 1 s.
    AppliedIn1000,
    /// Acknowledged after 1 to 5 s.
    AppliedIn5000,
    /// Acknowledged after 5 to 60 s.
    AppliedIn60000,
    /// Acknowledged after 1 to 5 minutes.
    AppliedIn300000,
}

/// The series of a catalog's log.
pub static BROKER: Measures = Measures {
    width: LogCount::ALL.len(),
    greatest: &[LogCount::Followers as usize, LogCount::Head as usize],
    values: &[
        count("publishes", &[LogCount::Publishes as usize]),
        count("changes", &[LogCount::Changes as usize]),
        count("versions", &[LogCount::Versions as usize]),
        count("refused", &[LogCount::Refused as usize]),
        Value { name: "bytes", unit: "bytes", of: &[LogCount::Bytes as usize] },
        count("followers", &[LogCount::Followers as usize]),
        Value { name: "position_version", unit: "version", of: &[LogCount::Head as usize] },
        count("cost_do_requests", &[LogCount::Requests as usize]),
        count("cost_do_messages", &[LogCount::Messages as usize]),
    ],
    histograms: &[
        Buckets {
            name: "publish_ms",
            all: LogCount::PublishTimed as usize,
            sum: LogCount::PublishMs as usize,
            bounds: &[
                (1, LogCount::PublishIn1 as usize),
                (5, LogCount::PublishIn5 as usize),
                (10, LogCount::PublishIn10 as usize),
                (50, LogCount::PublishIn50 as usize),
                (100, LogCount::PublishIn100 as usize),
                (500, LogCount::PublishIn500 as usize),
                (1_000, LogCount::PublishIn1000 as usize),
            ],
            of: &[],
        },
        Buckets {
            name: "applied_ms",
            all: LogCount::Applied as usize,
            sum: LogCount::AppliedMs as usize,
            bounds: &[
                (10, LogCount::AppliedIn10 as usize),
                (50, LogCount::AppliedIn50 as usize),
                (100, LogCount::AppliedIn100 as usize),
                (250, LogCount::AppliedIn250 as usize),
                (500, LogCount::AppliedIn500 as usize),
                (1_000, LogCount::AppliedIn1000 as usize),
                (5_000, LogCount::AppliedIn5000 as usize),
                (60_000, LogCount::AppliedIn60000 as usize),
                (300_000, LogCount::AppliedIn300000 as usize),
            ],
            of: &[],
        },
    ],
};
