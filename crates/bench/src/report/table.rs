//! Tables in Markdown: a row for each measure, a column for each system, medians with their spread and ratio.

use std::fmt::Write as _;

use crate::results::{Results, Row, Section};
use crate::spread::{Spread, ratios};

/// Returns all sections as Markdown.
pub(crate) fn tables(results: &Results) -> String {
    results.sections.iter().fold(String::new(), |mut text, section| {
        let _ = writeln!(text, "## {}\n\n{}", section.title, table(section));
        text
    })
}

/// Returns the table of one section. The ratio of a cell is Newsreel's median against that system's, above 1 where
/// Newsreel is better: more of what is counted by the second, less of time and memory.
pub(crate) fn table(section: &Section) -> String {
    let mut text = format!("| | {} |\n", section.systems.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(section.systems.len()));
    for row in &section.rows {
        let cells: Vec<String> = (0..section.systems.len()).map(|column| cell(row, column)).collect();
        let _ = writeln!(text, "| {}, {} | {} |", row.name, row.unit.text(), cells.join(" | "));
    }
    text
}

fn cell(row: &Row, column: usize) -> String {
    let rounds = row.rounds(column);
    let numbers: Vec<f64> = rounds.iter().copied().flatten().collect();
    let Some(spread) = Spread::of(&numbers) else {
        return String::new();
    };
    let mut text = format!("**{}**", rounded(spread.median));
    if numbers.len() > 1 {
        let _ = write!(text, " ({}–{})", rounded(spread.least), rounded(spread.most));
    }
    if column > 0
        && let Some(better) = Spread::of(&advantages(row, column))
    {
        let digits = if better.median < 0.1 { 4 } else { 2 };
        let _ = write!(text, " ×{:.digits$}", better.median);
    }
    text
}

/// Returns how many times as good the first system of a row is as another one, in each round that both have finished.
pub(crate) fn advantages(row: &Row, column: usize) -> Vec<f64> {
    if row.unit.more_is_better() {
        ratios(row.rounds(0), row.rounds(column))
    } else {
        ratios(row.rounds(column), row.rounds(0))
    }
}

/// Returns a number with three digits, and with commas between thousands.
pub(crate) fn rounded(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let decimals = [100.0, 10.0, 1.0, 0.1].iter().filter(|least| size < **least).count();
    let mut unit = 1.0;
    while size / unit >= 1000.0 {
        unit *= 10.0;
    }
    let shown = if unit > 1.0 { (value / unit).round() * unit } else { value };
    group(&format!("{shown:.decimals$}"))
}

/// Puts commas between the thousands of a number's text.
fn group(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Finding, Unit};

    #[test]
    fn numbers_have_three_digits() {
        let shown = [12_345.0, 1_234_567.0, 999.6, 382.4, 27.04, 7.301, 0.0904, 0.0].map(rounded);
        assert_eq!(shown, ["12,300", "1,230,000", "1,000", "382", "27.0", "7.30", "0.0904", "0"]);
    }

    #[test]
    fn a_table_shows_medians_spread_and_which_system_is_better() {
        let mut results = Results::default();
        for (round, (ours, theirs)) in [(10.0, 20.0), (12.0, 30.0), (11.0, 22.0)].into_iter().enumerate() {
            for (system, value) in [("Newsreel", ours), ("Peer", theirs)] {
                let findings = vec![
                    Finding::new("p50", Unit::Milliseconds, value),
                    Finding::new("changes", Unit::PerSecond, value),
                ];
                results.add("Latency", system, round, findings).expect("numbers");
            }
        }
        let wanted = "\
## Latency

| | Newsreel | Peer |
|---|---|---|
| p50, ms | **11.0** (10.0–12.0) | **22.0** (20.0–30.0) ×2.00 |
| changes, per second | **11.0** (10.0–12.0) | **22.0** (20.0–30.0) ×0.50 |

";
        assert_eq!(tables(&results), wanted);
    }
}
