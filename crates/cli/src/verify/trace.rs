//! The trace of a wrong answer: what was said by whom, the log around it, and why the edges say they answer so.

use std::fmt::Write as _;

use newsreel_core::wire::change::Operation;
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::{Change, Key, Target};
use serde_json::{Value, json};

use super::edges::EdgeAnswer;
use super::judge::{Because, Fingerprint, Sighting};
use super::tally::When;
use crate::utc::utc;

/// How many changes of a version are shown.
const SHOWN_CHANGES: usize = 5;

/// A wrong answer, with all that belongs to it.
pub(super) struct Disagreement<'a> {
    pub(super) key: &'a Key,
    pub(super) edge: &'a str,
    pub(super) when: When,
    pub(super) because: Because,
    pub(super) answered: &'a EdgeAnswer,
    pub(super) origin: &'a Sighting,
    /// The versions around, the oldest first.
    pub(super) log: Vec<&'a VersionRow>,
    /// What each edge says of its answer.
    pub(super) explain: &'a Value,
}

impl Disagreement<'_> {
    /// Returns the trace for programs.
    pub(super) fn json(&self) -> Value {
        let headers: serde_json::Map<String, Value> =
            self.answered.headers.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        json!({
            "wrong": {
                "key": self.key,
                "edge": self.edge,
                "after": self.when.name(),
                "because": self.because.code(),
                "says": self.because.to_string(),
                "edge_answer": {
                    "status": self.answered.status,
                    "value": shown(&self.answered.served.value),
                    "at": self.answered.served.answered_at,
                    "headers": headers,
                },
                "origin_answer": { "value": shown(&self.origin.value), "at": self.origin.asked_at },
                "log": self.log,
                "explain": self.explain,
            }
        })
    }

    /// Returns the trace for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("wrong: {} at {}, {}\n", self.key, self.edge, self.when.name());
        let _ = writeln!(text, "  because {}", self.because);
        let served = &self.answered.served;
        let _ = writeln!(text, "  {} the edge gave {}", utc(served.answered_at), shown(&served.value));
        for (name, header) in &self.answered.headers {
            let _ = writeln!(text, "    {name}: {header}");
        }
        let _ =
            writeln!(text, "  {} the origin gave {}", utc(self.origin.asked_at), shown(&self.origin.value));
        for row in &self.log {
            let _ = writeln!(text, "  {} version {}: {}", utc(row.at), row.version, changes(&row.changes));
        }
        for (edge, explanation) in self.explain.as_object().into_iter().flatten() {
            let _ = writeln!(text, "  {edge} explains: {explanation}");
        }
        if let Because::NotHeard(version) = self.because
            && self.has_heard_since(version.number())
        {
            let _ = writeln!(
                text,
                "  {} has heard version {version}, as it explains: a cache in front of it may have answered",
                self.edge
            );
        }
        text
    }

    fn has_heard_since(&self, version: u64) -> bool {
        let position = self.explain.get(self.edge).and_then(|said| said.get("position")?.as_str());
        position
            .and_then(|text| text.split(':').nth(1)?.parse::<u64>().ok())
            .is_some_and(|heard| heard >= version)
    }
}

fn shown(value: &Fingerprint) -> String {
    match value {
        Fingerprint::NotFound => "no value".to_owned(),
        Fingerprint::Value(digest, media) => {
            let start: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            media
                .as_ref()
                .map_or_else(|| format!("sha256 {start}…"), |media| format!("sha256 {start}… {media}"))
        }
    }
}

fn changes(changes: &[Change]) -> String {
    let mut words: Vec<String> = changes.iter().take(SHOWN_CHANGES).map(change).collect();
    if changes.len() > SHOWN_CHANGES {
        words.push(format!("{} more", changes.len() - SHOWN_CHANGES));
    }
    words.join(", ")
}

fn change(change: &Change) -> String {
    let target = match &change.target {
        Target::Key(key) => key.to_string(),
        Target::Tag(tag) => format!("tag {tag}"),
        Target::Prefix(prefix) => format!("prefix {prefix}"),
        Target::All => "everything".to_owned(),
    };
    match change.operation {
        Operation::Update => target,
        Operation::Soften => format!("{target} (soft)"),
        Operation::Remove => format!("{target} removed"),
    }
}
