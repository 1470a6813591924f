//! The lines of an exported log: a version each, as the log has it, with its position.
//!
//! A version that is folded has no position of its own: the line after the last of them has only the position
//! that the fold ends at.

use newsreel_core::wire::frame::{FoldedChange, VersionRow};
use newsreel_core::wire::{Cause, Change, Position, SourceEvent, Traceparent, UnixMillis, Version};
use serde::Deserialize;

/// A line of an exported log: a version, or the position that a fold ends at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ExportedLine {
    /// The version; absent on the line that ends a fold.
    pub(crate) version: Option<Version>,
    /// When the broker committed the version; absent where it is folded.
    at: Option<UnixMillis>,
    /// The changes of the version that the log still has.
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
    /// The trace that the publish was part of. An import does not publish it again, nor the source.
    traceparent: Option<Traceparent>,
    /// The event that the publish told.
    source: Option<SourceEvent>,
    /// The position after the line, where it is known.
    pub(crate) position: Option<Position>,
}

impl ExportedLine {
    /// Returns the line of a version that the log has in full.
    pub(super) fn of_row(row: &str, position: &Position) -> String {
        format!("{},\"position\":\"{position}\"}}\n", row.strip_suffix('}').unwrap_or(row))
    }

    /// Returns the line that ends a fold.
    pub(super) fn of_position(position: &Position) -> String {
        format!("{{\"position\":\"{position}\"}}\n")
    }

    /// Says whether other changes of the version are gone.
    pub(crate) fn is_folded(&self) -> bool {
        self.at.is_none()
    }

    /// Returns the row as the log has it, if the line is one.
    fn row(&self) -> Option<VersionRow> {
        let (version, at) = (self.version?, self.at?);
        let cause = Cause { traceparent: self.traceparent.clone(), source: self.source.clone() };
        Some(VersionRow { version, at, changes: self.changes.clone(), cause })
    }
}

/// Gathers the changes of a fold into one line for each version. The parts of a fold are ordered by version, and a
/// version may go on in the next part.
#[derive(Default)]
pub(super) struct FoldedLines {
    open: Option<(Version, Vec<Change>)>,
}

impl FoldedLines {
    /// Takes a part; returns the lines of the versions that are whole.
    pub(super) fn take(&mut self, part: Vec<FoldedChange>) -> String {
        let mut lines = String::new();
        for FoldedChange { version, change } in part {
            match &mut self.open {
                Some((open, changes)) if *open == version => {
                    // A part may repeat a change.
                    changes.retain(|other| other.target != change.target);
                    changes.push(change);
                }
                open => {
                    let whole = open.replace((version, vec![change]));
                    lines += &whole.map(of_folded).unwrap_or_default();
                }
            }
        }
        lines
    }

    /// Returns the line of the last version.
    pub(super) fn end(&mut self) -> String {
        self.open.take().map(of_folded).unwrap_or_default()
    }
}

fn of_folded((version, changes): (Version, Vec<Change>)) -> String {
    let changes: Vec<String> = changes.iter().map(|change| serde_json::json!(change).to_string()).collect();
    format!("{{\"version\":{version},\"changes\":[{}]}}\n", changes.join(","))
}

/// Why a line cannot follow the lines before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    /// The versions do not ascend.
    #[error("version {version} comes after version {before}: the lines are out of order")]
    Descends {
        /// The version of the line.
        version: Version,
        /// The version of the line before it.
        before: Version,
    },
    /// The position is not the one that the lines before it and this line give.
    #[error(
        "its position does not follow from the lines before it: a line is missing, or was changed; export the log \
         again, or, if the change is meant, leave the positions out"
    )]
    Broken,
}

/// Checks that lines are in order and, by their positions, that none is missing or changed.
#[derive(Default)]
pub(crate) struct Order {
    version: Option<Version>,
    position: Option<Position>,
}

