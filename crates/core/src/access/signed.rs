//! Signed tokens: JSON Web Tokens whose algorithm is their key's, and nothing that they say themselves.
//!
//! The signature is the platform's to verify: [`Keys::read`] says over what and with which key, and only
//! [`Presented::verified`] gives the claims out. Knows no cryptography.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::{Caller, Grant, Scope};
use crate::wire::name::Catalog;
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};
use crate::wire::route::{MAX_TOPICS, MAX_TOPICS_BYTES};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// The shortest key of HS256, in bytes: as long as what it makes.
pub const LEAST_SECRET_BYTES: usize = 32;
/// The most keys of a deployment.
pub const MAX_KEYS: usize = 16;
/// The longest `kid`, and the longest `sub`, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// How far the clock of who signs may be ahead: what is said of `nbf` and `iat`, and of nothing else.
const LEEWAY_MS: u64 = 60_000;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: who verifies can sign.
    Hs256,
    /// Ed25519: the deployment has the public key only.
    Ed25519,
}

impl Algorithm {
    /// Returns its `alg`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Ed25519 => "EdDSA",
        }
    }

    fn takes(self, bytes: usize) -> bool {
        match self {
            Self::Hs256 => bytes >= LEAST_SECRET_BYTES,
            Self::Ed25519 => bytes == 32,
        }
    }
}

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, in every token that it signed.
    pub kid: String,
    /// Its algorithm: the only one that a token of this `kid` may name.
    pub algorithm: Algorithm,
    /// The secret of HS256, the public key of Ed25519.
    pub bytes: Vec<u8>,
}

/// Without what it is made of.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kid, self.algorithm.text())
    }
}

/// The keys of a deployment: while they are rotated, the old one and the new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    items: Vec<Key>,
}

/// Keys that cannot be read. Its text never shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("TOKEN_KEYS: {why} (item {item})")]
pub struct KeysError {
    /// Which item, from 1; 0 for all of it.
    pub item: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A token of which nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    /// With which key it says it is signed.
    pub key: &'a Key,
    /// What the signature is of.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
}

/// What a token says whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// When it ends, in Unix seconds.
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    iat: u64,
    /// Who: idempotency keys and rates are its own.
    sub: String,
    /// A catalog, a list of them, or `*`.
    catalog: Value,
    scopes: Vec<String>,
    #[serde(default)]
    topics: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyItem {
    kid: String,
    alg: String,
    key: String,
}

/// All that a header may have: so no key in it, no address of one, nothing critical.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
}

impl Keys {
    /// Reads the secret: a JSON list of `{"kid":…,"alg":"HS256"|"EdDSA","key":base64url}`; empty is none.
    ///
    /// # Errors
    /// [`KeysError`] names the first item that is none.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // What serde says of it would quote it.
        let items: Vec<KeyItem> = serde_json::from_str(text)
            .map_err(|_| KeysError { item: 0, why: "a JSON list of {\"kid\",\"alg\",\"key\"} is meant" })?;
        let mut keys = Self::default();
        for (index, item) in items.into_iter().enumerate() {
            let key = keys.checked(item).map_err(|why| KeysError { item: index + 1, why })?;
            keys.items.push(key);
        }
        Ok(keys)
    }

    fn checked(&self, KeyItem { kid, alg, key }: KeyItem) -> Result<Key, &'static str> {
        let algorithm = algorithm(&alg).ok_or("alg is HS256 or EdDSA")?;
        let bytes = decoded(&key).ok_or("key is base64url")?;
        if !algorithm.takes(bytes.len()) {
            return Err("a key of HS256 has 32 bytes or more, one of EdDSA has 32");
        }
        if !is_name(&kid) || self.items.iter().any(|other| other.kid == kid) {
            return Err("kid is 1 to 128 bytes and no other key's");
        }
        if self.items.len() == MAX_KEYS {
            return Err("too many keys");
        }
        Ok(Key { kid, algorithm, bytes })
    }

    /// Says whether no token is signed here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Says whether this very key is one of these.
    #[must_use]
    pub fn have(&self, key: &Key) -> bool {
        self.items.contains(key)
    }

    /// Takes a token apart; none of what it says counts before [`Presented::verified`].
    ///
    /// # Errors
    /// `unauthorized`, the same for whatever is wrong.
    pub fn read<'a>(&'a self, token: &'a str) -> Result<Presented<'a>, Problem> {
        self.parts(token).ok_or_else(unknown)
    }

    fn parts<'a>(&'a self, token: &'a str) -> Option<Presented<'a>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        let Header { alg, kid, typ } = serde_json::from_slice(&decoded(header)?).ok()?;
        let key = self.items.iter().find(|key| key.kid == kid)?;
        let right = key.algorithm.text() == alg && typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        right.then_some(())?;
        Some(Presented { key, signed, signature: decoded(signature)? })
    }
}

