//! Signs as a provider would, to try a hook out.

use newsreel_core::access::hooks::{Encoding, HashName, HmacScheme, Hook, IdPlace, SignedPart};
use newsreel_core::wire::UnixMillis;

use crate::codes::{decoded, encoded};
use crate::forms::{Form, STANDARD_HEADERS, id_places};
use crate::time::written;
use crate::verify::{content, mac};

/// Makes an Ed25519 signature with the seed of a private key.
pub type SignEd25519<'a> = &'a dyn Fn(&[u8; 32], &[u8]) -> Option<Vec<u8>>;

/// Why a message cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The secret is no key of the scheme.
    #[error("the secret is no key of its scheme: {0}")]
    Key(&'static str),
}

/// Returns the headers with which a provider would send a body: signature, time and id.
///
/// # Errors
/// [`SignError`] for a secret that is no key.
pub fn sign(
    hook: &Hook,
    secret: &str,
    message_id: &str,
    now: UnixMillis,
    body: &[u8],
    ed25519: SignEd25519<'_>,
) -> Result<Vec<(String, String)>, SignError> {
    let signed = match Form::of(&hook.scheme) {
        Some(Form::Standard) => return standard(secret, message_id, now, body, ed25519),
        Some(Form::Hmac(scheme)) => by_header(&scheme, secret, message_id, now, body),
        Some(Form::Timed { header, encoding, millis }) => {
            let time = if millis { now.0 } else { now.0 / 1_000 }.to_string();
            let signature = mac(HashName::Sha256, secret.as_bytes(), &[time.as_bytes(), b".", body]);
            vec![(header.to_owned(), format!("t={time},v1={}", encoded(encoding, &signature)))]
        }
        Some(Form::Credentials("Basic")) => {
            vec![authorization("Basic", &encoded(Encoding::Base64, secret.as_bytes()))]
        }
        Some(Form::Credentials(scheme)) => vec![authorization(scheme, secret)],
        None => vec![authorization("Bearer", secret)],
    };
    let id = id_places(hook).into_iter().find_map(|place| match place {
        IdPlace::Header(name) => Some((name, message_id.to_owned())),
        IdPlace::Pointer(_) => None,
    });
    let missing = id.filter(|(name, _)| !signed.iter().any(|(one, _)| one.eq_ignore_ascii_case(name)));
    Ok(signed.into_iter().chain(missing).collect())
}

fn authorization(scheme: &str, credentials: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("{scheme} {credentials}"))
}

fn by_header(
    scheme: &HmacScheme,
    secret: &str,
    message_id: &str,
    now: UnixMillis,
    body: &[u8],
) -> Vec<(String, String)> {
    // Twitch writes its times as RFC 3339 between id and body; the others have Unix seconds.
    let is_rfc3339 = scheme.signed.first() == Some(&SignedPart::Id) && scheme.header.starts_with("Twitch-");
    let time = if is_rfc3339 { written(now) } else { (now.0 / 1_000).to_string() };
    let signature = mac(scheme.hash, secret.as_bytes(), &content(&scheme.signed, message_id, &time, body));
    let signature = format!("{}{}", scheme.prefix, encoded(scheme.encoding, &signature));
    let mut headers = vec![(scheme.header.clone(), signature)];
    headers.extend(scheme.timestamp.clone().map(|header| (header, time)));
    headers.extend(scheme.id.clone().map(|header| (header, message_id.to_owned())));
    headers
}

