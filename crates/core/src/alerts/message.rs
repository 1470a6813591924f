//! The bodies of messages: a Standard Webhook, or Slack's form.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::board::{Kind, Notice};
use super::rules::Level;
use crate::wire::Catalog;

/// The form of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A Standard Webhook, signed.
    #[default]
    Standard,
    /// An incoming webhook of Slack, whose address is the secret.
    Slack,
}

impl Notice {
    /// Returns the body in a receiver's form. `when` is [`Notice::at`] in ISO 8601.
    #[must_use]
    pub fn body(&self, catalog: &Catalog, form: Form, when: &str) -> Value {
        match form {
            Form::Standard => json!({
                "type": format!("newsreel.alert.{}", self.kind.name()),
                "timestamp": when,
                "data": { "catalog": catalog, "alert": self.alert },
            }),
            Form::Slack => {
                let mark = match (self.kind, self.alert.severity) {
                    (Kind::Resolved, _) => ":large_green_circle:",
                    (_, Level::Critical) => ":red_circle:",
                    (_, Level::Warning | Level::Ok) => ":large_yellow_circle:",
                };
                let says = escaped(&self.alert.says);
                json!({ "text": format!("{mark} *{catalog}* {}: {says}", self.kind.name()) })
            }
        }
    }
}

impl Kind {
    /// Returns the name, as the type of a Standard Webhook has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Resolved => "resolved",
        }
    }
}

/// Returns a text in which Slack sees no links and no mentions.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Board, Subject, Transition};
    use crate::wire::UnixMillis;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_notice_is_a_standard_webhook_and_a_text_for_slack() {
        let at = UnixMillis(5_000);
        let subject = Subject { rule: "read-p99".to_owned(), class: Some("<title>".to_owned()) };
        let slow = Transition { subject, level: Level::Critical, at, value: 120.0, threshold: 100.0 };
        let notice = Board::default().hear("fra", &slow, at).unwrap();
        let catalog = Catalog::new("tv").unwrap();
        let body = |form| notice.body(&catalog, form, "1970-01-01T00:00:05.000Z");
        let standard = body(Form::Standard);
        assert_eq!(standard["type"], "newsreel.alert.raised");
        assert_eq!(standard["timestamp"], "1970-01-01T00:00:05.000Z");
        assert_eq!(standard["data"]["alert"]["class"], "<title>");
        let text = body(Form::Slack)["text"].as_str().unwrap().to_owned();
        assert!(
            text.starts_with(":red_circle: *tv* raised: read-p99 of class &lt;title&gt; at fra: 120 ms"),
            "{text}"
        );
    }
}
