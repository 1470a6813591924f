//! The arithmetic of repeated measurements: medians, the spread around them, and ratios of two systems.

use hdrhistogram::Histogram;

/// The rounds of one measurement: the middle, and the two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Returns the spread of the rounds, or `None` if there are none.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        let median = f64::midpoint(lower, upper);
        Some(Self { least, median, most })
    }
}

/// Returns the ratios of two systems, each taken within one round.
///
/// Rounds are interleaved, so a busy minute of the machine slows both systems of a round and leaves their ratio alone.
/// A round that one of the two did not finish has no ratio.
pub(crate) fn ratios(of: &[Option<f64>], to: &[Option<f64>]) -> Vec<f64> {
    let rounds = of.iter().zip(to).filter_map(|(of, to)| Some(((*of)?, (*to)?)));
    rounds.filter(|(of, to)| *of > 0.0 && *to > 0.0).map(|(of, to)| of / to).collect()
}

/// Times in microseconds, kept to three digits.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are within what the histogram takes"))
    }

    pub(crate) fn record(&mut self, time: std::time::Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.record(micros).expect("a histogram that resizes takes every value");
    }

    /// Adds the times of another client of the same load.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that resizes takes every value");
    }

    /// Returns the time in milliseconds that so many percent of all times stay within.
    pub(crate) fn milliseconds_at(&self, percent: f64) -> f64 {
        let micros = u32::try_from(self.0.value_at_percentile(percent)).unwrap_or(u32::MAX);
        f64::from(micros) / 1000.0
    }
}

/// Returns a count as a number to calculate with. Counts here stay below 2^53, which a number holds exactly.
#[expect(clippy::cast_precision_loss, reason = "counts of operations and bytes stay below 2^53")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(Spread::of(&[7.0]).map(|spread| spread.median), Some(7.0));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine was ten times slower in the second round.
        let of = [Some(10.0), Some(1.0)];
        let to = [Some(5.0), Some(0.25)];
        assert_eq!(ratios(&of, &to), [2.0, 4.0]);
    }

    #[test]
    fn a_round_that_one_system_did_not_finish_has_no_ratio() {
        let of = [Some(10.0), Some(3.0), Some(1.0)];
        let to = [None, Some(1.0), Some(0.0)];
        assert_eq!(ratios(&of, &to), [3.0]);
    }

    #[test]
    fn merged_times_are_the_times_of_both() {
        let (mut one, mut other) = (Times::new(), Times::new());
        for millis in 1..=50 {
            one.record(Duration::from_millis(millis));
            other.record(Duration::from_millis(50 + millis));
        }
        one.merge(&other);
        assert!((one.milliseconds_at(50.0) - 50.0).abs() < 0.1);
        assert!((one.milliseconds_at(99.0) - 99.0).abs() < 0.1);
    }
}
