//! Histograms of times: of fetches, of lags, of reads, and of the way of a change.

use std::time::Duration;

use super::count::{Count, CountRow, raise};

/// The counters that make up one histogram of times.
pub(crate) struct Histogram {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// Counts every observation; those past the last bound are counted only here.
    pub(crate) all: Count,
    /// Sums the milliseconds of all observations.
    pub(crate) sum: Count,
    /// The buckets: a bound in milliseconds, its label in seconds, and the counter of observations up to the
    /// bound and past the bound before.
    pub(crate) bounds: &'static [(u64, &'static str, Count)],
    /// The counters of all that could be observed, where what is within the first bound is not observed one by one: a hit of
    /// memory then costs nothing more. Empty where everything is observed.
    pub(crate) of: &'static [Count],
}

pub(super) fn observe(row: &mut CountRow, histogram: &Histogram, took: Duration) {
    let ms = millis(took);
    raise(row, histogram.all as usize, 1);
    raise(row, histogram.sum as usize, ms);
    if let Some((_, _, count)) = histogram.bounds.iter().find(|(bound, _, _)| ms <= *bound) {
        raise(row, *count as usize, 1);
    }
}

pub(crate) const ORIGIN: Histogram = Histogram {
    name: "newsreel_origin_seconds",
    help: "How long fetches of the origin took.",
    all: Count::OriginFetches,
    sum: Count::OriginMs,
    bounds: &[
        (10, r#"le="0.01""#, Count::OriginIn10),
        (50, r#"le="0.05""#, Count::OriginIn50),
        (100, r#"le="0.1""#, Count::OriginIn100),
        (500, r#"le="0.5""#, Count::OriginIn500),
        (1_000, r#"le="1""#, Count::OriginIn1000),
        (5_000, r#"le="5""#, Count::OriginIn5000),
    ],
    of: &[],
};

pub(crate) const LAG: Histogram = Histogram {
    name: "newsreel_lag_seconds",
    help: "How long before an answer it was last proved that everything had been heard.",
    all: Count::Lags,
    sum: Count::LagMs,
    bounds: &[
        (100, r#"le="0.1""#, Count::LagIn100),
        (500, r#"le="0.5""#, Count::LagIn500),
        (1_000, r#"le="1""#, Count::LagIn1000),
        (2_000, r#"le="2""#, Count::LagIn2000),
        (10_000, r#"le="10""#, Count::LagIn10000),
        (60_000, r#"le="60""#, Count::LagIn60000),
    ],
    of: &[],
};

pub(crate) const READ: Histogram = Histogram {
    name: "newsreel_read_seconds",
    help: "How long reads took. One that asked memory alone takes no time by the platform's clock.",
    all: Count::Timed,
    sum: Count::TimedMs,
    bounds: &[
        (1, r#"le="0.001""#, Count::TimedIn1),
        (5, r#"le="0.005""#, Count::TimedIn5),
        (10, r#"le="0.01""#, Count::TimedIn10),
        (25, r#"le="0.025""#, Count::TimedIn25),
        (50, r#"le="0.05""#, Count::TimedIn50),
        (100, r#"le="0.1""#, Count::TimedIn100),
        (250, r#"le="0.25""#, Count::TimedIn250),
        (500, r#"le="0.5""#, Count::TimedIn500),
        (1000, r#"le="1""#, Count::TimedIn1000),
        (5000, r#"le="5""#, Count::TimedIn5000),
    ],
    of: &[Count::Reads],
};

pub(crate) const PROPAGATION: Histogram = Histogram {
    name: "newsreel_propagation_seconds",
    help: "From the commit of a version to its floors in the replica.",
    all: Count::Propagated,
    sum: Count::PropagatedMs,
    bounds: &[
        (50, r#"le="0.05""#, Count::PropagatedIn50),
        (100, r#"le="0.1""#, Count::PropagatedIn100),
        (250, r#"le="0.25""#, Count::PropagatedIn250),
        (500, r#"le="0.5""#, Count::PropagatedIn500),
        (1000, r#"le="1""#, Count::PropagatedIn1000),
        (5000, r#"le="5""#, Count::PropagatedIn5000),
        (30000, r#"le="30""#, Count::PropagatedIn30000),
        (120000, r#"le="120""#, Count::PropagatedIn120000),
        (300000, r#"le="300""#, Count::PropagatedIn300000),
    ],
    of: &[],
};

pub(crate) const FIRST_SERVED: Histogram = Histogram {
    name: "newsreel_first_served_seconds",
    help: "From hearing of a hard change to the first answer of the origin with it.",
    all: Count::FirstServed,
    sum: Count::FirstServedMs,
    bounds: &[
        (100, r#"le="0.1""#, Count::FirstServedIn100),
        (500, r#"le="0.5""#, Count::FirstServedIn500),
        (1000, r#"le="1""#, Count::FirstServedIn1000),
        (5000, r#"le="5""#, Count::FirstServedIn5000),
        (30000, r#"le="30""#, Count::FirstServedIn30000),
        (120000, r#"le="120""#, Count::FirstServedIn120000),
        (300000, r#"le="300""#, Count::FirstServedIn300000),
    ],
    of: &[],
};

pub(crate) const STALENESS: Histogram = Histogram {
    name: "newsreel_staleness_seconds",
    help: "How long a change had been heard of that an answer was from before; 0 for all others.",
    all: Count::Outdated,
    sum: Count::OutdatedMs,
    bounds: &[
        (0, r#"le="0""#, Count::OutdatedIn0),
        (1000, r#"le="1""#, Count::OutdatedIn1000),
        (5000, r#"le="5""#, Count::OutdatedIn5000),
        (30000, r#"le="30""#, Count::OutdatedIn30000),
        (120000, r#"le="120""#, Count::OutdatedIn120000),
        (300000, r#"le="300""#, Count::OutdatedIn300000),
        (3600000, r#"le="3600""#, Count::OutdatedIn3600000),
    ],
    of: &[Count::Fresh, Count::Revalidating, Count::Stale, Count::Removed, Count::NotFound],
};

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
