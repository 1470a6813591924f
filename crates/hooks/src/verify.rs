//! Whether one of a hook's secrets has signed a request: over the raw bytes, in constant time.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use newsreel_core::access::hooks::{Encoding, HashName, HmacScheme, Hook, SignedPart};
use newsreel_core::wire::UnixMillis;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use crate::codes::decoded;
use crate::forms::{Form, STANDARD_HEADERS, id};
use crate::request::HookRequest;
use crate::time;

#[cfg(test)]
pub(crate) mod tests;

/// The most signatures of one request that are looked at; providers send one for each key of a rotation.
pub const MAX_SIGNATURES: usize = 16;

/// A secret of a hook, and the name it is set under.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// The name, as the declaration has it.
    pub name: &'a str,
    /// The secret itself.
    pub text: &'a str,
}

/// Why a request is not taken. No text has a secret in it, or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header of the scheme is absent: the sender is not the provider, or is not told the secret.
    #[error("the request has no header {0}")]
    Missing(String),
    /// A header of the scheme cannot be read.
    #[error("the header {0} cannot be read")]
    Malformed(String),
    /// No secret of the hook made any of the signatures.
    #[error("the request is not signed by a secret of this hook")]
    Wrong,
    /// The request is genuine, and from too long ago, or from the future: perhaps a replay.
    #[error("the signed time is not within {0} s of now")]
    OutsideWindow(u64),
    /// A secret of the deployment cannot be a key of the scheme.
    #[error("the secret {name} is no key of its scheme: {why}")]
    Key {
        /// The name of the secret.
        name: String,
        /// The form that the scheme has.
        why: &'static str,
    },
}

/// A request that a secret of its hook has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genuine {
    /// The id that the provider's retries of one message share, if the message has one.
    pub id: Option<String>,
}

impl Genuine {
    /// Takes a request whose sender the deployment itself has admitted.
    #[must_use]
    pub fn of(hook: &Hook, request: &HookRequest<'_>) -> Self {
        Self { id: id(hook, request) }
    }
}

/// A request whose signatures are Ed25519's, for the platform's cryptography to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The public keys of the hook.
    pub keys: Vec<[u8; 32]>,
    /// The signatures of the request.
    pub signatures: Vec<[u8; 64]>,
    /// The bytes that are signed.
    pub signed: Vec<u8>,
    genuine: Genuine,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The request is the provider's.
    Genuine(Genuine),
    /// The request is the provider's if one of these signatures is right.
    Unverified(Unverified),
}

impl Unverified {
    /// Returns the request as a genuine one, if one of the keys made one of the signatures.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] otherwise.
    pub fn verified(self, is_right: bool) -> Result<Genuine, Refusal> {
        if is_right { Ok(self.genuine) } else { Err(Refusal::Wrong) }
    }
}

/// Verifies a request of a hook. A hook of the scheme `token` is not for here: the deployment checks its tokens itself.
///
/// # Errors
/// [`Refusal`] says why the request is not taken.
pub fn verify(hook: &Hook, secrets: &[Secret<'_>], request: &HookRequest<'_>) -> Result<Proof, Refusal> {
    // A secret that is set to nothing would be a key that everybody has.
    let secrets: Vec<Secret<'_>> = secrets.iter().copied().filter(|secret| !secret.text.is_empty()).collect();
    let secrets = secrets.as_slice();
    let genuine = || Genuine::of(hook, request);
    let (right, at) = match Form::of(&hook.scheme) {
        None => (false, None),
        Some(Form::Credentials(scheme)) => (credentials(scheme, secrets, request)?, None),
        Some(Form::Hmac(hmac)) => by_header(&hmac, secrets, request)?,
        Some(Form::Timed { header, encoding, .. }) => timed(header, encoding, secrets, request)?,
        Some(Form::Standard) => {
            let claim = Standard::read(request)?;
            let Keys { hmac, ed25519 } = Keys::read(secrets)?;
            let parts = claim.parts(request.body);
            let right = any_is_right(HashName::Sha256, &hmac, &parts, &claim.signatures("v1"));
            let signatures = claim.signatures("v1a");
            let signatures: Vec<[u8; 64]> =
                signatures.into_iter().filter_map(|bytes| bytes.try_into().ok()).collect();
            if !right && !ed25519.is_empty() && !signatures.is_empty() {
                check_window(hook, claim.at, request.now)?;
                let signed = parts.concat();
                let unverified = Unverified { keys: ed25519, signatures, signed, genuine: genuine() };
                return Ok(Proof::Unverified(unverified));
            }
            (right, Some(claim.at))
        }
    };
    if !right {
        return Err(Refusal::Wrong);
    }
    if let Some(at) = at {
        check_window(hook, at, request.now)?;
    }
    Ok(Proof::Genuine(genuine()))
}

/// Refuses a time that is too far from now, on either side.
fn check_window(hook: &Hook, at: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    let apart = u128::from(at.0.abs_diff(now.0));
    if apart <= hook.window.as_millis() { Ok(()) } else { Err(Refusal::OutsideWindow(hook.window.as_secs())) }
}

fn needed<'a>(request: &HookRequest<'a>, header: &str) -> Result<&'a str, Refusal> {
    request.headers.get(header).ok_or_else(|| Refusal::Missing(header.to_owned()))
}