impl Presented<'_> {
    /// Gives the claims out, if the platform found the signature to be the key's.
    ///
    /// # Errors
    /// `unauthorized` if not, or if they are none.
    pub fn verified(self, is_right: bool) -> Result<Claims, Problem> {
        let claims = || {
            let payload = self.signed.split_once('.')?.1;
            serde_json::from_slice::<Claims>(&decoded(payload)?).ok().filter(Claims::is_whole)
        };
        is_right.then(claims).flatten().ok_or_else(unknown)
    }
}

impl Claims {
    /// Says who the bearer is, if it may do `scope` on `catalog` now.
    ///
    /// # Errors
    /// `unauthorized` before its time and after; `forbidden` if it does not reach so far.
    pub fn authorize(self, now: UnixMillis, scope: Scope, catalog: &Catalog) -> Result<Caller, Problem> {
        let until = UnixMillis(self.exp.saturating_mul(1_000));
        if until <= now {
            return Err(Problem::new(Code::Unauthorized, "the token has expired"));
        }
        if self.nbf.max(self.iat).saturating_mul(1_000) > now.0.saturating_add(LEEWAY_MS) {
            return Err(Problem::new(Code::Unauthorized, "the token is not valid yet"));
        }
        let admin = self.has(Scope::Admin);
        if !(self.is_of(catalog) && (admin || self.has(scope))) {
            return Err(super::out_of_reach(catalog));
        }
        let grant = Grant { until: Some(until), topics: self.topics.unwrap_or_default() };
        Ok(Caller { name: self.sub, admin, grant })
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|one| one == scope.text())
    }

    fn is_of(&self, catalog: &Catalog) -> bool {
        let named = |one: &Value| one == "*" || *one == catalog.as_str();
        named(&self.catalog) || self.catalog.as_array().is_some_and(|list| list.iter().any(named))
    }

    /// Says whether it can be meant: a claim that means nothing here would be taken to limit something.
    fn is_whole(&self) -> bool {
        let known =
            |one: &String| [Scope::Publish, Scope::Follow, Scope::Admin].iter().any(|it| it.text() == one);
        let topics = self.topics.as_deref();
        let bounded = topics.is_none_or(|topics| {
            let bytes: usize = topics.iter().map(String::len).sum();
            let meant = |one: &String| !one.is_empty() && !one.contains(char::is_control);
            // An admin token may do everything, so it cannot be held to a part.
            !topics.is_empty()
                && topics.len() <= MAX_TOPICS
                && bytes <= MAX_TOPICS_BYTES
                && topics.iter().all(meant)
                && !self.has(Scope::Admin)
        });
        is_name(&self.sub) && self.scopes.iter().all(known) && bounded
    }
}

fn algorithm(text: &str) -> Option<Algorithm> {
    [Algorithm::Hs256, Algorithm::Ed25519].into_iter().find(|one| one.text() == text)
}

/// Reads base64url without padding, in its one right spelling.
fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

fn unknown() -> Problem {
    Problem::new(Code::Unauthorized, super::UNKNOWN)
}

#[cfg(test)]
mod tests;