/// Returns the headers of a Standard Webhook.
///
/// # Errors
/// [`SignError`] for a secret that is no key.
pub fn standard(
    secret: &str,
    message_id: &str,
    now: UnixMillis,
    body: &[u8],
    ed25519: SignEd25519<'_>,
) -> Result<Vec<(String, String)>, SignError> {
    let time = (now.0 / 1_000).to_string();
    let parts: [&[u8]; 5] = [message_id.as_bytes(), b".", time.as_bytes(), b".", body];
    let (version, signature) = if let Some(private) = secret.strip_prefix("whsk_") {
        let wrong = SignError::Key("write whsk_ and 32 or 64 bytes in Base64");
        let bytes = decoded(Encoding::Base64, private).ok_or_else(|| wrong.clone())?;
        let seed = bytes.first_chunk::<32>().ok_or_else(|| wrong.clone())?;
        ("v1a", ed25519(seed, &parts.concat()).ok_or(wrong)?)
    } else if secret.starts_with("whpk_") {
        return Err(SignError::Key("whpk_ is a public key; only the private one, whsk_, signs"));
    } else {
        let key = decoded(Encoding::Base64, secret.strip_prefix("whsec_").unwrap_or(secret));
        let key = key.ok_or(SignError::Key("write whsec_ and the key in Base64"))?;
        ("v1", mac(HashName::Sha256, &key, &parts))
    };
    let [[id, timestamp, header], _] = STANDARD_HEADERS;
    let signature = format!("{version},{}", encoded(Encoding::Base64, &signature));
    let headers = [(id, message_id.to_owned()), (timestamp, time), (header, signature)];
    Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use newsreel_core::access::hooks::Scheme;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::request::{Headers, HookRequest};
    use crate::verify::tests::hook;
    use crate::verify::{Proof, Secret, verify};

    const NOW: UnixMillis = UnixMillis(1_795_446_806_123);

    #[test]
    fn what_a_scheme_signs_it_verifies() {
        for scheme in Scheme::NAMES.iter().filter(|scheme| **scheme != "token") {
            let mut fields = json!({ "scheme": scheme });
            if *scheme == "hmac" {
                fields = json!({ "scheme": "hmac", "header": "X-Sig", "hash": "sha1", "encoding": "base64",
                    "timestamp": "X-Time", "id_header": "X-Id", "signed": "{id}{timestamp}{body}" });
            }
            let (hook, secret, body) = (
                hook(fields),
                "dTpwYXNzd29yZA==",
                br#"{"id":"k-1","event_id":"k-1","webhook_call_id":"k-1"}"#,
            );
            let headers = sign(&hook, secret, "k-1", NOW, body, &|_, _| None).unwrap();
            let headers = Headers::new(headers);
            let request = HookRequest { headers: &headers, body, now: NOW };
            let proof = verify(&hook, &[Secret { name: "S", text: secret }], &request);
            let Ok(Proof::Genuine(genuine)) = proof else { panic!("{scheme}: {proof:?}") };
            assert_eq!(genuine.id.as_deref(), Some("k-1"), "{scheme}");
            let now = NOW.0 + hook.window.as_secs() * 1_000 + 1_000;
            let late = HookRequest { now: UnixMillis(now), ..request };
            let is_timed = !["github", "shopify", "datocms", "basic", "bearer"].contains(scheme);
            assert_eq!(
                verify(&hook, &[Secret { name: "S", text: secret }], &late).is_err(),
                is_timed,
                "{scheme}"
            );
        }
    }

    #[test]
    fn a_private_key_signs_and_a_public_one_does_not() {
        let hook = hook(json!({ "scheme": "standard-webhooks" }));
        let seed = |seed: &[u8; 32], _: &[u8]| Some(seed.to_vec());
        let private = format!("whsk_{}", encoded(Encoding::Base64, &[7; 64]));
        let headers = sign(&hook, &private, "k", NOW, b"", &seed).unwrap();
        let expected = format!("v1a,{}", encoded(Encoding::Base64, &[7; 32]));
        assert_eq!(headers[2], ("webhook-signature".to_owned(), expected));
        for wrong in ["whpk_AAAA", "whsk_AAAA", "whsec_é"] {
            assert!(sign(&hook, wrong, "k", NOW, b"", &seed).is_err(), "{wrong}");
        }
    }
}
