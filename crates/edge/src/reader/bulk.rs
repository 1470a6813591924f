//! A read of many keys, answered together.

use std::rc::Rc;

use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::Key;
use newsreel_gate::Answer;
use serde::Serialize;
use worker::{Context, Request};

use crate::http::json_response;
use crate::reader::background::after_response;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, Values, run};
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::min_version;
use crate::reader::response::headers::Provenance;
use crate::reader::response::wrapped::{KnownAt, WRAPPED_BYTES, WrappedValue};

/// Answers `entries?key=…` and its twin with a body: one JSON with the answer that each key
/// alone would have had.
pub(crate) async fn many(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    keys: &[Key],
) -> Answer {
    let at_least = min_version(request)?;
    let reads = keys.iter().map(|key| context.read(key, at_least)).collect();
    let reads = run(context, reads, Values::Small).await;
    let (mut entries, mut known, mut room) = (Vec::new(), None, WRAPPED_BYTES);
    for read in &reads {
        let provenance = Provenance::by(context, read);
        known = Some(KnownAt::of(context, &provenance));
        entries.push(BulkEntry::new(context, read, at_least, &provenance, room));
        let length = read.entry().map_or(0, |entry| entry.body.length());
        room -= if length <= room { length } else { 0 };
    }
    let response = json_response(&BulkAnswer { known, entries })?;
    after_response(context, event, &reads);
    Ok(response)
}

/// The answers to all keys, and what the reader knew when it judged the last.
#[derive(Serialize)]
struct BulkAnswer<'a> {
    #[serde(flatten)]
    known: Option<KnownAt>,
    entries: Vec<BulkEntry<'a>>,
}

/// The answer to one key.
#[derive(Serialize)]
struct BulkEntry<'a> {
    key: &'a Key,
    #[serde(flatten)]
    outcome: BulkOutcome<'a>,
    cache_status: String,
}

/// The status that the key alone would have had, with a value or the parts of a problem.
#[derive(Serialize)]
#[serde(untagged)]
enum BulkOutcome<'a> {
    Value {
        status: u16,
        #[serde(flatten)]
        value: WrappedValue<'a>,
    },
    Problem {
        status: u16,
        code: &'static str,
        detail: String,
    },
}

impl<'a> BulkEntry<'a> {
    fn new(
        context: &ReadContext,
        read: &'a FinishedRead,
        at_least: Option<MinVersion>,
        provenance: &Provenance,
        room: u64,
    ) -> Self {
        let fetched_at = read.entry().map(|entry| entry.envelope.fetched_at);
        let outcome = match outcome(context, read, at_least, provenance) {
            Outcome::Value => {
                let entry = read.entry().expect("what is served was held");
                BulkOutcome::Value { status: 200, value: WrappedValue::new(entry, provenance, room) }
            }
            Outcome::NotFound(problem, _) | Outcome::Failed(problem) => BulkOutcome::Problem {
                status: problem.status(),
                code: problem.code(),
                detail: problem.detail().to_owned(),
            },
        };
        Self { key: read.key(), outcome, cache_status: provenance.cache_status(fetched_at) }
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::read::cache::Freshness;
    use newsreel_core::wire::Catalog;

    use super::*;
    use crate::reader::response::headers::tests::provenance;
    use crate::tiers::memory::tests::entry;

    #[test]
    fn a_bulk_read_has_the_released_members_in_their_order() {
        let (keys, held) = (["title:1", "title:2"].map(|key| Key::new(key).unwrap()), entry(7, b"one"));
        let [first, second] = &keys;
        let value = WrappedValue::new(&held, &provenance(Freshness::Fresh, 0), WRAPPED_BYTES);
        let wrapped = serde_json::to_string(&value).unwrap();
        let members = wrapped.trim_start_matches('{').trim_end_matches('}');
        let outcomes = [
            BulkOutcome::Value { status: 200, value },
            BulkOutcome::Problem { status: 404, code: "not-found", detail: "tv has no \"it\"".to_owned() },
        ];
        let entries = [first, second].into_iter().zip(outcomes);
        let entries = entries
            .map(|(key, outcome)| BulkEntry { key, outcome, cache_status: "newsreel-kv; hit".to_owned() })
            .collect();
        let known = KnownAt { catalog: Catalog::new("tv").unwrap(), position: None, lag_ms: Some(12) };
        let json = serde_json::to_string(&BulkAnswer { known: Some(known), entries }).unwrap();
        assert_eq!(
            json,
            [
                r#"{"catalog":"tv","position":null,"lag_ms":12,"entries":["#,
                r#"{"key":"title:1","status":200,"#,
                members,
                r#"},"cache_status":"newsreel-kv; hit"},"#,
                r#"{"key":"title:2","status":404,"code":"not-found","detail":"tv has no \"it\"","#,
                r#""cache_status":"newsreel-kv; hit"}]}"#,
            ]
            .concat()
        );
    }
}
