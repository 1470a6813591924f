//! `PROTOCOL.md` as data: its tables, its quoted names, its amounts.

use std::time::Duration;

/// The text of `PROTOCOL.md`.
pub(crate) const PROTOCOL: &str = include_str!("../../PROTOCOL.md");

/// Returns the cells of the rows of the table under a heading's first words.
pub(crate) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let start = PROTOCOL.find(heading).expect("the heading stands in the document");
    let rows = PROTOCOL[start..].lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Returns the texts between back quotes.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Returns the number in a cell, in bytes or milliseconds where it has a unit.
pub(crate) fn amount(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match unit {
        "" | "B" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1_000,
        "h" => 3_600_000,
        "days" => 24 * 3_600_000,
        other => panic!("no unit {other}"),
    };
    number.replace(',', "").parse::<u64>().expect("a number") * factor
}

pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().expect("a short time")
}
