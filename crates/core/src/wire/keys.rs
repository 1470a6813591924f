//! Keys in addresses and in the bodies of bulk calls.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::bom::without_bom;
use super::json::Object;
use super::name::Key;
use super::problem::{Code, Problem};

/// Every byte of a key but RFC 3986's unreserved ones is percent-encoded.
const KEY_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a key for a path, as the origin is asked.
#[must_use]
pub fn encoded_key(key: &Key) -> String {
    utf8_percent_encode(key.as_str(), KEY_SET).to_string()
}

/// Reads a key from a path.
///
/// # Errors
/// `bad-key` when it is not UTF-8 or not a key.
pub fn decoded_key(text: &str) -> Result<Key, Problem> {
    let key: Cow<'_, str> = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(Code::BadKey, "the key is not percent-encoded UTF-8"))?;
    Key::new(key).map_err(|why| Problem::new(Code::BadKey, why.to_string()))
}

/// The most keys of one bulk read, and of one fill.
pub const MAX_KEYS: usize = 100;

/// The body of a bulk read or a fill.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysBody {
    keys: Vec<String>,
}

/// Reads the body of a bulk read or a fill: `{"keys":["title:1",…]}`.
///
/// # Errors
/// `bad-json`, `bad-key`, or `bad-request` when there are none or more than [`MAX_KEYS`].
pub fn keys_of_body(body: &[u8]) -> Result<Vec<Key>, Problem> {
    let Object(KeysBody { keys: texts }) = serde_json::from_slice(without_bom(body)).map_err(|why| {
        Problem::new(Code::BadJson, format!("the body is {{\"keys\":[\"class:id\",…]}}: {why}"))
    })?;
    keys(texts.into_iter())
}

pub(super) fn keys_of_query(query: &str) -> Result<Vec<Key>, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    keys(pairs.filter(|(name, _)| name == "key").map(|(_, key)| key.into_owned()))
}

/// Reads 1 to [`MAX_KEYS`] keys; one that is named twice counts once.
fn keys(texts: impl Iterator<Item = String>) -> Result<Vec<Key>, Problem> {
    let mut keys = Vec::new();
    for text in texts {
        let key =
            Key::new(text.as_str()).map_err(|why| Problem::new(Code::BadKey, format!("{text:?}: {why}")))?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() || keys.len() > MAX_KEYS {
        let text = format!("1 to {MAX_KEYS} different keys at once, not {}", keys.len());
        return Err(Problem::new(Code::BadRequest, text));
    }
    Ok(keys)
}
