//! Requests read and responses made the same way everywhere in the broker.

use newsreel_core::access::Grant;
use newsreel_core::wire::frame::SUBPROTOCOL;
use newsreel_core::wire::problem::{self, Problem};
use newsreel_core::wire::{Code, internal_headers};
use newsreel_gate::{Answer, Failure};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use worker::{Headers, Request, Response, WebSocket, web_sys};

#[wasm_bindgen(module = "/src/http.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = headOf)]
    fn head_of(request: &web_sys::Request) -> Result<String, JsValue>;

    #[wasm_bindgen(catch)]
    fn answer(media_type: &str, text: &str) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch)]
    fn respond(status: u16, lines: &str, text: &str) -> Result<web_sys::Response, JsValue>;
}

/// The part of a request by which its way is found, and of a publish what stands before its body.
#[derive(Default)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) address: String,
    pub(crate) content_type: String,
    pub(crate) content_length: Option<usize>,
    pub(crate) idempotency_key: Option<String>,
    /// The name of the caller's token.
    pub(crate) caller: String,
    pub(crate) grant: Grant,
}

impl RequestHead {
    /// Reads the head of a request; of one that is no POST its method and address alone.
    pub(crate) fn of(request: &web_sys::Request) -> worker::Result<Self> {
        let lines = head_of(request)?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (method, address) = (line().to_owned(), line().to_owned());
        let mut header = || line().strip_prefix('=').map(str::to_owned);
        Ok(Self {
            method,
            address,
            content_type: header().unwrap_or_default(),
            content_length: header().and_then(|length| length.parse().ok()),
            idempotency_key: header(),
            caller: header().unwrap_or_default(),
            grant: Grant::from_text(&header().unwrap_or_default()),
        })
    }
}

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

/// An answer as JavaScript has it. A `Response` of crate `worker` is made anew on its way to JavaScript.
pub(crate) type RawAnswer = Result<web_sys::Response, Failure>;

/// Returns an answer as a response; an error of the platform fails the event.
pub(crate) fn answer_or_problem(answer: RawAnswer) -> worker::Result<web_sys::Response> {
    match answer {
        Ok(response) => Ok(response),
        Err(Failure::Problem(problem)) => raw_problem(&problem),
        Err(Failure::Platform(error)) => Err(error),
    }
}

/// Returns a problem as its response.
pub(crate) fn problem_response(problem: &Problem) -> worker::Result<Response> {
    Ok(raw_problem(problem)?.into())
}

fn raw_problem(problem: &Problem) -> worker::Result<web_sys::Response> {
    let mut lines = format!("Content-Type:{}", problem::MEDIA_TYPE);
    for (name, value) in problem.headers() {
        lines.extend(["\n", name, ":", &value]);
    }
    Ok(respond(problem.status(), &lines, &problem.to_json())?)
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
    Ok(raw_json(value)?.into())
}

/// Returns a value as a JSON response that no cache may store.
pub(crate) fn raw_json(value: &impl Serialize) -> RawAnswer {
    let json = serde_json::to_string(value).map_err(worker::Error::from)?;
    Ok(raw_text("application/json", &json)?)
}

/// Returns a text as a response that no cache may store.
pub(crate) fn raw_text(media_type: &str, text: &str) -> worker::Result<web_sys::Response> {
    Ok(answer(media_type, text)?)
}
