//! The counters over time: of one edge, as its replica keeps them, or of every edge that follows the broker, summed.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use newsreel_core::metrics::prices;
use newsreel_core::metrics::series::READER;
use newsreel_core::metrics::series::chart::check_names;
use newsreel_core::wire::page::Followers;
use newsreel_core::wire::series::{EdgeChoice, MAX_EDGES, SeriesPage, SeriesQuery, Span};
use newsreel_core::wire::{Code, Problem};
use newsreel_gate::Answer;
use worker::{Headers, Method, Request, RequestInit, Response, Result, console_warn};

use crate::broker;
use crate::clock::now;
use crate::http::json_response;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::metrics::report;
use crate::reader::sync::{post, replica};
use crate::streams;

/// How many replicas are asked at once: six requests of an isolate may wait for their headers.
const AT_ONCE: usize = 6;

/// Answers `GET series?edge=…`, after this isolate has reported its own counts.
pub(crate) async fn show(context: &ReadContext, query: &SeriesQuery) -> Answer {
    if let Some(report) = report(context) {
        post(context, Call::Report, &report).await?;
    }
    match &query.edge {
        EdgeChoice::One(edge) => Ok(ask(context, edge, query).await?),
        EdgeChoice::All => all(context, query).await,
        EdgeChoice::Broker => Err(Problem::new(Code::UnknownPath, "these series are the broker's").into()),
    }
}

/// Asks a replica; its answer may be a problem.
async fn ask(context: &ReadContext, edge: &str, query: &SeriesQuery) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(query.to_query().into()));
    let request = Request::new_with_init(&Call::Series.url(), &init)?;
    replica(&context.env, &context.catalog, edge)?.fetch_with_request(request).await
}

/// Sums the series of all edges that follow the broker. An edge that does not answer is named as left out.
async fn all(context: &ReadContext, query: &SeriesQuery) -> Answer {
    check_names(&READER, query)?;
    let span = query.span(now())?;
    let mut edges = online(context).await?;
    let mut left_out = edges.split_off(edges.len().min(MAX_EDGES));
    let mut sum = empty(context, &span);
    let pages = stream::iter(edges).map(async |edge| {
        let page = page_of(context, &edge, &query.asked_of(&edge, &span)).await;
        (edge, page)
    });
    let mut pages = std::pin::pin!(pages.buffer_unordered(AT_ONCE));
    while let Some((edge, page)) = pages.next().await {
        match page {
            Ok(page) => sum.add(page),
            Err(error) => {
                console_warn!("{}: no series of {edge}: {error}", context.catalog);
                left_out.push(edge);
            }
        }
    }
    left_out.sort_unstable();
    sum.left_out = left_out;
    sum.cost = prices::cost(&sum);
    Ok(json_response(&sum)?)
}

fn empty(context: &ReadContext, span: &Span) -> SeriesPage {
    SeriesPage::empty(context.catalog.clone(), Some("*".to_owned()), span)
}

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

async fn page_of(context: &ReadContext, edge: &str, query: &SeriesQuery) -> Result<SeriesPage> {
    let response = ask(context, edge, query).await?;
    let text = streams::read_body_text(&response, &[]).await?;
    if response.status_code() != 200 {
        return Err(format!("the replica answered {}: {text}", response.status_code()).into());
    }
    Ok(serde_json::from_str(&text)?)
}
