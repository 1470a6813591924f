//! The JavaScript of KV, R2, fetch and streams, as it is needed here: values that JavaScript keeps, names in
//! bulk, conditions. No other module of this crate says how those are called.

use js_sys::{JSON, Promise, Reflect, Uint8Array};
use newsreel_core::read::origin_answer::Coding;
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, ReadableStream};
use worker::{Env, Result};

#[wasm_bindgen]
extern "C" {
    /// A KV namespace, with the methods that this crate calls.
    pub(crate) type Kv;
    #[wasm_bindgen(method, catch, js_name = get)]
    fn kv_get(this: &Kv, names: &JsValue, options: &JsValue) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = put)]
    fn kv_put(
        this: &Kv,
        name: &str,
        value: &JsValue,
        options: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = delete)]
    fn kv_delete(this: &Kv, name: &str) -> std::result::Result<Promise, JsValue>;

    /// An R2 bucket, with the methods that this crate calls.
    pub(crate) type R2;
    #[wasm_bindgen(method, catch, js_name = get)]
    fn r2_get(this: &R2, name: &str, options: &JsValue) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = head)]
    fn r2_head(this: &R2, name: &str) -> std::result::Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = put)]
    fn r2_put(
        this: &R2,
        name: &str,
        value: &JsValue,
        options: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;

    /// An object of R2, with its body unless only its head was asked for.
    pub(crate) type R2Object;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn etag(this: &R2Object) -> String;
    #[wasm_bindgen(method, getter, js_name = size)]
    fn js_size(this: &R2Object) -> f64;
    #[wasm_bindgen(method, getter, js_name = customMetadata)]
    pub(crate) fn metadata(this: &R2Object) -> JsValue;
    /// Absent where a condition was not met.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn body(this: &R2Object) -> Option<ReadableStream>;
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    fn array_buffer(this: &R2Object) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = fetch)]
    fn js_fetch(request: &web_sys::Request) -> std::result::Result<Promise, JsValue>;

    type FixedLengthStream;
    #[wasm_bindgen(constructor)]
    fn new(length: f64) -> FixedLengthStream;
    type Writer;
    #[wasm_bindgen(method)]
    fn write(this: &Writer, bytes: &Uint8Array) -> Promise;
    #[wasm_bindgen(method, js_name = releaseLock)]
    fn release(this: &Writer);
    type Pipe;
    #[wasm_bindgen(method, js_name = getWriter)]
    fn writer(this: &Pipe) -> Writer;
    #[wasm_bindgen(method, js_name = pipeTo)]
    fn pipe_to(this: &Pipe, writable: &JsValue) -> Promise;
    #[wasm_bindgen(method, js_name = pipeThrough)]
    fn pipe_through(this: &Pipe, pair: &JsValue) -> ReadableStream;
    #[wasm_bindgen(method)]
    fn cancel(this: &Pipe) -> Promise;

    type CompressionStream;
    #[wasm_bindgen(constructor)]
    fn new(format: &str) -> CompressionStream;
    type DecompressionStream;
    #[wasm_bindgen(constructor)]
    fn new(format: &str) -> DecompressionStream;
}

/// Returns a binding; `None` where the deployment has none of that name.
pub(crate) fn binding<T: JsCast>(env: &Env, name: &str) -> Option<T> {
    let value =
        Reflect::get(env, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null());
    value.map(JsCast::unchecked_into)
}

/// Returns the JavaScript value of a JSON text that this crate wrote.
fn options(json: &str) -> JsValue {
    JSON::parse(json).unwrap_or(JsValue::UNDEFINED)
}

/// Returns a number of JavaScript's that is a whole one.
pub(crate) fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=MAX_SAFE).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    is_whole.then_some(number as u64)
}

/// The largest whole number that JavaScript counts to.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Returns a whole number as JavaScript's.
#[expect(clippy::cast_precision_loss, reason = "no length is above 2^53")]
fn number(whole: u64) -> f64 {
    whole as f64
}

async fn settled(promise: std::result::Result<Promise, JsValue>) -> Result<JsValue> {
    Ok(JsFuture::from(promise?).await?)
}

/// Returns the value; `None` for null or undefined.
fn there<T: JsCast>(value: JsValue) -> Option<T> {
    (!value.is_null() && !value.is_undefined()).then(|| value.unchecked_into())
}

