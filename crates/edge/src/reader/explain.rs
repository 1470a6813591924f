//! The explanation of a read: how it came to its answer, step by step.

use newsreel_core::read::cache::explain::Note;
use newsreel_core::wire::{Key, Version};
use serde::Serialize;
use serde_json::Value;

use crate::reader::context::ReadContext;
use crate::reader::drive::FinishedRead;
use crate::reader::response::headers::Provenance;
use crate::reader::response::wrapped::KnownAt;

/// The explanation of a read.
#[derive(Serialize)]
pub(crate) struct Explanation<'a> {
    #[serde(flatten)]
    known: KnownAt,
    edge: &'a str,
    key: &'a Key,
    generation: Version,
    policy: PolicyBounds,
    origin_error: Option<&'a str>,
    steps: Vec<Value>,
}

/// The bounds by which the read was judged.
#[derive(Serialize)]
struct PolicyBounds {
    ttl_ms: u128,
    stale_for_ms: u128,
    lag_bound_ms: u128,
    quorum: bool,
}

impl<'a> Explanation<'a> {
    pub(crate) fn of(context: &'a ReadContext, read: &'a FinishedRead, provenance: &Provenance) -> Self {
        let policy = context.policy(read.key());
        let mut steps: Vec<Value> = read.machine().notes().iter().map(Note::to_json).collect();
        steps.push(read.answer().to_json());
        Self {
            known: KnownAt::of(context, provenance),
            edge: &context.edge,
            key: read.key(),
            generation: read.task().generation(),
            policy: PolicyBounds {
                ttl_ms: policy.ttl.as_millis(),
                stale_for_ms: policy.stale_for.as_millis(),
                lag_bound_ms: policy.lag_bound.as_millis(),
                quorum: policy.quorum,
            },
            origin_error: read.origin_error(),
            steps,
        }
    }
}
