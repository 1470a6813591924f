//! Mapped messages on their way to a catalog's object: many lines in one request.

use newsreel_core::access::{Caller, Grant};
use newsreel_core::variables::BROKER;
use newsreel_core::wire::ndjson::{self, MAX_LINES, MAX_LINES_BYTES, PublishAnswer, RefusedPublish};
use newsreel_core::wire::{Catalog, Code, Problem, Receipt};
use newsreel_gate::Failure;
use newsreel_hooks::{Arrival, HookMessage};
use newsreel_mapping::Mapping;
use worker::{Env, Headers, Method, Request, RequestInit, console_warn};

use super::declared;
use crate::http::set_caller;

/// The broker's answer to the publish of one line.
#[derive(Debug)]
pub(super) enum Published {
    /// The publish has this receipt.
    Receipt(Receipt),
    /// The publish was refused, and would be again.
    Refused(RefusedPublish),
    /// The broker could not take the publish now.
    Later,
}

/// Publishes the lines of one message, and returns their receipts.
pub(super) async fn at_once(
    env: &Env,
    catalog: &Catalog,
    caller: &Caller,
    lines: &[String],
) -> Result<Vec<Receipt>, Failure> {
    let mut receipts = Vec::new();
    for published in publish(env, catalog, caller, lines).await? {
        match published {
            Published::Receipt(receipt) => receipts.push(receipt),
            Published::Refused(refused) => return Err(repeated(refused).into()),
            Published::Later => {
                let text = "the broker has too much to do, or could not write; send the message again";
                return Err(Problem::new(Code::Busy, text).into());
            }
        }
    }
    Ok(receipts)
}

/// Returns the problem of a refusal as the object worded it.
fn repeated(refused: RefusedPublish) -> Problem {
    let code = Code::ALL.iter().find(|code| code.text() == refused.code);
    Problem::new(code.copied().unwrap_or(Code::Internal), refused.detail)
}

/// Returns who publishes a message that was kept, and its lines.
///
/// # Errors
/// `unknown-hook` and `not-mapped` for a message that can never be published like this, `misconfigured` for a deployment
/// that has to be mended first.
pub(super) fn lines_of(env: &Env, message: &HookMessage) -> Result<(Caller, Vec<String>), Problem> {
    let hook = declared::hook(env, &message.hook, &message.catalog)?;
    let mapping = declared::mapping(&hook)?;
    let lines = mapped(message, &mapping, Arrival::AnyOrder)?;
    Ok((Caller { name: hook.publisher(), admin: false, grant: Grant::default() }, lines))
}

/// Returns the lines of a message.
///
/// # Errors
/// `not-mapped`, with the reason.
pub(super) fn mapped(
    message: &HookMessage,
    mapping: &Mapping,
    arrival: Arrival,
) -> Result<Vec<String>, Problem> {
    let mapped = message.publishes(mapping, arrival);
    let mapped = mapped.map_err(|why| Problem::new(Code::NotMapped, why.to_string()))?;
    if mapped.skipped > 0 {
        console_warn!("the hook {}: {} names of a message were left out", message.hook, mapped.skipped);
    }
    Ok(mapped.lines)
}

/// Publishes lines in order, as many in one request as one may hold. Returns what became of each.
pub(super) async fn publish(
    env: &Env,
    catalog: &Catalog,
    caller: &Caller,
    lines: &[String],
) -> worker::Result<Vec<Published>> {
    let mut published = Vec::with_capacity(lines.len());
    let mut rest = lines;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len() + 1;
            bytes <= MAX_LINES_BYTES
        };
        let (part, after) = rest.split_at(rest.iter().take(MAX_LINES).take_while(fits).count().max(1));
        published.extend(publish_part(env, catalog, caller, part).await?);
        rest = after;
    }
    Ok(published)
}

async fn publish_part(
    env: &Env,
    catalog: &Catalog,
    caller: &Caller,
    lines: &[String],
) -> worker::Result<Vec<Published>> {
    let headers = Headers::new();
    headers.set("Content-Type", ndjson::MEDIA_TYPE)?;
    set_caller(&headers, caller)?;
    let body = lines.join("\n");
    let mut answer = object(env, catalog, "changes", &headers, &body).await?;
    if answer.status_code() != 200 {
        let later = || Published::Later;
        return Ok(lines.iter().map(|_| later()).collect());
    }
    let answers = answer.text().await?;
    let mut answers = answers.lines();
    Ok(lines.iter().map(|_| answers.next().map_or(Published::Later, read)).collect())
}

/// Reads the answer to one line.
fn read(answer: &str) -> Published {
    match serde_json::from_str(answer) {
        Ok(PublishAnswer::Published(receipt)) => Published::Receipt(receipt),
        Ok(PublishAnswer::Refused(refused)) if !matches!(refused.status, 429 | 409 | 500..) => {
            Published::Refused(refused)
        }
        Ok(PublishAnswer::Refused(_)) | Err(_) => Published::Later,
    }
}

/// Sends a request to a catalog's object.
pub(super) async fn object(
    env: &Env,
    catalog: &Catalog,
    call: &str,
    headers: &Headers,
    body: &str,
) -> worker::Result<worker::Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers.clone()).with_body(Some(body.into()));
    let url = format!("https://broker/v1/catalogs/{catalog}/{call}");
    let stub = env.durable_object(BROKER.name)?.get_by_name(catalog.as_str())?;
    stub.fetch_with_request(Request::new_with_init(&url, &init)?).await
}
