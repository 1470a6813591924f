//! The schemes: how the request of a webhook proves its sender.

/// How a request proves its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks, and Svix, whose headers have other names: HMAC (`v1`) or Ed25519 (`v1a`).
    StandardWebhooks,
    /// `X-Hub-Signature-256`.
    GitHub,
    /// `Stripe-Signature`.
    Stripe,
    /// `X-Shopify-Hmac-Sha256`.
    Shopify,
    /// `sanity-webhook-signature`.
    Sanity,
    /// `X-Slack-Signature`.
    Slack,
    /// `Twitch-Eventsub-Message-Signature`.
    Twitch,
    /// Basic credentials, and the id that DatoCMS has in its body.
    DatoCms,
    /// An HMAC of which the declaration says everything.
    Hmac(HmacScheme),
    /// Basic credentials: the secret is `user:password`.
    Basic,
    /// `Authorization: Bearer`, with the secret as token.
    Bearer,
    /// A publish token of the deployment.
    Token,
}

impl Scheme {
    /// The names of the schemes, as a declaration has them.
    pub const NAMES: &'static [&'static str] = &[
        "standard-webhooks",
        "svix",
        "github",
        "stripe",
        "shopify",
        "sanity",
        "slack",
        "twitch",
        "datocms",
        "hmac",
        "basic",
        "bearer",
        "token",
    ];

    /// Returns the scheme of a name that needs nothing else to be known.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "standard-webhooks" | "svix" => Self::StandardWebhooks,
            "github" => Self::GitHub,
            "stripe" => Self::Stripe,
            "shopify" => Self::Shopify,
            "sanity" => Self::Sanity,
            "slack" => Self::Slack,
            "twitch" => Self::Twitch,
            "datocms" => Self::DatoCms,
            "basic" => Self::Basic,
            "bearer" => Self::Bearer,
            "token" => Self::Token,
            _ => return None,
        })
    }
}

/// An HMAC of which the declaration says everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacScheme {
    /// The header with the signature.
    pub header: String,
    /// The hash under the HMAC.
    pub hash: HashName,
    /// How the signature's bytes are written.
    pub encoding: Encoding,
    /// The text before the signature in its header.
    pub prefix: String,
    /// The header with the time of the message; without one there is no window against replays.
    pub timestamp: Option<String>,
    /// The header with the message's id.
    pub id: Option<String>,
    /// The content that is signed.
    pub signed: Vec<SignedPart>,
}

/// A hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashName {
    /// SHA-1, which HMAC keeps safe; some providers have nothing else.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits, of either case.
    Hex,
    /// Base64, with or without padding.
    Base64,
    /// Base64 of the alphabet for addresses, with or without padding.
    Base64Url,
}

/// A part of the content that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedPart {
    /// This text.
    Text(String),
    /// The message's id.
    Id,
    /// The message's time, as its header has it.
    Timestamp,
    /// The bytes of the body.
    Body,
}

impl SignedPart {
    /// Reads a text such as `{timestamp}.{body}`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn read(text: &str) -> Result<Vec<Self>, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else { return Err("a { without its }") };
            parts.extend((!before.is_empty()).then(|| Self::Text(before.to_owned())));
            parts.push(match place {
                "id" => Self::Id,
                "timestamp" => Self::Timestamp,
                "body" => Self::Body,
                _ => return Err("the places are {id}, {timestamp} and {body}"),
            });
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Self::Text(rest.to_owned())));
        match parts.iter().filter(|part| **part == Self::Body).count() {
            1 => Ok(parts),
            _ => Err("{body} is there once"),
        }
    }
}
