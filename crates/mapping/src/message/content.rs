//! Messages as they arrive, their parts, and why one is not mapped.

use newsreel_core::wire::Traceparent;
use newsreel_core::wire::bom::without_bom;
use newsreel_core::wire::publish::PublishError;
use serde_json::Value;

use crate::skip::Skip;

/// A message as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(super) content: Content<'a>,
    pub(super) content_type: Option<&'a str>,
    pub(super) attributes: &'a [(String, String)],
}

/// The content of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// One body.
    Body(&'a [u8]),
    /// Fields with their values, such as those of an entry of a Redis stream.
    Entry(&'a [(Vec<u8>, Vec<u8>)]),
}

impl<'a> Message<'a> {
    /// Returns a message with a body.
    #[must_use]
    pub fn of_body(body: &'a [u8]) -> Self {
        Self { content: Content::Body(body), content_type: None, attributes: &[] }
    }

    /// Returns a message that is a list of fields and their values.
    #[must_use]
    pub fn of_entry(fields: &'a [(Vec<u8>, Vec<u8>)]) -> Self {
        Self { content: Content::Entry(fields), content_type: None, attributes: &[] }
    }

    /// Returns the message with the media type of its body.
    #[must_use]
    pub fn with_content_type(self, content_type: Option<&'a str>) -> Self {
        Self { content_type, ..self }
    }

    /// Returns the message with what came beside its body, such as the headers of a request.
    #[must_use]
    pub fn with_attributes(self, attributes: &'a [(String, String)]) -> Self {
        Self { attributes, ..self }
    }
}

/// What a message was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many rows were mapped, by each rule; a publish counts as one.
    pub rows: usize,
    /// How many rows the `when` of their rules left out.
    pub left_out: usize,
    /// The sender's name for the message, which is the same when the message is sent again: `source` and `id` of a
    /// CloudEvent, the idempotency key of a publish.
    pub id: Option<String>,
    /// The trace that the message is part of: the extension `traceparent` of a CloudEvent, the member of a publish.
    pub traceparent: Option<Traceparent>,
}

/// Why a message is not mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No rule is about where the message came from.
    #[error("no [[map]] has a from for {0:?}")]
    NoRule(String),
    /// The content is no text.
    #[error("byte {at} of {what} is not UTF-8")]
    NotText {
        /// The part of the message.
        what: String,
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// The content is no JSON.
    #[error("{what} is no JSON: {why}")]
    NotJson {
        /// The part of the message.
        what: String,
        /// The reason, with line and column.
        why: String,
    },
    /// The JSON is of another form.
    #[error("{0}")]
    Form(String),
    /// The entry has no such field.
    #[error("the entry has no field {0:?}")]
    NoField(String),
    /// The content is no publish.
    #[error("no publish: {0}")]
    Publish(#[from] PublishError),
    /// The content is no CloudEvent.
    #[error("no CloudEvent: {0}")]
    CloudEvent(String),
    /// The content is no envelope of Debezium.
    #[error("no Debezium envelope: {0}")]
    Debezium(String),
    /// A row names nothing.
    #[error("{0}")]
    Unnamed(Skip),
}

impl MessageError {
    /// Returns the kind of the reason, in one word for a counter.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoRule(_) => "no-rule",
            Self::NotText { .. } => "not-text",
            Self::NotJson { .. } => "not-json",
            Self::Form(_) => "form",
            Self::NoField(_) => "no-field",
            Self::Publish(_) => "publish",
            Self::CloudEvent(_) => "cloudevent",
            Self::Debezium(_) => "debezium",
            Self::Unnamed(_) => "unnamed",
        }
    }
}

/// JSON values of one message.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) documents: Vec<Value>,
    /// Whether lists and objects are texts of JSON in them.
    pub(crate) is_textual: bool,
    pub(crate) id: Option<String>,
    pub(crate) traceparent: Option<Traceparent>,
}

/// A body with what is beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) what: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) attributes: &'a [(String, String)],
}

impl Body<'_> {
    /// Returns the JSON of the body.
    pub(crate) fn json(&self) -> Result<Value, MessageError> {
        let text = text(without_bom(self.bytes), self.what)?;
        serde_json::from_str(text)
            .map_err(|error| MessageError::NotJson { what: self.what.to_owned(), why: error.to_string() })
    }

    /// Returns the elements of the body's list; a body that is no list is one element.
    pub(crate) fn list(&self) -> Result<Vec<Value>, MessageError> {
        let value = self.json()?;
        if let Value::Array(elements) = value { Ok(elements) } else { Ok(vec![value]) }
    }
}

/// Returns bytes as the text that they are.
pub(crate) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, MessageError> {
    std::str::from_utf8(bytes)
        .map_err(|error| MessageError::NotText { what: what.to_owned(), at: error.valid_up_to() })
}

/// Returns the kind of a JSON value, for people.
pub(crate) fn document_kind(document: &Value) -> &'static str {
    match document {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
