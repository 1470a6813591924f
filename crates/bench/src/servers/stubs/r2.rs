//! R2 as workerd's binding speaks to it: metadata as JSON in a header or in front of the value.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{Answer, Asked, Store, Stored, header};

/// The header that says how many bytes of a body are metadata.
const METADATA_SIZE: &str = "cf-r2-metadata-size";

/// Answers a `get`, `head`, `put` or `delete`. Conditions are not looked at: nobody else writes.
pub(super) fn answer(store: &Store, asked: &Asked) -> Option<Answer> {
    let size: usize = header(&asked.headers, METADATA_SIZE).parse().unwrap_or(0);
    let told =
        if size > 0 { asked.body.get(..size)? } else { header(&asked.headers, "cf-r2-request").as_bytes() };
    let told: Value = serde_json::from_slice(told).ok()?;
    let name = told.get("object").and_then(Value::as_str).unwrap_or_default();
    match told.get("method").and_then(Value::as_str)? {
        "put" => {
            let bytes = asked.body.slice(size..);
            let about = metadata(name, bytes.len(), &told).to_string();
            store.set(name, Stored { bytes, about: about.clone() });
            encoded(&about, &Bytes::new())
        }
        "delete" => {
            store.remove(name);
            Some(Response::new(Full::default()))
        }
        method => match store.get(name) {
            Some(stored) if method == "head" => encoded(&stored.about, &Bytes::new()),
            Some(stored) => encoded(&stored.about, &stored.bytes),
            None => absent(),
        },
    }
}

fn metadata(name: &str, size: usize, told: &Value) -> Value {
    let field = |name: &str, or: Value| told.get(name).cloned().unwrap_or(or);
    json!({
        "name": name, "version": "00000000000000000000000000000001", "size": size,
        "etag": "00000000000000000000000000000001", "uploaded": 1_767_225_600_000_u64,
        "httpFields": field("httpFields", json!({})), "customFields": field("customFields", json!([])),
        "range": { "offset": 0, "length": size }, "checksums": {},
    })
}

fn encoded(about: &str, value: &Bytes) -> Option<Answer> {
    let mut body = about.as_bytes().to_vec();
    body.extend_from_slice(value);
    Response::builder()
        .header(METADATA_SIZE, about.len())
        .header("content-type", "application/json")
        .body(Full::from(body))
        .ok()
}

fn absent() -> Option<Answer> {
    let error = json!({ "message": "The specified key does not exist.", "version": 1, "v4code": 10_007 });
    Response::builder().status(404).header("cf-r2-error", error.to_string()).body(Full::default()).ok()
}
