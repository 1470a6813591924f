//! JavaScript that crate `worker` does not wrap.

use getrandom::fill;
use js_sys::{Date, Promise};
use wasm_bindgen::prelude::*;
use worker::WebSocket;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStream;

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectStorage`, for what its wrapper lacks.
    pub(crate) type Storage;

    /// Sets the alarm to a moment, in Unix milliseconds. The promise need not be awaited: the output gate
    /// waits for it as for any write.
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub(crate) fn set_alarm(this: &Storage, at: f64) -> Result<JsValue, JsValue>;

    /// A `WebSocket`, for what its wrapper makes of texts that JavaScript holds already.
    type Socket;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Socket, text: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = serializeAttachment)]
    fn attach(this: &Socket, text: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = deserializeAttachment)]
    fn attached(this: &Socket) -> Result<JsValue, JsValue>;

    /// A `ReadableStream`, for what its wrapper makes of streams that JavaScript keeps.
    type Pipe;

    #[wasm_bindgen(method, js_name = pipeTo)]
    fn pipe_to(this: &Pipe, writable: &Nowhere) -> Promise;

    /// A `WritableStream` that keeps nothing.
    #[wasm_bindgen(js_name = WritableStream)]
    type Nowhere;

    #[wasm_bindgen(constructor, js_class = "WritableStream")]
    fn new() -> Nowhere;

    /// A pair of texts for the auto-response.
    #[wasm_bindgen(js_name = WebSocketRequestResponsePair)]
    pub(crate) type Pair;

    #[wasm_bindgen(constructor, catch, js_class = "WebSocketRequestResponsePair")]
    pub(crate) fn new(request: &str, response: &str) -> Result<Pair, JsValue>;

    /// `DurableObjectState`, for what its wrapper lacks.
    pub(crate) type AutoResponder;

    #[wasm_bindgen(method, catch, js_name = setWebSocketAutoResponse)]
    pub(crate) fn set(this: &AutoResponder, pair: &Pair) -> Result<(), JsValue>;

    /// Returns when a socket's last ping was answered.
    #[wasm_bindgen(method, catch, js_name = getWebSocketAutoResponseTimestamp)]
    pub(crate) fn last_ping(this: &AutoResponder, socket: &JsValue) -> Result<Option<Date>, JsValue>;
}

/// Reads a body and drops it: a client that is still uploading does not read the response.
pub(crate) async fn drain(body: &ReadableStream) {
    // A body that breaks off has no client that waits for the response.
    let _ = JsFuture::from(body.unchecked_ref::<Pipe>().pipe_to(&Nowhere::new())).await;
}

/// Sends a text that JavaScript holds already.
pub(crate) fn send(socket: &WebSocket, text: &JsValue) -> worker::Result<()> {
    Ok(raw(socket).send(text)?)
}

/// Attaches a text to a socket, where it outlives the object's time in memory; `None` removes it.
pub(crate) fn attach(socket: &WebSocket, text: Option<&str>) -> worker::Result<()> {
    Ok(raw(socket).attach(&text.map_or(JsValue::NULL, JsValue::from_str))?)
}

/// Returns the text that was attached to a socket.
pub(crate) fn attached(socket: &WebSocket) -> Option<String> {
    raw(socket).attached().ok()?.as_string()
}

fn raw(socket: &WebSocket) -> &Socket {
    AsRef::<JsValue>::as_ref(socket.as_ref()).unchecked_ref()
}

/// Returns random bits, for an epoch.
///
/// # Panics
/// When the platform has no randomness, which is so only outside of events.
pub(crate) fn random() -> [u8; 10] {
    let mut random = [0; 10];
    fill(&mut random).expect("an event has randomness");
    random
}
