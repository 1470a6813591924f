//! The Worker's side of the broker: hands an authorized request to the object of its catalog.

use newsreel_core::access::Caller;
use newsreel_core::wire::internal;
use newsreel_core::wire::name::Catalog;
use worker::{Env, Headers, Request, RequestInit, Response};

/// The binding of the broker's namespace.
pub const BINDING: &str = "BROKER";

/// What of a request the object gets to see.
const PASSED: &[&str] = &[
    "Accept",
    "Content-Length",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Sec-WebSocket-Protocol",
    "Upgrade",
];

/// Hands the request of `caller` to the catalog's object and returns its answer.
///
/// # Errors
/// When the object cannot be reached.
pub async fn forward(
    request: &Request,
    env: &Env,
    catalog: &Catalog,
    caller: &Caller,
) -> worker::Result<Response> {
    let headers = Headers::new();
    for name in PASSED {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    // A header value is Latin-1 and a token's name need not be.
    headers.set(internal::CALLER, &caller.name.escape_default().to_string())?;
    if caller.admin && request.headers().has(internal::REPLICA)? {
        headers.set(internal::REPLICA, "1")?;
    }
    let mut init = RequestInit::new();
    init.with_method(request.method()).with_headers(headers);
    if let Some(body) = request.inner().body() {
        init.with_body(Some(body.into()));
    }
    let inner = Request::new_with_init(request.url()?.as_str(), &init)?;
    let stub = env.durable_object(BINDING)?.get_by_name(catalog.as_str())?;
    stub.fetch_with_request(inner).await
}
