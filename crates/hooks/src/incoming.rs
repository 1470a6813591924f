//! What a genuine request is: a message, or what a provider says about its subscription.

use std::borrow::Cow;

use newsreel_core::access::hooks::{Hook, Scheme};
use serde_json::Value;

use crate::request::HookRequest;

/// A genuine request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message, which the hook's mapping reads.
    Message(Cow<'a, [u8]>),
    /// The provider asks whether the address takes its messages: the answer is this text.
    Challenge(String),
    /// The provider has ended the subscription, for this reason.
    Revoked(String),
    /// The provider tries the address out. Nothing has changed.
    Ping,
}

impl<'a> Incoming<'a> {
    /// Reads a genuine request of a hook.
    #[must_use]
    pub fn read(hook: &Hook, request: &HookRequest<'a>) -> Self {
        let text = |pointer: &str| {
            let body: Option<Value> = serde_json::from_slice(request.body).ok();
            body.as_ref().and_then(|body| body.pointer(pointer)).and_then(Value::as_str).map(str::to_owned)
        };
        match &hook.scheme {
            Scheme::Twitch => match request.headers.get("Twitch-Eventsub-Message-Type") {
                Some("webhook_callback_verification") => {
                    Self::Challenge(text("/challenge").unwrap_or_default())
                }
                Some("revocation") => Self::Revoked(
                    text("/subscription/status").unwrap_or_else(|| "no reason given".to_owned()),
                ),
                _ => Self::Message(request.body.into()),
            },
            Scheme::Slack if text("/type").as_deref() == Some("url_verification") => {
                Self::Challenge(text("/challenge").unwrap_or_default())
            }
            Scheme::GitHub if request.headers.get("X-GitHub-Event") == Some("ping") => Self::Ping,
            Scheme::GitHub | Scheme::Slack => Self::Message(of_form(request)),
            Scheme::StandardWebhooks
            | Scheme::Stripe
            | Scheme::Shopify
            | Scheme::Sanity
            | Scheme::DatoCms
            | Scheme::Hmac(_)
            | Scheme::Basic
            | Scheme::Bearer
            | Scheme::Token => Self::Message(request.body.into()),
        }
    }
}

/// Returns the JSON of a body, which GitHub and Slack may send as the field `payload` of a form.
fn of_form<'a>(request: &HookRequest<'a>) -> Cow<'a, [u8]> {
    let content_type = request.headers.get("Content-Type").unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return request.body.into();
    }
    let payload = form_urlencoded::parse(request.body).find(|(name, _)| name == "payload");
    payload.map_or(request.body.into(), |(_, json)| json.into_owned().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::UnixMillis;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::request::Headers;
    use crate::verify::tests::hook;

    #[track_caller]
    fn expect(scheme: &str, headers: &[(&str, &str)], body: &str, incoming: &Incoming<'_>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers = Headers::new(headers);
        let request = HookRequest { headers: &headers, body: body.as_bytes(), now: UnixMillis(0) };
        assert_eq!(Incoming::read(&hook(json!({ "scheme": scheme })), &request), *incoming);
    }

    fn message(body: &str) -> Incoming<'_> {
        Incoming::Message(body.as_bytes().into())
    }

    #[test]
    fn twitch_asks_notifies_and_revokes() {
        let typed = |kind| [("Twitch-Eventsub-Message-Type", kind)];
        let challenge = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#;
        let asked = Incoming::Challenge("pogchamp-kappa-360noscope-vohiyo".to_owned());
        expect("twitch", &typed("webhook_callback_verification"), challenge, &asked);
        let revoked = r#"{"subscription":{"status":"authorization_revoked"}}"#;
        expect(
            "twitch",
            &typed("revocation"),
            revoked,
            &Incoming::Revoked("authorization_revoked".to_owned()),
        );
        expect("twitch", &typed("revocation"), "", &Incoming::Revoked("no reason given".to_owned()));
        expect("twitch", &typed("notification"), "{}", &message("{}"));
        expect("github", &typed("webhook_callback_verification"), challenge, &message(challenge));
    }

    #[test]
    fn slack_asks_and_github_pings() {
        let asks = r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let asked = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned();
        expect("slack", &[], asks, &Incoming::Challenge(asked));
        expect("slack", &[], r#"{"type":"event_callback"}"#, &message(r#"{"type":"event_callback"}"#));
        expect("github", &[("X-GitHub-Event", "ping")], "{}", &Incoming::Ping);
        expect("github", &[("X-GitHub-Event", "push")], "{}", &message("{}"));
    }

    #[test]
    fn the_json_may_be_in_a_form() {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        expect("github", &form, "payload=%7B%22a%22%3A1%7D", &message(r#"{"a":1}"#));
        expect("github", &form, "other=1", &message("other=1"));
        expect("stripe", &form, "payload=%7B%7D", &message("payload=%7B%7D"));
    }
}
