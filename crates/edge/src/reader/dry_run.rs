//! The dry run of a publish: which of the keys that were read lately it would hit, at each edge.

use newsreel_core::wire::publish::Publish;
use newsreel_core::wire::{Catalog, Problem};
use newsreel_gate::Answer;
use serde::Serialize;

use crate::http::json_response;
use crate::protocol::{Call, DryRunAtEdge};
use crate::reader::context::ReadContext;
use crate::reader::edges::ask_all;
use crate::reader::metrics::tell;

/// The answer: each edge that follows, and the names of those that did not answer or were too many.
#[derive(Serialize)]
struct DryRun<'a> {
    catalog: &'a Catalog,
    changes: usize,
    edges: Vec<DryRunAtEdge>,
    left_out: Vec<String>,
}

/// Answers `POST dry-run`, after this isolate has reported which keys it served. Nothing is published, and nothing is asked
/// of the origin.
///
/// # Errors
/// The problems of a publish, where the body is none.
pub(crate) async fn show(context: &ReadContext, body: &str) -> Answer {
    let publish = Publish::parse(body.as_bytes()).map_err(Problem::from)?;
    tell(context).await?;
    let mut edges: Vec<DryRunAtEdge> = Vec::new();
    let left_out = ask_all(context, Call::DryRun, |_| body.to_owned(), |edge| edges.push(edge)).await?;
    edges.sort_unstable_by(|one, other| one.edge.cmp(&other.edge));
    Ok(json_response(&DryRun { catalog: &context.catalog, changes: publish.changes.len(), edges, left_out })?)
}
