//! Requests read and responses made the same way everywhere in the broker.

use std::array;

use js_sys::Array;
use newsreel_core::access::{Caller, Grant};
use newsreel_core::wire::frame::{self, SUBPROTOCOL};
use newsreel_core::wire::problem::{self, Problem};
use newsreel_core::wire::{Code, Traceparent, internal_headers};
use newsreel_gate::{Answer, Failure};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use worker::{Headers, Request, Response, WebSocket, web_sys};

#[wasm_bindgen(module = "/src/http.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = headOf)]
    fn head_of(request: &web_sys::Request) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = socketHeadOf)]
    fn socket_head_of(request: &web_sys::Request) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = newSocket)]
    fn new_socket(subprotocol: Option<&str>) -> Result<Array, JsValue>;

    #[wasm_bindgen(catch)]
    fn answer(media_type: &str, text: &str) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch)]
    fn respond(status: u16, lines: &str, text: &str) -> Result<web_sys::Response, JsValue>;
}

/// The header that says that a receipt is of an earlier publish.
pub(crate) const REPLAYED: &str = "Idempotent-Replayed";

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
    /// The trace that the caller is part of; `None` where the header cannot be read.
    pub(crate) traceparent: Option<Traceparent>,
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
            traceparent: header().and_then(|text| text.parse().ok()),
        })
    }
}

/// Says in a request to the object who the caller is, and what its token is limited to.
pub(crate) fn set_caller(headers: &Headers, caller: &Caller) -> worker::Result<()> {
    // A header value is Latin-1 and a token's name need not be.
    headers.set(internal_headers::CALLER, &caller.name.escape_default().to_string())?;
    match caller.grant.to_text() {
        Some(grant) => headers.set(internal_headers::GRANT, &grant),
        None => Ok(()),
    }
}

/// Returns the limits of the caller's token.
pub(crate) fn grant(request: &Request) -> worker::Result<Grant> {
    Ok(Grant::from_text(&request.headers().get(internal_headers::GRANT)?.unwrap_or_default()))
}

/// The part of a request by which a socket opens.
pub(crate) struct SocketHead {
    /// Whether a replica follows.
    pub(crate) replica: bool,
    /// The name of the caller's token.
    pub(crate) caller: String,
    pub(crate) grant: Grant,
    /// Whether the caller offered subprotocols, ours among them.
    names_subprotocol: bool,
}

impl SocketHead {
    /// Reads the head of a request that opens a socket, and refuses a request that opens none.
    pub(crate) fn of(request: &web_sys::Request) -> Result<Self, Failure> {
        let lines = socket_head_of(request).map_err(worker::Error::from)?;
        let mut lines = lines.split('\n');
        let [upgrade, offered, replica, caller, grant] = array::from_fn(|_| lines.next().unwrap_or_default());
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Err(Problem::new(Code::UpgradeRequired, "connect with a WebSocket").into());
        }
        let names_subprotocol = !offered.is_empty() && frame::is_spoken(Some(offered));
        let (caller, grant) = (caller.to_owned(), Grant::from_text(grant));
        Ok(Self { replica: !replica.is_empty(), caller, grant, names_subprotocol })
    }

    /// Makes a socket. Returns our end, and the response that hands the caller the other.
    pub(crate) fn make_socket(&self) -> worker::Result<(WebSocket, web_sys::Response)> {
        let ends = new_socket(self.names_subprotocol.then_some(SUBPROTOCOL))?;
        let ours: web_sys::WebSocket = ends.get(0).unchecked_into();
        Ok((ours.into(), ends.get(1).unchecked_into()))
    }
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
    Ok(respond(problem.status(), &header_lines(problem), &problem.to_json())?)
}

/// Returns the headers of a problem, a line each.
pub(crate) fn header_lines(problem: &Problem) -> String {
    let mut lines = format!("Content-Type:{}", problem::MEDIA_TYPE);
    for (name, value) in problem.headers() {
        lines.extend(["\n", name, ":", &value]);
    }
    lines
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
