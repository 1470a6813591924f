//! Streams of bytes that stay JavaScript's: wasm's memory never shrinks, and a value may have 25 MiB and more.

use js_sys::{BigInt, JsString, Promise, Uint8Array};
use newsreel_core::read::origin_answer::Coding;
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{ReadableStream, Response, TransformStream};
use worker::worker_sys::FixedLengthStream;
use worker::{Error, ResponseBody, Result};

#[wasm_bindgen]
extern "C" {
    // `web_sys` has these two only in a build with `web_sys_unstable_apis`.
    #[wasm_bindgen(extends = TransformStream)]
    type CompressionStream;
    #[wasm_bindgen(constructor)]
    fn new(format: &str) -> CompressionStream;
    #[wasm_bindgen(extends = TransformStream)]
    type DecompressionStream;
    #[wasm_bindgen(constructor)]
    fn new(format: &str) -> DecompressionStream;

    // `web_sys` asks for a dictionary in place of the transform stream that every caller has.
    type PipeSource;
    #[wasm_bindgen(method, js_name = pipeThrough)]
    fn pipe_through(this: &PipeSource, transform: &TransformStream) -> ReadableStream;
}

/// Returns a stream of these bytes.
pub(crate) fn stream_of(bytes: &Uint8Array) -> Result<ReadableStream> {
    whole(&Response::new_with_opt_js_u8_array(Some(bytes))?)
}

/// Returns a stream of a text.
pub(crate) fn stream_of_text(text: &str) -> Result<ReadableStream> {
    whole(&Response::new_with_opt_str(Some(text))?)
}

fn whole(response: &Response) -> Result<ReadableStream> {
    response.body().ok_or_else(|| "a response that was made with a body has one".into())
}

/// Returns the body of a response that was fetched; `None` where it has none.
pub(crate) fn body_of(response: &worker::Response) -> Option<ReadableStream> {
    match response.body() {
        ResponseBody::Stream(stream) => Some(stream.clone()),
        // A fetched body is a stream, and none is in wasm's memory.
        ResponseBody::Empty | ResponseBody::Body(_) => None,
    }
}

/// Reads a stream to its end; without a stream there are no bytes.
pub(crate) async fn read(stream: Option<&ReadableStream>) -> Result<Uint8Array> {
    let response = Response::new_with_opt_readable_stream(stream)?;
    Ok(Uint8Array::new(&JsFuture::from(response.array_buffer()?).await?))
}

/// Reads a stream to its end as UTF-8; without a stream the text is empty.
pub(crate) async fn read_text(stream: Option<&ReadableStream>) -> Result<String> {
    let response = Response::new_with_opt_readable_stream(stream)?;
    Ok(JsFuture::from(response.text()?).await?.unchecked_into::<JsString>().into())
}

/// Reads the body of a response to its end, after undoing its content codings in this order.
///
/// # Errors
/// When the body breaks off, or is not of one of the codings; the error names them.
pub(crate) async fn read_body(response: &worker::Response, codings: &[Coding]) -> Result<Uint8Array> {
    read(undone(response, codings).as_ref()).await.map_err(|error| not_of(codings, error))
}

/// Reads the body of a response as [`read_body`] does, as UTF-8.
///
/// # Errors
/// The same as those of [`read_body`].
pub(crate) async fn read_body_text(response: &worker::Response, codings: &[Coding]) -> Result<String> {
    read_text(undone(response, codings).as_ref()).await.map_err(|error| not_of(codings, error))
}

fn undone(response: &worker::Response, codings: &[Coding]) -> Option<ReadableStream> {
    let body = body_of(response)?;
    Some(
        codings
            .iter()
            .fold(body, |stream, coding| through(&stream, &DecompressionStream::new(coding.name()))),
    )
}

fn not_of(codings: &[Coding], error: Error) -> Error {
    if codings.is_empty() {
        return error;
    }
    let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
    format!("the body is not of the content coding {}: {error}", names.join(", ")).into()
}

fn through(stream: &ReadableStream, transform: &TransformStream) -> ReadableStream {
    stream.unchecked_ref::<PipeSource>().pipe_through(transform)
}

/// Returns a stream of the bytes of `head` and then `rest`, which together have `length` bytes. The promise
/// settles when all of `rest` has been read, and fails when `rest` breaks off.
///
/// The `FixedLengthStream` of `worker` takes bytes of wasm only, so this is the platform's own.
pub(crate) fn joined(
    head: &Uint8Array,
    rest: &ReadableStream,
    length: u64,
) -> Result<(ReadableStream, Promise)> {
    let fixed = FixedLengthStream::new_big_int(BigInt::from(length))?;
    let writer = fixed.writable().get_writer()?;
    // An error of this write fails the pipe too.
    let _ = writer.write_with_chunk(head);
    writer.release_lock();
    Ok((fixed.readable(), rest.pipe_to(&fixed.writable())))
}

/// Returns the stream packed with gzip.
pub(crate) fn packed(stream: &ReadableStream) -> ReadableStream {
    through(stream, &CompressionStream::new("gzip"))
}

/// Returns the stream that was packed with gzip.
pub(crate) fn unpacked(stream: &ReadableStream) -> ReadableStream {
    through(stream, &DecompressionStream::new("gzip"))
}
