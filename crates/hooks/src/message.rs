//! A message of a hook on its way to the log: as a queue and the list of dead letters keep it, and as publishes.

use newsreel_core::wire::{Catalog, Cause, Change, Operation, SourceEvent, UnixMillis};
use newsreel_mapping::{Batch, Limits, Mapping, Message, MessageError, Skips};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::request::Headers;

/// The form of messages that this build writes.
const FORM: u32 = 1;
/// The largest message that a Cloudflare Queue takes, in bytes, less what it counts beside the body.
pub const MAX_QUEUED_BYTES: usize = 128_000 - 1_000;

/// What the id of a message begins with that has none but the queue's. No header or JSON text that is an id holds the
/// control character.
const QUEUE_ID: &str = "\u{1}queue:";

/// A genuine message, and everything that is needed to publish it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookMessage {
    /// The form of this message; a build takes its own and older ones.
    form: u32,
    /// The catalog that is published to.
    pub catalog: Catalog,
    /// The name of the hook.
    pub hook: String,
    /// The id that the provider's retries of the message share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When the message arrived.
    pub at: UnixMillis,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The headers that a CloudEvent has beside its data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The order in which messages reach the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// In the order in which they happened, as far as the provider keeps it.
    InOrder,
    /// In any order: a message that was queued or sent again may come after one that happened later.
    AnyOrder,
}

/// The publishes of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedMessage {
    /// One line for each publish, each with an idempotency key if the message has an id.
    pub lines: Vec<String>,
    /// How many names were left out, since a value was null or no valid name.
    pub skipped: u64,
}

impl HookMessage {
    /// Returns a message that arrived at a hook.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        hook: &str,
        id: Option<String>,
        at: UnixMillis,
        headers: &Headers,
        body: String,
    ) -> Self {
        let is_event = |name: &str| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ce-"));
        let attributes = headers.iter().filter(|(name, _)| is_event(name));
        Self {
            form: FORM,
            catalog,
            hook: hook.to_owned(),
            id,
            at,
            content_type: headers.get("Content-Type").map(str::to_owned),
            attributes: attributes
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body,
        }
    }

    /// Reads a message that a queue or the list of dead letters has kept; `None` for another form.
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(|message: &Self| message.form <= FORM)
    }

    /// Returns the message with an id if it has none of its sender's.
    #[must_use]
    pub fn with_fallback_id(self, id: &str) -> Self {
        Self { id: self.id.or_else(|| Some(format!("{QUEUE_ID}{id}"))), ..self }
    }

    /// Returns the publishes of the message: one, unless it changes more than a version holds.
    ///
    /// # Errors
    /// [`MessageError`] if no rule of the mapping fits, or a row names nothing.
    pub fn publishes(&self, mapping: &Mapping, arrival: Arrival) -> Result<MappedMessage, MessageError> {
        let message = Message::of_body(self.body.as_bytes())
            .with_content_type(self.content_type.as_deref())
            .with_attributes(&self.attributes);
        let mut skips = Skips::default();
        let mut batch = Batch::new(Limits { wide_above: mapping.wide_above });
        let outcome = mapping.message(&self.hook, &message, &mut skips, &mut |change| {
            batch.add(ordered(change, arrival));
        })?;
        batch.trace(outcome.traceparent);
        // What the mapping found of a CloudEvent or a publish is the sender's own; the id of a queue is a last resort.
        let of_queue = |id: &String| id.starts_with(QUEUE_ID);
        let id = self.id.clone().filter(|id| !of_queue(id)).or(outcome.id).or_else(|| self.id.clone());
        let sent = id.as_deref().filter(|id| !id.starts_with(QUEUE_ID));
        let source = SourceEvent::clipped(&format!("hook:{}", self.hook), sent, self.at);
        let lines = batch.into_publishes().into_iter().map(|publish| {
            let cause = Cause { source: Some(source.clone()), ..publish.cause.clone() };
            line(id.as_deref(), &publish.written().changes, &cause.members())
        });
        Ok(MappedMessage { lines: lines.collect(), skipped: skips.total() })
    }
}

/// Returns a change that may be published in an order. A remove that overtook a later update would hide the value until
/// its next change; as an update it has the origin asked, which says whether the value is there.
fn ordered(change: Change, arrival: Arrival) -> Change {
    match (arrival, change.operation) {
        (Arrival::AnyOrder, Operation::Remove) => Change { operation: Operation::Update, ..change },
        _ => change,
    }
}

