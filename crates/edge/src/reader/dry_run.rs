//! The dry run of a publish: which of the keys that were read lately it would hit, at each edge.

use futures_util::{StreamExt as _, stream};
use newsreel_core::wire::publish::Publish;
use newsreel_core::wire::series::MAX_EDGES;
use newsreel_core::wire::{Catalog, Problem};
use newsreel_gate::Answer;
use serde::Serialize;
use worker::{Method, Request, RequestInit, Result, console_warn};

use crate::http::json_response;
use crate::protocol::{Call, DryRunAtEdge};
use crate::reader::context::ReadContext;
use crate::reader::metrics::report;
use crate::reader::series::online;
use crate::reader::sync::{post, replica};
use crate::streams;

/// How many replicas are asked at once: six requests of an isolate may wait for their headers.
const AT_ONCE: usize = 6;

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
    if let Some(report) = report(context) {
        post(context, Call::Report, &report).await?;
    }
    let mut names = online(context).await?;
    let mut left_out = names.split_off(names.len().min(MAX_EDGES));
    let asked = stream::iter(names).map(async |edge| (ask(context, &edge, body).await, edge));
    let mut edges = Vec::new();
    for (answer, edge) in asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
        match answer {
            Ok(at_edge) => edges.push(at_edge),
            Err(error) => {
                console_warn!("{}: no dry run of {edge}: {error}", context.catalog);
                left_out.push(edge);
            }
        }
    }
    edges.sort_unstable_by(|one, other| one.edge.cmp(&other.edge));
    left_out.sort_unstable();
    Ok(json_response(&DryRun { catalog: &context.catalog, changes: publish.changes.len(), edges, left_out })?)
}

async fn ask(context: &ReadContext, edge: &str, body: &str) -> Result<DryRunAtEdge> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(body.into()));
    let request = Request::new_with_init(&Call::DryRun.url(), &init)?;
    let response = replica(&context.env, &context.catalog, edge)?.fetch_with_request(request).await?;
    let text = streams::read_body_text(&response, &[]).await?;
    if response.status_code() != 200 {
        return Err(format!("the replica answered {}: {text}", response.status_code()).into());
    }
    Ok(serde_json::from_str(&text)?)
}
