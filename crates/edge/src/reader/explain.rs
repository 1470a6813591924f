//! The explanation of a read: how it came to its answer, step by step.

use newsreel_core::read::cache::explain::Note;
use newsreel_core::wire::{Code, Key, Problem, Version};
use newsreel_gate::Answer;
use serde::Serialize;
use serde_json::Value;
use worker::{Response, Result};

use crate::http::json_response;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, Values, run};
use crate::reader::edges::online;
use crate::reader::response::headers::Provenance;
use crate::reader::response::wrapped::KnownAt;
use crate::reader::store::put_all;
use crate::reader::sync::call;

/// Asks another edge how a read of a key comes to its answer there. The read happens in that edge's replica, where it runs.
///
/// # Errors
/// `not-found` where no replica of that name follows: a question must not make an object.
pub(crate) async fn explain_at(context: &ReadContext, edge: &str, key: &Key) -> Answer {
    if !online(context).await?.iter().any(|name| name == edge) {
        let says = format!("no edge called {edge:?} follows the catalog; GET followers lists those that do");
        return Err(Problem::new(Code::NotFound, says).into());
    }
    Ok(call(context, edge, Call::Explain, key.as_str()).await?)
}

/// Reads a key where no client waits for its value, stores what was fetched, and answers with how the read came to its
/// answer.
pub(crate) async fn explain_here(context: &ReadContext, key: &Key) -> Result<Response> {
    let reads = run(context, vec![context.read(key, None).explained()], Values::All).await;
    let read = reads.first().expect("one read has one answer");
    let provenance = Provenance::by(context, read);
    put_all(context, reads.iter().filter_map(|read| read.fill(context)).collect()).await;
    json_response(&Explanation::of(context, read, &provenance))
}

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
