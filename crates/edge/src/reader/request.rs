//! The parts of a request beside its address: the keys in its body, and the version that it wants.

use std::time::Duration;

use futures_util::StreamExt as _;
use newsreel_core::read::policy::{Policies, ReadPolicy, ReadPolicyError};
use newsreel_core::read::sync::MinVersion;
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::keys::keys_of_body;
use newsreel_core::wire::{Code, Key, Problem, coding};
use newsreel_gate::{Deployment, Failure};
use wasm_bindgen::prelude::*;
use worker::{Env, Request, web_sys};

#[wasm_bindgen(module = "/src/reader/request.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = isPlainGet)]
    fn is_plain(request: &web_sys::Request) -> Result<bool, JsValue>;
}

/// The longest body of a bulk read or a fill: 100 keys, each byte escaped.
const BODY_BYTES: usize = 256 << 10;

/// Reads the keys that the body lists.
pub(crate) async fn body_keys(request: &mut Request) -> Result<Vec<Key>, Failure> {
    Ok(keys_of_body(&body_bytes(request).await?)?)
}

/// Reads the body as UTF-8.
pub(crate) async fn body_text(request: &mut Request) -> Result<String, Failure> {
    let not_utf8 = |_| Problem::new(Code::BadJson, "the body is not UTF-8");
    Ok(String::from_utf8(body_bytes(request).await?).map_err(not_utf8)?)
}

/// Reads the body, whose length is bounded.
async fn body_bytes(request: &mut Request) -> Result<Vec<u8>, Failure> {
    coding::check(&request.headers().get("Content-Encoding")?.unwrap_or_default())?;
    let length = request.headers().get("Content-Length")?.and_then(|length| length.parse::<usize>().ok());
    let too_large = || Problem::new(Code::BodyTooLarge, format!("the body has at most {BODY_BYTES} bytes"));
    if length.is_some_and(|length| length > BODY_BYTES) {
        return Err(too_large().into());
    }
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(body);
    }
    // The bytes are counted as they come: the client may have sent no length.
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > BODY_BYTES {
            return Err(too_large().into());
        }
    }
    Ok(body)
}

/// Reads the version that the reader must have heard before it answers (`Newsreel-Min-Version`).
pub(crate) fn min_version(request: &Request) -> Result<Option<MinVersion>, Failure> {
    let Some(text) = request.headers().get("Newsreel-Min-Version")? else { return Ok(None) };
    let wanted = text.parse().map_err(|why| {
        Problem::new(Code::BadRequest, format!("Newsreel-Min-Version is <epoch>:<version>: {why}"))
    })?;
    Ok(Some(wanted))
}

/// Reads the policy that the caller asks for (`Newsreel-Policy`), by which an entry of `key` is then read and filled.
pub(crate) fn policy(
    request: &Request,
    env: &Env,
    policies: &Policies,
    key: &Key,
) -> Result<ReadPolicy, Failure> {
    let Some(json) = request.headers().get("Newsreel-Policy")? else { return Ok(ReadPolicy::default()) };
    let wrong = |why: ReadPolicyError| Problem::new(Code::BadRequest, format!("Newsreel-Policy: {why}"));
    let policy = ReadPolicy::from_json(&json).map_err(wrong)?;
    let forget_after = Duration::from_millis(Deployment(env).read(&variables::FORGET_AFTER_MS)?);
    policy.check(policies.of(key.class()), key.class(), forget_after).map_err(wrong)?;
    Ok(policy)
}

/// Says whether a request is a GET that a whole value answers of any version, for any caller.
pub(crate) fn is_plain_get(request: &web_sys::Request) -> bool {
    is_plain(request).unwrap_or(false)
}
