//! The counts of a run: by class, edge and delay, how many reads were consistent, and the report of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// How a read of an edge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// The value was true.
    Consistent,
    /// The value was old, and the answer said so.
    Marked,
    /// The value was old, and the edge need not have known.
    WithinBound,
    /// The value was wrong.
    Wrong,
    /// The edge gave no value.
    Failed,
    /// Nothing can be said: the origin failed, moved on, or a newer version came.
    Undecided,
}

/// When a key was read: so long after a change, or in the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// So long after the change was heard.
    After(Duration),
    /// With no change.
    Sweep,
}

/// The reads of one class at one edge at one delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct ReadEndings {
    pub(crate) consistent: u64,
    pub(crate) marked: u64,
    pub(crate) within_bound: u64,
    pub(crate) wrong: u64,
    pub(crate) failed: u64,
    pub(crate) undecided: u64,
}

/// The changes of one class: how many there were, and how many of them were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Sampled {
    pub(crate) heard: u64,
    pub(crate) checked: u64,
}

/// All counts of a run.
#[derive(Debug, Default)]
pub(crate) struct VerifyTally {
    reads: BTreeMap<(String, String, When), ReadEndings>,
    sampled: BTreeMap<String, Sampled>,
}

impl Ending {
    /// Returns the name of the ending in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Marked => "marked",
            Self::WithinBound => "within_bound",
            Self::Wrong => "wrong",
            Self::Failed => "failed",
            Self::Undecided => "undecided",
        }
    }
}

impl When {
    /// Returns the moment in words and in metrics: `0.1 s`, `sweep`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::After(after) => format!("{} s", after.as_secs_f64()),
            Self::Sweep => "sweep".to_owned(),
        }
    }
}

impl ReadEndings {
    fn add(&mut self, ending: Ending) {
        let of = match ending {
            Ending::Consistent => &mut self.consistent,
            Ending::Marked => &mut self.marked,
            Ending::WithinBound => &mut self.within_bound,
            Ending::Wrong => &mut self.wrong,
            Ending::Failed => &mut self.failed,
            Ending::Undecided => &mut self.undecided,
        };
        *of += 1;
    }

    fn with(self, other: &Self) -> Self {
        Self {
            consistent: self.consistent + other.consistent,
            marked: self.marked + other.marked,
            within_bound: self.within_bound + other.within_bound,
            wrong: self.wrong + other.wrong,
            failed: self.failed + other.failed,
            undecided: self.undecided + other.undecided,
        }
    }

    /// Returns how many reads were decided.
    pub(crate) fn decided(&self) -> u64 {
        self.consistent + self.marked + self.within_bound + self.wrong + self.failed
    }

    /// Returns the share of the decided reads that were consistent, in percent; `None` if there were none.
    pub(crate) fn percent(&self) -> Option<f64> {
        let decided = self.decided();
        (decided > 0).then(|| self.consistent as f64 / decided as f64 * 100.0)
    }

    /// Returns the share with as many digits as the nines need; a share that is short of 100 never reads `100`.
    fn share(&self) -> String {
        let Some(percent) = self.percent() else { return "-".to_owned() };
        if self.consistent == self.decided() {
            return "100 %".to_owned();
        }
        let digits = (0..6).find(|digits| format!("{percent:.digits$}").parse() != Ok(100.0)).unwrap_or(6);
        format!("{percent:.*} %", digits.max(1))
    }
}

/// A line of the report for programs.
#[derive(Serialize)]
struct Row<'a> {
    class: &'a str,
    edge: &'a str,
    after_ms: Option<u128>,
    percent: Option<f64>,
    #[serde(flatten)]
    reads: ReadEndings,
}

impl VerifyTally {
    /// Counts a read.
    pub(crate) fn add(&mut self, class: &str, edge: &str, when: When, ending: Ending) {
        self.reads.entry((class.to_owned(), edge.to_owned(), when)).or_default().add(ending);
    }

    /// Counts keys that changed, and how many of them are checked.
    pub(crate) fn sampled(&mut self, class: &str, heard: u64, checked: u64) {
        let of = self.sampled.entry(class.to_owned()).or_default();
        of.heard += heard;
        of.checked += checked;
    }

