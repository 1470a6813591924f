//! The output of `tail` for versions, folds and resets: a line for people or one JSON object.

use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::{Cause, Change, Operation, Position, SourceEvent, Target};
use serde_json::json;

use crate::utc::utc;

/// A version and, where it is known, its position.
pub(super) type Placed = (VersionRow, Option<Position>);

/// Gives each version its position. A frame has the hash of its last version only. The hashes before it are
/// computed from the rows, and are right if the last one comes out as in the frame. Where a filter hid rows
/// they are not, and then only the last version has a position.
pub(super) fn placed(held: Option<Position>, to: Position, versions: Vec<VersionRow>) -> Vec<Placed> {
    let mut at = held.filter(|held| held.epoch == to.epoch).unwrap_or(Position::genesis(to.epoch));
    let mut positions = Vec::with_capacity(versions.len());
    for row in &versions {
        at = at.then(row.to_json().as_bytes());
        positions.push(at);
    }
    let known = at == to;
    let place = |(row, at): (VersionRow, Position)| {
        let told = (row.version == to.version).then_some(to);
        (row, if known { Some(at) } else { told })
    };
    versions.into_iter().zip(positions).map(place).collect()
}

/// Writes versions as JSON, one object a line: the row as the log has it, with its position.
pub(super) fn json_rows(rows: &[Placed]) -> String {
    rows.iter()
        .map(|(row, position)| {
            let row = row.to_json();
            match (row.strip_suffix('}'), position) {
                (Some(open), Some(position)) => format!("{open},\"position\":\"{position}\"}}\n"),
                (_, _) => row + "\n",
            }
        })
        .collect()
}

/// Writes versions for people. `kind` says whether they are replayed or live.
pub(super) fn plain_rows(rows: &[Placed], kind: &str) -> String {
    rows.iter()
        .map(|(VersionRow { version, at, changes, cause }, _)| {
            let targets: Vec<String> = changes.iter().map(describe).collect();
            let (at, targets) = (utc(*at), targets.join("  "));
            format!("{kind:<6} {version:>6}  {at}  {targets}{}\n", describe_source(cause))
        })
        .collect()
}

/// Writes a part of a fold as one JSON object; the position comes with the last part.
pub(super) fn json_fold(position: Option<Position>, changes: &[FoldedChange]) -> String {
    let changes: Vec<String> = changes.iter().map(FoldedChange::to_json).collect();
    let position = json!(position);
    format!("{{\"fold\":{{\"position\":{position},\"changes\":[{}]}}}}\n", changes.join(","))
}

/// Writes a part of a fold for people.
pub(super) fn plain_fold(changes: &[FoldedChange]) -> String {
    let line =
        |folded: &FoldedChange| format!("folded {:>6}  {}\n", folded.version, describe(&folded.change));
    changes.iter().map(line).collect()
}

/// Writes the line of a reset.
pub(super) fn reset(position: &Position, reason: &str, as_json: bool) -> String {
    if as_json {
        format!("{}\n", json!({ "reset": { "position": position, "reason": reason } }))
    } else {
        format!("reset  {:>6}  {reason}; forget everything, continue from {position}\n", position.version)
    }
}

/// Returns where a version comes from, if that is known.
fn describe_source(cause: &Cause) -> String {
    let Some(SourceEvent { name, id, .. }) = &cause.source else { return String::new() };
    let id = id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
    format!("  (from {name}{id})")
}

fn describe(Change { target, operation, tags }: &Change) -> String {
    let target = match target {
        Target::Key(key) => key.to_string(),
        Target::Tag(tag) => format!("tag={tag}"),
        Target::Prefix(prefix) => format!("prefix={prefix}"),
        Target::All => "all".to_owned(),
    };
    let tags: Vec<&str> = tags.iter().map(newsreel_core::wire::Tag::as_str).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" [{}]", tags.join(",")) };
    let mark = match operation {
        Operation::Update => "",
        Operation::Soften => "soft ",
        Operation::Remove => "remove ",
    };
    format!("{mark}{target}{tags}")
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Epoch, UnixMillis};

    use super::*;

    fn row(version: u64) -> VersionRow {
        let row = format!(r#"{{"version":{version},"at":5,"changes":[{{"key":"title:é{version}"}}]}}"#);
        serde_json::from_str(&row).unwrap()
    }

    fn genesis() -> Position {
        Position::genesis(Epoch::new(UnixMillis(1), [0; 10]))
    }

    #[test]
    fn every_version_of_a_whole_frame_has_its_position() {
        let first = genesis().then(row(1).to_json().as_bytes());
        let second = first.then(row(2).to_json().as_bytes());
        for held in [None, Some(genesis())] {
            let places: Vec<_> =
                placed(held, second, vec![row(1), row(2)]).into_iter().map(|p| p.1).collect();
            assert_eq!(places, [Some(first), Some(second)]);
        }
        assert_eq!(placed(Some(first), second, vec![row(2)])[0].1, Some(second));
        let hidden: Vec<_> = placed(None, second, vec![row(2)]).into_iter().map(|p| p.1).collect();
        assert_eq!(hidden, [Some(second)], "the one before it was filtered out");
        assert_eq!(placed(None, second, vec![row(1)])[0].1, None);
    }

    #[test]
    fn a_version_is_one_line() {
        let at = genesis().then(row(1).to_json().as_bytes());
        let rows = placed(None, at, vec![row(1)]);
        let json: serde_json::Value = serde_json::from_str(json_rows(&rows).trim_end()).unwrap();
        assert_eq!(json["position"], at.to_string());
        assert_eq!(json["changes"][0]["key"], "title:é1");
        assert_eq!(plain_rows(&rows, "live"), "live        1  1970-01-01T00:00:00.005Z  title:é1\n");
    }
}