/// Reads a time that is signed as a text; every byte of it counts for the signature.
fn time_of(text: &str, header: &str) -> Result<UnixMillis, Refusal> {
    time::read(text).ok_or_else(|| Refusal::Malformed(header.to_owned()))
}

/// Says whether `Authorization` has one of the secrets.
fn credentials(scheme: &str, secrets: &[Secret<'_>], request: &HookRequest<'_>) -> Result<bool, Refusal> {
    let header = needed(request, "Authorization")?;
    let malformed = || Refusal::Malformed("Authorization".to_owned());
    let (given, credentials) = header.split_once(' ').ok_or_else(malformed)?;
    if !given.eq_ignore_ascii_case(scheme) {
        return Err(malformed());
    }
    let presented = match scheme {
        "Basic" => decoded(Encoding::Base64, credentials.trim()).ok_or_else(malformed)?,
        _ => credentials.trim().as_bytes().to_vec(),
    };
    // Digests are of one length, so the time says nothing about how long a secret is.
    let presented = Sha256::digest(presented);
    let same = |secret: &Secret<'_>| Sha256::digest(secret.text).ct_eq(&presented);
    Ok(secrets.iter().fold(subtle::Choice::from(0), |right, secret| right | same(secret)).into())
}

/// Verifies an HMAC in a header of its own.
fn by_header(
    scheme: &HmacScheme,
    secrets: &[Secret<'_>],
    request: &HookRequest<'_>,
) -> Result<(bool, Option<UnixMillis>), Refusal> {
    let malformed = || Refusal::Malformed(scheme.header.clone());
    let given = needed(request, &scheme.header)?;
    let signature = given.strip_prefix(&scheme.prefix).and_then(|text| decoded(scheme.encoding, text));
    let signature = signature.ok_or_else(malformed)?;
    let header = |name: &Option<String>| name.as_deref().map(|name| needed(request, name)).transpose();
    let (id, timestamp) = (header(&scheme.id)?, header(&scheme.timestamp)?);
    let parts = content(&scheme.signed, id.unwrap_or_default(), timestamp.unwrap_or_default(), request.body);
    let keys = keys_of_texts(secrets);
    let at = match (timestamp, &scheme.timestamp) {
        (Some(text), Some(header)) => Some(time_of(text, header)?),
        _ => None,
    };
    Ok((any_is_right(scheme.hash, &keys, &parts, &[signature]), at))
}

/// Returns the bytes that are signed, part by part.
pub(crate) fn content<'a>(
    signed: &'a [SignedPart],
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
) -> Vec<&'a [u8]> {
    let part = |part: &'a SignedPart| match part {
        SignedPart::Text(text) => text.as_bytes(),
        SignedPart::Id => id.as_bytes(),
        SignedPart::Timestamp => timestamp.as_bytes(),
        SignedPart::Body => body,
    };
    signed.iter().map(part).collect()
}

