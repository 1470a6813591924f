//! Requests to the broker: this deployment's object of the catalog, or the deployment that `BROKER_URL` names.

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
