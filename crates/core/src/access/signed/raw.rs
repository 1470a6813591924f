//! Keys and tokens as JSON has them, before any check.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::access::Scope;
use crate::wire::json::Object;
use crate::wire::position::UnixMillis;

/// The value of `typ` in a header.
pub(super) const JWT: &str = "JWT";

/// One key as the secret `TOKEN_KEYS` has it. An absent member is an empty one, which the checks refuse.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KeyItem {
    pub(super) kid: String,
    pub(super) alg: String,
    pub(super) key: String,
}

/// The header of a token. No other member may be there: no key, no address of one, nothing critical.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: String,
    #[serde(default = "jwt")]
    pub(super) typ: String,
}

fn jwt() -> String {
    JWT.to_owned()
}

/// The claims as JSON has them; others than these are ignored.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) exp: UnixMillis,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) nbf: UnixMillis,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) iat: UnixMillis,
    pub(super) sub: String,
    pub(super) catalog: OneOrMany,
    pub(super) scopes: Vec<Scope>,
    #[serde(default, deserialize_with = "some_topics")]
    pub(super) topics: Vec<String>,
}

/// One text, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a date of RFC 7519, section 2: seconds since 1970, with or without a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds >= 0.0 {
        Ok(UnixMillis((seconds * 1_000.0).round() as u64))
    } else {
        Err(D::Error::custom("a date is not before 1970"))
    }
}

/// Reads the topics of a token. An empty list would be taken for every topic, so it is refused.
fn some_topics<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let topics = Vec::deserialize(deserializer)?;
    if topics.is_empty() { Err(D::Error::custom("no topic")) } else { Ok(topics) }
}

/// Reads a part of a token: an object, of which the last of two members with one name counts.
pub(super) fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    let part: Value = serde_json::from_slice(&decoded(part)?).ok()?;
    let Object(part): Object<T> = serde_json::from_value(part).ok()?;
    Some(part)
}

/// Reads base64url without padding, in its one right spelling.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
