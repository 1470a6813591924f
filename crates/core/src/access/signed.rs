//! Signed tokens: JSON Web Tokens whose algorithm is their key's, and nothing that they say themselves.
//!
//! The signature is the platform's to verify: [`Keys::read`] says over what and with which key, and only
//! [`UnverifiedToken::verified`] gives the claims out. Knows no cryptography.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Caller, Grant, Scope};
use crate::wire::frame::EXPIRED;
use crate::wire::json::texts;
use crate::wire::name::Catalog;
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::{MAX_TOPICS, MAX_TOPICS_BYTES};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// The shortest key of HS256, in bytes: as long as what it makes.
pub const MIN_SECRET_BYTES: usize = 32;
/// The most keys of a deployment.
pub const MAX_TOKEN_KEYS: usize = 16;
/// The longest `kid`, and the longest `sub`, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// How far the clock of who signs may be ahead: what is said of `nbf` and `iat`, and of nothing else.
const LEEWAY_MS: u64 = 60_000;

/// The detail of the problem of a token whose dates are in milliseconds.
const IN_MILLISECONDS: &str =
    "exp, nbf and iat of the token are milliseconds; RFC 7519 has seconds there: divide by 1,000";

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
            Self::Hs256 => bytes >= MIN_SECRET_BYTES,
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
pub struct UnverifiedToken<'a> {
    /// With which key it says it is signed.
    pub key: &'a Key,
    /// What the signature is of.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
}

/// What a token says whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// When it ends.
    until: UnixMillis,
    /// When it begins, as its signer's clock has it.
    from: UnixMillis,
    /// Who: idempotency keys and rates are its own.
    sub: String,
    /// Of catalogs; `*` is every one.
    catalogs: Vec<String>,
    scopes: Vec<String>,
    topics: Vec<String>,
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
        let Ok(Value::Array(items)) = serde_json::from_slice(text.as_bytes()) else {
            return Err(KeysError { item: 0, why: "a JSON list is meant" });
        };
        let mut keys = Self::default();
        for (index, item) in items.iter().enumerate() {
            let key = keys.checked(item).map_err(|why| KeysError { item: index + 1, why })?;
            keys.items.push(key);
        }
        Ok(keys)
    }

    fn checked(&self, item: &Value) -> Result<Key, &'static str> {
        let item = object(item, &["kid", "alg", "key"]).ok_or("{\"kid\",\"alg\",\"key\"} is meant")?;
        let algorithm = algorithm(text(item, "alg")).ok_or("alg is HS256 or EdDSA")?;
        let bytes = decoded(text(item, "key")).ok_or("key is base64url")?;
        if !algorithm.takes(bytes.len()) {
            return Err("a key of HS256 has 32 bytes or more, one of EdDSA has 32");
        }
        let kid = text(item, "kid");
        if !is_name(kid) || self.items.iter().any(|other| other.kid == kid) {
            return Err("kid is 1 to 128 bytes and no other key's");
        }
        if self.items.len() == MAX_TOKEN_KEYS {
            return Err("too many keys");
        }
        Ok(Key { kid: kid.to_owned(), algorithm, bytes })
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

    /// Takes a token apart; none of what it says counts before [`UnverifiedToken::verified`].
    ///
    /// # Errors
    /// `unauthorized`, the same for whatever is wrong.
    pub fn read<'a>(&'a self, token: &'a str) -> Result<UnverifiedToken<'a>, Problem> {
        self.parts(token).ok_or_else(unknown)
    }

    fn parts<'a>(&'a self, token: &'a str) -> Option<UnverifiedToken<'a>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        // Nothing else may be there: no key, no address of one, nothing critical.
        let header = json(header)?;
        let header = object(&header, &["alg", "kid", "typ"])?;
        let key = self.items.iter().find(|key| key.kid == text(header, "kid"))?;
        let typed = header.get("typ").is_none_or(|typ| typ == "JWT");
        let right = typed && key.algorithm.text() == text(header, "alg");
        right.then_some(UnverifiedToken { key, signed, signature: decoded(signature)? })
    }
}

impl UnverifiedToken<'_> {
    /// Gives the claims out, if the platform found the signature to be the key's.
    ///
    /// # Errors
    /// `unauthorized` if not, or if they are none.
    pub fn verified(self, is_right: bool) -> Result<Claims, Problem> {
        let payload = self.signed.split_once('.').filter(|_| is_right).map(|(_, payload)| payload);
        let claims = payload.and_then(json).and_then(|claims| Claims::read(&claims));
        claims.filter(Claims::is_whole).ok_or_else(unknown)
    }
}

impl Claims {
    fn read(claims: &Value) -> Option<Self> {
        let claims = claims.as_object()?;
        let at = |name: &str| match claims.get(name) {
            None => Some(UnixMillis(0)),
            Some(date) => date.as_f64().and_then(numeric_date),
        };
        let catalog = claims.get("catalog")?;
        let catalogs = match catalog.as_str() {
            Some(one) => vec![one.to_owned()],
            None => texts(catalog)?,
        };
        Some(Self {
            until: at("exp")?,
            from: at("nbf")?.max(at("iat")?),
            sub: text(claims, "sub").to_owned(),
            catalogs,
            scopes: texts(claims.get("scopes")?)?,
            topics: match claims.get("topics") {
                None => Vec::new(),
                // None at all would be taken for all of them.
                Some(topics) => texts(topics).filter(|topics| !topics.is_empty())?,
            },
        })
    }

    /// Says who the bearer is, if it may do `scope` on `catalog` now.
    ///
    /// # Errors
    /// `unauthorized` before its time and after; `forbidden` if it does not reach so far.
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
        self.scopes.iter().any(|one| one == scope.text())
    }

    /// Says whether it can be meant: what means nothing here would be taken to limit something.
    fn is_whole(&self) -> bool {
        let scopes = [Scope::Publish, Scope::Follow, Scope::Admin].map(Scope::text);
        let bytes: usize = self.topics.iter().map(String::len).sum();
        let meant = |topic: &String| !topic.is_empty() && !topic.contains(char::is_control);
        is_name(&self.sub)
            && self.scopes.iter().all(|one| scopes.contains(&one.as_str()))
            && self.topics.len() <= MAX_TOPICS
            && bytes <= MAX_TOPICS_BYTES
            && self.topics.iter().all(meant)
            // An admin token may do everything, so it cannot be held to a part.
            && (self.topics.is_empty() || !self.has(Scope::Admin))
    }
}

/// Reads a date of RFC 7519, section 2: seconds since 1970, with or without a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
fn numeric_date(seconds: f64) -> Option<UnixMillis> {
    (seconds >= 0.0).then_some(UnixMillis((seconds * 1_000.0).round() as u64))
}

/// Says whether a date in seconds can only have been meant in milliseconds: of 2001 to 5138, where seconds would be
/// of the year 33658 or later. Greater numbers are signed for "never", and pass.
#[must_use]
pub fn is_in_milliseconds(seconds: u64) -> bool {
    (1_000_000_000_000..100_000_000_000_000).contains(&seconds)
}

/// Returns an object that has no other members than these.
fn object<'a>(value: &'a Value, members: &[&str]) -> Option<&'a Map<String, Value>> {
    value.as_object().filter(|object| object.keys().all(|name| members.contains(&name.as_str())))
}

/// Returns a member's text; none is empty.
fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Reads a part of a token.
fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&decoded(part)?).ok()
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
