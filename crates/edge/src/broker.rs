//! Requests to the broker and to the board of alerts: this deployment's objects of the catalog, or the deployment that
//! `BROKER_URL` names.

use newsreel_core::alerts::Report;
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, internal_headers};
use newsreel_gate::Deployment;
use worker::{Env, Fetch, Headers, Request, Response, Result};

use crate::config::{BROKER, Config};
use crate::http;

/// Makes a GET request of the edge called `caller`, with these headers and what lets it in; returns the broker's response.
///
/// # Errors
/// When the broker does not answer.
pub(crate) async fn ask(
    env: &Env,
    config: &Config,
    catalog: &Catalog,
    caller: &str,
    path: &str,
    headers: &Headers,
) -> Result<Response> {
    // Another deployment tells callers apart by their tokens.
    if config.broker.is_none() {
        headers.set(internal_headers::CALLER, caller)?;
    }
    send(env, config, BROKER, catalog, headers, |server| http::get(&format!("{server}{path}"), headers)).await
}

/// Tells the catalog's board of alerts what changed here. A deployment without a board has nobody to tell.
///
/// # Errors
/// When the board does not take it: it is to be told again.
pub(crate) async fn tell_alerts(
    env: &Env,
    config: &Config,
    catalog: &Catalog,
    report: &Report,
) -> Result<()> {
    let board = variables::ALERT_BOARD.name;
    if config.broker.is_none() && env.durable_object(board).is_err() {
        return Ok(());
    }
    let body = serde_json::to_string(report)?;
    let headers = Headers::new();
    headers.set("Content-Type", "application/json")?;
    let request =
        |server: &str| http::post(&format!("{server}/v1/catalogs/{catalog}/alerts"), &headers, &body);
    let response = send(env, config, board, catalog, &headers, request).await?;
    match response.status_code() {
        // A broker of an older build, or one without a board.
        200 | 404 | 405 => Ok(()),
        status => Err(format!("the board of alerts answered {status}").into()),
    }
}

/// Sends a request to the deployment that `BROKER_URL` names, with its token, or else to the catalog's object under
/// `binding`. `request` makes it for a server.
async fn send(
    env: &Env,
    config: &Config,
    binding: &str,
    catalog: &Catalog,
    headers: &Headers,
    request: impl FnOnce(&str) -> Result<Request>,
) -> Result<Response> {
    match &config.broker {
        Some(broker) => {
            let token = Deployment(env).read(&variables::BROKER_TOKEN).unwrap_or_default();
            headers.set("Authorization", &format!("Bearer {token}"))?;
            Fetch::Request(request(broker)?).send().await
        }
        None => {
            let stub = env.durable_object(binding)?.get_by_name(catalog.as_str())?;
            stub.fetch_with_request(request("https://object")?).await
        }
    }
}
