//! Questions to the replicas of other edges.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use newsreel_core::wire::page::Followers;
use newsreel_core::wire::series::MAX_EDGES;
use serde::de::DeserializeOwned;
use worker::{Headers, Result, console_warn};

use crate::broker;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::sync::call;
use crate::streams;

/// How many replicas are asked at once: six requests of an isolate may wait for their headers.
const AT_ONCE: usize = 6;

/// Returns the names of the replicas that follow the broker, each once, in order.
pub(crate) async fn online(context: &ReadContext) -> Result<Vec<String>> {
    let path = format!("/v1/catalogs/{}/followers", context.catalog);
    let (env, config, catalog) = (&context.env, &context.config, &context.catalog);
    let response = broker::ask(env, config, catalog, &context.edge, &path, &Headers::new()).await?;
    if response.status_code() != 200 {
        return Err(format!("the broker answered {}", response.status_code()).into());
    }
    let followers: Followers = serde_json::from_str(&streams::read_body_text(&response, &[]).await?)?;
    let names: BTreeSet<String> =
        followers.followers.into_iter().filter(|one| one.replica).map(|one| one.name).collect();
    Ok(names.into_iter().collect())
}

/// Asks every replica that follows the broker, each with the body that `body_for` makes for its edge, and hands the
/// answers to `take` as they come. Returns the edges that did not answer or were too many, in order.
pub(crate) async fn ask_all<T: DeserializeOwned>(
    context: &ReadContext,
    what: Call,
    body_for: impl Fn(&str) -> String,
    mut take: impl FnMut(T),
) -> Result<Vec<String>> {
    let mut names = online(context).await?;
    let mut left_out = names.split_off(names.len().min(MAX_EDGES));
    let asked =
        stream::iter(names).map(async |edge| (ask(context, &edge, what, &body_for(&edge)).await, edge));
    let mut answers = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
    while let Some((answer, edge)) = answers.next().await {
        match answer {
            Ok(answer) => take(answer),
            Err(error) => {
                console_warn!("{}: no answer of {edge} to {}: {error}", context.catalog, what.url());
                left_out.push(edge);
            }
        }
    }
    left_out.sort_unstable();
    Ok(left_out)
}

/// Asks the replica at an edge; its answer is JSON.
///
/// # Errors
/// When it cannot be reached, or answers with another status than 200; the text says which.
pub(crate) async fn ask<T: DeserializeOwned>(
    context: &ReadContext,
    edge: &str,
    what: Call,
    body: &str,
) -> Result<T> {
    let response = call(context, edge, what, body).await?;
    let text = streams::read_body_text(&response, &[]).await?;
    if response.status_code() != 200 {
        return Err(format!("the replica answered {}: {text}", response.status_code()).into());
    }
    Ok(serde_json::from_str(&text)?)
}
