//! A request of a provider: verified, and handed on.

use newsreel_core::access::hooks::{Hook, Scheme};
use newsreel_core::access::{Caller, Grant, Scope};
use newsreel_core::wire::{Catalog, Code, Problem, Receipt, coding};
use newsreel_gate::{self as gate, Answer, Failure, now};
use newsreel_hooks::verify::Secret;
use newsreel_hooks::{Arrival, Genuine, Headers, HookMessage, HookRequest, Incoming, Proof, Refusal, verify};
use serde::Serialize;
use worker::{Env, Request, ResponseBuilder, console_warn};

use super::body::body_of;
use super::{declared, publish, queue};
use crate::config::config;
use crate::http::json_response;

/// The answer to a message that was taken.
#[derive(Serialize)]
struct Accepted<'a> {
    catalog: &'a Catalog,
    hook: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// Whether the message waits in the queue.
    queued: bool,
    /// The receipts of its publishes, where it does not wait.
    receipts: Vec<Receipt>,
}

/// Says whether a request to the publish address is an event, which a hook's mapping reads.
pub(crate) fn is_event(request: &Request) -> worker::Result<bool> {
    let headers = request.headers();
    // Debezium Server signs by Standard Webhooks, and its JSON has no media type of its own.
    Ok(is_event_type(&headers.get("Content-Type")?.unwrap_or_default())
        || headers.has("ce-specversion")?
        || headers.has("webhook-signature")?)
}

/// Says whether a media type is that of CloudEvents.
pub(crate) fn is_event_type(content_type: &str) -> bool {
    const START: &str = "application/cloudevents";
    content_type.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// Takes the message of a hook: answers 202 once it is in the queue, or 200 once it is published.
pub(crate) async fn receive(request: &Request, env: &Env, catalog: &Catalog, name: &str) -> Answer {
    gate::check_catalog(env, catalog)?;
    let hook = declared::hook(env, name, catalog)?;
    let mapping = declared::mapping(&hook)?;
    coding::check(&request.headers().get("Content-Encoding")?.unwrap_or_default())?;
    let by_token = if hook.scheme == Scheme::Token {
        Some(gate::admit(request, env, Scope::Publish, catalog).await?)
    } else {
        None
    };
    let address = gate::FailingAddress::of(request)?;
    let (headers, body) = (headers_of(request), body_of(request).await?);
    let hook_request = HookRequest { headers: &headers, body: &body, now: now() };
    let genuine = match &by_token {
        Some(_) => Genuine::of(&hook, &hook_request),
        None => prove(&address, env, &hook, &hook_request).await?,
    };
    let caller =
        by_token.unwrap_or_else(|| Caller { name: hook.publisher(), admin: false, grant: Grant::default() });
    gate::check_rate(&caller, Scope::Publish, config(env)?.publish_per_second)?;
    let payload = match Incoming::read(&hook, &hook_request) {
        Incoming::Message(payload) => payload,
        Incoming::Challenge(text) => return plain(&text),
        Incoming::Ping => return nothing(),
        Incoming::Revoked(status) => {
            console_warn!("the provider of the hook {} has ended its subscription: {status}", hook.name);
            return nothing();
        }
    };
    let text = std::str::from_utf8(&payload).map_err(not_text)?.to_owned();
    let message = HookMessage::new(catalog.clone(), &hook.name, genuine.id, hook_request.now, &headers, text);
    // A limited token may publish some changes and others not, which is known only of a message that is mapped.
    if caller.grant.topics.is_empty() && queue::enqueue(env, &message).await {
        return accepted(&message, true, Vec::new(), 202);
    }
    let lines = publish::mapped(&message, &mapping, Arrival::InOrder)?;
    let receipts = publish::at_once(env, catalog, &caller, &lines).await?;
    accepted(&message, false, receipts, 200)
}

fn not_text(why: std::str::Utf8Error) -> Problem {
    Problem::new(Code::BadJson, format!("the body is no UTF-8 from byte {} on", why.valid_up_to()))
}

fn accepted(message: &HookMessage, queued: bool, receipts: Vec<Receipt>, status: u16) -> Answer {
    let HookMessage { catalog, hook, id, .. } = message;
    let answer = json_response(&Accepted { catalog, hook, id: id.as_deref(), queued, receipts })?;
    Ok(answer.with_status(status))
}

fn plain(text: &str) -> Answer {
    let headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")];
    Ok(ResponseBuilder::new().with_headers(crate::http::headers(&headers)?).fixed(text.as_bytes().to_vec()))
}

fn nothing() -> Answer {
    Ok(ResponseBuilder::new().with_status(204).with_header("Cache-Control", "no-store")?.empty())
}

/// Verifies a request by the secrets of its hook. A request that is refused counts against its address.
async fn prove(
    address: &gate::FailingAddress,
    env: &Env,
    hook: &Hook,
    hook_request: &HookRequest<'_>,
) -> Result<Genuine, Failure> {
    let secrets = declared::secrets(env, hook)?;
    let secrets: Vec<Secret<'_>> = secrets.iter().map(|(name, text)| Secret { name, text }).collect();
    let proved = match verify(hook, &secrets, hook_request) {
        Ok(Proof::Genuine(genuine)) => Ok(genuine),
        Ok(Proof::Unverified(unverified)) => {
            let mut right = false;
            for key in &unverified.keys {
                for signature in &unverified.signatures {
                    right |= gate::is_signed_by(key, signature, &unverified.signed).await?;
                }
            }
            unverified.verified(right)
        }
        Err(refusal) => Err(refusal),
    };
    proved.map_err(|refusal| match refusal {
        Refusal::Key { .. } => Problem::new(Code::Misconfigured, refusal.to_string()).into(),
        Refusal::Missing(_) | Refusal::Malformed(_) | Refusal::Wrong | Refusal::OutsideWindow(_) => {
            address.failed();
            Problem::new(Code::Unauthorized, refusal.to_string()).into()
        }
    })
}

fn headers_of(request: &Request) -> Headers {
    Headers::new(request.headers().entries())
}