impl Order {
    /// Takes the next line.
    ///
    /// # Errors
    /// [`OrderError`] says what is wrong with the line.
    pub(crate) fn check(&mut self, line: &ExportedLine) -> Result<(), OrderError> {
        if let Some(version) = line.version {
            if let Some(before) = self.version.filter(|before| *before >= version) {
                return Err(OrderError::Descends { version, before });
            }
            self.version = Some(version);
        }
        let before = self.before(line);
        if let (Some(before), Some(row), Some(position)) = (before, line.row(), line.position)
            && before.then(row.to_json().as_bytes()) != position
        {
            return Err(OrderError::Broken);
        }
        self.position = line.position;
        Ok(())
    }

    /// Returns the position before a line: that of the line before it, or the beginning of its epoch.
    fn before(&self, line: &ExportedLine) -> Option<Position> {
        let genesis = || line.position.map(|position| Position::genesis(position.epoch));
        self.position.or_else(|| genesis().filter(|_| line.version == Some(Version::ZERO.next())))
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::Epoch;

    use super::*;

    fn line(text: &str) -> ExportedLine {
        serde_json::from_str(text).unwrap()
    }

    fn rows(count: u64) -> Vec<String> {
        let mut at = Position::genesis(Epoch::new(UnixMillis(1), [0; 10]));
        let row = |n| format!(r#"{{"version":{n},"at":5,"changes":[{{"key":"title:\u00e9{n}"}}]}}"#);
        let placed = |n| {
            at = at.then(row(n).as_bytes());
            ExportedLine::of_row(&row(n), &at)
        };
        (1..=count).map(placed).collect()
    }

    fn outcome(lines: &[String]) -> Result<(), OrderError> {
        let mut order = Order::default();
        lines.iter().try_for_each(|text| order.check(&line(text)))
    }

    #[test]
    fn a_line_that_is_missing_changed_or_out_of_order_is_found() {
        let whole = rows(4);
        assert_eq!(outcome(&whole), Ok(()));
        assert_eq!(outcome(&whole[2..]), Ok(()), "what comes after a position that the file has not");
        let without = [&whole[..1], &whole[2..]].concat();
        assert_eq!(outcome(&without), Err(OrderError::Broken));
        let mut changed = whole.clone();
        changed[0] = changed[0].replace("é1", "é7").replace(r"\u00e91", r"\u00e97");
        assert_eq!(outcome(&changed), Err(OrderError::Broken));
        let swapped = [whole[1].clone(), whole[0].clone()];
        let at = |number| Version::new(number).unwrap();
        assert_eq!(outcome(&swapped), Err(OrderError::Descends { version: at(1), before: at(2) }));
    }

    #[test]
    fn lines_without_positions_are_only_held_to_their_order() {
        let bare = |n: u64| format!(r#"{{"version":{n},"at":5,"changes":[{{"key":"other:{n}"}}]}}"#);
        assert_eq!(outcome(&[bare(1), bare(3)]), Ok(()));
        assert!(outcome(&[bare(3), bare(3)]).is_err());
    }

    #[test]
    fn a_fold_is_one_line_a_version_and_each_target_once() {
        let part = |text: &str| {
            serde_json::from_str::<Vec<FoldedChange>>(text).expect("changes with their versions")
        };
        let mut folded = FoldedLines::default();
        let first = folded.take(part(r#"[{"version":2,"key":"a:1"},{"version":3,"key":"a:2"}]"#));
        assert_eq!(first, "{\"version\":2,\"changes\":[{\"key\":\"a:1\"}]}\n");
        assert_eq!(folded.take(part(r#"[{"version":3,"key":"a:2"},{"version":3,"tag":"x"}]"#)), "");
        let last = line(&folded.end());
        assert_eq!((last.version, last.changes.len()), (Version::new(3), 2));
        assert!(last.is_folded());
        assert_eq!(folded.end(), "");
    }

    #[test]
    fn the_position_after_a_fold_is_the_one_before_the_rows() {
        let whole = rows(3);
        let fold = r#"{"version":1,"changes":[{"key":"a:1"}]}"#.to_owned();
        let end = ExportedLine::of_position(&line(&whole[0]).position.unwrap());
        assert_eq!(outcome(&[fold.clone(), end.clone(), whole[1].clone()]), Ok(()));
        assert_eq!(outcome(&[fold, end, whole[2].clone()]), Err(OrderError::Broken));
    }
}