/// Verifies a header such as `t=1492774577,v1=…,v1=…`, whose signatures are over `{t}.{body}`.
fn timed(
    header: &str,
    encoding: Encoding,
    secrets: &[Secret<'_>],
    request: &HookRequest<'_>,
) -> Result<(bool, Option<UnixMillis>), Refusal> {
    let malformed = || Refusal::Malformed(header.to_owned());
    let items = needed(request, header)?.split(',').filter_map(|item| item.trim().split_once('='));
    let items: Vec<(&str, &str)> = items.collect();
    let (_, timestamp) = items.iter().find(|(name, _)| *name == "t").ok_or_else(malformed)?;
    let at = time_of(timestamp, header)?;
    let signatures = items.iter().filter(|(name, _)| *name == "v1").take(MAX_SIGNATURES);
    let signatures: Vec<Vec<u8>> = signatures.filter_map(|(_, text)| decoded(encoding, text)).collect();
    if signatures.is_empty() {
        return Err(malformed());
    }
    let parts = [timestamp.as_bytes(), b".", request.body];
    Ok((any_is_right(HashName::Sha256, &keys_of_texts(secrets), &parts, &signatures), Some(at)))
}

/// The headers of Standard Webhooks.
struct Standard<'a> {
    id: &'a str,
    timestamp: &'a str,
    at: UnixMillis,
    signatures: &'a str,
}

impl<'a> Standard<'a> {
    fn read(request: &HookRequest<'a>) -> Result<Self, Refusal> {
        let [standard, svix] = STANDARD_HEADERS;
        let [id, timestamp, signature] =
            if request.headers.get(standard[0]).is_some() { standard } else { svix };
        // The names in a refusal are those of the standard, also for a sender with neither.
        let needed = |name: &str, shown: &str| {
            request
                .headers
                .get(name)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Refusal::Missing(shown.to_owned()))
        };
        let [shown_id, shown_timestamp, shown_signature] = standard;
        let (id, timestamp) = (needed(id, shown_id)?, needed(timestamp, shown_timestamp)?);
        let at = time_of(timestamp, shown_timestamp)?;
        Ok(Self { id, timestamp, at, signatures: needed(signature, shown_signature)? })
    }

    fn parts<'b>(&'b self, body: &'b [u8]) -> [&'b [u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body]
    }

    /// Returns the signatures of a version, of the many that are separated by spaces.
    fn signatures(&self, version: &str) -> Vec<Vec<u8>> {
        let items = self.signatures.split(' ').filter_map(|item| item.split_once(','));
        let items = items.filter(|(given, _)| *given == version).take(MAX_SIGNATURES);
        items.filter_map(|(_, text)| decoded(Encoding::Base64, text)).collect()
    }
}

/// The keys of Standard Webhooks.
struct Keys<'a> {
    hmac: Vec<Cow<'a, [u8]>>,
    ed25519: Vec<[u8; 32]>,
}

impl Keys<'_> {
    fn read(secrets: &[Secret<'_>]) -> Result<Self, Refusal> {
        let mut keys = Self { hmac: Vec::new(), ed25519: Vec::new() };
        for Secret { name, text } in secrets {
            let wrong = |why| Refusal::Key { name: (*name).to_owned(), why };
            if let Some(public) = text.strip_prefix("whpk_") {
                let bytes = decoded(Encoding::Base64, public).and_then(|bytes| bytes.try_into().ok());
                keys.ed25519.push(bytes.ok_or_else(|| wrong("write whpk_ and 32 bytes in Base64"))?);
            } else if text.starts_with("whsk_") {
                return Err(wrong("whsk_ is the sender's private key; here stands the public one, whpk_"));
            } else {
                let bytes = decoded(Encoding::Base64, text.strip_prefix("whsec_").unwrap_or(text));
                let bytes = bytes.filter(|bytes| !bytes.is_empty());
                keys.hmac.push(bytes.ok_or_else(|| wrong("write whsec_ and the key in Base64"))?.into());
            }
        }
        Ok(keys)
    }
}

/// Returns secrets whose text itself is the key.
fn keys_of_texts<'a>(secrets: &[Secret<'a>]) -> Vec<Cow<'a, [u8]>> {
    secrets.iter().map(|secret| Cow::Borrowed(secret.text.as_bytes())).collect()
}

/// Says whether one of the keys made one of the signatures. Each key is tried with each, so that the time says nothing
/// about which it was.
fn any_is_right(hash: HashName, keys: &[Cow<'_, [u8]>], parts: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    let mut right = subtle::Choice::from(0);
    for key in keys {
        let made = mac(hash, key, parts);
        for signature in signatures {
            right |= made.ct_eq(signature);
        }
    }
    right.into()
}

/// Returns the HMAC of bytes.
pub(crate) fn mac(hash: HashName, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    macro_rules! mac {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match hash {
        HashName::Sha1 => mac!(Sha1),
        HashName::Sha256 => mac!(Sha256),
        HashName::Sha512 => mac!(Sha512),
    }
}
