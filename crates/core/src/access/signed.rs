//! Signed tokens: JSON Web Tokens. The key decides the algorithm, and nothing in the token does.
//!
//! The platform verifies the signature: [`Keys::read`] says over what and with which key, and only
//! [`UnverifiedToken::verified`] gives the claims out. Knows no cryptography.

use std::fmt;

mod raw;

use serde_json::Value;

use super::{Caller, Grant, Scope};
use crate::wire::frame::EXPIRED;
use crate::wire::json::Object;
use crate::wire::name::Catalog;
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::{MAX_TOPICS, MAX_TOPICS_BYTES};
use raw::{Header, JWT, KeyItem, OneOrMany, RawClaims, decoded, json};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// The shortest key of HS256, in bytes: as long as its output (RFC 7518, 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// The most keys of a deployment.
pub const MAX_TOKEN_KEYS: usize = 16;
/// The longest `kid`, and the longest `sub`, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// How far a signer's clock may be ahead. Applies to `nbf` and `iat` only.
const LEEWAY_MS: u64 = 60_000;

/// The detail of the problem of a token with dates in milliseconds.
const IN_MILLISECONDS: &str =
    "exp, nbf and iat of the token are milliseconds; RFC 7519 has seconds there: divide by 1,000";

/// The algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: a deployment that verifies can sign as well.
    Hs256,
    /// Ed25519: the deployment has only the public key.
    Ed25519,
}

impl Algorithm {
    /// Returns the value of `alg` in keys and tokens.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Ed25519 => "EdDSA",
        }
    }

    fn takes(self, bytes: usize) -> bool {
        match self {
            Self::Hs256 => bytes >= MIN_SECRET_BYTES,
            Self::Ed25519 => bytes == 32,
        }
    }
}

/// A key that signs tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of the key, in every token that it signed.
    pub kid: String,
    /// The only algorithm that a token of this `kid` may name.
    pub algorithm: Algorithm,
    /// The secret of HS256, the public key of Ed25519.
    pub bytes: Vec<u8>,
}

/// Shows the name and the algorithm, and no secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kid, self.algorithm.text())
    }
}

/// The keys of a deployment; two of them during a rotation, the old one and the new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    items: Vec<Key>,
}

/// Keys that cannot be read. The message never shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("TOKEN_KEYS: {why} (item {item})")]
pub struct KeysError {
    /// The number of the item, from 1; 0 for the list itself.
    pub item: usize,
    /// The reason, for people.
    pub why: &'static str,
}

/// A token with a signature that is not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedToken<'a> {
    /// The key that the token names.
    pub key: &'a Key,
    /// The part of the token that is signed.
    pub signed: &'a str,
    /// The bytes of the signature.
    pub signature: Vec<u8>,
}

/// The claims of a token with a right signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The moment when the token expires.
    until: UnixMillis,
    /// The moment when the token begins, by the signer's clock.
    from: UnixMillis,
    /// The name of the bearer: idempotency keys and rates belong to this name.
    sub: String,
    /// The names of catalogs; `*` stands for every one.
    catalogs: Vec<String>,
    scopes: Vec<Scope>,
    topics: Vec<String>,
}

impl From<RawClaims> for Claims {
    fn from(raw: RawClaims) -> Self {
        let catalogs = match raw.catalog {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        let RawClaims { exp, nbf, iat, sub, scopes, topics, .. } = raw;
        Self { until: exp, from: nbf.max(iat), sub, catalogs, scopes, topics }
    }
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
        // The message of serde would quote the key, so it is dropped.
        let Ok(items) = serde_json::from_str::<Vec<Value>>(text) else {
            return Err(KeysError { item: 0, why: "a JSON list is meant" });
        };
        let mut keys = Self::default();
        for (index, item) in items.into_iter().enumerate() {
            let key = keys.checked(item).map_err(|why| KeysError { item: index + 1, why })?;
            keys.items.push(key);
        }
        Ok(keys)
    }

