//! Requests read and responses made the same way everywhere in the broker.

use newsreel_core::access::Grant;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::problem::{self, Problem};
use newsreel_core::wire::{Code, internal_headers};
use newsreel_gate::{Answer, Failure};
use serde::Serialize;
use worker::{Headers, Request, Response, ResponseBuilder, WebSocket};

/// Returns the limits of the caller's token.
pub(crate) fn grant(request: &Request) -> worker::Result<Grant> {
    Ok(Grant::from_text(&request.headers().get(internal_headers::GRANT)?.unwrap_or_default()))
}

/// Refuses a request that should open a WebSocket and does not.
pub(crate) fn check_upgrade(request: &Request) -> Result<(), Failure> {
    let upgrade = request.headers().get("Upgrade")?.unwrap_or_default();
    if upgrade.eq_ignore_ascii_case("websocket") {
        return Ok(());
    }
    Err(Problem::new(Code::UpgradeRequired, "connect with a WebSocket").into())
}

/// Returns the response that hands the caller its end of a socket.
pub(crate) fn socket_response(request: &Request, client: WebSocket) -> Answer {
    let response = Response::from_websocket(client)?;
    let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
    if offered.split(',').any(|one| one.trim() == SUBPROTOCOL) {
        response.headers().set("Sec-WebSocket-Protocol", SUBPROTOCOL)?;
    }
    Ok(response)
}

/// Returns an answer as a response; an error of the platform fails the event.
pub(crate) fn answer_or_problem(answer: Answer) -> worker::Result<Response> {
    match answer {
        Ok(response) => Ok(response),
        Err(Failure::Problem(problem)) => problem_response(&problem),
        Err(Failure::Platform(error)) => Err(error),
    }
}

/// Returns a problem as its response.
pub(crate) fn problem_response(problem: &Problem) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("Content-Type", problem::MEDIA_TYPE)?;
    for (name, value) in problem.headers() {
        headers.set(name, &value)?;
    }
    let builder = ResponseBuilder::new().with_status(problem.status()).with_headers(headers);
    Ok(builder.fixed(problem.to_json().into_bytes()))
}

/// Returns the headers with these names and values.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> worker::Result<Headers> {
    let headers = Headers::new();
    for (name, value) in pairs {
        headers.set(name, value)?;
    }
    Ok(headers)
}

/// Returns a value as a JSON response that no cache may store.
pub(crate) fn json_response(value: &impl Serialize) -> Answer {
    let json = serde_json::to_string(value).map_err(worker::Error::from)?;
    Ok(text_response("application/json", json)?)
}

/// Returns a text as a response that no cache may store.
pub(crate) fn text_response(media_type: &str, text: String) -> worker::Result<Response> {
    let headers = headers(&[("Content-Type", media_type), ("Cache-Control", "no-store")])?;
    Ok(ResponseBuilder::new().with_headers(headers).fixed(text.into_bytes()))
}