/// Returns the line of a publish. Its idempotency key is of the message's id and of the changes: a retry has the same, and
/// other changes under a used id are published all the same.
fn line(id: Option<&str>, changes: &str, cause: &str) -> String {
    let Some(id) = id else { return format!(r#"{{"changes":{changes}{cause}}}"#) };
    let digest = Sha256::new()
        .chain_update((id.len() as u64).to_le_bytes())
        .chain_update(id)
        .chain_update(changes)
        .finalize();
    let key = hex::encode(digest.get(..16).unwrap_or_default());
    format!(r#"{{"changes":{changes}{cause},"idempotency_key":"{key}"}}"#)
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::ndjson::PublishLine;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::declared::mapping_of;
    use crate::verify::tests::hook;

    fn mapping() -> Mapping {
        let rules = json!([
            { "key": "title:{titleId}", "when": { "type": ["updated", "removed"] }, "removed_when": { "type": ["removed"] } },
            { "also": [{ "tag": "{tags[]}" }], "when": { "type": ["tags"] } },
        ]);
        mapping_of(&hook(json!({ "scheme": "token", "map": rules }))).unwrap()
    }

    fn message(id: Option<&str>, body: &str) -> HookMessage {
        let headers =
            [("Content-Type", "application/json"), ("CE-Type", "x"), ("ce-id", "1"), ("Cookie", "no")];
        let headers = Headers::new(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let catalog = Catalog::new("tv").unwrap();
        HookMessage::new(catalog, "h", id.map(str::to_owned), UnixMillis(7), &headers, body.to_owned())
    }

    fn lines(id: Option<&str>, body: &str, arrival: Arrival) -> Vec<PublishLine> {
        let mapped = message(id, body).publishes(&mapping(), arrival).unwrap();
        mapped.lines.iter().map(|line| PublishLine::parse(line.as_bytes()).unwrap()).collect()
    }

    fn changes(lines: &[PublishLine]) -> Vec<String> {
        lines.iter().map(|line| line.publish.written().changes).collect()
    }

    #[test]
    fn a_message_is_kept_as_json_with_the_headers_of_an_event_alone() {
        let kept = message(Some("m-1"), r#"{"a":"\u00e9 é"}"#);
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(HookMessage::read(&json), Some(kept.clone()));
        let attributes: Vec<&str> = kept.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(attributes, ["ce-type", "ce-id"]);
        assert!(!json.contains("Cookie"), "{json}");
        assert_eq!(HookMessage::read(&json.replace("\"form\":1", "\"form\":2")), None, "of a newer build");
        assert!(HookMessage::read(&json.replace("\"at\":7", "\"at\":7,\"more\":1")).is_some());
        for none in ["", "{}", "[]", "null", "\u{0}"] {
            assert_eq!(HookMessage::read(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_retry_has_the_same_keys_and_other_changes_have_others() {
        let body = r#"{"type":"updated","titleId":"1"}"#;
        let key = |id: Option<&str>, body: &str| lines(id, body, Arrival::InOrder)[0].idempotency_key.clone();
        assert_eq!(
            key(Some("m-1"), body),
            key(Some("m-1"), r#"{ "titleId":"1", "type":"updated", "attempt":2 }"#)
        );
        assert_ne!(key(Some("m-1"), body), key(Some("m-2"), body));
        assert_ne!(key(Some("m-1"), body), key(Some("m-1"), &body.replace('1', "2")));
        assert_eq!(key(None, body), None, "without an id two messages may be two changes");
    }

    #[test]
    fn a_publish_says_which_hook_and_message_it_is_of() {
        let body = r#"{"type":"updated","titleId":"1"}"#;
        let cause = |id| lines(id, body, Arrival::InOrder).remove(0).publish.cause.members();
        assert_eq!(cause(Some("m-1")), r#","source":{"name":"hook:h","id":"m-1","at":7}"#);
        assert_eq!(
            cause(Some("\u{1}queue:9")),
            r#","source":{"name":"hook:h","at":7}"#,
            "a queue's id is its own"
        );
        assert_eq!(cause(None), r#","source":{"name":"hook:h","at":7}"#);
    }

    #[test]
    fn hundreds_of_tags_in_one_call_are_one_version() {
        let tags: Vec<String> = (0..700).map(|n| format!("t{n}")).collect();
        let published =
            lines(Some("m"), &json!({ "type": "tags", "tags": tags }).to_string(), Arrival::InOrder);
        assert_eq!((published.len(), published[0].publish.changes.len()), (1, 700));
    }

    #[test]
    fn a_remove_that_may_come_late_has_the_origin_asked() {
        let body = r#"{"type":"removed","titleId":"1"}"#;
        assert_eq!(changes(&lines(None, body, Arrival::InOrder)), [r#"[{"key":"title:1","op":"remove"}]"#]);
        assert_eq!(changes(&lines(None, body, Arrival::AnyOrder)), [r#"[{"key":"title:1"}]"#]);
    }

    #[test]
    fn a_message_that_no_rule_takes_publishes_nothing_and_one_that_is_wrong_says_why() {
        assert_eq!(lines(Some("m"), r#"{"type":"viewed"}"#, Arrival::InOrder), []);
        let why = |body| message(None, body).publishes(&mapping(), Arrival::InOrder).unwrap_err().to_string();
        assert!(why("poison").contains("no JSON"), "{}", why("poison"));
        assert!(why(r#"{"type":"updated"}"#).contains("titleId"), "{}", why(r#"{"type":"updated"}"#));
        assert!(why("[1]").contains("number"), "{}", why("[1]"));
    }
}