    /// Returns all changes.
    pub(crate) fn all_sampled(&self) -> Sampled {
        let add = |all: Sampled, of: &Sampled| Sampled {
            heard: all.heard + of.heard,
            checked: all.checked + of.checked,
        };
        self.sampled.values().fold(Sampled::default(), add)
    }

    /// Returns the reads of every class and edge at one moment, or at all.
    pub(crate) fn all(&self, at: Option<When>) -> ReadEndings {
        let of = self.reads.iter().filter(|((_, _, when), _)| at.is_none_or(|at| at == *when));
        of.fold(ReadEndings::default(), |all, (_, reads)| all.with(reads))
    }

    /// Returns the report for people: a line for each class and edge, and what was sampled.
    pub(crate) fn table(&self) -> String {
        let mut table = vec![
            ["class", "edge", "after", "reads", "consistent", "marked", "in bound", "wrong", "failed", "?"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for ((class, edge, when), reads) in &self.reads {
            let counts = [reads.marked, reads.within_bound, reads.wrong, reads.failed, reads.undecided]
                .map(|n| n.to_string());
            let mut row =
                vec![class.clone(), edge.clone(), when.name(), reads.decided().to_string(), reads.share()];
            row.extend(counts);
            table.push(row);
        }
        let widths: Vec<usize> = (0..10)
            .map(|column| {
                table
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &table {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        for (class, Sampled { heard, checked }) in self.sampled.iter().filter(|(_, of)| of.checked < of.heard)
        {
            let _ = writeln!(text, "{class}: {checked} of {heard} changes were checked");
        }
        text
    }

    /// Returns the report for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let rows: Vec<Row<'_>> = self
            .reads
            .iter()
            .map(|((class, edge, when), reads)| Row {
                class,
                edge,
                after_ms: match when {
                    When::After(after) => Some(after.as_millis()),
                    When::Sweep => None,
                },
                percent: reads.percent(),
                reads: *reads,
            })
            .collect();
        serde_json::json!({ "reads": rows, "sampled": self.sampled, "all": self.all(None) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: When = When::After(Duration::from_millis(100));

    fn tally(consistent: u64, wrong: u64) -> VerifyTally {
        let mut tally = VerifyTally::default();
        (0..consistent).for_each(|_| tally.add("title", "fra", SOON, Ending::Consistent));
        (0..wrong).for_each(|_| tally.add("title", "fra", SOON, Ending::Wrong));
        tally
    }

    #[test]
    fn a_share_short_of_all_never_reads_as_all() {
        assert_eq!(tally(400, 0).all(None).share(), "100 %");
        assert_eq!(tally(9_999, 1).all(None).share(), "99.99 %");
        assert_eq!(tally(1, 2).all(None).share(), "33.3 %");
        assert_eq!(ReadEndings::default().share(), "-");
        let many = ReadEndings { consistent: 10_000_000, failed: 1, ..ReadEndings::default() };
        assert_eq!(many.share(), "99.99999 %");
    }

    #[test]
    fn what_is_undecided_counts_on_neither_side() {
        let mut tally = tally(3, 1);
        tally.add("title", "fra", SOON, Ending::Undecided);
        tally.add("live", "ams", When::Sweep, Ending::Marked);
        assert_eq!(tally.all(Some(SOON)).percent(), Some(75.0));
        assert_eq!(tally.all(None).decided(), 5);
    }

    #[test]
    fn the_report_has_a_line_for_each_class_edge_and_moment() {
        let mut tally = tally(3, 1);
        tally.add("title", "fra", When::Sweep, Ending::Failed);
        tally.sampled("title", 10, 4);
        tally.sampled("live", 1, 1);
        let table = tally.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["title", "fra", "0.1", "s", "4", "75.0", "%", "0", "0", "1", "0", "0"]);
        assert_eq!(lines[2], ["title", "fra", "sweep", "1", "0.0", "%", "0", "0", "0", "1", "0"]);
        assert_eq!(lines[3].join(" "), "title: 4 of 10 changes were checked");
        let json = tally.json();
        assert_eq!(json["reads"][0]["after_ms"], 100);
        assert_eq!(json["reads"][1]["after_ms"], serde_json::Value::Null);
        assert_eq!(json["all"]["wrong"], 1);
    }
}
