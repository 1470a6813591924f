//! The guard against a truncated dump: how much of a catalogue may go at once.

use std::str::FromStr;

use super::compare::{Comparison, Counts};

/// How many rows may go at once: the greater of a part of those that were there and a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MaxRemoved {
    percent: Option<f64>,
    rows: Option<u64>,
}

/// The judgement of dumps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Guard {
    /// How many rows of a name may go at once.
    pub(crate) most: MaxRemoved,
    /// Whether any number may go.
    pub(crate) allow_removals: bool,
}

/// A dump would remove more than it may.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{name}: the dump has {rows} rows, and {gone} of the {before} before it are gone, more than --max-removed {most}: \
     nothing was published. If that is right, run it once with --allow-removals"
)]
pub(crate) struct GuardError {
    name: String,
    rows: u64,
    gone: u64,
    before: u64,
    most: MaxRemoved,
}

impl Guard {
    /// Judges a dump.
    ///
    /// # Errors
    /// The first name of which too many rows would go.
    pub(crate) fn judge(&self, comparison: &Comparison) -> Result<(), GuardError> {
        let of = |(name, counts): (&String, &Counts)| {
            let Counts { rows, gone, before, .. } = *counts;
            GuardError { name: name.clone(), rows, gone, before, most: self.most }
        };
        let too_many =
            comparison.counts.iter().find(|(_, counts)| !self.most.admits(counts.gone, counts.before));
        match too_many {
            Some(counts) if !self.allow_removals => Err(of(counts)),
            Some(_) | None => Ok(()),
        }
    }
}

impl MaxRemoved {
    #[expect(clippy::cast_precision_loss, reason = "a part of a number of rows")]
    fn admits(self, gone: u64, before: u64) -> bool {
        let of_rows = self.percent.is_some_and(|percent| gone as f64 * 100.0 <= before as f64 * percent);
        gone == 0 || of_rows || self.rows.is_some_and(|rows| gone <= rows)
    }
}

impl FromStr for MaxRemoved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut most = Self { percent: None, rows: None };
        for part in text.split(',').map(str::trim) {
            let percent = part.strip_suffix('%').map(|number| number.trim().parse::<f64>());
            match (percent, part.parse::<u64>()) {
                (Some(Ok(percent)), _) if (0.0..=100.0).contains(&percent) => most.percent = Some(percent),
                (None, Ok(rows)) => most.rows = Some(rows),
                (Some(_) | None, _) => {
                    return Err(
                        "write a part such as 20%, a number of rows such as 500, or both: 20%,500".to_owned()
                    );
                }
            }
        }
        Ok(most)
    }
}

impl std::fmt::Display for MaxRemoved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.percent, self.rows) {
            (Some(percent), Some(rows)) => write!(f, "{percent}%,{rows}"),
            (Some(percent), None) => write!(f, "{percent}%"),
            (None, rows) => write!(f, "{}", rows.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(most: &str, gone: u64, before: u64, admitted: bool) {
        assert_eq!(
            most.parse::<MaxRemoved>().unwrap().admits(gone, before),
            admitted,
            "{gone} of {before} by {most}"
        );
    }

    #[test]
    fn a_part_a_number_or_the_greater_of_both_may_go() {
        expect("20%", 20, 100, true);
        expect("20%", 21, 100, false);
        expect("20%", 1, 3, false);
        expect("0%", 0, 0, true);
        expect("500", 500, 500, true);
        expect("500", 501, 1_000_000, false);
        expect("20%, 100", 100, 100, true);
        expect("20%,100", 101, 200, false);
        expect("12.5%", 125, 1_000, true);
        for wrong in ["", "20 percent", "120%", "-1", "%"] {
            assert!(wrong.parse::<MaxRemoved>().is_err(), "{wrong}");
        }
        assert_eq!("20%,100".parse::<MaxRemoved>().unwrap().to_string(), "20%,100");
    }
}
