//! Where each scheme has signature, time and id in a request, and what it signs.

use std::borrow::Cow;

use newsreel_core::access::hooks::{Encoding, HashName, HmacScheme, Hook, IdPlace, Scheme, SignedPart};
use serde_json::Value;

use crate::request::HookRequest;

/// The header names of Standard Webhooks, and those of Svix.
pub(crate) const STANDARD_HEADERS: [[&str; 3]; 2] = [
    ["webhook-id", "webhook-timestamp", "webhook-signature"],
    ["svix-id", "svix-timestamp", "svix-signature"],
];

/// The form in which a scheme signs.
pub(crate) enum Form<'a> {
    /// Standard Webhooks and Svix.
    Standard,
    /// An HMAC in a header of its own.
    Hmac(Cow<'a, HmacScheme>),
    /// A header such as `t=1633519811129,v1=…`, which signs `{t}.{body}`.
    Timed {
        /// The header.
        header: &'static str,
        /// How the signature is written.
        encoding: Encoding,
        /// Whether `t` is in milliseconds.
        millis: bool,
    },
    /// Credentials in `Authorization`, of this scheme of HTTP.
    Credentials(&'static str),
}

impl<'a> Form<'a> {
    /// Returns the form of a scheme; `None` for publish tokens, which the deployment checks itself.
    pub(crate) fn of(scheme: &'a Scheme) -> Option<Self> {
        Some(match scheme {
            Scheme::StandardWebhooks => Self::Standard,
            Scheme::GitHub => Self::of_body("X-Hub-Signature-256", Encoding::Hex, "sha256="),
            Scheme::Shopify => Self::of_body("X-Shopify-Hmac-Sha256", Encoding::Base64, ""),
            Scheme::Slack => Self::slack(),
            Scheme::Twitch => Self::twitch(),
            Scheme::Hmac(declared) => Self::Hmac(Cow::Borrowed(declared)),
            Scheme::Stripe => {
                Self::Timed { header: "Stripe-Signature", encoding: Encoding::Hex, millis: false }
            }
            Scheme::Sanity => Self::Timed {
                header: "sanity-webhook-signature",
                encoding: Encoding::Base64Url,
                millis: true,
            },
            Scheme::DatoCms | Scheme::Basic => Self::Credentials("Basic"),
            Scheme::Bearer => Self::Credentials("Bearer"),
            Scheme::Token => return None,
        })
    }

    /// Returns the form of a provider that signs the body alone.
    fn of_body(header: &str, encoding: Encoding, prefix: &str) -> Self {
        Self::Hmac(Cow::Owned(HmacScheme {
            header: header.to_owned(),
            hash: HashName::Sha256,
            encoding,
            prefix: prefix.to_owned(),
            timestamp: None,
            id: None,
            signed: vec![SignedPart::Body],
        }))
    }

    fn slack() -> Self {
        let text = |text: &str| SignedPart::Text(text.to_owned());
        Self::Hmac(Cow::Owned(HmacScheme {
            header: "X-Slack-Signature".to_owned(),
            hash: HashName::Sha256,
            encoding: Encoding::Hex,
            prefix: "v0=".to_owned(),
            timestamp: Some("X-Slack-Request-Timestamp".to_owned()),
            id: None,
            signed: vec![text("v0:"), SignedPart::Timestamp, text(":"), SignedPart::Body],
        }))
    }

    fn twitch() -> Self {
        Self::Hmac(Cow::Owned(HmacScheme {
            header: "Twitch-Eventsub-Message-Signature".to_owned(),
            hash: HashName::Sha256,
            encoding: Encoding::Hex,
            prefix: "sha256=".to_owned(),
            timestamp: Some("Twitch-Eventsub-Message-Timestamp".to_owned()),
            id: Some(TWITCH_ID.to_owned()),
            signed: vec![SignedPart::Id, SignedPart::Timestamp, SignedPart::Body],
        }))
    }
}

const TWITCH_ID: &str = "Twitch-Eventsub-Message-Id";

/// Returns where the id of a hook's messages stands; empty where it may be anywhere a CloudEvent has it.
pub(crate) fn id_places(hook: &Hook) -> Vec<IdPlace> {
    if let Some(place) = &hook.id {
        return vec![place.clone()];
    }
    let header = |name: &str| vec![IdPlace::Header(name.to_owned())];
    let pointer = |path: &str| vec![IdPlace::Pointer(path.to_owned())];
    match &hook.scheme {
        Scheme::StandardWebhooks => {
            STANDARD_HEADERS.iter().map(|[id, ..]| IdPlace::Header((*id).to_owned())).collect()
        }
        Scheme::GitHub => header("X-GitHub-Delivery"),
        Scheme::Stripe => pointer("/id"),
        Scheme::Shopify => header("X-Shopify-Webhook-Id"),
        Scheme::Slack => pointer("/event_id"),
        Scheme::Twitch => header(TWITCH_ID),
        Scheme::DatoCms => pointer("/webhook_call_id"),
        Scheme::Hmac(HmacScheme { id: Some(id), .. }) => header(id),
        Scheme::Sanity | Scheme::Hmac(_) | Scheme::Basic | Scheme::Bearer | Scheme::Token => {
            header("Idempotency-Key")
        }
    }
}

/// Returns the id of a message, which a provider's retries share.
pub(crate) fn id(hook: &Hook, request: &HookRequest<'_>) -> Option<String> {
    let found = |place: &IdPlace| match place {
        IdPlace::Header(name) => request.headers.get(name).map(str::to_owned),
        IdPlace::Pointer(path) => {
            let body: Value = serde_json::from_slice(request.body).ok()?;
            let value = body.pointer(path)?;
            value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string))
        }
    };
    id_places(hook).iter().find_map(found).filter(|id| !id.is_empty()).or_else(|| event_id(request))
}

/// Returns what makes a CloudEvent unique: its source and its id.
fn event_id(request: &HookRequest<'_>) -> Option<String> {
    if let (Some(source), Some(id)) = (request.headers.get("ce-source"), request.headers.get("ce-id")) {
        return Some(format!("{source}\n{id}"));
    }
    if !request.headers.get("Content-Type")?.starts_with("application/cloudevents+json") {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body).ok()?;
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    Some(format!("{}\n{}", text("source")?, text("id")?))
}
