//! Requests to the broker and to the board of alerts: this deployment's objects of the catalog, or the deployment that
//! `BROKER_URL` names.

use newsreel_core::alerts::Report;
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, internal_headers};
use newsreel_gate::Deployment;
use worker::{Env, Fetch, Headers, Response, Result};

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
    match &config.broker {
        Some(broker) => {
            let token = Deployment(env).read(&variables::BROKER_TOKEN).unwrap_or_default();
            headers.set("Authorization", &format!("Bearer {token}"))?;
            Fetch::Request(http::get(&format!("{broker}{path}"), headers)?).send().await
        }
        None => {
            headers.set(internal_headers::CALLER, caller)?;
            let stub = env.durable_object(BROKER)?.get_by_name(catalog.as_str())?;
            stub.fetch_with_request(http::get(&format!("https://broker{path}"), headers)?).await
        }
    }
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
    let path = format!("/v1/catalogs/{catalog}/alerts");
    let body = serde_json::to_string(report)?;
    let headers = Headers::new();
    headers.set("Content-Type", "application/json")?;
    let response = match (&config.broker, env.durable_object(variables::ALERT_BOARD.name)) {
        (Some(broker), _) => {
            let token = Deployment(env).read(&variables::BROKER_TOKEN).unwrap_or_default();
            headers.set("Authorization", &format!("Bearer {token}"))?;
            Fetch::Request(http::post(&format!("{broker}{path}"), &headers, &body)?).send().await?
        }
        (None, Ok(boards)) => {
            let stub = boards.get_by_name(catalog.as_str())?;
            stub.fetch_with_request(http::post(&format!("https://board{path}"), &headers, &body)?).await?
        }
        (None, Err(_)) => return Ok(()),
    };
    match response.status_code() {
        // A broker of an older build, or one without a board.
        200 | 404 | 405 => Ok(()),
        status => Err(format!("the board of alerts answered {status}").into()),
    }
}
