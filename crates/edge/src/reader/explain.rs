//! The explanation of a read: how it came to its answer, step by step.

use newsreel_core::read::cache::explain::Note;

use crate::reader::context::Place;
use crate::reader::drive::Walk;
use crate::reader::response::body::{heard, quoted};
use crate::reader::response::headers::Served;

/// Returns the explanation of a read, as JSON.
pub(crate) fn explanation(place: &Place, walk: &Walk, served: &Served) -> String {
    let policy = place.policy(walk.key());
    let mut steps: Vec<String> =
        walk.read().notes().iter().map(Note::to_json).map(|step| step.to_string()).collect();
    steps.push(walk.answer().to_json().to_string());
    format!(
        r#"{{{},"edge":{},"key":{},"generation":{},"policy":{{"ttl_ms":{},"stale_for_ms":{},"lag_bound_ms":{},"quorum":{}}},"origin_error":{},"steps":[{}]}}"#,
        heard(place, served),
        quoted(&place.edge),
        quoted(walk.key().as_str()),
        walk.task().generation(),
        policy.ttl.as_millis(),
        policy.stale_for.as_millis(),
        policy.lag_bound.as_millis(),
        policy.quorum,
        walk.origin_error().map_or("null".to_owned(), quoted),
        steps.join(","),
    )
}
