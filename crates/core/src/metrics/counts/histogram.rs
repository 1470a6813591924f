//! Histograms: how long fetches of the origin took, and how old the proof of an answer was.

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
};

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
