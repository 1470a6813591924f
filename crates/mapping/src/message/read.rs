//! Reads a message by its format, whatever rule asks.

use newsreel_core::wire::{Change, PublishLine, Traceparent};

use super::cloudevents;
use super::content::{Body, Content, Documents, Message, MessageError};
use super::debezium::{self, Envelope};
use super::entry;
use super::form::{Form, Format};

/// What a message is.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A message about no row, such as a tombstone or a heartbeat.
    Nothing,
    /// A publish.
    Publish { changes: Vec<Change>, id: Option<String>, traceparent: Option<Traceparent> },
    /// Rows, or documents with rows in them.
    Documents(Documents),
    /// A change of one row, or of a table.
    Envelope(Envelope),
}

impl Parsed {
    fn of_envelope(envelope: Option<Envelope>) -> Self {
        envelope.map_or(Self::Nothing, Self::Envelope)
    }
}

/// Reads a message as a form says.
pub(crate) fn message(form: &Form, message: &Message<'_>) -> Result<Parsed, MessageError> {
    let Message { content, content_type, attributes } = *message;
    match (content, &form.field) {
        (Content::Body(bytes), _) => {
            body(form.format, Body { bytes, what: "the message", content_type, attributes })
        }
        (Content::Entry(fields), Some(field)) => {
            let bytes = entry::value(fields, field).ok_or_else(|| MessageError::NoField(field.clone()))?;
            let others: Vec<_> =
                fields.iter().filter(|(name, _)| name != field.as_bytes()).cloned().collect();
            let attributes =
                if form.format == Format::CloudEvents { entry::attributes(&others)? } else { Vec::new() };
            let what = format!("the field {field:?}");
            body(form.format, Body { bytes, what: &what, content_type, attributes: &attributes })
        }
        (Content::Entry(fields), None) => whole_entry(form.format, fields),
    }
}

fn body(format: Format, body: Body<'_>) -> Result<Parsed, MessageError> {
    match format {
        Format::Row => Ok(Parsed::Documents(Documents {
            documents: body.list()?,
            is_textual: false,
            id: None,
            traceparent: None,
        })),
        Format::Publish => publish(body.bytes),
        Format::CloudEvents => cloudevents::read(&body).map(Parsed::Documents),
        Format::Debezium => debezium::read(&body, None).map(Parsed::of_envelope),
    }
}

/// Reads an entry without a field that has the message.
fn whole_entry(format: Format, fields: entry::Fields<'_>) -> Result<Parsed, MessageError> {
    let single = match fields {
        [(name, value)] => Some((name, value)),
        _ => None,
    };
    let alone = |bytes| Body { bytes, what: "the field's value", content_type: None, attributes: &[] };
    match format {
        Format::Row => {
            let documents = vec![entry::row(fields).into()];
            Ok(Parsed::Documents(Documents { documents, is_textual: true, id: None, traceparent: None }))
        }
        Format::Publish => match single {
            Some((name, value)) if !is_of_a_publish(name) => publish(value),
            Some(_) | None => publish(entry::bare_publish(fields).to_string().as_bytes()),
        },
        Format::CloudEvents => match single {
            Some((_, value)) => cloudevents::read(&alone(value)).map(Parsed::Documents),
            None => cloudevents::read_entry(fields).map(Parsed::Documents),
        },
        // The two forms of Debezium Server: `key` and `value`, or one field, whose name is the key.
        Format::Debezium => match (entry::value(fields, "value"), single) {
            (Some(value), None) => {
                debezium::read(&alone(value), entry::value(fields, "key")).map(Parsed::of_envelope)
            }
            (_, Some((key, value))) => debezium::read(&alone(value), Some(key)).map(Parsed::of_envelope),
            (None, None) => Err(MessageError::NoField("value".to_owned())),
        },
    }
}

fn publish(bytes: &[u8]) -> Result<Parsed, MessageError> {
    let PublishLine { publish, idempotency_key } = PublishLine::parse(bytes)?;
    if publish.expect.is_some() {
        let why =
            "a publish with `expect` is for the publish address: a message is published when its turn comes";
        return Err(MessageError::Form(why.to_owned()));
    }
    let traceparent = publish.cause.traceparent;
    Ok(Parsed::Publish { changes: publish.changes, id: idempotency_key, traceparent })
}

fn is_of_a_publish(name: &[u8]) -> bool {
    ["key", "tag", "prefix", "all", "changes"].iter().any(|field| name == field.as_bytes())
}
