//! What is said of a dump: on stderr what differs, on stdout each version, or what a dry run would do.

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::Skips;
use serde_json::json;

use crate::exit::{Failure, note, print};
use crate::source::outgoing::Durable;
use crate::source::snapshot::{Comparison, Counts, GuardError, Kind, Pending};

/// Says what differs in a dump.
pub(super) fn differs(dump: &str, comparison: &Comparison) {
    for (from, counts) in &comparison.counts {
        note!("source: {dump}: {}", of_rows(from, counts));
    }
    let wide = comparison.wide;
    let whys = [
        (wide.first, "nothing is known of an earlier dump"),
        (wide.form, "the mapping is another one than before"),
        (wide.large, "more rows differ than are published apart (wide_above)"),
    ];
    for (_, why) in whys.iter().filter(|(count, _)| *count > 0) {
        note!("source: {dump}: {why}, so prefixes, tags or everything are published as changed");
    }
    if comparison.publishes.len() > 1 {
        note!("source: {dump}: {} versions, of at most 1,000 changes each", comparison.publishes.len());
    }
}

fn of_rows(from: &str, counts: &Counts) -> String {
    let Counts { rows, before, added, changed, gone } = counts;
    format!("{from}: {rows} rows, {before} before: {added} added, {changed} changed, {gone} gone")
}

/// Says what templates named nothing, each reason once.
pub(super) fn skipped(skips: &mut Skips) {
    for skip in skips.take_new() {
        note!("source: {skip}");
    }
}

/// Prints a line of JSON for each version.
pub(super) fn published(durable: &[Durable<Pending>], dump: &str) -> Result<(), Failure> {
    let line = |Durable { of, receipt, .. }: &Durable<Pending>| {
        let line = json!({
            "dump": dump, "snapshot": of.snapshot, "part": of.part, "accepted_at": of.at,
            "version": receipt.version, "position": receipt.position, "at": receipt.at, "changes": receipt.changes,
        });
        format!("{line}\n")
    };
    if durable.is_empty() { Ok(()) } else { print(&durable.iter().map(line).collect::<String>()) }
}

/// Prints what a dump would publish.
pub(super) fn would(
    dump: &str,
    comparison: &Comparison,
    refused: Option<&GuardError>,
    as_json: bool,
) -> Result<(), Failure> {
    let targets: usize = comparison.publishes.iter().map(|publish| publish.changes.len()).sum();
    let versions = comparison.publishes.len();
    if as_json {
        let changes: Vec<_> = comparison.publishes.first().map(first_changes).unwrap_or_default();
        let line = json!({
            "dump": dump, "rows": comparison.counts, "versions": versions, "targets": targets,
            "first_changes": changes, "differences": comparison.samples,
            "refused": refused.map(ToString::to_string),
        });
        return print(&format!("{line}\n"));
    }
    let mut text = String::new();
    for (from, counts) in &comparison.counts {
        text += &format!("{}\n", of_rows(from, counts));
    }
    for sample in &comparison.samples {
        let kind = match sample.kind {
            Kind::Added => "added",
            Kind::Changed => "changed",
            Kind::Gone => "gone",
        };
        let line = sample.line.map_or_else(String::new, |line| format!(" (line {line})"));
        text += &format!("  {kind:<8} {}{line}\n", sample.key);
    }
    text += &match refused {
        Some(why) => format!("would be refused: {why}\n"),
        None => format!("would publish {targets} targets in {versions} versions\n"),
    };
    print(&text)
}

fn first_changes(publish: &Publish) -> Vec<&Change> {
    publish.changes.iter().take(20).collect()
}