    fn checked(&self, item: Value) -> Result<Key, &'static str> {
        let Object(item): Object<KeyItem> =
            serde_json::from_value(item).map_err(|_| "{\"kid\",\"alg\",\"key\"} is meant")?;
        let algorithm = algorithm(&item.alg).ok_or("alg is HS256 or EdDSA")?;
        let bytes = decoded(&item.key).ok_or("key is base64url")?;
        if !algorithm.takes(bytes.len()) {
            return Err("a key of HS256 has 32 bytes or more, one of EdDSA has 32");
        }
        let kid = item.kid;
        if !is_name(&kid) || self.items.iter().any(|other| other.kid == kid) {
            return Err("kid is 1 to 128 bytes and no other key's");
        }
        if self.items.len() == MAX_TOKEN_KEYS {
            return Err("too many keys");
        }
        Ok(Key { kid, algorithm, bytes })
    }

    /// Says whether the deployment has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Says whether this very key is one of the deployment's.
    #[must_use]
    pub fn have(&self, key: &Key) -> bool {
        self.items.contains(key)
    }

    /// Takes a token apart. No claim of it counts before [`UnverifiedToken::verified`].
    ///
    /// # Errors
    /// `unauthorized`, with the same text for every reason.
    pub fn read<'a>(&'a self, token: &'a str) -> Result<UnverifiedToken<'a>, Problem> {
        self.parts(token).ok_or_else(unknown)
    }

    fn parts<'a>(&'a self, token: &'a str) -> Option<UnverifiedToken<'a>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        let header: Header = json(header)?;
        let key = self.items.iter().find(|key| key.kid == header.kid)?;
        let right = header.typ == JWT && key.algorithm.text() == header.alg;
        right.then_some(UnverifiedToken { key, signed, signature: decoded(signature)? })
    }
}

impl UnverifiedToken<'_> {
    /// Returns the claims, if the platform found the signature right.
    ///
    /// # Errors
    /// `unauthorized` for a wrong signature, or claims that cannot be read.
    pub fn verified(self, is_right: bool) -> Result<Claims, Problem> {
        let payload = self.signed.split_once('.').filter(|_| is_right).map(|(_, payload)| payload);
        let claims = payload.and_then(json::<RawClaims>).map(Claims::from);
        claims.filter(Claims::is_whole).ok_or_else(unknown)
    }
}

impl Claims {
    /// Returns the bearer, if the token allows `scope` on `catalog` now.
    ///
    /// # Errors
    /// `unauthorized` before the token begins and after it ends; `forbidden` for a scope or a catalog that it
    /// does not reach.
    pub fn authorize(self, now: UnixMillis, scope: Scope, catalog: &Catalog) -> Result<Caller, Problem> {
        if self.until <= now {
            return Err(Problem::new(Code::Unauthorized, EXPIRED));
        }
        if [self.until, self.from].iter().any(|date| is_in_milliseconds(date.0 / 1_000)) {
            return Err(Problem::new(Code::Unauthorized, IN_MILLISECONDS));
        }
        if self.from.0 > now.0.saturating_add(LEEWAY_MS) {
            return Err(Problem::new(Code::Unauthorized, "the token is not valid yet"));
        }
        let admin = self.has(Scope::Admin);
        let served = |one: &String| one == "*" || one == catalog.as_str();
        if !(self.catalogs.iter().any(served) && (admin || self.has(scope))) {
            return Err(super::out_of_reach(catalog));
        }
        let grant = Grant { until: Some(self.until), topics: self.topics };
        Ok(Caller { name: self.sub, admin, grant })
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Rejects claims with malformed names or topics: ignoring these would silently widen the token.
    fn is_whole(&self) -> bool {
        let bytes: usize = self.topics.iter().map(String::len).sum();
        let meant = |topic: &String| !topic.is_empty() && !topic.contains(char::is_control);
        is_name(&self.sub)
            && self.topics.len() <= MAX_TOPICS
            && bytes <= MAX_TOPICS_BYTES
            && self.topics.iter().all(meant)
            // An admin token may do everything, so topics cannot limit it.
            && (self.topics.is_empty() || !self.has(Scope::Admin))
    }
}

/// Says whether a date in seconds can only have been meant in milliseconds: of 2001 to 5138, where seconds
/// would be of the year 33658 or later. Greater numbers are signed for "never", and pass.
#[must_use]
pub fn is_in_milliseconds(seconds: u64) -> bool {
    (1_000_000_000_000..100_000_000_000_000).contains(&seconds)
}

fn algorithm(text: &str) -> Option<Algorithm> {
    [Algorithm::Hs256, Algorithm::Ed25519].into_iter().find(|one| one.text() == text)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

fn unknown() -> Problem {
    Problem::new(Code::Unauthorized, super::UNKNOWN)
}

#[cfg(test)]
mod tests;
