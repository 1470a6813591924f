//! Rows and gaps, made into publishes by the mapping.

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::{Batch, Limits, Mapping, Message, MessageError, Skips};
use serde_json::Value;

/// The publishes of one round.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    pub(super) publishes: Vec<Publish>,
    /// How many targets have taken the place of too many of their class.
    pub(super) widened: usize,
    /// The rows that name nothing, each with its reason.
    pub(super) unmapped: Vec<(Value, MessageError)>,
}

/// Returns the publishes of rows.
pub(super) fn rows(mapping: &Mapping, feed: &str, rows: Vec<Value>, skips: &mut Skips) -> Mapped {
    let mut batch = batch(mapping);
    let mut unmapped = Vec::new();
    for row in rows {
        let body = row.to_string();
        let message = Message::of_body(body.as_bytes());
        if let Err(why) = mapping.message(feed, &message, skips, &mut |change: Change| batch.add(change)) {
            unmapped.push((row, why));
        }
    }
    let widened = batch.widened().len();
    Mapped { publishes: batch.into_publishes(), widened, unmapped }
}

/// Returns the publishes that cover everything that the feed's rules ever named.
pub(super) fn wide(mapping: &Mapping, feed: &str) -> Vec<Publish> {
    let mut batch = batch(mapping);
    mapping.wide_from(feed).into_iter().for_each(|target| batch.add(Change::of(target)));
    batch.into_publishes()
}

fn batch(mapping: &Mapping) -> Batch {
    Batch::new(Limits { wide_above: mapping.wide_above })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entity_that_was_merged_is_removed_and_the_other_is_updated() {
        let mapping = Mapping::parse(
            "[[map]]\nfrom = \"tvdb\"\nkey = \"{recordType}:{recordId}\"\nremoved_when = { methodInt = [3] }\n\
             [[map]]\nfrom = \"tvdb\"\nkey = \"{mergeToType}:{mergeToId}\"\nwhen = { mergeToType = [\"series\"] }\n",
        );
        let mapping = mapping.unwrap();
        let mut skips = Skips::default();
        let changed = json!({ "recordType": "series", "recordId": 5, "methodInt": 2, "mergeToId": 0, "mergeToType": "" });
        let merged = json!({ "recordType": "series", "recordId": 7, "methodInt": 3, "mergeToId": 9, "mergeToType": "series" });
        let mapped = rows(&mapping, "tvdb", vec![changed, merged, json!({ "recordId": 1 })], &mut skips);
        let written: Vec<_> = mapped.publishes.iter().map(|publish| publish.written().changes).collect();
        assert_eq!(written, [r#"[{"key":"series:5"},{"key":"series:7","op":"remove"},{"key":"series:9"}]"#]);
        assert_eq!(
            mapped.unmapped.len(),
            1,
            "a row that names nothing is told, and the others are published"
        );
        let wide: Vec<_> = wide(&mapping, "tvdb").iter().map(|publish| publish.written().changes).collect();
        assert_eq!(wide, [r#"[{"all":true}]"#]);
    }
}