impl Kv {
    /// Returns the bytes under a name. The platform may answer from its copy at this location, which is at
    /// most `cache_ttl` seconds old.
    pub(crate) async fn bytes(&self, name: &str, cache_ttl: u64) -> Result<Option<Uint8Array>> {
        let options = options(&format!(r#"{{"type":"arrayBuffer","cacheTtl":{cache_ttl}}}"#));
        let value = settled(self.kv_get(&name.into(), &options)).await?;
        Ok(there::<JsValue>(value).map(|buffer| Uint8Array::new(&buffer)))
    }

    /// Returns the texts under up to 100 names, in their order.
    pub(crate) async fn texts(&self, names: &[String], cache_ttl: u64) -> Result<Vec<Option<String>>> {
        let list: js_sys::Array = names.iter().map(|name| JsValue::from(name.as_str())).collect();
        let options = options(&format!(r#"{{"type":"text","cacheTtl":{cache_ttl}}}"#));
        let found: js_sys::Map = settled(self.kv_get(&list, &options)).await?.unchecked_into();
        Ok(names.iter().map(|name| found.get(&name.as_str().into()).as_string()).collect())
    }

    pub(crate) async fn put(&self, name: &str, value: &JsValue, how: &str) -> Result<()> {
        settled(self.kv_put(name, value, &options(how))).await.map(|_| ())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        settled(self.kv_delete(name)).await.map(|_| ())
    }
}

impl R2 {
    /// Returns an object with its body, or a range of it.
    pub(crate) async fn get(&self, name: &str, how: &str) -> Result<Option<R2Object>> {
        settled(self.r2_get(name, &options(how))).await.map(there)
    }

    /// Returns an object's metadata, without its body.
    pub(crate) async fn head(&self, name: &str) -> Result<Option<R2Object>> {
        settled(self.r2_head(name)).await.map(there)
    }

    /// Puts an object; `None` where a condition in `how` was not met.
    pub(crate) async fn put(&self, name: &str, value: &JsValue, how: &str) -> Result<Option<R2Object>> {
        settled(self.r2_put(name, value, &options(how))).await.map(there)
    }
}

impl R2Object {
    /// Returns the length of the whole object in bytes.
    pub(crate) fn size(&self) -> u64 {
        whole(self.js_size()).unwrap_or_default()
    }

    /// Returns the whole body.
    pub(crate) async fn bytes(&self) -> Result<Uint8Array> {
        Ok(Uint8Array::new(&settled(self.array_buffer()).await?))
    }

    /// Cancels the body, which nothing will read.
    pub(crate) fn leave(&self) {
        if let Some(body) = self.body() {
            let _ = body.unchecked_into::<Pipe>().cancel();
        }
    }
}

/// Fetches, without a copy of the body in wasm.
pub(crate) async fn fetch(request: &web_sys::Request) -> Result<web_sys::Response> {
    settled(js_fetch(request)).await.map(JsCast::unchecked_into)
}

/// Returns the whole body of a response, after undoing its content codings in this order.
///
/// # Errors
/// When the body breaks off, or is not of one of the codings; the error names them.
pub(crate) async fn body_of(response: &web_sys::Response, codings: &[Coding]) -> Result<Uint8Array> {
    let undone = undone(response, codings)?;
    let body = settled(undone.as_ref().unwrap_or(response).array_buffer())
        .await
        .map_err(|error| not_of(codings, error))?;
    Ok(Uint8Array::new(&body))
}

/// Returns the whole body of a response as a text, after undoing its content codings in this order.
///
/// # Errors
/// The same as those of [`body_of`].
pub(crate) async fn text_of(response: &web_sys::Response, codings: &[Coding]) -> Result<String> {
    let undone = undone(response, codings)?;
    let text =
        settled(undone.as_ref().unwrap_or(response).text()).await.map_err(|error| not_of(codings, error))?;
    text.as_string().ok_or_else(|| "a body is a text".into())
}

/// Returns a response whose body is without these codings; `None` where there is nothing to undo.
fn undone(response: &web_sys::Response, codings: &[Coding]) -> Result<Option<web_sys::Response>> {
    let Some(body) = response.body().filter(|_| !codings.is_empty()) else { return Ok(None) };
    let plain = codings.iter().fold(body, |stream, coding| {
        stream.unchecked_ref::<Pipe>().pipe_through(&DecompressionStream::new(coding.name()))
    });
    Ok(Some(web_sys::Response::new_with_opt_readable_stream(Some(&plain))?))
}

fn not_of(codings: &[Coding], error: worker::Error) -> worker::Error {
    if codings.is_empty() {
        return error;
    }
    let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
    format!("the body is not of the content coding {}: {error}", names.join(", ")).into()
}

/// Returns a stream of bytes that are JavaScript's, without a copy of them in wasm.
pub(crate) fn stream_of(bytes: &Uint8Array) -> Result<ReadableStream> {
    let response = web_sys::Response::new_with_opt_js_u8_array(Some(bytes))?;
    response.body().ok_or_else(|| "a response has a body".into())
}

/// Returns a stream of the bytes of `head` and then `rest`, which together have `length` bytes. The promise
/// settles when all of `rest` has been read, and fails when `rest` breaks off.
pub(crate) fn joined(head: &Uint8Array, rest: &ReadableStream, length: u64) -> (JsValue, Promise) {
    let fixed = FixedLengthStream::new(number(length));
    let part = |name: &str| Reflect::get(&fixed, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let writable = part("writable");
    let writer = writable.unchecked_ref::<Pipe>().writer();
    let _ = writer.write(head);
    writer.release();
    let piped = rest.unchecked_ref::<Pipe>().pipe_to(&writable);
    (part("readable"), piped)
}

/// Returns the stream packed with gzip.
pub(crate) fn packed(stream: &ReadableStream) -> ReadableStream {
    stream.unchecked_ref::<Pipe>().pipe_through(&CompressionStream::new("gzip"))
}

/// Returns the stream that was packed with gzip.
pub(crate) fn unpacked(stream: &ReadableStream) -> ReadableStream {
    stream.unchecked_ref::<Pipe>().pipe_through(&DecompressionStream::new("gzip"))
}
