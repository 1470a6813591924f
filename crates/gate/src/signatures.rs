//! Signatures of tokens, which the platform's cryptography verifies with keys that each isolate imports once; and those of
//! webhooks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, JSON, Promise, Uint8Array};
use newsreel_core::access::signed::{Algorithm, Claims, Key, Keys};
use newsreel_core::wire::{Code, Problem};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::Failure;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch, js_name = importKey)]
    fn import_key(
        format: &str,
        bytes: &Uint8Array,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], catch)]
    fn verify(
        algorithm: &JsValue,
        key: &JsValue,
        signature: &Uint8Array,
        signed: &Uint8Array,
    ) -> Result<Promise, JsValue>;
}

/// The keys of the secret, and those among them that the platform has imported.
struct Known {
    text: String,
    keys: Rc<Keys>,
    /// By the name of the key.
    imported: BTreeMap<String, JsValue>,
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// Returns the claims of a token, if one of the keys in `text` has signed it.
///
/// # Errors
/// [`Failure::Problem`] for a token that no key has signed, and for keys that cannot be read.
pub(crate) async fn claims(text: &str, token: &str) -> Result<Claims, Failure> {
    let keys = keys(text)?;
    let presented = keys.read(token)?;
    let Ok(key) = imported(presented.key).await else {
        let text = format!("TOKEN_KEYS: {:?} is no key of its algorithm", presented.key);
        return Err(Problem::new(Code::Misconfigured, text).into());
    };
    let (signature, signed) = (bytes(&presented.signature), bytes(presented.signed.as_bytes()));
    let verified =
        verify(&algorithm(presented.key), &key, &signature, &signed).map_err(worker::Error::from)?;
    // The platform throws at a signature that its length already rules out.
    let is_right = JsFuture::from(verified).await.is_ok_and(|is_right| is_right.is_truthy());
    Ok(presented.verified(is_right)?)
}

/// Says whether an Ed25519 signature is by a key.
///
/// # Errors
/// When the platform's cryptography fails.
pub async fn is_signed_by(
    key: &[u8; 32],
    signature: &[u8; 64],
    signed: &[u8],
) -> Result<bool, worker::Error> {
    let ed25519 = JSON::parse(r#"{"name":"Ed25519"}"#).unwrap_or(JsValue::UNDEFINED);
    let usages = Array::of1(&"verify".into());
    let Ok(key) = JsFuture::from(import_key("raw", &bytes(key), &ed25519, false, &usages)?).await else {
        // Bytes that are no point of the curve are the key of nothing.
        return Ok(false);
    };
    let verified = verify(&ed25519, &key, &bytes(signature), &bytes(signed))?;
    Ok(JsFuture::from(verified).await.is_ok_and(|is_right| is_right.is_truthy()))
}

/// Reads the keys, unless that was done before.
fn keys(text: &str) -> Result<Rc<Keys>, Problem> {
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known.as_ref().filter(|known| known.text == text) {
            return Ok(Rc::clone(&known.keys));
        }
        let keys = Keys::parse(text).map_err(|error| Problem::new(Code::Misconfigured, error.to_string()))?;
        let keys = Rc::new(keys);
        *known = Some(Known { text: text.to_owned(), keys: Rc::clone(&keys), imported: BTreeMap::new() });
        Ok(keys)
    })
}

/// Returns a key as the platform imported it. Two requests may import the same key at the same time, because
/// a request must not await the promise of another.
async fn imported(key: &Key) -> Result<JsValue, JsValue> {
    let found = |known: &Known| known.imported.get(&key.kid).cloned();
    if let Some(found) = KNOWN.with_borrow(|known| known.as_ref().and_then(found)) {
        return Ok(found);
    }
    let usages = Array::of1(&"verify".into());
    let importing = import_key("raw", &bytes(&key.bytes), &algorithm(key), false, &usages)?;
    let made = JsFuture::from(importing).await?;
    KNOWN.with_borrow_mut(|known| {
        // The secret may have changed meanwhile, and have another key of this name.
        if let Some(known) = known.as_mut().filter(|known| known.keys.have(key)) {
            known.imported.insert(key.kid.clone(), made.clone());
        }
    });
    Ok(made)
}

fn algorithm(key: &Key) -> JsValue {
    let text = match key.algorithm {
        Algorithm::Hs256 => r#"{"name":"HMAC","hash":"SHA-256"}"#,
        Algorithm::Ed25519 => r#"{"name":"Ed25519"}"#,
    };
    JSON::parse(text).unwrap_or(JsValue::UNDEFINED)
}

/// Returns a copy. JavaScript may read it later, when wasm has used the memory for something else.
fn bytes(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(bytes)
}
